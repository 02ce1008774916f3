#include "storage/storage.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "storage/api_key_rows.h"
#include "storage/email_rows.h"
#include "storage/erasure_rows.h"
#include "storage/feed.h"
#include "storage/migrate.h"
#include "storage/multi_insert.h"
#include "storage/payment_rows.h"
#include "storage/payment_schedule.h"
#include "storage/reads.h"
#include "storage/session_pool.h"
#include "storage/settings_rows.h"
#include "storage/shipment_rows.h"
#include "storage/wall_clock.h"
#include "storage/write.h"

namespace orderd::storage {
namespace {

using Kind = Error::Kind;

/// How long work that nobody waits for waits for a session.
constexpr auto kBackgroundPatience = std::chrono::seconds(10);

class ReadTransactionImpl : public ReadTransaction {
 public:
  explicit ReadTransactionImpl(Lease lease) : lease_(std::move(lease)) {}

  void snapshot() override { lease_->begin(Role::kRead); }

  std::vector<OrderVersion> versions(std::span<const Uuid> ids) override {
    return read_versions(*lease_, ids);
  }
  std::vector<OrderPtr> load_orders(std::span<const Uuid> ids) override {
    return read_orders(*lease_, ids);
  }
  std::map<NoteKey, pb::Note> load_notes(std::span<const NoteKey> keys) override {
    return read_notes(*lease_, keys);
  }
  std::map<TransactionKey, pb::PaymentTransaction> load_transactions(
      std::span<const TransactionKey> keys) override {
    return read_transactions(*lease_, keys);
  }
  std::vector<TransactionRow> load_ledgers(std::span<const Uuid> order_ids) override {
    return read_ledgers(*lease_, order_ids);
  }
  std::map<EmailKey, pb::Email> load_emails(std::span<const EmailKey> keys) override {
    return read_emails(*lease_, keys);
  }
  std::vector<RequestRecord> find_requests(std::span<const RequestKey> keys) override {
    return read_requests(*lease_, keys);
  }
  std::map<Claim, ClaimHolder> find_claims(std::span<const Claim> claims) override {
    return read_claims(*lease_, claims);
  }
  Settings load_settings() override { return read_settings(*lease_); }
  std::int64_t settings_version() override { return read_settings_version(*lease_); }
  std::int64_t api_keys_version() override { return read_api_keys_version(*lease_); }

  ListPage list_orders(const ListQuery& query) override { return read_order_page(*lease_, query); }
  std::vector<pb::Note> list_notes(const Uuid& order_id, const std::optional<Uuid>& after,
                                   int limit) override {
    return read_note_page(*lease_, order_id, after, limit);
  }
  std::vector<pb::PaymentTransaction> list_transactions(const Uuid& order_id,
                                                        std::string_view payment_id,
                                                        const std::optional<Uuid>& after,
                                                        int limit) override {
    return read_transaction_page(*lease_, order_id, payment_id, after, limit);
  }
  std::vector<pb::Email> list_emails(const std::optional<Uuid>& order_id,
                                     std::optional<pb::EmailStatus> status,
                                     const std::optional<Uuid>& after, int limit) override {
    return read_email_page(*lease_, order_id, status, after, limit);
  }
  std::vector<UnresolvedRow> list_unresolved(std::string_view gateway_account,
                                             const std::optional<UnresolvedRow::Keyset>& after,
                                             int limit) override {
    return read_unresolved_page(*lease_, gateway_account, after, limit);
  }
  Backlog unresolved_backlog(std::string_view gateway_account, int most) override {
    return read_unresolved_backlog(*lease_, gateway_account, most);
  }
  Backlog email_backlog(pb::EmailStatus status, int most) override {
    return read_email_backlog(*lease_, status, most);
  }
  std::vector<HistoryRow> list_events(const Uuid& order_id, const std::optional<EventKey>& after,
                                      std::span<const int> types, int limit) override {
    return read_history(*lease_, order_id, after, types, limit);
  }
  std::int64_t feed_position() override { return read_feed_position(*lease_); }
  std::vector<FeedChange> list_changes(std::int64_t after, int limit) override {
    return read_changes(*lease_, after, limit);
  }
  std::int64_t feed_floor(Micros before) override { return read_feed_floor(*lease_, before); }
  std::vector<ScannedOrder> scan_orders(const Uuid& after, int limit) override {
    return storage::scan_orders(*lease_, after, limit);
  }
  std::vector<ListQuery::Keyset> list_customer_orders(const CustomerSelector& customer,
                                                      const std::optional<ListQuery::Keyset>& after,
                                                      int limit) override {
    return read_customer_orders(*lease_, customer, after, limit);
  }
  std::vector<pb::Erasure> list_erasures(std::string_view pseudonym,
                                         const std::optional<ListQuery::Keyset>& after,
                                         int limit) override {
    return read_erasure_page(*lease_, pseudonym, after, limit);
  }
  std::int64_t count_orders(std::string_view state_id) override {
    return read_count(*lease_, state_id);
  }
  std::int64_t count_orders_with_delivery_state(std::string_view delivery_state_id) override {
    return count_with_delivery_state(*lease_, delivery_state_id);
  }
  std::int64_t count_orders_with_method(std::string_view method_id) override {
    return count_with_method(*lease_, method_id);
  }
  std::vector<ApiKeyRow> load_api_keys(Micros revoked_before) override {
    return read_api_keys(*lease_, revoked_before);
  }
  std::vector<pb::ApiKey> list_api_keys(const std::optional<ApiKeyKeyset>& after,
                                        int limit) override {
    return read_api_key_page(*lease_, after, limit);
  }
  std::vector<Uuid> orders_in_state(std::string_view state_id, int limit) override {
    return read_ids_in_state(*lease_, state_id, limit);
  }

