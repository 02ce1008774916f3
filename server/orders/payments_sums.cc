#include <algorithm>

#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/payments_sums.h"

// What follows from a payment's sums and open transactions.

namespace orderd::rules {
namespace {

constexpr Micros kSecond = 1'000'000;
constexpr Micros kMinute = 60 * kSecond;
constexpr Micros kHour = 60 * kMinute;
constexpr Micros kDay = 24 * kHour;
constexpr Micros kRefundWatch = 30 * kDay;

bool add_to(pb::Money& sum, const pb::Money& amount, std::int64_t signed_minor) {
  const auto total = add(sum.amount_minor(), signed_minor);
  if (!total) return false;
  sum = make_money(amount.currency_code(), *total);
  return true;
}

/// The sum that an ADJUSTMENT corrects.
pb::Money* adjusted(const std::string& name, pb::Payment& payment) {
  if (name == "AUTHORIZED") return payment.mutable_authorized();
  if (name == "CAPTURED") return payment.mutable_captured();
  if (name == "REFUNDED") return payment.mutable_refunded();
  if (name == "VOIDED") return payment.mutable_voided();
  return nullptr;
}

/// Sums that no payment can have.
bool impossible(const pb::Payment& payment) {
  const std::int64_t authorized = payment.authorized().amount_minor();
  const std::int64_t captured = payment.captured().amount_minor();
  const std::int64_t refunded = payment.refunded().amount_minor();
  const std::int64_t voided = payment.voided().amount_minor();
  if (authorized < 0 || captured < 0 || refunded < 0 || voided < 0) return true;
  const auto used = add(captured, voided);
  return !used || *used > authorized || refunded > captured;
}

/// What all open transactions of a kind ask for; nothing if that is more than 64 bits hold.
std::optional<std::int64_t> reserved(const pb::Payment& payment, pb::TransactionKind kind) {
  std::optional<std::int64_t> sum = 0;
  for (const auto& transaction : payment.open_transactions()) {
    if (transaction.kind() == kind && sum) sum = add(*sum, transaction.amount().amount_minor());
  }
  return sum;
}

bool reserves_remainder(const pb::PaymentTransaction& transaction) {
  return transaction.kind() == pb::TRANSACTION_KIND_VOID ||
         (transaction.kind() == pb::TRANSACTION_KIND_CAPTURE && transaction.final_capture());
}

/// What is left of `whole` after `reserved`. Never below 0: nothing can be done then, and the sums
/// themselves say what is wrong.
std::int64_t left(std::int64_t whole, std::optional<std::int64_t> reserved) {
  return reserved ? std::max<std::int64_t>(0, whole - *reserved) : 0;
}

std::int64_t capturable(const pb::Payment& payment) {
  const auto& open = payment.open_transactions();
  if (std::any_of(open.begin(), open.end(), reserves_remainder)) return 0;
  return left(remainder(payment), reserved(payment, pb::TRANSACTION_KIND_CAPTURE));
}

std::int64_t refundable(const pb::Payment& payment) {
  if (impossible(payment)) return 0;
  return left(payment.captured().amount_minor() - payment.refunded().amount_minor(),
              reserved(payment, pb::TRANSACTION_KIND_REFUND));
}

/// Something happens there of which nobody tells us: it has not been asked, or the customer or the
/// gateway is at work.
bool awaits_gateway(const pb::Payment& payment) {
  return payment.status() == pb::PAYMENT_STATUS_UNSYNCED ||
         payment.status() == pb::PAYMENT_STATUS_OPEN ||
         payment.status() == pb::PAYMENT_STATUS_PROCESSING;
}

void earlier(std::optional<Micros>& time, Micros other) {
  if (!time || other < *time) time = other;
}

}  // namespace

const pb::Payment* find_payment(const pb::Order& order, std::string_view payment_id) {
  for (const auto& payment : order.payments()) {
    if (payment.payment_id() == payment_id) return &payment;
  }
  return nullptr;
}

bool is_manual(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_PENDING && transaction.reason() == kManual;
}

std::int64_t remainder(const pb::Payment& payment) {
  if (impossible(payment)) return 0;
  const auto used = add(payment.captured().amount_minor(), payment.voided().amount_minor());
  return left(payment.authorized().amount_minor(), used);
}

pb::PaymentStatus status_of_sums(const pb::Payment& payment) {
  const std::int64_t captured = payment.captured().amount_minor();
  if (remainder(payment) > 0) {
    return captured > 0 ? pb::PAYMENT_STATUS_PARTLY_CAPTURED : pb::PAYMENT_STATUS_AUTHORIZED;
  }
  if (captured > 0) {
    return payment.refunded().amount_minor() >= captured ? pb::PAYMENT_STATUS_REFUNDED
                                                         : pb::PAYMENT_STATUS_CAPTURED;
  }
  return payment.voided().amount_minor() > 0 ? pb::PAYMENT_STATUS_VOIDED
                                             : pb::PAYMENT_STATUS_CAPTURED;
}

bool has_open_money(const pb::Payment& payment) {
  return payment.capturable().amount_minor() > 0 ||
         payment.captured().amount_minor() > payment.refunded().amount_minor() ||
         payment.open_transactions_size() > 0 || awaits_gateway(payment);
}

void derive(pb::Payment& payment) {
  const auto& open = payment.open_transactions();
  if (impossible(payment)) payment.set_discrepancy(true);
  if (payment.discrepancy() || std::any_of(open.begin(), open.end(), is_manual)) {
    payment.set_attention(true);
  }
  payment.clear_capturable();
  payment.clear_refundable();
  if (!payment.has_authorized()) return;
  const std::string& currency = payment.authorized().currency_code();
  *payment.mutable_capturable() = make_money(currency, capturable(payment));
  *payment.mutable_refundable() = make_money(currency, refundable(payment));
}

bool book(const pb::PaymentTransaction& transaction, pb::Payment& payment) {
  if (transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) return true;
  const pb::Money& amount = transaction.amount();
  const std::int64_t minor = amount.amount_minor();
  switch (transaction.kind()) {
    case pb::TRANSACTION_KIND_AUTHORIZATION:
      return add_to(*payment.mutable_authorized(), amount, minor);
    case pb::TRANSACTION_KIND_CAPTURE:
      if (!add_to(*payment.mutable_captured(), amount, minor)) return false;
      payment.set_capture_count(payment.capture_count() + 1);
      return true;
    case pb::TRANSACTION_KIND_REFUND:
      return add_to(*payment.mutable_refunded(), amount, minor);
    case pb::TRANSACTION_KIND_VOID:
    case pb::TRANSACTION_KIND_EXPIRY:
      return add_to(*payment.mutable_voided(), amount, minor);
    case pb::TRANSACTION_KIND_ADJUSTMENT: {
      auto* sum = adjusted(transaction.reason(), payment);
      return sum == nullptr || add_to(*sum, amount, minor);
    }
    default:
      // The bank's chargebacks are not refunds, and are in no sum.
      return true;
  }
}

std::optional<Micros> last_refund(std::span<const pb::PaymentTransaction> ledger,
                                  std::string_view payment_id) {
  std::optional<Micros> last;
  for (const auto& transaction : ledger) {
    if (transaction.payment_id() != payment_id ||
        transaction.kind() != pb::TRANSACTION_KIND_REFUND ||
        transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) {
      continue;
    }
    last = std::max(last.value_or(0), to_micros(transaction.complete_time()));
  }
  return last;
}

bool has_unknown(const pb::Payment& payment) {
  return std::any_of(payment.open_transactions().begin(), payment.open_transactions().end(),
                     [](const pb::PaymentTransaction& transaction) {
                       return transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN;
                     });
}

PaymentSchedule schedule_of(const pb::Payment& payment, Micros now,
                            std::optional<Micros> last_refund) {
  PaymentSchedule schedule;
  schedule.payment_id = payment.payment_id();
  auto& next = schedule.next_check;
  for (const auto& transaction : payment.open_transactions()) {
    earlier(schedule.unresolved_since, to_micros(transaction.create_time()));
    if (transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN) earlier(next, now + kMinute);
  }
  if (payment.gateway_account() == kExternal) return schedule;
  // Since when somebody has had to look, the payment does not say.
  if (!schedule.unresolved_since && payment.attention()) schedule.unresolved_since = now;
  schedule.keeps_since = payment.attention();

  for (const auto& transaction : payment.open_transactions()) {
    if (!is_manual(transaction)) earlier(next, now + kHour);
  }
  if (awaits_gateway(payment)) earlier(next, now + 10 * kMinute);
  if (remainder(payment) > 0) {
    earlier(next, now + kDay);
    if (payment.has_expire_time()) {
      const Micros expiry = to_micros(payment.expire_time());
      for (const Micros time : {expiry - kHour, expiry}) {
        if (time > now) earlier(next, time);
      }
    }
  }
  // Of refunds whose time is not known only that they have been made is certain.
  if (!last_refund && payment.refunded().amount_minor() > 0) last_refund = now;
  if (last_refund && now < *last_refund + kRefundWatch) earlier(next, now + kDay);
  return schedule;
}

}  // namespace orderd::rules
