#include <fmt/core.h>

#include <clocale>
#include <cstdio>

#include "client/orderctl/cli.h"
#include "client/orderctl/connection.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

constexpr char kFooter[] =
    "First steps:\n"
    "  orderctl list --open               what is to be done\n"
    "  orderctl get 1001                  one order, by its number or id\n"
    "  orderctl status 1001 processing    move it\n"
    "  orderctl ship show 1001            its parcels: methods, tracking numbers, delivery states\n"
    "  orderctl pay show 1001             its money: what is authorized, captured, refunded\n"
    "  orderctl cancel 1001 --dry-run     what canceling it would return, and how\n"
    "  orderctl history 1001              what happened to it, and who did it\n"
    "  orderctl watch                     all changes, as they happen\n"
    "  orderctl states list               where orders can go\n"
    "  orderctl keys create --help        who may call\n"
    "  orderctl COMMAND --help            what a command can do, with examples\n"
    "\n"
    "Exit codes: 0 done; 1 a problem on this side (file, JSON, time, amount); 2 wrong usage;\n"
    "3 not found; 4 invalid; 5 conflict (exists already, etag mismatch); 6 refused by a rule, or\n"
    "money refused by its gateway; 7 server unavailable, overloaded or too slow; 8 not permitted;\n"
    "9 fault of the server; 10 partly done (some lines of an import or orders of a batch were\n"
    "refused); 11 not finished: money or a cancellation is under way, and the server goes on with\n"
    "it; `orderctl pay show ORDER` and `orderctl get ORDER` show how it stands.\n"
    "Answers go to standard output, all else to standard error.";

int run(int argc, char** argv) {
  CLI::App app("orderctl: work with the orders of an orderd server", "orderctl");
  Action action;
  bool json = false;
  std::string request_id;

  const ConnectionOptions connection(app);
  app.add_flag("--json", json, "Print protobuf JSON, one object per line, instead of tables");
  app.add_option("--request-id", request_id,
                 "UUID that makes the change repeatable: the same command with the same id is done "
                 "only once");
  app.require_subcommand(1);
  app.fallthrough();
  app.get_formatter()->column_width(34);

  add_import_command(app, action);
  add_order_commands(app, action);
  add_list_command(app, action);
  add_update_command(app, action);
  add_status_command(app, action);
  add_invoice_command(app, action);
  add_note_commands(app, action);
  add_ship_commands(app, action);
  add_pay_commands(app, action);
  add_cancel_command(app, action);
  add_emails_commands(app, action);
  add_erase_commands(app, action);
  add_history_command(app, action);
  add_watch_command(app, action);
  add_states_commands(app, action);
  add_methods_commands(app, action);
  add_keys_commands(app, action);
  add_health_command(app, action);

  std::string shell;
  auto* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  completion->add_option("SHELL", shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->footer("Example:\n  source <(orderctl completion bash)");
  // Set last: subcommands inherit the footer that is there when they are added.
  app.footer(kFooter);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.get_subcommands().empty() && !app.remaining().empty()) {
      fmt::print(stderr, "unknown command \"{}\"\nRun with --help for more information.\n",
                 printable(app.remaining().front()));
      return kUsage;
    }
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  if (completion->parsed()) {
    fmt::print("{}", completion_script(app, shell));
    return kOk;
  }
  Session session{client::Client(connection.client_options()), json, request_id};
  return action(session);
}

}  // namespace
}  // namespace orderd::cli

int main(int argc, char** argv) {
  using namespace orderd::cli;
  std::setlocale(LC_CTYPE, "C.UTF-8");  // for wcwidth
  int code = kInternal;
  try {
    code = run(argc, argv);
  } catch (const LocalError& error) {
    fmt::print(stderr, "error: {}\n", printable(error.what()));
    code = kLocal;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", printable(error.what()));
    code = kLocal;
  }
  if (std::fflush(stdout) != 0) {
    fmt::print(stderr, "error: can't write to standard output\n");
    return kLocal;
  }
  return code;
}
