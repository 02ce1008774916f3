#pragma once

#include <chrono>
#include <memory>

#include "server/payments/processor.h"
#include "storage/storage.h"

namespace orderd::payments {

/// Finds out, in the background, what became of attempts without an answer, and visits payments
/// with open money. Takes due payments from the queue in the database, so several servers share the
/// work. What can't be told yet is asked again later (1 min, doubled each time, up to 6 h, with
/// jitter); never given up.
class Reconciler {
 public:
  struct Options {
    std::chrono::microseconds first_delay{std::chrono::minutes(1)};
    std::chrono::microseconds longest_delay{std::chrono::hours(6)};
    /// Payments that it works on at once.
    int batch = 500;
    /// How long a claim lasts; several times a gateway's time-out.
    std::chrono::microseconds claim{std::chrono::seconds(60)};
  };

  Reconciler(storage::Storage& storage, Processor& processor, const Options& options);
  /// Stops as by `stop`.
  ~Reconciler();

  /// One pass: writes when those of earlier passes come due again, claims what is due and starts
  /// work on it. Blocks for a small transaction or two; call it on a background thread, one at a
  /// time. Returns how many payments were taken.
  int pass();

  /// Waits until what `pass` started has ended, and writes what comes due again. After
  /// Processor::stop, which cuts that short.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace orderd::payments
