#include "tests/unit/shipments_fixture.h"

// UpdateShipments: how lines are split, merged and moved between shipments.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using namespace std::string_literals;

class Split : public ShipmentsTest {};

TEST_F(Split, FiveThreeWaysAndNoFurther) {
  make({set_method(lines({line("L1", 2)}), "express"),
        set_method(lines({line("L1", 2)}), "pickup")});
  EXPECT_THAT(shown_shipments(order_, stored_order()),
              ElementsAre("+ standard: +=a*1 pending, +=b*3 pending", "+ pickup: +=c*2 pending",
                          "+ express: +=a*2 pending", "+ pickup: +=a*2 pending"));
  EXPECT_EQ(order_.shipments(0).lines(0).line_id(), "L1") << "what is not selected keeps the id";
  const auto refused = update({set_method(lines({line("L1", 2)}), "express")});
  EXPECT_REFUSED(refused, "QUANTITY_TOO_LARGE");
  EXPECT_EQ(metadata_of(refused.status(), "requested"), "2");
  EXPECT_EQ(metadata_of(refused.status(), "available"), "1");
  // The one that is left is a line of its own already.
  make({set_method(lines({line("L1", 1)}), "express")});
  EXPECT_REFUSED(update({set_method(lines({item("a", 6)}), "express")}), "QUANTITY_TOO_LARGE");
}

TEST_F(Split, WithinOneRequest) {
  const auto refused = update({set_state(lines({line("L1", 2)}), "shipped"),
                               set_state(lines({line("L1", 2)}), "shipped"),
                               set_state(lines({line("L1", 2)}), "shipped")});
  EXPECT_REFUSED(refused, "QUANTITY_TOO_LARGE");
  EXPECT_EQ(metadata_of(refused.status(), "available"), "1");
  EXPECT_EQ(metadata_of(refused.status(), "change_index"), "2");
}

TEST_F(Split, ByDeliveryState) {
  EXPECT_THAT(after({set_state(lines({line("L1", 2)}), "confirmed"),
                     set_state(lines({line("L1", 2)}), "shipped")}),
              ElementsAre("S1 standard: L1=a*1 pending, +=a*2 confirmed, +=a*2 shipped, "
                          "L2=b*3 pending",
                          "S2 pickup: L3=c*2 pending"));
}

TEST_F(Split, TheWholeQuantityIsNoSplit) {
  EXPECT_THAT(
      after({set_state(lines({line("L1", 5)}), "shipped")}),
      ElementsAre("S1 standard: L1=a*5 shipped, L2=b*3 pending", "S2 pickup: L3=c*2 pending"));
}

TEST_F(Split, EqualLinesMergeAndTheOldestIdStays) {
  make({set_state(lines({line("L1", 2)}), "confirmed", kNow - 5)});
  const std::string part = order_.shipments(0).lines(1).line_id();
  ASSERT_EQ(order_.shipments(0).lines(1).quantity(), 2);
  // The older line joins the younger, whose state and time it gets.
  const auto merged = update({set_state(lines({line("L1")}), "confirmed", kNow - 5)});
  ASSERT_TRUE(merged.ok());
  EXPECT_THAT(merged->outcome.shipment_results(0).line_ids(), ElementsAre("L1"));
  EXPECT_EQ(merged->after->shipments(0).lines(0).line_id(), "L1");
  EXPECT_EQ(merged->after->shipments(0).lines(0).quantity(), 5);
  EXPECT_EQ(merged->after->shipments(0).lines_size(), 2);
  // Another time makes another line.
  const auto apart = update({set_state(lines({line("L1")}), "confirmed", kNow - 4)});
  EXPECT_EQ(apart->after->shipments(0).lines_size(), 3);
  // A line that was merged into another does not exist for later changes.
  EXPECT_REFUSED(update({set_state(lines({line("L1")}), "confirmed", kNow - 5),
                         set_state(lines({line(part)}), "shipped")}),
                 "LINE_UNKNOWN");
}

