#include "client/orderctl/print_payments.h"

#include <fmt/core.h>

#include "client/orderctl/amounts.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

std::string attention_text(const pb::Payment& payment) {
  if (payment.discrepancy()) return "DISCREPANCY";
  return payment.attention() ? "ATTENTION" : "-";
}

/// Whether there is money that the action would be about.
bool has_money_for(const pb::Payment& payment, pb::ActionKind kind) {
  return kind == pb::ACTION_KIND_REFUND ? payment.refundable().amount_minor() > 0
                                        : payment.capturable().amount_minor() > 0;
}

void print_refused_actions(const pb::Order& order, const pb::Payment& payment) {
  for (const auto& action : order.available_actions()) {
    if (action.payment_id() != payment.payment_id() || action.allowed()) continue;
    const char* verb = action.kind() == pb::ACTION_KIND_CAPTURE  ? "captured"
                       : action.kind() == pb::ACTION_KIND_VOID   ? "voided"
                       : action.kind() == pb::ACTION_KIND_REFUND ? "refunded"
                                                                 : nullptr;
    if (verb == nullptr || !has_money_for(payment, action.kind())) continue;
    fmt::print("  can't be {}: {}\n", verb, printable(action.reason()));
  }
}

std::string kind_text(const pb::PaymentTransaction& transaction) {
  return transaction_kind_text(transaction.kind()) +
         (transaction.final_capture() ? " (final)" : "");
}

/// The reason is a word of the server's, the description what the caller said.
std::string why(const pb::PaymentTransaction& transaction) {
  if (transaction.reason().empty()) return transaction.description();
  if (transaction.description().empty()) return transaction.reason();
  return transaction.reason() + ": " + transaction.description();
}

std::string time_text(const pb::PaymentTransaction& transaction) {
  return format_time(transaction.has_complete_time() ? transaction.complete_time()
                                                     : transaction.create_time());
}

}  // namespace

std::string enum_text(std::string name, std::string_view prefix) {
  name.erase(0, prefix.size());
  for (auto& c : name) c = c == '_' ? ' ' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return name;
}

std::string payment_status_text(pb::PaymentStatus status) {
  return enum_text(pb::PaymentStatus_Name(status), "PAYMENT_STATUS_");
}

std::string transaction_kind_text(pb::TransactionKind kind) {
  return enum_text(pb::TransactionKind_Name(kind), "TRANSACTION_KIND_");
}

std::string transaction_status_text(pb::TransactionStatus status) {
  return enum_text(pb::TransactionStatus_Name(status), "TRANSACTION_STATUS_");
}

std::string transaction_words(const pb::PaymentTransaction& transaction) {
  return fmt::format("{} of {} is {}{}", kind_text(transaction), format_money(transaction.amount()),
                     transaction_status_text(transaction.status()),
                     transaction.reason().empty() ? "" : ": " + transaction.reason());
}

void print_payments(const pb::Order& order) {
  for (const auto& payment : order.payments()) {
    fmt::print("\npayment {}: {} {}{}\n", printable(payment.payment_id()),
               printable(payment.gateway_account()), printable(payment.gateway_reference()),
               payment.description().empty() ? "" : " (" + printable(payment.description()) + ")");
    Table table({"STATUS", ">AUTHORIZED", ">CAPTURED", ">REFUNDED", ">VOIDED", ">CAPTURABLE",
                 ">REFUNDABLE", "EXPIRES", "ATTENTION"});
    table.add({payment_status_text(payment.status()),
               money_or_dash(payment.has_authorized(), payment.authorized()),
               money_or_dash(payment.has_captured(), payment.captured()),
               money_or_dash(payment.has_refunded(), payment.refunded()),
               money_or_dash(payment.has_voided(), payment.voided()),
               money_or_dash(payment.has_capturable(), payment.capturable()),
               money_or_dash(payment.has_refundable(), payment.refundable()),
               format_time(payment.expire_time()), attention_text(payment)});
    table.print(2);
    for (const auto& transaction : payment.open_transactions()) {
      fmt::print("  {}\n", printable(transaction_words(transaction)));
    }
    print_refused_actions(order, payment);
  }
}

void print_transactions(const std::vector<pb::PaymentTransaction>& transactions, bool with_payment,
                        int indent) {
  std::vector<std::string> headings = {"TIME", "KIND", ">AMOUNT", "STATUS", "WHY", "BY"};
  if (with_payment) headings.emplace_back("PAYMENT");
  headings.insert(headings.end(), {"AT GATEWAY", "TRANSACTION"});
  Table table(headings);
  for (const auto& transaction : transactions) {
    std::vector<std::string> row = {
        time_text(transaction),
        kind_text(transaction),
        money_or_dash(transaction.has_amount(), transaction.amount()),
        transaction_status_text(transaction.status()),
        or_dash(why(transaction)),
        transaction.foreign() ? "elsewhere" : or_dash(transaction.actor())};
    if (with_payment) row.push_back(transaction.payment_id());
    row.insert(row.end(),
               {or_dash(transaction.gateway_transaction_id()), transaction.transaction_id()});
    table.add(std::move(row));
  }
  table.print(indent);
}

Table unresolved_table() {
  return Table({"ORDER", "SINCE", "ACCOUNT", "REFERENCE", "WHAT", ">AMOUNT", "IS", "WHY",
                "NEXT CHECK", "TRANSACTION"});
}

void add_unresolved(Table& table, const pb::UnresolvedPayment& unresolved) {
  const auto& payment = unresolved.payment();
  const auto add = [&](std::vector<std::string> what, const std::string& transaction_id) {
    std::vector<std::string> row = {unresolved.order_number(), format_time(unresolved.since_time()),
                                    payment.gateway_account(), payment.gateway_reference()};
    row.insert(row.end(), what.begin(), what.end());
    row.push_back(unresolved.has_next_check_time() ? format_time(unresolved.next_check_time())
                                                   : "never by itself");
    row.push_back(or_dash(transaction_id));
    table.add(std::move(row));
  };
  for (const auto& transaction : payment.open_transactions()) {
    add({kind_text(transaction), format_money(transaction.amount()),
         transaction_status_text(transaction.status()), or_dash(why(transaction))},
        transaction.transaction_id());
  }
  if (payment.open_transactions().empty()) {
    add({"payment", "-", payment_status_text(payment.status()), attention_text(payment)}, "");
  }
}

}  // namespace orderd::cli
