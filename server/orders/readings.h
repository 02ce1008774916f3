#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "server/orders/rule.h"
#include "server/payments/gateway.h"

// What a reading of a gateway means for an order: what became of our own open transactions, and what
// was done elsewhere.

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
/// STALE_READING (an error that no caller sees) if a transaction of a payment was written or settled
/// since it was read: such a reading may lack it, so the gateway has to be asked again.
///
/// 1. A movement belongs to our transaction of its kind with the same gateway id, or else with its
///    attempt id (for the VOID of a final capture: the capture's attempt id), or else, where the
///    gateway does not keep attempt ids, to the oldest open transaction of its kind and amount. An
///    open transaction takes over the movement's status, amount, id and time; a final one only if the
///    movement contradicts it (a refund that failed later), with `attention`.
/// 2. Every other movement is foreign, and is booked once: by kind and gateway id.
/// 3. Sums that go beyond the movements are booked as foreign movements without an id (cumulative
///    gateways); sums below them as one ADJUSTMENT each.
/// 4. The payment takes over sums, status, expiry and capabilities. Sums that can't be set
///    `discrepancy`; a CHARGEBACK sets `attention`.
/// 5. An open transaction of ours that the reading does not show, and that is too old to be sent
///    again (key lifetime less an hour), gets its `missing_time`; ten minutes after that it is FAILED
///    `NOT_APPLIED`. Only where the reading would show it: by attempt id, or by sums that have not
///    moved.
///
/// A payment of which nothing differs is left alone; if none differs there is no change.
/// `Outcome.differences` says what differed.
Result fold_readings(std::span<const PaymentReading> readings, const Uuid& ids,
                     const Target& target, const Context& context);

/// After a fold: our open transactions that the gateway does not know and that are to be sent again,
/// with the same key: UNKNOWN, younger than the key's lifetime less an hour, and for a capture only
/// while the order's state allows it. For an external payment all that are UNKNOWN.
std::vector<pb::PaymentTransaction> to_send_again(const pb::Order& order, const pb::Payment& payment,
                                                  const Settings& settings, Micros now);

}  // namespace orderd::rules
