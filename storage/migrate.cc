#include "storage/migrate.h"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <thread>

namespace orderd::storage {
namespace {

using Kind = Error::Kind;

constexpr int kLeaseSeconds = 30;
constexpr auto kPatience = std::chrono::minutes(10);

std::string random_bytes(int count) {
  std::string bytes(static_cast<std::size_t>(count), '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), count) != 1) {
    throw Error(Kind::kInternal, "no random numbers");
  }
  return bytes;
}

/// Which steps of which migration have been done.
using Progress = std::map<int, std::map<int, bool>>;

bool done(const Progress& progress, const Migration& migration) {
  const auto it = progress.find(migration.number);
  if (it == progress.end()) return false;
  for (int i = 0; i < static_cast<int>(migration.steps.size()); ++i) {
    const auto step = it->second.find(i);
    if (step == it->second.end() || !step->second) return false;
  }
  return true;
}

class Migrator {
 public:
  Migrator(Session& session, const std::vector<Migration>& all)
      : session_(session), all_(all), owner_(random_bytes(16)) {}

  void run() {
    check_ownership();
    create_bookkeeping();
    check_age();
    if (!finished()) {
      if (session_.dialect() == Dialect::kSqlite) {
        session_.begin(Role::kWrite);
        check_age();
        apply_all();
        session_.commit();
      } else {
        with_lock([&] { apply_all(); });
      }
    }
    make_secret();
  }

  /// Whether nothing is left to do; writes nothing.
  bool current() {
    if (!check_ownership()) return false;
    check_age();
    if (!finished()) return false;
    Rows rows =
        session_.query(sql() << "SELECT value FROM meta WHERE name = " << Blob{"secret"}, 1);
    return rows.next();
  }

 private:
  Sql sql() const { return session_.sql(); }

