#include "server/engine/settings_editor.h"

#include <gtest/gtest.h>

#include <future>
#include <utility>

#include "server/orders/delivery_states.h"
#include "server/orders/methods.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/storage_test.h"

// Each kind of setting is edited by the same editor.

namespace orderd::test {
namespace {

using engine::SettingsAnswer;
using engine::SettingsEdit;
using engine::SettingsKind;
using EditAnswer = absl::StatusOr<SettingsAnswer>;

class SettingsEditorTest : public EngineTest {
 protected:
  void SetUp() override {
    server_ = std::make_unique<Server>(open());
    editor_ = std::make_unique<engine::SettingsEditor>(*server_->storage, server_->settings);
  }

  EditAnswer edit(SettingsEdit edit) {
    // Shared: the answer may be taken before the promise has been left.
    auto promise = std::make_shared<std::promise<EditAnswer>>();
    editor_->submit(std::move(edit),
                    [promise](EditAnswer done) { promise->set_value(std::move(done)); });
    return get(promise->get_future());
  }

  static SettingsEdit edit_of(SettingsKind kind, const std::string& id) {
    SettingsEdit edit;
    edit.kind = kind;
    edit.id = id;
    return edit;
  }

  EditAnswer create_method(const pb::ShipmentMethod& method, const std::string& request_id = {}) {
    pb::CreateShipmentMethodRequest request;
    *request.mutable_method() = method;
    request.set_request_id(request_id);
    SettingsEdit wanted = edit_of(SettingsKind::kShipmentMethod, method.method_id());
    if (const auto id = Uuid::parse(request_id)) {
      wanted.request = engine::request_key(kActor, "CreateShipmentMethod", *id);
      wanted.body_hash = engine::body_hash(request);
    }
    wanted.must_exist = false;
    wanted.rule = [request](const Settings& settings, Micros) {
      return rules::create_method(request, settings);
    };
    return edit(std::move(wanted));
  }

  EditAnswer delete_method(const std::string& id, bool validate_only = false) {
    pb::DeleteShipmentMethodRequest request;
    request.set_method_id(id);
    SettingsEdit wanted = edit_of(SettingsKind::kShipmentMethod, id);
    wanted.deletes = true;
    wanted.validate_only = validate_only;
    wanted.rule = [request](const Settings& settings, Micros now) {
      return rules::delete_method(request, now, settings);
    };
    return edit(std::move(wanted));
  }

  EditAnswer delete_delivery_state(const std::string& id) {
    pb::DeleteDeliveryStateRequest request;
    request.set_delivery_state_id(id);
    SettingsEdit wanted = edit_of(SettingsKind::kDeliveryState, id);
    wanted.deletes = true;
    wanted.rule = [request](const Settings& settings, Micros now) {
      return rules::delete_delivery_state(request, now, settings);
    };
    return edit(std::move(wanted));
  }

  Settings stored() {
    return server_->storage->begin_read(storage::Clock::now() + kPatience)->load_settings();
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<engine::SettingsEditor> editor_;
};

pb::ShipmentMethod express() {
  pb::ShipmentMethod method;
  method.set_method_id("express");
  method.set_display_name("Express");
  method.set_enabled(true);
  method.set_position(5);
  return method;
}

std::string metadata(const absl::Status& status, const std::string& key) {
  const google::rpc::Status proto = errors::to_proto(status);
  for (const auto& detail : proto.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info.metadata().at(key);
  }
  return {};
}

TEST_P(SettingsEditorTest, MethodsAreMadeAndReplayed) {
  const std::string request_id = Uuid::generate().to_string();
  const auto made = create_method(express(), request_id);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->changed);
  ASSERT_TRUE(made->method.has_value());
  EXPECT_TRUE(same(*made->method, express()));
  EXPECT_FALSE(made->state.has_value());
  EXPECT_TRUE(same(stored().methods.at("express"), express()));
  EXPECT_EQ(server_->settings.get()->version, stored().version);

  const auto replayed = create_method(express(), request_id);
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_TRUE(replayed->replayed);
  EXPECT_EQ(replayed->settings_etag, made->settings_etag);
  EXPECT_TRUE(same(*replayed->method, express()));
  EXPECT_REASON(create_method(express()), "SHIPMENT_METHOD_EXISTS");
}

TEST_P(SettingsEditorTest, AMethodInUseStays) {
  ASSERT_TRUE(create_method(express()).ok());
  // The first enabled method by position is what orders get.
  const auto ids = make_orders(*server_, 3);
  ASSERT_EQ(server_->stored(ids[0])->order.shipments(0).method_id(), "express");
  const Settings before = stored();
  for (const bool validate_only : {true, false}) {
    const auto refused = delete_method("express", validate_only);
    EXPECT_REASON(refused, "SHIPMENT_METHOD_IN_USE");
    EXPECT_EQ(metadata(refused.status(), "order_count"), "3");
  }
  EXPECT_EQ(stored().version, before.version);

  const auto deleted = delete_method("standard");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_TRUE(stored().methods.at("standard").has_delete_time());
  EXPECT_REASON(delete_method("standard"), "SHIPMENT_METHOD_NOT_FOUND");
  EXPECT_REASON(delete_method("new"), "SHIPMENT_METHOD_NOT_FOUND");
}

TEST_P(SettingsEditorTest, ADeliveryStateInUseStays) {
  make_orders(*server_, 2);
  const auto refused = delete_delivery_state("pending");
  EXPECT_FALSE(refused.ok());
  EXPECT_REASON(delete_delivery_state("no-such"), "DELIVERY_STATE_NOT_FOUND");
  EXPECT_REASON(delete_delivery_state("new"), "DELIVERY_STATE_NOT_FOUND");

  const auto deleted = delete_delivery_state("returned");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  ASSERT_TRUE(deleted->delivery_state.has_value());
  EXPECT_TRUE(deleted->delivery_state->has_delete_time());
  EXPECT_TRUE(stored().delivery_states.at("returned").has_delete_time());

  // One that no rule protects but an order's line.
  const Uuid id = make_order(*server_);
  Command into = command_for("UpdateInvoice", pb::UpdateInvoiceRequest());
  into.order_id = id;
  into.rule = [](const rules::Target& target, const rules::Context&) {
    rules::Change change;
    change.after = *target.order;
    change.after->mutable_shipments(0)->mutable_lines(0)->set_delivery_state_id("delivered");
    change.shipments_changed = true;
    return change;
  };
  ASSERT_TRUE(server_->call(std::move(into)).ok());
  const auto used = delete_delivery_state("delivered");
  EXPECT_REASON(used, "DELIVERY_STATE_IN_USE");
  EXPECT_EQ(metadata(used.status(), "order_count"), "1");
}

ORDERD_ON_BOTH_DATABASES(SettingsEditorTest);

}  // namespace
}  // namespace orderd::test
