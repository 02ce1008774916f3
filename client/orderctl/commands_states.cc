#include <fmt/core.h>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

const std::map<std::string, pb::StateCategory> kCategories = {
    {"open", pb::STATE_CATEGORY_OPEN},
    {"held", pb::STATE_CATEGORY_HELD},
    {"completed", pb::STATE_CATEGORY_COMPLETED},
    {"canceled", pb::STATE_CATEGORY_CANCELED}};

struct Flags {
  std::string state_id;
  std::optional<std::string> name;
  std::optional<std::string> category;
  std::optional<bool> initial;
  std::optional<bool> final;
  std::optional<bool> shipment_update;
  std::optional<bool> capture;
  std::optional<bool> cancel;
  std::vector<std::string> from;
  bool from_any = false;
  bool from_none = false;
  std::optional<int> position;
  bool dry_run = false;
  bool deleted = false;
  std::string etag;
};

/// What was given becomes the state's, and its names go into `mask`.
pb::OrderState state_of(const Flags& flags, google::protobuf::FieldMask& mask) {
  pb::OrderState state;
  state.set_state_id(flags.state_id);
  if (flags.name) {
    state.set_display_name(*flags.name);
    mask.add_paths("display_name");
  }
  if (flags.category) {
    state.set_category(kCategories.at(*flags.category));
    mask.add_paths("category");
  }
  const auto set_flag = [&](const std::optional<bool>& value, void (pb::OrderState::*set)(bool),
                            const char* path) {
    if (!value) return;
    (state.*set)(*value);
    mask.add_paths(path);
  };
  set_flag(flags.initial, &pb::OrderState::set_initial, "initial");
  set_flag(flags.final, &pb::OrderState::set_final, "final");
  set_flag(flags.shipment_update, &pb::OrderState::set_allows_shipment_update,
           "allows_shipment_update");
  set_flag(flags.capture, &pb::OrderState::set_allows_capture, "allows_capture");
  set_flag(flags.cancel, &pb::OrderState::set_allows_cancel, "allows_cancel");
  if (flags.position) {
    state.set_position(*flags.position);
    mask.add_paths("position");
  }
  if (flags.from_none) state.mutable_enterable_from();
  for (const auto& from : flags.from) state.mutable_enterable_from()->add_state_ids(from);
  if (flags.from_none || flags.from_any || !flags.from.empty()) mask.add_paths("enterable_from");
  return state;
}

/// OPEN, HELD, …
std::string category_text(pb::StateCategory category) {
  for (const auto& [name, value] : kCategories) {
    if (value == category) return name;
  }
  return "?";
}

std::string flags_text(const pb::OrderState& state) {
  std::string text;
  const auto add = [&](bool set, const char* name) {
    if (set) text += (text.empty() ? "" : ", ") + std::string(name);
  };
  add(state.has_delete_time(), "DELETED");
  add(state.initial(), "initial");
  add(state.final(), "final");
  add(state.allows_shipment_update(), "ship");
  add(state.allows_capture(), "capture");
  add(state.allows_cancel(), "cancel");
  return or_dash(text);
}

std::string enterable_text(const pb::OrderState& state) {
  if (!state.has_enterable_from()) return "any";
  std::string text;
  for (const auto& id : state.enterable_from().state_ids()) {
    text += (text.empty() ? "" : ", ") + id;
  }
  return text.empty() ? "none" : text;
}

void print_states(const std::vector<pb::OrderState>& states) {
  Table table({"STATE", "NAME", "CATEGORY", ">POSITION", "FLAGS", "ENTERABLE FROM"});
  for (const auto& state : states) {
    table.add({state.state_id(), state.display_name(), category_text(state.category()),
               std::to_string(state.position()), flags_text(state), enterable_text(state)});
  }
  table.print();
}

template <class Response>
int print_state_change(const Session& session, const Flags& flags, const Response& response,
                       const char* verb) {
  if (session.json) {
    print_json(response);
    return kOk;
  }
  if (flags.dry_run) {
    fmt::print("would be {}: state {}{}\n", verb, printable(flags.state_id),
               response.changed() ? "" : " (no change)");
  } else {
    fmt::print("{}{}: state {}\n", response.replayed() ? "done before: " : "",
               response.changed() || response.replayed() ? verb : "no change",
               printable(flags.state_id));
  }
  for (const auto& stranded : response.stranded()) {
    fmt::print("{} orders in state {} {} without a next state:\n", stranded.order_count(),
               printable(stranded.state_id()), flags.dry_run ? "would be" : "are");
    for (const auto& id : stranded.order_ids()) fmt::print("  {}\n", printable(id));
    if (stranded.order_count() > stranded.order_ids_size()) fmt::print("  …\n");
  }
  return kOk;
}

