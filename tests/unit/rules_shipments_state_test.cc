#include "server/orders/actions.h"
#include "tests/unit/shipments_fixture.h"

// UpdateShipments: delivery states, tracking numbers, when it is allowed, and what is recorded.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::string_literals;

constexpr Micros kSecond = 1'000'000;

class DeliveryStates : public ShipmentsTest {
 protected:
  void put_all_into(const std::string& state) {
    for (auto& shipment : *order_.mutable_shipments()) {
      for (auto& line : *shipment.mutable_lines()) line.set_delivery_state_id(state);
    }
  }
};

TEST_F(DeliveryStates, WhatLeadsWhere) {
  const std::map<std::string, std::set<std::string>> leads_to = {
      {"pending", {"confirmed", "shipped", "canceled"}},
      {"confirmed", {"shipped", "canceled"}},
      {"shipped", {"delivered", "returned"}},
      {"delivered", {"returned"}},
      {"returned", {}},
      {"canceled", {}},
  };
  for (const auto& [from, reachable] : leads_to) {
    for (const auto& [to, unused] : leads_to) {
      SCOPED_TRACE(from + " to " + to);
      put_all_into(from);
      const auto result = update({set_state(lines({line("L1")}), to)});
      if (from == to) {
        EXPECT_FALSE(result->after);
      } else if (reachable.contains(to)) {
        ASSERT_TRUE(result.ok());
        EXPECT_EQ(result->after->shipments(0).lines(0).delivery_state_id(), to);
      } else if (from == "canceled") {
        EXPECT_REFUSED(result, "DELIVERY_STATE_FINAL");
        EXPECT_EQ(metadata_of(result.status(), "line_id"), "L1");
        EXPECT_EQ(metadata_of(result.status(), "delivery_state_id"), "canceled");
      } else {
        EXPECT_REFUSED(result, "DELIVERY_STATE_NOT_ENTERABLE");
        EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(metadata_of(result.status(), "line_id"), "L1");
        EXPECT_EQ(metadata_of(result.status(), "from_delivery_state_id"), from);
        EXPECT_EQ(metadata_of(result.status(), "to_delivery_state_id"), to);
        EXPECT_THAT(fields_of(result.status()),
                    ElementsAre("changes[0].set_delivery_state.selection.lines[0]"));
      }
    }
  }
}

TEST_F(DeliveryStates, OneThatIsEnterableFromAnywhere) {
  settings_.delivery_states.at("returned").clear_enterable_from();
  for (const auto* from : {"pending", "confirmed", "shipped", "delivered"}) {
    put_all_into(from);
    EXPECT_TRUE(changes({set_state(all(), "returned")})) << from;
  }
  put_all_into("canceled");
  EXPECT_REFUSED(update({set_state(lines({line("L1")}), "returned")}), "DELIVERY_STATE_FINAL");
}

TEST_F(DeliveryStates, FinalByFlagOrByCategory) {
  settings_.delivery_states.at("pending").clear_enterable_from();
  settings_.delivery_states.at("delivered").set_final(true);
  put_all_into("delivered");
  EXPECT_REFUSED(update({set_state(lines({line("L1")}), "pending")}), "DELIVERY_STATE_FINAL");
  settings_.delivery_states.at("canceled").set_final(false);
  put_all_into("canceled");
  EXPECT_REFUSED(update({set_state(lines({line("L1")}), "pending")}), "DELIVERY_STATE_FINAL");
}

TEST_F(DeliveryStates, UnknownOrDeleted) {
  const auto unknown = update({set_state(all(), "lost")});
  EXPECT_REFUSED(unknown, "DELIVERY_STATE_UNKNOWN");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(fields_of(unknown.status()),
              ElementsAre("changes[0].set_delivery_state.delivery_state_id"));
  *settings_.delivery_states.at("confirmed").mutable_delete_time() = to_timestamp(kNow);
  EXPECT_REFUSED(update({set_state(all(), "confirmed")}), "DELIVERY_STATE_UNKNOWN");
}

