#include "server/orders/cancellation_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string_view>

#include "server/orders/money.h"
#include "server/orders/payment_fold.h"
#include "server/orders/payments_allowances.h"
#include "server/orders/payments_sums.h"

// What a cancellation has returned, has yet to return, and can do next.

namespace orderd::rules {
namespace {

constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;

/// An answer that says that nothing happened, not that it never will.
constexpr std::string_view kNotApplied = "NOT_APPLIED";

bool customer_may_pay(const pb::Payment& payment) {
  return payment.status() == pb::PAYMENT_STATUS_OPEN ||
         payment.status() == pb::PAYMENT_STATUS_PROCESSING;
}

/// What legs of a kind have returned or may yet. Money that a gateway or an operator says is on its
/// way is not returned again, even if a later reading does not show it.
Wide returned(const pb::Order& order, const pb::Payment& payment, pb::TransactionKind kind) {
  Wide sum = 0;
  for (const auto& leg : order.cancellation().legs()) {
    if (leg.payment_id() == payment.payment_id() && leg.kind() == kind &&
        leg.status() != pb::TRANSACTION_STATUS_FAILED) {
      sum += leg.amount().amount_minor();
    }
  }
  return sum;
}

bool has_voided(const pb::Order& order, const pb::Payment& payment) {
  const auto& legs = order.cancellation().legs();
  return std::any_of(legs.begin(), legs.end(), [&](const pb::CancellationLeg& leg) {
    return leg.payment_id() == payment.payment_id() && leg.kind() == kVoid &&
           (leg.status() == pb::TRANSACTION_STATUS_SUCCEEDED || leg.initiated());
  });
}

bool has_open(const pb::Payment& payment, pb::TransactionKind kind) {
  const auto& open = payment.open_transactions();
  return std::any_of(open.begin(), open.end(),
                     [&](const auto& transaction) { return transaction.kind() == kind; });
}

/// A transaction without which nobody knows what is left to return.
bool waits(const pb::Payment& payment) {
  const auto& open = payment.open_transactions();
  return !std::all_of(open.begin(), open.end(), is_initiated);
}

/// The rest of a partly captured authorization, which the gateway releases without being asked.
bool releases_by_itself(const pb::Payment& payment) {
  const auto& can = payment.capabilities();
  return payment.captured().amount_minor() > 0 && !can.multi_capture() && !can.void_after_capture();
}

/// What a void has to release; nothing if there is nothing to void.
std::optional<std::int64_t> to_void(const pb::Order& order, const pb::Payment& payment) {
  if (has_open(payment, kVoid)) return std::nullopt;
  if (payment.capturable().amount_minor() > 0) {
    const std::int64_t left = left_to_return(order, payment, kVoid);
    if (left == 0 || releases_by_itself(payment)) return std::nullopt;
    return left;
  }
  if (customer_may_pay(payment) && !has_voided(order, payment)) return 0;
  return std::nullopt;
}

std::optional<std::int64_t> to_refund(const pb::Order& order, const pb::Payment& payment) {
  const std::int64_t left = left_to_return(order, payment, kRefund);
  return left > 0 ? std::optional(left) : std::nullopt;
}

/// Whether the sums of a payment mean what they say.
bool is_known(const pb::Payment& payment) {
  return !payment.discrepancy() && payment.status() != pb::PAYMENT_STATUS_UNSYNCED;
}

bool can_be_judged(const pb::Payment& payment) {
  return is_known(payment) && !has_unknown(payment);
}

/// What is to be returned of the payments of which `includes` is true. Voids first.
template <class Includes>
std::vector<pb::CancellationLeg> plan_for(const pb::Order& order, const Includes& includes) {
  std::vector<pb::CancellationLeg> plan;
  for (const auto kind : {kVoid, kRefund}) {
    for (const auto& payment : order.payments()) {
      if (!includes(payment)) continue;
      const auto minor = kind == kVoid ? to_void(order, payment) : to_refund(order, payment);
      if (!minor) continue;
      auto& leg = plan.emplace_back();
      leg.set_payment_id(payment.payment_id());
      leg.set_kind(kind);
      *leg.mutable_amount() = make_money(
          payment.has_authorized() ? payment.authorized().currency_code() : order.currency_code(),
          *minor);
    }
  }
  return plan;
}

/// Whether the same was tried in this pass and refused for good.
bool was_refused(const pb::Order& order, const pb::CancellationLeg& planned) {
  const auto& cancellation = order.cancellation();
  return std::any_of(
      cancellation.legs().begin(), cancellation.legs().end(), [&](const pb::CancellationLeg& leg) {
        return leg.pass() == cancellation.pass() && leg.payment_id() == planned.payment_id() &&
               leg.kind() == planned.kind() &&
               leg.amount().amount_minor() == planned.amount().amount_minor() &&
               leg.status() == pb::TRANSACTION_STATUS_FAILED && leg.reason() != kNotApplied;
      });
}

bool is_settled(const pb::Order& order, const pb::Payment& payment) {
  if (payment.status() == pb::PAYMENT_STATUS_UNSYNCED || waits(payment)) return false;
  const bool released = payment.capturable().amount_minor() == 0 && !customer_may_pay(payment);
  return released || has_voided(order, payment);
}

/// Sums in the making: amounts of several transactions may be more than 64 bits hold.
class Total {
 public:
  void operator+=(std::int64_t minor) { sum_ += minor; }
  void operator+=(const Total& other) { sum_ += other.sum_; }
  void limit(std::int64_t most) { sum_ = std::min<Wide>(sum_, most); }
  pb::Money money(const std::string& currency) const {
    constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
    return make_money(currency, static_cast<std::int64_t>(std::min(sum_, kMost)));
  }

