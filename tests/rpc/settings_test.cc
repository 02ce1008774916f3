#include <thread>

#include "tests/rpc/rpc_fixture.h"

// The rules of order states, over the channel.

namespace orderd::test {
namespace {

using testing::ElementsAre;

class SettingsTest : public RpcTest {
 protected:
  static pb::CreateOrderStateRequest new_state(const std::string& id) {
    pb::CreateOrderStateRequest request;
    auto& state = *request.mutable_state();
    state.set_state_id(id);
    state.set_display_name("State " + id);
    state.set_category(pb::STATE_CATEGORY_OPEN);
    state.set_position(15);
    return request;
  }
  static pb::UpdateOrderStateRequest change(const std::string& id, const std::string& path) {
    pb::UpdateOrderStateRequest request;
    request.mutable_state()->set_state_id(id);
    request.mutable_update_mask()->add_paths(path);
    return request;
  }
  static pb::DeleteOrderStateRequest deletion(const std::string& id) {
    pb::DeleteOrderStateRequest request;
    request.set_state_id(id);
    return request;
  }
  std::vector<std::string> listed(bool include_deleted = false) {
    pb::ListOrderStatesRequest request;
    request.set_include_deleted(include_deleted);
    std::vector<std::string> ids;
    const auto answer = call(&States::ListOrderStates, request);
    for (const auto& state : answer.states()) {
      ids.push_back(state.state_id());
    }
    return ids;
  }
  template <class Method, class Request>
  void expect_refused(Method method, const Request& request, const std::string& reason,
                      grpc::StatusCode code = grpc::StatusCode::FAILED_PRECONDITION) {
    SCOPED_TRACE(request.ShortDebugString());
    const std::string before = content();
    Request validate_only = request;
    validate_only.set_validate_only(true);
    for (const auto& asked : {request, validate_only}) {
      const Failure failure = refusal(method, asked);
      EXPECT_EQ(failure.reason, reason) << failure.message;
      EXPECT_EQ(failure.code, code);
      EXPECT_EQ(failure.has_precondition, code == grpc::StatusCode::FAILED_PRECONDITION);
    }
    EXPECT_EQ(content(), before);
  }
};
ORDERD_ON_BOTH_DATABASES(SettingsTest);

TEST_P(SettingsTest, Defaults) {
  EXPECT_THAT(listed(),
              ElementsAre("new", "processing", "completed", "fraud", "suspended", "canceled"));
  pb::GetOrderStateRequest request;
  request.set_state_id("suspended");
  const auto suspended = call(&States::GetOrderState, request).state();
  EXPECT_EQ(suspended.category(), pb::STATE_CATEGORY_HELD);
  EXPECT_THAT(suspended.enterable_from().state_ids(), ElementsAre("processing", "fraud"));
  request.set_state_id("no-such-state");
  EXPECT_EQ(refusal(&States::GetOrderState, request).reason, "STATE_NOT_FOUND");
  EXPECT_EQ(refusal(&States::GetOrderState, {}).reason, "INVALID_REQUEST");
}

TEST_P(SettingsTest, AStateMadeAtRunTimeIsAChoiceAtOnce) {
  const std::string id = create(new_order()).order_id();
  const auto made = call(&States::CreateOrderState, new_state("picking"));
  EXPECT_TRUE(made.changed());
  EXPECT_EQ(made.settings_etag(), settings_etag());
  EXPECT_THAT(listed(), testing::Contains("picking"));
  const auto actions = get(id).available_actions();
  EXPECT_TRUE(std::any_of(actions.begin(), actions.end(), [](const auto& action) {
    return action.state_id() == "picking" && action.allowed();
  }));
  EXPECT_EQ(move(id, "picking").order().state_id(), "picking");
  auto rename = change("picking", "display_name");
  rename.mutable_state()->set_display_name("Being picked");
  rename.mutable_state()->set_position(99);  // not in the mask
  const auto renamed = call(&States::UpdateOrderState, rename);
  EXPECT_TRUE(renamed.changed());
  EXPECT_EQ(renamed.state().display_name(), "Being picked");
  EXPECT_EQ(renamed.state().position(), 15);
  EXPECT_FALSE(call(&States::UpdateOrderState, rename).changed());
  // It is there after a restart.
  stop();
  start();
  EXPECT_EQ(get(id).state_id(), "picking");
  EXPECT_THAT(listed(), testing::Contains("picking"));
}

TEST_P(SettingsTest, ADeletedStateIsKeptButNotEntered) {
  const std::string id = create(new_order()).order_id();
  call(&States::CreateOrderState, new_state("picking"));
  move(id, "picking");
  const Failure in_use = refusal(&States::DeleteOrderState, deletion("picking"));
  EXPECT_EQ(in_use.metadata.at("order_count"), "1");
  expect_refused(&States::DeleteOrderState, deletion("picking"), "STATE_IN_USE");
  move(id, "processing");
  EXPECT_TRUE(call(&States::DeleteOrderState, deletion("picking")).changed());
  EXPECT_THAT(listed(), testing::Not(testing::Contains("picking")));
  EXPECT_THAT(listed(true), testing::Contains("picking"));
  pb::UpdateOrderStatusRequest enter;
  enter.set_order_id(id);
  enter.set_state_id("picking");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, enter).reason, "STATE_UNKNOWN");
  expect_refused(&States::DeleteOrderState, deletion("picking"), "STATE_NOT_FOUND",
                 grpc::StatusCode::NOT_FOUND);
  expect_refused(&States::UpdateOrderState, change("picking", "final"), "STATE_NOT_FOUND",
                 grpc::StatusCode::NOT_FOUND);
  expect_refused(&States::CreateOrderState, new_state("picking"), "STATE_EXISTS",
                 grpc::StatusCode::ALREADY_EXISTS);
}

