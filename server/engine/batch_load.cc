#include <algorithm>
#include <utility>

#include "server/engine/batch.h"

// What a batch locks and reads before its rules run.

namespace orderd::engine {
namespace {

template <typename Value>
std::vector<Value> sorted_unique(std::vector<Value> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace

void Batch::lock_and_load(storage::LockMode mode) {
  std::vector<Uuid> ids;
  std::vector<RequestKey> keys;
  std::vector<Claim> claims;
  std::vector<storage::NoteKey> notes;
  std::vector<storage::TransactionKey> transactions;
  std::vector<storage::EmailKey> emails;
  for (const Command* command : commands_) {
    if (!command->creates) ids.push_back(command->order_id);
    if (command->request) keys.push_back(*command->request);
    claims.insert(claims.end(), command->claims.begin(), command->claims.end());
    if (command->note_id) notes.push_back({command->order_id, *command->note_id});
    if (command->transaction_id) {
      transactions.push_back({command->order_id, *command->transaction_id});
    }
    if (command->email_id) emails.push_back({command->order_id, *command->email_id});
  }

  // The locks come first: what is read after them can't change any more.
  ids = sorted_unique(std::move(ids));
  std::vector<storage::OrderVersion> locked;
  if (!ids.empty()) locked = tx_.lock_orders(ids, mode);
  if (mode == storage::LockMode::kSkipLocked && locked.size() < ids.size()) {
    note_contended(ids, locked);
  }

  if (!keys.empty()) {
    std::vector<Uuid> replayed;
    for (RequestRecord& record : tx_.find_requests(sorted_unique(std::move(keys)))) {
      if (!std::binary_search(ids.begin(), ids.end(), record.order_id)) {
        replayed.push_back(record.order_id);  // a creation is answered with the order it made
      }
      if (const auto note_id = Uuid::parse(record.outcome.note_id())) {
        notes.push_back({record.order_id, *note_id});
      }
      if (const auto transaction_id = Uuid::parse(record.outcome.transaction_id())) {
        transactions.push_back({record.order_id, *transaction_id});
      }
      if (const auto email_id = Uuid::parse(record.outcome.email_id())) {
        emails.push_back({record.order_id, *email_id});
      }
      requests_.emplace(record.key, std::move(record));
    }
    if (!replayed.empty()) {
      replayed = sorted_unique(std::move(replayed));
      const auto more = tx_.lock_orders(replayed, mode);
      locked.insert(locked.end(), more.begin(), more.end());
      if (more.size() < replayed.size()) note_contended(replayed, more);
    }
  }
  load_orders(std::move(locked));

  if (!claims.empty()) {
    claims = sorted_unique(std::move(claims));
    for (const Claim& claim : claims) claims_[claim];
    for (auto& [claim, holder] : tx_.find_claims(claims)) {
      claims_[claim] = {.stored = holder, .current = holder, .touched = false};
    }
  }
  if (!notes.empty()) {
    for (auto& [key, note] : tx_.load_notes(sorted_unique(std::move(notes)))) {
      notes_[key] = {.stored = note, .current = note, .touched = false};
    }
  }
  load_transactions(std::move(transactions));
  load_records();
  if (!emails.empty()) {
    for (auto& [key, email] : tx_.load_emails(sorted_unique(std::move(emails)))) {
      emails_[key] = {.stored = email, .current = email, .touched = false};
    }
  }
}

void Batch::load_transactions(std::vector<storage::TransactionKey> keys) {
  const auto add = [this](const storage::TransactionKey& key, pb::PaymentTransaction transaction) {
    transactions_[key] = {.stored = transaction, .current = transaction, .touched = false};
  };
  if (!keys.empty()) {
    for (auto& [key, transaction] : tx_.load_transactions(sorted_unique(std::move(keys)))) {
      add(key, std::move(transaction));
    }
  }
  std::vector<Uuid> orders;
  for (const Command* command : commands_) {
    if (command->wants_ledger) orders.push_back(command->order_id);
  }
  if (orders.empty()) return;
  for (auto& [order_id, transaction] : tx_.load_ledgers(orders)) {
    const Uuid id = Uuid::parse(transaction.transaction_id()).value();
    add({order_id, id}, std::move(transaction));
  }
}

void Batch::note_contended(const std::vector<Uuid>& wanted,
                           const std::vector<storage::OrderVersion>& locked) {
  std::set<Uuid> others;
  for (const storage::OrderVersion& order : tx_.versions(wanted)) others.insert(order.id);
  for (const storage::OrderVersion& order : locked) others.erase(order.id);
  contended_.merge(others);
}

void Batch::load_orders(std::vector<storage::OrderVersion> locked) {
  std::vector<Uuid> missing;
  for (const storage::OrderVersion& order : locked) {
    OrderPtr cached = cache_.find(order.id, order.version);
    if (cached == nullptr) missing.push_back(order.id);
    orders_[order.id].loaded = std::move(cached);
  }
  if (missing.empty()) return;
  for (OrderPtr& order : tx_.load_orders(sorted_unique(std::move(missing)))) {
    cache_.put(order);
    orders_[order->id].loaded = std::move(order);
  }
}

}  // namespace orderd::engine
