#include "server/rpc/admission.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "server/orders/errors.h"
#include "server/rpc/wire.h"

namespace orderd::rpc {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStep{25};
/// Of the middle of the delays; they are spread from half of it to three halves.
constexpr milliseconds kShortest{100};
constexpr milliseconds kLongest{1000};
/// By so much a refusal makes the delays of the following ones longer.
constexpr std::chrono::microseconds kGrowth{500};

}  // namespace

Refusals::Refusals() {
  for (milliseconds delay{0}; delay <= kLongest * 3 / 2; delay += kStep) {
    by_delay_.push_back(to_grpc(errors::overloaded(delay)));
  }
}

const grpc::Status& Refusals::overloaded() {
  const std::uint32_t number = next();
  const std::uint32_t rate = std::max(number, in_last_second_.load(std::memory_order_relaxed));
  const auto grown = kShortest + std::chrono::duration_cast<milliseconds>(rate * kGrowth);
  const auto steps = static_cast<std::uint32_t>(std::min(grown, kLongest) / kStep);
  // Multiples of an odd number, so all steps get their share.
  const std::uint32_t spread = (number * 2'654'435'761u >> 16) % (steps + 1);
  return by_delay_[steps / 2 + spread];
}

std::uint32_t Refusals::next() {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                               std::chrono::steady_clock::now().time_since_epoch())
                               .count();
  if (second_.load(std::memory_order_relaxed) != now) {
    if (const std::int64_t last = second_.exchange(now); last != now) {
      const std::uint32_t count = in_second_.exchange(0);
      in_last_second_ = last == now - 1 ? count : 0;
      spdlog::warn("calls are refused since there are too many; {} were in the second before",
                   in_last_second_.load());
    }
  }
  return in_second_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace orderd::rpc
