#include "server/orders/states.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include <fmt/format.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/message_differencer.h>

#include "server/orders/fields.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

using google::protobuf::util::FieldMaskUtil;
using google::protobuf::util::MessageDifferencer;

constexpr std::size_t kMaxSlug = 64;

bool is_slug(std::string_view text) {
  auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && text.size() <= kMaxSlug && letter(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || digit(c) || c == '-' || c == '_'; });
}

void check_enterable_from(const pb::EnterableFrom& from, errors::Violations& violations) {
  const std::string field = "state.enterable_from.state_ids";
  if (from.state_ids_size() > kMaxStates) {
    violations.add(
        field, fmt::format("must be at most {} states, not {}", kMaxStates, from.state_ids_size()));
    return;
  }
  std::unordered_set<std::string_view> seen;
  for (int i = 0; i < from.state_ids_size(); ++i) {
    const std::string path = fmt::format("{}[{}]", field, i);
    check_id(from.state_ids(i), path, violations);
    if (!seen.insert(from.state_ids(i)).second) violations.add(path, "must not be named twice");
  }
}

void check_category(pb::StateCategory category, errors::Violations& violations) {
  if (category == pb::STATE_CATEGORY_UNSPECIFIED) {
    violations.add("state.category", "must be given");
  } else {
    check_enum(pb::StateCategory_IsValid(category), "state.category", violations);
  }
}

/// Orders must be able to leave the state in which they start.
void check_initial(const pb::OrderState& state, errors::Violations& violations) {
  if (!state.initial()) return;
  if (state.final()) violations.add("state.initial", "must not be true for a final state");
  if (state.category() == pb::STATE_CATEGORY_CANCELED) {
    violations.add("state.initial", "must not be true for a state of category CANCELED");
  }
}

bool is_canceled(const pb::OrderState& state) {
  return state.category() == pb::STATE_CATEGORY_CANCELED;
}

/// Whether the configuration lets an order go from one live state to another one.
bool leads_to(const pb::OrderState& from, const pb::OrderState& to) {
  if (from.final() || from.state_id() == to.state_id()) return false;
  if (!to.has_enterable_from()) return true;
  const auto& ids = to.enterable_from().state_ids();
  return std::find(ids.begin(), ids.end(), from.state_id()) != ids.end();
}

std::vector<const pb::OrderState*> live_states(const Settings& settings) {
  std::vector<const pb::OrderState*> live;
  for (const auto& [id, state] : settings.states) {
    if (!state.has_delete_time()) live.push_back(&state);
  }
  return live;
}

/// The live states that an order can come to be in: by creation, by cancellation, or from one of
/// them by UpdateOrderStatus.
std::set<std::string_view> reachable_states(const Settings& settings) {
  std::set<std::string_view> reachable;
  std::vector<const pb::OrderState*> waiting;
  std::vector<const pb::OrderState*> open_ends;
  for (const auto* state : live_states(settings)) {
    if (state->initial() || is_canceled(*state)) {
      reachable.insert(state->state_id());
      open_ends.push_back(state);
    } else {
      waiting.push_back(state);
    }
  }
  while (!open_ends.empty()) {
    const auto* from = open_ends.back();
    open_ends.pop_back();
    auto entered = std::stable_partition(waiting.begin(), waiting.end(),
                                         [&](const auto* to) { return !leads_to(*from, *to); });
    for (auto it = entered; it != waiting.end(); ++it) {
      reachable.insert((*it)->state_id());
      open_ends.push_back(*it);
    }
    waiting.erase(entered, waiting.end());
  }
  return reachable;
}

/// Refuses a change that makes a state unreachable, or adds one that is.
absl::Status check_reachable(const Settings& before, const Settings& after) {
  const auto reachable_before = reachable_states(before);
  const auto reachable_after = reachable_states(after);
  for (const auto* state : live_states(after)) {
    const auto& id = state->state_id();
    if (reachable_after.contains(id)) continue;
    if (!before.live_state(id) || reachable_before.contains(id)) {
      return errors::state_unreachable(id);
    }
  }
  return absl::OkStatus();
}

