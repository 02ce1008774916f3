#include "server/engine/settings_cache.h"

#include <memory>
#include <utility>

namespace orderd::engine {

void SettingsCache::put(Settings settings) {
  auto fresh = std::make_shared<const Settings>(std::move(settings));
  std::lock_guard lock(mutex_);
  if (fresh->version > current_->version) current_ = std::move(fresh);
}

void SettingsCache::refresh(storage::Reads& reads) {
  if (reads.settings_version() != get()->version) put(reads.load_settings());
}

}  // namespace orderd::engine
