#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "orders/v1/order_service.pb.h"
#include "server/orders/errors.h"
#include "server/orders/payments.h"
#include "server/orders/refusals.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::CreateOrderRequest& request);

/// Adds what is wrong with an order as the caller gives it; `field` prefixes the names of fields.
void check_new_order(const pb::NewOrder& order, const std::string& field,
                     errors::Violations& violations);

/// The currency of the first amount whose currency ISO 4217 lists; empty if there is none.
std::string order_currency(const pb::NewOrder& order);

/// The state in which new orders start; null if none is configured.
const pb::OrderState* initial_state(const Settings& settings);

/// The ids that the items will have: those given, and for the others their number, or if that is
/// taken another one.
std::vector<std::string> item_ids(const pb::NewOrder& order);

/// Refuses the shipment methods that can't be asked for.
void check_methods(const pb::NewOrder& order, const std::string& field, bool enabled_only,
                   const Settings& settings, Refusals& refusals);

/// A valid NewOrder as an order: trimmed, items numbered, totals computed. Without id, state and
/// times of the server.
pb::Order build_order(const pb::NewOrder& order);

/// A number for people, unique in all likelihood: the day and 40 random bits, "261123-4F7K9QXZ".
std::string generate_order_number(Micros now);

/// The order number that the request's order will have: the caller's, trimmed, or `generated`.
std::string order_number_of(const pb::NewOrder& order, std::string_view generated);

/// What the order wants to own: its number, then the references of its payments in their order.
std::vector<Claim> create_claims(const pb::CreateOrderRequest& request,
                                 std::string_view order_number);

/// The target's holders are those of `create_claims`. Refuses with ORDER_NUMBER_IN_USE,
/// SHIPMENT_METHOD_UNKNOWN, SHIPMENT_METHOD_DISABLED, PAYMENT_REFERENCE_IN_USE,
/// GATEWAY_NOT_CONFIGURED and CURRENCY_MISMATCH. Shipments, lines, payments and transactions get
/// ids of the order's family.
Result create_order(const pb::CreateOrderRequest& request, const Uuid& order_id,
                    std::string_view order_number, const GatewayDirectory& gateways,
                    const Target& target, const Context& context);

}  // namespace orderd::rules
