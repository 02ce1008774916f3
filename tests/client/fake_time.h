#pragma once

#include <chrono>
#include <mutex>
#include <vector>

#include "client/options.h"

namespace orderd::testing {

/// A clock that only `sleep` moves, and a record of the sleeps.
class FakeTime {
 public:
  /// Options for a server, with this clock; the random number is always `random`.
  client::Options options(const std::string& server, double random = 0.5) {
    client::Options options;
    options.server = server;
    options.now = [this] {
      std::lock_guard lock(mutex_);
      return now_;
    };
    options.sleep = [this](std::chrono::milliseconds time) { advance(time); };
    options.random = [random] { return random; };
    return options;
  }

  void advance(std::chrono::milliseconds time) {
    std::lock_guard lock(mutex_);
    now_ += time;
    sleeps_.push_back(time.count());
  }

  std::vector<std::chrono::milliseconds::rep> sleeps() const {
    std::lock_guard lock(mutex_);
    return sleeps_;
  }

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
  std::vector<std::chrono::milliseconds::rep> sleeps_;
};

}  // namespace orderd::testing
