#pragma once

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::UpdateOrderRequest& request);

/// Customer, addresses and labels, by the request's mask.
Result update_order(const pb::UpdateOrderRequest& request, const Target& target,
                    const Context& context);

}  // namespace orderd::rules
