#include <unordered_map>

#include <fmt/format.h>

#include "server/orders/fields.h"
#include "server/orders/shipments.h"
#include "server/orders/text.h"

// What can be said about UpdateShipments without the order.

namespace orderd::rules {
namespace {

constexpr int kMaxChanges = 1000;
constexpr int kMaxSelectors = 1000;

void check_selector(const pb::LineSelector& selector, const std::string& field,
                    errors::Violations& violations) {
  if (selector.line_id().empty() == selector.item_id().empty()) {
    violations.add(field, "must have exactly one of line_id and item_id");
  }
  check_text(selector.line_id(), 0, 64, field + ".line_id", violations);
  check_text(selector.item_id(), 0, 64, field + ".item_id", violations);
  if (selector.has_quantity() && selector.quantity() < 1) {
    violations.add(field + ".quantity", "must be at least 1, or absent");
  }
}

void check_selection(const pb::LineSelection& selection, const std::string& field,
                     errors::Violations& violations) {
  const int count = selection.lines_size();
  if (selection.all() == (count > 0)) {
    violations.add(field, count > 0 ? "must not have both all and lines"
                                    : "must have all, or at least one of lines");
  }
  if (count > kMaxSelectors) {
    violations.add(field + ".lines",
                   fmt::format("must be at most {} lines, not {}", kMaxSelectors, count));
    return;
  }
  std::unordered_map<std::string, int> selected;
  for (int i = 0; i < count; ++i) {
    const auto& selector = selection.lines(i);
    const std::string path = fmt::format("{}.lines[{}]", field, i);
    check_selector(selector, path, violations);
    for (const auto* id : {&selector.line_id(), &selector.item_id()}) {
      if (id->empty()) continue;
      const char* name = id == &selector.line_id() ? "line_id" : "item_id";
      const auto [first, is_new] = selected.emplace(fmt::format("{} {}", name, *id), i);
      if (!is_new) {
        violations.add(fmt::format("{}.{}", path, name),
                       fmt::format("must differ from that of lines[{}]", first->second));
      }
    }
  }
}

/// `refs`: the client_refs so far, and the changes that have them.
void check_set_method(const pb::SetShipmentMethod& change, int index, const std::string& field,
                      std::unordered_map<std::string, int>& refs, errors::Violations& violations) {
  check_selection(change.selection(), field + ".selection", violations);
  check_id(change.method_id(), field + ".method_id", violations);
  check_text(change.into_shipment_id(), 0, 64, field + ".into_shipment_id", violations);
  check_text(change.client_ref(), 0, 64, field + ".client_ref", violations);
  if (change.client_ref().empty()) return;
  const auto [first, is_new] = refs.emplace(change.client_ref(), index);
  if (!is_new) {
    violations.add(field + ".client_ref",
                   fmt::format("must differ from that of changes[{}]", first->second));
  }
}

}  // namespace

absl::Status validate(const pb::UpdateShipmentsRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  const int count = request.changes_size();
  if (count < 1 || count > kMaxChanges) {
    violations.add("changes", fmt::format("must be 1 to {} changes, not {}", kMaxChanges, count));
    return violations.status();
  }
  std::unordered_map<std::string, int> refs;
  for (int i = 0; i < count; ++i) {
    const auto& change = request.changes(i);
    const std::string field = fmt::format("changes[{}]", i);
    switch (change.change_case()) {
      case pb::ShipmentChange::kSetMethod:
        check_set_method(change.set_method(), i, field + ".set_method", refs, violations);
        break;
      case pb::ShipmentChange::kSetTrackingNumbers: {
        const auto& set = change.set_tracking_numbers();
        const std::string path = field + ".set_tracking_numbers";
        std::unordered_map<std::string_view, std::string> numbers;
        check_id(set.shipment_id(), path + ".shipment_id", violations);
        check_tracking_numbers(set.tracking_numbers(), path + ".tracking_numbers", numbers,
                               violations);
        break;
      }
      case pb::ShipmentChange::kSetDeliveryState: {
        const auto& set = change.set_delivery_state();
        const std::string path = field + ".set_delivery_state";
        check_selection(set.selection(), path + ".selection", violations);
        check_id(set.delivery_state_id(), path + ".delivery_state_id", violations);
        if (set.has_delivery_state_time()) {
          check_time(set.delivery_state_time(), path + ".delivery_state_time", violations);
        }
        break;
      }
      case pb::ShipmentChange::CHANGE_NOT_SET:
        violations.add(field,
                       "must have one of set_method, set_tracking_numbers and set_delivery_state");
    }
  }
  return violations.status();
}

void check_tracking_numbers(const google::protobuf::RepeatedPtrField<std::string>& numbers,
                            const std::string& field,
                            std::unordered_map<std::string_view, std::string>& seen,
                            errors::Violations& violations) {
  if (numbers.size() > kMaxTrackingNumbers) {
    violations.add(field, fmt::format("must be at most {} tracking numbers, not {}",
                                      kMaxTrackingNumbers, numbers.size()));
    return;
  }
  for (int i = 0; i < numbers.size(); ++i) {
    const std::string path = fmt::format("{}[{}]", field, i);
    check_number(numbers[i], 1, 128, path, violations);
    const auto [first, is_new] = seen.emplace(trimmed(numbers[i]), path);
    if (!is_new && !first->first.empty()) {
      violations.add(path, fmt::format("must differ from {}", first->second));
    }
  }
}

}  // namespace orderd::rules
