#include "server/orders/delivery_states.h"
#include "server/orders/lookup.h"
#include "server/orders/methods.h"
#include "tests/unit/rules_fixture.h"

// The rules for delivery states and shipment methods themselves. What delivery states have in
// common with order states is tested in rules_states_test.cc; here, that each of it holds for them
// too, with reasons of their own.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::string_literals;

pb::CreateDeliveryStateRequest make_create(
    const std::string& id = "packed", pb::DeliveryCategory category = pb::DELIVERY_CATEGORY_OPEN) {
  pb::CreateDeliveryStateRequest request;
  *request.mutable_state() = make_delivery_state(id, category, 25);
  return request;
}

pb::UpdateDeliveryStateRequest make_update(const pb::DeliveryState& state,
                                           const std::vector<std::string>& paths) {
  pb::UpdateDeliveryStateRequest request;
  *request.mutable_state() = state;
  for (const auto& path : paths) request.mutable_update_mask()->add_paths(path);
  return request;
}

TEST(DeliveryStateValidation, Create) {
  using S = pb::DeliveryState;
  struct Case {
    std::string name;
    std::function<void(S&)> alter;
    std::string field;
  };
  const std::vector<Case> cases = {
      {"right", [](S&) {}, ""},
      {"no id", [](S& s) { s.clear_delivery_state_id(); }, "state.delivery_state_id"},
      {"no slug", [](S& s) { s.set_delivery_state_id("A b"); }, "state.delivery_state_id"},
      {"no name", [](S& s) { s.clear_display_name(); }, "state.display_name"},
      {"no category", [](S& s) { s.clear_category(); }, "state.category"},
      {"unknown category", [](S& s) { s.set_category(static_cast<pb::DeliveryCategory>(6)); },
       "state.category"},
      {"reference twice",
       [](S& s) {
         enterable_from(s, {"pending", "pending"});
       },
       "state.enterable_from.state_ids[1]"},
      {"initial", [](S& s) { s.set_initial(true); }, ""},
      {"initial and final", [](S& s) { s.set_initial(true), s.set_final(true); }, "state.initial"},
      {"initial and shipped",
       [](S& s) { s.set_initial(true), s.set_category(pb::DELIVERY_CATEGORY_SHIPPED); },
       "state.initial"},
      {"initial and canceled",
       [](S& s) { s.set_initial(true), s.set_category(pb::DELIVERY_CATEGORY_CANCELED); },
       "state.initial"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto request = make_create();
    c.alter(*request.mutable_state());
    if (c.field.empty()) {
      EXPECT_TRUE(validate(request).ok()) << validate(request).message();
    } else {
      EXPECT_ONLY_VIOLATION(validate(request), c.field);
    }
  }
  pb::CreateDeliveryStateRequest empty;
  empty.set_request_id("x");
  empty.set_settings_etag("\xFF");
  EXPECT_THAT(fields_of(validate(empty)), ElementsAre("request_id", "settings_etag", "state"));
}

TEST(DeliveryStateValidation, Others) {
  const auto state = make_delivery_state("pending", pb::DELIVERY_CATEGORY_OPEN, 1);
  for (const auto* path : {"display_name", "category", "initial", "final", "allows_tracking",
                           "enterable_from", "position"}) {
    EXPECT_TRUE(validate(make_update(state, {path})).ok()) << path;
  }
  for (const auto* path : {"", "*", "delivery_state_id", "delete_time", "allows_capture"}) {
    EXPECT_ONLY_VIOLATION(validate(make_update(state, {path})), "update_mask.paths[0]");
  }
  EXPECT_ONLY_VIOLATION(validate(make_update(state, {})), "update_mask");
  EXPECT_ONLY_VIOLATION(validate(make_update({}, {"final"})), "state.delivery_state_id");
  EXPECT_ONLY_VIOLATION(validate(pb::GetDeliveryStateRequest()), "delivery_state_id");
  EXPECT_ONLY_VIOLATION(validate(pb::DeleteDeliveryStateRequest()), "delivery_state_id");
  EXPECT_TRUE(validate(pb::ListDeliveryStatesRequest()).ok());
}

class DeliveryStateSettings : public ::testing::Test {
 protected:
  absl::StatusOr<SettingsChange> update(const std::string& id,
                                        const std::function<void(pb::DeliveryState&)>& alter,
                                        const std::vector<std::string>& paths) {
    auto state = settings_.delivery_states.at(id);
    alter(state);
    return update_delivery_state(make_update(state, paths), settings_);
  }
  absl::StatusOr<SettingsChange> set_enterable(const std::string& id,
                                               const std::vector<std::string>& from) {
    return update(id, [&](auto& s) { enterable_from(s, from); }, {"enterable_from"});
  }
  absl::StatusOr<SettingsChange> set_category(const std::string& id,
                                              pb::DeliveryCategory category) {
    return update(id, [=](auto& s) { s.set_category(category); }, {"category"});
  }
  absl::StatusOr<SettingsChange> set_final(const std::string& id) {
    return update(id, [](auto& s) { s.set_final(true); }, {"final"});
  }
  absl::StatusOr<SettingsChange> remove(const std::string& id) {
    pb::DeleteDeliveryStateRequest request;
    request.set_delivery_state_id(id);
    return delete_delivery_state(request, kNow, settings_);
  }
  void mark_deleted(const std::string& id) {
    *settings_.delivery_states.at(id).mutable_delete_time() = to_timestamp(kNow);
  }

  Settings settings_ = default_settings();
};

TEST_F(DeliveryStateSettings, CreatedAsGiven) {
  auto request = make_create();
  enterable_from(*request.mutable_state(), {"pending"});
  request.mutable_state()->mutable_delete_time()->set_seconds(1);
  const auto change = create_delivery_state(request, settings_);
  ASSERT_TRUE(change.ok());
  EXPECT_TRUE(change->saved.empty() && change->saved_methods.empty());
  ASSERT_EQ(change->saved_delivery_states.size(), 1u);
  request.mutable_state()->clear_delete_time();
  EXPECT_EQ(change->saved_delivery_states[0].SerializeAsString(),
            request.state().SerializeAsString());
  // An order state of that id is another thing.
  EXPECT_TRUE(create_delivery_state(make_create("new"), settings_).ok());
  EXPECT_REFUSED(create_delivery_state(make_create("shipped"), settings_), "DELIVERY_STATE_EXISTS");
  mark_deleted("returned");
  const auto again = create_delivery_state(make_create("returned"), settings_);
  EXPECT_REFUSED(again, "DELIVERY_STATE_EXISTS");
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(metadata_of(again.status(), "delivery_state_id"), "returned");
}

TEST_F(DeliveryStateSettings, AtMost1000) {
  for (int i = 0; settings_.delivery_states.size() < 999; ++i) {
    const std::string id = "s" + std::to_string(i);
    settings_.delivery_states[id] = make_delivery_state(id, pb::DELIVERY_CATEGORY_OPEN, 0);
  }
  const auto last = create_delivery_state(make_create(), settings_);
  ASSERT_TRUE(last.ok());
  settings_ = apply(settings_, *last);
  const auto refused = create_delivery_state(make_create("more"), settings_);
  EXPECT_REFUSED(refused, "TOO_MANY_DELIVERY_STATES");
  EXPECT_EQ(metadata_of(refused.status(), "limit"), "1000");
}

TEST_F(DeliveryStateSettings, OneIsInitial) {
  auto request = make_create();
  request.mutable_state()->set_initial(true);
  const auto refused = create_delivery_state(request, settings_);
  EXPECT_REFUSED(refused, "DELIVERY_STATE_INITIAL_EXISTS");
  EXPECT_EQ(metadata_of(refused.status(), "delivery_state_id"), "pending");

  const auto make_initial = [&] {
    return update("confirmed", [](auto& s) { s.set_initial(true); }, {"initial"});
  };
  EXPECT_REFUSED(make_initial(), "DELIVERY_STATE_UNREACHABLE");
  settings_.delivery_states.at("pending").clear_enterable_from();
  const auto moved = make_initial();
  ASSERT_TRUE(moved.ok()) << moved.status().message();
  EXPECT_EQ(moved->saved_delivery_states.size(), 2u);
  const auto after = apply(settings_, *moved);
  EXPECT_FALSE(after.delivery_states.at("pending").initial());
  EXPECT_EQ(initial_delivery_state(after)->delivery_state_id(), "confirmed");
  EXPECT_REFUSED(update("pending", [](auto& s) { s.set_initial(false); }, {"initial"}),
                 "DELIVERY_STATE_LAST_INITIAL");
  EXPECT_REFUSED(remove("pending"), "DELIVERY_STATE_LAST_INITIAL");
}

TEST_F(DeliveryStateSettings, TheInitialOneIsOpenAndNotFinal) {
  EXPECT_ONLY_VIOLATION(set_final("pending").status(), "state.initial");
  for (const auto category : {pb::DELIVERY_CATEGORY_SHIPPED, pb::DELIVERY_CATEGORY_DELIVERED,
                              pb::DELIVERY_CATEGORY_RETURNED, pb::DELIVERY_CATEGORY_CANCELED}) {
    EXPECT_ONLY_VIOLATION(set_category("pending", category).status(), "state.initial");
  }
  EXPECT_ONLY_VIOLATION(
      update("shipped", [](auto& s) { s.set_initial(true); }, {"initial"}).status(),
      "state.initial");
}

TEST_F(DeliveryStateSettings, OneIsOfCategoryCanceled) {
  EXPECT_REFUSED(remove("canceled"), "DELIVERY_STATE_LAST_CANCELED");
  EXPECT_REFUSED(set_category("canceled", pb::DELIVERY_CATEGORY_RETURNED),
                 "DELIVERY_STATE_LAST_CANCELED");
  settings_.delivery_states["void"] =
      make_delivery_state("void", pb::DELIVERY_CATEGORY_CANCELED, 55);
  EXPECT_EQ(canceled_delivery_state(settings_)->delivery_state_id(), "void");
  EXPECT_TRUE(remove("canceled").ok());
  EXPECT_TRUE(remove("void").ok());
}

TEST_F(DeliveryStateSettings, ReferencesAreLiveNotFinalAndOthers) {
  mark_deleted("returned");
  // "canceled" is final by its category; "new" is an order state.
  for (const auto& id : {"nowhere"s, "returned"s, "canceled"s, "packed"s, "new"s}) {
    SCOPED_TRACE(id);
    auto request = make_create();
    enterable_from(*request.mutable_state(), {"pending", id});
    const auto refused = create_delivery_state(request, settings_);
    EXPECT_REFUSED(refused, "DELIVERY_STATE_REFERENCE_INVALID");
    EXPECT_EQ(metadata_of(refused.status(), "delivery_state_id"), "packed");
    EXPECT_EQ(metadata_of(refused.status(), "referenced_delivery_state_id"), id);
  }
  EXPECT_TRUE(set_enterable("returned", {"shipped"}).status().code() ==
              absl::StatusCode::kNotFound);
  EXPECT_REFUSED(set_enterable("delivered", {"delivered"}), "DELIVERY_STATE_REFERENCE_INVALID");
}

TEST_F(DeliveryStateSettings, AReferencedStateStays) {
  for (const auto& refused : {remove("delivered"), set_final("delivered"),
                              set_category("delivered", pb::DELIVERY_CATEGORY_CANCELED)}) {
    EXPECT_REFUSED(refused, "DELIVERY_STATE_REFERENCED");
    EXPECT_EQ(metadata_of(refused.status(), "referenced_by"), "returned");
    EXPECT_EQ(metadata_of(refused.status(), "delivery_state_id"), "delivered");
  }
  mark_deleted("returned");
  EXPECT_TRUE(remove("delivered").ok());
  EXPECT_TRUE(set_final("delivered").ok());
}

TEST_F(DeliveryStateSettings, DeletedIsKept) {
  const auto change = remove("returned");
  ASSERT_TRUE(change.ok());
  auto expected = settings_.delivery_states.at("returned");
  *expected.mutable_delete_time() = to_timestamp(kNow);
  ASSERT_EQ(change->saved_delivery_states.size(), 1u);
  EXPECT_EQ(change->saved_delivery_states[0].SerializeAsString(), expected.SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_REFUSED(remove("returned"), "DELIVERY_STATE_NOT_FOUND");
  EXPECT_REFUSED(set_final("returned"), "DELIVERY_STATE_NOT_FOUND");
  EXPECT_REFUSED(remove("nowhere"), "DELIVERY_STATE_NOT_FOUND");
  EXPECT_EQ(delivery_category("returned", settings_), pb::DELIVERY_CATEGORY_RETURNED);
  EXPECT_EQ(delivery_category("nowhere", settings_), pb::DELIVERY_CATEGORY_UNSPECIFIED);
}

TEST_F(DeliveryStateSettings, UpdateChangesWhatTheMaskNames) {
  auto wanted = make_delivery_state("confirmed", pb::DELIVERY_CATEGORY_SHIPPED, 99);
  wanted.set_display_name("Packed");
  const auto change = update_delivery_state(
      make_update(wanted, {"display_name", "position", "allows_tracking"}), settings_);
  ASSERT_TRUE(change.ok());
  auto expected = settings_.delivery_states.at("confirmed");
  expected.set_display_name("Packed");
  expected.set_position(99);
  expected.set_allows_tracking(false);
  ASSERT_EQ(change->saved_delivery_states.size(), 1u);
  EXPECT_EQ(change->saved_delivery_states[0].SerializeAsString(), expected.SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_TRUE(update_delivery_state(make_update(wanted, {"display_name"}), settings_)->empty());
}

TEST_F(DeliveryStateSettings, OneThatNoLineCouldEnterIsRefused) {
  EXPECT_REFUSED(set_enterable("shipped", {}), "DELIVERY_STATE_UNREACHABLE");
  auto request = make_create();
  enterable_from(*request.mutable_state(), {});
  EXPECT_REFUSED(create_delivery_state(request, settings_), "DELIVERY_STATE_UNREACHABLE");
  request.mutable_state()->set_category(pb::DELIVERY_CATEGORY_CANCELED);
  EXPECT_TRUE(create_delivery_state(request, settings_).ok()) << "cancellation leads there";
}

pb::CreateShipmentMethodRequest create_request() {
  pb::CreateShipmentMethodRequest request;
  *request.mutable_method() = make_method("dhl", 1);
  request.mutable_method()->set_carrier("DHL");
  request.mutable_method()->set_tracking_url_template("https://dhl.example/{tracking_number}");
  return request;
}

pb::UpdateShipmentMethodRequest update_request(const pb::ShipmentMethod& method,
                                               const std::vector<std::string>& paths) {
  pb::UpdateShipmentMethodRequest request;
  *request.mutable_method() = method;
  for (const auto& path : paths) request.mutable_update_mask()->add_paths(path);
  return request;
}

TEST(MethodValidation, Fields) {
  using M = pb::ShipmentMethod;
  struct Case {
    std::string name;
    std::function<void(M&)> alter;
    std::string path;
  };
  const std::vector<Case> cases = {
      {"no name", [](M& m) { m.clear_display_name(); }, "display_name"},
      {"long name", [](M& m) { m.set_display_name(repeated(kClef, 256)); }, "display_name"},
      {"long carrier", [](M& m) { m.set_carrier(repeated(kClef, 256)); }, "carrier"},
      {"carrier with U+0000", [](M& m) { m.set_carrier("\0"s); }, "carrier"},
      {"no URL", [](M& m) { m.set_tracking_url_template("dhl"); }, "tracking_url_template"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto create = create_request();
    c.alter(*create.mutable_method());
    EXPECT_ONLY_VIOLATION(validate(create), "method." + c.path);
    EXPECT_ONLY_VIOLATION(validate(update_request(create.method(), {c.path})), "method." + c.path);
    EXPECT_TRUE(validate(update_request(create.method(), {"enabled"})).ok()) << "not looked at";
  }
  EXPECT_TRUE(validate(create_request()).ok());
  auto bare = create_request();
  bare.mutable_method()->clear_carrier();
  bare.mutable_method()->clear_tracking_url_template();
  EXPECT_TRUE(validate(bare).ok());
  for (const auto& id : {""s, "A"s, "9"s, std::string(65, 'a'), "a b"s}) {
    bare.mutable_method()->set_method_id(id);
    EXPECT_ONLY_VIOLATION(validate(bare), "method.method_id");
  }
  for (const auto* path : {"", "*", "method_id", "delete_time"}) {
    EXPECT_ONLY_VIOLATION(validate(update_request(create_request().method(), {path})),
                          "update_mask.paths[0]");
  }
  EXPECT_ONLY_VIOLATION(validate(update_request(create_request().method(), {})), "update_mask");
  EXPECT_ONLY_VIOLATION(validate(pb::CreateShipmentMethodRequest()), "method");
  EXPECT_ONLY_VIOLATION(validate(pb::GetShipmentMethodRequest()), "method_id");
  EXPECT_ONLY_VIOLATION(validate(pb::DeleteShipmentMethodRequest()), "method_id");
  EXPECT_TRUE(validate(pb::ListShipmentMethodsRequest()).ok());
}

TEST(MethodValidation, TrackingUrlTemplates) {
  const std::string placeholder = "{tracking_number}";
  const auto check = [](const std::string& url) {
    auto request = create_request();
    request.mutable_method()->set_tracking_url_template(url);
    return validate(request);
  };
  for (const auto& right :
       {""s, "http://h/" + placeholder,
        "https://h.example:8080/a/" + placeholder + "/b?c=d&e=%20#f", "https://h?n=" + placeholder,
        "https://h#" + placeholder, "https://h/" + placeholder + placeholder,
        "https://[::1]/" + placeholder,
        "https://h/" + std::string(1024 - 10 - placeholder.size(), 'x') + placeholder}) {
    EXPECT_TRUE(check(right).ok()) << right << ": " << check(right).message();
  }
  for (const auto& wrong :
       {" "s,
        "h/" + placeholder,
        "//h/" + placeholder,
        "ftp://h/" + placeholder,
        "javascript:alert(" + placeholder + ")",
        "HTTPS://h/" + placeholder,
        "https://" + placeholder,
        "https://" + placeholder + "/x",
        "https://h" + placeholder + "/",
        "https:///" + placeholder,
        "https://h/"s,
        "https://h/{tracking}"s,
        "https://h/{}"s,
        "https://h/ " + placeholder,
        "https://h/<b>" + placeholder,
        "https://h/\"" + placeholder,
        "https://h/\xC3\xA9" + placeholder,
        "https://h/\n" + placeholder,
        "https://h/{x}" + placeholder,
        "https://h/{{tracking_number}}"s,
        "https://h/" + std::string(1025 - 10 - placeholder.size(), 'x') + placeholder}) {
    EXPECT_ONLY_VIOLATION(check(wrong), "method.tracking_url_template");
  }
}

class Methods : public ::testing::Test {
 protected:
  absl::StatusOr<SettingsChange> remove(const std::string& id) {
    pb::DeleteShipmentMethodRequest request;
    request.set_method_id(id);
    return delete_method(request, kNow, settings_);
  }

  Settings settings_ = default_settings();
};

TEST_F(Methods, CreatedAsGiven) {
  auto request = create_request();
  request.mutable_method()->mutable_delete_time()->set_seconds(1);
  const auto change = create_method(request, settings_);
  ASSERT_TRUE(change.ok());
  EXPECT_TRUE(change->saved.empty() && change->saved_delivery_states.empty());
  ASSERT_EQ(change->saved_methods.size(), 1u);
  EXPECT_EQ(change->saved_methods[0].SerializeAsString(),
            create_request().method().SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_EQ(default_method(settings_)->method_id(), "dhl") << "the first one enabled";
  EXPECT_REFUSED(create_method(request, settings_), "SHIPMENT_METHOD_EXISTS");
  settings_ = apply(settings_, *remove("dhl"));
  EXPECT_REFUSED(create_method(request, settings_), "SHIPMENT_METHOD_EXISTS");
  EXPECT_EQ(default_method(settings_)->method_id(), "standard");
}

TEST_F(Methods, AtMost1000) {
  for (int i = 0; settings_.methods.size() < 999; ++i) {
    const std::string id = "m" + std::to_string(i);
    settings_.methods[id] = make_method(id, 0);
  }
  const auto last = create_method(create_request(), settings_);
  ASSERT_TRUE(last.ok());
  settings_ = apply(settings_, *last);
  auto more = create_request();
  more.mutable_method()->set_method_id("more");
  EXPECT_REFUSED(create_method(more, settings_), "TOO_MANY_SHIPMENT_METHODS");
}

TEST_F(Methods, UpdateChangesWhatTheMaskNames) {
  auto wanted = make_method("express", 7, false);
  wanted.set_carrier("UPS");
  const auto change = update_method(update_request(wanted, {"carrier", "enabled"}), settings_);
  ASSERT_TRUE(change.ok());
  auto expected = settings_.methods.at("express");
  expected.set_carrier("UPS");
  expected.set_enabled(false);
  ASSERT_EQ(change->saved_methods.size(), 1u);
  EXPECT_EQ(change->saved_methods[0].SerializeAsString(), expected.SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_TRUE(update_method(update_request(wanted, {"carrier", "enabled"}), settings_)->empty());
  wanted.set_method_id("nothing");
  EXPECT_REFUSED(update_method(update_request(wanted, {"carrier"}), settings_),
                 "SHIPMENT_METHOD_NOT_FOUND");
}

TEST_F(Methods, DeletedIsKept) {
  const auto change = remove("express");
  ASSERT_TRUE(change.ok());
  auto expected = settings_.methods.at("express");
  *expected.mutable_delete_time() = to_timestamp(kNow);
  ASSERT_EQ(change->saved_methods.size(), 1u);
  EXPECT_EQ(change->saved_methods[0].SerializeAsString(), expected.SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_REFUSED(remove("express"), "SHIPMENT_METHOD_NOT_FOUND");
  EXPECT_REFUSED(update_method(update_request(expected, {"carrier"}), settings_),
                 "SHIPMENT_METHOD_NOT_FOUND");
  // The last one, too: orders do without.
  for (const auto* id : {"standard", "pickup", "old"}) settings_ = apply(settings_, *remove(id));
  EXPECT_EQ(default_method(settings_), nullptr);
}

TEST_F(Methods, DisabledIsKnown) {
  EXPECT_EQ(errors::reason(check_method("old", true, settings_)), "SHIPMENT_METHOD_DISABLED");
  EXPECT_TRUE(check_method("old", false, settings_).ok());
  settings_ = apply(settings_, *remove("old"));
  EXPECT_EQ(errors::reason(check_method("old", false, settings_)), "SHIPMENT_METHOD_UNKNOWN");
}

}  // namespace
}  // namespace orderd::rules