 private:
  Lease lease_;
};

/// Keeps other processes off an SQLite file: write-ahead logging would let them in, but lanes and
/// caches assume that nobody else writes.
class FileLock {
 public:
  explicit FileLock(const std::string& path) {
    // One lock for one file, by whatever name or link it is reached.
    std::error_code unknown;
    const auto file = std::filesystem::weakly_canonical(path, unknown);
    const std::string name = (unknown ? path : file.string()) + ".lock";
    fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) {
      throw Error(Kind::kInternal,
                  "the file " + name + " can't be opened: " + std::strerror(errno));
    }
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      char pid[16] = {};
      const auto size = ::pread(fd_, pid, sizeof pid - 1, 0);
      ::close(fd_);
      throw Error(Kind::kSchema,
                  "another orderd" +
                      (size > 0 ? " (pid " + std::string(pid) + ")" : std::string()) +
                      " has this database open");
    }
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, pid.data(), pid.size(), 0) < 0) {
      // The process id is only for the message above.
    }
  }
  ~FileLock() { ::close(fd_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

class StorageImpl : public Storage {
 public:
  StorageImpl(const Database& database, const Options& options)
      : lock_(database.dialect == Dialect::kSqlite ? std::make_unique<FileLock>(database.path)
                                                   : nullptr),
        // SQLite has one writer; a second session is needed for readers beside it.
        pool_(database, std::max(options.max_sessions, 1),
              database.dialect == Dialect::kSqlite ? 1 : std::max(options.max_sessions, 1),
              options.on_statement),
        on_statement_(options.on_statement) {}

  void prepare() override {
    const auto all = migrations(pool_.database().dialect);
    // A session for schema changes waits for hours, which one that only looks must not do if the
    // database hangs.
    if (Session session(pool_.database(), on_statement_); migrated(session, all)) return;
    Session session(pool_.database(), on_statement_, true);
    migrate(session, all);
  }

  std::unique_ptr<WriteTransaction> begin_write(Clock::time_point deadline) override {
    return make_write_transaction(pool_.lease(Role::kWrite, deadline));
  }
  std::unique_ptr<ReadTransaction> begin_read(Clock::time_point deadline) override {
    return std::make_unique<ReadTransactionImpl>(pool_.lease(Role::kRead, deadline));
  }

  bool settle_commit(const Uuid& batch_key, Clock::time_point deadline) override {
    try {
      Lease lease = pool_.lease(Role::kWrite, deadline);
      lease->begin(Role::kWrite);
      // If the other transaction is on its way still, this waits for its end.
      insert_batch(*lease, batch_key, wall_clock());
      lease->commit();
      return false;
    } catch (const Error& error) {
      if (error.kind() == Kind::kDuplicate) {
        make_durable();  // it is visible, so far
        return true;
      }
      if (error.kind() == Kind::kInternal || error.kind() == Kind::kSchema) throw;
      throw Error(Kind::kUnavailable, "the lost COMMIT can't be settled now");
    }
  }

  std::vector<DueCheck> claim_due_checks(std::span<const std::string> accounts, Micros now,
                                         Micros lease_until, int limit) override {
    if (accounts.empty()) return {};
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    lease->begin(Role::kWrite);
    std::vector<DueCheck> claimed = claim_due(*lease, accounts, now, lease_until, limit);
    lease->commit();
    return claimed;
  }

  void postpone_checks(std::span<const Postponement> postponements) override {
    if (postponements.empty()) return;
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    lease->begin(Role::kWrite);
    postpone(*lease, postponements);
    lease->commit();
  }

  std::vector<EmailRow> claim_due_emails(Micros now, Micros lease_until, int limit) override {
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    lease->begin(Role::kWrite);
    std::vector<EmailRow> claimed = claim_emails(*lease, now, lease_until, limit);
    lease->commit();
    return claimed;
  }

  void record_api_key_uses(std::span<const ApiKeyUse> uses) override {
    if (uses.empty()) return;
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    lease->begin(Role::kWrite);
    mark_used(*lease, uses);
    lease->commit();
  }

  ErasureRow begin_erasure(const ErasureRow& row) override {
    return in_erasure(Uuid::parse(row.erasure.erasure_id()).value(),
                      [&](Session& session) { insert_erasure(session, row); });
  }

  ErasureRow record_erasure(const Uuid& erasure_id, std::span<const ErasedOrder> skipped,
                            std::optional<Micros> complete_time) override {
    return in_erasure(erasure_id, [&](Session& session) {
      write_skipped_orders(session, skipped);
      if (complete_time) complete_erasure(session, erasure_id, *complete_time);
    });
  }

  int sweep(Micros before, int limit) override {
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    return sweep_table(*lease, "requests", "request_key", before, limit) +
           sweep_table(*lease, "batches", "batch_key", before, limit);
  }

  void make_durable() override {
    // SQLite shows nothing to others before it is on disk.
    if (pool_.database().dialect == Dialect::kSqlite) return;
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    flush_log(*lease);
  }

  bool trim_feed(Micros now, Micros before, Micros mark_interval) override {
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    return storage::trim_feed(*lease, now, before, mark_interval);
  }

  std::string secret() override {
    Lease lease = pool_.lease(Role::kRead, Clock::now() + kBackgroundPatience);
    Rows rows =
        lease->query(lease->sql() << "SELECT value FROM meta WHERE name = " << Blob{"secret"}, 1);
    if (!rows.next()) throw Error(Kind::kSchema, "the database has no secret");
    return std::move(rows.text(0));
  }

  std::string_view dialect() const override {
    return pool_.database().dialect == Dialect::kSqlite ? "sqlite" : "mysql";
  }

  Sessions sessions() const override { return pool_.sessions(); }

 private:
  /// Runs `work` in a transaction and returns the record as it leaves it.
  template <typename Work>
  ErasureRow in_erasure(const Uuid& erasure_id, Work work) {
    Lease lease = pool_.lease(Role::kWrite, Clock::now() + kBackgroundPatience);
    lease->begin(Role::kWrite);
    work(*lease);
    auto row = read_erasure(*lease, erasure_id);
    if (!row) throw Error(Kind::kInternal, "an erasure has no record");
    lease->commit();
    return *std::move(row);
  }

  /// Each chunk is a transaction of its own.
  static int sweep_table(Session& session, Fixed table, Fixed key, Micros before, int limit) {
    Sql select = session.sql();
    select << "SELECT " << key << " FROM " << table << " WHERE create_time < " << before
           << " ORDER BY create_time LIMIT " << limit;
    std::vector<std::string> keys;
    {
      Rows rows = session.query(select, 1);
      while (rows.next()) keys.push_back(std::move(rows.text(0)));
    }
    std::int64_t count = 0;
    in_chunks(std::span<const std::string>(keys), [&](std::span<const std::string> chunk) {
      Sql sql = session.sql();
      append_delete(sql, table) << " WHERE " << key << " IN (";
      bool first = true;
      for (const std::string& value : chunk) {
        if (!first) sql << ",";
        first = false;
        sql << Blob{value};
      }
      count += session.execute(sql << ")");
    });
    return static_cast<int>(count);
  }

  const std::unique_ptr<FileLock> lock_;
  SessionPool pool_;
  const Session::Listener on_statement_;
};

}  // namespace

std::unique_ptr<Storage> create(std::string_view url, const Options& options) {
  return std::make_unique<StorageImpl>(parse_url(url), options);
}

std::unique_ptr<Storage> open(std::string_view url, const Options& options) {
  auto storage = create(url, options);
  storage->prepare();
  return storage;
}

}  // namespace orderd::storage
