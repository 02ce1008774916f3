#include "tests/rpc/shipments_fixture.h"

// What answers say about shipments: actions, tracking URLs, imported ones, lists by them.

namespace orderd::test {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testing::UnorderedElementsAreArray;

class ShipmentReadsTest : public ShipmentsRpcTest {};
ORDERD_ON_BOTH_DATABASES(ShipmentReadsTest);

TEST_P(ShipmentReadsTest, ActionsSayWhetherShipmentsCanBeChanged) {
  const std::string id = create(order_of({2, 1})).order_id();
  change(id, {set_state(items({"2"}), "shipped")});
  EXPECT_TRUE(shipment_action(get(id)).allowed());
  EXPECT_EQ(shipment_action(get(id)).reason(), "");
  const pb::Order held = move(id, "fraud").order();
  EXPECT_FALSE(shipment_action(held).allowed());
  EXPECT_EQ(shipment_action(held).reason(), "SHIPMENT_UPDATE_NOT_ALLOWED");
  EXPECT_EQ(refused(id, {set_state(all_lines(), "shipped")}).reason, "SHIPMENT_UPDATE_NOT_ALLOWED");
  // As the operator configures it.
  pb::UpdateOrderStateRequest allow;
  allow.mutable_state()->set_state_id("fraud");
  allow.mutable_state()->set_allows_shipment_update(true);
  allow.mutable_update_mask()->add_paths("allows_shipment_update");
  call(&States::UpdateOrderState, allow);
  EXPECT_TRUE(shipment_action(get(id)).allowed());
  change(id, {set_state(pieces("1", 1), "shipped")});
  // A cancellation takes the lines along that have not been shipped.
  const pb::Order canceled = move(id, "canceled").order();
  expect_whole(canceled);
  EXPECT_EQ(canceled.ShortDebugString(), get(id).ShortDebugString());
  std::vector<std::string> states;
  for (const auto& part : lines_of(canceled, "1")) states.push_back(part.delivery_state_id());
  EXPECT_THAT(states, UnorderedElementsAre("canceled", "shipped"));
  EXPECT_EQ(lines_of(canceled, "2")[0].delivery_state_id(), "shipped");
  EXPECT_EQ(shipment_action(canceled).reason(), "SHIPMENT_UPDATE_NOT_ALLOWED");
}

TEST_P(ShipmentReadsTest, EveryAnswerCarriesTheTrackingUrls) {
  pb::NewOrder order = order_of({1});
  order.mutable_items(0)->set_shipment_method_id("express");
  const std::string id = create(order).order_id();
  const std::string shipment = get(id).shipments(0).shipment_id();
  change(id, {set_state(all_lines(), "confirmed"), set_tracking(shipment, {"T-1"})});
  const std::string url = "https://express.example/t/T-1?lang=en";
  const auto expect_url = [&](const pb::Order& seen, const std::string& expected) {
    ASSERT_EQ(seen.shipments_size(), 1);
    ASSERT_EQ(seen.shipments(0).tracking_numbers_size(), 1);
    EXPECT_EQ(seen.shipments(0).tracking_numbers(0).url(), expected);
  };
  expect_url(get(id), url);
  pb::AddNoteRequest note;
  note.set_order_id(id);
  note.set_body("packed");
  expect_url(call(&Orders::AddNote, note).order(), url);
  pb::UpdateInvoiceRequest invoice;
  invoice.set_order_id(id);
  invoice.set_invoice_number("I-1");
  expect_url(call(&Orders::UpdateInvoice, invoice).order(), url);
  expect_url(call(&Orders::UpdateInvoice, invoice).order(), url);
  expect_url(move(id, "processing").order(), url);
  expect_url(no_change(id, {set_method(all_lines(), "express")}).order(), url);
  pb::BatchGetOrdersRequest batch;
  batch.add_order_ids(id);
  expect_url(call(&Orders::BatchGetOrders, batch).orders(0), url);
  pb::ListOrdersRequest list;
  list.set_view(pb::ORDER_VIEW_FULL);
  expect_url(call(&Orders::ListOrders, list).orders(0), url);
  // A summary leaves shipments out.
  batch.set_view(pb::ORDER_VIEW_SUMMARY);
  EXPECT_EQ(call(&Orders::BatchGetOrders, batch).orders(0).shipments_size(), 0);
  list.clear_view();
  EXPECT_EQ(call(&Orders::ListOrders, list).orders(0).shipments_size(), 0);
  pb::GetOrderRequest one;
  one.set_order_id(id);
  one.set_view(pb::ORDER_VIEW_SUMMARY);
  EXPECT_EQ(call(&Orders::GetOrder, one).order().shipments_size(), 0);
  // URLs are made when the order is read.
  const std::string etag = get(id).etag();
  pb::UpdateShipmentMethodRequest moved;
  moved.mutable_method()->set_method_id("express");
  moved.mutable_method()->set_tracking_url_template("https://new.example/{tracking_number}");
  moved.mutable_update_mask()->add_paths("tracking_url_template");
  moved.mutable_update_mask()->add_paths("enabled");
  call(&States::UpdateShipmentMethod, moved);
  expect_url(get(id), "https://new.example/T-1");
  EXPECT_EQ(get(id).etag(), etag);
}

TEST_P(ShipmentReadsTest, ImportsCarryShipments) {
  pb::ImportOrdersRequest request;
  *request.mutable_order() = order_of({3, 2});
  request.mutable_order()->set_order_number("N-1");
  request.set_state_id("completed");
  auto& parcel = *request.add_shipments();
  parcel.set_method_id("old");  // disabled, but history
  parcel.add_tracking_numbers(" T-1 ");
  for (const auto& [quantity, state, time] :
       {std::tuple(1, "delivered", 1'500'000'000), std::tuple(1, "returned", 1'400'000'000)}) {
    auto& line = *parcel.add_lines();
    line.set_item_id("1");
    line.set_quantity(quantity);
    line.set_delivery_state_id(state);
    line.mutable_delivery_state_time()->set_seconds(time);
  }
  const auto answers = import({request});
  ASSERT_EQ(answers.size(), 1u);
  ASSERT_EQ(answers[0].result(), pb::IMPORT_RESULT_CREATED) << answers[0].ShortDebugString();
  const pb::Order order = get(answers[0].order_id());
  expect_whole(order);
  ASSERT_EQ(order.shipments_size(), 2);
  EXPECT_EQ(order.shipments(0).method_id(), "old");
  EXPECT_EQ(order.shipments(0).tracking_numbers(0).number(), "T-1");
  EXPECT_EQ(order.shipments(0).lines_size(), 2);
  EXPECT_EQ(order.shipments(1).method_id(), "standard");
  EXPECT_EQ(import({request})[0].result(), pb::IMPORT_RESULT_UNCHANGED);

  auto wrong = request;
  wrong.mutable_order()->set_order_number("N-2");
  wrong.mutable_shipments(0)->mutable_lines(0)->set_delivery_state_id("no-such-state");
  wrong.mutable_shipments(0)->set_method_id("no-such-method");
  const auto refused = import({wrong});
  ASSERT_EQ(refused[0].result(), pb::IMPORT_RESULT_REFUSED);
  const Failure failure = failure_of(refused[0].error());
  EXPECT_EQ(failure.reason, "SHIPMENT_METHOD_UNKNOWN");
  EXPECT_THAT(failure.fields, UnorderedElementsAre("shipments[0].method_id",
                                                   "shipments[0].lines[0].delivery_state_id"));
}

TEST_P(ShipmentReadsTest, ListsByTrackingNumberMethodAndDeliveryState) {
  struct Expected {
    std::string id;
    std::string method;
    std::string state;
    bool shared;
  };
  const std::vector<std::string> methods = {"standard", "express", "courier"};
  const std::vector<std::string> states = {"pending", "confirmed", "shipped", "delivered"};
  std::vector<Expected> orders;
  for (std::size_t i = 0; i < 24; ++i) {
    pb::NewOrder order = order_of({2, 1});
    order.mutable_items(0)->set_shipment_method_id(methods[i % 3]);
    order.mutable_items(1)->set_shipment_method_id(methods[i % 3]);
    const pb::Order made = create(order);
    Expected expected{made.order_id(), methods[i % 3], states[i % 4], i % 2 == 1};
    std::vector<pb::ShipmentChange> changes;
    // The other piece of item 1, and item 2, stay pending.
    if (expected.state == "delivered") changes.push_back(set_state(pieces("1", 1), "shipped", 1));
    if (expected.state == "delivered") {
      changes.push_back(set_state(pieces("1", 1), expected.state, 2));
    } else if (expected.state != "pending") {
      changes.push_back(set_state(pieces("1", 1), expected.state));
    }
    if (expected.shared) {
      changes.push_back(
          set_tracking(made.shipments(0).shipment_id(), {"T-" + std::to_string(i), "SHARED"}));
    }
    if (!changes.empty()) change(made.order_id(), changes);
    orders.push_back(expected);
  }
  const auto listed = [&](const pb::OrderFilter& filter, int page_size,
                          pb::OrderSort sort = pb::ORDER_SORT_UNSPECIFIED) {
    pb::ListOrdersRequest request;
    *request.mutable_filter() = filter;
    request.set_page_size(page_size);
    request.set_sort(sort);
    std::vector<std::string> ids;
    do {
      const auto page = call(&Orders::ListOrders, request);
      EXPECT_LE(page.orders_size(), page_size);
      for (const auto& order : page.orders()) ids.push_back(order.order_id());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return ids;
  };
  const auto expect_listed = [&](const pb::OrderFilter& filter, const auto& matches) {
    SCOPED_TRACE(filter.ShortDebugString());
    std::vector<std::string> expected;
    for (const auto& order : orders) {
      if (matches(order)) expected.push_back(order.id);
    }
    EXPECT_FALSE(expected.empty());
    for (const auto sort : {pb::ORDER_SORT_CREATE_TIME, pb::ORDER_SORT_UPDATE_TIME}) {
      EXPECT_THAT(listed(filter, 5, sort), UnorderedElementsAreArray(expected));
      EXPECT_THAT(listed(filter, 1000, sort), UnorderedElementsAreArray(expected));
    }
  };
  pb::OrderFilter filter;
  filter.set_tracking_number(" SHARED\t");
  expect_listed(filter, [](const auto& order) { return order.shared; });
  EXPECT_EQ(listed(filter, 5, pb::ORDER_SORT_TOTAL).size(), 12u);
  filter.set_shipment_method_id("express");
  expect_listed(filter,
                [](const auto& order) { return order.shared && order.method == "express"; });
  filter.clear_tracking_number();
  expect_listed(filter, [](const auto& order) { return order.method == "express"; });
  filter.add_delivery_state_ids("shipped");
  filter.add_delivery_state_ids("delivered");
  filter.add_delivery_state_ids("no-such-state");
  expect_listed(filter, [](const auto& order) {
    return order.method == "express" && (order.state == "shipped" || order.state == "delivered");
  });
  filter.clear_shipment_method_id();
  filter.add_state_ids("new");
  expect_listed(filter, [](const auto& order) {
    return order.state == "shipped" || order.state == "delivered";
  });
  filter.Clear();
  filter.add_delivery_state_ids("pending");
  expect_listed(filter, [](const auto&) { return true; });
  filter.Clear();
  filter.set_tracking_number("T-3");
  expect_listed(filter, [&](const auto& order) { return order.id == orders[3].id; });
  for (const char* number : {"t-3", "T", "T-%", "T-99"}) {
    filter.set_tracking_number(number);
    EXPECT_THAT(listed(filter, 5), IsEmpty()) << number;
  }
  filter.Clear();
  filter.set_shipment_method_id("no-such-method");
  EXPECT_THAT(listed(filter, 5), IsEmpty());

  // A token is bound to its filter.
  pb::ListOrdersRequest request;
  request.set_page_size(2);
  request.mutable_filter()->set_tracking_number("SHARED");
  request.set_page_token(call(&Orders::ListOrders, request).next_page_token());
  ASSERT_FALSE(request.page_token().empty());
  request.mutable_filter()->set_tracking_number("T-3");
  EXPECT_EQ(refusal(&Orders::ListOrders, request).reason, "PAGE_TOKEN_INVALID");
  request.clear_page_token();
  request.mutable_filter()->set_tracking_number(repeat("x", 129));
  request.mutable_filter()->set_shipment_method_id(repeat("x", 65));
  for (int i = 0; i < 101; ++i) request.mutable_filter()->add_delivery_state_ids("shipped");
  EXPECT_THAT(refusal(&Orders::ListOrders, request).fields,
              UnorderedElementsAre("filter.tracking_number", "filter.shipment_method_id",
                                   "filter.delivery_state_ids"));
}

}  // namespace
}  // namespace orderd::test
