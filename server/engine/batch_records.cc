#include <algorithm>
#include <utility>

#include "server/engine/batch.h"

// Commands that see, and rewrite, what is kept of an order: its history, notes and e-mails.

namespace orderd::engine {
namespace {

pb::OrderEvent parsed(const storage::EventRow& row) {
  pb::OrderEvent event;
  if (!event.ParseFromString(row.event)) {
    throw storage::Error(storage::Error::Kind::kInternal, "an event can't be read");
  }
  return event;
}

/// The things of one order, oldest first: ids sort by time of creation.
template <typename Drafts, typename Thing>
void list_of(const Drafts& drafts, const Uuid& order_id, std::vector<Thing>& things) {
  for (auto it = drafts.lower_bound({order_id, Uuid{}});
       it != drafts.end() && it->first.order_id == order_id; ++it) {
    if (it->second.current) things.push_back(*it->second.current);
  }
}

}  // namespace

void Batch::load_records() {
  std::vector<Uuid> ids;
  for (const Command* command : commands_) {
    if (command->wants_records && orders_.contains(command->order_id)) {
      ids.push_back(command->order_id);
    }
  }
  if (ids.empty()) return;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  storage::OrderRecords records = tx_.load_records(ids);
  for (storage::EventRow& row : records.events) histories_[row.order_id].push_back(std::move(row));
  for (const storage::NoteRow& row : records.notes) {
    notes_[{row.order_id, Uuid::parse(row.note.note_id()).value()}] = {
        .stored = row.note, .current = row.note, .touched = false};
  }
  for (const storage::EmailRow& row : records.emails) {
    emails_[{row.order_id, Uuid::parse(row.email.email_id()).value()}] = {
        .stored = row.email, .current = row.email, .touched = false};
  }
}

void Batch::show_records(const Uuid& order_id, rules::Target& target) const {
  if (const auto it = histories_.find(order_id); it != histories_.end()) {
    for (const storage::EventRow& row : it->second) target.history.push_back(parsed(row));
  }
  // What earlier commands of the batch did comes behind.
  for (const storage::EventRow& row : changes_.events) {
    if (row.order_id == order_id) target.history.push_back(parsed(row));
  }
  list_of(notes_, order_id, target.notes);
  list_of(emails_, order_id, target.emails);
}

void Batch::write_records(const Uuid& order_id, rules::Change& change) {
  if (!change.erasure_id) return;
  changes_.erased_orders.push_back(
      {*change.erasure_id, order_id, {}, change.outcome.emails_erased()});

  // In the order in which the rule saw them.
  std::vector<storage::EventRow>& stored = histories_[order_id];
  std::vector<storage::EventRow*> pending;
  for (storage::EventRow& row : changes_.events) {
    if (row.order_id == order_id) pending.push_back(&row);
  }
  for (const auto& [place, event] : change.history_erased) {
    if (place < stored.size()) {
      stored[place].event = event.SerializeAsString();
      history_erased_.emplace(order_id, place);
    } else {
      pending.at(place - stored.size())->event = event.SerializeAsString();
    }
  }
  for (pb::Note& note : change.notes_erased) {
    auto& draft = notes_[{order_id, Uuid::parse(note.note_id()).value()}];
    draft.touched = true;
    draft.current = std::move(note);
  }
  for (pb::Email& email : change.emails_erased) {
    const storage::EmailKey key{order_id, Uuid::parse(email.email_id()).value()};
    auto& draft = emails_[key];
    draft.touched = true;
    draft.current = std::move(email);
    snapshots_[key].clear();
    snapshots_erased_.insert(key);
  }
}

}  // namespace orderd::engine
