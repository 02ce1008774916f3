#include "client/orderctl/print_cancellation.h"

#include <fmt/core.h>

#include <cstdint>
#include <limits>

#include "client/orderctl/amounts.h"
#include "client/orderctl/payment_choice.h"
#include "client/orderctl/print_payments.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

bool is_planned(const pb::CancellationLeg& leg) {
  return leg.status() == pb::TRANSACTION_STATUS_UNSPECIFIED;
}

bool closes(const pb::CancellationLeg& leg) {
  return leg.kind() == pb::TRANSACTION_KIND_VOID && leg.amount().amount_minor() == 0;
}

/// A void of nothing closes a payment that the customer could still make.
std::string what(const pb::CancellationLeg& leg) {
  return closes(leg) ? "void (close)" : transaction_kind_text(leg.kind());
}

std::string status_of(const pb::CancellationLeg& leg) {
  if (is_planned(leg)) return "planned";
  return leg.initiated() ? "initiated" : transaction_status_text(leg.status());
}

std::vector<std::string> payment_cells(const pb::Order& order, const std::string& payment_id) {
  const pb::Payment* payment = find_payment(order, payment_id);
  if (payment == nullptr) return {payment_id, "-", "-"};
  return {payment_id, payment->gateway_account(), payment->gateway_reference()};
}

template <class Legs>
void print_legs(const pb::Order& order, const Legs& legs, int indent) {
  // Those of earlier passes matter only if there were some.
  const bool several_passes = order.cancellation().pass() > 1;
  std::vector<std::string> headings = {"PAYMENT", "ACCOUNT", "REFERENCE", "LEG",
                                       ">AMOUNT", "STATUS",  "WHY"};
  if (several_passes) headings.emplace_back(">PASS");
  headings.emplace_back("TRANSACTION");
  Table table(headings);
  for (const pb::CancellationLeg& leg : legs) {
    std::vector<std::string> row = payment_cells(order, leg.payment_id());
    row.insert(row.end(),
               {what(leg), format_money(leg.amount()), status_of(leg), or_dash(leg.reason())});
    if (several_passes) row.push_back(is_planned(leg) ? "-" : std::to_string(leg.pass()));
    row.push_back(or_dash(leg.transaction_id()));
    table.add(std::move(row));
  }
  if (!table.empty()) table.print(indent);
}

/// The sum of the planned legs of one kind; its currency is empty if there are none.
pb::Money planned(const pb::CancellationReport& report, pb::TransactionKind kind) {
  pb::Money sum;
  std::int64_t minor = 0;
  for (const auto& payment : report.payments()) {
    for (const auto& leg : payment.legs()) {
      if (!is_planned(leg) || leg.kind() != kind || closes(leg)) continue;
      sum.set_currency_code(leg.amount().currency_code());
      if (__builtin_add_overflow(minor, leg.amount().amount_minor(), &minor)) {
        minor = std::numeric_limits<std::int64_t>::max();
      }
    }
  }
  sum.set_amount_minor(minor);
  return sum;
}

/// Why a payment can't be planned for now, although it may have money.
std::string left_out(const pb::Payment& payment) {
  if (payment.discrepancy()) {
    return "its amounts contradict each other, so nothing of it is returned until a sync finds "
           "them "
           "right";
  }
  for (const auto& transaction : payment.open_transactions()) {
    if (transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN) {
      return "a " + transaction_kind_text(transaction.kind()) +
             " has no answer so far; it is waited for, then the rest is returned";
    }
  }
  return "";
}

}  // namespace

std::string cancellation_status_text(pb::CancellationStatus status) {
  return enum_text(pb::CancellationStatus_Name(status), "CANCELLATION_STATUS_");
}

std::string leg_words(const pb::CancellationLeg& leg) {
  return fmt::format("{} of {} is {}{}", what(leg), format_money(leg.amount()), status_of(leg),
                     leg.reason().empty() ? "" : ": " + leg.reason());
}

std::string plan_summary(const pb::CancelOrderResponse& plan) {
  const pb::Money refund = planned(plan.report(), pb::TRANSACTION_KIND_REFUND);
  const pb::Money release = planned(plan.report(), pb::TRANSACTION_KIND_VOID);
  std::string text;
  if (!refund.currency_code().empty()) text = "refund " + format_money(refund);
  if (!release.currency_code().empty()) {
    text += (text.empty() ? "release " : " and release ") + format_money(release);
  }
  return text.empty() ? "return no money" : text;
}

void print_cancellation_plan(const pb::CancelOrderResponse& plan) {
  const pb::Order& order = plan.order();
  fmt::print("canceling order {} ({}, state {}) would {}\n", printable(order.order_number()),
             printable(order.order_id()), printable(order.state_id()), plan_summary(plan));
  Table table({"PAYMENT", "ACCOUNT", "REFERENCE", "LEG", ">AMOUNT"});
  for (const auto& payment : plan.report().payments()) {
    for (const auto& leg : payment.legs()) {
      if (!is_planned(leg)) continue;
      std::vector<std::string> row = payment_cells(order, leg.payment_id());
      row.insert(row.end(), {what(leg), format_money(leg.amount())});
      table.add(std::move(row));
    }
  }
  if (!table.empty()) table.print(2);
  for (const auto& payment : order.payments()) {
    if (const std::string why = left_out(payment); !why.empty()) {
      fmt::print("  {} {}: {}\n", printable(payment.gateway_account()),
                 printable(payment.gateway_reference()), why);
    }
  }
  if (plan.report().notifies_customer()) {
    fmt::print("an e-mail would go to {}\n", printable(or_dash(order.customer().email())));
  } else {
    fmt::print("no e-mail would go to the customer\n");
  }
  if (plan.report().provisional()) {
    fmt::print(
        "provisional: a gateway could not be asked, so this is what was known before; what is\n"
        "  returned is decided by what the gateways say then\n");
  }
}

std::string report_summary(const pb::CancellationReport& report) {
  std::string text;
  const auto add = [&](const char* done, const pb::Money& money) {
    if (money.amount_minor() == 0) return;
    text += (text.empty() ? "" : ", ") + std::string(done) + " " + format_money(money);
  };
  add("refunded", report.refunded());
  add("refund initiated", report.pending());
  add("released", report.reversed());
  add("not returned yet", report.outstanding());
  return text.empty() ? "no money returned" : text;
}

void print_cancellation_legs(const pb::Order& order, const pb::CancellationReport& report) {
  std::vector<pb::CancellationLeg> legs;
  for (const auto& payment : report.payments()) {
    legs.insert(legs.end(), payment.legs().begin(), payment.legs().end());
  }
  print_legs(order, legs, 2);
}

void print_cancellation(const pb::Order& order) {
  const pb::Cancellation& cancellation = order.cancellation();
  if (cancellation.status() <= pb::CANCELLATION_STATUS_NONE) return;
  fmt::print("\ncancellation: {}", cancellation_status_text(cancellation.status()));
  if (cancellation.has_start_time()) {
    fmt::print(", asked for at {}", format_time(cancellation.start_time()));
  }
  if (cancellation.has_complete_time()) {
    fmt::print(", canceled at {}", format_time(cancellation.complete_time()));
  } else if (!cancellation.target_state_id().empty()) {
    fmt::print(", to go to state {}", printable(cancellation.target_state_id()));
  }
  if (cancellation.notify_customer()) fmt::print(", with an e-mail to the customer");
  fmt::print("\n");
  if (!cancellation.reason().empty()) {
    fmt::print("  reason: {}\n", printable(cancellation.reason()));
  }
  print_legs(order, cancellation.legs(), 2);
}

}  // namespace orderd::cli
