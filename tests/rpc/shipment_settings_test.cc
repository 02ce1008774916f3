#include <atomic>
#include <thread>

#include "tests/rpc/shipments_fixture.h"

// The settings of delivery states and shipment methods, over the channel.

namespace orderd::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr auto kPrecondition = grpc::StatusCode::FAILED_PRECONDITION;
constexpr auto kExists = grpc::StatusCode::ALREADY_EXISTS;
constexpr auto kNotFound = grpc::StatusCode::NOT_FOUND;

class ShipmentSettingsTest : public ShipmentsRpcTest {
 protected:
  /// A delivery state that can be entered from everywhere.
  static pb::CreateDeliveryStateRequest new_state(const std::string& id) {
    pb::CreateDeliveryStateRequest request;
    auto& state = *request.mutable_state();
    state.set_delivery_state_id(id);
    state.set_display_name("State " + id);
    state.set_category(pb::DELIVERY_CATEGORY_OPEN);
    state.set_position(15);
    return request;
  }
  static pb::UpdateDeliveryStateRequest state_change(const std::string& id,
                                                     const std::string& path) {
    pb::UpdateDeliveryStateRequest request;
    request.mutable_state()->set_delivery_state_id(id);
    request.mutable_update_mask()->add_paths(path);
    return request;
  }
  static pb::DeleteDeliveryStateRequest state_deletion(const std::string& id) {
    pb::DeleteDeliveryStateRequest request;
    request.set_delivery_state_id(id);
    return request;
  }
  static pb::UpdateShipmentMethodRequest method_change(const std::string& id,
                                                       const std::string& path) {
    pb::UpdateShipmentMethodRequest request;
    request.mutable_method()->set_method_id(id);
    request.mutable_update_mask()->add_paths(path);
    return request;
  }
  static pb::DeleteShipmentMethodRequest method_deletion(const std::string& id) {
    pb::DeleteShipmentMethodRequest request;
    request.set_method_id(id);
    return request;
  }

  std::vector<std::string> states(bool include_deleted = false) {
    pb::ListDeliveryStatesRequest request;
    request.set_include_deleted(include_deleted);
    const auto answer = call(&States::ListDeliveryStates, request);
    EXPECT_EQ(answer.settings_etag(), settings_etag());
    std::vector<std::string> ids;
    for (const auto& state : answer.states()) ids.push_back(state.delivery_state_id());
    return ids;
  }
  std::vector<std::string> methods(bool include_deleted = false) {
    pb::ListShipmentMethodsRequest request;
    request.set_include_deleted(include_deleted);
    const auto answer = call(&States::ListShipmentMethods, request);
    EXPECT_EQ(answer.settings_etag(), settings_etag());
    std::vector<std::string> ids;
    for (const auto& method : answer.methods()) ids.push_back(method.method_id());
    return ids;
  }
  pb::DeliveryState get_state(const std::string& id) {
    pb::GetDeliveryStateRequest request;
    request.set_delivery_state_id(id);
    return call(&States::GetDeliveryState, request).state();
  }
  pb::ShipmentMethod get_method(const std::string& id) {
    pb::GetShipmentMethodRequest request;
    request.set_method_id(id);
    return call(&States::GetShipmentMethod, request).method();
  }

  std::string configuration() {
    pb::ListDeliveryStatesRequest all_states;
    all_states.set_include_deleted(true);
    pb::ListShipmentMethodsRequest all_methods;
    all_methods.set_include_deleted(true);
    return content() + call(&States::ListDeliveryStates, all_states).ShortDebugString() +
           call(&States::ListShipmentMethods, all_methods).ShortDebugString();
  }

