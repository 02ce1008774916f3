#include "server/payments/sandbox_database.h"

#include <chrono>

namespace orderd::payments {
namespace {

// "orSL": what kind of file this is, in its header.
constexpr std::int64_t kApplicationId = 0x6f72534c;
constexpr std::int64_t kSchemaVersion = 1;
constexpr int kBusyTimeoutMs = 10'000;
constexpr int kBusyPauseMs = 5;

// Times are microseconds since 1970, UTC; amounts are in the currency's minor unit; kinds and
// statuses are the numbers of the protocol's enums.
constexpr const char* kSchema = R"sql(
CREATE TABLE payments (
  reference TEXT NOT NULL PRIMARY KEY,
  currency_code TEXT NOT NULL,
  due_minor INTEGER NOT NULL CHECK (due_minor > 0),
  stage INTEGER NOT NULL,
  expire_time INTEGER,
  capabilities BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE movements (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  transaction_id TEXT NOT NULL UNIQUE,
  reference TEXT NOT NULL REFERENCES payments,
  kind INTEGER NOT NULL,
  status INTEGER NOT NULL,
  amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
  time INTEGER NOT NULL,
  attempt_id TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  reason TEXT NOT NULL,
  fail_time INTEGER,
  fail_reason TEXT NOT NULL
);
CREATE INDEX movements_of_payment ON movements (reference, n);
CREATE TABLE answers (
  idempotency_key TEXT NOT NULL PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  reference TEXT NOT NULL REFERENCES payments,
  kind INTEGER NOT NULL,
  transaction_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  time INTEGER,
  record_time INTEGER NOT NULL,
  forget_time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX answers_of_payment ON answers (reference);
)sql";

struct LedgerBusy : LedgerError {
  using LedgerError::LedgerError;
};

[[noreturn]] void fail(sqlite3* db) {
  // The message names tables and columns, never a value.
  const std::string message = std::string("sandbox ledger: ") + sqlite3_errmsg(db);
  if (sqlite3_errcode(db) == SQLITE_BUSY) throw LedgerBusy(message);
  throw LedgerError(message);
}

}  // namespace

SandboxDatabase::Statement::Statement(sqlite3* db, std::string_view sql) : db_(db) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    fail(db);
  }
  statement_.reset(statement);
}

SandboxDatabase::Statement& SandboxDatabase::Statement::bind(std::int64_t value) {
  if (sqlite3_bind_int64(statement_.get(), ++bound_, value) != SQLITE_OK) fail(db_);
  return *this;
}

SandboxDatabase::Statement& SandboxDatabase::Statement::bind(std::string_view value) {
  // A view of nothing may have no address, and would be bound as NULL.
  const char* data = value.empty() ? "" : value.data();
  if (sqlite3_bind_text64(statement_.get(), ++bound_, data, value.size(), SQLITE_TRANSIENT,
                          SQLITE_UTF8) != SQLITE_OK) {
    fail(db_);
  }
  return *this;
}

SandboxDatabase::Statement& SandboxDatabase::Statement::bind(
    const std::optional<std::int64_t>& value) {
  if (value) return bind(*value);
  if (sqlite3_bind_null(statement_.get(), ++bound_) != SQLITE_OK) fail(db_);
  return *this;
}

bool SandboxDatabase::Statement::step() {
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      fail(db_);
  }
}

int SandboxDatabase::Statement::run() {
  step();
  return sqlite3_changes(db_);
}

std::int64_t SandboxDatabase::Statement::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::optional<std::int64_t> SandboxDatabase::Statement::optional_number(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return number(column);
}

std::string SandboxDatabase::Statement::text(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

SandboxDatabase::Transaction::Transaction(SandboxDatabase& database, Kind kind)
    : database_(database) {
  // A transaction that begins by reading and then writes fails at once if another wrote meanwhile,
  // whatever the timeout.
  database_.execute(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
}

SandboxDatabase::Transaction::~Transaction() {
  // An error may have ended the transaction already; then this fails, and that is well.
  if (open_) sqlite3_exec(database_.db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void SandboxDatabase::Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

SandboxDatabase::SandboxDatabase(const std::string& path) {
  sqlite3* db = nullptr;
  const int result = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(db);
  if (result != SQLITE_OK) fail(db);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  // Programs that open a new file at the same time can wait for each other: then SQLite says busy
  // to one of them at once, whatever the timeout.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyTimeoutMs);
  for (bool ready = false; !ready;) {
    try {
      create_tables();
      execute("PRAGMA journal_mode = WAL");
      ready = true;
    } catch (const LedgerBusy&) {
      if (std::chrono::steady_clock::now() >= give_up) throw;
      sqlite3_sleep(kBusyPauseMs);
    }
  }
  execute("PRAGMA synchronous = FULL");
  execute("PRAGMA foreign_keys = ON");
}

void SandboxDatabase::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(db_.get());
}

void SandboxDatabase::create_tables() {
  Transaction transaction(*this, Transaction::Kind::kWrite);
  const auto pragma = [&](std::string_view sql) {
    Statement statement = prepare(sql);
    return statement.step() ? statement.number(0) : 0;
  };
  if (pragma("SELECT COUNT(*) FROM sqlite_schema") == 0) {
    execute(kSchema);
    execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
    execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  } else if (pragma("PRAGMA application_id") != kApplicationId) {
    throw LedgerError("sandbox ledger: the file is the database of something else");
  } else if (pragma("PRAGMA user_version") != kSchemaVersion) {
    throw LedgerError("sandbox ledger: the file is of another version");
  }
  transaction.commit();
}

}  // namespace orderd::payments
