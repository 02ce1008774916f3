#include <algorithm>

#include "server/orders/cancellation_plan.h"
#include "server/orders/fields.h"
#include "server/orders/payment_fold.h"
#include "server/orders/payments.h"
#include "server/orders/payments_allowances.h"
#include "server/orders/payments_edit.h"
#include "server/orders/payments_sums.h"

// What the end of an attempt means, and an operator's word about it.

namespace orderd::rules {
namespace {

using payments::CallResult;

constexpr const char* kNoAnswer = "NO_ANSWER";

const pb::PaymentTransaction* find_open(const pb::Payment& payment,
                                        const std::string& transaction_id) {
  for (const auto& transaction : payment.open_transactions()) {
    if (transaction.transaction_id() == transaction_id) return &transaction;
  }
  return nullptr;
}

/// Nothing to change in the transaction.
Change unchanged(std::string_view payment_id, const std::string& transaction_id) {
  Change change;
  change.outcome.set_payment_id(std::string(payment_id));
  change.outcome.set_transaction_id(transaction_id);
  return change;
}

void succeed(pb::PaymentTransaction& transaction, Micros time) {
  transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  transaction.clear_reason();
  transaction.clear_missing_time();
  *transaction.mutable_complete_time() = to_timestamp(time);
}

void fail(pb::PaymentTransaction& transaction, const std::string& reason) {
  transaction.set_status(pb::TRANSACTION_STATUS_FAILED);
  transaction.set_reason(reason);
  transaction.clear_missing_time();
}

std::string reason_or(const CallResult& result, const char* otherwise) {
  return result.reason.empty() ? otherwise : result.reason;
}

/// Overwrites an open transaction that has found its end.
Result end(const pb::Order& order, const pb::Payment& payment,
           const pb::PaymentTransaction& transaction, Micros now, const std::string& reason = "") {
  PaymentEdit edit(order, payment);
  if (!edit.settle(transaction, now)) return errors::internal();
  return edit.done(now, reason);
}

/// What an operator says of a transaction.
Result decide(const pb::ResolveTransactionRequest& request, const pb::Order& order,
              const pb::Payment& payment, pb::PaymentTransaction transaction, Micros now) {
  if (request.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
    succeed(transaction, now);
  } else {
    fail(transaction, "RESOLVED");
  }
  auto change = end(order, payment, transaction, now, request.reason());
  if (change.ok()) resume_cancellation(now, *change);
  return change;
}

/// A leg of a cancellation that failed, and whose money was returned all the same.
Result overrule(const pb::ResolveTransactionRequest& request, const pb::Order& order,
                const pb::Payment& payment, const pb::PaymentTransaction& leg, Micros now) {
  const std::int64_t amount = leg.amount().amount_minor();
  const std::int64_t max = left_to_return(order, payment, leg.kind());
  if (amount > max && leg.kind() == pb::TRANSACTION_KIND_REFUND) {
    return errors::refund_too_large(payment.payment_id(), amount, max);
  }
  if (amount > max) {
    return errors::payment_not_voidable(payment.payment_id(), status_name(payment.status()));
  }
  return decide(request, order, payment, leg, now);
}

/// Accepted, not final. A second answer of this kind says nothing new.
Result accept(const pb::Order& order, const pb::Payment& payment,
              pb::PaymentTransaction transaction, const CallResult& result, Micros now) {
  if (transaction.status() == pb::TRANSACTION_STATUS_PENDING) {
    return unchanged(payment.payment_id(), transaction.transaction_id());
  }
  transaction.set_status(pb::TRANSACTION_STATUS_PENDING);
  transaction.set_gateway_transaction_id(result.gateway_transaction_id);
  transaction.set_reason(result.reason);
  transaction.clear_missing_time();
  PaymentEdit edit(order, payment);
  edit.update(transaction);
  return edit.done(now);
}

/// Still UNKNOWN. A gateway that is away for long must not fill the history, whatever it answers in
/// turn: the first reason stays, but for one that gives way, once, to NO_ANSWER when the attempt
/// may have been carried out. What was not written is due when the sender's lease ends.
Result leave_open(const pb::Order& order, const pb::Payment& payment,
                  pb::PaymentTransaction transaction, const CallResult& result,
                  const char* otherwise, Micros now) {
  std::string reason = reason_or(result, otherwise);
  const bool first = transaction.reason().empty();
  if (!first && result.kind == CallResult::Kind::kUnknown && transaction.reason() != reason) {
    reason = kNoAnswer;
  }
  const bool news = first || (reason == kNoAnswer && transaction.reason() != kNoAnswer);
  if (transaction.status() == pb::TRANSACTION_STATUS_PENDING || !news) {
    return unchanged(payment.payment_id(), transaction.transaction_id());
  }
  transaction.set_reason(reason);
  PaymentEdit edit(order, payment);
  edit.update(transaction);
  Change change = edit.done(now);
  auto& next = change.schedule.back().next_check;
  if (result.kind == CallResult::Kind::kStateConflict) next = now;
  if (result.retry_after && next) {
    const auto wait = std::chrono::microseconds(*result.retry_after).count();
    next = std::max(*next, now + wait);
  }
  return change;
}

/// The gateway did what is booked as FAILED. Somebody has to look, and a reading to say what moved:
/// one that was taken before counts no more.
Change contradicted(const pb::Order& order, const pb::Payment& payment, const std::string& id,
                    Micros now) {
  PaymentEdit edit(order, payment);
  edit.payment().set_attention(true);
  edit.payment().set_revision(payment.revision() + 1);
  Change change = edit.done(now);
  change.schedule.back().next_check = now;
  change.outcome.set_transaction_id(id);
  return change;
}

/// Somebody has seen to what happened: nothing of it has to be looked at any more.
Change acknowledge(const pb::Order& order, const pb::Payment& payment, const std::string& id,
                   Micros now, const std::string& reason) {
  const auto& open = payment.open_transactions();
  const bool remains = payment.discrepancy() || std::any_of(open.begin(), open.end(), is_manual);
  if (!payment.attention() || remains) return unchanged(payment.payment_id(), id);
  PaymentEdit edit(order, payment);
  edit.payment().set_attention(false);
  Change change = edit.done(now, reason);
  change.outcome.set_transaction_id(id);
  return change;
}

/// Whether a reading says, sooner or later, what became of an open transaction. One that a gateway
/// without attempt ids does not show, and that is too old to be sent again, may hide in its sums.
bool gateway_tells(const pb::Payment& payment, const pb::PaymentTransaction& open,
                   const GatewayDirectory& gateways, Micros now) {
  const std::string& account = payment.gateway_account();
  if (account == kExternal || !gateways.configured(account) || is_manual(open)) return false;
  return payment.capabilities().lookup_by_attempt() ||
         open.status() != pb::TRANSACTION_STATUS_UNKNOWN ||
         !too_old_to_send(open, payment.capabilities(), now);
}

}  // namespace

Result settle(std::string_view payment_id, const Uuid& transaction_id, const CallResult& result,
              const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  const std::string id = transaction_id.to_string();
  const auto* payment = find_payment(order, payment_id);
  const auto* open = payment ? find_open(*payment, id) : nullptr;
  using Kind = CallResult::Kind;
  if (!open) {
    const bool moved = result.kind == Kind::kSucceeded || result.kind == Kind::kPending;
    const bool failed = target.transaction && target.transaction->payment_id() == payment_id &&
                        target.transaction->status() == pb::TRANSACTION_STATUS_FAILED;
    if (payment && payment->gateway_account() != kExternal && moved && failed) {
      return contradicted(order, *payment, id, context.now);
    }
    return unchanged(payment_id, id);
  }
  pb::PaymentTransaction transaction = *open;

  switch (result.kind) {
    case Kind::kSucceeded:
      if (!result.gateway_transaction_id.empty()) {
        transaction.set_gateway_transaction_id(result.gateway_transaction_id);
      }
      succeed(transaction, result.time.value_or(context.now));
      return end(order, *payment, transaction, context.now);
    case Kind::kRefused:
      // An earlier answer accepted it. Which of the two holds only a reading can say; until then
      // what it has reserved stays reserved.
      if (transaction.status() == pb::TRANSACTION_STATUS_PENDING) return unchanged(payment_id, id);
      fail(transaction, reason_or(result, "REFUSED"));
      return end(order, *payment, transaction, context.now);
    case Kind::kPending:
      return accept(order, *payment, transaction, result, context.now);
    case Kind::kNotExecuted:
      return leave_open(order, *payment, transaction, result, "NOT_EXECUTED", context.now);
    case Kind::kStateConflict:
      return leave_open(order, *payment, transaction, result, "STATE_CONFLICT", context.now);
    case Kind::kUnknown:
      break;
  }
  return leave_open(order, *payment, transaction, result, kNoAnswer, context.now);
}

Result resolve_transaction(const pb::ResolveTransactionRequest& request,
                           const GatewayDirectory& gateways, std::chrono::microseconds lease,
                           const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  const auto* payment =
      target.transaction ? find_payment(order, target.transaction->payment_id()) : nullptr;
  if (!payment) {
    return errors::transaction_not_found(order.order_id(), request.transaction_id());
  }
  const std::string& id = target.transaction->transaction_id();
  const auto* open = find_open(*payment, id);
  if (!open) {
    if (target.transaction->status() == request.status()) {
      return acknowledge(order, *payment, id, context.now, request.reason());
    }
    if (is_failed_leg(order, *target.transaction)) {
      return overrule(request, order, *payment, *target.transaction, context.now);
    }
    return errors::transaction_final(id);
  }
  if (gateway_tells(*payment, *open, gateways, context.now)) return errors::gateway_can_tell(id);
  // The answer of a call that is under way must find the attempt open.
  const Micros age = context.now - to_micros(open->create_time());
  if (open->status() == pb::TRANSACTION_STATUS_UNKNOWN && age < lease.count()) {
    return errors::payment_busy(payment->payment_id());
  }

  return decide(request, order, *payment, *open, context.now);
}

}  // namespace orderd::rules
