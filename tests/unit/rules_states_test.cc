#include "server/orders/states.h"

#include <set>

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using namespace std::string_literals;

pb::CreateOrderStateRequest make_create(const std::string& id = "packed",
                                        pb::StateCategory category = pb::STATE_CATEGORY_OPEN) {
  pb::CreateOrderStateRequest request;
  *request.mutable_state() = make_state(id, category, 25);
  return request;
}

pb::UpdateOrderStateRequest make_update(const pb::OrderState& state,
                                        const std::vector<std::string>& paths) {
  pb::UpdateOrderStateRequest request;
  *request.mutable_state() = state;
  for (const auto& path : paths) request.mutable_update_mask()->add_paths(path);
  return request;
}

pb::DeleteOrderStateRequest make_delete(const std::string& id) {
  pb::DeleteOrderStateRequest request;
  request.set_state_id(id);
  return request;
}

TEST(StateValidation, Create) {
  using S = pb::OrderState;
  struct Case {
    std::string name;
    std::function<void(S&)> alter;
    std::string field;
  };
  auto id = [](const std::string& text) { return [=](S& s) { s.set_state_id(text); }; };
  const std::string refs = "state.enterable_from.state_ids";
  std::vector<Case> cases = {
      {"right", [](S&) {}, ""},
      {"no name", [](S& s) { s.clear_display_name(); }, "state.display_name"},
      {"longest name", [](S& s) { s.set_display_name(repeated(kClef, 255)); }, ""},
      {"long name", [](S& s) { s.set_display_name(repeated(kClef, 256)); }, "state.display_name"},
      {"no category", [](S& s) { s.clear_category(); }, "state.category"},
      {"unknown category", [](S& s) { s.set_category(static_cast<pb::StateCategory>(7)); },
       "state.category"},
      {"empty reference", [](S& s) { enterable_from(s, {""}); }, refs + "[0]"},
      {"reference twice",
       [](S& s) {
         enterable_from(s, {"new", "new"});
       },
       refs + "[1]"},
      {"1001 references", [](S& s) { enterable_from(s, std::vector<std::string>(1001, "new")); },
       refs},
      {"initial and final", [](S& s) { s.set_initial(true), s.set_final(true); }, "state.initial"},
      {"initial and canceled",
       [](S& s) { s.set_initial(true), s.set_category(pb::STATE_CATEGORY_CANCELED); },
       "state.initial"},
      {"longest id", id("a" + std::string(63, '9')), ""},
  };
  for (const auto& slug : {"a"s, "a-b_c9"s}) cases.push_back({slug, id(slug), ""});
  for (const auto& slug : {""s, "9a"s, "-a"s, "_a"s, "A"s, "aB"s, "a b"s, "a.b"s, "\xC3\xA9"s,
                           "a\0"s, "a\xFF"s, "a" + std::string(64, '9')}) {
    cases.push_back({slug, id(slug), "state.state_id"});
  }
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
  pb::CreateOrderStateRequest empty;
  empty.set_request_id("x");
  empty.set_settings_etag("\xFF");
  EXPECT_THAT(fields_of(validate(empty)), ElementsAre("request_id", "settings_etag", "state"));
}

TEST(StateValidation, Update) {
  const auto state = make_state("new", pb::STATE_CATEGORY_OPEN, 1);
  for (const auto& path :
       {"display_name"s, "category"s, "initial"s, "final"s, "allows_shipment_update"s,
        "allows_capture"s, "allows_cancel"s, "enterable_from"s, "position"s}) {
    EXPECT_TRUE(validate(make_update(state, {path})).ok()) << path;
  }
  for (const auto& path :
       {""s, "*"s, "state_id"s, "delete_time"s, "enterable_from.state_ids"s, "name"s, "\xFF"s}) {
    EXPECT_ONLY_VIOLATION(validate(make_update(state, {"final", path})), "update_mask.paths[1]");
  }
  EXPECT_ONLY_VIOLATION(validate(make_update(state, {})), "update_mask");
  // What the mask does not name is not looked at.
  pb::OrderState empty;
  empty.set_state_id("new");
  EXPECT_TRUE(validate(make_update(empty, {"final"})).ok());
  EXPECT_THAT(fields_of(validate(make_update(empty, {"display_name", "category"}))),
              ElementsAre("state.category", "state.display_name"));
  empty.clear_state_id();
  EXPECT_ONLY_VIOLATION(validate(make_update(empty, {"final"})), "state.state_id");
}

