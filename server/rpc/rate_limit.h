#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace orderd::rpc {

/// Calls per second of each identity, as a token bucket. Thread-safe.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    /// 0: no limit.
    double per_second = 0;
    /// Calls that an identity may make at once after a pause; at least 1.
    double burst = 1;
    /// That have a bucket of their own. Full buckets are forgotten, so only those that have called
    /// within burst / per_second seconds count; the ones beyond the limit share a bucket.
    std::size_t identities = 10'000;
  };

  explicit RateLimit(const Options& options);

  /// Takes a token and returns zero; or takes none, and returns how long it will be before there is
  /// one. `now` may go back a little, as it does between threads.
  Clock::duration take(std::string_view identity, Clock::time_point now = Clock::now());

 private:
  /// The bucket of an identity is full again at that time; it is all there is to know of it.
  using Buckets = std::unordered_map<std::string, Clock::time_point>;

  Clock::time_point& bucket_of(std::string_view identity, Clock::time_point now);

  const bool limited_;
  const std::size_t identities_;
  /// For one token, and from empty to where one is left.
  const Clock::duration interval_;
  const Clock::duration tolerance_;

  std::mutex mutex_;  // guards what follows
  Buckets full_at_;
  Clock::time_point shared_full_at_;
  Clock::time_point next_sweep_;
};

}  // namespace orderd::rpc
