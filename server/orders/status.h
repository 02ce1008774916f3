#pragma once

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::UpdateOrderStatusRequest& request);
absl::Status validate(const pb::BatchUpdateOrderStatusRequest& request);

/// The same fields as the request has.
pb::OrderStatusUpdate status_update(const pb::UpdateOrderStatusRequest& request);

/// Whether the order may enter the state now; the refusal if not. Without `force`.
absl::Status may_enter(const pb::Order& order, const pb::OrderState& state,
                       const Settings& settings);

/// CANCELLATION_IN_PROGRESS if the order is being canceled, or that has failed.
absl::Status check_no_cancellation_running(const pb::Order& order);

/// How many payments have money that must be returned before the order can be void
/// (`has_open_money`).
int open_payments(const pb::Order& order);

/// Moves `change.after` into the state, with the events. Entering one of category CANCELED
/// completes the cancellation and cancels the lines that have not been shipped.
void enter_state(const pb::OrderState& state, const std::string& reason, bool forced,
                 const Context& context, Change& change);

Result update_status(const pb::OrderStatusUpdate& update, const Target& target,
                     const Context& context);

}  // namespace orderd::rules
