#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include "server/orders/fields.h"
#include "server/orders/lookup.h"
#include "server/orders/setting_fields.h"
#include "server/orders/states.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

// What the rules for order states and for delivery states have in common. `StateTraits<State>` says
// how they differ:
// - kKind, kIdField, kChangeable (the paths of a mask), kCanceled (the category);
// - id(): of a state, or of a request that names one;
// - states(): those of the settings; saved(): where a change lists them;
// - is_final(), category_is_valid(), check_initial_category().

namespace orderd::rules {

template <class State>
struct StateTraits;

template <class State>
bool is_canceled(const State& state) {
  return state.category() == StateTraits<State>::kCanceled;
}

/// Whether the configuration lets something go from one live state to another one.
template <class State>
bool leads_to(const State& from, const State& to) {
  using Traits = StateTraits<State>;
  if (Traits::is_final(from) || Traits::id(from) == Traits::id(to)) return false;
  if (!to.has_enterable_from()) return true;
  const auto& ids = to.enterable_from().state_ids();
  return std::find(ids.begin(), ids.end(), Traits::id(from)) != ids.end();
}

template <class State>
std::vector<const State*> live_states(const Settings& settings) {
  return by_position(StateTraits<State>::states(settings));
}

/// The live states that something can come to be in: by creation, by cancellation, or from one of
/// them by a change.
template <class State>
std::set<std::string_view> reachable_states(const Settings& settings) {
  std::set<std::string_view> reachable;
  std::vector<const State*> waiting;
  std::vector<const State*> open_ends;
  for (const auto* state : live_states<State>(settings)) {
    if (state->initial() || is_canceled(*state)) {
      reachable.insert(StateTraits<State>::id(*state));
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
      reachable.insert(StateTraits<State>::id(**it));
      open_ends.push_back(*it);
    }
    waiting.erase(entered, waiting.end());
  }
  return reachable;
}

/// Refuses a change that makes a state unreachable, or adds one that is.
template <class State>
absl::Status check_reachable(const Settings& before, const SettingsChange& change) {
  using Traits = StateTraits<State>;
  const Settings after = apply(before, change);
  const auto reachable_before = reachable_states<State>(before);
  const auto reachable_after = reachable_states<State>(after);
  for (const auto* state : live_states<State>(after)) {
    const auto& id = Traits::id(*state);
    if (reachable_after.contains(id)) continue;
    if (!live(Traits::states(before), id) || reachable_before.contains(id)) {
      return errors::state_unreachable(id, Traits::kKind);
    }
  }
  return absl::OkStatus();
}

template <class State>
absl::Status check_references(const State& state, const Settings& settings) {
  using Traits = StateTraits<State>;
  for (const auto& id : state.enterable_from().state_ids()) {
    const auto* referenced = live(Traits::states(settings), id);
    if (!referenced || Traits::is_final(*referenced) || id == Traits::id(state)) {
      return errors::state_reference_invalid(Traits::id(state), id, Traits::kKind);
    }
  }
  return absl::OkStatus();
}

template <class State>
std::vector<std::string> referenced_by(const std::string& state_id, const Settings& settings) {
  std::vector<std::string> ids;
  for (const auto& [id, state] : StateTraits<State>::states(settings)) {
    const auto& from = state.enterable_from().state_ids();
    if (!state.has_delete_time() && std::find(from.begin(), from.end(), state_id) != from.end()) {
      ids.push_back(id);
    }
  }
  return ids;
}

template <class State>
bool is_only_canceled(const State& state, const Settings& settings) {
  const auto live = live_states<State>(settings);
  return is_canceled(state) && std::count_if(live.begin(), live.end(), [](const auto* other) {
                                 return is_canceled(*other);
                               }) == 1;
}

inline void check_enterable_from(const pb::EnterableFrom& from, errors::Violations& violations) {
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

template <class State>
void check_category(const State& state, errors::Violations& violations) {
  if (static_cast<int>(state.category()) == 0) {
    violations.add("state.category", "must be given");
  } else {
    check_enum(StateTraits<State>::category_is_valid(state.category()), "state.category",
               violations);
  }
}

/// What starts in a state must be able to leave it.
template <class State>
void check_initial(const State& state, errors::Violations& violations) {
  if (!state.initial()) return;
  if (state.final()) violations.add("state.initial", "must not be true for a final state");
  StateTraits<State>::check_initial_category(state, violations);
}

template <class State, class Request>
absl::Status validate_create(const Request& request) {
  using Traits = StateTraits<State>;
  errors::Violations violations;
  check_settings_call(request, violations);
  if (!request.has_state()) {
    violations.add("state", "must be given");
    return violations.status();
  }
  const auto& state = request.state();
  check_slug(Traits::id(state), fmt::format("state.{}", Traits::kIdField), violations);
  check_text(state.display_name(), 1, 255, "state.display_name", violations);
  check_category(state, violations);
  check_enterable_from(state.enterable_from(), violations);
  check_initial(state, violations);
  return violations.status();
}

template <class State, class Request>
absl::Status validate_update(const Request& request) {
  using Traits = StateTraits<State>;
  errors::Violations violations;
  check_settings_call(request, violations);
  const auto& state = request.state();
  check_id(Traits::id(state), fmt::format("state.{}", Traits::kIdField), violations);
  check_mask(request.update_mask(), Traits::kChangeable, violations);
  for (const auto& path : request.update_mask().paths()) {
    if (path == "display_name") {
      check_text(state.display_name(), 1, 255, "state.display_name", violations);
    }
    if (path == "category") check_category(state, violations);
    if (path == "enterable_from") check_enterable_from(state.enterable_from(), violations);
  }
  return violations.status();
}

template <class State, class Request>
absl::Status validate_get(const Request& request) {
  errors::Violations violations;
  check_id(StateTraits<State>::id(request), std::string(StateTraits<State>::kIdField), violations);
  return violations.status();
}

template <class State, class Request>
absl::Status validate_delete(const Request& request) {
  errors::Violations violations;
  check_settings_call(request, violations);
  check_id(StateTraits<State>::id(request), std::string(StateTraits<State>::kIdField), violations);
  return violations.status();
}

template <class State>
absl::StatusOr<SettingsChange> create(State state, const Settings& settings) {
  using Traits = StateTraits<State>;
  const auto& states = Traits::states(settings);
  state.clear_delete_time();
  if (any(states, Traits::id(state))) return errors::state_exists(Traits::id(state), Traits::kKind);
  if (states.size() >= kMaxStates) return errors::too_many_states(kMaxStates, Traits::kKind);
  if (state.initial()) {
    for (const auto* other : live_states<State>(settings)) {
      if (other->initial()) return errors::state_initial_exists(Traits::id(*other), Traits::kKind);
    }
  }
  if (auto refusal = check_references(state, settings); !refusal.ok()) return refusal;
  SettingsChange change;
  Traits::saved(change).push_back(std::move(state));
  if (auto refusal = check_reachable<State>(settings, change); !refusal.ok()) return refusal;
  return change;
}

template <class State>
absl::StatusOr<SettingsChange> update(const State& wanted, const google::protobuf::FieldMask& mask,
                                      const Settings& settings) {
  using Traits = StateTraits<State>;
  const std::string& id = Traits::id(wanted);
  const auto* before = live(Traits::states(settings), id);
  if (!before) return errors::state_not_found(id, Traits::kKind);
  State after = merged(*before, wanted, mask);
  if (google::protobuf::util::MessageDifferencer::Equals(*before, after)) return SettingsChange{};

  errors::Violations violations;
  check_initial(after, violations);
  if (!violations.empty()) return violations.status();
  if (auto refusal = check_references(after, settings); !refusal.ok()) return refusal;
  if (before->initial() && !after.initial()) return errors::state_last_initial(id, Traits::kKind);
  if (!is_canceled(after) && is_only_canceled(*before, settings)) {
    return errors::state_last_canceled(id, Traits::kKind);
  }
  if (Traits::is_final(after) && !Traits::is_final(*before)) {
    auto others = referenced_by<State>(id, settings);
    if (!others.empty()) return errors::state_referenced(id, others, Traits::kKind);
  }

  SettingsChange change;
  auto& saved = Traits::saved(change);
  if (after.initial() && !before->initial()) {
    for (const auto* other : live_states<State>(settings)) {
      if (!other->initial()) continue;
      saved.push_back(*other);
      saved.back().set_initial(false);
    }
  }
  saved.push_back(std::move(after));
  if (auto refusal = check_reachable<State>(settings, change); !refusal.ok()) return refusal;
  return change;
}

template <class State>
absl::StatusOr<SettingsChange> remove(const std::string& id, Micros now, const Settings& settings) {
  using Traits = StateTraits<State>;
  const auto* state = live(Traits::states(settings), id);
  if (!state) return errors::state_not_found(id, Traits::kKind);
  if (state->initial()) return errors::state_last_initial(id, Traits::kKind);
  if (is_only_canceled(*state, settings)) return errors::state_last_canceled(id, Traits::kKind);
  auto others = referenced_by<State>(id, settings);
  if (!others.empty()) return errors::state_referenced(id, others, Traits::kKind);

  SettingsChange change;
  auto& saved = Traits::saved(change);
  saved.push_back(*state);
  *saved.back().mutable_delete_time() = to_timestamp(now);
  if (auto refusal = check_reachable<State>(settings, change); !refusal.ok()) return refusal;
  return change;
}

}  // namespace orderd::rules
