#include "server/orders/watch.h"

#include <fmt/format.h>

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr int kMaxConditions = 100;
constexpr int kMaxOrders = 1000;
constexpr std::size_t kMaxToken = 1000;
constexpr std::int64_t kMaxHeartbeatSeconds = 600;

void check_types(const google::protobuf::RepeatedField<int>& types, const std::string& field,
                 errors::Violations& violations) {
  if (types.size() > kMaxConditions) {
    violations.add(field,
                   fmt::format("must be at most {} types, not {}", kMaxConditions, types.size()));
    return;
  }
  for (int i = 0; i < types.size(); ++i) {
    const bool valid =
        pb::OrderEventType_IsValid(types[i]) && types[i] != pb::ORDER_EVENT_TYPE_UNSPECIFIED;
    check_enum(valid, fmt::format("{}[{}]", field, i), violations);
  }
}

}  // namespace

absl::Status validate(const pb::ListOrderEventsRequest& request) {
  errors::Violations violations;
  check_id(request.order_id(), "order_id", violations);
  check_types(request.event_types(), "event_types", violations);
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status validate(const pb::WatchOrdersRequest& request) {
  errors::Violations violations;
  const pb::WatchFilter& filter = request.filter();
  check_ids(filter.state_ids(), kMaxConditions, "filter.state_ids", violations);
  check_types(filter.event_types(), "filter.event_types", violations);
  check_ids(filter.order_ids(), kMaxOrders, "filter.order_ids", violations);
  check_labels(filter.labels(), "filter.labels", violations);
  check_text(request.resume_token(), 0, kMaxToken, "resume_token", violations);
  if (request.from_snapshot() && !request.resume_token().empty()) {
    violations.add("from_snapshot", "must not be set with resume_token, which knows its snapshot");
  }
  if (request.has_heartbeat_interval()) {
    const auto& interval = request.heartbeat_interval();
    const bool valid = interval.nanos() >= 0 && interval.nanos() < 1'000'000'000 &&
                       interval.seconds() >= 1 &&
                       (interval.seconds() < kMaxHeartbeatSeconds ||
                        (interval.seconds() == kMaxHeartbeatSeconds && interval.nanos() == 0));
    if (!valid) violations.add("heartbeat_interval", "must be 1 s to 10 min");
  }
  return violations.status();
}

}  // namespace orderd::rules
