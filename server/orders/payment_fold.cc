#include "server/orders/payment_fold.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"

namespace orderd::rules {
namespace {

using google::protobuf::util::TimeUtil;
using payments::GatewayMovement;

constexpr Micros kMinute = 60'000'000;
constexpr Micros kHour = 60 * kMinute;
constexpr Micros kKeyMargin = kHour;
/// Between the two readings that say that an attempt was not applied.
constexpr Micros kMissingFor = 10 * kMinute;
/// 9999-12-31T23:59:59.999999Z
constexpr Micros kLastTime = 253'402'300'799'999'999;

constexpr std::size_t kAuthorized = 0;
constexpr std::size_t kCaptured = 1;
constexpr std::size_t kRefunded = 2;
constexpr std::size_t kVoided = 3;

/// The sum to which transactions of a kind count, if there is one.
std::optional<std::size_t> sum_of(pb::TransactionKind kind) {
  switch (kind) {
    case pb::TRANSACTION_KIND_AUTHORIZATION:
      return kAuthorized;
    case pb::TRANSACTION_KIND_CAPTURE:
      return kCaptured;
    case pb::TRANSACTION_KIND_REFUND:
      return kRefunded;
    case pb::TRANSACTION_KIND_VOID:
    case pb::TRANSACTION_KIND_EXPIRY:
      return kVoided;
    default:
      return std::nullopt;
  }
}

/// What an ADJUSTMENT of a sum has as its reason.
constexpr std::array<std::string_view, 4> kSumNames = {"AUTHORIZED", "CAPTURED", "REFUNDED",
                                                       "VOIDED"};

bool is_movement_kind(pb::TransactionKind kind) {
  return sum_of(kind) || kind == pb::TRANSACTION_KIND_CHARGEBACK ||
         kind == pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL;
}

}  // namespace

bool too_old_to_send(const pb::PaymentTransaction& transaction,
                     const pb::GatewayCapabilities& capabilities, Micros now) {
  const Micros lifetime = TimeUtil::DurationToMicroseconds(capabilities.key_lifetime());
  return now - to_micros(transaction.create_time()) >= std::max<Micros>(0, lifetime - kKeyMargin);
}

bool may_hide(const pb::PaymentTransaction& found, const pb::PaymentTransaction& attempt) {
  const auto sum = sum_of(attempt.kind());
  const bool of_sum = found.kind() == pb::TRANSACTION_KIND_ADJUSTMENT
                          ? sum && found.reason() == kSumNames[*sum]
                          : sum_of(found.kind()) == sum;
  return of_sum && found.foreign() && succeeded(found) &&
         to_micros(found.create_time()) >= to_micros(attempt.create_time());
}

PaymentFold::PaymentFold(const pb::Payment& before,
                         const std::vector<pb::PaymentTransaction>& ledger,
                         const payments::Reading& reading, const std::string& currency_code,
                         Micros now, std::function<std::string()> next_id)
    : reading_(reading),
      currency_code_(currency_code),
      now_(now),
      next_id_(std::move(next_id)),
      before_(before.SerializeAsString()),
      payment_(before) {
  for (const auto& transaction : ledger) {
    if (transaction.payment_id() == before.payment_id())
      entries_.push_back({.transaction = transaction});
  }
}

void PaymentFold::run() {
  read_movements();
  match_by_gateway_id();
  match_by_attempt();
  match_by_amount();
  match_nameless();
  add_up();
  book_foreign();
  for (std::size_t sum = 0; sum < kSums; ++sum) book_rest(sum);
  for (std::size_t sum = 0; sum < kSums; ++sum) adjust(sum);
  find_missing();
  take_over_payment();
}

/// Each movement once. What can't be one is left out and sets `discrepancy`.
void PaymentFold::read_movements() {
  std::map<Name, std::size_t> known;
  for (const GatewayMovement& movement : reading_.movements) {
    const bool sound = movement.amount_minor >= 0 && is_movement_kind(movement.kind) &&
                       (movement.status == pb::TRANSACTION_STATUS_PENDING ||
                        movement.status == pb::TRANSACTION_STATUS_SUCCEEDED ||
                        movement.status == pb::TRANSACTION_STATUS_FAILED);
    if (!sound) {
      discrepancy_ = true;
      continue;
    }
    if (!movement.gateway_transaction_id.empty()) {
      const auto [it, is_new] =
          known.emplace(Name(movement.kind, movement.gateway_transaction_id), movements_.size());
      if (!is_new) {
        movements_[it->second].reported = &movement;
        continue;
      }
    }
    movements_.push_back({&movement});
  }
  for (const Movement& movement : movements_) {
    const auto sum = sum_of(movement.reported->kind);
    if (sum && movement.reported->status == pb::TRANSACTION_STATUS_SUCCEEDED) {
      sums_[*sum].listed += movement.reported->amount_minor;
    }
  }
  sums_[kAuthorized].reported = reading_.authorized_minor;
  sums_[kCaptured].reported = reading_.captured_minor;
  sums_[kRefunded].reported = reading_.refunded_minor;
  sums_[kVoided].reported = reading_.voided_minor;
}

void PaymentFold::add_up() {
  for (const Entry& entry : entries_) {
    const auto& transaction = entry.transaction;
    if (!succeeded(transaction)) continue;
    const Wide amount = transaction.amount().amount_minor();
    if (const auto sum = sum_of(transaction.kind())) {
      sums_[*sum].booked += amount;
      const bool has_id = !transaction.gateway_transaction_id().empty();
      if (has_id && !entry.claimed) sums_[*sum].unlisted += amount;
    } else if (transaction.kind() == pb::TRANSACTION_KIND_ADJUSTMENT) {
      for (std::size_t i = 0; i < kSums; ++i) {
        if (transaction.reason() == kSumNames[i]) sums_[i].adjusted += amount;
      }
    }
  }
}

/// A movement that SUCCEEDED is booked as far as its sum goes beyond what is booked already: a
/// gateway that keeps one total may cut it into other movements, under other ids, each time.
void PaymentFold::book_foreign() {
  for (Movement& movement : movements_) {
    if (movement.matched) continue;
    const GatewayMovement& reported = *movement.reported;
    std::int64_t amount = reported.amount_minor;
    const auto sum = sum_of(reported.kind);
    if (sum && reported.status == pb::TRANSACTION_STATUS_SUCCEEDED) {
      Sum& of = sums_[*sum];
      // What is booked and not true: taken back by an ADJUSTMENT (unless that is for what the
      // gateway lists and leaves out of its sum), or missing among movements that are complete.
      const bool complete = of.listed == of.reported && *sum != kVoided;
      const Wide taken_back =
          -std::min<Wide>(0, of.adjusted - std::min<Wide>(0, of.reported - of.listed));
      const Wide untrue = std::max<Wide>(complete ? of.unlisted : 0, taken_back);
      const Wide room = std::max(of.reported, of.listed) - (of.booked - untrue);
      if (amount > 0 && room <= 0) continue;
      amount = static_cast<std::int64_t>(std::min<Wide>(amount, std::max<Wide>(room, 0)));
      of.booked += amount;
    }
    book(reported, amount);
    if (reported.kind == pb::TRANSACTION_KIND_CHARGEBACK &&
        reported.status != pb::TRANSACTION_STATUS_FAILED) {
      attention_ = true;
    }
  }
}

/// What the gateway's sum says beyond its movements.
void PaymentFold::book_rest(std::size_t sum) {
  constexpr std::array<pb::TransactionKind, kSums> kKinds = {
      pb::TRANSACTION_KIND_AUTHORIZATION, pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_KIND_REFUND,
      pb::TRANSACTION_KIND_VOID};
  Sum& of = sums_[sum];
  const Wide wide_rest = std::max(of.reported, of.listed) - of.booked;
  if (wide_rest <= 0) return;
  GatewayMovement rest;
  rest.kind = kKinds[sum];
  if (sum == kVoided && reading_.status == pb::PAYMENT_STATUS_EXPIRED) {
    rest.kind = pb::TRANSACTION_KIND_EXPIRY;
  }
  rest.status = pb::TRANSACTION_STATUS_SUCCEEDED;
  rest.amount_minor = money(wide_rest).amount_minor();
  rest.time = now_;
  of.booked += rest.amount_minor;

  if (!reading_.capabilities.lookup_by_attempt()) {
    Movement movement{&rest};
    if (Entry* entry = likely_attempt(rest)) return match(*entry, movement);
    // Or several of ours together.
    std::vector<Entry*> attempts;
    Wide total = 0;
    for (Entry& entry : entries_) {
      const auto& transaction = entry.transaction;
      if (entry.claimed || transaction.foreign() || !is_open(transaction)) continue;
      if (transaction.kind() != rest.kind) continue;
      attempts.push_back(&entry);
      total += transaction.amount().amount_minor();
    }
    if (!attempts.empty() && total == wide_rest) {
      for (Entry* entry : attempts) {
        rest.amount_minor = entry->transaction.amount().amount_minor();
        match(*entry, movement);
      }
      return;
    }
  }
  book(rest, rest.amount_minor);
}

/// What is booked and the gateway does not count, or counts again.
void PaymentFold::adjust(std::size_t sum) {
  const Sum& of = sums_[sum];
  const Wide difference = of.reported - (of.booked + of.adjusted);
  if (difference == 0) return;
  GatewayMovement adjustment;
  adjustment.kind = pb::TRANSACTION_KIND_ADJUSTMENT;
  adjustment.status = pb::TRANSACTION_STATUS_SUCCEEDED;
  adjustment.time = now_;
  book(adjustment, money(difference).amount_minor()).set_reason(std::string(kSumNames[sum]));
  attention_ = true;
}

pb::PaymentTransaction& PaymentFold::book(const GatewayMovement& movement,
                                          std::int64_t amount_minor) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(next_id_());
  transaction.set_payment_id(payment_.payment_id());
  transaction.set_kind(movement.kind);
  transaction.set_status(movement.status);
  *transaction.mutable_amount() = money(amount_minor);
  transaction.set_gateway_transaction_id(movement.gateway_transaction_id);
  *transaction.mutable_create_time() = to_timestamp(now_);
  if (succeeded(transaction)) {
    *transaction.mutable_complete_time() = to_timestamp(plausible(movement.time));
  }
  if (movement.status == pb::TRANSACTION_STATUS_FAILED) {
    transaction.set_reason(failure(movement));
  }
  if (const Entry* capture = releasing_capture(movement)) {
    transaction.set_released_by(capture->transaction.transaction_id());
    transaction.set_actor(capture->transaction.actor());
    transaction.set_request_id(capture->transaction.request_id());
  } else {
    transaction.set_foreign(true);
  }
  entries_.push_back(
      {.transaction = std::move(transaction), .created = true, .changed = false, .claimed = true});
  return entries_.back().transaction;
}

