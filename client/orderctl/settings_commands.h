#pragma once

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/text.h"

// The commands list, get, create, update and delete, which every kind of setting has. A kind is a
// type with
//   Setting                               its message
//   Flags                                 derived from SettingFlags
//   kCommand, kNoun, kNouns, kArgument    names: "states", "state", "states", "STATE"
//   kSummary, kDeleteSummary              what `--help` says of the group and of `delete`
//   kList, kGet, kCreate, kUpdate, kDelete  members of client::Client
//   list_of(response), setting_in(request or response), set_id(setting or request, id)
//   add_options(command, flags, creating), set(flags, setting, mask), print(settings)
//   kGetExample, kCreateExample, kUpdateExample, kDeleteExample

namespace orderd::cli {

struct SettingFlags {
  std::string id;
  std::optional<std::string> name;
  std::optional<int> position;
  bool dry_run = false;
  bool deleted = false;
  std::string etag;
};

/// The request of a member of client::Client.
template <class Response, class Request>
Request request_type(Response (client::Client::*)(Request) const);
template <class Response, class Request>
Request request_type(Response (client::Client::*)(const Request&) const);
template <auto kCall>
using RequestOf = decltype(request_type(kCall));

/// What was given of the fields that all settings have, with their names in `mask`.
template <class Setting>
void set_common(const SettingFlags& flags, Setting& setting, google::protobuf::FieldMask& mask) {
  if (flags.name) {
    setting.set_display_name(*flags.name);
    mask.add_paths("display_name");
  }
  if (flags.position) {
    setting.set_position(*flags.position);
    mask.add_paths("position");
  }
}

/// A flag that can be given, given as "no", or not given.
inline void add_optional_flag(CLI::App& command, const std::string& names,
                              std::optional<bool>& flag, const std::string& description) {
  command.add_flag_function(
      names, [&flag](std::int64_t count) { flag = count > 0; }, description);
}

template <class Kind>
class SettingCommands {
 public:
  using Flags = typename Kind::Flags;

  static void add(CLI::App& app, Action& action) {
    auto* group = app.add_subcommand(Kind::kCommand, Kind::kSummary);
    group->require_subcommand(1);
    const std::string noun = Kind::kNoun;
    const std::string example = "Example:\n  orderctl " + std::string(Kind::kCommand);
    {
      auto flags = std::make_shared<Flags>();
      auto* command =
          add_command(*group, "list", std::string("List the ") + Kind::kNouns, list, flags, action);
      command->add_flag("--deleted", flags->deleted, "Deleted ones too");
      command->footer(example + " list");
    }
    {
      auto flags = std::make_shared<Flags>();
      auto* command =
          add_command(*group, "get", "Show a " + noun + ", also a deleted one", get, flags, action);
      add_id_argument(*command, *flags);
      command->footer(example + " get " + Kind::kGetExample);
    }
    {
      auto flags = std::make_shared<Flags>();
      auto* command = add_command(*group, "create", "Add a " + noun, create, flags, action);
      add_change_options(*command, *flags);
      add_field_options(*command, *flags, true);
      command->footer(example + " create " + Kind::kCreateExample);
    }
    {
      auto flags = std::make_shared<Flags>();
      auto* command =
          add_command(*group, "update", "Change what is given of a " + noun, update, flags, action);
      add_change_options(*command, *flags);
      add_field_options(*command, *flags, false);
      command->footer(example + " update " + Kind::kUpdateExample);
    }
    {
      auto flags = std::make_shared<Flags>();
      auto* command = add_command(*group, "delete", Kind::kDeleteSummary, remove, flags, action);
      add_change_options(*command, *flags);
      command->footer(example + " delete " + Kind::kDeleteExample);
    }
  }

