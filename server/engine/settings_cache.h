#pragma once

#include <mutex>

#include "storage/storage.h"

namespace orderd::engine {

/// The settings as this process last saw them. Reads use them as they are (they may lag a second);
/// a write finds out inside its transaction whether they are current, and reloads them if not.
/// Thread-safe.
class SettingsCache {
 public:
  explicit SettingsCache(SettingsPtr initial) : current_(std::move(initial)) {}

  SettingsPtr get() const {
    std::lock_guard lock(mutex_);
    return current_;
  }
  /// Keeps them unless a later version is held already.
  void put(Settings settings);
  /// Reads the version, and all of them if it has changed. Throws storage::Error.
  void refresh(storage::Reads& reads);

 private:
  mutable std::mutex mutex_;
  SettingsPtr current_;
};

}  // namespace orderd::engine
