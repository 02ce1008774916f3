#include <fmt/core.h>

#include <memory>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/line_selection.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"
#include "client/orderctl/print_shipments.h"

// ship show, method, track, state, apply

namespace orderd::cli {
namespace {

struct Flags {
  std::string order;
  std::string etag;
  /// The method, the shipment, the delivery state or the file.
  std::string subject;
  SelectionFlags selection;
  std::string into;
  std::vector<std::string> numbers;
  bool clear = false;
  std::string time;
};

int show(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::GetOrderRequest request;
  request.set_order_id(*id);
  request.set_view(pb::ORDER_VIEW_FULL);
  const auto response = session.client.get_order(request);
  if (!response.ok()) return fail(response.status());
  const pb::Order& order = response->order();
  if (session.json) {
    for (const auto& shipment : order.shipments()) print_json(shipment);
    return kOk;
  }
  fmt::print("order {} ({}): state {}, {}\n", printable(order.order_number()),
             printable(order.order_id()), printable(order.state_id()),
             order.shipments().empty() ? "no shipments" : printable(delivery_summary(order)));
  for (const auto& action : order.available_actions()) {
    if (action.kind() == pb::ACTION_KIND_UPDATE_SHIPMENTS && !action.allowed()) {
      fmt::print("shipments can't be updated: {}\n", printable(action.reason()));
    }
  }
  print_shipments(order);
  return kOk;
}

void print_result(const pb::Order& order, const pb::ShipmentChangeResult& result,
                  const std::string& prefix) {
  std::string text = prefix;
  if (!result.shipment_id().empty()) text += "shipment " + result.shipment_id() + ": ";
  if (!result.changed()) {
    text += "no change";
  } else if (result.line_ids().empty()) {
    text += "changed";
  } else {
    text += fmt::format("{} line{} changed", result.line_ids_size(),
                        result.line_ids_size() == 1 ? "" : "s");
  }
  fmt::print("{}\n", printable(text));
  for (const auto& line_id : result.skipped_line_ids()) {
    const std::string line = line_text(order, line_id);
    fmt::print("  skipped line {}{}\n", printable(line_id),
               line.empty() ? "" : ": " + printable(line));
  }
}

int send(Session& session, pb::UpdateShipmentsRequest request) {
  const auto response = session.client.update_shipments(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  print_changed(response->order(), response->changed(), response->replayed());
  for (int i = 0; i < response->results_size(); ++i) {
    print_result(response->order(), response->results(i),
                 response->results_size() == 1 ? "" : fmt::format("change {}: ", i));
  }
  return kOk;
}

/// Sends one change, which `fill` completes.
template <class Fill>
int send_change(Session& session, const Flags& flags, const Fill& fill) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::UpdateShipmentsRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  if (const absl::Status status = fill(*id, *request.add_changes()); !status.ok()) {
    return fail(status);
  }
  return send(session, std::move(request));
}

int set_method(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const std::string& id, pb::ShipmentChange& change) {
    auto& method = *change.mutable_set_method();
    method.set_method_id(flags.subject);
    method.set_into_shipment_id(flags.into);
    auto selection = selection_of(session.client, id, flags.selection);
    if (selection.ok()) *method.mutable_selection() = *std::move(selection);
    return selection.status();
  });
}

int set_tracking(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const std::string&, pb::ShipmentChange& change) {
    auto& tracking = *change.mutable_set_tracking_numbers();
    tracking.set_shipment_id(flags.subject);
    tracking.mutable_tracking_numbers()->Add(flags.numbers.begin(), flags.numbers.end());
    return absl::OkStatus();
  });
}

int set_state(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const std::string& id, pb::ShipmentChange& change) {
    auto& state = *change.mutable_set_delivery_state();
    state.set_delivery_state_id(flags.subject);
    if (!flags.time.empty()) {
      *state.mutable_delivery_state_time() = parse_time(flags.time, "--time");
    }
    auto selection = selection_of(session.client, id, flags.selection);
    if (selection.ok()) *state.mutable_selection() = *std::move(selection);
    return selection.status();
  });
}

int apply(Session& session, const Flags& flags) {
  pb::UpdateShipmentsRequest request;
  if (const auto status = parse_json(read_text(flags.subject), request); !status.ok()) {
    throw LocalError(fmt::format("{}: {}", flags.subject, std::string(status.message())));
  }
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  if (!request.order_id().empty() && request.order_id() != *id) {
    throw LocalError(
        fmt::format("{}: it is for the order {}, not {}", flags.subject, request.order_id(), *id));
  }
  request.set_order_id(*id);
  if (!session.request_id.empty()) request.set_request_id(session.request_id);
  if (!flags.etag.empty()) request.set_etag(flags.etag);
  return send(session, std::move(request));
}

