#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/command.h"
#include "server/engine/order_cache.h"
#include "storage/storage.h"

namespace orderd::engine {

/// One try to execute a batch of commands in one transaction: lock and load, run each rule in queue
/// order (a later command sees what an earlier one did), save what differs, commit. It changes
/// nothing outside the database, so after a storage::Error the commands can be tried again.
class Batch {
 public:
  struct Result {
    /// Somebody else holds the command's order; only with LockMode::kSkipLocked.
    bool contended = false;
    absl::StatusOr<Answer> answer;
  };
  enum class Outcome {
    kCommitted,
    /// Nothing was to be written.
    kNothing,
    /// The settings are not those that the batch was judged by: reload them and try again.
    kSettingsChanged,
  };

  /// Identifies the batch for storage::Storage::settle_commit.
  const Uuid& key() const { return changes_.batch_key; }

  Batch(storage::WriteTransaction& tx, OrderCache& cache, const Settings& settings, Micros now,
        std::span<const Command* const> commands);

  /// Throws storage::Error. With kCommitUnknown `results` are valid if the batch proves committed.
  Outcome execute(storage::LockMode mode);

  /// One per command; valid after `execute`.
  std::vector<Result>& results() { return results_; }
  /// The orders that were changed, as they are now; valid after `execute`.
  std::vector<OrderPtr> changed_orders() const;
  /// What it added to the feed, to be taken once; valid after `execute`.
  std::vector<storage::FeedChange> take_changes();

 private:
  /// A thing in the database and what the batch makes of it.
  template <typename T>
  struct Draft {
    std::optional<T> stored;
    std::optional<T> current;
    bool touched = false;
  };
  struct OrderDraft {
    std::shared_ptr<StoredOrder> changed;  // null: as loaded
    OrderPtr loaded;                       // null: created by this batch
    bool customer_changed = false;
    bool labels_changed = false;
    bool shipments_changed = false;
    bool payments_changed = false;

    OrderPtr current() const { return changed ? OrderPtr(changed) : loaded; }
  };

  void lock_and_load(storage::LockMode mode);
  /// Remembers which of the wanted orders exist but could not be locked.
  void note_contended(const std::vector<Uuid>& wanted,
                      const std::vector<storage::OrderVersion>& locked);
  bool is_contended(const Command& command) const;
  void load_orders(std::vector<storage::OrderVersion> locked);
  Result run(const Command& command);
  std::optional<absl::StatusOr<Answer>> replay(const Command& command);
  Answer apply(const Command& command, rules::Change change);
  void write_notes(const Uuid& order_id, rules::Change& change);
  /// Loads what commands want to see whose rules rewrite it (batch_records.cc).
  void load_records();
  void show_records(const Uuid& order_id, rules::Target& target) const;
  void write_records(const Uuid& order_id, rules::Change& change);
  void write_transactions(const Uuid& order_id, rules::Change& change);
  void write_schedule(const StoredOrder& order, rules::Change& change);
  void write_emails(const StoredOrder& order, rules::Change& change);
  void write_events(const Command& command, const StoredOrder& order, rules::Change& change);
  void move_claims(const Uuid& order_id, const pb::Order* before, const pb::Order& after,
                   const std::string& import_digest);
  /// What the batch makes of a thing so far; null if it does not exist.
  template <typename Key, typename T>
  static const T* find(const std::map<Key, Draft<T>>& drafts, const Uuid& order_id,
                       const std::optional<Uuid>& id) {
    if (!id) return nullptr;
    const auto it = drafts.find({order_id, *id});
    return it == drafts.end() || !it->second.current ? nullptr : &*it->second.current;
  }
  /// Adds the things that the outcome names, as they are now.
  void answer_things(const Uuid& order_id, const internal::Outcome& outcome, Answer& answer) const;
  std::vector<pb::PaymentTransaction> ledger_of(const Uuid& order_id) const;
  void load_transactions(std::vector<storage::TransactionKey> keys);
  void collect_changes();
  bool save_and_commit();

  storage::WriteTransaction& tx_;
  OrderCache& cache_;
  const Settings& settings_;
  const Micros now_;
  const std::span<const Command* const> commands_;

  std::unordered_map<Uuid, OrderDraft> orders_;
  std::set<Uuid> contended_;
  std::map<storage::NoteKey, Draft<pb::Note>> notes_;
  /// Those that a command named, and the whole ledger of orders of which one wanted that.
  std::map<storage::TransactionKey, Draft<pb::PaymentTransaction>> transactions_;
  std::map<std::pair<Uuid, std::string>, storage::ScheduleRow> schedule_;
  std::map<storage::EmailKey, Draft<pb::Email>> emails_;
  /// What new e-mails tell of.
  std::map<storage::EmailKey, std::string> snapshots_;
  /// Those that lose what they tell of.
  std::set<storage::EmailKey> snapshots_erased_;
  /// What is stored of the history of orders of which a command wanted that.
  std::map<Uuid, std::vector<storage::EventRow>> histories_;
  /// Of these, by order and place, those that are written anew.
  std::set<std::pair<Uuid, std::size_t>> history_erased_;
  std::map<Claim, Draft<ClaimHolder>> claims_;
  std::map<RequestKey, RequestRecord> requests_;
  storage::ChangeSet changes_;
  std::vector<storage::FeedRow> feed_;
  std::int64_t first_position_ = 0;
  std::vector<Result> results_;
  bool judged_ = false;  // a rule was asked
};

}  // namespace orderd::engine
