#pragma once

#include <vector>

#include "server/orders/cancellation.h"

// What the parts of cancellation.h share.

namespace orderd::rules {

/// What a running cancellation is to do next, by the order as it is.
struct NextStep {
  enum class Kind {
    /// Write attempts for `legs`.
    kReturn,
    kComplete,
    /// Something was refused for good, and nothing else can be done.
    kFail,
    /// Until a transaction has found its end, or a gateway has gone on.
    kWait,
  };
  Kind kind = Kind::kWait;
  std::vector<pb::CancellationLeg> legs;
};
NextStep next_step(const pb::Order& order);

/// What voids or refunds can still return of a payment: what is capturable or refundable, but never
/// what a leg has returned or may yet, even if a reading does not show that.
std::int64_t left_to_return(const pb::Order& order, const pb::Payment& payment,
                            pb::TransactionKind kind);

/// Whether a VOID or REFUND is PENDING with an id of the gateway's: as good as done.
bool is_initiated(const pb::PaymentTransaction& transaction);

/// Writes the schedule of all payments. `resume`: when a running cancellation is to be driven on,
/// of which then at least one payment is scheduled. `ledger`: what is known of it.
void schedule_payments(const pb::Order& order, Micros now, Micros resume,
                       std::span<const pb::PaymentTransaction> ledger, Change& change);

/// Adds the event of a cancellation that differs from `before`.
void record_cancellation(const pb::Cancellation& before, const std::string& reason, Change& change);

/// While a cancellation runs, a payment of which something became known is due at once, unless it
/// still has an UNKNOWN transaction.
void hasten(const pb::Order& order, const pb::Payment& payment, Micros now,
            PaymentSchedule& schedule);

/// After a transaction was resolved: a FAILED cancellation in whose way nothing stands any more
/// runs again.
void resume_cancellation(Micros now, Change& change);

/// Whether the transaction is a leg that failed, of a cancellation that is FAILED.
bool is_failed_leg(const pb::Order& order, const pb::PaymentTransaction& transaction);

/// Completes the cancellation of `change.after`: target state, lines, e-mail. OK, or why it can't
/// be.
absl::Status complete_cancellation(const CancellationContext& cancellation, const Context& context,
                                   Change& change);

}  // namespace orderd::rules