/// Only UNKNOWN attempts: what is PENDING has been accepted, and its absence is no evidence.
void PaymentFold::find_missing() {
  const bool by_attempt = reading_.capabilities.lookup_by_attempt();
  for (Entry& entry : entries_) {
    auto& transaction = entry.transaction;
    if (entry.claimed || transaction.foreign() ||
        transaction.status() != pb::TRANSACTION_STATUS_UNKNOWN) {
      continue;
    }
    if (!too_old_to_send(transaction, reading_.capabilities, now_)) continue;
    if (!by_attempt && sum_has_moved_since(transaction)) continue;
    if (!transaction.has_missing_time()) {
      *transaction.mutable_missing_time() = to_timestamp(now_);
      entry.changed = true;
    } else if (now_ - to_micros(transaction.missing_time()) >= kMissingFor) {
      transaction.set_status(pb::TRANSACTION_STATUS_FAILED);
      transaction.set_reason("NOT_APPLIED");
      entry.changed = true;
    }
  }
}

bool PaymentFold::sum_has_moved_since(const pb::PaymentTransaction& attempt) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return may_hide(entry.transaction, attempt); });
}

void PaymentFold::take_over_payment() {
  // Of an order without a currency no payment is read: its amounts would have no currency either.
  *payment_.mutable_authorized() = money(reading_.authorized_minor);
  *payment_.mutable_captured() = money(reading_.captured_minor);
  *payment_.mutable_refunded() = money(reading_.refunded_minor);
  *payment_.mutable_voided() = money(reading_.voided_minor);
  if (pb::PaymentStatus_IsValid(reading_.status) &&
      reading_.status != pb::PAYMENT_STATUS_UNSPECIFIED &&
      reading_.status != pb::PAYMENT_STATUS_UNSYNCED) {
    payment_.set_status(reading_.status);
  } else {
    discrepancy_ = true;
  }
  payment_.clear_expire_time();
  // One that can't be is not known; now in its place would be another one with each reading.
  if (reading_.expire_time && *reading_.expire_time > 0 && *reading_.expire_time <= kLastTime) {
    *payment_.mutable_expire_time() = to_timestamp(*reading_.expire_time);
  }
  *payment_.mutable_capabilities() = reading_.capabilities;

  payment_.clear_open_transactions();
  int captures = 0;
  bool written = false;
  for (const Entry& entry : entries_) {
    const auto& transaction = entry.transaction;
    if (is_open(transaction)) *payment_.add_open_transactions() = transaction;
    if (succeeded(transaction) && transaction.kind() == pb::TRANSACTION_KIND_CAPTURE) ++captures;
    written |= entry.created || entry.changed;
  }
  std::stable_sort(
      payment_.mutable_open_transactions()->begin(), payment_.mutable_open_transactions()->end(),
      [](const auto& a, const auto& b) { return a.transaction_id() < b.transaction_id(); });
  payment_.set_capture_count(captures);
  if (written) payment_.set_revision(payment_.revision() + 1);
  if (attention_) payment_.set_attention(true);
  payment_.set_discrepancy(discrepancy_);
  derive(payment_);
  changed_ = written || payment_.SerializeAsString() != before_;
}

