#include "server/rpc/rate_limit.h"

#include <algorithm>

namespace orderd::rpc {
namespace {

using Clock = RateLimit::Clock;

constexpr std::chrono::seconds kSweep{1};

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

RateLimit::RateLimit(const Options& options)
    : limited_(options.per_second > 0),
      identities_(options.identities),
      interval_(to_duration(limited_ ? 1 / options.per_second : 0)),
      tolerance_(
          to_duration(limited_ ? (std::max(1.0, options.burst) - 1) / options.per_second : 0)) {}

Clock::duration RateLimit::take(std::string_view identity, Clock::time_point now) {
  if (!limited_) return Clock::duration::zero();
  std::lock_guard lock(mutex_);
  Clock::time_point& full_at = bucket_of(identity, now);
  const Clock::time_point from = std::max(full_at, now);
  if (from - now > tolerance_) return from - now - tolerance_;
  full_at = from + interval_;
  return Clock::duration::zero();
}

Clock::time_point& RateLimit::bucket_of(std::string_view identity, Clock::time_point now) {
  std::string key(identity);
  if (const auto found = full_at_.find(key); found != full_at_.end()) return found->second;
  if (full_at_.size() >= identities_ && now >= next_sweep_) {
    // A full bucket is as good as none.
    std::erase_if(full_at_, [now](const auto& bucket) { return bucket.second <= now; });
    next_sweep_ = now + kSweep;
  }
  if (full_at_.size() >= identities_) return shared_full_at_;
  return full_at_.emplace(std::move(key), Clock::time_point::min()).first->second;
}

}  // namespace orderd::rpc
