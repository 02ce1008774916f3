#pragma once

#include <atomic>
#include <chrono>

#include "server/engine/engine.h"
#include "server/notify/mailer.h"
#include "storage/storage.h"

namespace orderd::notify {

/// Sends what is in the outbox. Several servers share the work: each claims with a lease. After a
/// crash between the mail server's "accepted" and our record of it an e-mail goes out again, the
/// same bytes with the same Message-ID.
class Dispatcher {
 public:
  struct Options {
    /// E-mails claimed at once; they are sent one after the other.
    int batch = 20;
    /// How long a claim lasts: a batch at its slowest, and more.
    std::chrono::microseconds claim{std::chrono::minutes(15)};
  };

  Dispatcher(storage::Storage& storage, engine::Engine& engine, const Templates& templates,
             const Smtp& smtp, std::string from, const Options& options);

  /// One pass: claims what is due, sends it, records what came of it. Blocks; call it on a
  /// background thread, one at a time. Ends early when it sees `stopping`. Returns how many were
  /// claimed.
  int pass(const std::atomic<bool>& stopping);

 private:
  storage::Storage& storage_;
  engine::Engine& engine_;
  const Templates& templates_;
  const Smtp& smtp_;
  const std::string from_;
  const Options options_;
};

}  // namespace orderd::notify