  template <class Method, class Request>
  Failure expect_refused(Method method, const Request& request, const std::string& reason,
                         grpc::StatusCode code = kPrecondition) {
    SCOPED_TRACE(request.ShortDebugString());
    const std::string before = configuration();
    Request validate_only = request;
    validate_only.set_validate_only(true);
    Failure failure;
    for (const auto& asked : {validate_only, request}) {
      failure = refusal(method, asked);
      EXPECT_EQ(failure.reason, reason) << failure.message;
      EXPECT_EQ(failure.code, code);
      EXPECT_EQ(failure.has_precondition, code == kPrecondition);
      EXPECT_EQ(failure.has_resource, code == kExists || code == kNotFound);
    }
    EXPECT_EQ(configuration(), before);
    return failure;
  }

  /// `validate_only` answers what the call then does, and writes nothing; a replay answers the same
  /// and changes nothing; another body, and a stale etag, are refused.
  template <class Method, class Request, class Spoil>
  auto expect_careful(Method method, Request request, const Spoil& spoil) {
    SCOPED_TRACE(request.ShortDebugString());
    const std::string before = configuration();
    const std::string etag = settings_etag();
    request.set_request_id(new_request_id());
    request.set_settings_etag("stale");
    EXPECT_EQ(refusal(method, request).metadata.at("current_etag"), etag);
    request.set_settings_etag(etag);
    request.set_validate_only(true);
    auto would = call(method, request);
    EXPECT_TRUE(would.changed());
    EXPECT_FALSE(would.replayed());
    EXPECT_EQ(would.settings_etag(), etag);
    EXPECT_EQ(configuration(), before);

    request.set_validate_only(false);
    const auto done = call(method, request);
    EXPECT_TRUE(done.changed());
    EXPECT_FALSE(done.replayed());
    EXPECT_NE(done.settings_etag(), etag);
    EXPECT_EQ(done.settings_etag(), settings_etag());
    would.set_settings_etag(done.settings_etag());
    EXPECT_EQ(would.ShortDebugString(), done.ShortDebugString());

    const std::string after = configuration();
    auto again = call(method, request);  // its etag is stale by now
    EXPECT_TRUE(again.replayed());
    again.set_replayed(false);
    EXPECT_EQ(again.ShortDebugString(), done.ShortDebugString());
    spoil(request);
    EXPECT_EQ(refusal(method, request).reason, "REQUEST_ID_REUSED");
    EXPECT_EQ(configuration(), after);
    return done;
  }
};
ORDERD_ON_BOTH_DATABASES(ShipmentSettingsTest);

TEST_P(ShipmentSettingsTest, Defaults) {
  EXPECT_THAT(states(),
              ElementsAre("pending", "confirmed", "shipped", "delivered", "returned", "canceled"));
  EXPECT_TRUE(get_state("pending").initial());
  EXPECT_FALSE(get_state("pending").allows_tracking());
  EXPECT_EQ(get_state("shipped").category(), pb::DELIVERY_CATEGORY_SHIPPED);
  EXPECT_THAT(get_state("shipped").enterable_from().state_ids(),
              ElementsAre("pending", "confirmed"));
  EXPECT_EQ(methods(),
            std::vector<std::string>({"standard", "courier", "express", "old", "pickup"}));
  EXPECT_TRUE(get_method("standard").enabled());

  pb::GetDeliveryStateRequest no_state;
  no_state.set_delivery_state_id("new");  // an order state
  EXPECT_EQ(refusal(&States::GetDeliveryState, no_state).reason, "DELIVERY_STATE_NOT_FOUND");
  EXPECT_EQ(refusal(&States::GetDeliveryState, {}).fields,
            std::vector<std::string>{"delivery_state_id"});
  pb::GetShipmentMethodRequest no_method;
  no_method.set_method_id("no-such-method");
  EXPECT_EQ(refusal(&States::GetShipmentMethod, no_method).reason, "SHIPMENT_METHOD_NOT_FOUND");
  EXPECT_EQ(refusal(&States::GetShipmentMethod, {}).fields, std::vector<std::string>{"method_id"});
}

