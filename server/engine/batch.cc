#include "server/engine/batch.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/failpoint.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/orders/payments.h"

namespace orderd::engine {
namespace {

void set_time(google::protobuf::Timestamp& stamp, Micros time) {
  stamp.set_seconds(time / 1'000'000);
  stamp.set_nanos(static_cast<int>(time % 1'000'000) * 1000);
}

std::vector<Claim> claims_of(const pb::Order& order) {
  std::vector<Claim> claims;
  claims.push_back({ClaimKind::kOrderNumber, order.order_number()});
  if (!order.invoice_number().empty()) {
    claims.push_back({ClaimKind::kInvoiceNumber, order.invoice_number()});
  }
  for (const pb::Payment& payment : order.payments()) {
    claims.push_back({ClaimKind::kPaymentReference,
                      payment_claim(payment.gateway_account(), payment.gateway_reference())});
  }
  std::sort(claims.begin(), claims.end());
  return claims;
}

/// What watchers filter by.
std::string facts_of(const pb::Order* before, const pb::Order& after) {
  internal::ChangeFacts facts;
  facts.set_state_id(after.state_id());
  *facts.mutable_labels() = after.labels();
  if (before == nullptr) {
    facts.set_created(true);
  } else if (before->state_id() != after.state_id() ||
             !rules::same_labels(before->labels(), after.labels())) {
    facts.mutable_before()->set_state_id(before->state_id());
    *facts.mutable_before()->mutable_labels() = before->labels();
  }
  return facts.SerializeAsString();
}

bool differs_in_state(const pb::Order& a, const pb::Order& b) {
  return a.state_id() != b.state_id() || a.has_cancellation() != b.has_cancellation() ||
         a.cancellation().SerializeAsString() != b.cancellation().SerializeAsString();
}

}  // namespace

Batch::Batch(storage::WriteTransaction& tx, OrderCache& cache, const Settings& settings, Micros now,
             std::span<const Command* const> commands)
    : tx_(tx), cache_(cache), settings_(settings), now_(now), commands_(commands) {
  changes_.batch_key = Uuid::generate();
  changes_.now = now;
}

Batch::Outcome Batch::execute(storage::LockMode mode) {
  lock_and_load(mode);
  results_.reserve(commands_.size());
  for (const Command* command : commands_) results_.push_back(run(*command));
  if (feed_.empty()) {
    const bool stale = judged_ && tx_.settings_version() != settings_.version;
    return stale ? Outcome::kSettingsChanged : Outcome::kNothing;
  }
  collect_changes();
  return save_and_commit() ? Outcome::kCommitted : Outcome::kSettingsChanged;
}

Batch::Result Batch::run(const Command& command) {
  if (is_contended(command)) return {true, Answer{}};
  if (auto replayed = replay(command)) return {false, std::move(*replayed)};

  rules::Target target;
  OrderPtr before;
  if (!command.creates) {
    const auto it = orders_.find(command.order_id);
    if (it == orders_.end()) return {false, errors::order_not_found(command.order_id_text)};
    before = it->second.current();
    target.order = &*before->order;
    if (!command.expected_etag.empty() && command.expected_etag != before->order->etag()) {
      return {false, errors::etag_mismatch(before->order->etag())};
    }
  }
  target.note = find(notes_, command.order_id, command.note_id);
  target.transaction = find(transactions_, command.order_id, command.transaction_id);
  target.email = find(emails_, command.order_id, command.email_id);
  if (command.wants_ledger) target.ledger = ledger_of(command.order_id);
  if (command.wants_records) show_records(command.order_id, target);
  for (const Claim& claim : command.claims) target.holders.push_back(claims_[claim].current);

  judged_ = true;
  auto change = command.rule(target, {now_, &command.actor, &settings_});
  if (!change.ok()) return {false, change.status()};
  if (change->after && !command.validate_only) return {false, apply(command, std::move(*change))};

  Answer answer;
  answer.changed = change->after.has_value();
  answer.imported_before = change->imported_before.has_value();
  answer.order_id = change->imported_before.value_or(command.order_id);
  answer.order = before;
  if (before != nullptr) answer.etag = before->order->etag();
  answer_things(command.order_id, change->outcome, answer);
  if (!change->transactions_created.empty()) {
    answer.transaction = std::move(change->transactions_created.front());
  }
  answer.outcome = std::move(change->outcome);
  return {false, std::move(answer)};
}

bool Batch::is_contended(const Command& command) const {
  if (!command.creates && contended_.contains(command.order_id)) return true;
  // The retry of a creation is answered with the order that it made.
  if (!command.request) return false;
  const auto it = requests_.find(*command.request);
  return it != requests_.end() && contended_.contains(it->second.order_id);
}

std::optional<absl::StatusOr<Answer>> Batch::replay(const Command& command) {
  if (!command.request) return std::nullopt;
  const auto it = requests_.find(*command.request);
  if (it == requests_.end()) return std::nullopt;
  const RequestRecord& record = it->second;
  if (record.body_hash != command.body_hash) return errors::request_id_reused(command.request_id);

  Answer answer;
  answer.order = orders_[record.order_id].current();
  answer.order_id = record.order_id;
  answer.etag = std::to_string(record.version);
  answer.outcome = record.outcome;
  answer_things(record.order_id, record.outcome, answer);
  answer.changed = true;
  answer.replayed = true;
  return answer;
}

Answer Batch::apply(const Command& command, rules::Change change) {
  OrderDraft& draft = orders_[command.order_id];
  const OrderPtr before = draft.current();

  auto after = std::make_shared<StoredOrder>();
  after->id = command.order_id;
  after->version = before == nullptr ? 1 : before->version + 1;
  after->order = std::move(change.after);
  after->order->set_etag(std::to_string(after->version));
  set_time(*after->order->mutable_update_time(), now_);

  move_claims(after->id, before == nullptr ? nullptr : &*before->order, after->order,
              change.import_digest);
  write_notes(after->id, change);
  write_transactions(after->id, change);
  write_schedule(*after, change);
  write_emails(*after, change);
  write_records(after->id, change);
  write_events(command, *after, change);
  feed_.push_back({after->id, after->version,
                   facts_of(before == nullptr ? nullptr : &*before->order, after->order)});
  if (command.request) {
    RequestRecord record{*command.request, command.body_hash, after->id,
                         after->version,   change.outcome,    command.keep_request};
    changes_.requests.push_back(record);
    requests_.emplace(record.key, std::move(record));
  }
  draft.customer_changed |= change.customer_changed;
  draft.labels_changed |= change.labels_changed;
  draft.shipments_changed |= change.shipments_changed;
  draft.payments_changed |= change.payments_changed;
  draft.changed = after;

  Answer answer;
  answer.order = after;
  answer.order_id = after->id;
  answer.etag = after->order->etag();
  answer_things(after->id, change.outcome, answer);
  answer.outcome = std::move(change.outcome);
  answer.changed = true;
  return answer;
}

void Batch::write_transactions(const Uuid& order_id, rules::Change& change) {
  const auto draft = [&](const pb::PaymentTransaction& transaction) -> auto& {
    return transactions_[{order_id, Uuid::parse(transaction.transaction_id()).value()}];
  };
  for (pb::PaymentTransaction& transaction : change.transactions_created) {
    auto& created = draft(transaction);
    created.touched = true;
    created.current = std::move(transaction);
  }
  for (pb::PaymentTransaction& transaction : change.transactions_updated) {
    auto& updated = draft(transaction);
    // One that the batch neither loaded nor made is in the database all the same.
    if (!updated.touched && !updated.stored) updated.stored = transaction;
    updated.touched = true;
    updated.current = std::move(transaction);
  }
}

void Batch::write_schedule(const StoredOrder& order, rules::Change& change) {
  for (PaymentSchedule& schedule : change.schedule) {
    const pb::Payment* payment = rules::find_payment(order.order, schedule.payment_id);
    if (payment == nullptr) continue;
    const std::pair key(order.id, schedule.payment_id);
    schedule_[key] = {order.id, payment->gateway_account(), std::move(schedule)};
  }
}

void Batch::write_notes(const Uuid& order_id, rules::Change& change) {
  const auto draft = [&](const std::string& note_id) -> Draft<pb::Note>& {
    auto& found = notes_[{order_id, Uuid::parse(note_id).value()}];
    found.touched = true;
    return found;
  };
  for (const pb::Note& note : change.notes_created) draft(note.note_id()).current = note;
  if (change.note_updated) draft(change.note_updated->note_id()).current = *change.note_updated;
  if (change.note_deleted) draft(*change.note_deleted).current.reset();
}

void Batch::write_emails(const StoredOrder& order, rules::Change& change) {
  const auto key = [&](const pb::Email& email) {
    return storage::EmailKey{order.id, Uuid::parse(email.email_id()).value()};
  };
  for (pb::Email& email : change.emails_created) {
    snapshots_[key(email)] = order.order->SerializeAsString();
    auto& draft = emails_[key(email)];
    draft.touched = true;
    draft.current = std::move(email);
  }
  if (change.email_updated) {
    auto& draft = emails_[key(*change.email_updated)];
    draft.touched = true;
    draft.current = std::move(change.email_updated);
  }
}

void Batch::write_events(const Command& command, const StoredOrder& order, rules::Change& change) {
  int index = 0;
  for (pb::OrderEvent& event : change.events) {
    event.set_order_id(order.order->order_id());
    event.set_etag(order.order->etag());
    event.set_actor(command.actor);
    event.set_request_id(command.request_id);
    set_time(*event.mutable_event_time(), now_);
    changes_.events.push_back({order.id, order.version, index++,
                               static_cast<int>(event.payload_case()), now_,
                               event.SerializeAsString()});
  }
}

void Batch::move_claims(const Uuid& order_id, const pb::Order* before, const pb::Order& after,
                        const std::string& import_digest) {
  const std::vector<Claim> had = before == nullptr ? std::vector<Claim>{} : claims_of(*before);
  const std::vector<Claim> has = claims_of(after);
  for (const Claim& claim : had) {
    if (std::binary_search(has.begin(), has.end(), claim)) continue;
    Draft<ClaimHolder>& draft = claims_[claim];
    if (!draft.touched) draft.stored = ClaimHolder{order_id, {}};  // its order is locked
    draft.touched = true;
    draft.current.reset();
  }
  for (const Claim& claim : has) {
    if (std::binary_search(had.begin(), had.end(), claim)) continue;
    Draft<ClaimHolder>& draft = claims_[claim];
    draft.touched = true;
    draft.current = ClaimHolder{
        order_id, claim.kind == ClaimKind::kOrderNumber ? import_digest : std::string()};
  }
}

void Batch::answer_things(const Uuid& order_id, const internal::Outcome& outcome,
                          Answer& answer) const {
  const auto copy = [](const auto* thing) {
    return thing == nullptr ? std::nullopt : std::optional(*thing);
  };
  answer.note = copy(find(notes_, order_id, Uuid::parse(outcome.note_id())));
  answer.transaction = copy(find(transactions_, order_id, Uuid::parse(outcome.transaction_id())));
  answer.email = copy(find(emails_, order_id, Uuid::parse(outcome.email_id())));
}

std::vector<pb::PaymentTransaction> Batch::ledger_of(const Uuid& order_id) const {
  // Ids sort by time of creation.
  std::vector<pb::PaymentTransaction> ledger;
  for (auto it = transactions_.lower_bound({order_id, Uuid{}});
       it != transactions_.end() && it->first.order_id == order_id; ++it) {
    if (it->second.current) ledger.push_back(*it->second.current);
  }
  return ledger;
}

void Batch::collect_changes() {
  changes_.states_updated = false;
  for (const auto& [id, draft] : orders_) {
    if (!draft.changed) continue;
    (draft.loaded == nullptr ? changes_.created : changes_.updated).push_back(draft.changed.get());
    if (draft.loaded == nullptr) continue;
    changes_.states_updated |=
        draft.customer_changed || differs_in_state(draft.loaded->order, draft.changed->order);
    if (draft.customer_changed) changes_.customer_updated.push_back(draft.changed.get());
    if (draft.labels_changed) changes_.labels_updated.push_back(draft.changed.get());
    if (draft.shipments_changed) {
      changes_.shipments_updated.push_back({draft.loaded.get(), draft.changed.get()});
    }
    if (draft.payments_changed) {
      changes_.payments_updated.push_back({draft.loaded.get(), draft.changed.get()});
    }
  }
  const auto by_id = [](const StoredOrder* a, const StoredOrder* b) { return a->id < b->id; };
  for (auto* orders : {&changes_.created, &changes_.updated, &changes_.customer_updated,
                       &changes_.labels_updated}) {
    std::sort(orders->begin(), orders->end(), by_id);
  }
  for (auto* updates : {&changes_.shipments_updated, &changes_.payments_updated}) {
    std::sort(updates->begin(), updates->end(),
              [&](const auto& a, const auto& b) { return by_id(a.after, b.after); });
  }

  for (auto& [key, draft] : notes_) {
    if (!draft.touched) continue;
    if (draft.current) {
      auto& rows = draft.stored ? changes_.notes_updated : changes_.notes_created;
      rows.push_back({key.order_id, *draft.current});
    } else if (draft.stored) {
      changes_.notes_deleted.push_back(key);
    }
  }
  for (auto& [key, draft] : transactions_) {
    if (!draft.touched) continue;
    auto& rows = draft.stored ? changes_.transactions_updated : changes_.transactions_created;
    rows.push_back({key.order_id, *draft.current});
  }
  for (auto& [key, draft] : emails_) {
    if (!draft.touched) continue;
    if (draft.stored) {
      changes_.emails_updated.push_back({key.order_id, *draft.current, {}});
    } else {
      changes_.emails_created.push_back({key.order_id, *draft.current, std::move(snapshots_[key])});
    }
  }
  changes_.snapshots_erased.assign(snapshots_erased_.begin(), snapshots_erased_.end());
  for (const auto& [order_id, place] : history_erased_) {
    changes_.events_updated.push_back(std::move(histories_[order_id][place]));
  }
  for (auto& [key, row] : schedule_) changes_.schedule.push_back(std::move(row));
  for (auto& [claim, draft] : claims_) {
    if (!draft.touched) continue;
    const bool moved = draft.stored.has_value() != draft.current.has_value() ||
                       (draft.stored && draft.stored->order_id != draft.current->order_id);
    if (!moved) continue;
    if (draft.stored) changes_.claims_released.push_back(claim);
    if (draft.current) changes_.claims_taken.emplace(claim, *draft.current);
  }
}

bool Batch::save_and_commit() {
  tx_.save(changes_);
  const auto positions =
      tx_.take_positions(static_cast<int>(feed_.size()), settings_.version, now_);
  if (!positions) return false;
  if (positions->time != now_) {
    std::vector<Uuid> ids;
    for (auto& [id, draft] : orders_) {
      if (!draft.changed) continue;
      ids.push_back(id);
      set_time(*draft.changed->order->mutable_update_time(), positions->time);
    }
    std::sort(ids.begin(), ids.end());
    tx_.restamp(ids, positions->time);
  }
  tx_.append_feed(positions->first, feed_);
  first_position_ = positions->first;
  if (disturbed("before_commit")) {
    throw storage::Error(storage::Error::Kind::kConflict, "a failpoint");
  }
  tx_.commit();
  return true;
}

std::vector<storage::FeedChange> Batch::take_changes() {
  std::vector<storage::FeedChange> changes;
  changes.reserve(feed_.size());
  auto event = changes_.events.begin();
  for (storage::FeedRow& row : feed_) {
    auto& change = changes.emplace_back();
    change.position = first_position_ + static_cast<std::int64_t>(changes.size()) - 1;
    change.order_id = row.order_id;
    change.version = row.version;
    change.facts = std::move(row.facts);
    // Both were written in the order of the commands.
    for (; event != changes_.events.end() && event->order_id == change.order_id &&
           event->version == change.version;
         ++event) {
      change.events.push_back({event->type, std::move(event->event)});
    }
  }
  return changes;
}

std::vector<OrderPtr> Batch::changed_orders() const {
  std::vector<OrderPtr> orders;
  for (const auto& [id, draft] : orders_) {
    if (draft.changed) orders.push_back(draft.changed);
  }
  return orders;
}

}  // namespace orderd::engine
