#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "server/engine/settings_editor.h"
#include "server/orders/delivery_states.h"
#include "server/orders/methods.h"
#include "tests/engine/engine_fixture.h"

// Edits of delivery states and shipment methods, as the RPC layer would submit them.

namespace orderd::test {

using engine::SettingsAnswer;
using engine::SettingsEdit;
using engine::SettingsEditor;
using engine::SettingsKind;
using EditAnswer = absl::StatusOr<SettingsAnswer>;

inline EditAnswer submit(SettingsEditor& editor, SettingsEdit edit) {
  // Shared: the answer may be taken before the promise has been left.
  auto promise = std::make_shared<std::promise<EditAnswer>>();
  editor.submit(std::move(edit),
                [promise](EditAnswer done) { promise->set_value(std::move(done)); });
  return get(promise->get_future());
}

inline SettingsEdit edit_of(SettingsKind kind, const std::string& id) {
  SettingsEdit edit;
  edit.kind = kind;
  edit.id = id;
  return edit;
}

/// Of category OPEN, enterable from everywhere.
inline SettingsEdit create_delivery_state(const std::string& id) {
  pb::CreateDeliveryStateRequest request;
  request.mutable_state()->set_delivery_state_id(id);
  request.mutable_state()->set_display_name(id);
  request.mutable_state()->set_category(pb::DELIVERY_CATEGORY_OPEN);
  SettingsEdit edit = edit_of(SettingsKind::kDeliveryState, id);
  edit.must_exist = false;
  edit.rule = [request](const Settings& settings, Micros) {
    return rules::create_delivery_state(request, settings);
  };
  return edit;
}

inline SettingsEdit update(const pb::UpdateDeliveryStateRequest& request) {
  SettingsEdit edit = edit_of(SettingsKind::kDeliveryState, request.state().delivery_state_id());
  edit.rule = [request](const Settings& settings, Micros) {
    return rules::update_delivery_state(request, settings);
  };
  return edit;
}

inline SettingsEdit delete_delivery_state(const std::string& id) {
  pb::DeleteDeliveryStateRequest request;
  request.set_delivery_state_id(id);
  SettingsEdit edit = edit_of(SettingsKind::kDeliveryState, id);
  edit.deletes = true;
  edit.rule = [request](const Settings& settings, Micros now) {
    return rules::delete_delivery_state(request, now, settings);
  };
  return edit;
}

inline SettingsEdit create(const pb::CreateShipmentMethodRequest& request) {
  SettingsEdit edit = edit_of(SettingsKind::kShipmentMethod, request.method().method_id());
  if (const auto id = Uuid::parse(request.request_id())) {
    edit.request = engine::request_key(kActor, "CreateShipmentMethod", *id);
    edit.body_hash = engine::body_hash(request);
    edit.request_id = request.request_id();
  }
  edit.must_exist = false;
  edit.rule = [request](const Settings& settings, Micros) {
    return rules::create_method(request, settings);
  };
  return edit;
}

/// Enabled.
inline SettingsEdit create_method(const std::string& id, int position,
                                  const std::string& request_id = {}) {
  pb::CreateShipmentMethodRequest request;
  request.set_request_id(request_id);
  request.mutable_method()->set_method_id(id);
  request.mutable_method()->set_display_name(id);
  request.mutable_method()->set_enabled(true);
  request.mutable_method()->set_position(position);
  return create(request);
}

inline SettingsEdit delete_method(const std::string& id) {
  pb::DeleteShipmentMethodRequest request;
  request.set_method_id(id);
  SettingsEdit edit = edit_of(SettingsKind::kShipmentMethod, id);
  edit.deletes = true;
  edit.rule = [request](const Settings& settings, Micros now) {
    return rules::delete_method(request, now, settings);
  };
  return edit;
}

inline SettingsEdit validate_only(SettingsEdit edit) {
  edit.validate_only = true;
  return edit;
}

}  // namespace orderd::test
