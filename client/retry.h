#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "client/options.h"

// How the library tries again. Not part of its interface.

namespace grpc {
class Status;
}

namespace orderd::client::internal {

/// The options with real time and real randomness where the caller gave none.
Options with_defaults(Options options);

/// With the details of `google.rpc.Status` as payloads.
absl::Status to_status(const grpc::Status& status);

/// Whether the same call may succeed a little later. Every call may be repeated safely: reads
/// change nothing, mutations carry a `request_id`, imports are keyed by their order number.
bool worth_retrying(const absl::Status& status);

/// The waits between the tries of one call.
class Backoff {
 public:
  explicit Backoff(const Options& options) : options_(options) {}

  /// The next wait after this failure.
  std::chrono::milliseconds next(const absl::Status& failure);
  /// Begins again, after a success.
  void reset() { bound_.reset(); }

 private:
  const Options& options_;
  std::optional<double> bound_;
};

/// The failure, with a note of what was tried.
absl::Status given_up(const absl::Status& status, int tries, std::chrono::milliseconds spent);

/// Runs `attempt` until it succeeds, fails for good, or the call runs out of tries or time; then
/// the last failure is the result. `attempt` gets the time that it may take.
absl::Status run_with_retries(
    const Options& options, const std::function<absl::Status(std::chrono::milliseconds)>& attempt);

}  // namespace orderd::client::internal
