#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/orders/shipments.h"
#include "tests/unit/rules_fixture.h"

// What the tests of shipments share.

namespace orderd::rules {

/// Later than the ids of `add_shipment` and `add_line` in these tests ("S1", "L1").
inline Uuid new_ids(int request = 0) {
  Uuid ids;
  ids.bytes[0] = 0xf0;
  ids.bytes[5] = static_cast<std::uint8_t>(request);
  return ids;
}

inline pb::LineSelection all() {
  pb::LineSelection selection;
  selection.set_all(true);
  return selection;
}

inline pb::LineSelector line(const std::string& id, std::optional<std::int64_t> quantity = {}) {
  pb::LineSelector selector;
  selector.set_line_id(id);
  if (quantity) selector.set_quantity(*quantity);
  return selector;
}

inline pb::LineSelector item(const std::string& id, std::optional<std::int64_t> quantity = {}) {
  pb::LineSelector selector;
  selector.set_item_id(id);
  if (quantity) selector.set_quantity(*quantity);
  return selector;
}

inline pb::LineSelection lines(const std::vector<pb::LineSelector>& selectors) {
  pb::LineSelection selection;
  for (const auto& selector : selectors) *selection.add_lines() = selector;
  return selection;
}

inline pb::ShipmentChange set_method(const pb::LineSelection& selection, const std::string& method,
                                     const std::string& into = "", const std::string& ref = "") {
  pb::ShipmentChange change;
  auto& set = *change.mutable_set_method();
  *set.mutable_selection() = selection;
  set.set_method_id(method);
  set.set_into_shipment_id(into);
  set.set_client_ref(ref);
  return change;
}

inline pb::ShipmentChange set_tracking(const std::string& shipment,
                                       const std::vector<std::string>& numbers) {
  pb::ShipmentChange change;
  auto& set = *change.mutable_set_tracking_numbers();
  set.set_shipment_id(shipment);
  for (const auto& number : numbers) set.add_tracking_numbers(number);
  return change;
}

inline pb::ShipmentChange set_state(const pb::LineSelection& selection, const std::string& state,
                                    std::optional<Micros> time = {}) {
  pb::ShipmentChange change;
  auto& set = *change.mutable_set_delivery_state();
  *set.mutable_selection() = selection;
  set.set_delivery_state_id(state);
  if (time) *set.mutable_delivery_state_time() = to_timestamp(*time);
  return change;
}

inline pb::UpdateShipmentsRequest request_of(const std::vector<pb::ShipmentChange>& changes) {
  pb::UpdateShipmentsRequest request;
  request.set_request_id(kUuid);
  request.set_order_id(uuid(1).to_string());
  for (const auto& change : changes) *request.add_changes() = change;
  return request;
}

/// The shipments of an order, one text each: "S1 standard T-1,T-2: L1=a*5 pending". Ids that
/// `before` does not have are shown as "+", times only where they are not kNow, as the seconds
/// after it.
inline std::vector<std::string> shown_shipments(const pb::Order& order, const pb::Order& before) {
  std::set<std::string> known;
  for (const auto& shipment : before.shipments()) {
    known.insert(shipment.shipment_id());
    for (const auto& line : shipment.lines()) known.insert(line.line_id());
  }
  const auto id = [&](const std::string& text) { return known.contains(text) ? text : "+"; };
  std::vector<std::string> shown;
  for (const auto& shipment : order.shipments()) {
    std::string text = id(shipment.shipment_id()) + " " + shipment.method_id();
    std::string separator = " ";
    for (const auto& number : shipment.tracking_numbers()) {
      text += std::exchange(separator, ",") + number.number();
    }
    separator = ": ";
    for (const auto& line : shipment.lines()) {
      text += std::exchange(separator, ", ") + id(line.line_id()) + "=" + line.item_id() + "*" +
              std::to_string(line.quantity()) + " " + line.delivery_state_id();
      const auto time = to_micros(line.delivery_state_time());
      if (time != kNow) text += " " + std::to_string((time - kNow) / 1'000'000);
    }
    shown.push_back(std::move(text));
  }
  return shown;
}

/// An order in state New with a shipment of five pieces of a and three of b, and one with two of c.
class ShipmentsTest : public RulesTest {
 protected:
  ShipmentsTest() {
    add_item(order_, "a", 5);
    add_item(order_, "b", 3);
    add_item(order_, "c", 2);
    auto& first = add_shipment(order_, "S1", "standard");
    add_line(first, "L1", "a", 5, "pending");
    add_line(first, "L2", "b", 3, "pending");
    add_line(add_shipment(order_, "S2", "pickup"), "L3", "c", 2, "pending");
  }

  pb::ShipmentLine& line_at(int shipment, int number) {
    return *order_.mutable_shipments(shipment)->mutable_lines(number);
  }

  Result update(const std::vector<pb::ShipmentChange>& changes) {
    EXPECT_EQ(broken_shipments(order_), "");
    const auto request = request_of(changes);
    const auto valid = validate(request);
    EXPECT_TRUE(valid.ok()) << valid.message();
    const auto ids = new_ids(++requests_);
    auto result = run([&](const Target& target, const Context& context) {
      return update_shipments(request, ids, target, context);
    });
    if (!result.ok()) return result;
    EXPECT_EQ(result->outcome.shipment_results_size(), static_cast<int>(changes.size()));
    EXPECT_EQ(result->after.has_value(), result->shipments_changed);
    EXPECT_EQ(result->after.has_value(), !result->events.empty());
    if (result->after) {
      EXPECT_EQ(broken_shipments(*result->after), "");
      auto others = *result->after;
      *others.mutable_shipments() = order_.shipments();
      EXPECT_EQ(others.SerializeAsString(), order_.SerializeAsString()) << "more than shipments";
    }
    return result;
  }

  ::testing::AssertionResult changes(const std::vector<pb::ShipmentChange>& list) {
    const auto result = update(list);
    if (!result.ok()) return ::testing::AssertionFailure() << result.status().message();
    if (!result->after) return ::testing::AssertionFailure() << "no change";
    return ::testing::AssertionSuccess();
  }

  ::testing::AssertionResult changes_nothing(const std::vector<pb::ShipmentChange>& list) {
    const auto result = update(list);
    if (!result.ok()) return ::testing::AssertionFailure() << result.status().message();
    if (result->after) return ::testing::AssertionFailure() << "a change";
    return ::testing::AssertionSuccess();
  }

  /// What the shipments are after these changes.
  std::vector<std::string> after(const std::vector<pb::ShipmentChange>& changes) {
    const auto result = update(changes);
    if (!result.ok()) return {std::string(result.status().message())};
    return shown_shipments(result->after ? *result->after : order_, order_);
  }

  /// Makes the changes.
  void make(const std::vector<pb::ShipmentChange>& changes) {
    const auto result = update(changes);
    ASSERT_TRUE(result.ok()) << result.status().message();
    ASSERT_TRUE(result->after) << "no change";
    order_ = *result->after;
  }

  std::vector<std::string> shown() { return shown_shipments(order_, order_); }

 private:
  int requests_ = 0;
};

}  // namespace orderd::rules
