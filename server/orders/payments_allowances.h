#pragma once

#include <string>

#include "server/orders/payments.h"

// What can be done with a payment as it is. The parts of the judgement that rules make about an
// attempt, in the order in which they are made, and of which `may_capture` and its like are the
// sum.

namespace orderd::rules {

/// CANCELLATION_IN_PROGRESS, CAPTURE_NOT_ALLOWED.
absl::Status check_allows_capture(const pb::Order& order, const Settings& settings);

/// How much by the payment's sums and status, or why nothing: PAYMENT_DISCREPANCY,
/// PAYMENT_UNSYNCED, then what is particular to the operation. A void takes all of the maximum, and
/// may be one of 0: it closes an OPEN payment.
Allowance capturable_now(const pb::Payment& payment);
Allowance voidable_now(const pb::Payment& payment);
Allowance refundable_now(const pb::Payment& payment);

/// Whether the payment's gateway can make such a capture, void or refund; `max_minor` is the
/// allowance.
absl::Status check_capture(const pb::Payment& payment, std::int64_t amount_minor,
                           bool final_capture, std::int64_t max_minor);
absl::Status check_void(const pb::Payment& payment);
absl::Status check_refund(const pb::Payment& payment, std::int64_t amount_minor);

/// PAYMENT_BUSY if what is open does not let anything begin now:
/// - Without `concurrent_operations` nothing begins while something is UNKNOWN, or a capture or a
///   void PENDING. A PENDING refund can take days, and gateways go on meanwhile.
/// - What takes the whole remainder (a void, a final capture) waits for every open capture and
///   void: until they have ended nobody knows what the remainder is.
absl::Status check_not_busy(const pb::Payment& payment, bool takes_remainder);

/// "CAPTURED" of PAYMENT_STATUS_CAPTURED.
std::string status_name(pb::PaymentStatus status);

}  // namespace orderd::rules