TEST(StateValidation, Others) {
  EXPECT_ONLY_VIOLATION(validate(make_delete("")), "state_id");
  EXPECT_TRUE(validate(make_delete("new")).ok());
  EXPECT_ONLY_VIOLATION(validate(pb::GetOrderStateRequest()), "state_id");
  EXPECT_TRUE(validate(pb::ListOrderStatesRequest()).ok());
}

class States : public ::testing::Test {
 protected:
  /// Changes one state by `alter` through update_state.
  absl::StatusOr<SettingsChange> update(const std::string& id,
                                        const std::function<void(pb::OrderState&)>& alter,
                                        const std::vector<std::string>& paths) {
    pb::OrderState state = settings_.states.at(id);
    alter(state);
    return update_state(make_update(state, paths), settings_);
  }
  absl::StatusOr<SettingsChange> remove(const std::string& id) {
    return delete_state(make_delete(id), kNow, settings_);
  }
  absl::StatusOr<SettingsChange> set_final(const std::string& id) {
    return update(id, [](auto& s) { s.set_final(true); }, {"final"});
  }
  absl::StatusOr<SettingsChange> set_category(const std::string& id, pb::StateCategory category) {
    return update(id, [=](auto& s) { s.set_category(category); }, {"category"});
  }
  absl::StatusOr<SettingsChange> set_enterable(const std::string& id,
                                               const std::vector<std::string>& from) {
    return update(id, [&](auto& s) { enterable_from(s, from); }, {"enterable_from"});
  }
  static std::vector<std::string> saved(const SettingsChange& change) {
    std::vector<std::string> ids;
    for (const auto& state : change.saved) ids.push_back(state.state_id());
    return ids;
  }

  Settings settings_ = default_settings();
};

TEST_F(States, CreatedAsGiven) {
  auto request = make_create();
  enterable_from(*request.mutable_state(), {"processing"});
  const auto change = create_state(request, settings_);
  ASSERT_TRUE(change.ok());
  ASSERT_EQ(change->saved.size(), 1u);
  EXPECT_EQ(change->saved[0].SerializeAsString(), request.state().SerializeAsString());
}

TEST_F(States, TheDeleteTimeIsNotTheCallers) {
  auto request = make_create();
  request.mutable_state()->mutable_delete_time()->set_seconds(1);
  EXPECT_FALSE(create_state(request, settings_)->saved[0].has_delete_time());
}

TEST_F(States, AnIdIsUsedOnce) {
  EXPECT_REFUSED(create_state(make_create("fraud"), settings_), "STATE_EXISTS");
  delete_state_in(settings_, "fraud");
  EXPECT_REFUSED(create_state(make_create("fraud"), settings_), "STATE_EXISTS");
}

TEST_F(States, AtMost1000) {
  for (int i = 0; settings_.states.size() < 999; ++i) {
    const std::string id = "s" + std::to_string(i);
    settings_.states[id] = make_state(id, pb::STATE_CATEGORY_OPEN, 0);
  }
  const auto last = create_state(make_create(), settings_);
  ASSERT_TRUE(last.ok());
  settings_ = apply(settings_, *last);
  EXPECT_REFUSED(create_state(make_create("more"), settings_), "TOO_MANY_STATES");
}

TEST_F(States, OneIsInitial) {
  auto request = make_create();
  request.mutable_state()->set_initial(true);
  const auto refused = create_state(request, settings_);
  EXPECT_REFUSED(refused, "STATE_INITIAL_EXISTS");
  EXPECT_EQ(metadata_of(refused.status(), "state_id"), "new");
  EXPECT_TRUE(create_state(request, Settings()).ok()) << "the first one";

  const auto moved = update("processing", [](auto& s) { s.set_initial(true); }, {"initial"});
  ASSERT_TRUE(moved.ok());
  EXPECT_THAT(saved(*moved), ElementsAre("new", "processing"));
  const auto after = apply(settings_, *moved);
  EXPECT_FALSE(after.states.at("new").initial());
  EXPECT_TRUE(after.states.at("processing").initial());

  EXPECT_REFUSED(update("new", [](auto& s) { s.set_initial(false); }, {"initial"}),
                 "STATE_LAST_INITIAL");
  EXPECT_REFUSED(remove("new"), "STATE_LAST_INITIAL");
}

