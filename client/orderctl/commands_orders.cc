#include <fmt/core.h>

#include <memory>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"

// create, get

namespace orderd::cli {
namespace {

int create(Session& session, const std::string& file) {
  pb::CreateOrderRequest request;
  request.set_request_id(session.request_id);
  if (const auto status = parse_json(read_text(file), *request.mutable_order()); !status.ok()) {
    throw LocalError(fmt::format("{}: {}", file, std::string(status.message())));
  }
  const auto response = session.client.create_order(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
  } else {
    print_changed(response->order(), response->changed(), response->replayed());
  }
  return kOk;
}

int get(Session& session, const std::vector<std::string>& orders, bool summary) {
  int code = kOk;
  bool first = true;
  for (const auto& order : orders) {
    const auto id = order_id_of(session.client, order);
    if (!id.ok()) {
      code = fail(id.status());
      continue;
    }
    pb::GetOrderRequest request;
    request.set_order_id(*id);
    request.set_view(summary ? pb::ORDER_VIEW_SUMMARY : pb::ORDER_VIEW_FULL);
    const auto response = session.client.get_order(request);
    if (!response.ok()) {
      code = fail(response.status());
      continue;
    }
    if (session.json) {
      print_json(response->order());
    } else {
      if (!first) fmt::print("\n");
      print_order(response->order());
    }
    first = false;
  }
  return code;
}

}  // namespace

void add_order_commands(CLI::App& app, Action& action) {
  {
    auto* command = app.add_subcommand("create", "Create an order from JSON");
    auto file = std::make_shared<std::string>();
    command->add_option("FILE", *file, "A NewOrder as protobuf JSON; - is standard input")
        ->required();
    command->footer(
        "Example:\n"
        "  echo '{\"order_number\": \"1001\", \"items\": [{\"sku\": \"MUG\", \"quantity\": 2,\n"
        "         \"unit_price\": {\"currency_code\": \"EUR\", \"amount_minor\": 1250}}]}' |\n"
        "    orderctl create -\n"
        "Amounts are in the currency's minor unit: 1250 is 12.50 EUR.");
    command->callback(
        [file, &action] { action = [file](Session& session) { return create(session, *file); }; });
  }
  {
    auto* command = app.add_subcommand("get", "Show orders");
    auto orders = std::make_shared<std::vector<std::string>>();
    auto summary = std::make_shared<bool>(false);
    command->add_option("ORDER", *orders, "Ids or order numbers")->required();
    command->add_flag("--summary", *summary, "Without items, labels, shipments and payments");
    command->footer(
        "Examples:\n"
        "  orderctl get 1001\n"
        "  orderctl get 1001 --json | jq .totals");
    command->callback([orders, summary, &action] {
      action = [orders, summary](Session& session) { return get(session, *orders, *summary); };
    });
  }
}

}  // namespace orderd::cli
