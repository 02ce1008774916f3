#include <chrono>
#include <functional>
#include <limits>

#include "storage/wall_clock.h"
#include "tests/rpc/shipments_fixture.h"

// Bad input of UpdateShipments: each gets a typed, precise error, all of them at once, and nothing
// is written.

namespace orderd::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
constexpr auto kPrecondition = grpc::StatusCode::FAILED_PRECONDITION;

class ShipmentBadInputTest : public ShipmentsRpcTest {
 protected:
  /// Three items. Item "1" (five pieces) is pending in the first shipment, "2" confirmed and
  /// tracked as "T-1" in an express one, "3" delivered in a courier one.
  void SetUp() override {
    ShipmentsRpcTest::SetUp();
    const std::string id = create(order_of({5, 1, 1})).order_id();
    change(id, {set_method(items({"2"}), "express", "", "a"), set_method(items({"3"}), "courier"),
                set_state(items({"2"}), "confirmed"), set_tracking("a", {"T-1"}),
                set_state(items({"3"}), "shipped"), set_state(items({"3"}), "delivered")});
    order_ = get(id);
    home_ = shipment_of(order_, "1").shipment_id();
    express_ = shipment_of(order_, "2").shipment_id();
    other_ = create(order_of({1, 1, 1, 1}));
  }

  const std::string& id() const { return order_.order_id(); }
  std::string line_of(const std::string& item) const { return lines_of(order_, item)[0].line_id(); }

  struct Case {
    std::string what;
    pb::ShipmentChange change;
    grpc::StatusCode code;
    std::string reason;
    /// Within the change.
    std::string field;
  };

  void expect_refused(const Case& bad, const Failure& failure, int index) {
    EXPECT_EQ(failure.code, bad.code) << failure.message;
    EXPECT_EQ(failure.reason, bad.reason) << failure.message;
    EXPECT_EQ(failure.has_precondition, bad.code == kPrecondition);
    EXPECT_THAT(failure.fields, ElementsAre("changes[" + std::to_string(index) + "]" + bad.field));
  }

  static pb::ShipmentChange both() {
    auto change = set_state(items({"1"}), "confirmed");
    change.mutable_set_delivery_state()->mutable_selection()->set_all(true);
    return change;
  }
  static pb::ShipmentChange in_the_future(std::chrono::seconds ahead) {
    return set_state(all_lines(), "shipped", wall_clock() / 1'000'000 + ahead.count());
  }
  static std::vector<std::string> numbers(int count) {
    std::vector<std::string> all;
    for (int i = 0; i < count; ++i) all.push_back("N-" + std::to_string(i));
    return all;
  }

  pb::Order order_;
  pb::Order other_;
  std::string home_;
  std::string express_;
};
ORDERD_ON_BOTH_DATABASES(ShipmentBadInputTest);

