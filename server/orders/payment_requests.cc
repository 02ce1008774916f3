#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/text.h"

// Whether requests about payments are well formed.

namespace orderd::rules {
namespace {

constexpr std::size_t kMaxId = 64;

/// The fields that all calls have which move money.
template <class Request>
void check_attempt(const Request& request, errors::Violations& violations) {
  check_mutation(request, violations);
  check_id(request.payment_id(), "payment_id", violations);
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
}

/// An amount to move. Whether its currency is the order's is for the rule to say.
template <class Request>
void check_amount(const Request& request, errors::Violations& violations) {
  if (!request.has_amount()) return;
  MoneyCheck(request.amount().currency_code(), violations).amount(request.amount(), "amount", 1);
}

std::string listed_currency(const pb::NewPayment& payment) {
  for (const auto* money : {&payment.authorized(), &payment.captured()}) {
    if (currency_exponent(money->currency_code())) return money->currency_code();
  }
  return "";
}

}  // namespace

void check_new_payment(const pb::NewPayment& payment, const std::string& prefix,
                       errors::Violations& violations) {
  check_text(payment.gateway_account(), 1, kMaxId, prefix + "gateway_account", violations);
  check_number(payment.gateway_reference(), 1, 255, prefix + "gateway_reference", violations);
  check_text(payment.description(), 0, 255, prefix + "description", violations);
  if (payment.gateway_account() != kExternal) {
    constexpr const char* kAbsent =
        "must be absent: the amounts of a payment that is not of the account \"external\" come "
        "from its gateway";
    if (payment.has_authorized()) violations.add(prefix + "authorized", kAbsent);
    if (payment.has_captured()) violations.add(prefix + "captured", kAbsent);
    return;
  }
  MoneyCheck check(listed_currency(payment), violations);
  std::optional<std::int64_t> authorized, captured = 0;
  if (payment.has_authorized()) {
    authorized = check.amount(payment.authorized(), prefix + "authorized");
  }
  if (payment.has_captured()) captured = check.amount(payment.captured(), prefix + "captured");
  if (authorized && captured && *authorized < *captured) {
    violations.add(prefix + "authorized.amount_minor",
                   "must be at least " + std::to_string(*captured) + " (captured)");
  }
}

absl::Status validate(const pb::AddPaymentRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  if (request.has_payment()) {
    check_new_payment(request.payment(), "payment.", violations);
  } else {
    violations.add("payment", "must be given");
  }
  return violations.status();
}

absl::Status validate(const pb::CapturePaymentRequest& request) {
  errors::Violations violations;
  check_attempt(request, violations);
  check_amount(request, violations);
  return violations.status();
}

absl::Status validate(const pb::VoidPaymentRequest& request) {
  errors::Violations violations;
  check_attempt(request, violations);
  return violations.status();
}

absl::Status validate(const pb::RefundPaymentRequest& request) {
  errors::Violations violations;
  check_attempt(request, violations);
  check_amount(request, violations);
  return violations.status();
}

absl::Status validate(const pb::SyncPaymentsRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_text(request.payment_id(), 0, kMaxId, "payment_id", violations);
  return violations.status();
}

absl::Status validate(const pb::ListTransactionsRequest& request) {
  errors::Violations violations;
  check_id(request.order_id(), "order_id", violations);
  check_text(request.payment_id(), 0, kMaxId, "payment_id", violations);
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status validate(const pb::ListUnresolvedTransactionsRequest& request) {
  errors::Violations violations;
  check_page_size(request.page_size(), violations);
  check_text(request.gateway_account(), 0, kMaxId, "gateway_account", violations);
  return violations.status();
}

absl::Status validate(const pb::ResolveTransactionRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_id(request.transaction_id(), "transaction_id", violations);
  if (request.status() != pb::TRANSACTION_STATUS_SUCCEEDED &&
      request.status() != pb::TRANSACTION_STATUS_FAILED) {
    violations.add("status", "must be TRANSACTION_STATUS_SUCCEEDED or TRANSACTION_STATUS_FAILED");
  }
  check_text(request.reason(), 0, kMaxReason, "reason", violations);
  if (trimmed(request.reason()).empty()) violations.add("reason", "must not be empty");
  return violations.status();
}

}  // namespace orderd::rules
