#include "server/orders/payments_allowances.h"

#include <algorithm>

#include "server/orders/payments_sums.h"
#include "server/orders/status.h"

namespace orderd::rules {
namespace {

Allowance refused(absl::Status refusal) { return {std::move(refusal), 0}; }

/// What forbids every operation.
absl::Status check_usable(const pb::Payment& payment) {
  if (payment.discrepancy()) return errors::payment_discrepancy(payment.payment_id());
  if (payment.status() == pb::PAYMENT_STATUS_UNSYNCED) {
    return errors::payment_unsynced(payment.payment_id());
  }
  return absl::OkStatus();
}

bool takes_from_remainder(const pb::PaymentTransaction& transaction) {
  return transaction.kind() == pb::TRANSACTION_KIND_CAPTURE ||
         transaction.kind() == pb::TRANSACTION_KIND_VOID;
}

/// How many captures have succeeded or may yet.
std::int64_t captures(const pb::Payment& payment) {
  const auto& open = payment.open_transactions();
  return payment.capture_count() +
         std::count_if(open.begin(), open.end(), [](const auto& transaction) {
           return transaction.kind() == pb::TRANSACTION_KIND_CAPTURE;
         });
}

/// How many captures the gateway still takes; nothing: any number.
std::optional<std::int64_t> captures_left(const pb::Payment& payment) {
  const auto& can = payment.capabilities();
  if (can.multi_capture() && can.max_captures() == 0) return std::nullopt;
  const std::int64_t limit = can.multi_capture() ? can.max_captures() : 1;
  return std::max<std::int64_t>(0, limit - captures(payment));
}

/// The allowance, unless a further check refuses.
Allowance checked(Allowance allowance, std::initializer_list<absl::Status> checks) {
  if (!allowance.refusal.ok()) return allowance;
  for (const auto& check : checks) {
    if (!check.ok()) return refused(check);
  }
  return allowance;
}

}  // namespace

std::string status_name(pb::PaymentStatus status) {
  constexpr std::string_view kPrefix = "PAYMENT_STATUS_";
  const std::string& name = pb::PaymentStatus_Name(status);
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

absl::Status check_allows_capture(const pb::Order& order, const Settings& settings) {
  if (auto refusal = check_no_cancellation_running(order); !refusal.ok()) return refusal;
  const auto* state = settings.any_state(order.state_id());
  return state && state->allows_capture() ? absl::OkStatus()
                                          : errors::capture_not_allowed(order.state_id());
}

Allowance capturable_now(const pb::Payment& payment) {
  if (auto refusal = check_usable(payment); !refusal.ok()) return refused(refusal);
  const std::string& id = payment.payment_id();
  if (payment.status() == pb::PAYMENT_STATUS_EXPIRED) {
    return refused(errors::authorization_expired(id));
  }
  const std::int64_t max = payment.capturable().amount_minor();
  const auto times = captures_left(payment);
  if (max == 0 || (times && *times == 0)) {
    return refused(errors::payment_not_capturable(id, status_name(payment.status()), 0));
  }
  return {absl::OkStatus(), max};
}

Allowance voidable_now(const pb::Payment& payment) {
  if (auto refusal = check_usable(payment); !refusal.ok()) return refused(refusal);
  const std::int64_t rest = remainder(payment);
  if (rest == 0 && payment.status() != pb::PAYMENT_STATUS_OPEN) {
    return refused(
        errors::payment_not_voidable(payment.payment_id(), status_name(payment.status())));
  }
  return {absl::OkStatus(), rest};
}

Allowance refundable_now(const pb::Payment& payment) {
  if (auto refusal = check_usable(payment); !refusal.ok()) return refused(refusal);
  const std::int64_t max = payment.refundable().amount_minor();
  if (max == 0) {
    return refused(
        errors::payment_not_refundable(payment.payment_id(), status_name(payment.status()), 0));
  }
  return {absl::OkStatus(), max};
}

absl::Status check_capture(const pb::Payment& payment, std::int64_t amount_minor,
                           bool final_capture, std::int64_t max_minor) {
  if (amount_minor >= max_minor) return absl::OkStatus();
  const std::string& id = payment.payment_id();
  if (!payment.capabilities().partial_capture()) {
    return errors::partial_capture_not_supported(id, max_minor);
  }
  const auto times = captures_left(payment);
  if (times && *times <= 1 && !final_capture) {
    return errors::final_capture_required(id, max_minor - amount_minor);
  }
  return absl::OkStatus();
}

absl::Status check_void(const pb::Payment& payment) {
  const bool after_capture = payment.captured().amount_minor() > 0;
  return after_capture && !payment.capabilities().void_after_capture()
             ? errors::void_after_capture_not_supported(payment.payment_id())
             : absl::OkStatus();
}

absl::Status check_refund(const pb::Payment& payment, std::int64_t amount_minor) {
  const auto& can = payment.capabilities();
  const std::int64_t captured = payment.captured().amount_minor();
  if (amount_minor < captured && !can.partial_refund()) {
    return errors::partial_refund_not_supported(payment.payment_id(), captured);
  }
  if (remainder(payment) > 0 && !can.refund_before_final_capture()) {
    return errors::refund_before_final_capture_not_supported(payment.payment_id());
  }
  return absl::OkStatus();
}

absl::Status check_not_busy(const pb::Payment& payment, bool takes_remainder) {
  const bool one_at_a_time = !payment.capabilities().concurrent_operations();
  for (const auto& open : payment.open_transactions()) {
    const bool under_way =
        open.status() == pb::TRANSACTION_STATUS_UNKNOWN || takes_from_remainder(open);
    if ((one_at_a_time && under_way) || (takes_remainder && takes_from_remainder(open))) {
      return errors::payment_busy(payment.payment_id());
    }
  }
  return absl::OkStatus();
}

Allowance may_capture(const pb::Order& order, const pb::Payment& payment,
                      const Settings& settings) {
  if (auto refusal = check_allows_capture(order, settings); !refusal.ok()) return refused(refusal);
  return checked(capturable_now(payment), {check_not_busy(payment, false)});
}

Allowance may_void(const pb::Order& order, const pb::Payment& payment) {
  if (auto refusal = check_no_cancellation_running(order); !refusal.ok()) return refused(refusal);
  return checked(voidable_now(payment), {check_void(payment), check_not_busy(payment, true)});
}

Allowance may_refund(const pb::Order& order, const pb::Payment& payment) {
  if (auto refusal = check_no_cancellation_running(order); !refusal.ok()) return refused(refusal);
  Allowance allowance = refundable_now(payment);
  return checked(allowance,
                 {check_refund(payment, allowance.max_minor), check_not_busy(payment, false)});
}

}  // namespace orderd::rules
