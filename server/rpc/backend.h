#pragma once

#include <string>

#include "server/engine/engine.h"
#include "server/engine/reader.h"
#include "server/engine/settings_cache.h"
#include "server/engine/settings_editor.h"
#include "server/payments/processor.h"

namespace orderd::rpc {

/// What the services work with. Outlives them.
struct Backend {
  engine::Engine& engine;
  engine::Reader& reader;
  engine::SettingsCache& settings;
  engine::SettingsEditor& editor;
  payments::Processor& processor;
  /// For page tokens: storage::Storage::secret().
  std::string secret;
};

}  // namespace orderd::rpc
