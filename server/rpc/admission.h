#pragma once

#include <grpcpp/support/status.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace orderd::rpc {

/// How many of something there may be at once. Thread-safe.
class Slots {
 public:
  explicit Slots(std::size_t most) : most_(most) {}

  /// False, and nothing is taken, if all are.
  bool take() {
    if (used_.fetch_add(1) < most_) return true;
    used_.fetch_sub(1);
    return false;
  }
  void release() { used_.fetch_sub(1); }

 private:
  const std::size_t most_;
  std::atomic<std::size_t> used_ = 0;
};

/// Refusals of calls for which there is no room, made in advance, so that the server can give very
/// many of them. Thread-safe.
///
/// Each asks for another delay, so that callers do not come back all at once; the more there are in
/// this second or were in the last one, the longer the delays: so callers that heed them are a
/// small load, and still all are back in 1.5 s.
class Refusals {
 public:
  Refusals();

  /// OVERLOADED, with the next delay.
  const grpc::Status& overloaded();
  /// Counts a refusal that was made elsewhere.
  void count() { next(); }

 private:
  /// How many there have been in this second. Says once a second in the log that there are any.
  std::uint32_t next();

  std::vector<grpc::Status> by_delay_;
  std::atomic<std::int64_t> second_ = 0;
  std::atomic<std::uint32_t> in_second_ = 0;
  std::atomic<std::uint32_t> in_last_second_ = 0;
};

}  // namespace orderd::rpc
