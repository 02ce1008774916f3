#include "server/rpc/settings_service.h"

#include <string>
#include <string_view>
#include <utility>

#include "server/engine/request_hash.h"
#include "server/orders/lookup.h"

// Order states, delivery states and shipment methods are created, read, listed, changed and deleted
// alike: one template per verb.

namespace orderd::rpc {
namespace {

using engine::SettingsAnswer;
using engine::SettingsEdit;
using engine::SettingsKind;

/// How the three differ:
/// - kKind; kAll: where the settings have them; kAnswer: where an answer has the one it is about;
/// - id(): of a setting, or of a request that names one; given(): the setting in a request;
/// - not_found(id);
/// - output(): the field of a response that answers one, if it has it; add_output(): of a list.
template <class Setting>
struct SettingTraits;

template <>
struct SettingTraits<pb::OrderState> {
  static constexpr auto kKind = SettingsKind::kOrderState;
  static constexpr auto kAll = &Settings::states;
  static constexpr auto kAnswer = &SettingsAnswer::state;
  static const std::string& id(const auto& from) { return from.state_id(); }
  static const pb::OrderState& given(const auto& request) { return request.state(); }
  static absl::Status not_found(const std::string& id) { return errors::state_not_found(id); }
  static auto output(auto& response) -> decltype(response.mutable_state()) {
    return response.mutable_state();
  }
  static pb::OrderState& add_output(auto& response) { return *response.add_states(); }
};

template <>
struct SettingTraits<pb::DeliveryState> {
  static constexpr auto kKind = SettingsKind::kDeliveryState;
  static constexpr auto kAll = &Settings::delivery_states;
  static constexpr auto kAnswer = &SettingsAnswer::delivery_state;
  static const std::string& id(const auto& from) { return from.delivery_state_id(); }
  static const pb::DeliveryState& given(const auto& request) { return request.state(); }
  static absl::Status not_found(const std::string& id) {
    return errors::state_not_found(id, errors::StateKind::kDelivery);
  }
  static auto output(auto& response) -> decltype(response.mutable_state()) {
    return response.mutable_state();
  }
  static pb::DeliveryState& add_output(auto& response) { return *response.add_states(); }
};

template <>
struct SettingTraits<pb::ShipmentMethod> {
  static constexpr auto kKind = SettingsKind::kShipmentMethod;
  static constexpr auto kAll = &Settings::methods;
  static constexpr auto kAnswer = &SettingsAnswer::method;
  static const std::string& id(const auto& from) { return from.method_id(); }
  static const pb::ShipmentMethod& given(const auto& request) { return request.method(); }
  static absl::Status not_found(const std::string& id) {
    return errors::shipment_method_not_found(id);
  }
  static auto output(auto& response) -> decltype(response.mutable_method()) {
    return response.mutable_method();
  }
  static pb::ShipmentMethod& add_output(auto& response) { return *response.add_methods(); }
};

std::string etag_of(const Settings& settings) { return std::to_string(settings.version); }

template <class Setting, class Call>
SettingsEdit edit_for(const Call& call, const std::string& id) {
  const auto& request = call.request();
  SettingsEdit edit;
  edit.request_id = request.request_id();
  if (const auto request_id = Uuid::parse(request.request_id())) {
    edit.request = engine::request_key(call.actor(), call.method(), *request_id);
    edit.body_hash = engine::body_hash(request);
  }
  edit.kind = SettingTraits<Setting>::kKind;
  edit.id = id;
  edit.expected_etag = request.settings_etag();
  edit.validate_only = request.validate_only();
  edit.abandoned = call.abandoned();
  return edit;
}

template <class Setting, class Call>
void submit(Call* call, Backend& backend, SettingsEdit edit) {
  backend.editor.submit(std::move(edit), [call](absl::StatusOr<SettingsAnswer> answer) {
    call->answer([&](auto& response) {
      if (!answer.ok()) return answer.status();
      if constexpr (requires { SettingTraits<Setting>::output(response); }) {
        auto& setting = (*answer).*SettingTraits<Setting>::kAnswer;
        if (setting) *SettingTraits<Setting>::output(response) = *std::move(setting);
      }
      response.set_changed(answer->changed);
      response.set_replayed(answer->replayed);
      if constexpr (requires { response.add_stranded(); }) {
        for (auto& stranded : answer->stranded) *response.add_stranded() = std::move(stranded);
      }
      response.set_settings_etag(answer->settings_etag);
      return absl::OkStatus();
    });
  });
}

/// A call as gRPC delivers it, and what it works with.
struct Incoming {
  const Guard& guard;
  Backend& backend;
  std::string_view method;
  SettingsService::Context* context;
  const grpc::ByteBuffer* in;
  grpc::ByteBuffer* out;
};

using Changed = absl::StatusOr<rules::SettingsChange>;

enum class Verb { kCreate, kUpdate };

template <class Setting, class Response, class Request>
grpc::ServerUnaryReactor* save(const Incoming& to, Verb verb,
                               Changed (*rule)(const Request&, const Settings&)) {
  const auto body = [&backend = to.backend, verb, rule](auto* call) {
    using Traits = SettingTraits<Setting>;
    const auto& request = call->request();
    SettingsEdit edit = edit_for<Setting>(*call, Traits::id(Traits::given(request)));
    edit.must_exist = verb == Verb::kUpdate;
    edit.rule = [&request, rule](const Settings& settings, Micros) {
      return rule(request, settings);
    };
    submit<Setting>(call, backend, std::move(edit));
  };
  return run<Request, Response>(to.guard, {to.method, Kind::kMutation}, to.context, to.in, to.out,
                                body);
}

template <class Setting, class Response, class Request>
grpc::ServerUnaryReactor* remove(const Incoming& to,
                                 Changed (*rule)(const Request&, Micros, const Settings&)) {
  const auto body = [&backend = to.backend, rule](auto* call) {
    const auto& request = call->request();
    SettingsEdit edit = edit_for<Setting>(*call, SettingTraits<Setting>::id(request));
    edit.deletes = true;
    edit.rule = [&request, rule](const Settings& settings, Micros now) {
      return rule(request, now, settings);
    };
    submit<Setting>(call, backend, std::move(edit));
  };
  return run<Request, Response>(to.guard, {to.method, Kind::kMutation}, to.context, to.in, to.out,
                                body);
}

template <class Setting, class Request, class Response>
grpc::ServerUnaryReactor* get(const Incoming& to) {
  const auto body = [&backend = to.backend](auto* call) {
    call->answer([&](Response& response) {
      using Traits = SettingTraits<Setting>;
      const SettingsPtr settings = backend.settings.get();
      const std::string& id = Traits::id(call->request());
      const Setting* setting = rules::any((*settings).*Traits::kAll, id);
      if (setting == nullptr) return Traits::not_found(id);
      *Traits::output(response) = *setting;
      response.set_settings_etag(etag_of(*settings));
      return absl::OkStatus();
    });
  };
  return run<Request, Response>(to.guard, {to.method, Kind::kRead}, to.context, to.in, to.out,
                                body);
}

template <class Setting, class Request, class Response>
grpc::ServerUnaryReactor* list(const Incoming& to) {
  const auto body = [&backend = to.backend](auto* call) {
    call->answer([&](Response& response) {
      using Traits = SettingTraits<Setting>;
      const SettingsPtr settings = backend.settings.get();
      for (const Setting* setting :
           rules::by_position((*settings).*Traits::kAll, call->request().include_deleted())) {
        Traits::add_output(response) = *setting;
      }
      response.set_settings_etag(etag_of(*settings));
      return absl::OkStatus();
    });
  };
  return run<Request, Response>(to.guard, {to.method, Kind::kRead}, to.context, to.in, to.out,
                                body);
}

}  // namespace

grpc::ServerUnaryReactor* SettingsService::CreateOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return save<pb::OrderState, pb::CreateOrderStateResponse>(
      {guard_, backend_, "CreateOrderState", context, in, out}, Verb::kCreate, rules::create_state);
}

