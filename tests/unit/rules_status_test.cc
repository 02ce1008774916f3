#include "server/orders/status.h"

#include "server/orders/actions.h"
#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using namespace std::string_literals;

pb::UpdateOrderStatusRequest make_request() {
  pb::UpdateOrderStatusRequest request;
  request.set_request_id(kUuid);
  request.set_order_id(uuid(1).to_string());
  request.set_etag("7");
  request.set_state_id("processing");
  return request;
}

TEST(StatusValidation, Fields) {
  using R = pb::UpdateOrderStatusRequest;
  struct Case {
    std::string name;
    std::function<void(R&)> alter;
    std::string field;
  };
  const std::vector<Case> cases = {
      {"request id", [](R& r) { r.set_request_id("x"); }, "request_id"},
      {"no order", [](R& r) { r.clear_order_id(); }, "order_id"},
      {"long order", [](R& r) { r.set_order_id(std::string(300, 'x')); }, "order_id"},
      {"no state", [](R& r) { r.clear_state_id(); }, "state_id"},
      {"long state", [](R& r) { r.set_state_id(std::string(65, 'x')); }, "state_id"},
      {"etag", [](R& r) { r.set_etag("\xFF"); }, "etag"},
      {"longest reason", [](R& r) { r.set_reason(repeated(kClef, 1000)); }, ""},
      {"long reason", [](R& r) { r.set_reason(repeated(kClef, 1001)); }, "reason"},
      {"U+0000", [](R& r) { r.set_reason("\0"s); }, "reason"},
      {"force", [](R& r) { r.set_force(true), r.set_reason("why"); }, ""},
      {"force without reason", [](R& r) { r.set_force(true), r.set_reason(" "); }, "reason"},
  };
  EXPECT_TRUE(validate(make_request()).ok());
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto request = make_request();
    c.alter(request);
    if (c.field.empty()) {
      EXPECT_TRUE(validate(request).ok());
    } else {
      EXPECT_ONLY_VIOLATION(validate(request), c.field);
    }
  }
}

TEST(StatusValidation, ABatchHasUpTo1000OrdersEachOnce) {
  pb::BatchUpdateOrderStatusRequest request;
  EXPECT_ONLY_VIOLATION(validate(request), "updates");
  auto add = [&](const std::string& id) {
    auto& update = *request.add_updates();
    update.set_order_id(id);
    update.set_state_id("new");
  };
  for (int i = 0; i < 1000; ++i) add(uuid(i).to_string());
  EXPECT_TRUE(validate(request).ok());
  add(uuid(1000).to_string());
  EXPECT_ONLY_VIOLATION(validate(request), "updates");

  request.clear_updates();
  add("018f0000-0000-7000-8000-00000000000a");
  add("018f0000-0000-7000-8000-00000000000b");
  add("018F0000-0000-7000-8000-00000000000A");
  EXPECT_ONLY_VIOLATION(validate(request), "updates[2].order_id");

  request.clear_updates();
  add("");
  add("b");
  request.mutable_updates(1)->set_force(true);
  EXPECT_THAT(fields_of(validate(request)),
              ElementsAre("updates[0].order_id", "updates[1].reason"));
}

TEST(StatusUpdate, AnUpdateHasTheFieldsOfTheRequest) {
  auto request = make_request();
  request.set_reason("why");
  request.set_force(true);
  const auto update = status_update(request);
  EXPECT_EQ(update.order_id(), request.order_id());
  EXPECT_EQ(update.etag(), "7");
  EXPECT_EQ(update.state_id(), "processing");
  EXPECT_EQ(update.reason(), "why");
  EXPECT_TRUE(update.force());
}

class Status : public RulesTest {
 protected:
  Result move(const std::string& state_id, bool force = false) {
    pb::OrderStatusUpdate update;
    update.set_order_id(order_.order_id());
    update.set_state_id(state_id);
    update.set_force(force);
    update.set_reason("because");
    return run(
        [&](const Target& target, const Context& c) { return update_status(update, target, c); });
  }
  Result force(const std::string& state_id) { return move(state_id, true); }

