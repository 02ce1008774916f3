#pragma once

#include <string>

#include "orders/v1/order_service.pb.h"
#include "server/orders/payments.h"
#include "server/orders/refusals.h"

// The payments of CreateOrder.

namespace orderd::rules {

/// Adds what is wrong with the payments of a new order; `field` is where they are.
void check_new_payments(const pb::NewOrder& order, const std::string& field,
                        errors::Violations& violations);

/// Attaches the payments of the request to `change.after`, with their transactions, schedule and
/// the order's currency if it had none; or says why not. The target's holders are those of
/// `create_claims`.
void attach_payments(const pb::CreateOrderRequest& request, const Uuid& order_id,
                     const GatewayDirectory& gateways, const Target& target, const Context& context,
                     Change& change, Refusals& refusals);

}  // namespace orderd::rules
