#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/event_types.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_events.h"
#include "client/orderctl/text.h"

// history

namespace orderd::cli {
namespace {

constexpr int kPageSize = 500;

struct Flags {
  std::string order;
  std::vector<std::string> types;
  /// 0: no limit.
  int limit = 0;
};

int history(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::ListOrderEventsRequest request;
  request.set_order_id(*id);
  for (const auto& name : flags.types) request.add_event_types(event_type(name));
  // One more than is shown tells whether there are more.
  request.set_page_size(flags.limit == 0 || flags.limit >= kPageSize ? kPageSize : flags.limit + 1);
  Table table(event_headings("ETAG"));
  absl::Status failure;
  int shown = 0;
  bool more = false;
  for (const auto& event : session.client.list_order_events(std::move(request))) {
    if (!event.ok()) {
      failure = event.status();
      break;
    }
    if (flags.limit != 0 && shown == flags.limit) {
      more = true;
      break;
    }
    ++shown;
    if (session.json) {
      print_json(*event);
    } else {
      table.add(event_row(*event, event->etag()));
    }
  }
  if (!session.json && shown > 0) table.print();
  if (!failure.ok()) return fail(failure);
  if (more) {
    fmt::print(stderr, "the first {}; without --limit all are shown\n", flags.limit);
  } else if (shown == 0) {
    fmt::print(stderr, "there are no such events\n");
  }
  return kOk;
}

}  // namespace

void add_history_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("history", "What happened to an order, the oldest first");
  auto flags = std::make_shared<Flags>();
  command->add_option("ORDER", flags->order, "Id or order number")->required();
  add_event_type_option(*command, flags->types);
  command->add_option("--limit", flags->limit, "Show so many, not all")
      ->check(CLI::Range(1, 1'000'000'000));
  command->footer(
      "Details are what it was -> what it is. Events with the same etag are one change.\n"
      "Examples:\n"
      "  orderctl history 1001\n"
      "  orderctl history 1001 --type state_changed --type cancellation_changed\n"
      "  orderctl history 1001 --json | jq -r 'select(.state_changed) | .actor'");
  command->callback([flags, &action] {
    action = [flags](Session& session) { return history(session, *flags); };
  });
}

}  // namespace orderd::cli
