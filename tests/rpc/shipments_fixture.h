#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/rpc/rpc_fixture.h"

// What the tests of shipments share.

namespace orderd::test {

inline pb::LineSelection all_lines() {
  pb::LineSelection selection;
  selection.set_all(true);
  return selection;
}

inline pb::LineSelection items(const std::vector<std::string>& ids) {
  pb::LineSelection selection;
  for (const auto& id : ids) selection.add_lines()->set_item_id(id);
  return selection;
}

inline pb::LineSelection line(const std::string& id, std::optional<std::int64_t> quantity = {}) {
  pb::LineSelection selection;
  auto& selector = *selection.add_lines();
  selector.set_line_id(id);
  if (quantity) selector.set_quantity(*quantity);
  return selection;
}

inline pb::LineSelection pieces(const std::string& item_id, std::int64_t quantity) {
  pb::LineSelection selection;
  auto& selector = *selection.add_lines();
  selector.set_item_id(item_id);
  selector.set_quantity(quantity);
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

inline pb::ShipmentChange set_tracking(const std::string& shipment_id,
                                       const std::vector<std::string>& numbers) {
  pb::ShipmentChange change;
  auto& set = *change.mutable_set_tracking_numbers();
  set.set_shipment_id(shipment_id);
  for (const auto& number : numbers) set.add_tracking_numbers(number);
  return change;
}

inline pb::ShipmentChange set_state(const pb::LineSelection& selection, const std::string& state,
                                    std::optional<std::int64_t> seconds = {}) {
  pb::ShipmentChange change;
  auto& set = *change.mutable_set_delivery_state();
  *set.mutable_selection() = selection;
  set.set_delivery_state_id(state);
  if (seconds) set.mutable_delivery_state_time()->set_seconds(*seconds);
  return change;
}

inline pb::UpdateShipmentsRequest ship(const std::string& order_id,
                                       const std::vector<pb::ShipmentChange>& changes) {
  pb::UpdateShipmentsRequest request;
  request.set_order_id(order_id);
  for (const auto& change : changes) *request.add_changes() = change;
  return request;
}

/// An order of items "1", "2", … of these quantities.
inline pb::NewOrder order_of(const std::vector<std::int64_t>& quantities) {
  pb::NewOrder order = new_order();
  pb::Item item = order.items(0);
  order.clear_items();
  for (const auto quantity : quantities) {
    item.set_quantity(quantity);
    *order.add_items() = item;
  }
  return order;
}

/// The shipment with a line of the item; the first one, if there are several.
inline const pb::Shipment& shipment_of(const pb::Order& order, const std::string& item_id) {
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) {
      if (line.item_id() == item_id) return shipment;
    }
  }
  ADD_FAILURE() << "no line of item " << item_id;
  return pb::Shipment::default_instance();
}

inline std::vector<pb::ShipmentLine> lines_of(const pb::Order& order, const std::string& item_id) {
  std::vector<pb::ShipmentLine> lines;
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) {
      if (line.item_id() == item_id) lines.push_back(line);
    }
  }
  return lines;
}

inline pb::AvailableAction shipment_action(const pb::Order& order) {
  for (const auto& action : order.available_actions()) {
    if (action.kind() == pb::ACTION_KIND_UPDATE_SHIPMENTS) return action;
  }
  ADD_FAILURE() << "the order does not say whether its shipments can be changed";
  return {};
}

/// What holds for every order: each piece is in one line, no shipment is empty, no tracking number
/// occurs twice.
inline void expect_whole(const pb::Order& order) {
  std::map<std::string, std::int64_t> missing;
  for (const auto& item : order.items()) missing[item.item_id()] = item.quantity();
  std::set<std::string> numbers;
  for (const auto& shipment : order.shipments()) {
    EXPECT_GT(shipment.lines_size(), 0);
    for (const auto& tracking : shipment.tracking_numbers()) {
      EXPECT_TRUE(numbers.insert(tracking.number()).second) << tracking.number();
    }
    for (const auto& line : shipment.lines()) {
      EXPECT_GT(line.quantity(), 0);
      missing[line.item_id()] -= line.quantity();
    }
  }
  for (const auto& [item_id, quantity] : missing) EXPECT_EQ(quantity, 0) << "of item " << item_id;
}

/// Besides "standard" there are "express" and "courier", which have tracking URLs, "pickup", and
/// "old", which is disabled.
class ShipmentsRpcTest : public RpcTest {
 protected:
  void SetUp() override {
    RpcTest::SetUp();
    add_method("express", "https://express.example/t/{tracking_number}?lang=en");
    add_method("courier", "http://courier.example/?n={tracking_number}");
    add_method("pickup");
    add_method("old", "", false);
  }

  pb::CreateShipmentMethodRequest new_method(const std::string& id, const std::string& url = "",
                                             bool enabled = true) {
    pb::CreateShipmentMethodRequest request;
    auto& method = *request.mutable_method();
    method.set_method_id(id);
    method.set_display_name("Method " + id);
    method.set_tracking_url_template(url);
    method.set_enabled(enabled);
    method.set_position(20);
    return request;
  }
  void add_method(const std::string& id, const std::string& url = "", bool enabled = true) {
    EXPECT_TRUE(call(&States::CreateShipmentMethod, new_method(id, url, enabled)).changed());
  }

  /// Makes changes that must be one new version of the order and its shipments.
  pb::UpdateShipmentsResponse change(const pb::UpdateShipmentsRequest& request) {
    const std::string before = get(request.order_id()).etag();
    const auto answer = call(&Orders::UpdateShipments, request);
    EXPECT_TRUE(answer.changed());
    EXPECT_FALSE(answer.replayed());
    EXPECT_EQ(std::stoll(answer.etag()), std::stoll(before) + 1);
    EXPECT_EQ(answer.order().etag(), answer.etag());
    EXPECT_EQ(answer.results_size(), request.changes_size());
    EXPECT_EQ(answer.order().ShortDebugString(), get(request.order_id()).ShortDebugString());
    expect_whole(answer.order());
    return answer;
  }
  pb::UpdateShipmentsResponse change(const std::string& order_id,
                                     const std::vector<pb::ShipmentChange>& changes) {
    return change(ship(order_id, changes));
  }

  /// Makes changes that must find that they hold already.
  pb::UpdateShipmentsResponse no_change(const std::string& order_id,
                                        const std::vector<pb::ShipmentChange>& changes) {
    const std::string before = get(order_id).ShortDebugString();
    const auto answer = call(&Orders::UpdateShipments, ship(order_id, changes));
    EXPECT_FALSE(answer.changed());
    EXPECT_EQ(answer.results_size(), static_cast<int>(changes.size()));
    EXPECT_EQ(answer.order().ShortDebugString(), before);
    EXPECT_EQ(get(order_id).ShortDebugString(), before);
    return answer;
  }

  Failure refused(const std::string& order_id, const std::vector<pb::ShipmentChange>& changes) {
    return refused(ship(order_id, changes));
  }
  /// Asks for changes that must be refused, and leave no trace.
  Failure refused(const pb::UpdateShipmentsRequest& request) {
    const std::string before = content();
    const Failure failure = refusal(&Orders::UpdateShipments, request);
    EXPECT_NE(failure.code, grpc::StatusCode::OK) << request.ShortDebugString();
    EXPECT_FALSE(failure.message.empty());
    EXPECT_EQ(content(), before) << "something was written";
    return failure;
  }
};

}  // namespace orderd::test
