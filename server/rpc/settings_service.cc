#include "server/rpc/settings_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/request_hash.h"

namespace orderd::rpc {
namespace {

using engine::SettingsAnswer;
using engine::SettingsEdit;

std::string etag_of(const Settings& settings) { return std::to_string(settings.version); }

template <class Call>
SettingsEdit edit_for(const Call& call, const std::string& id) {
  const auto& request = call.request();
  SettingsEdit edit;
  edit.request_id = request.request_id();
  if (const auto request_id = Uuid::parse(request.request_id())) {
    edit.request = engine::request_key(call.actor(), call.method(), *request_id);
    edit.body_hash = engine::body_hash(request);
  }
  edit.id = id;
  edit.expected_etag = request.settings_etag();
  edit.validate_only = request.validate_only();
  edit.abandoned = call.abandoned();
  return edit;
}

template <class Call>
void submit(Call* call, Backend& backend, SettingsEdit edit) {
  backend.editor.submit(std::move(edit), [call](absl::StatusOr<SettingsAnswer> answer) {
    call->answer([&](auto& response) {
      if (!answer.ok()) return answer.status();
      if constexpr (requires { response.mutable_state(); }) {
        if (answer->state) *response.mutable_state() = *std::move(answer->state);
      }
      response.set_changed(answer->changed);
      response.set_replayed(answer->replayed);
      for (auto& stranded : answer->stranded) *response.add_stranded() = std::move(stranded);
      response.set_settings_etag(answer->settings_etag);
      return absl::OkStatus();
    });
  });
}

}  // namespace

grpc::ServerUnaryReactor* SettingsService::CreateOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return run<pb::CreateOrderStateRequest, pb::CreateOrderStateResponse>(
      guard_, {"CreateOrderState", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        SettingsEdit edit = edit_for(*call, request.state().state_id());
        edit.must_exist = false;
        edit.rule = [&request](const Settings& settings, Micros) {
          return rules::create_state(request, settings);
        };
        submit(call, backend_, std::move(edit));
      });
}

grpc::ServerUnaryReactor* SettingsService::UpdateOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return run<pb::UpdateOrderStateRequest, pb::UpdateOrderStateResponse>(
      guard_, {"UpdateOrderState", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        SettingsEdit edit = edit_for(*call, request.state().state_id());
        edit.rule = [&request](const Settings& settings, Micros) {
          return rules::update_state(request, settings);
        };
        submit(call, backend_, std::move(edit));
      });
}

grpc::ServerUnaryReactor* SettingsService::DeleteOrderState(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return run<pb::DeleteOrderStateRequest, pb::DeleteOrderStateResponse>(
      guard_, {"DeleteOrderState", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        SettingsEdit edit = edit_for(*call, request.state_id());
        edit.deletes = true;
        edit.rule = [&request](const Settings& settings, Micros now) {
          return rules::delete_state(request, now, settings);
        };
        submit(call, backend_, std::move(edit));
      });
}

grpc::ServerUnaryReactor* SettingsService::GetOrderState(Context* context, const Bytes* in,
                                                         Bytes* out) {
  return run<pb::GetOrderStateRequest, pb::GetOrderStateResponse>(
      guard_, {"GetOrderState", Kind::kRead}, context, in, out, [this](auto* call) {
        call->answer([&](pb::GetOrderStateResponse& response) {
          const SettingsPtr settings = backend_.settings.get();
          const pb::OrderState* state = settings->any_state(call->request().state_id());
          if (state == nullptr) return errors::state_not_found(call->request().state_id());
          *response.mutable_state() = *state;
          response.set_settings_etag(etag_of(*settings));
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* SettingsService::ListOrderStates(Context* context, const Bytes* in,
                                                           Bytes* out) {
  return run<pb::ListOrderStatesRequest, pb::ListOrderStatesResponse>(
      guard_, {"ListOrderStates", Kind::kRead}, context, in, out, [this](auto* call) {
        call->answer([&](pb::ListOrderStatesResponse& response) {
          const SettingsPtr settings = backend_.settings.get();
          std::vector<const pb::OrderState*> states;
          for (const auto& [id, state] : settings->states) {
            if (call->request().include_deleted() || !state.has_delete_time()) {
              states.push_back(&state);
            }
          }
          // They are in the order of their ids already.
          std::stable_sort(states.begin(), states.end(), [](const auto* a, const auto* b) {
            return a->position() < b->position();
          });
          for (const pb::OrderState* state : states) *response.add_states() = *state;
          response.set_settings_etag(etag_of(*settings));
          return absl::OkStatus();
        });
      });
}

}  // namespace orderd::rpc
