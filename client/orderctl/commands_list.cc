#include <fmt/core.h>

#include <map>
#include <memory>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"

namespace orderd::cli {
namespace {

constexpr int kPageSize = 500;

struct Flags {
  std::vector<std::string> states;
  bool open = false;
  std::string email;
  std::string invoice;
  std::string number;
  std::string since, until;
  std::string order_since, order_until;
  std::string update_since, update_until;
  std::vector<std::string> payment_statuses;
  bool attention = false;
  std::string expires_before;
  std::string label;
  std::string tracking;
  std::string method;
  std::vector<std::string> delivery_states;
  std::string sort = "create";
  bool ascending = false;
  int limit = 50;
  bool all = false;
  bool full = false;
};

const std::map<std::string, pb::OrderSort> kSorts = {{"create", pb::ORDER_SORT_CREATE_TIME},
                                                     {"update", pb::ORDER_SORT_UPDATE_TIME},
                                                     {"order", pb::ORDER_SORT_ORDER_TIME},
                                                     {"total", pb::ORDER_SORT_TOTAL}};

const std::map<std::string, pb::PaymentStatus> kPaymentStatuses = {
    {"unsynced", pb::PAYMENT_STATUS_UNSYNCED},
    {"open", pb::PAYMENT_STATUS_OPEN},
    {"processing", pb::PAYMENT_STATUS_PROCESSING},
    {"authorized", pb::PAYMENT_STATUS_AUTHORIZED},
    {"partly-captured", pb::PAYMENT_STATUS_PARTLY_CAPTURED},
    {"captured", pb::PAYMENT_STATUS_CAPTURED},
    {"refunded", pb::PAYMENT_STATUS_REFUNDED},
    {"voided", pb::PAYMENT_STATUS_VOIDED},
    {"expired", pb::PAYMENT_STATUS_EXPIRED}};

template <class Value>
std::vector<std::string> names_of(const std::map<std::string, Value>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return names;
}

void set_range(pb::OrderFilter& filter, pb::TimeRange* (pb::OrderFilter::*mutable_range)(),
               const std::string& since, const std::string& until, const std::string& option) {
  if (!since.empty()) {
    *(filter.*mutable_range)()->mutable_start_time() = parse_time(since, option + "since");
  }
  if (!until.empty()) {
    *(filter.*mutable_range)()->mutable_end_time() = parse_time(until, option + "until");
  }
}

pb::OrderFilter filter_of(const Flags& flags) {
  pb::OrderFilter filter;
  filter.mutable_state_ids()->Add(flags.states.begin(), flags.states.end());
  filter.set_open_only(flags.open);
  filter.set_customer_email(flags.email);
  filter.set_invoice_number(flags.invoice);
  filter.set_order_number(flags.number);
  set_range(filter, &pb::OrderFilter::mutable_create_time, flags.since, flags.until, "--");
  set_range(filter, &pb::OrderFilter::mutable_order_time, flags.order_since, flags.order_until,
            "--order-");
  set_range(filter, &pb::OrderFilter::mutable_update_time, flags.update_since, flags.update_until,
            "--update-");
  for (const auto& name : flags.payment_statuses) {
    filter.add_payment_statuses(kPaymentStatuses.at(name));
  }
  filter.set_needs_attention(flags.attention);
  if (!flags.expires_before.empty()) {
    *filter.mutable_authorization_expires_before() =
        parse_time(flags.expires_before, "--expires-before");
  }
  if (const auto equals = flags.label.find('='); equals != std::string::npos) {
    filter.mutable_label()->set_key(flags.label.substr(0, equals));
    filter.mutable_label()->set_value(flags.label.substr(equals + 1));
  } else if (!flags.label.empty()) {
    filter.mutable_label()->set_key(flags.label);
  }
  filter.set_tracking_number(flags.tracking);
  filter.set_shipment_method_id(flags.method);
  filter.mutable_delivery_state_ids()->Add(flags.delivery_states.begin(),
                                           flags.delivery_states.end());
  return filter;
}

int list(Session& session, const Flags& flags) {
  pb::ListOrdersRequest request;
  *request.mutable_filter() = filter_of(flags);
  request.set_sort(kSorts.at(flags.sort));
  request.set_direction(flags.ascending ? pb::SORT_DIRECTION_ASCENDING
                                        : pb::SORT_DIRECTION_DESCENDING);
  request.set_view(flags.full ? pb::ORDER_VIEW_FULL : pb::ORDER_VIEW_SUMMARY);
  // One more than is shown tells whether there are more.
  request.set_page_size(flags.all ? kPageSize : std::min(kPageSize, flags.limit + 1));

  Table table = order_table();
  absl::Status failure;
  int shown = 0;
  bool more = false;
  for (const auto& order : session.client.list_orders(std::move(request))) {
    if (!order.ok()) {
      failure = order.status();
      break;
    }
    if (!flags.all && shown == flags.limit) {
      more = true;
      break;
    }
    ++shown;
    if (session.json) {
      print_json(*order);
    } else {
      add_order(table, *order);
    }
  }
  if (!session.json && (shown > 0 || failure.ok())) table.print();
  if (!failure.ok()) return fail(failure);
  if (more) {
    fmt::print(stderr, "the first {}; --limit N shows more, --all shows all\n", flags.limit);
  } else if (shown == 0) {
    fmt::print(stderr, "no orders\n");
  }
  return kOk;
}

}  // namespace

void add_list_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("list", "List orders, the newest first");
  auto flags = std::make_shared<Flags>();
  command->add_option("--state", flags->states, "In this state; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--open", flags->open, "Only orders on which there is work to do");
  command->add_option("--email", flags->email, "The customer's e-mail address");
  command->add_option("--invoice", flags->invoice, "The invoice number");
  command->add_option("--number", flags->number, "The order number");
  command->add_option("--since", flags->since, "Created at this time (or date, UTC) or later");
  command->add_option("--until", flags->until, "Created before this time");
  command->add_option("--order-since", flags->order_since, "Ordered at this time or later");
  command->add_option("--order-until", flags->order_until, "Ordered before this time");
  command->add_option("--update-since", flags->update_since, "Changed at this time or later");
  command->add_option("--update-until", flags->update_until, "Last changed before this time");
  command
      ->add_option("--payment,--payment-status", flags->payment_statuses,
                   "With a payment in this status; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(names_of(kPaymentStatuses)));
  command->add_flag("--attention", flags->attention, "With a payment that somebody should look at");
  command->add_option("--expires-before", flags->expires_before,
                      "With money to capture whose authorization runs out before this time");
  command->add_option("--label", flags->label, "KEY or KEY=VALUE: with this label");
  command->add_option("--tracking", flags->tracking, "With a shipment of this tracking number");
  command->add_option("--method", flags->method, "With a shipment of this method");
  command
      ->add_option("--delivery", flags->delivery_states,
                   "With a line in this delivery state; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--sort", flags->sort,
                   "By which time, or by total; total needs --email, --invoice, --number or "
                   "--tracking")
      ->check(CLI::IsMember(names_of(kSorts)))
      ->capture_default_str();
  command->add_flag("--ascending", flags->ascending, "The oldest or smallest first");
  command->add_option("--limit", flags->limit, "Show so many")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  command->add_flag("--all", flags->all, "Show all");
  command->add_flag("--full", flags->full, "With --json: whole orders, with items and payments");
  command->footer(
      "Examples:\n"
      "  orderctl list --open --order-until 2026-11-01 --sort order --ascending\n"
      "  orderctl list --state processing --state fraud --label channel=web\n"
      "  orderctl list --method express --delivery confirmed\n"
      "  orderctl list --payment authorized --expires-before 2026-12-01\n"
      "  orderctl list --all --json | jq -r .order_number");
  command->callback(
      [flags, &action] { action = [flags](Session& session) { return list(session, *flags); }; });
}

}  // namespace orderd::cli
