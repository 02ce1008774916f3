#pragma once

#include <vector>

#include "orders/v1/order.pb.h"
#include "storage/model.h"

namespace orderd::fuzz {

/// What holds for every order that a server has stored, whatever callers and gateways did: totals
/// add up, every piece is in one line, the books of payments agree. `ledger`: all of the order's
/// transactions.
void check(const pb::Order& order, const std::vector<pb::PaymentTransaction>& ledger,
           const Settings& settings);

}  // namespace orderd::fuzz