TEST_P(ShipmentBadInputTest, WhatIsWrongInItself) {
  auto selector_of_both = set_state(items({"1"}), "confirmed");
  selector_of_both.mutable_set_delivery_state()->mutable_selection()->mutable_lines(0)->set_line_id(
      line_of("1"));
  auto selector_of_none = set_state(items({"1"}), "confirmed");
  selector_of_none.mutable_set_delivery_state()->mutable_selection()->mutable_lines(0)->Clear();
  auto year_10000 = set_state(all_lines(), "confirmed", 253'402'300'800);
  auto nanos = set_state(all_lines(), "confirmed", 0);
  nanos.mutable_set_delivery_state()->mutable_delivery_state_time()->set_nanos(1'000'000'000);
  std::vector<std::string> many_items;
  for (int i = 0; i < 1001; ++i) many_items.push_back(std::to_string(i));
  const std::string line = ".set_delivery_state.selection.lines[0]";
  const std::string tracking = ".set_tracking_numbers.tracking_numbers";
  const std::vector<Case> cases = {
      {"nothing", {}, kInvalid, "INVALID_REQUEST", ""},
      {"quantity 0", set_state(pieces("1", 0), "confirmed"), kInvalid, "INVALID_REQUEST",
       line + ".quantity"},
      {"quantity -1", set_state(pieces("1", -1), "confirmed"), kInvalid, "INVALID_REQUEST",
       line + ".quantity"},
      {"all and a selection", both(), kInvalid, "INVALID_REQUEST", ".set_delivery_state.selection"},
      {"no selection", set_state({}, "confirmed"), kInvalid, "INVALID_REQUEST",
       ".set_delivery_state.selection"},
      {"no selection", set_method({}, "express"), kInvalid, "INVALID_REQUEST",
       ".set_method.selection"},
      {"both ids", selector_of_both, kInvalid, "INVALID_REQUEST", line},
      {"no id", selector_of_none, kInvalid, "INVALID_REQUEST", line},
      {"an item twice", set_method(items({"1", "1"}), "express"), kInvalid, "INVALID_REQUEST",
       ".set_method.selection.lines[1].item_id"},
      {"1001 selectors", set_method(items(many_items), "express"), kInvalid, "INVALID_REQUEST",
       ".set_method.selection.lines"},
      {"no method", set_method(all_lines(), ""), kInvalid, "INVALID_REQUEST",
       ".set_method.method_id"},
      {"a long client_ref", set_method(all_lines(), "express", "", repeat("x", 65)), kInvalid,
       "INVALID_REQUEST", ".set_method.client_ref"},
      {"no delivery state", set_state(all_lines(), ""), kInvalid, "INVALID_REQUEST",
       ".set_delivery_state.delivery_state_id"},
      {"a time in the year 10000", year_10000, kInvalid, "INVALID_REQUEST",
       ".set_delivery_state.delivery_state_time"},
      {"a broken time", nanos, kInvalid, "INVALID_REQUEST",
       ".set_delivery_state.delivery_state_time"},
      {"no shipment", set_tracking("", {"T-2"}), kInvalid, "INVALID_REQUEST",
       ".set_tracking_numbers.shipment_id"},
      {"101 tracking numbers", set_tracking(express_, numbers(101)), kInvalid, "INVALID_REQUEST",
       tracking},
      {"an empty tracking number", set_tracking(express_, {" \t"}), kInvalid, "INVALID_REQUEST",
       tracking + "[0]"},
      {"129 characters", set_tracking(express_, {repeat("ä", 129)}), kInvalid, "INVALID_REQUEST",
       tracking + "[0]"},
      {"a control character", set_tracking(express_, {"T\n2"}), kInvalid, "INVALID_REQUEST",
       tracking + "[0]"},
      {"U+0000", set_tracking(express_, {std::string("T\0", 2)}), kInvalid, "INVALID_REQUEST",
       tracking + "[0]"},
      {"not UTF-8", set_tracking(express_, {"T\xff"}), kInvalid, "INVALID_REQUEST",
       tracking + "[0]"},
      {"one twice", set_tracking(express_, {"T-2", " T-2 "}), kInvalid, "INVALID_REQUEST",
       tracking + "[1]"},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.what);
    expect_refused(bad, refused(id(), {bad.change}), 0);
    // A change that could be made does not help.
    expect_refused(bad, refused(id(), {set_state(items({"1"}), "confirmed"), bad.change}), 1);
  }
  EXPECT_THAT(refused(id(), {}).fields, ElementsAre("changes"));
  EXPECT_THAT(refused(id(), std::vector(1001, set_state(all_lines(), "confirmed"))).fields,
              ElementsAre("changes"));
  EXPECT_THAT(refused(id(), {set_method(items({"1"}), "express", "", "x"),
                             set_method(items({"2"}), "express", "", "x")})
                  .fields,
              ElementsAre("changes[1].set_method.client_ref"));
  // At their limits they are taken.
  change(id(), {set_tracking(express_, numbers(100))});
  change(id(), {set_tracking(express_, {repeat("ä", 128)})});
  change(id(), {set_method(pieces("1", 5), "courier", "", repeat("x", 64))});
}

TEST_P(ShipmentBadInputTest, WhatTheOrderDoesNotAllow) {
  const std::string selected = ".set_method.selection.lines[0]";
  const std::string moved = ".set_delivery_state.selection.lines[0]";
  const std::vector<Case> cases = {
      {"unknown item", set_method(items({"4"}), "express"), kInvalid, "ITEM_UNKNOWN",
       selected + ".item_id"},
      {"unknown line", set_state(line("nonsense"), "confirmed"), kInvalid, "LINE_UNKNOWN",
       moved + ".line_id"},
      {"line of another order", set_state(line(lines_of(other_, "1")[0].line_id()), "confirmed"),
       kInvalid, "LINE_UNKNOWN", moved + ".line_id"},
      {"shipment of another order", set_tracking(other_.shipments(0).shipment_id(), {"T-2"}),
       kInvalid, "SHIPMENT_UNKNOWN", ".set_tracking_numbers.shipment_id"},
      {"join a shipment of another order",
       set_method(items({"1"}), "standard", other_.shipments(0).shipment_id()), kInvalid,
       "SHIPMENT_UNKNOWN", ".set_method.into_shipment_id"},
      {"a client_ref that nobody set", set_tracking("box", {"T-2"}), kInvalid, "SHIPMENT_UNKNOWN",
       ".set_tracking_numbers.shipment_id"},
      {"a client_ref that is a shipment", set_method(items({"1"}), "express", "", home_), kInvalid,
       "INVALID_REQUEST", ".set_method.client_ref"},
      {"unknown method", set_method(all_lines(), "no-such-method"), kInvalid,
       "SHIPMENT_METHOD_UNKNOWN", ".set_method.method_id"},
      {"disabled method", set_method(all_lines(), "old"), kPrecondition, "SHIPMENT_METHOD_DISABLED",
       ".set_method.method_id"},
      {"another method than the shipment's", set_method(items({"1"}), "courier", express_),
       kPrecondition, "SHIPMENT_METHOD_MISMATCH", ".set_method.into_shipment_id"},
      {"a delivered line", set_method(items({"3"}), "express"), kPrecondition, "LINE_NOT_MOVABLE",
       selected},
      {"too many pieces", set_method(pieces("1", 6), "express"), kPrecondition,
       "QUANTITY_TOO_LARGE", selected + ".quantity"},
      {"far too many",
       set_state(pieces("1", std::numeric_limits<std::int64_t>::max()), "confirmed"), kPrecondition,
       "QUANTITY_TOO_LARGE", moved + ".quantity"},
      {"unknown delivery state", set_state(all_lines(), "no-such-state"), kInvalid,
       "DELIVERY_STATE_UNKNOWN", ".set_delivery_state.delivery_state_id"},
      {"delivery state not reachable", set_state(items({"1"}), "delivered"), kPrecondition,
       "DELIVERY_STATE_NOT_ENTERABLE", moved},
      {"backwards", set_state(line(line_of("3")), "pending"), kPrecondition,
       "DELIVERY_STATE_NOT_ENTERABLE", moved},
      {"a time in the future", in_the_future(std::chrono::minutes(5)), kInvalid, "INVALID_REQUEST",
       ".set_delivery_state.delivery_state_time"},
      {"a pending shipment", set_tracking(home_, {"T-2"}), kPrecondition, "TRACKING_NOT_ALLOWED",
       ".set_tracking_numbers.shipment_id"},
      {"a number of another shipment",
       set_tracking(shipment_of(order_, "3").shipment_id(), {"T-2", " T-1"}), kPrecondition,
       "TRACKING_NUMBER_IN_USE", ".set_tracking_numbers.tracking_numbers[1]"},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.what);
    const Failure failure = refused(id(), {bad.change});
    expect_refused(bad, failure, 0);
    EXPECT_EQ(failure.metadata.at("change_index"), "0");
    // The changes before it are not made either.
    auto with_others =
        ship(id(), {set_tracking(express_, {}), bad.change, set_tracking(express_, {"T-1"})});
    if (bad.reason == "TRACKING_NUMBER_IN_USE")
      with_others.mutable_changes(0)->Swap(with_others.mutable_changes(2));
    const Failure second = refused(with_others);
    expect_refused(bad, second, 1);
    EXPECT_EQ(second.metadata.at("change_index"), "1");
  }
  // Final is final.
  change(id(), {set_state(pieces("1", 1), "canceled")});
  for (const auto& part : lines_of(get(id()), "1")) {
    if (part.delivery_state_id() != "canceled") continue;
    const Failure failure = refused(id(), {set_state(line(part.line_id()), "confirmed")});
    EXPECT_EQ(failure.reason, "DELIVERY_STATE_FINAL");
    EXPECT_EQ(refused(id(), {set_method(line(part.line_id()), "express")}).reason,
              "LINE_NOT_MOVABLE");
  }
  // Clocks differ a little.
  change(id(), {in_the_future(std::chrono::seconds(20))});
}

