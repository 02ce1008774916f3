#include "server/ops/housekeeping.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "storage/wall_clock.h"

namespace orderd::ops {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::chrono::minutes kSweep{10};
constexpr std::chrono::hours kRequestLife{48};
/// Rows of one step, which holds nobody up.
constexpr int kSweepStep = 1000;
constexpr std::chrono::minutes kTrim{5};

Micros ago(std::chrono::system_clock::duration time) {
  return wall_clock() - std::chrono::duration_cast<microseconds>(time).count();
}

}  // namespace

Housekeeping::Housekeeping(const Config& config, storage::Storage& storage,
                           payments::Reconciler& reconciler)
    : storage_(storage),
      reconciler_(reconciler),
      reconcile_interval_(config.reconcile_interval),
      feed_retention_(config.feed_retention) {}

Housekeeping::~Housekeeping() { stop(); }

void Housekeeping::start() {
  sweeping_.emplace(kSweep, [this](const auto& stopping) { sweep(stopping); });
  trimming_.emplace(
      std::min<milliseconds>(kTrim, feed_retention_ / 50),
      [this](const auto& stopping) { trim(stopping); },
      /*at_once=*/true);  // it also makes room for what comes
  reconciling_.emplace(reconcile_interval_, [this](const auto&) { reconcile(); });
}

void Housekeeping::stop() {
  stop_reconciling();
  sweeping_.reset();
  trimming_.reset();
}

void Housekeeping::sweep(const std::atomic<bool>& stopping) {
  const Micros before = ago(kRequestLife);
  try {
    while (!stopping && storage_.sweep(before, kSweepStep) == kSweepStep) {
    }
  } catch (const storage::Error& error) {
    spdlog::warn("sweeping old requests failed and will be tried again: {}", error.what());
  }
}

void Housekeeping::trim(const std::atomic<bool>& stopping) {
  const Micros now = wall_clock();
  const auto kept = std::chrono::duration_cast<microseconds>(feed_retention_).count();
  try {
    while (!stopping && storage_.trim_feed(now, now - kept, kept / 100)) {
    }
  } catch (const storage::Error& error) {
    spdlog::warn("trimming the feed failed and will be tried again: {}", error.what());
  }
}

void Housekeeping::reconcile() {
  try {
    reconciler_.pass();
  } catch (const storage::Error& error) {
    spdlog::warn("looking for payments to reconcile failed and will be tried again: {}",
                 error.what());
  }
}

}  // namespace orderd::ops