TEST_F(States, TheInitialOneIsNeitherFinalNorCanceled) {
  EXPECT_ONLY_VIOLATION(set_final("new").status(), "state.initial");
  EXPECT_ONLY_VIOLATION(set_category("new", pb::STATE_CATEGORY_CANCELED).status(), "state.initial");
  EXPECT_EQ(
      fields_of(update("canceled", [](auto& s) { s.set_initial(true); }, {"initial"}).status()),
      (std::vector<std::string>{"state.initial", "state.initial"}));
}

TEST_F(States, OneIsOfCategoryCanceled) {
  EXPECT_REFUSED(remove("canceled"), "STATE_LAST_CANCELED");
  EXPECT_REFUSED(set_category("canceled", pb::STATE_CATEGORY_COMPLETED), "STATE_LAST_CANCELED");
  settings_.states["void"] = make_state("void", pb::STATE_CATEGORY_CANCELED, 70);
  EXPECT_TRUE(remove("canceled").ok());
  EXPECT_TRUE(set_category("canceled", pb::STATE_CATEGORY_COMPLETED).ok());
  delete_state_in(settings_, "void");
  EXPECT_REFUSED(remove("canceled"), "STATE_LAST_CANCELED");
}

TEST_F(States, ReferencesAreLiveNotFinalAndOthers) {
  delete_state_in(settings_, "fraud");
  for (const auto& id : {"nowhere"s, "fraud"s, "canceled"s, "packed"s}) {
    SCOPED_TRACE(id);
    auto request = make_create();
    enterable_from(*request.mutable_state(), {"new", id});
    const auto refused = create_state(request, settings_);
    EXPECT_REFUSED(refused, "STATE_REFERENCE_INVALID");
    EXPECT_EQ(metadata_of(refused.status(), "referenced_state_id"), id);
  }
  EXPECT_REFUSED(set_enterable("completed", {"completed"}), "STATE_REFERENCE_INVALID");
  EXPECT_REFUSED(set_enterable("completed", {"canceled"}), "STATE_REFERENCE_INVALID");
  EXPECT_TRUE(set_enterable("completed", {"processing"}).ok());
}

TEST_F(States, AReferencedStateStays) {
  for (const auto& refused : {remove("fraud"), set_final("fraud")}) {
    EXPECT_REFUSED(refused, "STATE_REFERENCED");
    EXPECT_EQ(metadata_of(refused.status(), "referenced_by"), "suspended");
  }
  delete_state_in(settings_, "suspended");
  EXPECT_TRUE(remove("fraud").ok()) << "a deleted state's references do not count";
  EXPECT_TRUE(set_final("fraud").ok());
}

TEST_F(States, DeletedIsKept) {
  const auto change = remove("completed");
  ASSERT_TRUE(change.ok());
  auto expected = settings_.states.at("completed");
  *expected.mutable_delete_time() = to_timestamp(kNow);
  ASSERT_EQ(change->saved.size(), 1u);
  EXPECT_EQ(change->saved[0].SerializeAsString(), expected.SerializeAsString());
  settings_ = apply(settings_, *change);
  EXPECT_REFUSED(remove("completed"), "STATE_NOT_FOUND");
  EXPECT_REFUSED(set_final("completed"), "STATE_NOT_FOUND");
  EXPECT_REFUSED(remove("nowhere"), "STATE_NOT_FOUND");
}

TEST_F(States, UpdateChangesWhatTheMaskNames) {
  pb::OrderState state = make_state("processing", pb::STATE_CATEGORY_HELD, 99);
  state.set_display_name("At work");
  state.set_final(true);
  state.set_allows_capture(true);
  const auto change =
      update_state(make_update(state, {"display_name", "position", "allows_capture"}), settings_);
  ASSERT_TRUE(change.ok());
  auto expected = settings_.states.at("processing");
  expected.set_display_name("At work");
  expected.set_position(99);
  expected.set_allows_capture(true);
  ASSERT_EQ(change->saved.size(), 1u);
  EXPECT_EQ(change->saved[0].SerializeAsString(), expected.SerializeAsString());
}