TEST_P(SettingsTest, CountsTheOrdersInAState) {
  std::vector<pb::ImportOrdersRequest> imports;
  for (int i = 0; i < 120; ++i) {
    imports.push_back(new_import("N-" + std::to_string(i)));
    imports.back().set_state_id("completed");
  }
  import(imports);
  EXPECT_EQ(refusal(&States::DeleteOrderState, deletion("completed")).metadata.at("order_count"),
            "120");
}

TEST_P(SettingsTest, WhatIsRefused) {
  expect_refused(&States::CreateOrderState, new_state("new"), "STATE_EXISTS",
                 grpc::StatusCode::ALREADY_EXISTS);
  auto initial = new_state("second");
  initial.mutable_state()->set_initial(true);
  expect_refused(&States::CreateOrderState, initial, "STATE_INITIAL_EXISTS");
  for (const char* from : {"no-such-state", "canceled"}) {  // unknown, final
    auto request = new_state("other");
    request.mutable_state()->mutable_enterable_from()->add_state_ids(from);
    expect_refused(&States::CreateOrderState, request, "STATE_REFERENCE_INVALID");
    auto rewire = change("processing", "enterable_from");
    rewire.mutable_state()->mutable_enterable_from()->add_state_ids(from);
    expect_refused(&States::UpdateOrderState, rewire, "STATE_REFERENCE_INVALID");
  }
  auto unreachable = new_state("island");
  unreachable.mutable_state()->mutable_enterable_from();
  expect_refused(&States::CreateOrderState, unreachable, "STATE_UNREACHABLE");
  auto cut_off = change("processing", "enterable_from");
  cut_off.mutable_state()->mutable_enterable_from();
  expect_refused(&States::UpdateOrderState, cut_off, "STATE_UNREACHABLE");

  expect_refused(&States::DeleteOrderState, deletion("new"), "STATE_LAST_INITIAL");
  expect_refused(&States::UpdateOrderState, change("new", "initial"), "STATE_LAST_INITIAL");
  expect_refused(&States::DeleteOrderState, deletion("canceled"), "STATE_LAST_CANCELED");
  auto other_category = change("canceled", "category");
  other_category.mutable_state()->set_category(pb::STATE_CATEGORY_HELD);
  expect_refused(&States::UpdateOrderState, other_category, "STATE_LAST_CANCELED");
  expect_refused(&States::DeleteOrderState, deletion("fraud"), "STATE_REFERENCED");
  EXPECT_EQ(refusal(&States::DeleteOrderState, deletion("fraud")).metadata.at("referenced_by"),
            "suspended");
  auto final = change("fraud", "final");
  final.mutable_state()->set_final(true);
  expect_refused(&States::UpdateOrderState, final, "STATE_REFERENCED");
  expect_refused(&States::DeleteOrderState, deletion("no-such-state"), "STATE_NOT_FOUND",
                 grpc::StatusCode::NOT_FOUND);

  auto invalid = new_state("Not A Slug");
  invalid.mutable_state()->clear_display_name();
  invalid.mutable_state()->clear_category();
  EXPECT_THAT(
      refusal(&States::CreateOrderState, invalid).fields,
      testing::UnorderedElementsAre("state.state_id", "state.display_name", "state.category"));
  EXPECT_THAT(refusal(&States::UpdateOrderState, change("new", "state_id")).fields,
              ElementsAre("update_mask.paths[0]"));
}

TEST_P(SettingsTest, InitialMovesToAnotherState) {
  auto request = change("processing", "initial");
  request.mutable_state()->set_initial(true);
  EXPECT_TRUE(call(&States::UpdateOrderState, request).changed());
  EXPECT_EQ(create(new_order()).state_id(), "processing");
  EXPECT_TRUE(call(&States::DeleteOrderState, deletion("new")).changed());
}