int list(Session& session, const Flags& flags) {
  pb::ListOrderStatesRequest request;
  request.set_include_deleted(flags.deleted);
  const auto response = session.client.list_order_states(request);
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    for (const auto& state : response->states()) print_json(state);
  } else {
    print_states({response->states().begin(), response->states().end()});
  }
  return kOk;
}

int create(Session& session, const Flags& flags) {
  pb::CreateOrderStateRequest request;
  request.set_request_id(session.request_id);
  google::protobuf::FieldMask unused;
  *request.mutable_state() = state_of(flags, unused);
  request.set_validate_only(flags.dry_run);
  request.set_settings_etag(flags.etag);
  const auto response = session.client.create_order_state(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_state_change(session, flags, *response, "created");
}

int update(Session& session, const Flags& flags) {
  pb::UpdateOrderStateRequest request;
  request.set_request_id(session.request_id);
  *request.mutable_state() = state_of(flags, *request.mutable_update_mask());
  if (request.update_mask().paths().empty()) {
    throw LocalError("nothing to change: give at least one of the options");
  }
  request.set_validate_only(flags.dry_run);
  request.set_settings_etag(flags.etag);
  const auto response = session.client.update_order_state(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_state_change(session, flags, *response, "updated");
}

int remove(Session& session, const Flags& flags) {
  pb::DeleteOrderStateRequest request;
  request.set_request_id(session.request_id);
  request.set_state_id(flags.state_id);
  request.set_validate_only(flags.dry_run);
  request.set_settings_etag(flags.etag);
  const auto response = session.client.delete_order_state(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_state_change(session, flags, *response, "deleted");
}

void add_state_options(CLI::App& command, Flags& flags, bool creating) {
  command.add_option("--name", flags.name, "For people")->required(creating);
  std::vector<std::string> categories;
  for (const auto& [name, value] : kCategories) categories.push_back(name);
  command.add_option("--category", flags.category, "What it means for the work on the order")
      ->required(creating)
      ->check(CLI::IsMember(categories));
  const auto add_flag = [&](const char* names, std::optional<bool>& flag, const char* description) {
    command.add_flag_function(
        names, [&flag](std::int64_t count) { flag = count > 0; }, description);
  };
  add_flag("--initial,!--no-initial", flags.initial, "New orders start here");
  add_flag("--final,!--no-final", flags.final, "No order leaves it");
  add_flag("--allow-shipments,!--no-shipments", flags.shipment_update, "Shipments may be updated");
  add_flag("--allow-capture,!--no-capture", flags.capture, "Payments may be captured");
  add_flag("--allow-cancel,!--no-cancel", flags.cancel, "The order may be canceled");
  auto* from =
      command.add_option("--from", flags.from, "STATE: enterable only from here; may be repeated")
          ->allow_extra_args(false);
  auto* any = command.add_flag("--from-any", flags.from_any,
                               "Enterable from every state that is not final (the default)");
  auto* none = command.add_flag("--from-none", flags.from_none,
                                "Enterable by creation, cancellation, import and force only");
  from->excludes(any)->excludes(none);
  any->excludes(none);
  command.add_option("--position", flags.position, "States are listed by position");
}

}  // namespace

void add_states_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("states", "List and configure the states that orders can be in");
  group->require_subcommand(1);

  const auto subcommand = [&](const std::string& name, const std::string& description,
                              int (*run)(Session&, const Flags&), std::shared_ptr<Flags> flags) {
    auto* command = group->add_subcommand(name, description);
    if (name == "list") {
      command->add_flag("--deleted", flags->deleted, "Deleted ones too");
    } else {
      command->add_option("STATE", flags->state_id, "The state's id")->required();
      command->add_flag("--dry-run", flags->dry_run,
                        "Say what would happen, and which orders it would strand; change nothing");
      command->add_option("--etag", flags->etag, "Refuse if the settings have another etag by now");
    }
    command->callback([flags, run, &action] {
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return command;
  };
  subcommand("list", "List the states", list, std::make_shared<Flags>())
      ->footer("Example:\n  orderctl states list");
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("create", "Add a state", create, flags);
    add_state_options(*command, *flags, true);
    command->footer(
        "Example:\n"
        "  orderctl states create backordered --name 'Back-ordered' --category open \\\n"
        "      --from processing --allow-cancel --position 25");
  }
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("update", "Change what is given of a state", update, flags);
    add_state_options(*command, *flags, false);
    command->footer("Example:\n  orderctl states update fraud --name 'Suspected fraud' --dry-run");
  }
  subcommand("delete", "Delete a state that no order is in", remove, std::make_shared<Flags>())
      ->footer("Example:\n  orderctl states delete backordered --dry-run");
}

}  // namespace orderd::cli
