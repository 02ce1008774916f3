#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/line_selection.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"
#include "client/orderctl/print_shipments.h"

// ship show, state, track, method, combine, apply

namespace orderd::cli {
namespace {

struct Flags {
  std::string order;
  std::string etag;
  /// The delivery state, the shipment, the method or the file.
  std::string subject;
  SelectionFlags selection;
  std::string time;
  std::string into;
  std::vector<std::string> numbers;
  bool add = false;
  bool remove = false;
  bool clear = false;
};

int show(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  const auto order = full_order(session.client, *id);
  if (!order.ok()) return fail(order.status());
  if (session.json) {
    for (const auto& shipment : order->shipments()) print_json(shipment);
    return kOk;
  }
  fmt::print("order {} ({}): state {}, {}\n", printable(order->order_number()),
             printable(order->order_id()), printable(order->state_id()),
             order->shipments().empty() ? "no shipments" : printable(delivery_summary(*order)));
  for (const auto& action : order->available_actions()) {
    if (action.kind() == pb::ACTION_KIND_UPDATE_SHIPMENTS && !action.allowed()) {
      fmt::print("shipments can't be updated: {}\n", printable(action.reason()));
    }
  }
  print_shipments(*order);
  return kOk;
}

void print_result(const pb::Order& order, const pb::ShipmentChangeResult& result,
                  const std::string& prefix) {
  std::string text = result.changed() ? "" : "no change";
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (!result.shipment_id().empty()) add("shipment " + result.shipment_id());
  const int lines = result.line_ids_size();
  if (lines > 0) add(fmt::format("{} line{}", lines, lines == 1 ? "" : "s"));
  fmt::print("  {}{}\n", prefix, printable(text));
  for (const auto& line_id : result.skipped_line_ids()) {
    const std::string line = line_text(order, line_id);
    fmt::print("  skipped line {}{}\n", printable(line_id),
               line.empty() ? "" : ": " + printable(line));
  }
}

int report(const Session& session, const absl::StatusOr<pb::UpdateShipmentsResponse>& response) {
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

/// Sends one change, which `fill(order, change)` completes; returns a status.
///
/// What the server does not know by name (the lines of a shipment, a number more) is made from the
/// order as it was read. Such a change is bound to that order by its etag, and made anew if
/// somebody else was faster.
template <class Fill>
int send_change(Session& session, const Flags& flags, const Fill& fill) {
  const bool bound = flags.add || flags.remove || !flags.selection.shipments.empty();
  if (bound && !session.request_id.empty()) {
    throw LocalError(
        "--request-id does not go with a change that depends on what the order has now (--add, "
        "--remove, --shipment, combine)");
  }
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  constexpr int kRounds = 10;
  for (int round = 1;; ++round) {
    pb::Order order;
    if (bound || !flags.selection.skus.empty()) {
      auto read = full_order(session.client, *id);
      if (!read.ok()) return fail(read.status());
      order = *std::move(read);
    }
    pb::UpdateShipmentsRequest request;
    request.set_request_id(session.request_id);
    request.set_order_id(*id);
    request.set_etag(bound && flags.etag.empty() ? order.etag() : flags.etag);
    const absl::Status filled = fill(order, *request.add_changes());
    if (!filled.ok()) return fail(filled);
    const auto response = session.client.update_shipments(std::move(request));
    const bool lost_race = bound && flags.etag.empty() && round < kRounds &&
                           client::details(response.status()).reason == "ETAG_MISMATCH";
    if (!lost_race) return report(session, response);
  }
}

int set_state(Session& session, const Flags& flags) {
  pb::SetDeliveryState state;
  state.set_delivery_state_id(flags.subject);
  if (!flags.time.empty()) {
    *state.mutable_delivery_state_time() = parse_time(flags.time, "--time");
  }
  return send_change(session, flags, [&](const pb::Order& order, pb::ShipmentChange& change) {
    auto selection = selection_of(order, flags.selection);
    if (!selection.ok()) return selection.status();
    *change.mutable_set_delivery_state() = state;
    *change.mutable_set_delivery_state()->mutable_selection() = *std::move(selection);
    return absl::OkStatus();
  });
}

int set_method(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const pb::Order& order, pb::ShipmentChange& change) {
    auto selection = selection_of(order, flags.selection);
    if (!selection.ok()) return selection.status();
    auto& method = *change.mutable_set_method();
    *method.mutable_selection() = *std::move(selection);
    method.set_method_id(flags.subject);
    method.set_into_shipment_id(flags.into);
    return absl::OkStatus();
  });
}

int combine(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const pb::Order& order, pb::ShipmentChange& change) {
    const auto into = shipment_of(order, flags.subject);
    if (!into.ok()) return into.status();
    auto selection = selection_of(order, flags.selection);
    if (!selection.ok()) return selection.status();
    auto& method = *change.mutable_set_method();
    *method.mutable_selection() = *std::move(selection);
    method.set_method_id(into->method_id());
    method.set_into_shipment_id(into->shipment_id());
    return absl::OkStatus();
  });
}

