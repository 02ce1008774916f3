#pragma once

#include <chrono>
#include <string>

#include "server/access/key_editor.h"
#include "server/engine/engine.h"
#include "server/engine/eraser.h"
#include "server/engine/reader.h"
#include "server/engine/settings_cache.h"
#include "server/engine/settings_editor.h"
#include "server/payments/processor.h"
#include "server/watch/feed.h"

namespace orderd::rpc {

/// What the services work with. Outlives them.
struct Backend {
  engine::Engine& engine;
  engine::Reader& reader;
  engine::SettingsCache& settings;
  engine::SettingsEditor& editor;
  engine::Eraser& eraser;
  payments::Processor& processor;
  watch::Feed& feed;
  access::KeyEditor& keys;
  /// For page tokens: storage::Storage::secret(). Empty: not known yet, see Server::begin.
  std::string secret;
  /// How long a watch can go on with a token.
  std::chrono::milliseconds feed_retention{std::chrono::hours(7 * 24)};
};

}  // namespace orderd::rpc
