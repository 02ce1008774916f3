#pragma once

#include <cstdint>
#include <string_view>

#include "storage/model.h"

// What the rules of payments share about sums, beside payments.h.

namespace orderd::rules {

/// The reason of a PENDING transaction that somebody must confirm.
inline constexpr std::string_view kManual = "MANUAL";

/// Whether the transaction is PENDING `MANUAL`.
bool is_manual(const pb::PaymentTransaction& transaction);

/// What is authorized and neither captured nor voided, whatever is open; 0 if the sums can't be.
std::int64_t remainder(const pb::Payment& payment);

/// The status of a payment that has been authorized, by its sums:
/// - something remains: AUTHORIZED, or PARTLY_CAPTURED if something has been captured;
/// - nothing remains, something has been captured: CAPTURED, or REFUNDED if all of it went back;
/// - nothing remains or has been captured: VOIDED. If there never was anything it is a payment of 0
///   that has been made, CAPTURED.
/// EXPIRED, OPEN and PROCESSING are the gateway's word, never a result of sums.
pb::PaymentStatus status_of_sums(const pb::Payment& payment);

}  // namespace orderd::rules