TEST_F(DeliveryStates, ALineMayLeaveADeletedOne) {
  put_all_into("confirmed");
  *settings_.delivery_states.at("confirmed").mutable_delete_time() = to_timestamp(kNow);
  // No enterable_from can list it.
  for (const auto* state : {"pending", "shipped", "delivered", "returned", "canceled"}) {
    EXPECT_TRUE(changes({set_state(lines({line("L1")}), state)})) << state;
  }
  EXPECT_TRUE(changes({set_method(all(), "express")})) << "its category counts";
  // Canceled stays canceled.
  *settings_.delivery_states.at("canceled").mutable_delete_time() = to_timestamp(kNow);
  put_all_into("canceled");
  EXPECT_REFUSED(update({set_state(lines({line("L1")}), "shipped")}), "DELIVERY_STATE_FINAL");
}

TEST_F(DeliveryStates, TheTimeIsTheCallersOrNow) {
  put_all_into("shipped");
  EXPECT_THAT(after({set_state(lines({item("a")}), "delivered", kNow - 3600 * kSecond),
                     set_state(lines({item("b")}), "delivered")}),
              ElementsAre("S1 standard: L1=a*5 delivered -3600, L2=b*3 delivered",
                          "S2 pickup: L3=c*2 shipped"));
  // Not compared with the times before: people book late.
  EXPECT_TRUE(changes({set_state(all(), "delivered", 0)}));
  // Finer digits are dropped.
  auto fine = set_state(all(), "delivered", kNow);
  fine.mutable_set_delivery_state()->mutable_delivery_state_time()->set_nanos(123'456'789);
  EXPECT_EQ(update({fine})->after->shipments(0).lines(0).delivery_state_time().nanos(),
            123'456'000);
}

TEST_F(DeliveryStates, NotInTheFuture) {
  EXPECT_TRUE(changes({set_state(all(), "shipped", kNow + 60 * kSecond)}));
  const auto refused = update({set_state(all(), "shipped", kNow + 60 * kSecond + 1)});
  EXPECT_ONLY_VIOLATION(refused.status(), "changes[0].set_delivery_state.delivery_state_time");
  EXPECT_EQ(metadata_of(refused.status(), "change_index"), "0");
}

class Tracking : public ShipmentsTest {
 protected:
  Tracking() { line_at(0, 1).set_delivery_state_id("confirmed"); }
};

TEST_F(Tracking, SetsTrimmedReplacesAndRemoves) {
  const auto set = update({set_tracking("S1", {" T-1\t", "T-2"})});
  ASSERT_TRUE(set.ok());
  EXPECT_THAT(shown_shipments(*set->after, order_),
              ElementsAre("S1 standard T-1,T-2: L1=a*5 pending, L2=b*3 confirmed",
                          "S2 pickup: L3=c*2 pending"));
  const auto& result = set->outcome.shipment_results(0);
  EXPECT_TRUE(result.changed());
  EXPECT_EQ(result.shipment_id(), "S1");
  EXPECT_THAT(result.line_ids(), IsEmpty());
  order_ = *set->after;
  EXPECT_THAT(after({set_tracking("S1", {"T-3", "T-1"})}),
              ElementsAre("S1 standard T-3,T-1: L1=a*5 pending, L2=b*3 confirmed",
                          "S2 pickup: L3=c*2 pending"));
  EXPECT_THAT(
      after({set_tracking("S1", {})}),
      ElementsAre("S1 standard: L1=a*5 pending, L2=b*3 confirmed", "S2 pickup: L3=c*2 pending"));
  const auto same = update({set_tracking("S1", {"T-1 ", " T-2"})});
  EXPECT_FALSE(same->after);
  EXPECT_EQ(same->outcome.shipment_results(0).shipment_id(), "S1");
}

