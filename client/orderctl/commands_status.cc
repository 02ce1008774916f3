#include <fmt/core.h>

#include <memory>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"

// status, invoice

namespace orderd::cli {
namespace {

struct StatusFlags {
  /// The orders, then the state.
  std::vector<std::string> arguments;
  std::string reason;
  bool force = false;
  std::string etag;
};

int status_of_one(Session& session, const StatusFlags& flags) {
  const auto id = order_id_of(session.client, flags.arguments.front());
  if (!id.ok()) return fail(id.status());
  pb::UpdateOrderStatusRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_state_id(flags.arguments.back());
  request.set_reason(flags.reason);
  request.set_force(flags.force);
  const auto response = session.client.update_order_status(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
  } else {
    print_changed(response->order(), response->changed(), response->replayed());
  }
  return kOk;
}

int status_of_many(Session& session, const StatusFlags& flags) {
  if (!flags.etag.empty()) throw LocalError("--etag goes with one order only");
  const std::string& state = flags.arguments.back();
  pb::BatchUpdateOrderStatusRequest request;
  request.set_request_id(session.request_id);
  for (auto order = flags.arguments.begin(); order + 1 != flags.arguments.end(); ++order) {
    const auto id = order_id_of(session.client, *order);
    if (!id.ok()) return fail(id.status());
    auto& update = *request.add_updates();
    update.set_order_id(*id);
    update.set_state_id(state);
    update.set_reason(flags.reason);
    update.set_force(flags.force);
  }
  const auto response = session.client.batch_update_order_status(std::move(request));
  if (!response.ok()) return fail(response.status());

  bool refused = false;
  for (int i = 0; i < response->results_size(); ++i) {
    const auto& result = response->results(i);
    const absl::Status status = client::to_status(result.status());
    refused = refused || !status.ok();
    if (session.json) {
      print_json(result);
      continue;
    }
    const std::string name =
        fmt::format("order {} ({})", printable(flags.arguments[static_cast<std::size_t>(i)]),
                    result.order_id());
    if (status.ok()) {
      fmt::print("{}{}: state {}, etag {}\n",
                 result.replayed()  ? "done before: "
                 : result.changed() ? ""
                                    : "no change: ",
                 name, printable(state), printable(result.etag()));
    } else {
      fmt::print(stderr, "error: {}: {}\n", name, one_line(status));
    }
  }
  return refused ? kPartial : kOk;
}

int invoice(Session& session, const std::string& order, const std::string& number,
            const std::string& etag) {
  const auto id = order_id_of(session.client, order);
  if (!id.ok()) return fail(id.status());
  pb::UpdateInvoiceRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(etag);
  request.set_invoice_number(number);
  const auto response = session.client.update_invoice(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
  } else {
    print_changed(response->order(), response->changed(), response->replayed());
  }
  return kOk;
}

}  // namespace

void add_status_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("status", "Move orders into another state");
  auto flags = std::make_shared<StatusFlags>();
  command
      ->add_option("ORDER... STATE", flags->arguments,
                   "Ids or order numbers, and at last the state to enter")
      ->required()
      ->expected(2, 1001);
  command->add_option("--reason", flags->reason, "Why, for the history");
  command->add_flag(
      "--force", flags->force,
      "Skip the rules of transition; needs --reason (never skips the rule about money)");
  command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
  command->footer(
      "Each of several orders is a change of its own; exit code 10 if some were refused.\n"
      "Examples:\n"
      "  orderctl status 1001 processing\n"
      "  orderctl status 1001 1002 1003 suspended --reason 'stock check'");
  command->callback([flags, &action] {
    action = [flags](Session& session) {
      return flags->arguments.size() == 2 ? status_of_one(session, *flags)
                                          : status_of_many(session, *flags);
    };
  });
}

void add_invoice_command(CLI::App& app, Action& action) {
  struct Flags {
    std::string order;
    std::string number;
    bool clear = false;
    std::string etag;
  };
  auto* command = app.add_subcommand("invoice", "Set or clear the invoice number of an order");
  auto flags = std::make_shared<Flags>();
  command->add_option("ORDER", flags->order, "Id or order number")->required();
  auto* number = command->add_option("NUMBER", flags->number, "Unique over all orders");
  auto* clear = command->add_flag("--clear", flags->clear, "Take the number away");
  number->excludes(clear);
  command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
  command->footer(
      "Examples:\n"
      "  orderctl invoice 1001 INV-2026-0001\n"
      "  orderctl invoice 1001 --clear");
  command->callback([flags, &action] {
    if (flags->number.empty() && !flags->clear) {
      throw CLI::ValidationError("invoice", "give a NUMBER, or --clear");
    }
    action = [flags](Session& session) {
      return invoice(session, flags->order, flags->number, flags->etag);
    };
  });
}

}  // namespace orderd::cli