TEST_F(Split, TheLimitOfLines) {
  // Items of 1,000 pieces each, split to the last one.
  order_.clear_items();
  order_.clear_shipments();
  auto& shipment = add_shipment(order_, "S1", "standard");
  for (int i = 0; i < 10; ++i) {
    const std::string id = "i" + std::to_string(i);
    add_item(order_, id, 2000);
    for (int n = 0; n < 1000; ++n) {
      const int digits = 10'000 + i * 1000 + n;
      add_line(shipment, "L" + std::to_string(digits), id, n == 0 ? 1001 : 1, "pending", kNow + n);
    }
  }
  ASSERT_EQ(broken_shipments(order_), "");
  const auto refused = update({set_state(lines({line("L10000", 1)}), "shipped")});
  EXPECT_REFUSED(refused, "TOO_MANY_LINES");
  EXPECT_EQ(metadata_of(refused.status(), "limit"), "10000");
  EXPECT_THAT(fields_of(refused.status()), ElementsAre("changes[0].set_delivery_state.selection"));
  // What makes no new line is not refused.
  EXPECT_TRUE(update({set_state(lines({line("L10000")}), "shipped")}).ok());
  // Two lines merge, and there is room for one more.
  EXPECT_TRUE(update({set_state(lines({line("L10001"), line("L10002")}), "confirmed"),
                      set_state(lines({line("L10000", 1)}), "shipped")})
                  .ok());
  EXPECT_REFUSED(update({set_state(lines({line("L10001"), line("L10002")}), "confirmed"),
                         set_state(lines({line("L10000", 1), line("L11000", 1)}), "shipped")}),
                 "TOO_MANY_LINES");
}

class Method : public ShipmentsTest {
 protected:
  Method() {
    order_.mutable_shipments(0)->add_tracking_numbers()->set_number("T-1");
    order_.mutable_shipments(1)->add_tracking_numbers()->set_number("T-2");
  }
};

TEST_F(Method, APartBecomesANewShipmentWithoutTheNumbers) {
  const auto split = update({set_method(lines({line("L1", 2), line("L3", 1)}), "express")});
  ASSERT_TRUE(split.ok());
  EXPECT_THAT(
      shown_shipments(*split->after, order_),
      ElementsAre("S1 standard T-1: L1=a*3 pending, L2=b*3 pending",
                  "S2 pickup T-2: L3=c*1 pending", "+ express: +=a*2 pending, +=c*1 pending"));
  const auto& result = split->outcome.shipment_results(0);
  const auto& made = split->after->shipments(2);
  EXPECT_TRUE(result.changed());
  EXPECT_EQ(result.shipment_id(), made.shipment_id());
  EXPECT_THAT(result.line_ids(), ElementsAre(made.lines(0).line_id(), made.lines(1).line_id()));
  // Some pieces of the only line are not the whole shipment.
  EXPECT_THAT(after({set_method(lines({line("L3", 1)}), "express")}),
              ElementsAre("S1 standard T-1: L1=a*5 pending, L2=b*3 pending",
                          "S2 pickup T-2: L3=c*1 pending", "+ express: +=c*1 pending"));
  // Also one of the same method: it travels apart.
  EXPECT_THAT(after({set_method(lines({line("L1")}), "standard")}),
              ElementsAre("S1 standard T-1: L2=b*3 pending", "S2 pickup T-2: L3=c*2 pending",
                          "+ standard: L1=a*5 pending"));
}

TEST_F(Method, ShipmentsAreSortedByIdAlsoIfTheNewOneIsSmaller) {
  // Ids are made when a call comes in; another call may have been faster since.
  const auto request = request_of({set_method(lines({line("L1", 2)}), "express")});
  const auto split = run([&](const Target& target, const Context& context) {
    return update_shipments(request, uuid(1), target, context);
  });
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(broken_shipments(*split->after), "");
  EXPECT_EQ(split->after->shipments(0).method_id(), "express");
}

TEST_F(Method, AWholeShipmentKeepsItsIdAndLosesTheNumbers) {
  const auto changed = update({set_method(lines({item("a"), line("L2", 3)}), "express")});
  ASSERT_TRUE(changed.ok());
  EXPECT_THAT(
      shown_shipments(*changed->after, order_),
      ElementsAre("S1 express: L1=a*5 pending, L2=b*3 pending", "S2 pickup T-2: L3=c*2 pending"));
  EXPECT_EQ(changed->outcome.shipment_results(0).shipment_id(), "S1");
  ASSERT_EQ(changed->events.size(), 1u);
  const auto& event = changed->events[0].shipments_changed();
  ASSERT_EQ(event.before_size(), 1);
  EXPECT_EQ(event.before(0).tracking_numbers(0).number(), "T-1") << "the event keeps the old";
  EXPECT_EQ(event.after(0).tracking_numbers_size(), 0);
}

