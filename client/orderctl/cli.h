#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <stdexcept>
#include <string>

#include "client/client.h"

// What the commands of orderctl share.

namespace orderd::cli {

namespace pb = ::orders::v1;

/// Exit codes; `orderctl --help` lists them.
enum ExitCode {
  kOk = 0,
  kLocal = 1,
  kUsage = 2,
  kNotFound = 3,
  kInvalid = 4,
  kConflict = 5,
  kRefused = 6,
  kUnavailable = 7,
  kPermission = 8,
  kInternal = 9,
  kPartial = 10,
  /// Money is under way, and it is not known yet how that ends; or a cancellation is.
  kUnsettled = 11,
};

/// Something wrong on this side: a file that can't be read, JSON that can't be parsed.
class LocalError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a command runs with.
struct Session {
  client::Client client;
  /// Print protobuf JSON instead of tables.
  bool json = false;
  /// For the command's one mutation; empty: the client mints one.
  std::string request_id;
};

/// Runs the command that was parsed and returns the exit code. May throw LocalError.
using Action = std::function<int(Session&)>;

/// A variable of a script that is not set must not pass for an option that was left out.
inline const CLI::Validator kGiven(
    [](std::string& text) { return text.empty() ? std::string("is empty") : std::string(); }, "");

// Each adds commands that set `action` when they are parsed.
void add_import_command(CLI::App& app, Action& action);
void add_order_commands(CLI::App& app, Action& action);
void add_list_command(CLI::App& app, Action& action);
void add_update_command(CLI::App& app, Action& action);
void add_status_command(CLI::App& app, Action& action);
void add_invoice_command(CLI::App& app, Action& action);
void add_note_commands(CLI::App& app, Action& action);
void add_ship_commands(CLI::App& app, Action& action);
void add_pay_commands(CLI::App& app, Action& action);
void add_cancel_command(CLI::App& app, Action& action);
void add_emails_commands(CLI::App& app, Action& action);
void add_erase_commands(CLI::App& app, Action& action);
void add_history_command(CLI::App& app, Action& action);
void add_watch_command(CLI::App& app, Action& action);
void add_states_commands(CLI::App& app, Action& action);
void add_methods_commands(CLI::App& app, Action& action);
void add_keys_commands(CLI::App& app, Action& action);
void add_health_command(CLI::App& app, Action& action);

/// The completion script for "bash" or "zsh", made from the commands and options of `app`.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace orderd::cli