const char* missing_selection(const Flags& flags) {
  return flags.selection.empty() ? "give --all, --item, --sku or --line" : nullptr;
}

const char* missing_numbers(const Flags& flags) {
  return flags.numbers.empty() && !flags.clear ? "give a NUMBER, or --clear" : nullptr;
}

}  // namespace

void add_ship_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand(
      "ship", "Show and change the shipments of an order: methods, tracking numbers, delivery");
  group->require_subcommand(1);

  /// `missing`: what must be given in addition, unless it has been.
  using Missing = const char* (*)(const Flags&);
  const auto subcommand = [&](const std::string& name, const std::string& description,
                              int (*run)(Session&, const Flags&), std::shared_ptr<Flags> flags,
                              Missing missing = nullptr) {
    auto* command = group->add_subcommand(name, description);
    command->add_option("ORDER", flags->order, "Id or order number")->required();
    if (name != "show") {
      command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
    }
    command->callback([name, flags, run, missing, &action] {
      const char* problem = missing == nullptr ? nullptr : missing(*flags);
      if (problem != nullptr) throw CLI::ValidationError("ship " + name, problem);
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return command;
  };
  subcommand("show", "Show what is shipped how, and where it is", show, std::make_shared<Flags>())
      ->footer("Example:\n  orderctl ship show 1001");
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("method", "Ship lines by another method, as a shipment of their own",
                               set_method, flags, missing_selection);
    command->add_option("METHOD", flags->subject, "`orderctl methods list` shows them")->required();
    add_selection_options(*command, flags->selection);
    command->add_option("--into", flags->into, "SHIPMENT of this method that they join");
    command->footer(
        "What has been shipped already is skipped with --all, and refused if it is named.\n"
        "Examples:\n"
        "  orderctl ship method 1001 express --all\n"
        "  orderctl ship method 1001 letter --sku CARD --item 4=2");
  }
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("track", "Replace the tracking numbers of a shipment", set_tracking,
                               flags, missing_numbers);
    command->add_option("SHIPMENT", flags->subject, "`orderctl ship show` has its id")->required();
    auto* numbers = command->add_option("NUMBER", flags->numbers, "Tracking numbers");
    auto* clear = command->add_flag("--clear", flags->clear, "Take all of them away");
    numbers->excludes(clear);
    command->footer(
        "Example:\n"
        "  orderctl ship track 1001 SHIPMENT JJD000390007 JJD000390008");
  }
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("state", "Move lines into another delivery state", set_state, flags,
                               missing_selection);
    command->add_option("STATE", flags->subject, "`orderctl delivery-states list` shows them")
        ->required();
    add_selection_options(*command, flags->selection);
    command->add_option("--time", flags->time, "When it happened; now if it is not given");
    command->footer(
        "Examples:\n"
        "  orderctl ship state 1001 shipped --all\n"
        "  orderctl ship state 1001 delivered --item 2=1 --time 2026-11-23T08:30:00Z");
  }
  {
    auto flags = std::make_shared<Flags>();
    auto* command = subcommand("apply", "Make several changes at once, all or none", apply, flags);
    command
        ->add_option("FILE", flags->subject,
                     "An UpdateShipmentsRequest as protobuf JSON; - is standard input")
        ->required();
    command->footer(
        "Later changes may name a shipment that an earlier one makes by its client_ref.\n"
        "Example:\n"
        "  echo '{\"changes\": [\n"
        "    {\"set_method\": {\"method_id\": \"express\", \"client_ref\": \"a\",\n"
        "                    \"selection\": {\"lines\": [{\"item_id\": \"2\", \"quantity\": "
        "1}]}}},\n"
        "    {\"set_delivery_state\": {\"delivery_state_id\": \"shipped\",\n"
        "                            \"selection\": {\"lines\": [{\"item_id\": \"2\"}]}}},\n"
        "    {\"set_tracking_numbers\": {\"shipment_id\": \"a\",\n"
        "                              \"tracking_numbers\": [\"JJD01\"]}}]}' |\n"
        "    orderctl ship apply 1001 -");
  }
}

}  // namespace orderd::cli
