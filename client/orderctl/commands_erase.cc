#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/confirm.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_payments.h"
#include "client/orderctl/text.h"
#include "client/request_id.h"

// erase, erasures

namespace orderd::cli {
namespace {

constexpr int kPageSize = 200;

struct EraseFlags {
  std::string customer;
  std::string email;
  std::vector<std::string> orders;
  bool include_open = false;
  bool texts = false;
  bool dry_run = false;
  bool yes = false;
};

struct ListFlags {
  std::string customer;
  std::string email;
};

/// What all calls of an erasure did.
struct Totals {
  std::int64_t erased = 0;
  std::int64_t unchanged = 0;
  std::int64_t emails = 0;
  std::vector<pb::SkippedOrder> skipped;
  pb::Erasure erasure;
};

std::string count_of(std::int64_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

std::string summary_of(const Totals& totals) {
  std::string summary =
      fmt::format("{} and {}", count_of(totals.erased, "order"), count_of(totals.emails, "e-mail"));
  if (totals.unchanged > 0) {
    summary += fmt::format(", {} had nothing left to erase", totals.unchanged);
  }
  if (!totals.skipped.empty()) summary += fmt::format(", {} skipped", totals.skipped.size());
  return summary;
}

/// Calls until all orders have been looked at.
absl::Status call_all(const Session& session, pb::EraseCustomerDataRequest request,
                      Totals& totals) {
  const bool shows_progress = !session.json && at_terminal();
  while (true) {
    const auto response = session.client.erase_customer_data(request);
    if (!response.ok()) return response.status();
    totals.erased += response->orders_erased();
    totals.unchanged += response->orders_unchanged();
    totals.emails += response->emails_erased();
    totals.skipped.insert(totals.skipped.end(), response->skipped_orders().begin(),
                          response->skipped_orders().end());
    totals.erasure = response->erasure();
    if (session.json) print_json(*response);
    if (response->next_page_token().empty()) return absl::OkStatus();
    request.set_page_token(response->next_page_token());
    if (shows_progress) {
      fmt::print(
          stderr, "{} orders looked at\n",
          totals.erased + totals.unchanged + static_cast<std::int64_t>(totals.skipped.size()));
    }
  }
}

void print_skipped(const Totals& totals) {
  if (totals.skipped.empty()) return;
  Table table({"SKIPPED ORDER", "WHY"});
  for (const auto& order : totals.skipped) {
    table.add({printable(order.order_id()), enum_text(order.reason(), "")});
  }
  table.print();
}

/// Shows what would be done. Nothing to be done, or an error: the exit code.
std::optional<int> plan(const Session& session, const EraseFlags& flags,
                        pb::EraseCustomerDataRequest request) {
  request.set_validate_only(true);
  Totals totals;
  const absl::Status status = call_all(session, std::move(request), totals);
  if (!status.ok()) return fail(status);
  if (!session.json) {
    print_skipped(totals);
    fmt::print("would erase the customer's data of {}\n", summary_of(totals));
  }
  if (flags.dry_run) return kOk;
  if (totals.erased == 0) return totals.skipped.empty() ? kOk : kPartial;
  if (!confirmed("erase it for ever?")) {
    fmt::print(stderr, "nothing was changed\n");
    return kLocal;
  }
  return std::nullopt;
}

int erase(Session& session, const EraseFlags& flags) {
  pb::EraseCustomerDataRequest request;
  if (!flags.customer.empty()) request.set_customer_id(flags.customer);
  if (!flags.email.empty()) request.set_email(flags.email);
  for (const std::string& order : flags.orders) {
    const auto id = order_id_of(session.client, order);
    if (!id.ok()) return fail(id.status());
    request.mutable_orders()->add_order_ids(*id);
  }
  request.set_include_open(flags.include_open);
  request.set_erase_texts(flags.texts);
  request.set_page_size(kPageSize);
  if (!flags.yes) {
    if (const auto code = plan(session, flags, request)) return *code;
  }
  request.set_request_id(session.request_id.empty() ? client::new_request_id()
                                                    : session.request_id);
  Totals totals;
  const absl::Status status = call_all(session, request, totals);
  if (!status.ok()) {
    const int code = fail(status);
    fmt::print(stderr, "what was erased until then stays erased; go on with --request-id {}\n",
               request.request_id());
    return code;
  }
  if (!session.json) {
    print_skipped(totals);
    fmt::print("erased the customer's data of {}; record: erasure {}\n", summary_of(totals),
               printable(totals.erasure.erasure_id()));
  }
  return totals.skipped.empty() ? kOk : kPartial;
}

int list(Session& session, const ListFlags& flags) {
  pb::ListErasuresRequest request;
  request.set_customer_id(flags.customer);
  request.set_email(flags.email);
  Table table({"STARTED", "COMPLETED", "BY", "SELECTED", "PSEUDONYM", ">ORDERS", ">SKIPPED",
               ">E-MAILS", "OPTIONS", "ERASURE"});
  absl::Status failure;
  bool any = false;
  for (const auto& erasure : session.client.list_erasures(std::move(request))) {
    if (!erasure.ok()) {
      failure = erasure.status();
      break;
    }
    any = true;
    if (session.json) {
      print_json(*erasure);
      continue;
    }
    const bool both = erasure->include_open() && erasure->erase_texts();
    table.add({format_time(erasure->start_time()), format_time(erasure->complete_time()),
               printable(erasure->actor()),
               enum_text(pb::ErasureSelector_Name(erasure->selector()), "ERASURE_SELECTOR_"),
               or_dash(erasure->pseudonym()), std::to_string(erasure->orders_erased()),
               std::to_string(erasure->orders_skipped()), std::to_string(erasure->emails_erased()),
               both                      ? "open, texts"
               : erasure->include_open() ? "open"
               : erasure->erase_texts()  ? "texts"
                                         : "-",
               printable(erasure->erasure_id())});
  }
  if (!session.json && any) table.print();
  if (!failure.ok()) return fail(failure);
  if (!any) fmt::print(stderr, "there are no such erasures\n");
  return kOk;
}

/// Why the command can't be run so; null if it can.
const char* misuse(const EraseFlags& flags, bool json) {
  const int selectors = (flags.customer.empty() ? 0 : 1) + (flags.email.empty() ? 0 : 1) +
                        (flags.orders.empty() ? 0 : 1);
  if (selectors != 1) return "give one of --customer, --email and --order";
  if (flags.yes || flags.dry_run) return nullptr;
  if (json) return "with --json nobody is asked: give --yes to erase, or --dry-run";
  if (at_terminal()) return nullptr;
  return "erase asks before it erases, and there is no terminal to ask at: give --yes to erase "
         "without being asked, or --dry-run to see what would be done";
}

}  // namespace

void add_erase_commands(CLI::App& app, Action& action) {
  {
    auto* command =
        app.add_subcommand("erase", "Erase a customer's personal data from orders and history");
    auto flags = std::make_shared<EraseFlags>();
    command->add_option("--customer", flags->customer, "All orders of this customer id")
        ->check(kGiven);
    command->add_option("--email", flags->email, "All orders with this e-mail address")
        ->check(kGiven);
    command
        ->add_option("--order", flags->orders, "This order, by its id or number; may be repeated")
        ->allow_extra_args(false)
        ->check(kGiven);
    command->add_flag("--include-open", flags->include_open,
                      "Also orders that are open still; nobody will know any more where they go");
    command->add_flag("--texts", flags->texts,
                      "Also notes, reasons and descriptions of payments, in the history too");
    auto* dry_run = command->add_flag("--dry-run", flags->dry_run, "Only show what would be done");
    auto* yes = command->add_flag("-y,--yes", flags->yes, "Do not show what would be done and ask");
    dry_run->excludes(yes);
    command->footer(
        "Name, e-mail address, phone number and postal addresses (but for the country) are erased\n"
        "from the orders, their history and their e-mails; a pseudonym takes the place of the\n"
        "customer id. Amounts, items, numbers and payments stay. It can't be undone.\n"
        "Exit code 10: orders were skipped.\n"
        "Examples:\n"
        "  orderctl erase --customer C-1001 --dry-run\n"
        "  orderctl erase --email zoe@example.com --texts\n"
        "  orderctl erase --order 1001 --order 1002 --yes");
    command->callback([flags, &action] {
      action = [flags](Session& session) {
        if (const char* why = misuse(*flags, session.json)) {
          fmt::print(stderr, "{}\nRun with --help for more information.\n", why);
          return static_cast<int>(kUsage);
        }
        return erase(session, *flags);
      };
    });
  }
  {
    auto* command = app.add_subcommand("erasures", "List what was erased, the latest first");
    auto flags = std::make_shared<ListFlags>();
    auto* customer = command->add_option("--customer", flags->customer,
                                         "Only those that selected this customer id");
    customer->check(kGiven);
    command->add_option("--email", flags->email, "Only those that selected this e-mail address")
        ->check(kGiven)
        ->excludes(customer);
    command->footer(
        "Examples:\n"
        "  orderctl erasures\n"
        "  orderctl erasures --email zoe@example.com");
    command->callback(
        [flags, &action] { action = [flags](Session& session) { return list(session, *flags); }; });
  }
}

}  // namespace orderd::cli
