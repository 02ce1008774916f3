#pragma once

#include <optional>

#include "server/engine/engine.h"
#include "server/notify/dispatcher.h"
#include "server/notify/mailer.h"
#include "server/ops/background.h"
#include "server/ops/config.h"
#include "storage/storage.h"

namespace orderd::ops {

/// What sends e-mails, if the configuration names a server for them. It reads the outbox, so what
/// other servers have written there goes out too.
class Mail {
 public:
  /// Throws std::runtime_error, which says what to do, if the templates or the password can't be
  /// used.
  explicit Mail(const MailConfig& config);

  const rules::Mailing& mailing() const { return mailing_; }

  /// What it is given outlives it, or a call of `stop`.
  void start(storage::Storage& storage, engine::Engine& engine);
  /// Returns when nothing is sent any more: in the time that one e-mail takes.
  void stop() { sending_.reset(); }

 private:
  const MailConfig config_;
  const rules::Mailing mailing_;
  std::optional<notify::Templates> templates_;
  std::optional<notify::Smtp> smtp_;
  std::optional<notify::Dispatcher> dispatcher_;
  std::optional<Background> sending_;
};

}  // namespace orderd::ops
