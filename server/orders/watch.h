#pragma once

#include "absl/status/status.h"
#include "orders/v1/watch.pb.h"

namespace orderd::rules {

absl::Status validate(const orders::v1::ListOrderEventsRequest& request);
absl::Status validate(const orders::v1::WatchOrdersRequest& request);

}  // namespace orderd::rules
