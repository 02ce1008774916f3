#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/orders/rule.h"
#include "server/payments/gateway.h"

// What a reading of a gateway means for an order: what became of our own open transactions, and
// what was done elsewhere.

namespace orderd::rules {

/// What a gateway said about one payment.
struct PaymentReading {
  std::string payment_id;
  /// `Payment.revision` as it was before the gateway was asked.
  std::int64_t revision = 0;
  payments::Reading reading;
};

/// Folds readings into their payments, all or none. Wants the ledger. Deterministic: `ids` is the
/// family of which booked transactions have their ids.
///
/// STALE_READING (an error that no caller sees) if a transaction of a payment was written or
/// settled since it was read: such a reading may lack it, so the gateway has to be asked again.
///
/// 1. A movement belongs to our transaction of its kind with the same gateway id, or else with its
///    attempt id (for the VOID of a final capture: the capture's attempt id), or else, where the
///    gateway does not keep attempt ids, to the oldest open transaction of its kind and amount (a
///    VOID: of any amount) unless it is a day older than that; a movement that FAILED only to one
///    that is PENDING without a gateway id. An open transaction takes over the
///    movement's status, amount, id and time; a final one too, but only if the movement contradicts
///    its status (a refund that failed later keeps its amount), with `attention`.
/// 2. Every other movement is foreign, and is booked once: by kind and gateway id, and as far as
///    its sum goes beyond what is booked (a cumulative gateway cuts its total differently each
///    time). The rest that a final capture of ours released is not foreign but names that capture.
/// 3. Sums that go beyond the movements are our open attempts of that amount, where the gateway
///    does not keep attempt ids, or else are booked as foreign movements without an id (cumulative
///    gateways); sums below them as one ADJUSTMENT each, with `attention`.
/// 4. The payment takes over sums, status, expiry and capabilities. Sums or movements that can't be
///    set `discrepancy`; a CHARGEBACK sets `attention`.
/// 5. An UNKNOWN attempt that the reading does not show, and that is too old to be sent again (key
///    lifetime less an hour), gets its `missing_time`; ten minutes after that it is FAILED
///    `NOT_APPLIED`. Only where the reading would show it: by attempt id, or by sums in which
///    nothing foreign has been found since. What is PENDING was accepted, and is never given up.
///
/// A payment of which nothing differs is left alone; if none differs there is no change.
/// `Outcome.differences` says what differed.
Result fold_readings(std::span<const PaymentReading> readings, const Uuid& ids,
                     const Target& target, const Context& context);

/// After a fold: whether an attempt that is open would not be if it had been carried out. Not where
/// the gateway keeps no attempt ids and something was found in which it may be hidden. `ledger`: of
/// the whole order.
bool would_be_found(const pb::Order& order, const pb::PaymentTransaction& attempt,
                    std::span<const pb::PaymentTransaction> ledger);

/// After a fold: our open transactions that the gateway does not know and that are to be sent
/// again, with the same key: UNKNOWN, younger than the key's lifetime less an hour, and for a
/// capture only while the order's state allows it. For an external payment all that are UNKNOWN.
std::vector<pb::PaymentTransaction> to_send_again(const pb::Order& order,
                                                  const pb::Payment& payment,
                                                  const Settings& settings, Micros now);

}  // namespace orderd::rules
