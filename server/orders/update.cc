#include "server/orders/update.h"

#include <fmt/format.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "server/orders/delivery_states.h"
#include "server/orders/fields.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

using google::protobuf::util::FieldMaskUtil;
using google::protobuf::util::MessageDifferencer;

/// What the mask can name is exactly what OrderDetails has.
bool is_changeable(const std::string& path) {
  // FieldMaskUtil overlooks empty parts.
  const bool has_empty_part =
      path.empty() || path.front() == '.' || path.back() == '.' || path.find("..") != path.npos;
  return !has_empty_part && FieldMaskUtil::IsValidPath<pb::OrderDetails>(path);
}

/// A part without content is absent, so that there is one form of it.
template <class Parts>
pb::OrderDetails details(const Parts& parts) {
  pb::OrderDetails details;
  if (parts.customer().ByteSizeLong() > 0) *details.mutable_customer() = parts.customer();
  if (parts.billing_address().ByteSizeLong() > 0) {
    *details.mutable_billing_address() = parts.billing_address();
  }
  if (parts.shipping_address().ByteSizeLong() > 0) {
    *details.mutable_shipping_address() = parts.shipping_address();
  }
  *details.mutable_labels() = parts.labels();
  return details;
}

void set_details(pb::Order& order, const pb::OrderDetails& details) {
  order.clear_customer();
  order.clear_billing_address();
  order.clear_shipping_address();
  if (details.has_customer()) *order.mutable_customer() = details.customer();
  if (details.has_billing_address()) *order.mutable_billing_address() = details.billing_address();
  if (details.has_shipping_address()) {
    *order.mutable_shipping_address() = details.shipping_address();
  }
  *order.mutable_labels() = details.labels();
}

bool addresses_differ(const pb::OrderDetails& a, const pb::OrderDetails& b) {
  return !MessageDifferencer::Equals(a.billing_address(), b.billing_address()) ||
         !MessageDifferencer::Equals(a.shipping_address(), b.shipping_address());
}

/// Whether any piece is, or has been, on its way.
bool is_partly_shipped(const pb::Order& order, const Settings& settings) {
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) {
      const auto category = delivery_category(line.delivery_state_id(), settings);
      if (category == pb::DELIVERY_CATEGORY_SHIPPED ||
          category == pb::DELIVERY_CATEGORY_DELIVERED ||
          category == pb::DELIVERY_CATEGORY_RETURNED) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

absl::Status validate(const pb::UpdateOrderRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_customer(request.customer(), "customer", violations);
  check_address(request.billing_address(), "billing_address", violations);
  check_address(request.shipping_address(), "shipping_address", violations);
  check_labels(request.labels(), "labels", violations);
  if (request.update_mask().paths().empty()) {
    violations.add("update_mask", "must name at least one field");
  }
  for (int i = 0; i < request.update_mask().paths_size(); ++i) {
    const auto& path = request.update_mask().paths(i);
    if (!is_changeable(path)) {
      violations.add(fmt::format("update_mask.paths[{}]", i),
                     fmt::format("\"{}\" is not a field that can be changed", shown(path)));
    }
  }
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
  return violations.status();
}

Result update_order(const pb::UpdateOrderRequest& request, const Target& target,
                    const Context& context) {
  const pb::OrderDetails before = details(*target.order);
  pb::OrderDetails after = before;
  FieldMaskUtil::MergeOptions replace;
  replace.set_replace_message_fields(true);
  replace.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(details(request), request.update_mask(), replace, &after);
  after = details(after);

  Change change;
  change.customer_changed = !MessageDifferencer::Equals(before.customer(), after.customer()) ||
                            addresses_differ(before, after);
  change.labels_changed = !same_labels(before.labels(), after.labels());
  if (!change.customer_changed && !change.labels_changed) return change;
  // Whoever still has the data must not bring it back without knowing.
  if (change.customer_changed && target.order->has_customer_erase_time()) {
    return errors::customer_erased();
  }
  if (addresses_differ(before, after) && trimmed(request.reason()).empty() &&
      is_partly_shipped(*target.order, *context.settings)) {
    return errors::address_change_needs_reason();
  }

  set_details(change.after.emplace(*target.order), after);
  auto& event = *change.events.emplace_back().mutable_order_updated();
  *event.mutable_before() = before;
  *event.mutable_after() = after;
  event.set_reason(request.reason());
  return change;
}

}  // namespace orderd::rules
