#pragma once

#include "absl/status/status.h"
#include "orders/v1/order_service.pb.h"

namespace orderd::rules {

absl::Status validate(const orders::v1::GetOrderRequest& request);
absl::Status validate(const orders::v1::BatchGetOrdersRequest& request);
absl::Status validate(const orders::v1::ListOrdersRequest& request);
absl::Status validate(const orders::v1::ListNotesRequest& request);

}  // namespace orderd::rules
