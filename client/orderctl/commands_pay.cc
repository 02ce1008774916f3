#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "client/orderctl/amounts.h"
#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/pay_money.h"
#include "client/orderctl/payment_choice.h"
#include "client/orderctl/print_payments.h"

// pay show, add, capture, refund, void, sync, unresolved, resolve

namespace orderd::cli {
namespace {

constexpr int kPageSize = 500;

struct AddFlags {
  std::string order;
  std::string etag;
  std::string account;
  std::string reference;
  std::string description;
  std::string captured;
  std::string authorize;
};

struct ResolveFlags {
  std::string order;
  std::string etag;
  std::string transaction;
  std::string status;
  std::string reason;
};

int show(Session& session, const MoneyFlags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  const auto order = full_order(session.client, *id);
  if (!order.ok()) return fail(order.status());
  pb::ListTransactionsRequest request;
  request.set_order_id(*id);
  request.set_page_size(kPageSize);
  std::vector<pb::PaymentTransaction> transactions;
  for (auto& transaction : session.client.list_transactions(std::move(request))) {
    if (!transaction.ok()) return fail(transaction.status());
    transactions.push_back(*std::move(transaction));
  }
  if (session.json) {
    const auto list = [](const auto& messages) {
      std::string text;
      for (const auto& message : messages) text += (text.empty() ? "" : ",") + to_json(message);
      return text;
    };
    fmt::print("{{\"payments\":[{}],\"transactions\":[{}]}}\n", list(order->payments()),
               list(transactions));
    return kOk;
  }
  fmt::print("order {} ({}): state {}, total {}{}\n", printable(order->order_number()),
             printable(order->order_id()), printable(order->state_id()),
             money_or_dash(order->totals().has_total(), order->totals().total()),
             order->payments().empty() ? ", no payments" : "");
  print_payments(*order);
  if (!transactions.empty()) {
    // What happened elsewhere is found later than it happened.
    std::ranges::stable_sort(transactions, {}, [](const auto& transaction) {
      const auto& time =
          transaction.has_complete_time() ? transaction.complete_time() : transaction.create_time();
      return std::pair(time.seconds(), time.nanos());
    });
    fmt::print("\n");
    print_transactions(transactions, order->payments_size() > 1);
  }
  return kOk;
}

/// Makes the payment as a customer would; its reference is returned.
absl::StatusOr<std::string> authorize(Session& session, const AddFlags& flags,
                                      const pb::Money& amount) {
  client::sandbox::AuthorizeRequest request;
  request.set_gateway_account(flags.account);
  request.set_gateway_reference(flags.reference);
  *request.mutable_amount() = amount;
  const auto response = session.client.authorize_at_sandbox(request);
  if (!response.ok()) return response.status();
  return response->payment().gateway_reference();
}

int add(Session& session, const AddFlags& flags) {
  if (!flags.authorize.empty() && !session.request_id.empty()) {
    throw LocalError(
        "--request-id does not go with --authorize, which makes another payment each time");
  }
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::AddPaymentRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  auto& payment = *request.mutable_payment();
  payment.set_gateway_account(flags.account);
  payment.set_gateway_reference(flags.reference);
  payment.set_description(flags.description);
  if (!flags.captured.empty() || !flags.authorize.empty()) {
    const auto order = full_order(session.client, *id);
    if (!order.ok()) return fail(order.status());
    if (!flags.captured.empty()) {
      *payment.mutable_captured() =
          parse_amount(flags.captured, order->currency_code(), "--captured");
    }
    if (!flags.authorize.empty()) {
      const auto reference = authorize(
          session, flags, parse_amount(flags.authorize, order->currency_code(), "--authorize"));
      if (!reference.ok()) return fail(reference.status());
      payment.set_gateway_reference(*reference);
    }
  }
  const auto response = session.client.add_payment(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  const auto& added = response->payment();
  fmt::print("{}added: payment {} of order {}: {} {}, {}\n",
             response->replayed() ? "done before: " : "", printable(added.payment_id()),
             printable(response->order().order_number()), printable(added.gateway_account()),
             printable(added.gateway_reference()), payment_status_text(added.status()));
  if (added.status() == pb::PAYMENT_STATUS_UNSYNCED) {
    fmt::print(stderr, "hint: `orderctl pay sync {}` asks the gateway for its amounts\n",
               printable(flags.order));
  }
  return kOk;
}

int sync(Session& session, const MoneyFlags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::SyncPaymentsRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_validate_only(flags.dry_run);
  if (!flags.payment.empty()) {
    const auto order = full_order(session.client, *id);
    if (!order.ok()) return fail(order.status());
    request.set_payment_id(payment_id_of(*order, flags.payment));
  }
  const auto response = session.client.sync_payments(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  if (response->replayed()) fmt::print("done before\n");
  if (response->differences().empty() && !response->replayed()) {
    fmt::print("no differences: the order has what the gateways say\n");
  }
  for (const auto& difference : response->differences()) {
    fmt::print("payment {} ({}){}: {}", printable(difference.payment_id()),
               printable(payment_name(response->order(), difference.payment_id())),
               flags.dry_run ? " would change" : "",
               payment_status_text(difference.before_status()));
    if (difference.after_status() != difference.before_status()) {
      fmt::print(" -> {}", payment_status_text(difference.after_status()));
    }
    fmt::print("\n");
    if (difference.transactions().empty()) continue;
    print_transactions({difference.transactions().begin(), difference.transactions().end()}, false,
                       2);
  }
  return kOk;
}

int unresolved(Session& session, const std::string& account) {
  pb::ListUnresolvedTransactionsRequest request;
  request.set_gateway_account(account);
  request.set_page_size(kPageSize);
  Table table = unresolved_table();
  absl::Status failure;
  bool any = false;
  for (const auto& payment : session.client.list_unresolved_transactions(std::move(request))) {
    if (!payment.ok()) {
      failure = payment.status();
      break;
    }
    any = true;
    if (session.json) {
      print_json(*payment);
    } else {
      add_unresolved(table, *payment);
    }
  }
  if (!session.json && any) table.print();
  if (!failure.ok()) return fail(failure);
  if (!any) fmt::print(stderr, "nothing is unresolved\n");
  return kOk;
}

int resolve(Session& session, const ResolveFlags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::ResolveTransactionRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_transaction_id(flags.transaction);
  request.set_status(flags.status == "succeeded" ? pb::TRANSACTION_STATUS_SUCCEEDED
                                                 : pb::TRANSACTION_STATUS_FAILED);
  request.set_reason(flags.reason);
  const auto response = session.client.resolve_transaction(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  const auto& transaction = response->transaction();
  fmt::print("{}the {} of {} of {} is {} (transaction {})\n",
             response->replayed()  ? "done before: "
             : response->changed() ? ""
                                   : "no change: ",
             transaction_kind_text(transaction.kind()), format_money(transaction.amount()),
             printable(payment_name(response->order(), transaction.payment_id())),
             transaction_status_text(transaction.status()),
             printable(transaction.transaction_id()));
  return kOk;
}

/// An argument that is there and empty is a variable of a script that is not set. It must not mean
/// "all the money" or "any payment".
const CLI::Validator kGiven(
    [](std::string& text) { return text.empty() ? std::string("is empty") : std::string(); }, "");

const char* missing_reference(const AddFlags& flags) {
  return flags.reference.empty() && flags.authorize.empty()
             ? "give --reference (or --authorize, at a sandbox account)"
             : nullptr;
}

/// Adds the subcommands of `pay`.
class PayCommands {
 public:
  PayCommands(CLI::App& group, Action& action) : group_(group), action_(action) {}

  void add_show() {
    auto [command, flags] =
        add_command<MoneyFlags>("show", "Show payments and their history", show);
    command->footer(
        "Examples:\n"
        "  orderctl pay show 1001\n"
        "  orderctl pay show 1001 --json | jq '.payments[].capturable'");
  }

  void add_add() {
    auto [command, flags] =
        add_command<AddFlags>("add", "Attach a payment to an order", add, missing_reference);
    command
        ->add_option("--account", flags->account,
                     "The gateway's account at orderd (--gateway NAME=...), or external")
        ->required();
    command
        ->add_option("--reference", flags->reference,
                     "The payment's id at the gateway; for external any name")
        ->check(kGiven);
    command->add_option("--description", flags->description, "How it was paid, for people");
    auto* captured = command->add_option("--captured", flags->captured,
                                         "AMOUNT that was paid; for external only");
    auto* authorize = command->add_option(
        "--authorize", flags->authorize,
        "AMOUNT: first make such a payment at the gateway; for sandbox accounts only");
    captured->excludes(authorize)->check(kGiven);
    authorize->check(kGiven);
    add_etag(*command, flags->etag);
    command->footer(
        "The amounts of a payment come from its gateway, with the first sync or capture.\n"
        "Examples:\n"
        "  orderctl pay add 1001 --account stripe --reference pi_3Kx9\n"
        "  orderctl pay add 1001 --account external --reference till-17 --captured 12.00\n"
        "  orderctl pay add 1001 --account sandbox --authorize 59.90");
  }

  void add_capture() {
    auto [command, flags] =
        add_command<MoneyFlags>("capture", "Take authorized money, all or a part", capture_money);
    add_amount(*command, *flags, "capturable");
    command->add_flag("--final", flags->final_capture, "Release what this leaves uncaptured");
    add_money_options(*command, *flags);
    command->footer(std::string(kAmountFooter) + kMoneyFooter +
                    "Examples:\n"
                    "  orderctl pay capture 1001\n"
                    "  orderctl pay capture 1001 25.50 --final --reason 'one item is sold out'\n"
                    "  orderctl pay capture 1001 25.50 --dry-run");
  }

  void add_refund() {
    auto [command, flags] =
        add_command<MoneyFlags>("refund", "Give captured money back, all or a part", refund_money);
    add_amount(*command, *flags, "refundable");
    command->add_flag("--confirm", flags->confirm,
                      "The money has been handed over already; for external only");
    add_money_options(*command, *flags);
    command->footer(std::string(kAmountFooter) + kMoneyFooter +
                    "Examples:\n"
                    "  orderctl pay refund 1001 12.00 --reason 'arrived broken'\n"
                    "  orderctl pay refund 1001 --payment till-17 --confirm");
  }

  void add_void() {
    auto [command, flags] = add_command<MoneyFlags>(
        "void", "Release all money that is authorized and not captured", void_money);
    add_money_options(*command, *flags);
    command->footer(std::string(kMoneyFooter) +
                    "Example:\n"
                    "  orderctl pay void 1001 --reason 'customer changed their mind'");
  }

  void add_sync() {
    auto [command, flags] =
        add_command<MoneyFlags>("sync", "Ask the gateways and record what happened there", sync);
    add_payment(*command, *flags, "Only this one, by its id or reference");
    add_dry_run(*command, *flags);
    add_etag(*command, flags->etag);
    command->footer(
        "Examples:\n"
        "  orderctl pay sync 1001\n"
        "  orderctl pay sync 1001 --dry-run");
  }

  void add_unresolved() {
    auto* command = group_.add_subcommand(
        "unresolved", "List payments of all orders that are not settled or need attention");
    auto account = std::make_shared<std::string>();
    command->add_option("--account", *account, "Only those of this account");
    command->footer(
        "Example:\n"
        "  orderctl pay unresolved --account stripe");
    command->callback([account, &action = action_] {
      action = [account](Session& session) { return unresolved(session, *account); };
    });
  }

  void add_resolve() {
    auto [command, flags] = add_command<ResolveFlags>(
        "resolve", "Decide a transaction of which the gateway can't tell the end", resolve);
    command
        ->add_option("TRANSACTION", flags->transaction,
                     "`orderctl pay show` and `pay unresolved` have its id")
        ->required();
    command->add_option("STATUS", flags->status, "succeeded or failed")
        ->required()
        ->check(CLI::IsMember({"succeeded", "failed"}));
    command->add_option("--reason", flags->reason, "Why, for the history")->required();
    add_etag(*command, flags->etag);
    command->footer(
        "Example:\n"
        "  orderctl pay resolve 1001 TRANSACTION succeeded --reason 'paid out in cash, slip 88'");
  }

 private:
  static constexpr char kAmountFooter[] =
      "AMOUNT is a decimal of the order's currency: 25.50 (EUR), 2550 (JPY), 25.500 (KWD).\n";
  static constexpr char kMoneyFooter[] =
      "Exit code 0: the money has moved. 6: it has not. 11: not known yet; the server finds out.\n";

  template <class Flags>
  struct Command {
    CLI::App* command;
    std::shared_ptr<Flags> flags;
  };

  template <class Flags>
  Command<Flags> add_command(const std::string& name, const std::string& description,
                             int (*run)(Session&, const Flags&),
                             // What must be given in addition; null if it has been.
                             const char* (*missing)(const Flags&) = nullptr) {
    auto flags = std::make_shared<Flags>();
    auto* command = group_.add_subcommand(name, description);
    command->add_option("ORDER", flags->order, "Id or order number")->required();
    command->callback([name, flags, run, missing, &action = action_] {
      const char* problem = missing == nullptr ? nullptr : missing(*flags);
      if (problem != nullptr) throw CLI::ValidationError("pay " + name, problem);
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return {command, flags};
  }

  static void add_etag(CLI::App& command, std::string& etag) {
    command.add_option("--etag", etag, "Refuse if the order has another etag by now");
  }
  static void add_payment(CLI::App& command, MoneyFlags& flags, const std::string& description) {
    command.add_option("--payment", flags.payment, description)->check(kGiven);
  }
  static void add_dry_run(CLI::App& command, MoneyFlags& flags) {
    command.add_flag("--dry-run,--validate-only", flags.dry_run,
                     "Say what would happen; change nothing");
  }
  static void add_amount(CLI::App& command, MoneyFlags& flags, const std::string& most) {
    command.add_option("AMOUNT", flags.amount, "All that is " + most + " if it is not given")
        ->check(kGiven);
  }
  static void add_money_options(CLI::App& command, MoneyFlags& flags) {
    add_payment(command, flags,
                "Which, by its id or reference; needed if several payments would do");
    command.add_option("--reason", flags.reason, "Why, for the history");
    add_dry_run(command, flags);
    add_etag(command, flags.etag);
  }

  CLI::App& group_;
  Action& action_;
};

constexpr char kFooter[] =
    "A payment is money at a gateway: authorized first, then captured, maybe refunded; what is "
    "not\n"
    "captured can be voided. Each movement is a transaction, and ends as succeeded or failed. "
    "Until\n"
    "then it is pending (the gateway has accepted it) or unknown (no answer so far): the server "
    "goes\n"
    "on to find out, and the money counts as spent meanwhile.\n"
    "An order's money, step by step:\n"
    "  orderctl pay add 1001 --account sandbox --authorize 59.90   a payment, for trying out\n"
    "  orderctl pay capture 1001 25.50                             take a part of it\n"
    "  orderctl pay show 1001                                      how it stands, and its history\n"
    "  orderctl pay refund 1001 5.00 --reason 'late'               give some of it back\n"
    "  orderctl pay void 1001                                      release the rest\n"
    "  orderctl pay sync 1001                                      what happened at the gateway\n"
    "  orderctl pay unresolved                                     what is not settled, anywhere";

}  // namespace

void add_pay_commands(CLI::App& app, Action& action) {
  auto* group =
      app.add_subcommand("pay", "Show and move the money of an order: capture, refund, void, sync");
  group->require_subcommand(1);
  PayCommands commands(*group, action);
  commands.add_show();
  commands.add_add();
  commands.add_capture();
  commands.add_refund();
  commands.add_void();
  commands.add_sync();
  commands.add_unresolved();
  commands.add_resolve();
  group->footer(kFooter);
}

}  // namespace orderd::cli