TEST_F(States, EnterableFromMayBeAbsentOrEmpty) {
  pb::OrderState absent;
  absent.set_state_id("suspended");
  const auto cleared = update_state(make_update(absent, {"enterable_from"}), settings_);
  ASSERT_TRUE(cleared.ok());
  EXPECT_FALSE(cleared->saved[0].has_enterable_from());
  // Replaced, not merged.
  EXPECT_EQ(set_enterable("suspended", {"new"})->saved[0].enterable_from().state_ids_size(), 1);
  // New orders and canceled ones come by other ways.
  EXPECT_TRUE(set_enterable("new", {})->saved[0].has_enterable_from());
  EXPECT_TRUE(set_enterable("canceled", {})->saved[0].has_enterable_from());
}

TEST_F(States, TheSameIsNoChange) {
  const auto change = update("suspended", [](auto&) {}, {"display_name", "enterable_from"});
  ASSERT_TRUE(change.ok());
  EXPECT_THAT(change->saved, IsEmpty());
}

TEST_F(States, AStateThatNoOrderCouldEnterIsRefused) {
  auto request = make_create();
  enterable_from(*request.mutable_state(), {});
  const auto refused = create_state(request, settings_);
  EXPECT_REFUSED(refused, "STATE_UNREACHABLE");
  EXPECT_EQ(metadata_of(refused.status(), "state_id"), "packed");
  EXPECT_REFUSED(set_enterable("completed", {}), "STATE_UNREACHABLE");
  request.mutable_state()->set_category(pb::STATE_CATEGORY_CANCELED);
  EXPECT_TRUE(create_state(request, settings_).ok()) << "cancellation leads there";
}

TEST_F(States, IslandsAreRefused) {
  // fraud and suspended lead to each other, and nothing leads to them.
  ASSERT_TRUE(set_enterable("suspended", {"fraud"}).ok());
  settings_ = apply(settings_, *set_enterable("suspended", {"fraud"}));
  EXPECT_REFUSED(set_enterable("fraud", {"suspended"}), "STATE_UNREACHABLE");
}

TEST_F(States, MovingTheInitialStateMustNotCutOffTheOldOne) {
  settings_ = apply(settings_, *set_enterable("new", {}));
  const auto refused = update("processing", [](auto& s) { s.set_initial(true); }, {"initial"});
  EXPECT_REFUSED(refused, "STATE_UNREACHABLE");
  EXPECT_EQ(metadata_of(refused.status(), "state_id"), "new");
}

TEST_F(States, WhatWasUnreachableBeforeIsNotThisChangesFault) {
  enterable_from(settings_.states["completed"], {});
  EXPECT_TRUE(update("completed", [](auto& s) { s.set_display_name("x"); }, {"display_name"}).ok());
  EXPECT_TRUE(create_state(make_create(), settings_).ok());
  EXPECT_TRUE(remove("completed").ok());
}

TEST_F(States, StrandingNamesTheStatesThatLoseTheirLastExit) {
  // Every state may go to any other.
  auto after = settings_;
  EXPECT_THAT(stranding_states(settings_, after), IsEmpty());
  // All ways but those into suspended are closed: new and completed have none.
  for (const auto* id : {"new", "processing", "completed", "fraud", "canceled"}) {
    enterable_from(after.states[id], {});
  }
  EXPECT_THAT(stranding_states(settings_, after),
              UnorderedElementsAre("new", "completed", "suspended"));
  EXPECT_THAT(stranding_states(after, after), IsEmpty()) << "stranded before";
  // One that is final now is meant to hold its orders, a new or deleted one has none.
  after.states["completed"].set_final(true);
  delete_state_in(after, "suspended");
  after.states["packed"] = make_state("packed", pb::STATE_CATEGORY_OPEN, 1);
  enterable_from(after.states["packed"], {"processing", "fraud"});
  EXPECT_THAT(stranding_states(settings_, after), ElementsAre("new"));
}

// --- The rules as a whole, against a model that knows only what must hold. ---

/// Whether an order can come to be in the state, by trying all ways of at most as many steps as
/// there are states.
bool reachable(const Settings& settings, const std::string& goal) {
  std::set<std::string> found;
  for (std::size_t step = 0; step <= settings.states.size(); ++step) {
    for (const auto& [id, state] : settings.states) {
      if (state.has_delete_time()) continue;
      bool enters = state.initial() || state.category() == pb::STATE_CATEGORY_CANCELED;
      for (const auto& from : found) {
        if (settings.states.at(from).final()) continue;
        if (!state.has_enterable_from()) enters = true;
        for (const auto& listed : state.enterable_from().state_ids()) enters |= listed == from;
      }
      if (enters) found.insert(id);
    }
  }
  return found.contains(goal);
}