  pb::Payment& add_payment(pb::PaymentStatus status, std::int64_t captured = 0,
                           std::int64_t refunded = 0, std::int64_t capturable = 0) {
    auto& payment = *order_.add_payments();
    payment.set_status(status);
    *payment.mutable_captured() = make_money("EUR", captured);
    *payment.mutable_refunded() = make_money("EUR", refunded);
    *payment.mutable_capturable() = make_money("EUR", capturable);
    return payment;
  }
  void set_cancellation(pb::CancellationStatus status) {
    order_.mutable_cancellation()->set_status(status);
  }
};

TEST_F(Status, Moves) {
  const auto result = move("processing");
  ASSERT_TRUE(result.ok());
  auto expected = order_;
  expected.set_state_id("processing");
  EXPECT_EQ(result->after->SerializeAsString(), expected.SerializeAsString());
  ASSERT_EQ(result->events.size(), 1u);
  const auto& event = result->events[0].state_changed();
  EXPECT_EQ(event.before_state_id(), "new");
  EXPECT_EQ(event.after_state_id(), "processing");
  EXPECT_EQ(event.reason(), "because");
  EXPECT_FALSE(event.forced());
}

TEST_F(Status, TheSameStateIsNoChange) {
  for (const auto& id : {"new"s, "canceled"s}) {
    order_.set_state_id(id);
    const auto result = move(id);
    ASSERT_TRUE(result.ok());
    EXPECT_FALSE(result->after);
    EXPECT_TRUE(result->events.empty());
  }
  // Also where a change would be refused.
  set_cancellation(pb::CANCELLATION_STATUS_IN_PROGRESS);
  delete_state_in(settings_, "canceled");
  EXPECT_TRUE(move("canceled").ok());
}

TEST_F(Status, UnknownAndDeletedStatesAreRefused) {
  EXPECT_REFUSED(move("nowhere"), "STATE_UNKNOWN");
  EXPECT_REFUSED(force("nowhere"), "STATE_UNKNOWN");
  delete_state_in(settings_, "fraud");
  EXPECT_REFUSED(move("fraud"), "STATE_UNKNOWN");
  EXPECT_REFUSED(force("fraud"), "STATE_UNKNOWN");
}

TEST_F(Status, EnterableFrom) {
  EXPECT_REFUSED(move("suspended"), "STATE_NOT_ENTERABLE");
  order_.set_state_id("fraud");
  EXPECT_TRUE(move("suspended").ok());
  // Present and empty: from nowhere; absent: from everywhere.
  enterable_from(settings_.states["suspended"], {});
  EXPECT_REFUSED(move("suspended"), "STATE_NOT_ENTERABLE");
  settings_.states["suspended"].clear_enterable_from();
  EXPECT_TRUE(move("suspended").ok());
}

TEST_F(Status, ForceSkipsEnterableFromAndSaysSoOnlyIfNeeded) {
  const auto needed = force("suspended");
  ASSERT_TRUE(needed.ok());
  EXPECT_TRUE(needed->events[0].state_changed().forced());
  const auto not_needed = force("processing");
  ASSERT_TRUE(not_needed.ok());
  EXPECT_FALSE(not_needed->events[0].state_changed().forced());
}

TEST_F(Status, AFinalStateIsLeftByForceOnly) {
  settings_.states["completed"].set_final(true);
  order_.set_state_id("completed");
  EXPECT_REFUSED(move("processing"), "STATE_FINAL");
  const auto forced = force("processing");
  ASSERT_TRUE(forced.ok());
  EXPECT_TRUE(forced->events[0].state_changed().forced());
}