  /// A database with tables, but without ours, belongs to somebody else. True: it has our
  /// bookkeeping.
  bool check_ownership() {
    Sql list = sql();
    list.either("SELECT name FROM sqlite_master WHERE type = 'table'",
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()");
    bool any = false;
    bool steps = false;
    bool meta = false;
    Rows rows = session_.query(list, 1);
    while (rows.next()) {
      any = true;
      steps = steps || rows.text(0) == "schema_steps";
      meta = meta || rows.text(0) == "meta";
    }
    if (any && !steps) {
      throw Error(Kind::kSchema,
                  "the database has tables that are not orderd's; use one of its own");
    }
    return steps && meta;
  }

  void create_bookkeeping() {
    session_.execute(sql().either(
        "CREATE TABLE IF NOT EXISTS schema_steps (migration BIGINT NOT NULL, step BIGINT NOT NULL,"
        " done BIGINT NOT NULL, PRIMARY KEY (migration, step))",
        "CREATE TABLE IF NOT EXISTS schema_steps (migration BIGINT NOT NULL, step BIGINT NOT NULL,"
        " done BIGINT NOT NULL, PRIMARY KEY (migration, step)) ENGINE=InnoDB"));
    session_.execute(sql().either(
        "CREATE TABLE IF NOT EXISTS meta (name BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL)",
        "CREATE TABLE IF NOT EXISTS meta (name VARBINARY(64) NOT NULL PRIMARY KEY,"
        " value VARBINARY(1024) NOT NULL) ENGINE=InnoDB"));
    if (session_.dialect() == Dialect::kMysql) {
      session_.execute(
          "CREATE TABLE IF NOT EXISTS schema_lock (id BIGINT NOT NULL PRIMARY KEY,"
          " owner VARBINARY(16) NOT NULL, expire_time BIGINT NOT NULL) ENGINE=InnoDB");
      session_.execute("INSERT IGNORE INTO schema_lock (id, owner, expire_time) VALUES (1, '', 0)");
    }
  }

  /// What a later binary wrote about itself.
  void check_age() {
    const int mine = all_.back().number;
    Sql select = sql();
    select << "SELECT value FROM meta WHERE name = " << Blob{"oldest_binary"};
    Rows rows = session_.query(select, 1);
    int oldest = 0;
    if (rows.next()) {
      const std::string& text = rows.text(0);
      std::from_chars(text.data(), text.data() + text.size(), oldest);
    }
    if (oldest > mine) {
      throw Error(Kind::kSchema,
                  "the database was brought to a schema that needs orderd with schema " +
                      std::to_string(oldest) + " or later; this one has schema " +
                      std::to_string(mine) + ": use a newer orderd");
    }
  }

  Progress progress() {
    Progress result;
    Rows rows = session_.query(
        Sql(session_.dialect(), "SELECT migration, step, done FROM schema_steps"), 3);
    while (rows.next()) {
      const int migration = static_cast<int>(rows.number(0));
      result[migration][static_cast<int>(rows.number(1))] = rows.number(2) != 0;
    }
    return result;
  }

  bool finished() {
    const Progress now = progress();
    return std::ranges::all_of(all_, [&](const Migration& m) { return done(now, m); });
  }

  void apply_all() {
    const Progress before = progress();
    for (const Migration& migration : all_) {
      if (!done(before, migration)) apply(migration, before);
    }
  }

  void apply(const Migration& migration, const Progress& before) {
    // First of all: an older binary must not come back to a schema that is half changed.
    raise_oldest_binary(migration.oldest_binary);
    for (int i = 0; i < static_cast<int>(migration.steps.size()); ++i) {
      const auto known = before.find(migration.number);
      if (known != before.end()) {
        const auto step = known->second.find(i);
        if (step != known->second.end() && step->second) continue;
      }
      renew_lock();
      mark(migration.number, i, false);
      const std::string& step = migration.steps[static_cast<std::size_t>(i)];
      if (!column_exists(step)) session_.execute_script(step);
      mark(migration.number, i, true);
    }
    spdlog::info("schema {} is in place", migration.number);
  }

  /// Whether a step adds a column that is there: neither SQLite nor MySQL can say IF NOT EXISTS.
  bool column_exists(std::string_view step) {
    constexpr std::string_view kAlter = "ALTER TABLE ";
    constexpr std::string_view kAdd = " ADD COLUMN ";
    const auto add = step.find(kAdd);
    if (!step.starts_with(kAlter) || add == std::string_view::npos) return false;
    const Text table{step.substr(kAlter.size(), add - kAlter.size())};
    const std::string_view rest = step.substr(add + kAdd.size());
    const Text column{rest.substr(0, rest.find(' '))};
    Sql select = sql();
    if (session_.dialect() == Dialect::kSqlite) {
      select << "SELECT COUNT(*) FROM pragma_table_info(" << table << ") WHERE name = " << column;
    } else {
      select << "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()"
                " AND table_name = "
             << table << " AND column_name = " << column;
    }
    Rows rows = session_.query(select, 1);
    return rows.next() && rows.number(0) > 0;
  }

  void mark(int migration, int step, bool finished) {
    Sql insert = sql();
    insert << "INSERT INTO schema_steps (migration, step, done) VALUES (";
    insert.list(migration, step, finished ? 1 : 0) << ")";
    session_.execute(insert.overwrite("migration, step", {"done"}));
  }

  void raise_oldest_binary(int oldest) {
    Sql select = sql();
    select << "SELECT value FROM meta WHERE name = " << Blob{"oldest_binary"};
    int stored = 0;
    {
      Rows rows = session_.query(select, 1);
      if (rows.next()) {
        const std::string& text = rows.text(0);
        std::from_chars(text.data(), text.data() + text.size(), stored);
      }
    }
    if (stored >= oldest) return;
    const std::string text = std::to_string(oldest);
    Sql insert = sql();
    insert << "INSERT INTO meta (name, value) VALUES (";
    insert.list(Blob{"oldest_binary"}, Blob{text}) << ")";
    session_.execute(insert.overwrite("name", {"value"}));
  }

  /// MySQL commits each DDL statement by itself, so the lock is a row with an owner and a lease. It
  /// keeps servers from doing the work twice; steps that ran twice would do no harm.
  template <typename F>
  void with_lock(F work) {
    const auto deadline = Clock::now() + kPatience;
    bool waited = false;
    while (!take_lock()) {
      if (finished()) return;
      if (Clock::now() > deadline) {
        throw Error(Kind::kUnavailable, "another orderd is changing the schema; try again later");
      }
      if (!waited) spdlog::info("another orderd is changing the schema; waiting for it");
      waited = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    check_age();
    work();
    Sql free = sql();
    free << "UPDATE schema_lock SET owner = '', expire_time = 0 WHERE id = 1 AND owner = "
         << Blob{owner_};
    session_.execute(free);
  }

  bool take_lock() {
    Sql take = sql();
    take << "UPDATE schema_lock SET owner = " << Blob{owner_}
         << ", expire_time = UNIX_TIMESTAMP() + " << kLeaseSeconds
         << " WHERE id = 1 AND (owner = '' OR expire_time < UNIX_TIMESTAMP())";
    return session_.execute(take) == 1;
  }

  void renew_lock() {
    if (session_.dialect() == Dialect::kSqlite) return;
    Sql renew = sql();
    renew << "UPDATE schema_lock SET expire_time = UNIX_TIMESTAMP() + " << kLeaseSeconds
          << " WHERE id = 1 AND owner = " << Blob{owner_};
    if (session_.execute(renew) != 1) {
      throw Error(Kind::kUnavailable, "another orderd took over the change of the schema");
    }
  }

  /// Whoever comes first makes it.
  void make_secret() {
    Sql insert = sql();
    insert.either("INSERT OR IGNORE INTO", "INSERT IGNORE INTO");
    insert << " meta (name, value) VALUES (";
    insert.list(Blob{"secret"}, Blob{random_bytes(32)}) << ")";
    session_.execute(insert);
  }

  Session& session_;
  const std::vector<Migration>& all_;
  const std::string owner_;
};

/// The statements between lines that end with ';', without comments.
std::vector<std::string> statements(std::string_view text) {
  std::vector<std::string> result;
  std::string current;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1);
    std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    if (line.starts_with("--")) continue;
    current += line;
    if (line.ends_with(";\n")) {
      current.resize(current.size() - 2);
      result.push_back(current.substr(current.find_first_not_of('\n')));
      current.clear();
    }
  }
  return result;
}

}  // namespace

std::vector<Migration> migrations(Dialect dialect) {
  const std::string_view ending = dialect == Dialect::kSqlite ? ".sqlite.sql" : ".mysql.sql";
  constexpr std::string_view kOldest = "-- oldest-binary: ";
  std::vector<Migration> result;
  for (const EmbeddedFile& file : embedded_migrations()) {
    if (!file.name.ends_with(ending)) continue;
    Migration migration;
    std::from_chars(file.name.data(), file.name.data() + 4, migration.number);
    const auto at = file.text.find(kOldest);
    if (at == std::string_view::npos || migration.number != static_cast<int>(result.size()) + 1) {
      throw Error(Kind::kInternal, "a migration is not named or headed as it should be");
    }
    const char* number = file.text.data() + at + kOldest.size();
    std::from_chars(number, file.text.data() + file.text.size(), migration.oldest_binary);
    migration.steps = statements(file.text);
    result.push_back(std::move(migration));
  }
  return result;
}

bool migrated(Session& session, const std::vector<Migration>& all) {
  return Migrator(session, all).current();
}

void migrate(Session& session, const std::vector<Migration>& all) { Migrator(session, all).run(); }

}  // namespace orderd::storage
