#include "tests/unit/shipments_fixture.h"

// UpdateShipments: what it accepts, and which lines a change is about.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::string_literals;

struct Case {
  std::string name;
  pb::ShipmentChange change;
  /// What is wrong, below changes[1]; empty if nothing is.
  std::string field;
};

std::vector<std::string> numbers(int count) {
  std::vector<std::string> numbers;
  for (int i = 0; i < count; ++i) numbers.push_back("T-" + std::to_string(i));
  return numbers;
}

TEST(ShipmentsValidation, Changes) {
  const std::string in_method = ".set_method.", in_state = ".set_delivery_state.",
                    in_tracking = ".set_tracking_numbers.";
  const std::vector<Case> cases = {
      {"no method", set_method(all(), ""), in_method + "method_id"},
      {"long method", set_method(all(), std::string(65, 'm')), in_method + "method_id"},
      {"long shipment", set_method(all(), "m", std::string(65, 's')),
       in_method + "into_shipment_id"},
      {"longest ref", set_method(all(), "m", "", repeated(kClef, 64)), ""},
      {"long ref", set_method(all(), "m", "", repeated(kClef, 65)), in_method + "client_ref"},
      {"ref used before", set_method(all(), "m", "", "box"), in_method + "client_ref"},
      {"no state", set_state(all(), ""), in_state + "delivery_state_id"},
      {"state with U+0000", set_state(all(), "a\0"s), in_state + "delivery_state_id"},
      {"time before 1970", set_state(all(), "shipped", -1), in_state + "delivery_state_time"},
      {"time 0", set_state(all(), "shipped", 0), ""},
      {"no shipment", set_tracking("", {"T"}), in_tracking + "shipment_id"},
      {"no numbers", set_tracking("S1", {}), ""},
      {"100 numbers", set_tracking("S1", numbers(100)), ""},
      {"101 numbers", set_tracking("S1", numbers(101)), in_tracking + "tracking_numbers"},
      {"longest number", set_tracking("S1", {" " + repeated(kClef, 128) + " "}), ""},
      {"long number", set_tracking("S1", {repeated(kClef, 129)}),
       in_tracking + "tracking_numbers[0]"},
      {"empty number", set_tracking("S1", {"T", ""}), in_tracking + "tracking_numbers[1]"},
      {"white number", set_tracking("S1", {" \t"}), in_tracking + "tracking_numbers[0]"},
      {"control character", set_tracking("S1", {"a\nb"}), in_tracking + "tracking_numbers[0]"},
      {"not UTF-8", set_tracking("S1", {"\xFF"}), in_tracking + "tracking_numbers[0]"},
      {"number twice", set_tracking("S1", {"T", "U", " T "}), in_tracking + "tracking_numbers[2]"},
      {"case counts", set_tracking("S1", {"T", "t"}), ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto status =
        validate(request_of({set_method(all(), "standard", "S1", "box"), c.change}));
    if (c.field.empty()) {
      EXPECT_TRUE(status.ok()) << status.message();
    } else {
      EXPECT_ONLY_VIOLATION(status, "changes[1]" + c.field);
    }
  }
  EXPECT_ONLY_VIOLATION(validate(request_of({pb::ShipmentChange()})), "changes[0]");
}

TEST(ShipmentsValidation, Selections) {
  auto both = lines({line("L1")});
  both.set_all(true);
  auto two_ids = line("L1");
  two_ids.set_item_id("a");
  const std::vector<pb::LineSelector> one{item("a")};
  struct SelectionCase {
    std::string name;
    pb::LineSelection selection;
    std::string field;
  };
  std::vector<pb::LineSelector> many;
  for (int i = 0; i < 1001; ++i) many.push_back(line("L" + std::to_string(i)));
  const std::vector<SelectionCase> cases = {
      {"all", all(), ""},
      {"none", {}, "selection"},
      {"both", both, "selection"},
      {"no id", lines({line("")}), "selection.lines[0]"},
      {"two ids", lines({two_ids}), "selection.lines[0]"},
      {"long line", lines({line(std::string(65, 'x'))}), "selection.lines[0].line_id"},
      {"long item", lines({item(std::string(65, 'x'))}), "selection.lines[0].item_id"},
      {"quantity 0", lines({line("L1", 0)}), "selection.lines[0].quantity"},
      {"quantity -1", lines({item("a"), item("b", -1)}), "selection.lines[1].quantity"},
      {"quantity 1", lines({item("a", 1)}), ""},
      {"line twice", lines({line("L1"), line("L2"), line("L1", 1)}), "selection.lines[2].line_id"},
      {"item twice", lines({item("a", 1), item("a", 2)}), "selection.lines[1].item_id"},
      {"line and item of one name", lines({item("a"), line("a")}), ""},
      {"1000 lines", lines({many.begin(), many.begin() + 1000}), ""},
      {"1001 lines", lines(many), "selection.lines"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    for (const auto& [change, path] :
         {std::pair{set_method(c.selection, "m"), "changes[0].set_method."s},
          std::pair{set_state(c.selection, "s"), "changes[0].set_delivery_state."s}}) {
      const auto status = validate(request_of({change}));
      if (c.field.empty()) {
        EXPECT_TRUE(status.ok()) << status.message();
      } else {
        EXPECT_ONLY_VIOLATION(status, path + c.field);
      }
    }
  }
}

TEST(ShipmentsValidation, AllViolationsAtOnce) {
  auto request = request_of({set_tracking("", {"T", "T"}), pb::ShipmentChange(),
                             set_state(lines({item("a", 0), line("")}), "")});
  request.set_request_id("x");
  request.set_order_id("");
  request.set_etag(std::string(65, 'x'));
  EXPECT_THAT(fields_of(validate(request)),
              ElementsAre("changes[0].set_tracking_numbers.shipment_id",
                          "changes[0].set_tracking_numbers.tracking_numbers[1]", "changes[1]",
                          "changes[2].set_delivery_state.delivery_state_id",
                          "changes[2].set_delivery_state.selection.lines[0].quantity",
                          "changes[2].set_delivery_state.selection.lines[1]", "etag", "order_id",
                          "request_id"));
}

TEST(ShipmentsValidation, OneToAThousandChanges) {
  EXPECT_ONLY_VIOLATION(validate(request_of({})), "changes");
  const std::vector<pb::ShipmentChange> changes(1001, set_state(all(), "shipped"));
  EXPECT_TRUE(validate(request_of({changes.begin(), changes.begin() + 1000})).ok());
  EXPECT_ONLY_VIOLATION(validate(request_of(changes)), "changes");
}

class Select : public ShipmentsTest {
 protected:
  /// The results of one change.
  pb::ShipmentChangeResult result(const pb::ShipmentChange& change) {
    const auto changed = update({change});
    EXPECT_TRUE(changed.ok()) << changed.status().message();
    return changed.ok() ? changed->outcome.shipment_results(0) : pb::ShipmentChangeResult();
  }
};

TEST_F(Select, Everything) {
  EXPECT_THAT(after({set_state(all(), "confirmed")}),
              ElementsAre("S1 standard: L1=a*5 confirmed, L2=b*3 confirmed",
                          "S2 pickup: L3=c*2 confirmed"));
  EXPECT_THAT(result(set_state(all(), "confirmed")).line_ids(), ElementsAre("L1", "L2", "L3"));
}

TEST_F(Select, ByLineAndByItem) {
  EXPECT_THAT(
      after({set_state(lines({item("c"), line("L1")}), "confirmed")}),
      ElementsAre("S1 standard: L1=a*5 confirmed, L2=b*3 pending", "S2 pickup: L3=c*2 confirmed"));
  // In the order of the items.
  EXPECT_THAT(result(set_state(lines({item("c"), line("L1")}), "confirmed")).line_ids(),
              ElementsAre("L1", "L3"));
}

TEST_F(Select, AnItemIsAllItsLinesThatCanChange) {
  make({set_state(lines({item("a", 1)}), "shipped"),
        set_state(lines({line("L1", 1)}), "confirmed")});
  EXPECT_THAT(shown(), SizeIs(2));
  // The shipped piece can't be confirmed, the confirmed one is.
  const auto confirmed = result(set_state(lines({item("a")}), "confirmed"));
  EXPECT_TRUE(confirmed.changed());
  EXPECT_THAT(confirmed.skipped_line_ids(), IsEmpty());
  EXPECT_THAT(after({set_state(lines({item("a")}), "confirmed", kNow - 1'000'000)}),
              ElementsAre(::testing::StartsWith("S1 standard: L1=a*3 confirmed -1, "),
                          "S2 pickup: L3=c*2 pending"));
}

TEST_F(Select, AllSkipsWhatCanNotChangeAndSaysSo) {
  make({set_state(lines({line("L2")}), "shipped")});
  const auto moved = result(set_method(all(), "express"));
  EXPECT_TRUE(moved.changed());
  EXPECT_THAT(moved.line_ids(), ElementsAre("L1", "L3"));
  EXPECT_THAT(moved.skipped_line_ids(), ElementsAre("L2"));
  EXPECT_THAT(
      after({set_method(all(), "express")}),
      ElementsAre("S1 standard: L2=b*3 shipped", "+ express: L1=a*5 pending, L3=c*2 pending"));

  const auto delivered = result(set_state(all(), "delivered"));
  EXPECT_THAT(delivered.line_ids(), ElementsAre("L2"));
  EXPECT_THAT(delivered.skipped_line_ids(), ElementsAre("L1", "L3"));
  EXPECT_EQ(delivered.shipment_id(), "");
}

TEST_F(Select, AllMaySelectNothing) {
  make({set_state(all(), "shipped")});
  const auto skipped = update({set_method(all(), "express", "", "box")});
  ASSERT_TRUE(skipped.ok());
  EXPECT_FALSE(skipped->after);
  const auto& result = skipped->outcome.shipment_results(0);
  EXPECT_FALSE(result.changed());
  EXPECT_EQ(result.shipment_id(), "");
  EXPECT_THAT(result.skipped_line_ids(), ElementsAre("L1", "L2", "L3"));
  // No shipment came out that could be called so.
  EXPECT_REFUSED(update({set_method(all(), "express", "", "box"), set_tracking("box", {"T"})}),
                 "SHIPMENT_UNKNOWN");

  order_.clear_items();
  order_.clear_shipments();
  EXPECT_TRUE(changes_nothing({set_state(all(), "shipped")})) << "an order without items";
}

TEST_F(Select, WhatIsNamedMustChange) {
  make({set_state(lines({line("L2")}), "shipped"), set_state(lines({item("c", 1)}), "shipped")});
  for (const auto& selector : {line("L2"), line("L2", 1), item("b"), item("b", 1)}) {
    const auto refused = update({set_method(lines({selector}), "express")});
    EXPECT_REFUSED(refused, "LINE_NOT_MOVABLE");
    EXPECT_EQ(metadata_of(refused.status(), "line_id"), "L2");
    EXPECT_EQ(metadata_of(refused.status(), "delivery_state_id"), "shipped");
    EXPECT_EQ(metadata_of(refused.status(), "change_index"), "0");
  }
  EXPECT_TRUE(changes({set_method(lines({item("c")}), "express")}))
      << "of an item, what can change";
}

TEST_F(Select, UnknownIds) {
  const auto no_item = update({set_state(lines({item("d")}), "shipped")});
  EXPECT_REFUSED(no_item, "ITEM_UNKNOWN");
  EXPECT_EQ(no_item.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(metadata_of(no_item.status(), "item_id"), "d");
  EXPECT_THAT(fields_of(no_item.status()),
              ElementsAre("changes[0].set_delivery_state.selection.lines[0].item_id"));
  // An id of another order is one that this order does not have.
  const auto no_line = update({set_method(lines({line(uuid(77).to_string())}), "express")});
  EXPECT_REFUSED(no_line, "LINE_UNKNOWN");
  EXPECT_THAT(fields_of(no_line.status()),
              ElementsAre("changes[0].set_method.selection.lines[0].line_id"));
  const auto no_shipment = update({set_tracking("S3", {"T"})});
  EXPECT_REFUSED(no_shipment, "SHIPMENT_UNKNOWN");
  EXPECT_THAT(fields_of(no_shipment.status()),
              ElementsAre("changes[0].set_tracking_numbers.shipment_id"));
  EXPECT_REFUSED(update({set_method(all(), "standard", "S3")}), "SHIPMENT_UNKNOWN");
  EXPECT_REFUSED(update({set_method(lines({line("a")}), "express")}), "LINE_UNKNOWN");
}

TEST_F(Select, NothingTwice) {
  for (const auto& selection :
       {lines({line("L1"), item("a")}), lines({item("a", 1), line("L1", 1)})}) {
    const auto refused = update({set_state(selection, "shipped")});
    EXPECT_REFUSED(refused, "LINE_SELECTED_TWICE");
    EXPECT_EQ(metadata_of(refused.status(), "line_id"), "L1");
    EXPECT_THAT(fields_of(refused.status()),
                ElementsAre("changes[0].set_delivery_state.selection.lines[1]"));
  }
  // Also where there would be no change.
  EXPECT_REFUSED(update({set_state(lines({line("L1"), item("a")}), "pending")}),
                 "LINE_SELECTED_TWICE");
}

TEST_F(Select, AQuantityOfSeveralLinesIsAmbiguous) {
  make({set_method(lines({item("a", 2)}), "express")});
  const auto refused = update({set_state(lines({item("a", 1)}), "shipped")});
  EXPECT_REFUSED(refused, "ITEM_AMBIGUOUS");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(metadata_of(refused.status(), "line_count"), "2");
  // Of all lines together there are not enough: no line could be meant.
  const auto too_many = update({set_state(lines({item("a", 6)}), "shipped")});
  EXPECT_REFUSED(too_many, "QUANTITY_TOO_LARGE");
  EXPECT_EQ(metadata_of(too_many.status(), "available"), "5");
  // Only one of the lines is left to ship.
  make({set_state(lines({line("L1")}), "shipped")});
  EXPECT_TRUE(changes({set_state(lines({item("a", 1)}), "shipped")}));
}

TEST_F(Select, TooManyPieces) {
  for (const auto& [selector, name] :
       {std::pair{line("L1", 6), "line"s}, std::pair{item("a", 6), "item"s}}) {
    for (const auto& change :
         {set_method(lines({selector}), "express"), set_state(lines({selector}), "shipped"),
          set_state(lines({selector}), "pending")}) {
      SCOPED_TRACE(name + change.ShortDebugString());
      const auto refused = update({change});
      EXPECT_REFUSED(refused, "QUANTITY_TOO_LARGE");
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ(metadata_of(refused.status(), "requested"), "6");
      EXPECT_EQ(metadata_of(refused.status(), "available"), "5");
    }
  }
}

TEST_F(Select, WhatHoldsAlreadyIsReportedAndStays) {
  const auto held = result(set_state(lines({line("L1", 2), item("c")}), "pending"));
  EXPECT_FALSE(held.changed());
  EXPECT_THAT(held.line_ids(), ElementsAre("L1", "L3"));
  const auto result_of_all = result(set_state(all(), "pending", kNow - 1));
  EXPECT_FALSE(result_of_all.changed()) << "the time of a line does not change by itself";
  EXPECT_THAT(result_of_all.line_ids(), ElementsAre("L1", "L2", "L3"));
  EXPECT_THAT(result_of_all.skipped_line_ids(), IsEmpty());
}

}  // namespace
}  // namespace orderd::rules