absl::Status check_references(const pb::OrderState& state, const Settings& settings) {
  for (const auto& id : state.enterable_from().state_ids()) {
    const auto* referenced = settings.live_state(id);
    if (!referenced || referenced->final() || id == state.state_id()) {
      return errors::state_reference_invalid(state.state_id(), id);
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> referenced_by(const std::string& state_id, const Settings& settings) {
  std::vector<std::string> ids;
  for (const auto* state : live_states(settings)) {
    const auto& from = state->enterable_from().state_ids();
    if (std::find(from.begin(), from.end(), state_id) != from.end()) {
      ids.push_back(state->state_id());
    }
  }
  return ids;
}

bool is_only_canceled(const pb::OrderState& state, const Settings& settings) {
  const auto live = live_states(settings);
  return is_canceled(state) && std::count_if(live.begin(), live.end(), [](const auto* other) {
                                 return is_canceled(*other);
                               }) == 1;
}

constexpr std::string_view kChangeable[] = {
    "display_name",   "category",      "initial",        "final",    "allows_shipment_update",
    "allows_capture", "allows_cancel", "enterable_from", "position",
};

bool is_changeable(std::string_view path) {
  return std::find(std::begin(kChangeable), std::end(kChangeable), path) != std::end(kChangeable);
}

template <class Request>
void check_common(const Request& request, errors::Violations& violations) {
  check_request_id(request.request_id(), violations);
  check_etag(request.settings_etag(), "settings_etag", violations);
}

}  // namespace

absl::Status validate(const pb::CreateOrderStateRequest& request) {
  errors::Violations violations;
  check_common(request, violations);
  if (!request.has_state()) {
    violations.add("state", "must be given");
    return violations.status();
  }
  const auto& state = request.state();
  if (!is_slug(state.state_id())) {
    violations.add("state.state_id",
                   "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\", starting with a letter");
  }
  check_text(state.display_name(), 1, 255, "state.display_name", violations);
  check_category(state.category(), violations);
  check_enterable_from(state.enterable_from(), violations);
  check_initial(state, violations);
  return violations.status();
}

absl::Status validate(const pb::GetOrderStateRequest& request) {
  errors::Violations violations;
  check_id(request.state_id(), "state_id", violations);
  return violations.status();
}

absl::Status validate(const pb::ListOrderStatesRequest&) { return absl::OkStatus(); }

absl::Status validate(const pb::UpdateOrderStateRequest& request) {
  errors::Violations violations;
  check_common(request, violations);
  const auto& state = request.state();
  check_id(state.state_id(), "state.state_id", violations);
  if (request.update_mask().paths().empty()) {
    violations.add("update_mask", "must name at least one field");
  }
  for (int i = 0; i < request.update_mask().paths_size(); ++i) {
    const auto& path = request.update_mask().paths(i);
    if (!is_changeable(path)) {
      violations.add(fmt::format("update_mask.paths[{}]", i),
                     fmt::format("\"{}\" is not a field that can be changed", shown(path)));
    }
    if (path == "display_name") {
      check_text(state.display_name(), 1, 255, "state.display_name", violations);
    }
    if (path == "category") check_category(state.category(), violations);
    if (path == "enterable_from") check_enterable_from(state.enterable_from(), violations);
  }
  return violations.status();
}

absl::Status validate(const pb::DeleteOrderStateRequest& request) {
  errors::Violations violations;
  check_common(request, violations);
  check_id(request.state_id(), "state_id", violations);
  return violations.status();
}

absl::StatusOr<SettingsChange> create_state(const pb::CreateOrderStateRequest& request,
                                            const Settings& settings) {
  pb::OrderState state = request.state();
  state.clear_delete_time();
  if (settings.any_state(state.state_id())) return errors::state_exists(state.state_id());
  if (settings.states.size() >= kMaxStates) return errors::too_many_states(kMaxStates);
  if (state.initial()) {
    for (const auto* other : live_states(settings)) {
      if (other->initial()) return errors::state_initial_exists(other->state_id());
    }
  }
  if (auto refusal = check_references(state, settings); !refusal.ok()) return refusal;
  SettingsChange change{{std::move(state)}};
  if (auto refusal = check_reachable(settings, apply(settings, change)); !refusal.ok()) {
    return refusal;
  }
  return change;
}

absl::StatusOr<SettingsChange> update_state(const pb::UpdateOrderStateRequest& request,
                                            const Settings& settings) {
  const std::string& id = request.state().state_id();
  const auto* before = settings.live_state(id);
  if (!before) return errors::state_not_found(id);
  pb::OrderState after = *before;
  FieldMaskUtil::MergeOptions replace;
  replace.set_replace_message_fields(true);
  FieldMaskUtil::MergeMessageTo(request.state(), request.update_mask(), replace, &after);
  if (MessageDifferencer::Equals(*before, after)) return SettingsChange{};

  errors::Violations violations;
  check_initial(after, violations);
  if (!violations.empty()) return violations.status();
  if (auto refusal = check_references(after, settings); !refusal.ok()) return refusal;
  if (before->initial() && !after.initial()) return errors::state_last_initial(id);
  if (!is_canceled(after) && is_only_canceled(*before, settings)) {
    return errors::state_last_canceled(id);
  }
  if (after.final() && !before->final()) {
    auto others = referenced_by(id, settings);
    if (!others.empty()) return errors::state_referenced(id, others);
  }

  SettingsChange change;
  if (after.initial() && !before->initial()) {
    for (const auto* other : live_states(settings)) {
      if (!other->initial()) continue;
      change.saved.push_back(*other);
      change.saved.back().set_initial(false);
    }
  }
  change.saved.push_back(std::move(after));
  if (auto refusal = check_reachable(settings, apply(settings, change)); !refusal.ok()) {
    return refusal;
  }
  return change;
}

absl::StatusOr<SettingsChange> delete_state(const pb::DeleteOrderStateRequest& request, Micros now,
                                            const Settings& settings) {
  const std::string& id = request.state_id();
  const auto* state = settings.live_state(id);
  if (!state) return errors::state_not_found(id);
  if (state->initial()) return errors::state_last_initial(id);
  if (is_only_canceled(*state, settings)) return errors::state_last_canceled(id);
  auto others = referenced_by(id, settings);
  if (!others.empty()) return errors::state_referenced(id, others);

  SettingsChange change{{*state}};
  *change.saved.back().mutable_delete_time() = to_timestamp(now);
  if (auto refusal = check_reachable(settings, apply(settings, change)); !refusal.ok()) {
    return refusal;
  }
  return change;
}

Settings apply(const Settings& settings, const SettingsChange& change) {
  Settings after = settings;
  for (const auto& state : change.saved) after.states[state.state_id()] = state;
  return after;
}

std::vector<std::string> stranding_states(const Settings& before, const Settings& after) {
  auto has_exit = [](const pb::OrderState& from, const Settings& settings) {
    const auto live = live_states(settings);
    return std::any_of(live.begin(), live.end(),
                       [&](const auto* to) { return leads_to(from, *to); });
  };
  std::vector<std::string> stranding;
  for (const auto* state : live_states(after)) {
    const auto* earlier = before.live_state(state->state_id());
    if (!earlier || state->final() || !has_exit(*earlier, before) || has_exit(*state, after)) {
      continue;
    }
    stranding.push_back(state->state_id());
  }
  return stranding;
}

}  // namespace orderd::rules
