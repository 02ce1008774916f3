#include "server/orders/create.h"
#include "server/orders/import.h"
#include "server/orders/status.h"
#include "server/orders/update.h"
#include "tests/support/any_gateway.h"
#include "tests/unit/shipments_fixture.h"

// What other calls do to shipments: creation, import, cancellation, a change of address.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using namespace std::string_literals;

void add_new_item(pb::NewOrder& order, const std::string& id, std::int64_t quantity,
                  const std::string& method = "") {
  auto& item = *order.add_items();
  item.set_item_id(id);
  item.set_sku("sku");
  item.set_quantity(quantity);
  *item.mutable_unit_price() = make_money("EUR", 100);
  item.set_shipment_method_id(method);
}

/// The shipments of an order that did not exist before.
std::vector<std::string> new_shipments(const Result& result) {
  if (!result.ok()) return {errors::reason(result.status())};
  EXPECT_EQ(broken_shipments(*result->after), "");
  return shown_shipments(*result->after, pb::Order());
}

class CreateWithShipments : public RulesTest {
 protected:
  Result create() {
    const auto valid = validate(request_);
    EXPECT_TRUE(valid.ok()) << valid.message();
    return create_order(request_, new_ids(), "A-1", AnyGateway(), holding({std::nullopt}),
                        context());
  }
  pb::NewOrder& order() { return *request_.mutable_order(); }

  pb::CreateOrderRequest request_;
};

TEST_F(CreateWithShipments, ItemsAreGroupedByTheirMethods) {
  add_new_item(order(), "a", 5, "express");
  add_new_item(order(), "b", 3);
  add_new_item(order(), "c", 2, "express");
  add_new_item(order(), "d", 1, "standard");
  add_new_item(order(), "e", 1, "pickup");
  const auto result = create();
  // The first enabled method by position is the default.
  EXPECT_THAT(new_shipments(result),
              ElementsAre("+ express: +=a*5 pending, +=c*2 pending",
                          "+ standard: +=b*3 pending, +=d*1 pending", "+ pickup: +=e*1 pending"));
  // The order's id is not among those of its parts, and they come in order.
  std::vector<std::string> ids{result->after->order_id()};
  for (const auto& shipment : result->after->shipments()) ids.push_back(shipment.shipment_id());
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 4u);
}

TEST_F(CreateWithShipments, EachItemIsALineOfItsOwn) {
  add_new_item(order(), "", 1);
  add_new_item(order(), "", 1);
  EXPECT_THAT(new_shipments(create()), ElementsAre("+ standard: +=1*1 pending, +=2*1 pending"));
}

TEST_F(CreateWithShipments, NoItemsNoShipments) {
  order();
  EXPECT_THAT(new_shipments(create()), IsEmpty());
}

TEST_F(CreateWithShipments, WithoutAnyMethodOrState) {
  add_new_item(order(), "a", 1);
  for (auto& [id, method] : settings_.methods) method.set_enabled(false);
  EXPECT_THAT(new_shipments(create()), ElementsAre("+ : +=a*1 pending"));
  settings_.delivery_states.at("pending").set_initial(false);
  settings_.delivery_states.at("confirmed").set_initial(true);
  settings_.methods.at("old").set_enabled(true);
  EXPECT_THAT(new_shipments(create()), ElementsAre("+ old: +=a*1 confirmed"));
}

TEST_F(CreateWithShipments, MethodsMustBeEnabled) {
  add_new_item(order(), "a", 1, "express");
  add_new_item(order(), "b", 1, "old");
  add_new_item(order(), "c", 1, "raven");
  const auto refused = create();
  EXPECT_REFUSED(refused, "SHIPMENT_METHOD_DISABLED");
  EXPECT_THAT(fields_of(refused.status()), ElementsAre("order.items[1].shipment_method_id",
                                                       "order.items[2].shipment_method_id"));
  *settings_.methods.at("express").mutable_delete_time() = to_timestamp(kNow);
  EXPECT_REFUSED(create(), "SHIPMENT_METHOD_UNKNOWN");
}

