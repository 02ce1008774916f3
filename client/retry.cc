#include "client/retry.h"

#include <grpcpp/support/status.h>

#include <algorithm>
#include <random>
#include <thread>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/error_details.h"

namespace orderd::client::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

double random_fraction() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

}  // namespace

Options with_defaults(Options options) {
  if (!options.now) options.now = steady_clock::now;
  if (!options.sleep) options.sleep = [](milliseconds time) { std::this_thread::sleep_for(time); };
  if (!options.random) options.random = random_fraction;
  return options;
}

absl::Status to_status(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status rich;
  if (rich.ParseFromString(status.error_details())) {
    for (const auto& detail : rich.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

bool worth_retrying(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:  // of one try: its answer is lost
    case absl::StatusCode::kCancelled:         // not by us: gRPC, when a server shuts down
      return true;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted: {
      const ErrorDetails error = details(status);
      return error.retry_delay.has_value() && error.reason != "ETAG_MISMATCH";
    }
    default:
      return false;
  }
}

milliseconds Backoff::next(const absl::Status& failure) {
  const RetryPolicy& policy = options_.retry;
  bound_ =
      bound_ ? *bound_ * policy.multiplier : static_cast<double>(policy.initial_backoff.count());
  bound_ = std::min(*bound_, static_cast<double>(policy.max_backoff.count()));
  const milliseconds jittered(static_cast<milliseconds::rep>(*bound_ * options_.random()));
  return details(failure).retry_delay.value_or(milliseconds::zero()) + jittered;
}

absl::Status given_up(const absl::Status& status, int tries, milliseconds spent) {
  absl::Status result(status.code(), absl::StrCat(status.message(), " (given up after ", tries,
                                                  " tries in ", spent.count(), " ms)"));
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& value) {
    result.SetPayload(type_url, value);
  });
  return result;
}

absl::Status run_with_retries(const Options& options,
                              const std::function<absl::Status(milliseconds)>& attempt) {
  const auto start = options.now();
  const auto deadline = start + options.timeout;
  const auto left = [&] {
    return std::chrono::duration_cast<milliseconds>(deadline - options.now());
  };
  Backoff backoff(options);
  for (int attempts = 1;; ++attempts) {
    const milliseconds timeout =
        std::max(milliseconds(1), std::min(left(), options.attempt_timeout));
    absl::Status status = attempt(timeout);
    if (status.ok() || !worth_retrying(status)) return status;

    const milliseconds wait = backoff.next(status);
    if (attempts >= options.retry.max_attempts || wait >= left()) {
      if (attempts == 1) return status;
      return given_up(status, attempts,
                      std::chrono::duration_cast<milliseconds>(options.now() - start));
    }
    options.sleep(wait);
  }
}

}  // namespace orderd::client::internal
