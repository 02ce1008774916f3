#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "client/orderctl/amounts.h"
#include "client/orderctl/cli.h"
#include "client/orderctl/confirm.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/payment_choice.h"
#include "client/orderctl/print_cancellation.h"
#include "client/orderctl/print_payments.h"
#include "client/orderctl/text.h"
#include "client/request_id.h"

// cancel

namespace orderd::cli {
namespace {

struct Flags {
  std::string order;
  std::string reason;
  std::string state;
  std::string etag;
  bool notify = false;
  bool dry_run = false;
  bool include_shipped = false;
  bool yes = false;
  bool wait = false;
  bool abandon = false;
};

pb::CancelOrderRequest request_of(const Flags& flags, const std::string& order_id) {
  pb::CancelOrderRequest request;
  request.set_order_id(order_id);
  request.set_etag(flags.etag);
  request.set_reason(flags.reason);
  request.set_notify_customer(flags.notify);
  request.set_target_state_id(flags.state);
  request.set_include_shipped(flags.include_shipped);
  return request;
}

/// What somebody has to do by hand before the cancellation can go on.
bool waits_for_a_person(const pb::PaymentTransaction& open) {
  return open.status() == pb::TRANSACTION_STATUS_PENDING && open.reason() == "MANUAL";
}

template <class Visit>
void for_each_leg(const pb::CancellationReport& report, const Visit& visit) {
  for (const auto& payment : report.payments()) {
    for (const auto& leg : payment.legs()) visit(leg);
  }
}

/// Of a leg or a transaction.
template <class Movement>
std::string movement_text(const pb::Order& order, const Movement& movement) {
  return fmt::format("the {} of {} of {}", transaction_kind_text(movement.kind()),
                     format_money(movement.amount()),
                     printable(payment_name(order, movement.payment_id())));
}

void print_completed(const pb::CancelOrderResponse& response, const std::string& order) {
  fmt::print("{}canceled: order {} ({}) is in state {}; {}\n",
             response.replayed()  ? "done before: "
             : response.changed() ? ""
                                  : "no change: ",
             printable(response.order().order_number()), printable(response.order().order_id()),
             printable(response.order().state_id()), report_summary(response.report()));
  print_cancellation_legs(response.order(), response.report());
  for_each_leg(response.report(), [&](const pb::CancellationLeg& leg) {
    if (leg.status() != pb::TRANSACTION_STATUS_FAILED ||
        leg.pass() != response.order().cancellation().pass()) {
      return;
    }
    fmt::print(
        stderr,
        "warning: {} has failed: {}\n"
        "hint: `orderctl pay show {}` shows how its money stands; `pay refund` tries again\n",
        movement_text(response.order(), leg), printable(or_dash(leg.reason())), order);
  });
  if (response.report().notifies_customer()) {
    fmt::print("an e-mail to the customer is in the outbox\n");
    fmt::print(stderr, "hint: `orderctl emails list --order {}` shows whether it has gone out\n",
               order);
  }
}

void print_running(const pb::CancelOrderResponse& response, const std::string& order) {
  fmt::print("{}in progress: order {} ({}) is being canceled; {}\n",
             response.replayed()  ? "begun before: "
             : response.changed() ? ""
                                  : "no change: the reason and options of the first call stand; ",
             printable(response.order().order_number()), printable(response.order().order_id()),
             report_summary(response.report()));
  print_cancellation_legs(response.order(), response.report());
  for (const auto& payment : response.order().payments()) {
    for (const auto& open : payment.open_transactions()) {
      if (!waits_for_a_person(open)) continue;
      fmt::print(stderr,
                 "hint: {} has to be made by hand. When it has been made:\n"
                 "  orderctl pay resolve {} {} succeeded --reason TEXT\n",
                 movement_text(response.order(), open), order, printable(open.transaction_id()));
    }
  }
  fmt::print(stderr,
             "hint: the server goes on by itself, also if a gateway is away for long;\n"
             "  `orderctl get {}` shows how far it is\n",
             order);
}

void print_failed(const pb::CancelOrderResponse& response, const std::string& order) {
  const pb::Order& now = response.order();
  fmt::print(stderr, "error: the cancellation of order {} ({}) has failed; {}\n",
             printable(now.order_number()), printable(now.order_id()),
             report_summary(response.report()));
  bool may_abandon = true;
  for_each_leg(response.report(), [&](const pb::CancellationLeg& leg) {
    if (leg.transaction_id().empty()) return;
    if (leg.status() != pb::TRANSACTION_STATUS_FAILED) {
      may_abandon = false;
    } else if (leg.pass() == now.cancellation().pass()) {
      fmt::print(stderr, "  {} was refused: {} (transaction {})\n", movement_text(now, leg),
                 printable(or_dash(leg.reason())), printable(leg.transaction_id()));
    }
  });
  for (const auto& payment : now.payments()) {
    if (!payment.discrepancy()) continue;
    fmt::print(stderr, "  the amounts of {} contradict each other; nothing of it was returned\n",
               printable(payment_name(now, payment.payment_id())));
  }
  print_cancellation_legs(now, response.report());
  fmt::print(stderr,
             "hint: the order can't be changed until somebody decides:\n"
             "  orderctl cancel {0} --reason TEXT                          tries again\n"
             "  orderctl pay resolve {0} TRANSACTION succeeded --reason TEXT\n"
             "                                           if the money went back in another way\n",
             order);
  if (may_abandon) {
    fmt::print(stderr,
               "  orderctl cancel {} --abandon --reason TEXT                gives it up: no money "
               "has moved\n",
               order);
  }
}

/// Says how the cancellation stands; returns the exit code.
int report(const Session& session, const Flags& flags, const pb::CancelOrderResponse& response) {
  const auto status = response.order().cancellation().status();
  if (session.json) print_json(response);
  const std::string order = printable(flags.order);
  switch (status) {
    case pb::CANCELLATION_STATUS_COMPLETED:
      if (!session.json) print_completed(response, order);
      return kOk;
    case pb::CANCELLATION_STATUS_FAILED:
      if (!session.json) print_failed(response, order);
      return kRefused;
    case pb::CANCELLATION_STATUS_IN_PROGRESS:
      if (!session.json) print_running(response, order);
      return kUnsettled;
    default:
      if (!session.json) {
        fmt::print(stderr, "error: the cancellation of order {} has been given up; state {}\n",
                   order, printable(response.order().state_id()));
      }
      return kRefused;
  }
}

/// The server can do no more by itself.
bool is_over(const pb::Order& order) {
  if (order.cancellation().status() != pb::CANCELLATION_STATUS_IN_PROGRESS) return true;
  bool by_hand = false;
  for (const auto& payment : order.payments()) {
    for (const auto& open : payment.open_transactions()) {
      if (open.status() == pb::TRANSACTION_STATUS_UNKNOWN) return false;
      by_hand = by_hand || waits_for_a_person(open);
    }
  }
  return by_hand;
}

/// Waits until the server can do no more by itself; `response` then says how that ended. It is what
/// `request` was answered with.
absl::Status wait_for_end(Session& session, pb::CancelOrderRequest request,
                          pb::CancelOrderResponse& response) {
  using std::chrono::milliseconds;
  fmt::print(stderr, "waiting for the gateways; Ctrl-C ends the waiting, not the cancellation\n");
  milliseconds pause(200);
  while (!is_over(response.order())) {
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds(2'000));
    auto order = full_order(session.client, request.order_id());
    if (!order.ok()) return order.status();
    *response.mutable_order() = *std::move(order);
  }
  if (response.order().cancellation().status() == pb::CANCELLATION_STATUS_NONE) {
    response.clear_report();
    return absl::OkStatus();
  }
  // A retry of the call that began it changes nothing. If another call did, a new one might begin
  // another pass.
  const bool changed = response.changed();
  const bool ours = changed || response.replayed();
  request.set_validate_only(!ours);
  if (!ours) request.clear_etag();
  auto last = session.client.cancel_order(request);
  if (!last.ok()) return last.status();
  response = *std::move(last);
  response.set_changed(changed);
  if (changed) response.set_replayed(false);
  response.mutable_report()->set_status(response.order().cancellation().status());
  return absl::OkStatus();
}

int fail_cancel(const absl::Status& status, const Flags& flags) {
  const int code = fail(status);
  if (code == kUnavailable || code == kInternal) {
    fmt::print(
        stderr,
        "hint: the cancellation may have begun: `orderctl get {}` shows it. The same command\n"
        "  again is safe: it goes on with what has begun\n",
        printable(flags.order));
  }
  return code;
}

struct Decision {
  /// That was all.
  std::optional<int> code;
  /// There is nothing to begin: how the cancellation stands.
  std::optional<pb::CancelOrderResponse> standing;
};
/// Shows what would be done, and asks. Neither: it shall be done, by `request`.
Decision plan_and_ask(Session& session, const Flags& flags, pb::CancelOrderRequest& request) {
  request.set_validate_only(true);
  const auto plan = session.client.cancel_order(request);
  request.set_validate_only(false);
  if (!plan.ok()) return {fail(plan.status()), {}};
  if (!plan->changed()) return {{}, *plan};
  if (session.json) {
    print_json(*plan);
  } else {
    print_cancellation_plan(*plan);
  }
  if (flags.dry_run) return {kOk, {}};
  if (!confirmed(fmt::format("cancel order {} and {}?", printable(plan->order().order_number()),
                             plan_summary(*plan)))) {
    fmt::print(stderr, "nothing was changed\n");
    return {kLocal, {}};
  }
  // What was confirmed is what was shown.
  if (request.etag().empty()) request.set_etag(plan->etag());
  return {};
}

int cancel(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::CancelOrderRequest request = request_of(flags, *id);
  Decision decision;
  if (!flags.yes) decision = plan_and_ask(session, flags, request);
  if (decision.code) return *decision.code;
  if (!decision.standing) {
    request.set_request_id(session.request_id.empty() ? client::new_request_id()
                                                      : session.request_id);
    auto response = session.client.cancel_order(request);
    if (!response.ok()) return fail_cancel(response.status(), flags);
    decision.standing = *std::move(response);
  }
  if (flags.wait && !is_over(decision.standing->order())) {
    const auto status = wait_for_end(session, request, *decision.standing);
    if (!status.ok()) return fail_cancel(status, flags);
  }
  const int code = report(session, flags, *decision.standing);
  return flags.dry_run ? kOk : code;
}

int abandon(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::AbandonCancellationRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_reason(flags.reason);
  const auto response = session.client.abandon_cancellation(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  fmt::print("{}given up: order {} ({}) is not being canceled any more; state {}\n",
             response->replayed() ? "done before: " : "",
             printable(response->order().order_number()), printable(response->order().order_id()),
             printable(response->order().state_id()));
  return kOk;
}

/// Why nobody can be asked, if he has to be; null otherwise.
const char* unasked(const Session& session, const Flags& flags) {
  if (flags.yes || flags.dry_run || flags.abandon) return nullptr;
  if (session.json) return "with --json nobody is asked: give --yes to cancel, or --dry-run";
  if (at_terminal()) return nullptr;
  return "cancel asks before it returns money, and there is no terminal to ask at: give --yes to "
         "cancel without being asked, or --dry-run to see what would be done";
}

}  // namespace

void add_cancel_command(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("cancel", "Cancel an order: return its money, then move it to canceled");
  auto flags = std::make_shared<Flags>();
  command->add_option("ORDER", flags->order, "Id or order number")->required();
  command->add_option("--reason", flags->reason,
                      "Why, for the history; needed, except with --dry-run");
  auto* notify = command->add_flag("--notify,--notify-customer", flags->notify,
                                   "Send the customer an e-mail once the order is canceled");
  auto* dry_run = command->add_flag("--dry-run,--validate-only", flags->dry_run,
                                    "Say what would be returned; change nothing");
  auto* shipped = command->add_flag("--include-shipped", flags->include_shipped,
                                    "Although lines have been shipped; those stay as they are");
  auto* state = command->add_option("--state", flags->state,
                                    "The state to enter, of category canceled, if not the first");
  auto* yes = command->add_flag("-y,--yes", flags->yes, "Do not show the plan and ask before");
  auto* wait = command->add_flag("--wait", flags->wait,
                                 "Wait until the server is done, or can't go on by itself");
  auto* abandon_flag = command->add_flag(
      "--abandon", flags->abandon,
      "Instead: give up a cancellation that has begun, while it has moved no money");
  for (auto* option : {notify, dry_run, shipped, wait}) option->excludes(abandon_flag);
  state->excludes(abandon_flag);
  dry_run->excludes(yes)->excludes(wait);
  command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
  command->footer(
      "Captured money is refunded, authorized money is released (voided), and a payment that the\n"
      "customer could still make is closed. First the gateways are asked and the plan is shown, "
      "to\n"
      "be confirmed. When all money is on its way the order enters its canceled state, and what "
      "has\n"
      "not been shipped is canceled. While a gateway is away the server goes on by itself.\n"
      "Exit code 0: the order is canceled. 6: refused, or failed; then it says what can be done.\n"
      "11: in progress.\n"
      "Examples:\n"
      "  orderctl cancel 1001 --dry-run\n"
      "  orderctl cancel 1001 --reason 'customer changed their mind' --notify\n"
      "  orderctl cancel 1001 --reason 'fraud' --yes --wait\n"
      "  orderctl cancel 1001 --abandon --reason 'the shop can deliver after all'");
  command->callback([flags, &action] {
    if (flags->reason.empty() && !flags->dry_run) {
      throw CLI::ValidationError("cancel", "say why with --reason TEXT");
    }
    action = [flags](Session& session) -> int {
      if (const char* problem = unasked(session, *flags); problem != nullptr) {
        fmt::print(stderr, "error: {}\n", problem);
        return kUsage;
      }
      return flags->abandon ? abandon(session, *flags) : cancel(session, *flags);
    };
  });
}

}  // namespace orderd::cli
