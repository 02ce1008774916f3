#include <algorithm>
#include <map>

#include "server/orders/fields.h"
#include "server/orders/payment_fold.h"

// Which movement of a reading is which transaction.

namespace orderd::rules {
namespace {

using payments::GatewayMovement;

/// How far a movement's time may be before the attempt that it is taken for. More than clocks
/// differ.
constexpr Micros kClockTolerance = 24LL * 60 * 60 * 1'000'000;

/// What tells most first, where several movements could be one attempt: SUCCEEDED, PENDING, FAILED.
int rank(const GatewayMovement& movement) {
  switch (movement.status) {
    case pb::TRANSACTION_STATUS_SUCCEEDED:
      return 0;
    case pb::TRANSACTION_STATUS_PENDING:
      return 1;
    default:
      return 2;
  }
}

}  // namespace

void PaymentFold::match_by_gateway_id() {
  std::map<Name, std::size_t> by_id;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& transaction = entries_[i].transaction;
    if (transaction.gateway_transaction_id().empty()) continue;
    by_id.emplace(Name{transaction.kind(), transaction.gateway_transaction_id()}, i);
  }
  for (Movement& movement : movements_) {
    const auto found = by_id.find(
        {movement.reported->kind, std::string_view(movement.reported->gateway_transaction_id)});
    if (found != by_id.end()) match(entries_[found->second], movement);
  }
}

void PaymentFold::match_by_attempt() {
  std::map<Name, std::size_t> by_attempt;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& transaction = entries_[i].transaction;
    if (transaction.foreign() || entries_[i].claimed) continue;
    by_attempt.emplace(Name{transaction.kind(), transaction.transaction_id()}, i);
    if (!transaction.released_by().empty()) {
      by_attempt.emplace(Name{transaction.kind(), transaction.released_by()}, i);
    }
  }
  for (int wanted = 0; wanted <= 2; ++wanted) {
    for (Movement& movement : movements_) {
      const GatewayMovement& reported = *movement.reported;
      if (movement.matched || reported.attempt_id.empty() || rank(reported) != wanted) continue;
      const auto found = by_attempt.find(Name(reported.kind, reported.attempt_id));
      if (found == by_attempt.end() || entries_[found->second].claimed) continue;
      match(entries_[found->second], movement);
    }
  }
}

/// Where movements do not say whose attempt they are, by what was attempted. A movement of the same
/// amount can be somebody else's. If it moved money no sum suffers, but an attempt under way must
/// not end as FAILED for it: a failure is only taken for that of an attempt which was accepted.
void PaymentFold::match_by_amount() {
  if (reading_.capabilities.lookup_by_attempt()) return;
  for (int wanted = 0; wanted <= 2; ++wanted) {
    for (Movement& movement : movements_) {
      if (movement.matched || rank(*movement.reported) != wanted) continue;
      if (Entry* entry = likely_attempt(*movement.reported)) match(*entry, movement);
    }
  }
}

/// A movement without an id is the transaction without one that looks the same, if there is one.
void PaymentFold::match_nameless() {
  for (Movement& movement : movements_) {
    const GatewayMovement& reported = *movement.reported;
    if (movement.matched || !reported.gateway_transaction_id.empty()) continue;
    Entry* same = find_unclaimed([&](const pb::PaymentTransaction& transaction) {
      return transaction.gateway_transaction_id().empty() && transaction.kind() == reported.kind &&
             transaction.status() == reported.status &&
             transaction.amount().amount_minor() == reported.amount_minor;
    });
    // One that was PENDING and is not any more.
    if (same == nullptr) {
      same = find_unclaimed([&](const pb::PaymentTransaction& transaction) {
        return transaction.foreign() && is_open(transaction) &&
               transaction.gateway_transaction_id().empty() &&
               transaction.kind() == reported.kind &&
               transaction.amount().amount_minor() == reported.amount_minor;
      });
    }
    if (same != nullptr) match(*same, movement);
  }
}

PaymentFold::Entry* PaymentFold::find_unclaimed(
    const std::function<bool(const pb::PaymentTransaction&)>& accepts) {
  for (Entry& entry : entries_) {
    if (!entry.claimed && accepts(entry.transaction)) return &entry;
  }
  return nullptr;
}

PaymentFold::Entry* PaymentFold::likely_attempt(const GatewayMovement& movement) {
  const bool failed = movement.status == pb::TRANSACTION_STATUS_FAILED;
  const auto could_be = [&](const pb::PaymentTransaction& transaction) {
    if (failed && (transaction.status() != pb::TRANSACTION_STATUS_PENDING ||
                   !transaction.gateway_transaction_id().empty())) {
      return false;
    }
    return !transaction.foreign() && is_open(transaction) && transaction.kind() == movement.kind &&
           (transaction.gateway_transaction_id().empty() ||
            movement.gateway_transaction_id.empty()) &&
           (movement.time <= 0 ||
            movement.time >= to_micros(transaction.create_time()) - kClockTolerance);
  };
  Entry* found = find_unclaimed([&](const pb::PaymentTransaction& transaction) {
    return could_be(transaction) && transaction.amount().amount_minor() == movement.amount_minor;
  });
  // A void releases what is left when it arrives, which can be less than was expected.
  if (found == nullptr && movement.kind == pb::TRANSACTION_KIND_VOID &&
      releasing_capture(movement) == nullptr) {
    found = find_unclaimed(could_be);
  }
  return found;
}

void PaymentFold::match(Entry& entry, Movement& movement) {
  const GatewayMovement& reported = *movement.reported;
  pb::PaymentTransaction& transaction = entry.transaction;
  movement.matched = true;
  entry.claimed = true;
  const pb::TransactionStatus before = transaction.status();
  const bool was_open = is_open(transaction);
  if (!was_open && before == reported.status) return;

  const bool failed = reported.status == pb::TRANSACTION_STATUS_FAILED;
  if (!was_open || (failed && before == pb::TRANSACTION_STATUS_PENDING)) attention_ = true;
  const std::string bytes_before = transaction.SerializeAsString();
  transaction.set_status(reported.status);
  // What was final keeps its amount when it turns out to have failed.
  if (was_open || !failed) *transaction.mutable_amount() = money(reported.amount_minor);
  if (!reported.gateway_transaction_id.empty()) {
    transaction.set_gateway_transaction_id(reported.gateway_transaction_id);
  }
  transaction.clear_reason();
  if (failed) transaction.set_reason(failure(reported));
  transaction.clear_complete_time();
  if (succeeded(transaction)) {
    *transaction.mutable_complete_time() = to_timestamp(plausible(reported.time));
  }
  transaction.clear_missing_time();
  if (transaction.SerializeAsString() != bytes_before) entry.changed = true;
}

const PaymentFold::Entry* PaymentFold::releasing_capture(const GatewayMovement& movement) const {
  if (movement.kind != pb::TRANSACTION_KIND_VOID) return nullptr;
  const auto has_release = [&](const pb::PaymentTransaction& capture) {
    return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.transaction.released_by() == capture.transaction_id();
    });
  };
  for (const Entry& entry : entries_) {
    const auto& transaction = entry.transaction;
    if (transaction.kind() != pb::TRANSACTION_KIND_CAPTURE || transaction.foreign()) continue;
    if (!succeeded(transaction) || has_release(transaction)) continue;
    // Without attempts it is the one that was to release the rest.
    const bool is_it = reading_.capabilities.lookup_by_attempt() || !movement.attempt_id.empty()
                           ? transaction.transaction_id() == movement.attempt_id
                           : transaction.final_capture();
    if (is_it) return &entry;
  }
  return nullptr;
}

}  // namespace orderd::rules