class ImportWithShipments : public RulesTest {
 protected:
  ImportWithShipments() {
    auto& order = *request_.mutable_order();
    order.set_order_number("H-1");
    add_new_item(order, "a", 5);
    add_new_item(order, "b", 3, "express");
    request_.set_state_id("completed");
  }

  pb::ImportedShipment& ship(const std::string& method,
                             const std::vector<std::string>& numbers = {}) {
    auto& shipment = *request_.add_shipments();
    shipment.set_method_id(method);
    for (const auto& number : numbers) shipment.add_tracking_numbers(number);
    return shipment;
  }
  static void add(pb::ImportedShipment& shipment, const std::string& item, std::int64_t quantity,
                  const std::string& state, std::optional<Micros> time = {}) {
    auto& line = *shipment.add_lines();
    line.set_item_id(item);
    line.set_quantity(quantity);
    line.set_delivery_state_id(state);
    if (time) *line.mutable_delivery_state_time() = to_timestamp(*time);
  }
  Result import() {
    const auto valid = validate(request_);
    EXPECT_TRUE(valid.ok()) << valid.message();
    Target target;
    target.holders.resize(import_claims(request_).size());
    const std::vector<Uuid> ids(import_ids(request_), new_ids());
    return import_order(request_, "digest", ids, target, context());
  }

  pb::ImportOrdersRequest request_;
};

TEST_F(ImportWithShipments, TakesHistoryAsItWas) {
  auto& first = ship("old", {" T-1 ", "T-2"});
  // Times in any order, also later than now; states in any order.
  add(first, "b", 1, "returned", kNow + 7'000'000);
  add(first, "a", 2, "delivered", kNow - 3'000'000);
  add(ship(""), "a", 1, "canceled");
  EXPECT_THAT(
      new_shipments(import()),
      ElementsAre("+ old T-1,T-2: +=a*2 delivered -3, +=b*1 returned 7", "+ : +=a*1 canceled",
                  "+ standard: +=a*2 pending", "+ express: +=b*2 pending"));
}

TEST_F(ImportWithShipments, WhatNoShipmentNamesGoesByTheItemsMethods) {
  EXPECT_THAT(new_shipments(import()),
              ElementsAre("+ standard: +=a*5 pending", "+ express: +=b*3 pending"));
  add(ship("pickup"), "a", 5, "delivered");
  add(ship("pickup"), "b", 3, "delivered");
  EXPECT_THAT(new_shipments(import()),
              ElementsAre("+ pickup: +=a*5 delivered", "+ pickup: +=b*3 delivered"));
}

TEST_F(ImportWithShipments, EqualLinesAreOne) {
  auto& shipment = ship("standard");
  add(shipment, "a", 2, "delivered", 5'000'000);
  add(shipment, "b", 3, "delivered", 5'000'000);
  add(shipment, "a", 1, "delivered", 6'000'000);
  add(shipment, "a", 2, "delivered", 5'000'000);
  const auto result = import();
  ASSERT_EQ(broken_shipments(*result->after), "");
  ASSERT_EQ(result->after->shipments_size(), 1);
  const auto& lines = result->after->shipments(0).lines();
  ASSERT_EQ(lines.size(), 3);
  EXPECT_EQ(lines[0].quantity(), 4);
  EXPECT_EQ(lines[1].quantity(), 1);
  EXPECT_EQ(lines[2].item_id(), "b");
}

TEST_F(ImportWithShipments, WhatIsNotConfiguredIsRefused) {
  *settings_.delivery_states.at("returned").mutable_delete_time() = to_timestamp(kNow);
  auto& shipment = ship("raven");
  add(shipment, "a", 1, "lost");
  add(shipment, "a", 1, "returned");
  request_.mutable_order()->mutable_items(1)->set_shipment_method_id("dove");
  const auto refused = import();
  EXPECT_REFUSED(refused, "SHIPMENT_METHOD_UNKNOWN");
  EXPECT_THAT(fields_of(refused.status()),
              UnorderedElementsAre("order.items[1].shipment_method_id", "shipments[0].method_id",
                                   "shipments[0].lines[0].delivery_state_id",
                                   "shipments[0].lines[1].delivery_state_id"));
}

