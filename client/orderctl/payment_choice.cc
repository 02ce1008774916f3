#include "client/orderctl/payment_choice.h"

#include <fmt/core.h>

#include <string_view>
#include <vector>

#include "client/orderctl/amounts.h"
#include "client/orderctl/print_payments.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

const pb::AvailableAction* find_action(const pb::Order& order, const pb::Payment& payment,
                                       pb::ActionKind kind) {
  for (const auto& action : order.available_actions()) {
    if (action.kind() == kind && action.payment_id() == payment.payment_id()) return &action;
  }
  return nullptr;
}

/// The server syncs an UNSYNCED payment first; only then it is known what is possible.
bool applies(const pb::Payment& payment, const pb::AvailableAction* action) {
  return payment.status() == pb::PAYMENT_STATUS_UNSYNCED ||
         (action != nullptr && action->allowed());
}

std::string_view verb(pb::ActionKind kind) {
  return kind == pb::ACTION_KIND_CAPTURE ? "captured"
         : kind == pb::ACTION_KIND_VOID  ? "voided"
                                         : "refunded";
}

/// "0190… (sandbox pay-17, authorized: CAPTURE_NOT_ALLOWED)"
std::string describe(const pb::Payment& payment, const pb::AvailableAction* action) {
  std::string text =
      fmt::format("{} ({} {}, {}", payment.payment_id(), payment.gateway_account(),
                  payment.gateway_reference(), payment_status_text(payment.status()));
  if (action != nullptr && action->allowed()) text += ", " + format_money(action->max_amount());
  if (action != nullptr && !action->allowed()) text += ": " + action->reason();
  return text + ")";
}

}  // namespace

const pb::Payment* find_payment(const pb::Order& order, const std::string& payment_id) {
  for (const auto& payment : order.payments()) {
    if (payment.payment_id() == payment_id) return &payment;
  }
  return nullptr;
}

std::string payment_name(const pb::Order& order, const std::string& payment_id) {
  const pb::Payment* payment = find_payment(order, payment_id);
  return payment == nullptr ? payment_id
                            : payment->gateway_account() + " " + payment->gateway_reference();
}

std::string payment_id_of(const pb::Order& order, const std::string& named) {
  if (find_payment(order, named) != nullptr) return named;
  std::string found;
  for (const auto& payment : order.payments()) {
    if (payment.gateway_reference() != named) continue;
    // Two accounts may use the same reference: then it names neither.
    if (!found.empty()) return named;
    found = payment.payment_id();
  }
  return found.empty() ? named : found;
}

absl::StatusOr<std::string> choose_payment(const pb::Order& order, pb::ActionKind kind,
                                           const std::string& named) {
  if (!named.empty()) return payment_id_of(order, named);
  if (order.payments().empty()) {
    return absl::FailedPreconditionError("the order has no payments");
  }
  // The server says best why the only one is not possible.
  if (order.payments_size() == 1) return order.payments(0).payment_id();
  std::vector<std::string> possible;
  std::string all;
  std::string choice;
  for (const auto& payment : order.payments()) {
    const auto* action = find_action(order, payment, kind);
    const std::string text = describe(payment, action);
    all += "\n  " + text;
    if (!applies(payment, action)) continue;
    possible.push_back(text);
    choice = payment.payment_id();
  }
  if (possible.size() == 1) return choice;
  if (possible.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("none of the order's payments can be {}:{}", verb(kind), all));
  }
  std::string list;
  for (const auto& text : possible) list += "\n  " + text;
  return absl::InvalidArgumentError(
      fmt::format("several payments can be {}; say which with --payment:{}", verb(kind), list));
}

}  // namespace orderd::cli
