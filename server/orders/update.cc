#include "server/orders/update.h"

#include <map>

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include "server/orders/fields.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

using google::protobuf::util::MessageDifferencer;

/// Copies what one path of the mask names.
using CopyField = void (*)(const pb::UpdateOrderRequest& request, pb::Order& order);

#define COPY_MESSAGE(message)                                                          \
  {                                                                                    \
#message, [](const pb::UpdateOrderRequest& request,                                \
                 pb::Order& order) { *order.mutable_##message() = request.message(); } \
  }
#define COPY_FIELD(message, field)                                                           \
  {                                                                                          \
#message "." #field,                                                                     \
        [](const pb::UpdateOrderRequest& request,                                            \
           pb::Order&                                                                        \
               order) { order.mutable_##message()->set_##field(request.message().field()); } \
  }
#define COPY_ADDRESS(address)                                                            \
  COPY_MESSAGE(address), COPY_FIELD(address, name), COPY_FIELD(address, company),        \
      COPY_FIELD(address, line1), COPY_FIELD(address, line2), COPY_FIELD(address, city), \
      COPY_FIELD(address, region), COPY_FIELD(address, postal_code),                     \
      COPY_FIELD(address, country_code), COPY_FIELD(address, phone)

const std::map<std::string_view, CopyField>& copies() {
  static const std::map<std::string_view, CopyField> kCopies = {
      COPY_MESSAGE(customer),         COPY_FIELD(customer, customer_id),
      COPY_FIELD(customer, name),     COPY_FIELD(customer, email),
      COPY_FIELD(customer, phone),    COPY_ADDRESS(billing_address),
      COPY_ADDRESS(shipping_address), COPY_MESSAGE(labels),
  };
  return kCopies;
}

#undef COPY_MESSAGE
#undef COPY_FIELD
#undef COPY_ADDRESS

/// A part without content is absent, so that there is one form of it.
void drop_empty_parts(pb::Order& order) {
  if (order.customer().ByteSizeLong() == 0) order.clear_customer();
  if (order.billing_address().ByteSizeLong() == 0) order.clear_billing_address();
  if (order.shipping_address().ByteSizeLong() == 0) order.clear_shipping_address();
}

pb::OrderDetails details(const pb::Order& order) {
  pb::OrderDetails details;
  if (order.has_customer()) *details.mutable_customer() = order.customer();
  if (order.has_billing_address()) *details.mutable_billing_address() = order.billing_address();
  if (order.has_shipping_address()) *details.mutable_shipping_address() = order.shipping_address();
  *details.mutable_labels() = order.labels();
  return details;
}

bool same_labels(const Labels& a, const Labels& b) {
  return std::map<std::string_view, std::string_view>(a.begin(), a.end()) ==
         std::map<std::string_view, std::string_view>(b.begin(), b.end());
}

}  // namespace

absl::Status validate(const pb::UpdateOrderRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  check_id(request.order_id(), "order_id", violations);
  check_etag(request.etag(), "etag", violations);
  check_customer(request.customer(), "customer", violations);
  check_address(request.billing_address(), "billing_address", violations);
  check_address(request.shipping_address(), "shipping_address", violations);
  check_labels(request.labels(), "labels", violations);
  if (request.update_mask().paths().empty()) {
    violations.add("update_mask", "must name at least one field");
  }
  for (int i = 0; i < request.update_mask().paths_size(); ++i) {
    const auto& path = request.update_mask().paths(i);
    if (!copies().contains(path)) {
      violations.add(fmt::format("update_mask.paths[{}]", i),
                     fmt::format("\"{}\" is not a field that can be changed", shown(path)));
    }
  }
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
  return violations.status();
}

Result update_order(const pb::UpdateOrderRequest& request, const Target& target, const Context&) {
  const pb::Order& before = *target.order;
  pb::Order after = before;
  for (const auto& path : request.update_mask().paths()) {
    if (auto copy = copies().find(path); copy != copies().end()) copy->second(request, after);
  }
  drop_empty_parts(after);

  Change change;
  change.customer_changed =
      !MessageDifferencer::Equals(before.customer(), after.customer()) ||
      !MessageDifferencer::Equals(before.billing_address(), after.billing_address()) ||
      !MessageDifferencer::Equals(before.shipping_address(), after.shipping_address());
  change.labels_changed = !same_labels(before.labels(), after.labels());
  if (!change.customer_changed && !change.labels_changed) return change;

  auto& event = *change.events.emplace_back().mutable_order_updated();
  *event.mutable_before() = details(before);
  *event.mutable_after() = details(after);
  event.set_reason(request.reason());
  change.after = std::move(after);
  return change;
}

}  // namespace orderd::rules