TEST_P(SettingsTest, ValidateOnlyNamesTheStrandedOrders) {
  // From "a" orders can go on to "b" only; without "b" they could not, nor to any other.
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(new_order()).order_id());
  auto a = new_state("a");
  a.mutable_state()->mutable_enterable_from()->add_state_ids("new");
  call(&States::CreateOrderState, a);
  auto b = new_state("b");
  b.mutable_state()->mutable_enterable_from()->add_state_ids("a");
  call(&States::CreateOrderState, b);
  for (const char* id : {"new", "processing", "completed", "fraud", "canceled"}) {
    auto narrow = change(id, "enterable_from");
    if (std::string(id) != "new")
      narrow.mutable_state()->mutable_enterable_from()->add_state_ids("new");
    narrow.mutable_state()->mutable_enterable_from();
    call(&States::UpdateOrderState, narrow);
  }
  for (const auto& id : ids) move(id, "a");
  auto request = change("b", "enterable_from");
  request.mutable_state()->mutable_enterable_from()->add_state_ids("new");
  request.set_validate_only(true);
  const std::string before = content();
  const auto checked = call(&States::UpdateOrderState, request);
  EXPECT_TRUE(checked.changed());
  EXPECT_EQ(checked.settings_etag(), settings_etag());
  ASSERT_EQ(checked.stranded_size(), 1);
  EXPECT_EQ(checked.stranded(0).state_id(), "a");
  EXPECT_EQ(checked.stranded(0).order_count(), 3);
  EXPECT_THAT(checked.stranded(0).order_ids(), testing::UnorderedElementsAreArray(ids));
  EXPECT_EQ(content(), before);

  request.set_validate_only(false);
  const auto done = call(&States::UpdateOrderState, request);
  EXPECT_TRUE(done.changed());
  EXPECT_EQ(done.stranded_size(), 1);
  pb::UpdateOrderStatusRequest stuck;
  stuck.set_order_id(ids[0]);
  stuck.set_state_id("b");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, stuck).reason, "STATE_NOT_ENTERABLE");
}

TEST_P(SettingsTest, EtagsAndReplays) {
  auto request = new_state("picking");
  request.set_request_id(new_request_id());
  request.set_settings_etag("stale");
  EXPECT_EQ(refusal(&States::CreateOrderState, request).reason, "ETAG_MISMATCH");
  EXPECT_EQ(refusal(&States::CreateOrderState, request).metadata.at("current_etag"),
            settings_etag());
  request.set_settings_etag(settings_etag());
  request.set_validate_only(true);
  EXPECT_TRUE(call(&States::CreateOrderState, request).changed());
  request.set_validate_only(false);
  const auto first = call(&States::CreateOrderState, request);
  EXPECT_FALSE(first.replayed()) << "validate_only is not recorded";
  call(&States::CreateOrderState, new_state("packing"));

  const auto again = call(&States::CreateOrderState, request);
  EXPECT_TRUE(again.replayed());
  EXPECT_TRUE(again.changed());
  EXPECT_EQ(again.settings_etag(), first.settings_etag());
  EXPECT_EQ(again.state().ShortDebugString(), first.state().ShortDebugString());
  request.mutable_state()->set_display_name("Another");
  EXPECT_EQ(refusal(&States::CreateOrderState, request).reason, "REQUEST_ID_REUSED");

  auto missing = change("no-such-state", "final");
  missing.set_settings_etag("stale");
  EXPECT_EQ(refusal(&States::UpdateOrderState, missing).reason, "STATE_NOT_FOUND");
}

TEST_P(SettingsTest, AStateDeletedWhileOrdersMoveIntoItStaysEmpty) {
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(create(new_order()).order_id());
  for (int round = 0; round < 10; ++round) {
    const std::string state = "s" + std::to_string(round);
    call(&States::CreateOrderState, new_state(state));
    std::vector<std::thread> movers;
    std::atomic<int> entered = 0;
    for (const auto& id : ids) {
      movers.emplace_back([&] {
        pb::UpdateOrderStatusRequest request;
        request.set_order_id(id);
        request.set_state_id(state);
        pb::UpdateOrderStatusResponse response;
        const auto status = send(&Orders::UpdateOrderStatus, request, response);
        if (status.ok()) {
          ++entered;
        } else {
          EXPECT_EQ(failure_of(status).reason, "STATE_UNKNOWN");
        }
      });
    }
    pb::DeleteOrderStateResponse response;
    const auto status = send(&States::DeleteOrderState, deletion(state), response);
    for (auto& mover : movers) mover.join();
    if (status.ok()) {
      EXPECT_EQ(entered, 0);
    } else {
      EXPECT_EQ(failure_of(status).reason, "STATE_IN_USE");
    }
  }
}

TEST_P(SettingsTest, AnOrderThatSlippedIntoADeletedStateMayLeave) {
  const std::string id = create(new_order()).order_id();
  call(&States::CreateOrderState, new_state("picking"));
  move(id, "picking");
  // What the checks prevent: a deleted state with an order in it.
  {
    const auto tx = storage_->begin_write(storage::Clock::now() + std::chrono::seconds(30));
    const Settings settings = tx->lock_settings();
    pb::OrderState state = *settings.live_state("picking");
    state.mutable_delete_time()->set_seconds(1'700'000'000);
    tx->save_order_state(state);
    tx->set_settings_version(settings.version + 1);
    tx->commit();
  }
  EXPECT_TRUE(move(id, "processing").changed());
  pb::UpdateOrderStatusRequest back;
  back.set_order_id(id);
  back.set_state_id("picking");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, back).reason, "STATE_UNKNOWN");
}

}  // namespace
}  // namespace orderd::test