TEST_F(Status, AnOrderInADeletedStateMayLeave) {
  delete_state_in(settings_, "processing");
  order_.set_state_id("processing");
  EXPECT_TRUE(move("completed").ok());
  settings_.states["processing"].set_final(true);
  EXPECT_REFUSED(move("completed"), "STATE_FINAL");
  // A state that the settings do not have at all keeps nobody either.
  order_.set_state_id("gone");
  EXPECT_TRUE(move("completed").ok());
}

TEST_F(Status, EnteringACanceledStateCompletesTheCancellation) {
  const auto result = move("canceled");
  ASSERT_TRUE(result.ok());
  const auto& cancellation = result->after->cancellation();
  EXPECT_EQ(cancellation.status(), pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_EQ(cancellation.reason(), "because");
  EXPECT_EQ(to_micros(cancellation.complete_time()), kNow);
}

TEST_F(Status, OpenMoneyMustBeReturnedFirst) {
  struct Case {
    std::string name;
    pb::PaymentStatus status;
    std::int64_t captured, refunded, capturable;
    bool open;
  };
  const std::vector<Case> cases = {
      {"unsynced", pb::PAYMENT_STATUS_UNSYNCED, 0, 0, 0, true},
      {"open", pb::PAYMENT_STATUS_OPEN, 0, 0, 0, true},
      {"processing", pb::PAYMENT_STATUS_PROCESSING, 0, 0, 0, true},
      {"authorized", pb::PAYMENT_STATUS_AUTHORIZED, 0, 0, 1, true},
      {"captured", pb::PAYMENT_STATUS_CAPTURED, 10, 0, 0, true},
      {"partly refunded", pb::PAYMENT_STATUS_CAPTURED, 10, 9, 0, true},
      {"partly captured, refunded", pb::PAYMENT_STATUS_REFUNDED, 4, 4, 6, true},
      {"refunded", pb::PAYMENT_STATUS_REFUNDED, 10, 10, 0, false},
      {"voided", pb::PAYMENT_STATUS_VOIDED, 0, 0, 0, false},
      {"expired", pb::PAYMENT_STATUS_EXPIRED, 0, 0, 0, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    order_.clear_payments();
    add_payment(c.status, c.captured, c.refunded, c.capturable);
    EXPECT_EQ(open_payments(order_), c.open ? 1 : 0);
    EXPECT_TRUE(move("completed").ok());
    if (c.open) {
      EXPECT_REFUSED(move("canceled"), "CANCEL_REQUIRED");
      EXPECT_REFUSED(force("canceled"), "CANCEL_REQUIRED");
    } else {
      EXPECT_TRUE(move("canceled").ok());
    }
  }
  order_.clear_payments();
  for (int i = 0; i < 3; ++i) add_payment(pb::PAYMENT_STATUS_OPEN);
  EXPECT_EQ(metadata_of(move("canceled").status(), "open_payments"), "3");
}

TEST_F(Status, NothingLeadsOutOfACompletedCancellation) {
  order_.set_state_id("canceled");
  set_cancellation(pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_REFUSED(move("processing"), "STATE_FINAL");
  EXPECT_REFUSED(force("processing"), "CANCELLATION_COMPLETED");
  settings_.states["canceled"].set_final(false);
  EXPECT_REFUSED(move("processing"), "CANCELLATION_COMPLETED");
  EXPECT_REFUSED(force("processing"), "CANCELLATION_COMPLETED");
}

TEST_F(Status, ACanceledOrderMayEnterAnotherCanceledState) {
  settings_.states["void"] = make_state("void", pb::STATE_CATEGORY_CANCELED, 70);
  order_.set_state_id("canceled");
  set_cancellation(pb::CANCELLATION_STATUS_COMPLETED);
  order_.mutable_cancellation()->set_reason("first");
  const auto forced = force("void");
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ(forced->after->cancellation().reason(), "first");
}

TEST_F(Status, ARunningOrFailedCancellationHoldsTheState) {
  for (auto status : {pb::CANCELLATION_STATUS_IN_PROGRESS, pb::CANCELLATION_STATUS_FAILED}) {
    set_cancellation(status);
    EXPECT_REFUSED(move("processing"), "CANCELLATION_IN_PROGRESS");
    EXPECT_REFUSED(force("processing"), "CANCELLATION_IN_PROGRESS");
    EXPECT_REFUSED(force("canceled"), "CANCELLATION_IN_PROGRESS");
  }
}

TEST_F(Status, StatesAreSortedByPositionThenId) {
  settings_.states["abc"] = make_state("abc", pb::STATE_CATEGORY_OPEN, 30);
  delete_state_in(settings_, "fraud");
  std::vector<std::string> ids;
  for (const auto* state : states_by_position(settings_)) ids.push_back(state->state_id());
  EXPECT_THAT(ids, ElementsAre("new", "processing", "abc", "completed", "suspended", "canceled"));
}

TEST_F(Status, AvailableActionsNameEachOtherState) {
  add_payment(pb::PAYMENT_STATUS_CAPTURED, 10).set_payment_id("p");
  order_.add_available_actions()->set_state_id("left over");
  add_available_actions(order_, settings_, order_);
  std::vector<std::string> actions;
  for (const auto& action : order_.available_actions()) {
    if (!action.payment_id().empty() || action.kind() == pb::ACTION_KIND_CANCEL) continue;
    EXPECT_EQ(action.kind(), action.state_id().empty() ? pb::ACTION_KIND_UPDATE_SHIPMENTS
                                                       : pb::ACTION_KIND_CHANGE_STATE);
    EXPECT_EQ(action.allowed(), action.reason().empty());
    actions.push_back(action.state_id() + " " + action.reason());
  }
  EXPECT_THAT(actions,
              ElementsAre("processing ", "completed ", "fraud ", "suspended STATE_NOT_ENTERABLE",
                          "canceled CANCEL_REQUIRED", " "));
}

/// What an order is told that it may do is what it may do, for random settings and orders.
TEST_F(Status, AvailableActionsAgreeWithUpdateStatus) {
  std::mt19937_64 random(random_seed());
  auto chance = [&](unsigned n) { return random() % n == 0; };
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    settings_ = default_settings();
    std::vector<std::string> ids;
    for (auto& [id, state] : settings_.states) ids.push_back(id);
    for (auto& [id, state] : settings_.states) {
      state.set_final(chance(4));
      state.set_category(static_cast<pb::StateCategory>(1 + random() % 4));
      if (chance(2)) {
        enterable_from(state, {ids[random() % ids.size()], ids[random() % ids.size()]});
      }
      if (chance(6)) delete_state_in(settings_, id);
    }
    order_ = stored_order(ids[random() % ids.size()]);
    if (chance(2)) add_payment(pb::PAYMENT_STATUS_CAPTURED, 10, chance(2) ? 10 : 0);
    set_cancellation(static_cast<pb::CancellationStatus>(1 + random() % 4));
    auto read = order_;
    add_available_actions(read, settings_, read);
    // One is about shipments, one about cancellation, three are about each payment.
    int live = 2 + 3 * order_.payments_size();
    for (const auto& id : ids) live += settings_.live_state(id) && id != order_.state_id();
    ASSERT_EQ(read.available_actions_size(), live);
    for (const auto& action : read.available_actions()) {
      if (action.kind() != pb::ACTION_KIND_CHANGE_STATE) continue;
      const auto result = move(action.state_id());
      EXPECT_EQ(result.ok(), action.allowed()) << action.state_id();
      EXPECT_EQ(errors::reason(result.status()), action.reason());
      // Force never does less, and never takes an order out of a completed cancellation.
      const auto forced = force(action.state_id());
      EXPECT_TRUE(forced.ok() || !result.ok());
      const bool canceled = order_.cancellation().status() == pb::CANCELLATION_STATUS_COMPLETED;
      if (forced.ok() && canceled) {
        EXPECT_EQ(settings_.states[action.state_id()].category(), pb::STATE_CATEGORY_CANCELED);
      }
    }
  }
}

}  // namespace
}  // namespace orderd::rules