TEST_F(Tracking, NeedsALineWhoseStateAllowsIt) {
  const auto refused = update({set_tracking("S2", {"T-1"})});
  EXPECT_REFUSED(refused, "TRACKING_NOT_ALLOWED");
  EXPECT_EQ(metadata_of(refused.status(), "shipment_id"), "S2");
  EXPECT_THAT(fields_of(refused.status()),
              ElementsAre("changes[0].set_tracking_numbers.shipment_id"));
  for (const auto* state : {"confirmed", "shipped"}) {
    EXPECT_TRUE(changes({set_state(lines({item("c", 1)}), state), set_tracking("S2", {"T-1"})}))
        << state;
  }
  EXPECT_REFUSED(update({set_tracking("S2", {"T-1"}), set_state(lines({item("c")}), "confirmed")}),
                 "TRACKING_NOT_ALLOWED");
  // Another shipment's line does not count, nor does one that has left.
  EXPECT_REFUSED(update({set_method(lines({line("L2")}), "express"), set_tracking("S1", {"T-1"})}),
                 "TRACKING_NOT_ALLOWED");
  EXPECT_REFUSED(update({set_state(all(), "canceled"), set_tracking("S1", {"T-1"})}),
                 "TRACKING_NOT_ALLOWED");
  // Nor one that was merged into a line that is canceled since.
  EXPECT_REFUSED(update({set_state(lines({item("c", 1)}), "confirmed"),
                         set_state(lines({item("c")}), "confirmed"),
                         set_state(lines({item("c")}), "canceled"), set_tracking("S2", {"T-1"})}),
                 "TRACKING_NOT_ALLOWED");
}

TEST_F(Tracking, RemovingAndKeepingAreAlwaysAllowed) {
  order_.mutable_shipments(1)->add_tracking_numbers()->set_number("T-1");
  EXPECT_TRUE(changes({set_tracking("S2", {})}));
  EXPECT_TRUE(changes_nothing({set_tracking("S2", {"T-1"})}));
  EXPECT_REFUSED(update({set_tracking("S2", {"T-1", "T-2"})}), "TRACKING_NOT_ALLOWED");
}

TEST_F(Tracking, ANumberIsInOneShipmentOfTheOrder) {
  line_at(1, 0).set_delivery_state_id("confirmed");
  make({set_tracking("S1", {"T-1", "T-2"})});
  const auto refused = update({set_tracking("S2", {"T-3", "T-2", "T-1"})});
  EXPECT_REFUSED(refused, "TRACKING_NUMBER_IN_USE");
  EXPECT_EQ(metadata_of(refused.status(), "tracking_number"), "T-2");
  EXPECT_EQ(metadata_of(refused.status(), "shipment_id"), "S1");
  EXPECT_THAT(fields_of(refused.status()),
              ElementsAre("changes[0].set_tracking_numbers.tracking_numbers[1]",
                          "changes[0].set_tracking_numbers.tracking_numbers[2]"));
  EXPECT_TRUE(changes({set_tracking("S2", {"t-1"})})) << "case counts";
  // Freed by an earlier change: removed, dropped with a change of method, gone with its shipment.
  EXPECT_TRUE(changes({set_tracking("S1", {}), set_tracking("S2", {"T-1"})}));
  EXPECT_TRUE(changes(
      {set_method(lines({line("L1"), line("L2")}), "express"), set_tracking("S2", {"T-1"})}));
  EXPECT_TRUE(changes(
      {set_method(lines({line("L1"), line("L2")}), "pickup", "S2"), set_tracking("S2", {"T-1"})}));
  // Taken by an earlier change.
  EXPECT_REFUSED(update({set_tracking("S2", {"T-9"}), set_tracking("S1", {"T-9"})}),
                 "TRACKING_NUMBER_IN_USE");
  // Swapped in three steps.
  make({set_tracking("S2", {"T-3"})});
  EXPECT_THAT(
      after({set_tracking("S1", {}), set_tracking("S2", {"T-1"}), set_tracking("S1", {"T-3"})}),
      ElementsAre("S1 standard T-3: L1=a*5 pending, L2=b*3 confirmed",
                  "S2 pickup T-1: L3=c*2 confirmed"));
}