grpc::ServerUnaryReactor* SettingsService::GetOrderState(Context* context, const Bytes* in,
                                                         Bytes* out) {
  return get<pb::OrderState, pb::GetOrderStateRequest, pb::GetOrderStateResponse>(
      {guard_, backend_, "GetOrderState", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::ListOrderStates(Context* context, const Bytes* in,
                                                           Bytes* out) {
  return list<pb::OrderState, pb::ListOrderStatesRequest, pb::ListOrderStatesResponse>(
      {guard_, backend_, "ListOrderStates", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::UpdateOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return save<pb::OrderState, pb::UpdateOrderStateResponse>(
      {guard_, backend_, "UpdateOrderState", context, in, out}, Verb::kUpdate, rules::update_state);
}

grpc::ServerUnaryReactor* SettingsService::DeleteOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return remove<pb::OrderState, pb::DeleteOrderStateResponse>(
      {guard_, backend_, "DeleteOrderState", context, in, out}, rules::delete_state);
}

grpc::ServerUnaryReactor* SettingsService::CreateDeliveryState(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return save<pb::DeliveryState, pb::CreateDeliveryStateResponse>(
      {guard_, backend_, "CreateDeliveryState", context, in, out}, Verb::kCreate,
      rules::create_delivery_state);
}

grpc::ServerUnaryReactor* SettingsService::GetDeliveryState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return get<pb::DeliveryState, pb::GetDeliveryStateRequest, pb::GetDeliveryStateResponse>(
      {guard_, backend_, "GetDeliveryState", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::ListDeliveryStates(Context* context, const Bytes* in,
                                                              Bytes* out) {
  return list<pb::DeliveryState, pb::ListDeliveryStatesRequest, pb::ListDeliveryStatesResponse>(
      {guard_, backend_, "ListDeliveryStates", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::UpdateDeliveryState(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return save<pb::DeliveryState, pb::UpdateDeliveryStateResponse>(
      {guard_, backend_, "UpdateDeliveryState", context, in, out}, Verb::kUpdate,
      rules::update_delivery_state);
}

grpc::ServerUnaryReactor* SettingsService::DeleteDeliveryState(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return remove<pb::DeliveryState, pb::DeleteDeliveryStateResponse>(
      {guard_, backend_, "DeleteDeliveryState", context, in, out}, rules::delete_delivery_state);
}

grpc::ServerUnaryReactor* SettingsService::CreateShipmentMethod(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return save<pb::ShipmentMethod, pb::CreateShipmentMethodResponse>(
      {guard_, backend_, "CreateShipmentMethod", context, in, out}, Verb::kCreate,
      rules::create_method);
}

grpc::ServerUnaryReactor* SettingsService::GetShipmentMethod(Context* context, const Bytes* in,
                                                             Bytes* out) {
  return get<pb::ShipmentMethod, pb::GetShipmentMethodRequest, pb::GetShipmentMethodResponse>(
      {guard_, backend_, "GetShipmentMethod", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::ListShipmentMethods(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return list<pb::ShipmentMethod, pb::ListShipmentMethodsRequest, pb::ListShipmentMethodsResponse>(
      {guard_, backend_, "ListShipmentMethods", context, in, out});
}

grpc::ServerUnaryReactor* SettingsService::UpdateShipmentMethod(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return save<pb::ShipmentMethod, pb::UpdateShipmentMethodResponse>(
      {guard_, backend_, "UpdateShipmentMethod", context, in, out}, Verb::kUpdate,
      rules::update_method);
}

grpc::ServerUnaryReactor* SettingsService::DeleteShipmentMethod(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return remove<pb::ShipmentMethod, pb::DeleteShipmentMethodResponse>(
      {guard_, backend_, "DeleteShipmentMethod", context, in, out}, rules::delete_method);
}

}  // namespace orderd::rpc
