#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "orders/v1/access_service.pb.h"
#include "orders/v1/order_service.pb.h"
#include "storage/model.h"

// Orders in SQL. One interface, one implementation over SOCI, two dialects (SQLite, MySQL/MariaDB).
//
// A `Storage` is thread-safe; a transaction belongs to one thread. Every function may throw
// `storage::Error`; after that the transaction can only be destroyed. No message of an Error
// contains a bound value.

namespace orderd::storage {

using Clock = std::chrono::steady_clock;

class Error : public std::runtime_error {
 public:
  enum class Kind {
    /// Deadlock, certification failure, stale snapshot: run the whole transaction again.
    kConflict,
    /// A lock was not to be had in time: run again.
    kLockWait,
    /// A unique key exists: another server won a claim or a request id.
    kDuplicate,
    /// The database can't be reached, or no session became free before the deadline. Nothing was
    /// committed.
    kUnavailable,
    /// The answer to COMMIT was lost. `Storage::settle_commit` decides.
    kCommitUnknown,
    /// The database was left by a newer orderd that this one can't work with, or is not ours.
    kSchema,
    /// Everything else: a fault of ours, or a database that refuses to work (disk full).
    kInternal,
  };
  Error(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

struct OrderVersion {
  Uuid id;
  std::int64_t version = 0;
};

struct NoteKey {
  Uuid order_id;
  Uuid note_id;

  auto operator<=>(const NoteKey&) const = default;
};

struct NoteRow {
  Uuid order_id;
  pb::Note note;
};

struct TransactionKey {
  Uuid order_id;
  Uuid transaction_id;

  auto operator<=>(const TransactionKey&) const = default;
};

struct TransactionRow {
  Uuid order_id;
  pb::PaymentTransaction transaction;
};

struct EmailKey {
  Uuid order_id;
  Uuid email_id;

  auto operator<=>(const EmailKey&) const = default;
};

struct EmailRow {
  Uuid order_id;
  pb::Email email;
  /// What the e-mail tells of: the order as it was then, serialized. Written with a new e-mail and
  /// never changed; empty in updates.
  std::string snapshot;
};

/// An API key as stored.
struct ApiKeyRow {
  pb::ApiKey key;
  /// SHA-256 of the secret in its token.
  std::string secret_hash;
};

/// The place of a key in a list: by create time, then id.
struct ApiKeyKeyset {
  Micros create_time = 0;
  std::string key_id;
};

struct ApiKeyUse {
  std::string key_id;
  Micros time = 0;
};

/// The place of a payment in the reconciler's queue. A row without both times is removed.
struct ScheduleRow {
  Uuid order_id;
  std::string gateway_account;
  PaymentSchedule schedule;
};

/// A payment whose gateway is to be asked, claimed by this server.
struct DueCheck {
  Uuid order_id;
  std::string payment_id;
  std::string gateway_account;
  /// How often it has been claimed since the payment last changed, this time included.
  int tries = 0;
};

/// A due check that led to nothing new. Ignored unless the claim that ends at `lease_until` is
/// still the last word: a payment that changed meanwhile has been scheduled anew.
struct Postponement {
  Uuid order_id;
  std::string payment_id;
  Micros lease_until = 0;
  Micros next_check = 0;
  /// False: nobody was asked, so the claim does not count as a try.
  bool asked = true;
};

struct EventRow {
  Uuid order_id;
  std::int64_t version = 0;
  /// Counts the events of one version from 0.
  int index = 0;
  /// The number of its field in `OrderEvent.payload`.
  int type = 0;
  Micros time = 0;
  /// A serialized OrderEvent, complete.
  std::string event;
};

/// What is kept of orders beside themselves and their transactions. Each by order; events in the
/// order of the history, the others oldest first.
struct OrderRecords {
  std::vector<EventRow> events;
  std::vector<NoteRow> notes;
  /// Without snapshots.
  std::vector<EmailRow> emails;
};

/// What an erasure of personal data did with an order.
struct ErasedOrder {
  Uuid erasure_id;
  Uuid order_id;
  /// Why it was left as it is; empty: it was erased.
  std::string skip_reason;
  int emails = 0;
};

/// The record of an erasure.
struct ErasureRow {
  pb::Erasure erasure;
  /// Of the call's fields, under a key.
  std::string body_hash;
};

/// Whose orders: one of the two is given.
struct CustomerSelector {
  std::string customer_id;
  std::string email;
};

/// Everything that one batch writes, except feed positions. `save` writes rows of one table with
/// multi-row statements (at most 1,000 rows and 1 MB each), so the number of statements does not
/// depend on the number of commands.
struct ChangeSet {
  /// Of this batch; see `Storage::settle_commit`.
  Uuid batch_key;
  /// When the batch ran.
  Micros now = 0;
  /// Orders to insert, whole.
  std::vector<const StoredOrder*> created;
  /// Orders that exist and are locked: version, state, invoice number, update time, note count and
  /// cancellation are written.
  std::vector<const StoredOrder*> updated;
  /// False: in none of `updated` has the state, the cancellation or which fields are present
  /// changed, so they need not be written.
  bool states_updated = true;
  /// Of `updated`, those of which customer and addresses, or labels, are written as well.
  std::vector<const StoredOrder*> customer_updated;
  std::vector<const StoredOrder*> labels_updated;
  /// Of `updated`, those whose shipments are written: the order as it was and as it is. Only rows
  /// that differ are written.
  struct BeforeAfter {
    const StoredOrder* before;
    const StoredOrder* after;
  };
  std::vector<BeforeAfter> shipments_updated;
  /// The same for payments, which are never removed; and the order's currency, if that is new.
  std::vector<BeforeAfter> payments_updated;
  /// The ledger: transactions to insert, and existing ones to overwrite.
  std::vector<TransactionRow> transactions_created;
  std::vector<TransactionRow> transactions_updated;
  /// One per payment at most.
  std::vector<ScheduleRow> schedule;
  std::vector<EmailRow> emails_created;
  std::vector<EmailRow> emails_updated;
  /// Notes to write, new or changed (by note_id); notes to delete.
  std::vector<NoteRow> notes_created;
  std::vector<NoteRow> notes_updated;
  std::vector<NoteKey> notes_deleted;
  /// Claims given up and claims taken; deletes go before inserts, both sorted by key.
  std::vector<Claim> claims_released;
  std::map<Claim, ClaimHolder> claims_taken;
  std::vector<EventRow> events;
  std::vector<RequestRecord> requests;
  /// Erasures: events that exist and are written anew, and e-mails (in `emails_created` or
  /// `emails_updated`) that lose their snapshots.
  std::vector<EventRow> events_updated;
  std::vector<EmailKey> snapshots_erased;
  std::vector<ErasedOrder> erased_orders;
};

struct Positions {
  /// The first of the positions taken.
  std::int64_t first = 0;
  /// The batch's time: `now`, or later if another batch came before that has a later time. Times
  /// rise strictly in the order of commits.
  Micros time = 0;
};

struct FeedRow {
  Uuid order_id;
  std::int64_t version = 0;
  /// A serialized ChangeFacts.
  std::string facts;
};

/// One change of one order, as the feed has it.
struct FeedChange {
  struct Event {
    int type = 0;
    /// A serialized OrderEvent.
    std::string event;
  };
  std::int64_t position = 0;
  Uuid order_id;
  std::int64_t version = 0;
  /// A serialized ChangeFacts; empty if an older server wrote it.
  std::string facts;
  std::vector<Event> events;
};

/// An event's place in the history of its order.
struct EventKey {
  std::int64_t version = 0;
  int index = 0;
};
struct HistoryRow {
  EventKey key;
  pb::OrderEvent event;
};

/// What a walk over all orders sees of one.
struct ScannedOrder {
  OrderVersion order;
  std::string state_id;
};

/// Work that waits in the database.
struct Backlog {
  std::int64_t count = 0;
  /// Since when the oldest waits; absent: there is none.
  std::optional<Micros> oldest;
};

/// A payment that is not settled.
struct UnresolvedRow {
  struct Keyset {
    Micros since = 0;
    Uuid order_id;
    std::string payment_id;
  };
  /// Its place in the list.
  Keyset key;
  /// Absent: the server will not ask by itself.
  std::optional<Micros> next_check;
};

enum class SortKey { kCreateTime, kUpdateTime, kOrderTime, kTotal };

struct ListQuery {
  /// The caller's filter, validated. `open_only` has been resolved into `state_ids`.
  pb::OrderFilter filter;
  /// True: only orders in `filter.state_ids`, also if that is empty (then there are none).
  bool by_state = false;
  SortKey sort = SortKey::kCreateTime;
  bool ascending = false;
  struct Keyset {
    std::int64_t sort_key = 0;
    Uuid id;
  };
  /// Go on behind this row.
  std::optional<Keyset> after;
  int limit = 50;
};

struct ListPage {
  /// Without items, labels, shipments and payments.
  std::vector<OrderPtr> orders;
  /// The last row examined, if there may be more.
  std::optional<ListQuery::Keyset> next;
};

/// No list page examines more rows than this.
inline constexpr int kScanBudget = 5000;

/// Reads: of one moment in a ReadTransaction after `snapshot`; of the latest committed state plus
/// the transaction's own writes in a WriteTransaction.
class Reads {
 public:
  virtual ~Reads() = default;

  virtual std::vector<OrderVersion> versions(std::span<const Uuid> ids) = 0;
  /// Whole orders, by a constant number of statements per 500 ids; unknown ids are left out; in no
  /// particular order.
  virtual std::vector<OrderPtr> load_orders(std::span<const Uuid> ids) = 0;
  virtual std::map<NoteKey, pb::Note> load_notes(std::span<const NoteKey> keys) = 0;
  virtual std::map<TransactionKey, pb::PaymentTransaction> load_transactions(
      std::span<const TransactionKey> keys) = 0;
  /// All transactions of the orders: by order, then oldest first. An id may be named twice.
  virtual std::vector<TransactionRow> load_ledgers(std::span<const Uuid> order_ids) = 0;
  virtual std::map<EmailKey, pb::Email> load_emails(std::span<const EmailKey> keys) = 0;
  virtual std::vector<RequestRecord> find_requests(std::span<const RequestKey> keys) = 0;
  virtual std::map<Claim, ClaimHolder> find_claims(std::span<const Claim> claims) = 0;
  virtual Settings load_settings() = 0;
  virtual std::int64_t settings_version() = 0;
  /// Rises with each change of an API key; 0: there has never been one.
  virtual std::int64_t api_keys_version() = 0;
};

class ReadTransaction : public Reads {
 public:
  /// Begins the transaction: what is read from here on is of one moment. Before, each statement
  /// runs by itself (autocommit), which is all that a read of one statement needs. At most once.
  virtual void snapshot() = 0;

  virtual ListPage list_orders(const ListQuery& query) = 0;
  /// Oldest first, behind `after`, at most `limit`.
  virtual std::vector<pb::Note> list_notes(const Uuid& order_id, const std::optional<Uuid>& after,
                                           int limit) = 0;
  /// Oldest first, behind `after`, at most `limit`; of one payment, or if `payment_id` is empty of
  /// all.
  virtual std::vector<pb::PaymentTransaction> list_transactions(const Uuid& order_id,
                                                                std::string_view payment_id,
                                                                const std::optional<Uuid>& after,
                                                                int limit) = 0;
  /// Oldest first, behind `after`, at most `limit`; of one order, of one status, or of all.
  virtual std::vector<pb::Email> list_emails(const std::optional<Uuid>& order_id,
                                             std::optional<pb::EmailStatus> status,
                                             const std::optional<Uuid>& after, int limit) = 0;
  /// Oldest first, behind `after`, at most `limit`; of one account, or if that is empty of all.
  virtual std::vector<UnresolvedRow> list_unresolved(
      std::string_view gateway_account, const std::optional<UnresolvedRow::Keyset>& after,
      int limit) = 0;
  /// The payments of an account that are not settled. Counts `most` at most.
  virtual Backlog unresolved_backlog(std::string_view gateway_account, int most) = 0;
  /// The e-mails of a status. Counts `most` at most.
  virtual Backlog email_backlog(pb::EmailStatus status, int most) = 0;
  /// Oldest first, behind `after`, at most `limit`; of these types (fields of
  /// `OrderEvent.payload`), or if there are none of all.
  virtual std::vector<HistoryRow> list_events(const Uuid& order_id,
                                              const std::optional<EventKey>& after,
                                              std::span<const int> types, int limit) = 0;
  /// That of the last change that is committed, though perhaps not on disk yet; 0: there is none.
  virtual std::int64_t feed_position() = 0;
  /// The changes behind a position, without a gap, at most `limit`, with one statement.
  virtual std::vector<FeedChange> list_changes(std::int64_t after, int limit) = 0;
  /// The position at or behind which a reader must be to go on: what is before it was committed
  /// before that time, or is not kept any more.
  virtual std::int64_t feed_floor(Micros before) = 0;
  /// Orders by id, behind `after`, at most `limit`.
  virtual std::vector<ScannedOrder> scan_orders(const Uuid& after, int limit) = 0;
  /// The orders of a customer as sort keys (the create time) and ids, oldest first, behind `after`,
  /// at most `limit`.
  virtual std::vector<ListQuery::Keyset> list_customer_orders(
      const CustomerSelector& customer, const std::optional<ListQuery::Keyset>& after,
      int limit) = 0;
  /// Records of erasures, with their counts, the latest first (the sort key is the start time),
  /// behind `after`, at most `limit`; of one pseudonym, or if that is empty of all.
  virtual std::vector<pb::Erasure> list_erasures(std::string_view pseudonym,
                                                 const std::optional<ListQuery::Keyset>& after,
                                                 int limit) = 0;
  /// How many orders are in a state. Walks that part of an index.
  virtual std::int64_t count_orders(std::string_view state_id) = 0;
  /// How many orders have a line in a delivery state, or a shipment of a method.
  virtual std::int64_t count_orders_with_delivery_state(std::string_view delivery_state_id) = 0;
  virtual std::int64_t count_orders_with_method(std::string_view method_id) = 0;
  /// API keys that were not revoked before that time, in no particular order.
  virtual std::vector<ApiKeyRow> load_api_keys(Micros revoked_before) = 0;
  /// Oldest first, behind `after`, at most `limit`; the revoked ones too.
  virtual std::vector<pb::ApiKey> list_api_keys(const std::optional<ApiKeyKeyset>& after,
                                                int limit) = 0;
  /// The first orders in a state, by create time.
  virtual std::vector<Uuid> orders_in_state(std::string_view state_id, int limit) = 0;
};

enum class LockMode { kWait, kSkipLocked };

/// READ COMMITTED on MariaDB, BEGIN IMMEDIATE on SQLite. Rolled back by the destructor unless
/// `commit` returned. Call in this order: lock, read, save, take_positions, append_feed, commit.
class WriteTransaction : public Reads {
 public:
  /// Locks orders in the order of their ids and returns those that exist (and, with kSkipLocked,
  /// that nobody else holds). `sorted` is sorted and without repeats.
  virtual std::vector<OrderVersion> lock_orders(std::span<const Uuid> sorted, LockMode mode) = 0;

  virtual OrderRecords load_records(std::span<const Uuid> order_ids) = 0;

  virtual void save(const ChangeSet& changes) = 0;

  /// Takes `count` feed positions; from here to the commit this transaction stops all others, so
  /// only `restamp` and `append_feed` may follow. Nothing if the settings no longer have
  /// `settings_version`.
  virtual std::optional<Positions> take_positions(int count, std::int64_t settings_version,
                                                  Micros now) = 0;
  /// Gives the orders a later update time than was saved.
  virtual void restamp(std::span<const Uuid> sorted, Micros time) = 0;
  virtual void append_feed(std::int64_t first, std::span<const FeedRow> rows) = 0;

  /// For settings changes, instead of all of the above: locks the settings against every writer and
  /// reads them.
  virtual Settings lock_settings() = 0;
  virtual bool any_order_in(std::string_view state_id) = 0;
  virtual bool any_order_with_delivery_state(std::string_view delivery_state_id) = 0;
  virtual bool any_order_with_method(std::string_view method_id) = 0;
  /// Each inserts or overwrites one setting. `set_settings_version` must follow.
  virtual void save_order_state(const pb::OrderState& state) = 0;
  virtual void save_delivery_state(const pb::DeliveryState& state) = 0;
  virtual void save_shipment_method(const pb::ShipmentMethod& method) = 0;
  virtual void set_settings_version(std::int64_t version) = 0;
  /// For changes of API keys, instead of all of the above: keeps other such changes out until the
  /// end, and makes all servers read the keys again after the commit.
  virtual void lock_api_keys() = 0;
  virtual std::optional<ApiKeyRow> find_api_key(std::string_view key_id) = 0;
  /// How many are not revoked.
  virtual std::int64_t count_api_keys() = 0;
  virtual void add_api_key(const ApiKeyRow& row) = 0;
  virtual void revoke_api_key(std::string_view key_id, Micros time, std::string_view by) = 0;
  /// Records the batch's key and requests; `save` does so by itself.
  virtual void save_requests(const Uuid& batch_key, Micros now,
                             std::span<const RequestRecord> requests) = 0;

  /// Durable when it returns. Throws kCommitUnknown if the answer was lost.
  virtual void commit() = 0;
};

struct Options {
  /// Sessions that may be open at once.
  int max_sessions = 16;
  /// Reports each SQL statement; for tests and metrics. Called on the thread that executes it.
  std::function<void(std::string_view sql)> on_statement;
};

/// The sessions of a storage, for metrics. The counters only rise.
struct Sessions {
  int in_use = 0;
  int idle = 0;
  int most = 0;
  /// Threads that wait for one.
  int waiting = 0;
  std::uint64_t opened = 0;
  /// Could not be opened.
  std::uint64_t refused = 0;
  /// Given up after an error.
  std::uint64_t discarded = 0;
  /// None became free in time.
  std::uint64_t missed = 0;
};

class Storage {
 public:
  virtual ~Storage() = default;

  /// Brings the schema up to date; before anything else. Several servers may do so at once. Throws
  /// Error: kUnavailable, then call again; kSchema or kInternal for a database that can't be used
  /// as it is.
  virtual void prepare() = 0;

  /// Waits at most until `deadline` for a session.
  virtual std::unique_ptr<WriteTransaction> begin_write(Clock::time_point deadline) = 0;
  virtual std::unique_ptr<ReadTransaction> begin_read(Clock::time_point deadline) = 0;

  /// Decides a COMMIT whose answer was lost, by writing: true if the batch is committed, false if
  /// it is not and never will be. Throws kUnavailable if that can't be told now; then call again.
  virtual bool settle_commit(const Uuid& batch_key, Clock::time_point deadline) = 0;

  /// The reconciler's queue: claims payments of these accounts that are due, oldest first, for this
  /// server alone until `lease_until`; then, if they have neither been scheduled anew nor
  /// postponed, they are due again. Several servers never claim the same; none waits for another.
  virtual std::vector<DueCheck> claim_due_checks(std::span<const std::string> accounts, Micros now,
                                                 Micros lease_until, int limit) = 0;
  virtual void postpone_checks(std::span<const Postponement> postponements) = 0;

  /// The outbox: claims PENDING e-mails that are due, oldest first, for this server alone until
  /// `lease_until`; then those that have not been changed are due again. Never the same for several
  /// servers; none waits for another. With their snapshots.
  virtual std::vector<EmailRow> claim_due_emails(Micros now, Micros lease_until, int limit) = 0;

  /// Writes when API keys were last used. Never sets a time back.
  virtual void record_api_key_uses(std::span<const ApiKeyUse> uses) = 0;

  /// Writes the record of an erasure unless there is one of that id; returns the one that there is.
  virtual ErasureRow begin_erasure(const ErasureRow& row) = 0;
  /// Adds orders that were left as they are, and the time of completion if it is given and is the
  /// first. Returns the record.
  virtual ErasureRow record_erasure(const Uuid& erasure_id, std::span<const ErasedOrder> skipped,
                                    std::optional<Micros> complete_time) = 0;

  /// Deletes request and batch rows older than `before`, at most `limit`; returns how many.
  /// Not those that are kept for ever.
  virtual int sweep(Micros before, int limit) = 0;

  /// Returns when everything that anybody could see when it was called is on disk: MariaDB shows a
  /// commit to others before that.
  virtual void make_durable() = 0;
  /// Removes from the feed what nobody can go on from: changes that were committed before that time
  /// (unless they share a partition with later ones; see `ReadTransaction::feed_floor`). To be
  /// called regularly: times are known to the interval between calls, or to `mark_interval` if that
  /// is longer. True: there is more to remove, call again.
  virtual bool trim_feed(Micros now, Micros before, Micros mark_interval) = 0;

  /// A random secret that all servers of this database share and that outlives them.
  virtual std::string secret() = 0;

  /// "sqlite" or "mysql".
  virtual std::string_view dialect() const = 0;

  virtual Sessions sessions() const = 0;
};

/// The database behind `sqlite:PATH` or `mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]`,
/// without connecting to it: it may be away. Throws Error: kInternal for a URL that can't be read
/// or a file that can't be opened, kSchema if another server has it open.
std::unique_ptr<Storage> create(std::string_view url, const Options& options);

/// `create` and `prepare`.
std::unique_ptr<Storage> open(std::string_view url, const Options& options);

}  // namespace orderd::storage
