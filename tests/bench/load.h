#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "orders/v1/order_service.grpc.pb.h"

namespace orderd::bench {

/// What one run of a load did.
struct Figures {
  double per_second = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  double p999_ms = 0;
  std::uint64_t errors = 0;
};

/// Makes figures of latencies (in microseconds) measured over `seconds`. Sorts them.
Figures figures_of(std::vector<std::uint32_t> latencies, double seconds, std::uint64_t errors);

/// The middle one of some figures, at least one.
double median(std::vector<double> values);

/// Connections to one server, shared by all callers; as cheap as gRPC allows.
class Connections {
 public:
  Connections(const std::string& server, int channels);
  orders::v1::OrderService::Stub& stub(int caller) {
    return *stubs_[static_cast<std::size_t>(caller) % stubs_.size()];
  }

 private:
  std::vector<std::unique_ptr<orders::v1::OrderService::Stub>> stubs_;
};

/// Starts one call of a caller, whose end it will report; `call` counts the caller's calls from 0.
/// False: there is nothing left to do for it. Must not block.
using StartCall = std::function<bool(int caller, std::uint64_t call, std::function<void(bool ok)>)>;

/// Runs `callers` callers, each of which starts its next call when the last has ended, for
/// `duration`; the first tenth is not counted.
Figures run_load(int callers, std::chrono::milliseconds duration, const StartCall& start);

/// The same with one thread per caller that blocks in `call`.
Figures run_threads(int threads, std::chrono::milliseconds duration,
                    const std::function<void(int thread, std::uint64_t call)>& call);

}  // namespace orderd::bench
