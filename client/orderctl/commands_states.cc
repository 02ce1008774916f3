#include <map>

#include "client/orderctl/settings_commands.h"

// states, delivery-states

namespace orderd::cli {
namespace {

struct StateFlags : SettingFlags {
  std::optional<std::string> category;
  std::optional<bool> initial;
  std::optional<bool> final;
  std::vector<std::string> from;
  bool from_any = false;
  bool from_none = false;
};

template <class Category>
using Categories = std::map<std::string, Category>;

template <class Category>
void add_category_option(CLI::App& command, StateFlags& flags, bool creating,
                         const Categories<Category>& categories, const std::string& description) {
  std::vector<std::string> names;
  for (const auto& [name, value] : categories) names.push_back(name);
  command.add_option("--category", flags.category, description)
      ->required(creating)
      ->check(CLI::IsMember(names));
}

void add_from_options(CLI::App& command, StateFlags& flags, const std::string& otherwise) {
  auto* from =
      command.add_option("--from", flags.from, "STATE: enterable only from here; may be repeated")
          ->allow_extra_args(false);
  auto* any = command.add_flag("--from-any", flags.from_any,
                               "Enterable from every state that is not final (the default)");
  auto* none = command.add_flag("--from-none", flags.from_none, "Enterable by " + otherwise);
  from->excludes(any)->excludes(none);
  any->excludes(none);
}

/// What was given becomes the state's, and its names go into `mask`.
template <class State, class Category>
void set_state(const StateFlags& flags, const Categories<Category>& categories, State& state,
               google::protobuf::FieldMask& mask) {
  set_common(flags, state, mask);
  if (flags.category) {
    state.set_category(categories.at(*flags.category));
    mask.add_paths("category");
  }
  if (flags.from_none) state.mutable_enterable_from();
  for (const auto& from : flags.from) state.mutable_enterable_from()->add_state_ids(from);
  if (flags.from_none || flags.from_any || !flags.from.empty()) mask.add_paths("enterable_from");
}

template <class State>
void set_flag(const std::optional<bool>& value, void (State::*set)(bool), const char* path,
              State& state, google::protobuf::FieldMask& mask) {
  if (!value) return;
  (state.*set)(*value);
  mask.add_paths(path);
}

template <class Category>
std::string category_text(const Categories<Category>& categories, Category category) {
  for (const auto& [name, value] : categories) {
    if (value == category) return name;
  }
  return "?";
}

std::string flags_text(const std::vector<std::pair<bool, const char*>>& flags) {
  std::string text;
  for (const auto& [set, name] : flags) {
    if (set) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return or_dash(text);
}

template <class State>
std::string enterable_text(const State& state) {
  if (!state.has_enterable_from()) return "any";
  std::string text;
  for (const auto& id : state.enterable_from().state_ids()) {
    text += (text.empty() ? "" : ", ") + id;
  }
  return text.empty() ? "none" : text;
}

Table state_table() {
  return Table({"STATE", "NAME", "CATEGORY", ">POSITION", "FLAGS", "ENTERABLE FROM"});
}

struct OrderStates {
  using Setting = pb::OrderState;
  struct Flags : StateFlags {
    std::optional<bool> shipment_update;
    std::optional<bool> capture;
    std::optional<bool> cancel;
  };

  static constexpr char kCommand[] = "states";
  static constexpr char kNoun[] = "state";
  static constexpr char kNouns[] = "states";
  static constexpr char kArgument[] = "STATE";
  static constexpr char kSummary[] = "List and configure the states that orders can be in";
  static constexpr char kDeleteSummary[] = "Delete a state that no order is in";
  static constexpr char kGetExample[] = "processing";
  static constexpr char kCreateExample[] =
      "backordered --name 'Back-ordered' --category open \\\n"
      "      --from processing --allow-cancel --position 25";
  static constexpr char kUpdateExample[] = "fraud --name 'Suspected fraud' --dry-run";
  static constexpr char kDeleteExample[] = "backordered --dry-run";

  static constexpr auto kList = &client::Client::list_order_states;
  static constexpr auto kGet = &client::Client::get_order_state;
  static constexpr auto kCreate = &client::Client::create_order_state;
  static constexpr auto kUpdate = &client::Client::update_order_state;
  static constexpr auto kDelete = &client::Client::delete_order_state;

  static const Categories<pb::StateCategory>& categories() {
    static const Categories<pb::StateCategory> kCategories = {
        {"open", pb::STATE_CATEGORY_OPEN},
        {"held", pb::STATE_CATEGORY_HELD},
        {"completed", pb::STATE_CATEGORY_COMPLETED},
        {"canceled", pb::STATE_CATEGORY_CANCELED}};
    return kCategories;
  }

  static const auto& list_of(const pb::ListOrderStatesResponse& response) {
    return response.states();
  }
  static Setting& setting_in(auto& message) { return *message.mutable_state(); }
  static void set_id(auto& message, const std::string& id) { message.set_state_id(id); }

  static void add_options(CLI::App& command, Flags& flags, bool creating) {
    add_category_option(command, flags, creating, categories(),
                        "What it means for the work on the order");
    add_optional_flag(command, "--initial,!--no-initial", flags.initial, "New orders start here");
    add_optional_flag(command, "--final,!--no-final", flags.final, "No order leaves it");
    add_optional_flag(command, "--allow-shipments,!--no-shipments", flags.shipment_update,
                      "Shipments may be updated");
    add_optional_flag(command, "--allow-capture,!--no-capture", flags.capture,
                      "Payments may be captured");
    add_optional_flag(command, "--allow-cancel,!--no-cancel", flags.cancel,
                      "The order may be canceled");
    add_from_options(command, flags, "creation, cancellation, import and force only");
  }

  static void set(const Flags& flags, Setting& state, google::protobuf::FieldMask& mask) {
    set_flag(flags.initial, &Setting::set_initial, "initial", state, mask);
    set_flag(flags.final, &Setting::set_final, "final", state, mask);
    set_flag(flags.shipment_update, &Setting::set_allows_shipment_update, "allows_shipment_update",
             state, mask);
    set_flag(flags.capture, &Setting::set_allows_capture, "allows_capture", state, mask);
    set_flag(flags.cancel, &Setting::set_allows_cancel, "allows_cancel", state, mask);
    set_state(flags, categories(), state, mask);
  }

  static void print(const auto& states) {
    Table table = state_table();
    for (const Setting& state : states) {
      table.add({state.state_id(), state.display_name(),
                 category_text(categories(), state.category()), std::to_string(state.position()),
                 flags_text({{state.has_delete_time(), "DELETED"},
                             {state.initial(), "initial"},
                             {state.final(), "final"},
                             {state.allows_shipment_update(), "ship"},
                             {state.allows_capture(), "capture"},
                             {state.allows_cancel(), "cancel"}}),
                 enterable_text(state)});
    }
    table.print();
  }
};

struct DeliveryStates {
  using Setting = pb::DeliveryState;
  struct Flags : StateFlags {
    std::optional<bool> tracking;
  };

  static constexpr char kCommand[] = "delivery-states";
  static constexpr char kNoun[] = "delivery state";
  static constexpr char kNouns[] = "delivery states";
  static constexpr char kArgument[] = "STATE";
  static constexpr char kSummary[] =
      "List and configure the delivery states that lines of shipments can be in";
  static constexpr char kDeleteSummary[] = "Delete a delivery state that no line is in";
  static constexpr char kGetExample[] = "shipped";
  static constexpr char kCreateExample[] =
      "customs --name 'In customs' --category shipped \\\n"
      "      --from shipped --allow-tracking --position 35";
  static constexpr char kUpdateExample[] = "returned --from delivered --dry-run";
  static constexpr char kDeleteExample[] = "customs --dry-run";

  static constexpr auto kList = &client::Client::list_delivery_states;
  static constexpr auto kGet = &client::Client::get_delivery_state;
  static constexpr auto kCreate = &client::Client::create_delivery_state;
  static constexpr auto kUpdate = &client::Client::update_delivery_state;
  static constexpr auto kDelete = &client::Client::delete_delivery_state;

  static const Categories<pb::DeliveryCategory>& categories() {
    static const Categories<pb::DeliveryCategory> kCategories = {
        {"open", pb::DELIVERY_CATEGORY_OPEN},
        {"shipped", pb::DELIVERY_CATEGORY_SHIPPED},
        {"delivered", pb::DELIVERY_CATEGORY_DELIVERED},
        {"returned", pb::DELIVERY_CATEGORY_RETURNED},
        {"canceled", pb::DELIVERY_CATEGORY_CANCELED}};
    return kCategories;
  }

  static const auto& list_of(const pb::ListDeliveryStatesResponse& response) {
    return response.states();
  }
  static Setting& setting_in(auto& message) { return *message.mutable_state(); }
  static void set_id(auto& message, const std::string& id) { message.set_delivery_state_id(id); }

  static void add_options(CLI::App& command, Flags& flags, bool creating) {
    add_category_option(command, flags, creating, categories(), "What it means for the line");
    add_optional_flag(command, "--initial,!--no-initial", flags.initial,
                      "The lines of new orders start here");
    add_optional_flag(command, "--final,!--no-final", flags.final, "No line leaves it");
    add_optional_flag(command, "--allow-tracking,!--no-tracking", flags.tracking,
                      "The shipment may be given tracking numbers");
    add_from_options(command, flags, "creation, cancellation and import only");
  }

  static void set(const Flags& flags, Setting& state, google::protobuf::FieldMask& mask) {
    set_flag(flags.initial, &Setting::set_initial, "initial", state, mask);
    set_flag(flags.final, &Setting::set_final, "final", state, mask);
    set_flag(flags.tracking, &Setting::set_allows_tracking, "allows_tracking", state, mask);
    set_state(flags, categories(), state, mask);
  }

  static void print(const auto& states) {
    Table table = state_table();
    for (const Setting& state : states) {
      table.add({state.delivery_state_id(), state.display_name(),
                 category_text(categories(), state.category()), std::to_string(state.position()),
                 flags_text({{state.has_delete_time(), "DELETED"},
                             {state.initial(), "initial"},
                             {state.final(), "final"},
                             {state.allows_tracking(), "tracking"}}),
                 enterable_text(state)});
    }
    table.print();
  }
};

}  // namespace

void add_states_commands(CLI::App& app, Action& action) {
  SettingCommands<OrderStates>::add(app, action);
  SettingCommands<DeliveryStates>::add(app, action);
}

}  // namespace orderd::cli