 private:
  Wide sum_ = 0;
};

struct Totals {
  Total refunded, reversed, pending, outstanding;

  void count(const pb::CancellationLeg& leg) {
    const std::int64_t minor = leg.amount().amount_minor();
    if (leg.status() == pb::TRANSACTION_STATUS_FAILED) return;
    if (leg.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
      (leg.kind() == kVoid ? reversed : refunded) += minor;
    } else {
      (leg.initiated() ? pending : outstanding) += minor;
    }
  }
  void operator+=(const Totals& other) {
    refunded += other.refunded;
    reversed += other.reversed;
    pending += other.pending;
    outstanding += other.outstanding;
  }
  template <class Report>
  void write(const std::string& currency, Report& report) const {
    if (currency.empty()) return;
    *report.mutable_refunded() = refunded.money(currency);
    *report.mutable_reversed() = reversed.money(currency);
    *report.mutable_pending() = pending.money(currency);
    *report.mutable_outstanding() = outstanding.money(currency);
  }
};

}  // namespace

bool is_initiated(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_PENDING &&
         !transaction.gateway_transaction_id().empty() &&
         (transaction.kind() == kVoid || transaction.kind() == kRefund);
}

std::int64_t left_to_return(const pb::Order& order, const pb::Payment& payment,
                            pb::TransactionKind kind) {
  const Wide captured = payment.captured().amount_minor();
  const bool is_void = kind == kVoid;
  const Wide whole = is_void ? payment.authorized().amount_minor() - captured : captured;
  const Wide open = (is_void ? payment.capturable() : payment.refundable()).amount_minor();
  const Wide left = std::min(open, whole - returned(order, payment, kind));
  return static_cast<std::int64_t>(std::max<Wide>(0, left));
}

std::vector<pb::CancellationLeg> plan_of(const pb::Order& order) {
  return plan_for(order, can_be_judged);
}

NextStep next_step(const pb::Order& order) {
  const auto& payments = order.payments();
  bool refused = std::any_of(payments.begin(), payments.end(),
                             [](const pb::Payment& payment) { return payment.discrepancy(); });
  bool left_to_void = std::any_of(payments.begin(), payments.end(), [](const pb::Payment& payment) {
    const auto& open = payment.open_transactions();
    return std::any_of(open.begin(), open.end(), [](const auto& transaction) {
      return transaction.kind() != kRefund && !is_initiated(transaction);
    });
  });
  std::vector<const pb::Payment*> not_voidable;
  std::vector<pb::CancellationLeg> left;
  bool stuck = false;
  for (auto& leg : plan_of(order)) {
    const pb::Payment& payment = *find_payment(order, leg.payment_id());
    if (was_refused(order, leg)) {
      // While the gateway is at work it closes nothing; when it has ended there is something else
      // to return.
      const bool passing = leg.kind() == kVoid && payment.status() == pb::PAYMENT_STATUS_PROCESSING;
      (passing ? stuck : refused) = true;
      not_voidable.push_back(&payment);
      continue;
    }
    if (leg.kind() == kRefund && remainder(payment) > 0 &&
        !payment.capabilities().refund_before_final_capture()) {
      const bool never = std::count(not_voidable.begin(), not_voidable.end(), &payment) > 0;
      (never ? refused : stuck) = true;
      if (never || releases_by_itself(payment)) continue;
    }
    left_to_void |= leg.kind() == kVoid;
    left.push_back(std::move(leg));
  }

  NextStep step;
  for (auto& leg : left) {
    const pb::Payment& payment = *find_payment(order, leg.payment_id());
    const bool may_begin = !waits(payment) && check_not_busy(payment, leg.kind() == kVoid).ok() &&
                           (leg.kind() == kVoid || !left_to_void);
    if (may_begin) step.legs.push_back(leg);
  }
  using Kind = NextStep::Kind;
  if (!step.legs.empty()) {
    step.kind = Kind::kReturn;
  } else if (!left.empty()) {
    step.kind = Kind::kWait;
  } else if (refused) {
    step.kind = Kind::kFail;
  } else if (!stuck && std::all_of(payments.begin(), payments.end(), [&](const auto& payment) {
               return is_settled(order, payment);
             })) {
    step.kind = Kind::kComplete;
  }
  return step;
}

void follow_transactions(std::span<const pb::PaymentTransaction> transactions, pb::Order& order) {
  if (order.cancellation().legs().empty()) return;
  const bool completed = order.cancellation().status() == pb::CANCELLATION_STATUS_COMPLETED;
  for (const auto& transaction : transactions) {
    for (auto& leg : *order.mutable_cancellation()->mutable_legs()) {
      if (leg.transaction_id() != transaction.transaction_id()) continue;
      const bool fails = leg.status() != pb::TRANSACTION_STATUS_FAILED &&
                         transaction.status() == pb::TRANSACTION_STATUS_FAILED;
      leg.set_status(transaction.status());
      *leg.mutable_amount() = transaction.amount();
      leg.set_reason(transaction.reason());
      leg.set_initiated(is_initiated(transaction));
      if (!completed || !fails || leg.kind() != kRefund) continue;
      for (auto& payment : *order.mutable_payments()) {
        if (payment.payment_id() == leg.payment_id()) payment.set_attention(true);
      }
    }
  }
}

pb::CancellationReport report_of(const pb::Order& order) {
  const auto& cancellation = order.cancellation();
  const auto status = cancellation.status();
  const bool running =
      status == pb::CANCELLATION_STATUS_IN_PROGRESS || status == pb::CANCELLATION_STATUS_FAILED;
  std::map<std::string_view, std::vector<pb::CancellationLeg>> legs;
  for (const auto& leg : cancellation.legs()) legs[leg.payment_id()].push_back(leg);
  // What comes after a leg without an answer is to be returned too, although not yet decided.
  const auto plan = running ? plan_for(order, is_known) : std::vector<pb::CancellationLeg>();
  for (const auto& leg : plan) legs[leg.payment_id()].push_back(leg);

  pb::CancellationReport report;
  report.set_status(status);
  report.set_notifies_customer(cancellation.notify_customer() &&
                               (running || status == pb::CANCELLATION_STATUS_COMPLETED));
  Totals all;
  for (const auto& payment : order.payments()) {
    const auto found = legs.find(payment.payment_id());
    if (found == legs.end()) continue;
    auto& part = *report.add_payments();
    part.set_payment_id(payment.payment_id());
    part.set_gateway_account(payment.gateway_account());
    Totals totals;
    for (const auto& leg : found->second) {
      totals.count(leg);
      *part.add_legs() = leg;
    }
    // A release is of what is left when it arrives: less than was asked for, if somebody captured
    // at the gateway meanwhile.
    totals.reversed.limit(payment.voided().amount_minor());
    all += totals;
    totals.write(order.currency_code(), part);
  }
  all.write(order.currency_code(), report);
  return report;
}

}  // namespace orderd::rules