/// What is wrong with the settings; empty if nothing.
std::string broken(const Settings& settings) {
  int initial = 0, canceled = 0;
  for (const auto& [id, state] : settings.states) {
    if (state.has_delete_time()) continue;
    initial += state.initial();
    canceled += state.category() == pb::STATE_CATEGORY_CANCELED;
    if (state.initial() && state.final()) return "initial and final: " + id;
    if (state.initial() && state.category() == pb::STATE_CATEGORY_CANCELED) {
      return "initial and canceled: " + id;
    }
    for (const auto& from : state.enterable_from().state_ids()) {
      const auto* other = settings.live_state(from);
      if (!other || other->final() || from == id) return id + " refers to " + from;
    }
    if (!reachable(settings, id)) return "unreachable: " + id;
  }
  if (initial != 1) return std::to_string(initial) + " initial states";
  if (canceled == 0) return "no canceled state";
  return "";
}

/// Random changes from sound settings: a change is accepted exactly if its result is sound.
TEST_F(States, AChangeIsAcceptedExactlyIfItsResultIsSound) {
  std::mt19937_64 random(random_seed());
  auto chance = [&](unsigned n) { return random() % n == 0; };
  const std::vector<std::string> ids = {"new",       "processing", "completed", "fraud",
                                        "suspended", "canceled",   "x",         "y"};
  auto any_id = [&] { return ids[random() % ids.size()]; };
  auto any_state = [&](const std::string& id) {
    auto state = make_state(id, static_cast<pb::StateCategory>(1 + random() % 4), 0);
    state.set_initial(chance(5));
    state.set_final(chance(4));
    if (chance(2)) {
      std::set<std::string> from;
      for (auto n = random() % 4; n > 0; --n) from.insert(any_id());
      enterable_from(state, {from.begin(), from.end()});
    }
    return state;
  };
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    SCOPED_TRACE(round);
    if (round % 50 == 0) settings_ = default_settings();
    const std::string id = any_id();
    Settings naive = settings_;
    absl::StatusOr<SettingsChange> change = SettingsChange{};
    const bool exists = settings_.any_state(id), lives = settings_.live_state(id);
    bool possible = lives;
    switch (random() % 3) {
      case 0: {
        auto request = make_create(id);
        *request.mutable_state() = any_state(id);
        possible = !exists;
        naive.states[id] = request.state();
        const auto valid = validate(request);
        change = valid.ok() ? create_state(request, settings_) : valid;
        break;
      }
      case 1: {
        const std::vector<std::string> all = {"category", "initial", "final", "enterable_from"};
        std::vector<std::string> paths;
        for (const auto& path : all) {
          if (chance(2)) paths.push_back(path);
        }
        const auto request = make_update(any_state(id), paths);
        if (!validate(request).ok()) continue;
        if (lives) {
          auto& state = naive.states[id];
          const auto& wanted = request.state();
          for (const auto& path : paths) {
            if (path == "category") state.set_category(wanted.category());
            if (path == "final") state.set_final(wanted.final());
            if (path == "initial") {
              for (auto& [other_id, other] : naive.states) {
                if (wanted.initial() && other_id != id) other.set_initial(false);
              }
              state.set_initial(wanted.initial());
            }
            if (path == "enterable_from") {
              state.clear_enterable_from();
              if (wanted.has_enterable_from()) {
                *state.mutable_enterable_from() = wanted.enterable_from();
              }
            }
          }
        }
        change = update_state(request, settings_);
        break;
      }
      default:
        if (lives) delete_state_in(naive, id);
        change = delete_state(make_delete(id), kNow, settings_);
    }
    const std::string fault = broken(naive);
    ASSERT_EQ(change.ok(), possible && fault.empty())
        << id << ": " << fault << " / " << change.status();
    if (!change.ok()) {
      ++refused;
      continue;
    }
    ++accepted;
    settings_ = apply(settings_, *change);
    for (const auto& [state_id, state] : naive.states) {
      ASSERT_EQ(settings_.states.at(state_id).SerializeAsString(), state.SerializeAsString());
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace orderd::rules