TEST_F(ImportWithShipments, Validation) {
  auto& shipment = ship("standard", {"T-1"});
  add(shipment, "a", 3, "shipped");
  ASSERT_TRUE(validate(request_).ok());
  using R = pb::ImportOrdersRequest;
  const auto line = [](R& r) { return r.mutable_shipments(0)->mutable_lines(0); };
  struct Case {
    std::string name;
    std::function<void(R&)> alter;
    std::string field;
  };
  const std::string first = "shipments[0].lines[0].";
  const std::vector<Case> cases = {
      {"no lines", [](R& r) { r.mutable_shipments(0)->clear_lines(); }, "shipments[0].lines"},
      {"long method", [](R& r) { r.mutable_shipments(0)->set_method_id(std::string(65, 'm')); },
       "shipments[0].method_id"},
      {"number twice", [](R& r) { r.mutable_shipments(0)->add_tracking_numbers(" T-1"); },
       "shipments[0].tracking_numbers[1]"},
      {"number of another shipment",
       [](R& r) {
         auto& other = *r.add_shipments();
         other.add_tracking_numbers("T-1");
         add(other, "b", 1, "shipped");
       },
       "shipments[1].tracking_numbers[0]"},
      {"101 numbers",
       [](R& r) {
         for (int i = 0; i < 100; ++i) {
           r.mutable_shipments(0)->add_tracking_numbers("N" + std::to_string(i));
         }
       },
       "shipments[0].tracking_numbers"},
      {"unknown item", [=](R& r) { line(r)->set_item_id("x"); }, first + "item_id"},
      {"quantity 0", [=](R& r) { line(r)->set_quantity(0); }, first + "quantity"},
      {"quantity -1", [=](R& r) { line(r)->set_quantity(-1); }, first + "quantity"},
      {"all pieces", [=](R& r) { line(r)->set_quantity(5); }, ""},
      {"too many pieces", [=](R& r) { line(r)->set_quantity(6); }, first + "quantity"},
      {"too many pieces in two lines",
       [](R& r) { add(*r.mutable_shipments(0), "a", 3, "delivered"); },
       "shipments[0].lines[1].quantity"},
      {"no state", [=](R& r) { line(r)->clear_delivery_state_id(); }, first + "delivery_state_id"},
      {"bad time", [=](R& r) { line(r)->mutable_delivery_state_time()->set_nanos(-1); },
       first + "delivery_state_time"},
      {"1001 shipments",
       [](R& r) {
         while (r.shipments_size() < 1001) add(*r.add_shipments(), "a", 1, "shipped");
       },
       "shipments"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto request = request_;
    c.alter(request);
    if (c.field.empty()) {
      EXPECT_TRUE(validate(request).ok()) << validate(request).message();
    } else {
      EXPECT_ONLY_VIOLATION(validate(request), c.field);
    }
  }
}

TEST_F(ImportWithShipments, AtMostTenThousandLinesWithThoseOfTheRest) {
  request_.mutable_order()->mutable_items(0)->set_quantity(10'000);
  auto& shipment = ship("standard");
  for (int i = 0; i < 9'999; ++i) add(shipment, "a", 1, "shipped", i);
  // One line for the last piece of a, one for b.
  EXPECT_ONLY_VIOLATION(validate(request_), "shipments");
  add(shipment, "a", 1, "shipped", 9'999);
  EXPECT_ONLY_VIOLATION(validate(request_), "shipments");
  shipment.mutable_lines()->RemoveLast();
  shipment.mutable_lines()->RemoveLast();
  EXPECT_TRUE(validate(request_).ok());
  EXPECT_EQ(import()->after->shipments(0).lines_size(), 9'998);
}

class Cancel : public ShipmentsTest {
 protected:
  Result enter(const std::string& state) {
    pb::OrderStatusUpdate update;
    update.set_order_id(order_.order_id());
    update.set_state_id(state);
    auto result =
        run([&](const Target& t, const Context& c) { return update_status(update, t, c); });
    if (result.ok() && result->after) {
      EXPECT_EQ(broken_shipments(*result->after), "");
    }
    return result;
  }
};

TEST_F(Cancel, LinesThatAreNotShippedAreCanceled) {
  make({set_state(lines({line("L1", 2)}), "shipped"),
        set_state(lines({line("L2", 1)}), "confirmed"), set_tracking("S1", {"T"})});
  const auto canceled = enter("canceled");
  ASSERT_TRUE(canceled.ok());
  EXPECT_TRUE(canceled->shipments_changed);
  const auto& after = *canceled->after;
  EXPECT_THAT(shown_shipments(after, order_),
              ElementsAre(::testing::ContainsRegex("^S1 standard T: L1=a\\*3 canceled, .*=a\\*2 "
                                                   "shipped, L2=b\\*3 canceled$"),
                          "S2 pickup: L3=c*2 canceled"));
  ASSERT_EQ(canceled->events.size(), 2u);
  EXPECT_TRUE(canceled->events[0].has_state_changed());
  const auto& event = canceled->events[1].shipments_changed();
  EXPECT_EQ(event.before_size(), 2);
  EXPECT_EQ(event.before(0).SerializeAsString(), order_.shipments(0).SerializeAsString());
  EXPECT_EQ(event.after(1).SerializeAsString(), after.shipments(1).SerializeAsString());
}

TEST_F(Cancel, TheFirstStateOfTheCategoryAndEnterableFromDoesNotMatter) {
  settings_.delivery_states["void"] =
      make_delivery_state("void", pb::DELIVERY_CATEGORY_CANCELED, 55);
  enterable_from(settings_.delivery_states.at("void"), {});
  EXPECT_EQ(enter("canceled")->after->shipments(0).lines(0).delivery_state_id(), "void");
  *settings_.delivery_states.at("void").mutable_delete_time() = to_timestamp(kNow);
  EXPECT_EQ(enter("canceled")->after->shipments(0).lines(0).delivery_state_id(), "canceled");
}

TEST_F(Cancel, WhatIsShippedStays) {
  make({set_state(all(), "shipped")});
  const auto canceled = enter("canceled");
  ASSERT_TRUE(canceled.ok());
  EXPECT_FALSE(canceled->shipments_changed);
  EXPECT_THAT(canceled->events, SizeIs(1));
  EXPECT_EQ(shown_shipments(*canceled->after, order_), shown());
}

TEST_F(Cancel, OtherStatesLeaveShipmentsAlone) {
  const auto completed = enter("completed");
  EXPECT_FALSE(completed->shipments_changed);
  EXPECT_EQ(shown_shipments(*completed->after, order_), shown());
}

class ChangeOfAddress : public ShipmentsTest {
 protected:
  Result move_to(const std::string& city, const std::string& reason = "") {
    pb::UpdateOrderRequest request;
    request.set_order_id(order_.order_id());
    request.mutable_shipping_address()->set_city(city);
    request.mutable_customer()->set_name("Bob");
    request.set_reason(reason);
    request.mutable_update_mask()->add_paths(city.empty() ? "customer.name" : "shipping_address");
    return run([&](const Target& t, const Context& c) { return update_order(request, t, c); });
  }
};

TEST_F(ChangeOfAddress, NeedsAReasonOnceALineIsShipped) {
  for (const auto* state : {"pending", "confirmed", "canceled"}) {
    line_at(0, 0).set_delivery_state_id(state);
    EXPECT_TRUE(move_to("Berlin").ok()) << state;
  }
  for (const auto* state : {"shipped", "delivered", "returned"}) {
    line_at(0, 0).set_delivery_state_id(state);
    EXPECT_REFUSED(move_to("Berlin"), "ADDRESS_CHANGE_NEEDS_REASON");
    EXPECT_REFUSED(move_to("Berlin", " \t"), "ADDRESS_CHANGE_NEEDS_REASON");
    EXPECT_TRUE(move_to("Berlin", "the customer called").ok());
    EXPECT_TRUE(move_to("").ok()) << "not an address";
  }
}

}  // namespace
}  // namespace orderd::rules