TEST_F(Method, AWholeShipmentOfThatMethodIsNoChange) {
  const auto same = update({set_method(lines({item("a"), item("b")}), "standard")});
  ASSERT_TRUE(same.ok());
  EXPECT_FALSE(same->after);
  EXPECT_FALSE(same->outcome.shipment_results(0).changed());
  EXPECT_EQ(same->outcome.shipment_results(0).shipment_id(), "S1");
  EXPECT_THAT(same->outcome.shipment_results(0).line_ids(), ElementsAre("L1", "L2"));
}

TEST_F(Method, EverythingIntoOneShipment) {
  EXPECT_THAT(after({set_method(all(), "express")}),
              ElementsAre("+ express: L1=a*5 pending, L2=b*3 pending, L3=c*2 pending"));
  // Twice: the whole shipment has the method.
  const auto twice = update({set_method(all(), "express"), set_method(all(), "express")});
  ASSERT_TRUE(twice.ok());
  EXPECT_TRUE(twice->outcome.shipment_results(0).changed());
  EXPECT_FALSE(twice->outcome.shipment_results(1).changed());
  EXPECT_EQ(twice->outcome.shipment_results(1).shipment_id(),
            twice->outcome.shipment_results(0).shipment_id());
}

TEST_F(Method, JoinsAShipment) {
  const auto joined = update({set_method(lines({line("L3")}), "standard", "S1")});
  ASSERT_TRUE(joined.ok());
  EXPECT_THAT(shown_shipments(*joined->after, order_),
              ElementsAre("S1 standard T-1: L1=a*5 pending, L2=b*3 pending, L3=c*2 pending"));
  EXPECT_EQ(joined->outcome.shipment_results(0).shipment_id(), "S1");
  // What is there already stays, and does not count as moved.
  const auto again = update({set_method(lines({line("L1")}), "standard", "S1")});
  EXPECT_FALSE(again->after);
  EXPECT_THAT(again->outcome.shipment_results(0).line_ids(), ElementsAre("L1"));
  EXPECT_THAT(after({set_method(all(), "standard", "S1")}), SizeIs(1));
}

TEST_F(Method, SplitsMergeBack) {
  make({set_method(lines({line("L1", 2)}), "standard", "", "box")});
  const std::string box = order_.shipments(2).shipment_id();
  const std::string part = order_.shipments(2).lines(0).line_id();
  // Either way the older line stays.
  EXPECT_THAT(after({set_method(lines({line(part)}), "standard", "S1")}),
              ElementsAre("S1 standard T-1: L1=a*5 pending, L2=b*3 pending",
                          "S2 pickup T-2: L3=c*2 pending"));
  EXPECT_THAT(after({set_method(lines({line("L1")}), "standard", box)}),
              ElementsAre("S1 standard T-1: L2=b*3 pending", "S2 pickup T-2: L3=c*2 pending",
                          box + " standard: L1=a*5 pending"));
  // A shipped line in the shipment does not keep others from joining it, and does not merge.
  make({set_state(lines({line("L1")}), "shipped")});
  EXPECT_THAT(
      after({set_method(lines({line(part, 1)}), "standard", "S1")}),
      ElementsAre("S1 standard T-1: L1=a*3 shipped, +=a*1 pending, L2=b*3 pending",
                  "S2 pickup T-2: L3=c*2 pending", box + " standard: " + part + "=a*1 pending"));
}

TEST_F(Method, TheShipmentToJoinMustHaveTheMethod) {
  const auto refused = update({set_method(lines({line("L3")}), "express", "S1")});
  EXPECT_REFUSED(refused, "SHIPMENT_METHOD_MISMATCH");
  EXPECT_EQ(metadata_of(refused.status(), "shipment_id"), "S1");
  EXPECT_EQ(metadata_of(refused.status(), "method_id"), "standard");
  EXPECT_THAT(fields_of(refused.status()), ElementsAre("changes[0].set_method.into_shipment_id"));
}