TEST_F(Tracking, UrlsByTheMethod) {
  settings_.methods.at("standard")
      .set_tracking_url_template(
          "https://dhl.example/{tracking_number}/x?id={tracking_number}#{x}");
  order_.mutable_shipments(0)->add_tracking_numbers()->set_number("A-_.~9");
  order_.mutable_shipments(0)->add_tracking_numbers()->set_number(
      "a/b ?#%&\xC3\xA9{tracking_number}");
  order_.mutable_shipments(1)->add_tracking_numbers()->set_number("T");
  order_.mutable_shipments(1)->mutable_tracking_numbers(0)->set_url("stale");
  const auto urls = [&] {
    auto read = order_;
    add_tracking_urls(read, settings_);
    std::vector<std::string> found;
    for (const auto& shipment : read.shipments()) {
      for (const auto& number : shipment.tracking_numbers()) found.push_back(number.url());
    }
    return found;
  };
  const std::string encoded = "a%2Fb%20%3F%23%25%26%C3%A9%7Btracking_number%7D";
  EXPECT_THAT(urls(),
              ElementsAre("https://dhl.example/A-_.~9/x?id=A-_.~9#{x}",
                          "https://dhl.example/" + encoded + "/x?id=" + encoded + "#{x}", ""));
  settings_.methods.at("standard").set_enabled(false);
  *settings_.methods.at("standard").mutable_delete_time() = to_timestamp(kNow);
  EXPECT_EQ(urls()[0], "https://dhl.example/A-_.~9/x?id=A-_.~9#{x}") << "deleted ones too";
  settings_.methods.erase("standard");
  EXPECT_THAT(urls(), ElementsAre("", "", ""));
}

class Guard : public ShipmentsTest {
 protected:
  pb::AvailableAction action() {
    auto read = order_;
    add_available_actions(read, settings_, read);
    std::vector<pb::AvailableAction> found;
    for (const auto& action : read.available_actions()) {
      if (action.kind() == pb::ACTION_KIND_UPDATE_SHIPMENTS) found.push_back(action);
    }
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? pb::AvailableAction() : found[0];
  }
};

TEST_F(Guard, TheOrdersStateMustAllowIt) {
  for (const auto* state : {"new", "processing"}) {
    order_.set_state_id(state);
    EXPECT_TRUE(update({set_state(all(), "shipped")}).ok());
    EXPECT_TRUE(action().allowed());
    EXPECT_EQ(action().reason(), "");
    EXPECT_EQ(action().state_id(), "");
  }
  line_at(0, 0).set_delivery_state_id("confirmed");
  for (const auto* state : {"completed", "fraud", "suspended", "canceled"}) {
    SCOPED_TRACE(state);
    order_.set_state_id(state);
    // Whatever is asked for, also what holds already.
    for (const auto& change :
         {set_state(all(), "shipped"), set_state(lines({line("L2")}), "pending"),
          set_method(all(), "express"), set_tracking("S1", {"T"}), set_tracking("S1", {})}) {
      const auto refused = update({change});
      EXPECT_REFUSED(refused, "SHIPMENT_UPDATE_NOT_ALLOWED");
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_EQ(metadata_of(refused.status(), "state_id"), state);
    }
    EXPECT_FALSE(action().allowed());
    EXPECT_EQ(action().reason(), "SHIPMENT_UPDATE_NOT_ALLOWED");
  }
  settings_.states.at("completed").set_allows_shipment_update(true);
  order_.set_state_id("completed");
  EXPECT_TRUE(update({set_state(all(), "shipped")}).ok());
  EXPECT_TRUE(action().allowed());
  // As the state was when it was deleted.
  delete_state_in(settings_, "completed");
  EXPECT_TRUE(update({set_state(all(), "shipped")}).ok());
}

TEST_F(Guard, NotWhileACancellationRuns) {
  for (const auto status : {pb::CANCELLATION_STATUS_IN_PROGRESS, pb::CANCELLATION_STATUS_FAILED}) {
    order_.mutable_cancellation()->set_status(status);
    EXPECT_REFUSED(update({set_state(all(), "shipped")}), "CANCELLATION_IN_PROGRESS");
    EXPECT_FALSE(action().allowed());
    EXPECT_EQ(action().reason(), "CANCELLATION_IN_PROGRESS");
  }
}

class Recorded : public ShipmentsTest {};

TEST_F(Recorded, TheShipmentsThatDifferBeforeAndAfter) {
  auto& third = add_shipment(order_, "S3", "express", {"T-3"});
  add_item(order_, "d", 1);
  add_line(third, "L4", "d", 1, "confirmed");
  const auto result = update({set_method(lines({line("L1", 2), line("L3")}), "express")});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->events.size(), 1u);
  const auto& event = result->events[0].shipments_changed();
  // S2 is gone, S3 is as it was.
  ASSERT_EQ(event.before_size(), 2);
  EXPECT_EQ(event.before(0).SerializeAsString(), order_.shipments(0).SerializeAsString());
  EXPECT_EQ(event.before(1).SerializeAsString(), order_.shipments(1).SerializeAsString());
  const auto& after = *result->after;
  ASSERT_EQ(after.shipments_size(), 3);
  ASSERT_EQ(event.after_size(), 2);
  EXPECT_EQ(event.after(0).SerializeAsString(), after.shipments(0).SerializeAsString());
  EXPECT_EQ(event.after(1).SerializeAsString(), after.shipments(2).SerializeAsString());
}