int set_tracking(Session& session, const Flags& flags) {
  return send_change(session, flags, [&](const pb::Order& order, pb::ShipmentChange& change) {
    auto& tracking = *change.mutable_set_tracking_numbers();
    tracking.set_shipment_id(flags.subject);
    const auto& given = flags.numbers;
    if (flags.add || flags.remove) {
      const auto shipment = shipment_of(order, flags.subject);
      if (!shipment.ok()) return shipment.status();
      for (const auto& tracked : shipment->tracking_numbers()) {
        // One that is added again keeps its place.
        const bool named = std::find(given.begin(), given.end(), tracked.number()) != given.end();
        if (flags.add || !named) tracking.add_tracking_numbers(tracked.number());
      }
    }
    if (flags.remove) return absl::OkStatus();
    const auto kept = tracking.tracking_numbers();
    for (const auto& number : given) {
      if (std::find(kept.begin(), kept.end(), number) == kept.end()) {
        tracking.add_tracking_numbers(number);
      }
    }
    return absl::OkStatus();
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
  return report(session, session.client.update_shipments(std::move(request)));
}

const char* missing_selection(const Flags& flags) {
  return flags.selection.empty() ? "give --all, --item, --sku, --line or --shipment" : nullptr;
}

const char* missing_numbers(const Flags& flags) {
  return flags.numbers.empty() && !flags.clear ? "give a NUMBER, or --clear" : nullptr;
}

/// Adds the subcommands of `ship`.
class ShipCommands {
 public:
  ShipCommands(CLI::App& group, Action& action) : group_(group), action_(action) {}

  void add_show() {
    add("show", "Show what is shipped how, and where it is", show)
        ->footer("Example:\n  orderctl ship show 1001");
  }

  void add_state() {
    auto flags = std::make_shared<Flags>();
    auto* command = add_change("state", "Move lines into another delivery state", set_state, flags,
                               missing_selection);
    command->add_option("STATE", flags->subject, "`orderctl delivery-states list` shows them")
        ->required();
    add_selection_options(*command, flags->selection);
    command->add_option("--time", flags->time, "When it happened; now if it is not given");
    command->footer(
        "With a quantity the line is split: the other pieces stay as they are.\n"
        "Examples:\n"
        "  orderctl ship state 1001 confirmed --all\n"
        "  orderctl ship state 1001 shipped --item 1 --sku MUG\n"
        "  orderctl ship state 1001 delivered --item 2=1 --time 2026-11-23T08:30:00Z");
  }

  void add_track() {
    auto flags = std::make_shared<Flags>();
    auto* command = add_change("track", "Set, add or remove tracking numbers of a shipment",
                               set_tracking, flags, missing_numbers);
    command->add_option("SHIPMENT", flags->subject, "`orderctl ship show` has its id")->required();
    auto* numbers = command->add_option("NUMBER", flags->numbers,
                                        "Tracking numbers; they replace those that it has");
    auto* more = command->add_flag("--add", flags->add, "Keep those that it has");
    auto* less = command->add_flag("--remove", flags->remove, "Take these away, keep the others");
    auto* clear = command->add_flag("--clear", flags->clear, "Take all of them away");
    clear->excludes(numbers)->excludes(more)->excludes(less);
    more->excludes(less);
    command->footer(
        "Something in the shipment must be confirmed first; numbers can always be taken away.\n"
        "Examples:\n"
        "  orderctl ship track 1001 SHIPMENT JJD000390007\n"
        "  orderctl ship track 1001 SHIPMENT --add JJD000390008\n"
        "  orderctl ship track 1001 SHIPMENT --clear");
  }

  void add_method() {
    auto flags = std::make_shared<Flags>();
    auto* command =
        add_change("method", "Ship lines by another method", set_method, flags, missing_selection);
    command->add_option("METHOD", flags->subject, "`orderctl methods list` shows them")->required();
    add_selection_options(*command, flags->selection);
    command->add_option("--into", flags->into,
                        "SHIPMENT of this method that they join; a new one if it is not given");
    command->footer(
        "What has been shipped already is skipped with --all, and refused if it is named.\n"
        "A whole shipment that changes its method loses its tracking numbers.\n"
        "Examples:\n"
        "  orderctl ship method 1001 express --all\n"
        "  orderctl ship method 1001 letter --sku CARD --item 4=2");
  }

  void add_combine() {
    auto flags = std::make_shared<Flags>();
    auto* command = add_change("combine", "Put shipments together into one", combine, flags);
    command->add_option("SHIPMENT", flags->subject, "It keeps its method and tracking numbers")
        ->required();
    command->add_option("OTHER", flags->selection.shipments, "Shipments whose lines join it")
        ->required();
    command->footer(
        "Example:\n"
        "  orderctl ship combine 1001 SHIPMENT OTHER");
  }

  void add_apply() {
    auto flags = std::make_shared<Flags>();
    auto* command = add_change("apply", "Make several changes at once, all or none", apply, flags);
    command
        ->add_option("FILE", flags->subject,
                     "An UpdateShipmentsRequest as protobuf JSON; - is standard input")
        ->required();
    command->footer(
        "Later changes may name a shipment that an earlier one makes by its client_ref.\n"
        "Example:\n"
        "  echo '{\"changes\": [\n"
        "    {\"set_delivery_state\": {\"delivery_state_id\": \"confirmed\",\n"
        "      \"selection\": {\"all\": true}}},\n"
        "    {\"set_method\": {\"method_id\": \"express\", \"client_ref\": \"parcel\",\n"
        "      \"selection\": {\"lines\": [{\"item_id\": \"2\", \"quantity\": 1}]}}},\n"
        "    {\"set_tracking_numbers\": {\"shipment_id\": \"parcel\",\n"
        "      \"tracking_numbers\": [\"JJD01\"]}}]}' |\n"
        "    orderctl ship apply 1001 -");
  }

 private:
  using Run = int (*)(Session&, const Flags&);
  /// What must be given in addition; nothing if it has been.
  using Missing = const char* (*)(const Flags&);

  CLI::App* add(const std::string& name, const std::string& description, Run run,
                std::shared_ptr<Flags> flags = std::make_shared<Flags>(),
                Missing missing = nullptr) {
    auto* command = group_.add_subcommand(name, description);
    command->add_option("ORDER", flags->order, "Id or order number")->required();
    command->callback([name, flags, run, missing, &action = action_] {
      const char* problem = missing == nullptr ? nullptr : missing(*flags);
      if (problem != nullptr) throw CLI::ValidationError("ship " + name, problem);
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return command;
  }

  CLI::App* add_change(const std::string& name, const std::string& description, Run run,
                       std::shared_ptr<Flags> flags, Missing missing = nullptr) {
    auto* command = add(name, description, run, flags, missing);
    command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
    return command;
  }

  CLI::App& group_;
  Action& action_;
};

constexpr char kFooter[] =
    "A shipment is what travels together: a method, tracking numbers, and lines. A line is some "
    "or\n"
    "all pieces of an item, in a delivery state. Name them by item (--item, --sku), with "
    "=QUANTITY\n"
    "for some pieces only, by --line, by --shipment, or take --all.\n"
    "An order, step by step:\n"
    "  orderctl ship show 1001                        what there is, with the ids\n"
    "  orderctl ship state 1001 confirmed --all       it will be shipped\n"
    "  orderctl ship method 1001 express --item 2=1   one piece goes ahead, as its own shipment\n"
    "  orderctl ship track 1001 SHIPMENT JJD01        the carrier's number for a shipment\n"
    "  orderctl ship state 1001 shipped --shipment SHIPMENT\n"
    "`orderctl states list` shows the order states that allow it (ship), `orderctl "
    "delivery-states`\n"
    "and `orderctl methods` what can be chosen.";

}  // namespace

void add_ship_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand(
      "ship", "Show and change the shipments of an order: methods, tracking numbers, delivery");
  group->require_subcommand(1);
  ShipCommands commands(*group, action);
  commands.add_show();
  commands.add_state();
  commands.add_track();
  commands.add_method();
  commands.add_combine();
  commands.add_apply();
  group->footer(kFooter);
}

}  // namespace orderd::cli