TEST_P(ShipmentBadInputTest, AllThatIsWrongIsNamedAtOnce) {
  // In itself.
  Failure failure = refused(id(), {set_method({}, ""), set_tracking("", {"", "x", "x"}),
                                   set_state(pieces("1", 0), ""), pb::ShipmentChange()});
  EXPECT_EQ(failure.reason, "INVALID_REQUEST");
  EXPECT_THAT(
      failure.fields,
      UnorderedElementsAre("changes[0].set_method.selection", "changes[0].set_method.method_id",
                           "changes[1].set_tracking_numbers.shipment_id",
                           "changes[1].set_tracking_numbers.tracking_numbers[0]",
                           "changes[1].set_tracking_numbers.tracking_numbers[2]",
                           "changes[2].set_delivery_state.selection.lines[0].quantity",
                           "changes[2].set_delivery_state.delivery_state_id", "changes[3]"));
  // By the order: the first change at fault is the reason, and what depends on a refused change is
  // not held against it.
  auto several = set_method(items({"9", "1", "3"}), "old", "", "box");
  several.mutable_set_method()->mutable_selection()->mutable_lines(1)->set_quantity(6);
  failure = refused(id(), {set_state(items({"1"}), "confirmed"), several,
                           set_tracking("box", {"T-2"}), set_tracking(express_, {"T-3"}),
                           set_tracking(home_, {"T-3"}), set_state(items({"1"}), "returned")});
  EXPECT_EQ(failure.reason, "SHIPMENT_METHOD_DISABLED");
  EXPECT_EQ(failure.metadata.at("change_index"), "1");
  EXPECT_THAT(failure.fields, ElementsAre("changes[1].set_method.method_id",
                                          "changes[1].set_method.selection.lines[0].item_id",
                                          "changes[1].set_method.selection.lines[1].quantity",
                                          "changes[1].set_method.selection.lines[2]",
                                          "changes[4].set_tracking_numbers.tracking_numbers[0]",
                                          "changes[5].set_delivery_state.selection.lines[0]"));
}

