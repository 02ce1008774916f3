#include "server/orders/reads.h"

#include <fmt/format.h>

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr int kMaxOrders = 1000;
constexpr int kMaxConditions = 100;

void check_view(pb::OrderView view, errors::Violations& violations) {
  check_enum(pb::OrderView_IsValid(view), "view", violations);
}

void check_range(const pb::TimeRange& range, const std::string& field,
                 errors::Violations& violations) {
  if (range.has_start_time()) check_time(range.start_time(), field + ".start_time", violations);
  if (range.has_end_time()) check_time(range.end_time(), field + ".end_time", violations);
  const auto& start = range.start_time();
  const auto& end = range.end_time();
  if (range.has_start_time() && range.has_end_time() &&
      std::pair(end.seconds(), end.nanos()) <= std::pair(start.seconds(), start.nanos())) {
    violations.add(field + ".end_time", "must be after start_time");
  }
}

void check_filter(const pb::OrderFilter& filter, errors::Violations& violations) {
  check_ids(filter.state_ids(), kMaxConditions, "filter.state_ids", violations);
  check_text(filter.customer_email(), 0, 254, "filter.customer_email", violations);
  check_range(filter.order_time(), "filter.order_time", violations);
  check_range(filter.create_time(), "filter.create_time", violations);
  check_range(filter.update_time(), "filter.update_time", violations);
  check_number(filter.invoice_number(), 0, 64, "filter.invoice_number", violations);
  check_number(filter.order_number(), 0, 64, "filter.order_number", violations);
  if (filter.payment_statuses_size() > kMaxConditions) {
    violations.add("filter.payment_statuses",
                   fmt::format("must be at most {} statuses, not {}", kMaxConditions,
                               filter.payment_statuses_size()));
  } else {
    for (int i = 0; i < filter.payment_statuses_size(); ++i) {
      const int status = filter.payment_statuses(i);
      check_enum(pb::PaymentStatus_IsValid(status) && status != pb::PAYMENT_STATUS_UNSPECIFIED,
                 fmt::format("filter.payment_statuses[{}]", i), violations);
    }
  }
  if (filter.has_label()) {
    check_label_key(filter.label().key(), "filter.label.key", violations);
    check_label_value(filter.label().value(), "filter.label.value", violations);
  }
  check_number(filter.tracking_number(), 0, 128, "filter.tracking_number", violations);
  check_text(filter.shipment_method_id(), 0, 64, "filter.shipment_method_id", violations);
  check_ids(filter.delivery_state_ids(), kMaxConditions, "filter.delivery_state_ids", violations);
  if (filter.has_authorization_expires_before()) {
    check_time(filter.authorization_expires_before(), "filter.authorization_expires_before",
               violations);
  }
}

}  // namespace

absl::Status validate(const pb::GetOrderRequest& request) {
  errors::Violations violations;
  check_id(request.order_id(), "order_id", violations);
  check_view(request.view(), violations);
  return violations.status();
}

absl::Status validate(const pb::BatchGetOrdersRequest& request) {
  errors::Violations violations;
  const int count = request.order_ids_size();
  if (count < 1 || count > kMaxOrders) {
    violations.add("order_ids", fmt::format("must be 1 to {} ids, not {}", kMaxOrders, count));
  } else {
    for (int i = 0; i < count; ++i) {
      check_id(request.order_ids(i), fmt::format("order_ids[{}]", i), violations);
    }
  }
  check_view(request.view(), violations);
  return violations.status();
}

absl::Status validate(const pb::ListOrdersRequest& request) {
  errors::Violations violations;
  check_page_size(request.page_size(), violations);
  const auto& filter = request.filter();
  check_filter(filter, violations);
  check_enum(pb::OrderSort_IsValid(request.sort()), "sort", violations);
  if (request.sort() == pb::ORDER_SORT_TOTAL && filter.customer_email().empty() &&
      filter.invoice_number().empty() && filter.order_number().empty() &&
      filter.tracking_number().empty()) {
    violations.add("sort",
                   "by total needs customer_email, invoice_number, order_number or tracking_number "
                   "in the filter");
  }
  check_enum(pb::SortDirection_IsValid(request.direction()), "direction", violations);
  check_view(request.view(), violations);
  return violations.status();
}

absl::Status validate(const pb::ListNotesRequest& request) {
  errors::Violations violations;
  check_id(request.order_id(), "order_id", violations);
  check_page_size(request.page_size(), violations);
  return violations.status();
}

}  // namespace orderd::rules