TEST_F(Method, MustBeEnabled) {
  const auto disabled = update({set_method(all(), "old")});
  EXPECT_REFUSED(disabled, "SHIPMENT_METHOD_DISABLED");
  EXPECT_EQ(disabled.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(fields_of(disabled.status()), ElementsAre("changes[0].set_method.method_id"));
  const auto unknown = update({set_method(all(), "carrier-pigeon")});
  EXPECT_REFUSED(unknown, "SHIPMENT_METHOD_UNKNOWN");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  *settings_.methods.at("express").mutable_delete_time() = to_timestamp(kNow);
  EXPECT_REFUSED(update({set_method(all(), "express")}), "SHIPMENT_METHOD_UNKNOWN");
  // Shipments that have one keep it, and nothing joins them.
  settings_.methods.at("standard").set_enabled(false);
  EXPECT_TRUE(changes({set_state(all(), "shipped")}));
  EXPECT_REFUSED(update({set_method(lines({line("L3")}), "standard", "S1")}),
                 "SHIPMENT_METHOD_DISABLED");
}

TEST_F(Method, OnlyOpenLinesMove) {
  for (const auto* state : {"shipped", "delivered", "returned", "canceled"}) {
    SCOPED_TRACE(state);
    line_at(0, 0).set_delivery_state_id(state);
    EXPECT_REFUSED(update({set_method(lines({line("L1")}), "express")}), "LINE_NOT_MOVABLE");
    // The rest is not the whole shipment.
    EXPECT_THAT(after({set_method(lines({line("L2")}), "express")}),
                ElementsAre("S1 standard T-1: L1=a*5 "s + state, "S2 pickup T-2: L3=c*2 pending",
                            "+ express: L2=b*3 pending"));
  }
  line_at(0, 0).set_delivery_state_id("confirmed");
  EXPECT_TRUE(changes({set_method(lines({line("L1")}), "express")}));
  // The category counts, also of a deleted state.
  settings_.delivery_states.at("confirmed").set_category(pb::DELIVERY_CATEGORY_SHIPPED);
  EXPECT_REFUSED(update({set_method(lines({line("L1")}), "express")}), "LINE_NOT_MOVABLE");
}

TEST_F(Method, LaterChangesCallTheShipmentByItsRef) {
  make({set_state(all(), "confirmed")});
  EXPECT_THAT(
      after({set_method(lines({item("a", 2)}), "express", "", "box"), set_tracking("box", {"T-9"}),
             set_method(lines({item("c", 1)}), "express", "box")}),
      ElementsAre("S1 standard T-1: L1=a*3 confirmed, L2=b*3 confirmed",
                  "S2 pickup T-2: L3=c*1 confirmed",
                  "+ express T-9: +=a*2 confirmed, +=c*1 confirmed"));
  // A ref may also be of a shipment that keeps its id or is joined.
  EXPECT_THAT(after({set_method(lines({item("c")}), "express", "", "box"),
                     set_method(lines({item("b")}), "express", "box", "again"),
                     set_tracking("again", {"T-9"})}),
              ElementsAre("S1 standard T-1: L1=a*5 confirmed",
                          "S2 express T-9: L2=b*3 confirmed, L3=c*2 confirmed"));
  // It is no name before, nor when the shipment is gone.
  EXPECT_REFUSED(update({set_tracking("box", {"T-9"}),
                         set_method(lines({item("a", 2)}), "express", "", "box")}),
                 "SHIPMENT_UNKNOWN");
  EXPECT_REFUSED(update({set_method(lines({item("c")}), "express", "", "box"),
                         set_method(all(), "standard"), set_tracking("box", {"T-9"})}),
                 "SHIPMENT_UNKNOWN");
  const auto taken = update({set_method(all(), "express", "", "S2")});
  EXPECT_ONLY_VIOLATION(taken.status(), "changes[0].set_method.client_ref");
}

TEST_F(Method, AShipmentWithoutLinesIsGone) {
  EXPECT_REFUSED(
      update({set_method(lines({line("L3")}), "standard", "S1"), set_tracking("S2", {})}),
      "SHIPMENT_UNKNOWN");
  EXPECT_REFUSED(update({set_method(lines({line("L3")}), "standard", "S1"),
                         set_method(lines({line("L3")}), "pickup", "S2")}),
                 "SHIPMENT_UNKNOWN");
}

TEST_F(Method, EachItemItsOwnOneByOne) {
  make({set_state(all(), "confirmed")});
  EXPECT_THAT(after({set_method(lines({item("a")}), "express", "", "1"), set_tracking("1", {"A"}),
                     set_method(lines({item("b")}), "standard", "", "2"), set_tracking("2", {"B"}),
                     set_method(lines({item("c")}), "pickup", "", "3"), set_tracking("3", {"C"})}),
              ElementsAre("S1 standard B: L2=b*3 confirmed", "S2 pickup C: L3=c*2 confirmed",
                          "+ express A: L1=a*5 confirmed"));
}

}  // namespace
}  // namespace orderd::rules