TEST_P(ShipmentBadInputTest, AThousandFaultsFitIntoAnError) {
  std::vector<pb::ShipmentChange> changes;
  for (int i = 0; i < 1000; ++i) {
    changes.push_back(set_method(items({"no-such-item-" + std::to_string(i)}), "express"));
  }
  const Failure failure = refused(id(), changes);
  EXPECT_EQ(failure.reason, "ITEM_UNKNOWN");
  EXPECT_EQ(failure.metadata.at("violation_count"), "1000");
  EXPECT_THAT(failure.fields, Contains("changes[0].set_method.selection.lines[0].item_id"));
}

TEST_P(ShipmentBadInputTest, TheCallAsAWhole) {
  auto request = ship("", {set_state(all_lines(), "confirmed")});
  request.set_request_id("no uuid");
  EXPECT_THAT(refused(request).fields, UnorderedElementsAre("order_id", "request_id"));
  for (const char* unknown : {kUnknownId, "nonsense"}) {
    const Failure failure = refused(unknown, {set_state(all_lines(), "no-such-state")});
    EXPECT_EQ(failure.code, grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(failure.reason, "ORDER_NOT_FOUND");
  }
  // The etag comes before the rule.
  request = ship(id(), {set_state(all_lines(), "no-such-state")});
  request.set_etag("stale");
  EXPECT_EQ(refused(request).reason, "ETAG_MISMATCH");

  pb::CreateOrderRequest order;
  *order.mutable_order() = order_of({1, 1});
  order.mutable_order()->mutable_items(1)->set_shipment_method_id("no-such-method");
  EXPECT_EQ(refusal(&Orders::CreateOrder, order).reason, "SHIPMENT_METHOD_UNKNOWN");
  order.mutable_order()->mutable_items(1)->set_shipment_method_id("old");
  EXPECT_EQ(refusal(&Orders::CreateOrder, order).reason, "SHIPMENT_METHOD_DISABLED");
}

}  // namespace
}  // namespace orderd::test
