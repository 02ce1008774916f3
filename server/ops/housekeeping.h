#pragma once

#include <atomic>
#include <chrono>
#include <optional>

#include "server/ops/background.h"
#include "server/ops/config.h"
#include "server/payments/reconciler.h"
#include "storage/storage.h"

namespace orderd::ops {

/// What is done in the background, once the database has been reached: old request rows are
/// deleted, changes that no watcher can go on from are let go of, and payments whose gateway has to
/// be asked are taken up.
class Housekeeping {
 public:
  /// What it is given outlives it, or a call of `stop`.
  Housekeeping(const Config& config, storage::Storage& storage, payments::Reconciler& reconciler);
  /// Stops as by `stop`.
  ~Housekeeping();

  void start();
  /// Takes up no more payments; what it started goes on by itself.
  void stop_reconciling() { reconciling_.reset(); }
  void stop();

 private:
  void sweep(const std::atomic<bool>& stopping);
  void trim(const std::atomic<bool>& stopping);
  void reconcile();

  storage::Storage& storage_;
  payments::Reconciler& reconciler_;
  const std::chrono::milliseconds reconcile_interval_;
  const std::chrono::milliseconds feed_retention_;
  std::optional<Background> sweeping_;
  std::optional<Background> trimming_;
  std::optional<Background> reconciling_;
};

}  // namespace orderd::ops