 private:
  static CLI::App* add_command(CLI::App& group, const std::string& name,
                               const std::string& description, int (*run)(Session&, const Flags&),
                               std::shared_ptr<Flags> flags, Action& action) {
    auto* command = group.add_subcommand(name, description);
    command->callback([flags, run, &action] {
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return command;
  }

  static void add_id_argument(CLI::App& command, Flags& flags) {
    command.add_option(Kind::kArgument, flags.id, std::string("The ") + Kind::kNoun + "'s id")
        ->required();
  }

  static void add_change_options(CLI::App& command, Flags& flags) {
    add_id_argument(command, flags);
    command.add_flag("--dry-run,--validate-only", flags.dry_run,
                     "Say what would happen; change nothing");
    command.add_option("--etag", flags.etag, "Refuse if the settings have another etag by now");
  }

  static void add_field_options(CLI::App& command, Flags& flags, bool creating) {
    command.add_option("--name", flags.name, "For people")->required(creating);
    Kind::add_options(command, flags, creating);
    command.add_option("--position", flags.position,
                       std::string("The ") + Kind::kNouns + " are listed by position");
  }

  static int list(Session& session, const Flags& flags) {
    RequestOf<Kind::kList> request;
    request.set_include_deleted(flags.deleted);
    const auto response = (session.client.*Kind::kList)(request);
    if (!response.ok()) return fail(response.status());
    if (session.json) {
      for (const auto& setting : Kind::list_of(*response)) print_json(setting);
    } else {
      Kind::print(Kind::list_of(*response));
    }
    return kOk;
  }

  static int get(Session& session, const Flags& flags) {
    RequestOf<Kind::kGet> request;
    Kind::set_id(request, flags.id);
    auto response = (session.client.*Kind::kGet)(request);
    if (!response.ok()) return fail(response.status());
    if (session.json) {
      print_json(Kind::setting_in(*response));
    } else {
      Kind::print(std::vector{Kind::setting_in(*response)});
    }
    return kOk;
  }

  static int create(Session& session, const Flags& flags) {
    RequestOf<Kind::kCreate> request;
    google::protobuf::FieldMask unused;
    Kind::set_id(Kind::setting_in(request), flags.id);
    Kind::set(flags, Kind::setting_in(request), unused);
    return change<Kind::kCreate>(session, flags, std::move(request), "created");
  }

  static int update(Session& session, const Flags& flags) {
    RequestOf<Kind::kUpdate> request;
    Kind::set_id(Kind::setting_in(request), flags.id);
    Kind::set(flags, Kind::setting_in(request), *request.mutable_update_mask());
    if (request.update_mask().paths().empty()) {
      throw LocalError("nothing to change: give at least one of the options");
    }
    return change<Kind::kUpdate>(session, flags, std::move(request), "updated");
  }

  static int remove(Session& session, const Flags& flags) {
    RequestOf<Kind::kDelete> request;
    Kind::set_id(request, flags.id);
    return change<Kind::kDelete>(session, flags, std::move(request), "deleted");
  }

  template <auto kCall, class Request>
  static int change(Session& session, const Flags& flags, Request request, const char* verb) {
    request.set_request_id(session.request_id);
    request.set_validate_only(flags.dry_run);
    request.set_settings_etag(flags.etag);
    const auto response = (session.client.*kCall)(std::move(request));
    if (!response.ok()) return fail(response.status());
    if (session.json) {
      print_json(*response);
      return kOk;
    }
    const std::string subject = std::string(Kind::kNoun) + " " + printable(flags.id);
    if (flags.dry_run) {
      fmt::print("would be {}: {}{}\n", verb, subject, response->changed() ? "" : " (no change)");
    } else {
      fmt::print("{}{}: {}\n", response->replayed() ? "done before: " : "",
                 response->changed() || response->replayed() ? verb : "no change", subject);
    }
    if constexpr (requires { response->stranded(); }) print_stranded(flags, *response);
    return kOk;
  }

  template <class Response>
  static void print_stranded(const Flags& flags, const Response& response) {
    for (const auto& stranded : response.stranded()) {
      fmt::print("{} orders in state {} {} without a next state:\n", stranded.order_count(),
                 printable(stranded.state_id()), flags.dry_run ? "would be" : "are");
      for (const auto& id : stranded.order_ids()) fmt::print("  {}\n", printable(id));
      if (stranded.order_count() > stranded.order_ids_size()) fmt::print("  …\n");
    }
  }
};

}  // namespace orderd::cli
