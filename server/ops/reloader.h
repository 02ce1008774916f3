#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "server/ops/config.h"

namespace orderd::ops {

/// Reads the configuration again while the process runs, and hands it to whoever can go on with a
/// new one. Thread-safe.
class Reloader {
 public:
  /// As of `main`; outlive it. `current` was made of them.
  Reloader(int argc, const char* const* argv, const Config& current)
      : argc_(argc), argv_(argv), current_(current.settings) {}

  /// `take` is called with each new configuration, whatever has changed: files that it names may
  /// have. It throws std::runtime_error if it can't use it, and goes on with the old one.
  /// `options`: what it takes over, without dashes.
  void add(const std::vector<std::string>& options, std::function<void(const Config&)> take);

  /// A configuration with a mistake changes nothing. What came of it is in the log: also which
  /// options have changed that only a restart can take over.
  void reload();

 private:
  const int argc_;
  const char* const* const argv_;
  std::mutex mutex_;  // guards what follows
  /// As in force, but those of `taken_`.
  const std::vector<Setting> current_;
  std::set<std::string> taken_;
  std::vector<std::function<void(const Config&)>> takers_;
};

}  // namespace orderd::ops
