#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "tests/money/money.h"

// What the contract makes of a payment, as an order shows it, and of the sandbox's book: which
// requests must be refused and why, and what the gateway can do.

namespace orderd::test {

/// Whether open attempts and what is done already are more than there is.
bool overlaps(const pb::Payment& payment);
/// The order knows all that the gateway does, and nothing is open.
bool in_step(const pb::Payment& payment, const sandbox::LedgerPayment& book);

std::int64_t capturable(const pb::Payment& payment);
std::int64_t refundable(const pb::Payment& payment);
/// Every reason for which the request may be refused. Empty: it must be accepted.
std::set<std::string> objections(const pb::Payment& payment,
                                 const pb::GatewayCapabilities& capabilities, Operation operation,
                                 std::int64_t amount);

/// By the gateway's own book.
bool gateway_could(const sandbox::LedgerPayment& book, const pb::GatewayCapabilities& capabilities,
                   Operation operation, std::int64_t amount);

/// What may be said of an attempt that met this fault, and that the gateway could carry out or not.
std::set<pb::TransactionStatus> honest_statuses(sandbox::FaultKind fault, bool possible);

/// Of an order that knew everything before, the sums after an attempt are known exactly.
void expect_sums(const pb::Payment& before, Operation operation,
                 const pb::PaymentTransaction& transaction, const pb::Payment& after);

}  // namespace orderd::test