std::vector<pb::PaymentTransaction> PaymentFold::created() const {
  std::vector<pb::PaymentTransaction> found;
  for (const Entry& entry : entries_) {
    if (entry.created) found.push_back(entry.transaction);
  }
  return found;
}

std::vector<pb::PaymentTransaction> PaymentFold::updated() const {
  std::vector<pb::PaymentTransaction> found;
  for (const Entry& entry : entries_) {
    if (entry.changed && !entry.created) found.push_back(entry.transaction);
  }
  return found;
}

std::optional<Micros> PaymentFold::last_refund() const {
  std::optional<Micros> last;
  for (const Entry& entry : entries_) {
    const auto& transaction = entry.transaction;
    if (transaction.kind() != pb::TRANSACTION_KIND_REFUND || !succeeded(transaction)) continue;
    last = std::max(last.value_or(0), to_micros(transaction.complete_time()));
  }
  return last;
}

/// Amounts that do not fit are as large as can be, and the payment is marked.
pb::Money PaymentFold::money(Wide minor) {
  constexpr Wide kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  const Wide fitting = std::clamp(minor, kLeast, kMost);
  if (fitting != minor) discrepancy_ = true;
  return make_money(currency_code_, static_cast<std::int64_t>(fitting));
}

/// A gateway's time if it can be one, else now.
Micros PaymentFold::plausible(Micros time) const {
  return time > 0 && time <= kLastTime ? time : now_;
}

}  // namespace orderd::rules