TEST_P(ShipmentSettingsTest, ADeliveryStateFromItsCreationToItsEnd) {
  const std::string id = create(order_of({3})).order_id();
  auto packed = new_state("packed");
  packed.mutable_state()->set_allows_tracking(true);
  packed.mutable_state()->mutable_delete_time()->set_seconds(1);  // output only
  const auto made = expect_careful(&States::CreateDeliveryState, packed, [](auto& request) {
    request.mutable_state()->set_display_name("Another");
  });
  packed.mutable_state()->clear_delete_time();
  EXPECT_EQ(made.state().ShortDebugString(), packed.state().ShortDebugString());
  EXPECT_EQ(get_state("packed").ShortDebugString(), packed.state().ShortDebugString());
  EXPECT_EQ(states()[1], "packed");
  // It is a choice at once.
  const auto moved = change(id, {set_state(pieces("1", 2), "packed"),
                                 set_tracking(get(id).shipments(0).shipment_id(), {"T-1"})});
  EXPECT_EQ(lines_of(moved.order(), "1").size(), 2u);

  auto rename = state_change("packed", "display_name");
  rename.mutable_state()->set_display_name("In a box");
  rename.mutable_state()->set_position(99);  // not in the mask
  const auto renamed = expect_careful(&States::UpdateDeliveryState, rename, [](auto& request) {
    request.mutable_update_mask()->add_paths("position");
  });
  EXPECT_EQ(renamed.state().display_name(), "In a box");
  EXPECT_EQ(renamed.state().position(), 15);
  EXPECT_FALSE(call(&States::UpdateDeliveryState, rename).changed());
  stop();
  start();  // it is there after a restart
  EXPECT_EQ(get_state("packed").ShortDebugString(), renamed.state().ShortDebugString());

  // Two lines of one order and one of another: two orders.
  const std::string other = create(order_of({1, 1})).order_id();
  change(other, {set_state(items({"1"}), "packed", 1'700'000'000),
                 set_state(items({"2"}), "packed", 1'700'000'060)});
  const Failure in_use = expect_refused(&States::DeleteDeliveryState, state_deletion("packed"),
                                        "DELIVERY_STATE_IN_USE");
  EXPECT_EQ(in_use.metadata.at("order_count"), "2");
  auto lets_out = state_change("shipped", "enterable_from");
  for (const char* from : {"pending", "confirmed", "packed"}) {
    lets_out.mutable_state()->mutable_enterable_from()->add_state_ids(from);
  }
  EXPECT_TRUE(call(&States::UpdateDeliveryState, lets_out).changed());
  for (const auto& order : {id, other}) change(order, {set_state(all_lines(), "shipped")});
  const Failure referenced = expect_refused(&States::DeleteDeliveryState, state_deletion("packed"),
                                            "DELIVERY_STATE_REFERENCED");
  EXPECT_EQ(referenced.metadata.at("referenced_by"), "shipped");
  lets_out.mutable_state()->mutable_enterable_from()->mutable_state_ids()->RemoveLast();
  EXPECT_TRUE(call(&States::UpdateDeliveryState, lets_out).changed());
  expect_careful(&States::DeleteDeliveryState, state_deletion("packed"),
                 [](auto& request) { request.set_delivery_state_id("returned"); });

  // Kept, but not entered.
  EXPECT_THAT(states(), Not(Contains("packed")));
  EXPECT_THAT(states(true), Contains("packed"));
  EXPECT_TRUE(get_state("packed").has_delete_time());
  const std::string late = create(order_of({1})).order_id();
  EXPECT_EQ(refused(late, {set_state(all_lines(), "packed")}).reason, "DELIVERY_STATE_UNKNOWN");
  expect_refused(&States::DeleteDeliveryState, state_deletion("packed"), "DELIVERY_STATE_NOT_FOUND",
                 kNotFound);
  expect_refused(&States::UpdateDeliveryState, rename, "DELIVERY_STATE_NOT_FOUND", kNotFound);
  expect_refused(&States::CreateDeliveryState, packed, "DELIVERY_STATE_EXISTS", kExists);
}

TEST_P(ShipmentSettingsTest, DeliveryStatesThatAreRefused) {
  expect_refused(&States::CreateDeliveryState, new_state("pending"), "DELIVERY_STATE_EXISTS",
                 kExists);
  auto initial = new_state("second");
  initial.mutable_state()->set_initial(true);
  expect_refused(&States::CreateDeliveryState, initial, "DELIVERY_STATE_INITIAL_EXISTS");
  for (const char* from : {"no-such-state", "canceled", "other"}) {  // unknown, final, itself
    auto request = new_state("other");
    request.mutable_state()->mutable_enterable_from()->add_state_ids(from);
    expect_refused(&States::CreateDeliveryState, request, "DELIVERY_STATE_REFERENCE_INVALID");
  }
  auto island = new_state("island");
  island.mutable_state()->mutable_enterable_from();
  expect_refused(&States::CreateDeliveryState, island, "DELIVERY_STATE_UNREACHABLE");
  auto cut_off = state_change("delivered", "enterable_from");
  cut_off.mutable_state()->mutable_enterable_from();
  expect_refused(&States::UpdateDeliveryState, cut_off, "DELIVERY_STATE_UNREACHABLE");
  expect_refused(&States::DeleteDeliveryState, state_deletion("pending"),
                 "DELIVERY_STATE_LAST_INITIAL");
  expect_refused(&States::UpdateDeliveryState, state_change("pending", "initial"),
                 "DELIVERY_STATE_LAST_INITIAL");
  expect_refused(&States::DeleteDeliveryState, state_deletion("canceled"),
                 "DELIVERY_STATE_LAST_CANCELED");
  auto other_category = state_change("canceled", "category");
  other_category.mutable_state()->set_category(pb::DELIVERY_CATEGORY_RETURNED);
  expect_refused(&States::UpdateDeliveryState, other_category, "DELIVERY_STATE_LAST_CANCELED");
  expect_refused(&States::DeleteDeliveryState, state_deletion("shipped"),
                 "DELIVERY_STATE_REFERENCED");
  auto final = state_change("shipped", "final");
  final.mutable_state()->set_final(true);
  expect_refused(&States::UpdateDeliveryState, final, "DELIVERY_STATE_REFERENCED");
  expect_refused(&States::DeleteDeliveryState, state_deletion("new"), "DELIVERY_STATE_NOT_FOUND",
                 kNotFound);

  auto invalid = new_state("Not A Slug");
  invalid.set_request_id("no uuid");
  invalid.mutable_state()->clear_display_name();
  invalid.mutable_state()->set_category(static_cast<pb::DeliveryCategory>(77));
  EXPECT_THAT(refusal(&States::CreateDeliveryState, invalid).fields,
              UnorderedElementsAre("request_id", "state.delivery_state_id", "state.display_name",
                                   "state.category"));
  EXPECT_THAT(refusal(&States::CreateDeliveryState, {}).fields, ElementsAre("state"));
  EXPECT_THAT(
      refusal(&States::UpdateDeliveryState, state_change("pending", "delivery_state_id")).fields,
      ElementsAre("update_mask.paths[0]"));
  auto shipped_first = state_change("shipped", "initial");
  shipped_first.mutable_state()->set_initial(true);
  EXPECT_THAT(refusal(&States::UpdateDeliveryState, shipped_first).fields,
              ElementsAre("state.initial"));
}

TEST_P(ShipmentSettingsTest, InitialMovesToAnotherDeliveryState) {
  auto request = state_change("confirmed", "initial");
  request.mutable_state()->set_initial(true);
  // Nothing leads to "pending" but creation.
  expect_refused(&States::UpdateDeliveryState, request, "DELIVERY_STATE_UNREACHABLE");
  auto back = state_change("pending", "enterable_from");
  back.mutable_state()->mutable_enterable_from()->add_state_ids("confirmed");
  EXPECT_TRUE(call(&States::UpdateDeliveryState, back).changed());
  EXPECT_TRUE(call(&States::UpdateDeliveryState, request).changed());
  EXPECT_FALSE(get_state("pending").initial());
  const pb::Order order = create(order_of({1}));
  EXPECT_EQ(lines_of(order, "1")[0].delivery_state_id(), "confirmed");
}

TEST_P(ShipmentSettingsTest, AShipmentMethodFromItsCreationToItsEnd) {
  auto drone = new_method("drone", "https://drone.example/{tracking_number}");
  drone.mutable_method()->set_carrier("Sky");
  drone.mutable_method()->mutable_delete_time()->set_seconds(1);  // output only
  const auto made = expect_careful(&States::CreateShipmentMethod, drone, [](auto& request) {
    request.mutable_method()->set_carrier("Sea");
  });
  drone.mutable_method()->clear_delete_time();
  EXPECT_EQ(made.method().ShortDebugString(), drone.method().ShortDebugString());
  const std::string id = create(order_of({2})).order_id();
  change(id, {set_method(pieces("1", 1), "drone")});
  const std::string other = create(order_of({1})).order_id();
  change(other, {set_method(all_lines(), "drone")});

  // Disabled it can't be chosen, and stays where it is.
  const auto disabled =
      expect_careful(&States::UpdateShipmentMethod, method_change("drone", "enabled"),
                     [](auto& request) { request.mutable_method()->set_enabled(true); });
  EXPECT_FALSE(disabled.method().enabled());
  EXPECT_EQ(disabled.method().carrier(), "Sky");
  EXPECT_FALSE(call(&States::UpdateShipmentMethod, method_change("drone", "enabled")).changed());
  EXPECT_EQ(refused(id, {set_method(all_lines(), "drone")}).reason, "SHIPMENT_METHOD_DISABLED");
  EXPECT_EQ(get(other).shipments(0).method_id(), "drone");
  stop();
  start();
  EXPECT_EQ(get_method("drone").ShortDebugString(), disabled.method().ShortDebugString());

  const Failure in_use = expect_refused(&States::DeleteShipmentMethod, method_deletion("drone"),
                                        "SHIPMENT_METHOD_IN_USE");
  EXPECT_EQ(in_use.metadata.at("order_count"), "2");
  for (const auto& order : {id, other}) change(order, {set_method(all_lines(), "pickup")});
  expect_careful(&States::DeleteShipmentMethod, method_deletion("drone"),
                 [](auto& request) { request.set_method_id("old"); });
  EXPECT_THAT(methods(), Not(Contains("drone")));
  EXPECT_THAT(methods(true), Contains("drone"));
  EXPECT_TRUE(get_method("drone").has_delete_time());
  EXPECT_EQ(refused(id, {set_method(all_lines(), "drone")}).reason, "SHIPMENT_METHOD_UNKNOWN");
  expect_refused(&States::DeleteShipmentMethod, method_deletion("drone"),
                 "SHIPMENT_METHOD_NOT_FOUND", kNotFound);
  expect_refused(&States::UpdateShipmentMethod, method_change("drone", "enabled"),
                 "SHIPMENT_METHOD_NOT_FOUND", kNotFound);
  expect_refused(&States::CreateShipmentMethod, drone, "SHIPMENT_METHOD_EXISTS", kExists);
}

TEST_P(ShipmentSettingsTest, ShipmentMethodsThatAreRefused) {
  expect_refused(&States::CreateShipmentMethod, new_method("old"), "SHIPMENT_METHOD_EXISTS",
                 kExists);
  for (const char* url :
       {"ftp://x.example/{tracking_number}", "https://x.example/", "x.example/{tracking_number}",
        "https://{tracking_number}/", "https://x.example/{tracking_number}/\"><script>",
        "javascript:alert({tracking_number})"}) {
    EXPECT_THAT(refusal(&States::CreateShipmentMethod, new_method("x", url)).fields,
                ElementsAre("method.tracking_url_template"))
        << url;
    auto change = method_change("express", "tracking_url_template");
    change.mutable_method()->set_tracking_url_template(url);
    EXPECT_THAT(refusal(&States::UpdateShipmentMethod, change).fields,
                ElementsAre("method.tracking_url_template"))
        << url;
  }
  auto invalid = new_method("Not A Slug");
  invalid.set_request_id("no uuid");
  invalid.mutable_method()->clear_display_name();
  invalid.mutable_method()->set_carrier(repeat("x", 256));
  EXPECT_THAT(refusal(&States::CreateShipmentMethod, invalid).fields,
              UnorderedElementsAre("request_id", "method.method_id", "method.display_name",
                                   "method.carrier"));
  EXPECT_THAT(refusal(&States::CreateShipmentMethod, {}).fields, ElementsAre("method"));
  EXPECT_THAT(refusal(&States::UpdateShipmentMethod, method_change("old", "method_id")).fields,
              ElementsAre("update_mask.paths[0]"));
  EXPECT_EQ(methods(true).size(), 5u);
}

TEST_P(ShipmentSettingsTest, TheFirstEnabledMethodIsTheDefault) {
  call(&States::UpdateShipmentMethod, method_change("standard", "enabled"));
  EXPECT_EQ(create(order_of({1})).shipments(0).method_id(), "courier");
  for (const char* id : {"courier", "express", "pickup"}) {
    call(&States::UpdateShipmentMethod, method_change(id, "enabled"));
  }
  const pb::Order order = create(order_of({1}));
  EXPECT_EQ(order.shipments(0).method_id(), "");
  auto enable = method_change("old", "enabled");
  enable.mutable_method()->set_enabled(true);
  call(&States::UpdateShipmentMethod, enable);
  change(order.order_id(), {set_method(all_lines(), "old")});
}

TEST_P(ShipmentSettingsTest, AMethodDeletedWhileOrdersChooseItStaysUnused) {
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(create(order_of({1})).order_id());
  for (int round = 0; round < 10; ++round) {
    const std::string name = "m" + std::to_string(round);
    add_method(name);
    std::vector<std::thread> clients;
    std::atomic<int> chosen = 0;
    for (const auto& id : ids) {
      clients.emplace_back([&] {
        pb::UpdateShipmentsResponse response;
        const auto status =
            send(&Orders::UpdateShipments, ship(id, {set_method(all_lines(), name)}), response);
        if (status.ok()) {
          ++chosen;
        } else {
          EXPECT_EQ(failure_of(status).reason, "SHIPMENT_METHOD_UNKNOWN");
        }
      });
    }
    pb::DeleteShipmentMethodResponse response;
    const auto status = send(&States::DeleteShipmentMethod, method_deletion(name), response);
    for (auto& client : clients) client.join();
    if (status.ok()) {
      EXPECT_EQ(chosen, 0);
    } else {
      EXPECT_EQ(failure_of(status).reason, "SHIPMENT_METHOD_IN_USE");
    }
  }
}

TEST_P(ShipmentSettingsTest, ALineThatSlippedIntoADeletedStateMayLeave) {
  call(&States::CreateDeliveryState, new_state("limbo"));
  const std::string id = create(order_of({2})).order_id();
  change(id, {set_state(pieces("1", 1), "limbo")});
  // What the checks prevent: a deleted state with a line in it.
  {
    const auto tx = storage_->begin_write(storage::Clock::now() + std::chrono::seconds(30));
    const Settings settings = tx->lock_settings();
    pb::DeliveryState deleted = settings.delivery_states.at("limbo");
    deleted.mutable_delete_time()->set_seconds(1'700'000'000);
    tx->save_delivery_state(deleted);
    tx->set_settings_version(settings.version + 1);
    tx->commit();
  }
  // Reads may not have seen the new settings yet, a write has.
  EXPECT_EQ(refusal(&Orders::UpdateShipments, ship(id, {set_state(items({"1"}), "limbo")})).reason,
            "DELIVERY_STATE_UNKNOWN");
  const auto answer = change(id, {set_state(all_lines(), "shipped", 1'700'000'000)});
  EXPECT_THAT(answer.results(0).skipped_line_ids(), testing::IsEmpty());
  EXPECT_EQ(lines_of(answer.order(), "1").size(), 1u);
}

}  // namespace
}  // namespace orderd::test