TEST_F(Recorded, OneEventForManyChanges) {
  const auto result = update({set_state(all(), "confirmed"), set_tracking("S1", {"T"}),
                              set_tracking("S2", {"U"}), set_state(all(), "shipped")});
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->events, SizeIs(1));
  EXPECT_EQ(result->events[0].shipments_changed().after(0).lines(0).delivery_state_id(), "shipped");
}

TEST_F(Recorded, OneResultPerChangeAlsoIfNothingChanges) {
  const auto mixed =
      update({set_state(lines({item("a")}), "pending"), set_state(lines({item("a")}), "confirmed"),
              set_tracking("S2", {}), set_method(all(), "express")});
  ASSERT_TRUE(mixed.ok());
  const auto& results = mixed->outcome.shipment_results();
  EXPECT_FALSE(results[0].changed());
  EXPECT_TRUE(results[1].changed());
  EXPECT_FALSE(results[2].changed());
  EXPECT_TRUE(results[3].changed());

  const auto none = update({set_state(all(), "pending"), set_tracking("S1", {})});
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->after);
  EXPECT_THAT(none->outcome.shipment_results(), SizeIs(2));
}

TEST_F(Recorded, ChangesThatUndoEachOtherAreNone) {
  const auto undone = update({set_method(lines({line("L1", 2)}), "express", "", "box"),
                              set_method(lines({item("a")}), "standard", "S1")});
  ASSERT_TRUE(undone.ok());
  EXPECT_FALSE(undone->after);
  EXPECT_THAT(undone->events, IsEmpty());
}

TEST_F(Recorded, EverythingThatIsWrongAtOnce) {
  const auto refused = update({
      set_state(lines({line("L1", 6), item("x"), line("y")}), "lost", kNow + 3600 * kSecond),
      set_state(lines({line("L1")}), "shipped"),
      set_method(lines({line("L1"), line("L2")}), "old", "S2", "box"),
      set_tracking("box", {"T"}),
      set_tracking("S2", {"T"}),
      set_state(lines({line("L2")}), "delivered"),
  });
  // The first one, with the number of its change.
  EXPECT_REFUSED(refused, "DELIVERY_STATE_UNKNOWN");
  EXPECT_EQ(metadata_of(refused.status(), "change_index"), "0");
  EXPECT_EQ(metadata_of(refused.status(), "violation_count"), "10");
  std::map<std::string, std::string> reasons;
  for (const auto& [field, description] : violations_of(refused.status())) {
    reasons[field] = description.substr(0, description.find(':'));
  }
  const std::string first = "changes[0].set_delivery_state.", third = "changes[2].set_method.";
  const std::map<std::string, std::string> expected = {
      {first + "delivery_state_id", "DELIVERY_STATE_UNKNOWN"},
      {first + "delivery_state_time", "INVALID_REQUEST"},
      {first + "selection.lines[0].quantity", "QUANTITY_TOO_LARGE"},
      {first + "selection.lines[1].item_id", "ITEM_UNKNOWN"},
      {first + "selection.lines[2].line_id", "LINE_UNKNOWN"},
      // The second change can be made, so the third sees a shipped line.
      {third + "method_id", "SHIPMENT_METHOD_DISABLED"},
      {third + "into_shipment_id", "SHIPMENT_METHOD_MISMATCH"},
      {third + "selection.lines[0]", "LINE_NOT_MOVABLE"},
      // The fourth is a consequence of the third, and not listed.
      {"changes[4].set_tracking_numbers.shipment_id", "TRACKING_NOT_ALLOWED"},
      {"changes[5].set_delivery_state.selection.lines[0]", "DELIVERY_STATE_NOT_ENTERABLE"},
  };
  EXPECT_EQ(reasons, expected);
}

}  // namespace
}  // namespace orderd::rules
