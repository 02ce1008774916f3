#include <gtest/gtest.h>

#include <utility>

#include "tests/engine/settings_edits.h"
#include "tests/support/storage_test.h"

// Each kind of setting is edited by the same editor.

namespace orderd::test {
namespace {

class SettingsEditorTest : public EngineTest {
 protected:
  void SetUp() override {
    server_ = std::make_unique<Server>(open());
    editor_ = std::make_unique<SettingsEditor>(*server_->storage, server_->settings);
  }

  EditAnswer edit(SettingsEdit wanted) { return submit(*editor_, std::move(wanted)); }

  EditAnswer make_initial(const std::string& id, const std::string& expected_etag = {}) {
    pb::UpdateDeliveryStateRequest request;
    request.mutable_state()->set_delivery_state_id(id);
    request.mutable_state()->set_initial(true);
    request.mutable_update_mask()->add_paths("initial");
    SettingsEdit wanted = update(request);
    wanted.expected_etag = expected_etag;
    return edit(std::move(wanted));
  }

  Settings stored() {
    return server_->storage->begin_read(storage::Clock::now() + kPatience)->load_settings();
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<SettingsEditor> editor_;
};

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
  const auto made = edit(create_method("express", 5, request_id));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->changed);
  ASSERT_TRUE(made->method.has_value());
  EXPECT_EQ(made->method->display_name(), "express");
  EXPECT_TRUE(made->method->enabled());
  EXPECT_FALSE(made->state.has_value());
  EXPECT_TRUE(same(stored().methods.at("express"), *made->method));
  EXPECT_EQ(server_->settings.get()->version, stored().version);

  const auto replayed = edit(create_method("express", 5, request_id));
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_TRUE(replayed->replayed);
  EXPECT_EQ(replayed->settings_etag, made->settings_etag);
  EXPECT_TRUE(same(*replayed->method, *made->method));
  EXPECT_REASON(edit(create_method("express", 6, request_id)), "REQUEST_ID_REUSED");
  EXPECT_REASON(edit(create_method("express", 5)), "SHIPMENT_METHOD_EXISTS");
}

TEST_P(SettingsEditorTest, AMethodInUseStays) {
  ASSERT_TRUE(edit(create_method("express", 5)).ok());
  // The first enabled method by position is what orders get.
  const auto ids = make_orders(*server_, 3);
  ASSERT_EQ(server_->stored(ids[0])->order->shipments(0).method_id(), "express");
  const Settings before = stored();
  for (const bool validate_only : {true, false}) {
    SettingsEdit wanted = delete_method("express");
    wanted.validate_only = validate_only;
    const auto refused = edit(std::move(wanted));
    EXPECT_REASON(refused, "SHIPMENT_METHOD_IN_USE");
    EXPECT_EQ(metadata(refused.status(), "order_count"), "3");
  }
  EXPECT_EQ(stored().version, before.version);

  const auto deleted = edit(delete_method("standard"));
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_TRUE(stored().methods.at("standard").has_delete_time());
  EXPECT_REASON(edit(delete_method("standard")), "SHIPMENT_METHOD_NOT_FOUND");
  EXPECT_REASON(edit(delete_method("new")), "SHIPMENT_METHOD_NOT_FOUND");
}

TEST_P(SettingsEditorTest, ADeliveryStateInUseStays) {
  make_orders(*server_, 2);
  const auto refused = edit(delete_delivery_state("pending"));
  EXPECT_FALSE(refused.ok());
  EXPECT_REASON(edit(delete_delivery_state("no-such")), "DELIVERY_STATE_NOT_FOUND");
  EXPECT_REASON(edit(delete_delivery_state("new")), "DELIVERY_STATE_NOT_FOUND");

  const auto deleted = edit(delete_delivery_state("returned"));
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
  const auto used = edit(delete_delivery_state("delivered"));
  EXPECT_REASON(used, "DELIVERY_STATE_IN_USE");
  EXPECT_EQ(metadata(used.status(), "order_count"), "1");
}

TEST_P(SettingsEditorTest, ValidateOnlyWritesNothing) {
  const Settings before = stored();
  const auto tried = edit(validate_only(create_delivery_state("arrived")));
  ASSERT_TRUE(tried.ok()) << tried.status();
  EXPECT_TRUE(tried->changed);
  ASSERT_TRUE(tried->delivery_state.has_value());
  EXPECT_EQ(tried->delivery_state->display_name(), "arrived");
  EXPECT_EQ(tried->settings_etag, std::to_string(before.version));
  EXPECT_REASON(edit(validate_only(create_delivery_state("pending"))), "DELIVERY_STATE_EXISTS");
  const auto deleted = edit(validate_only(delete_method("standard")));
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_TRUE(deleted->changed);
  EXPECT_EQ(stored().version, before.version);
  EXPECT_FALSE(stored().delivery_states.contains("arrived"));
  EXPECT_FALSE(stored().methods.at("standard").has_delete_time());
}

TEST_P(SettingsEditorTest, TheInitialDeliveryStateMovesAtOnce) {
  // Nothing leads to Pending but creation.
  EXPECT_REASON(make_initial("confirmed"), "DELIVERY_STATE_UNREACHABLE");
  ASSERT_TRUE(edit(create_delivery_state("arrived")).ok());
  EXPECT_REASON(make_initial("arrived"), "DELIVERY_STATE_UNREACHABLE");
  pb::UpdateDeliveryStateRequest open_up;
  open_up.mutable_state()->set_delivery_state_id("pending");
  open_up.mutable_update_mask()->add_paths("enterable_from");
  const auto opened = edit(update(open_up));
  ASSERT_TRUE(opened.ok()) << opened.status();

  EXPECT_REASON(make_initial("arrived", "1"), "ETAG_MISMATCH");
  EXPECT_REASON(make_initial("nowhere", "1"), "DELIVERY_STATE_NOT_FOUND");
  const auto moved = make_initial("arrived", opened->settings_etag);
  ASSERT_TRUE(moved.ok()) << moved.status();
  const Settings after = stored();
  EXPECT_TRUE(after.delivery_states.at("arrived").initial());
  EXPECT_FALSE(after.delivery_states.at("pending").initial());
  EXPECT_EQ(after.version, 1 + std::stoll(opened->settings_etag));
  const auto again = make_initial("arrived");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(stored().version, after.version);
  // Orders start there from now on.
  const OrderPtr order = server_->stored(make_order(*server_));
  EXPECT_EQ(order->order->shipments(0).lines(0).delivery_state_id(), "arrived");
}

ORDERD_ON_BOTH_DATABASES(SettingsEditorTest);

}  // namespace
}  // namespace orderd::test
