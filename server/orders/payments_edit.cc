#include "server/orders/payments_edit.h"

#include "server/orders/cancellation_plan.h"
#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/payments_sums.h"

namespace orderd::rules {
namespace {

/// What a final capture released, if anything.
pb::PaymentTransaction release(const pb::PaymentTransaction& capture, std::int64_t amount_minor,
                               Micros now) {
  pb::PaymentTransaction release;
  const auto id = Uuid::parse(capture.transaction_id());
  release.set_transaction_id(id.value_or(Uuid{}).derived(1).to_string());
  release.set_payment_id(capture.payment_id());
  release.set_kind(pb::TRANSACTION_KIND_VOID);
  release.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  *release.mutable_amount() = make_money(capture.amount().currency_code(), amount_minor);
  release.set_actor(capture.actor());
  release.set_request_id(capture.request_id());
  *release.mutable_create_time() = to_timestamp(now);
  *release.mutable_complete_time() = capture.complete_time();
  release.set_released_by(capture.transaction_id());
  return release;
}

}  // namespace

pb::PaymentTransaction new_attempt(const Uuid& transaction_id, std::string_view request_id,
                                   const std::string& payment_id, pb::TransactionKind kind,
                                   const pb::Money& amount, const Context& context) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(transaction_id.to_string());
  transaction.set_payment_id(payment_id);
  transaction.set_kind(kind);
  transaction.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  *transaction.mutable_amount() = amount;
  transaction.set_actor(*context.actor);
  transaction.set_request_id(std::string(request_id));
  *transaction.mutable_create_time() = to_timestamp(context.now);
  return transaction;
}

PaymentEdit::PaymentEdit(const pb::Order& order, const pb::Payment& payment) : before_(payment) {
  auto& after = change_.after.emplace(order);
  for (auto& candidate : *after.mutable_payments()) {
    if (candidate.payment_id() == payment.payment_id()) payment_ = &candidate;
  }
  change_.outcome.set_payment_id(payment.payment_id());
}

void PaymentEdit::attempt(const pb::PaymentTransaction& transaction) {
  *payment_->add_open_transactions() = transaction;
  payment_->set_revision(payment_->revision() + 1);
  change_.transactions_created.push_back(transaction);
  change_.outcome.set_transaction_id(transaction.transaction_id());
}

bool PaymentEdit::add(const pb::PaymentTransaction& transaction) {
  if (!book(transaction, *payment_)) return false;
  set_status(transaction);
  payment_->set_revision(payment_->revision() + 1);
  change_.transactions_created.push_back(transaction);
  change_.outcome.set_transaction_id(transaction.transaction_id());
  return true;
}

void PaymentEdit::update(const pb::PaymentTransaction& transaction) {
  for (auto& open : *payment_->mutable_open_transactions()) {
    if (open.transaction_id() != transaction.transaction_id()) continue;
    if (open.status() != transaction.status()) payment_->set_revision(payment_->revision() + 1);
    open = transaction;
  }
  change_.transactions_updated.push_back(transaction);
  change_.outcome.set_transaction_id(transaction.transaction_id());
}

bool PaymentEdit::settle(const pb::PaymentTransaction& transaction, Micros now) {
  auto& open = *payment_->mutable_open_transactions();
  for (int i = 0; i < open.size(); ++i) {
    if (open[i].transaction_id() != transaction.transaction_id()) continue;
    open.DeleteSubrange(i, 1);
    break;
  }
  payment_->set_revision(payment_->revision() + 1);
  change_.transactions_updated.push_back(transaction);
  change_.outcome.set_transaction_id(transaction.transaction_id());
  if (transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) return true;
  if (!book(transaction, *payment_)) return false;
  const std::int64_t rest = transaction.final_capture() ? remainder(*payment_) : 0;
  if (rest > 0) {
    change_.transactions_created.push_back(release(transaction, rest, now));
    if (!book(change_.transactions_created.back(), *payment_)) return false;
  }
  set_status(transaction);
  return true;
}

void PaymentEdit::set_status(const pb::PaymentTransaction& transaction) {
  if (transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) return;
  // The void of an OPEN payment releases nothing, but closes it.
  const bool closed = transaction.kind() == pb::TRANSACTION_KIND_VOID &&
                      payment_->captured().amount_minor() == 0 && remainder(*payment_) == 0;
  payment_->set_status(closed ? pb::PAYMENT_STATUS_VOIDED : status_of_sums(*payment_));
}

Change PaymentEdit::done(Micros now, const std::string& reason) {
  // Nobody reports on an external payment, so the one cause for attention that it can have is a
  // transaction that waits to be confirmed, which `derive` sees. The causes that a payment at a
  // gateway can have are not all to be seen in it, so there an attention stays.
  if (payment_->gateway_account() == kExternal) payment_->set_attention(false);
  derive(*payment_);
  for (const auto* transactions : {&change_.transactions_updated, &change_.transactions_created}) {
    follow_transactions(*transactions, *change_.after);
  }
  change_.payments_changed = true;
  change_.schedule.push_back(schedule_of(*payment_, now));
  hasten(*change_.after, *payment_, now, change_.schedule.back());
  auto& event = *change_.events.emplace_back().mutable_payment_changed();
  *event.mutable_before() = before_;
  *event.mutable_after() = *payment_;
  for (const auto* transactions : {&change_.transactions_updated, &change_.transactions_created}) {
    for (const auto& transaction : *transactions) *event.add_transactions() = transaction;
  }
  event.set_reason(reason);
  return std::move(change_);
}

}  // namespace orderd::rules
