#pragma once

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/engine/engine.h"
#include "server/engine/reader.h"
#include "server/orders/cancellation.h"
#include "server/payments/accounts.h"

// How money moves: transaction one writes the attempt, then the gateway is called, then transaction
// two writes what it said (docs/adr/0009-money-moves-once.md). Rules are in server/orders/.

namespace orderd::payments {

/// Drives attempts and readings between the engine and the gateways. Thread-safe; never blocks its
/// caller. What it is given outlives it.
class Processor {
 public:
  struct Options {
    /// How long a gateway has to answer.
    std::chrono::milliseconds call_timeout{15'000};
    /// An attempt belongs to its sender for `call_timeout` and this; then the reconciler takes it
    /// up.
    std::chrono::milliseconds lease_margin{5'000};
    /// When the gateway is asked what became of an attempt that it did not answer.
    std::chrono::microseconds first_check{std::chrono::minutes(1)};
    /// How long before its deadline a caller is answered with what is known; but no caller gives
    /// more than half of his time for that.
    std::chrono::milliseconds answer_margin{200};
    /// Of the e-mails about cancellations.
    rules::Mailing mailing;
    /// Hears of every call to a gateway.
    GatewayObserver observer;
  };
  using Done = engine::Command::Done;

  /// What became of a visit to a payment's gateway.
  struct Visit {
    enum class Result {
      /// Something became known and is written; the payment is scheduled anew.
      kNews,
      kNothing,
      /// The gateway was not asked: the circuit is open, or the time was over.
      kNotAsked,
    };
    Result result = Result::kNotAsked;
    /// The gateway has nothing to tell before then; INT64_MAX: never, unless something is done.
    Micros not_before = 0;
    /// When the oldest of the transactions began that are open still.
    std::optional<Micros> open_since;
  };

  /// `timers` answers callers in time; somebody runs it.
  Processor(engine::Engine& engine, engine::Reader& reader, Accounts& accounts,
            boost::asio::io_context& timers, const Options& options);
  /// Stops as by `stop`.
  ~Processor();

  const Accounts& accounts() const;
  /// For how long a new attempt belongs to its sender.
  std::chrono::microseconds lease() const;
  /// For the rules of cancellations.
  const rules::Mailing& mailing() const;

  /// Runs a command that writes an attempt on a payment (its rule is one of payments.h), then sends
  /// the attempt, then settles it. `command.done` hears once: the refusal; or what a replay or
  /// `validate_only` found; or the settled attempt, with the etag after it; or, shortly before
  /// `deadline`, the attempt as it was written. An UNSYNCED payment is synced first. The rule may
  /// still run after an answer.
  void attempt(engine::Command command, std::string payment_id, Deadline deadline);

  /// Reads the gateways of a payment (empty `payment_id`: of all that have one) and folds what they
  /// say with `command` (which needs no rule). Reads again while the order's money moves.
  void sync(engine::Command command, std::string payment_id, Deadline deadline);

  /// Runs a command whose rule is `rules::begin_cancellation`, then drives the cancellation to its
  /// end, or as far as that is possible now. `command.done` hears once: of the refusal; or of what
  /// a replay or `validate_only` found (which asks the gateways first; `provisional` if one can't
  /// be); or of the order when the driving ends; or, shortly before `deadline`, of the order as it
  /// is then. The driving goes on after that.
  void cancel(engine::Command command, Deadline deadline);

  /// For the reconciler: reads the gateway of one payment, folds, sends again what has to be; while
  /// the order's cancellation is in progress, drives that instead. Begins nothing that might not
  /// end before `until`. `done` is called exactly once.
  void reconcile(const Uuid& order_id, const std::string& payment_id, Deadline until,
                 std::function<void(Visit)> done);

  /// From here on no gateway is called for what waits or comes; all callers are answered now, with
  /// what is known, and the rest is left to the reconciler of the next start. What runs goes on.
  void drop_waiting();
  /// That first. Returns when no gateway call runs, no command is under way, and everybody has been
  /// answered. The engine and the reader must still run.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace orderd::payments
