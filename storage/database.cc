#include "storage/database.h"

#include <soci/mysql/soci-mysql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <charconv>

namespace orderd::storage {
namespace {

using Kind = Error::Kind;

[[noreturn]] void bad_url(const char* why) {
  throw Error(Kind::kInternal, std::string("the database URL is not valid: ") + why);
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) bad_url("'%' must be followed by two hex digits");
    const char* digits = text.data() + i + 1;
    const auto result = std::from_chars(digits, digits + 2, value, 16);
    if (result.ptr != digits + 2 || value == 0) bad_url("'%' must be followed by two hex digits");
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

/// Splits at the first `c`; the second part is empty if there is none.
std::pair<std::string_view, std::string_view> split(std::string_view text, char c) {
  const auto at = text.find(c);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::unique_ptr<soci::session> open_mysql(const Database& database, bool patient) {
  // Reads wait longer than any lock does, and not for ever: a dead server must not hold a thread.
  std::string connect = "charset=utf8mb4 connect_timeout=5 write_timeout=10 read_timeout=";
  connect += patient ? "3600" : "10";
  connect += " dbname=" + quoted(database.name) + " user=" + quoted(database.user);
  if (!database.password.empty()) connect += " password=" + quoted(database.password);
  if (!database.host.empty()) connect += " host=" + quoted(database.host);
  if (!database.port.empty()) connect += " port=" + database.port;
  if (!database.socket.empty()) connect += " unix_socket=" + quoted(database.socket);
  auto session = std::make_unique<soci::session>(soci::mysql, connect);

  std::string version;
  *session << "SELECT VERSION()", soci::into(version);
  const bool mariadb = version.find("MariaDB") != std::string::npos;
  // Whoever holds the feed's head stops every other writer, so no session may sit on its locks.
  *session << (mariadb ? "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
                         "innodb_lock_wait_timeout=3,lock_wait_timeout=5,"
                         "idle_transaction_timeout=5,autocommit=1"
                       : "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
                         "innodb_lock_wait_timeout=3,lock_wait_timeout=5,"
                         "wait_timeout=60,autocommit=1");
  if (patient) *session << "SET SESSION lock_wait_timeout=60";
  return session;
}

std::unique_ptr<soci::session> open_sqlite(const Database& database) {
  auto session = std::make_unique<soci::session>(soci::sqlite3, "dbname=\"" + database.path + "\"");
  *session << "PRAGMA busy_timeout=5000";
  // Without them a constraint's error does not say which kind.
  const auto* backend = static_cast<soci::sqlite3_session_backend*>(session->get_backend());
  sqlite_api::sqlite3_extended_result_codes(backend->conn_, 1);
  std::string mode;
  *session << "PRAGMA journal_mode=WAL", soci::into(mode);
  if (mode != "wal") throw Error(Kind::kInternal, "the SQLite file can't use write-ahead logging");
  *session << "PRAGMA synchronous=FULL";
  *session << "PRAGMA foreign_keys=ON";
  // What is deleted is overwritten, not only let go.
  *session << "PRAGMA secure_delete=ON";
  *session << "PRAGMA temp_store=MEMORY";
  *session << "PRAGMA cache_size=-16384";
  return session;
}

Kind mysql_kind(unsigned number, bool committing) {
  switch (number) {
    case 1213:  // deadlock, also a failed certification: a definite rollback, at COMMIT too
    case 1020:  // the row changed since the snapshot
    case 1412:  // the table changed since the snapshot
      return Kind::kConflict;
    default:
      break;
  }
  if (committing) return Kind::kCommitUnknown;
  switch (number) {
    case 1205:
      return Kind::kLockWait;
    case 1062:
    case 1586:
      return Kind::kDuplicate;
    case 1040:  // too many connections
    case 1203:
    case 1047:  // the node is not part of the cluster
    case 1053:  // shutdown
    case 1077:
    case 1079:
    case 1152:
    case 1158:
    case 1159:
    case 1160:
    case 1161:
    case 1129:  // too many broken connections from this host
    case 1184:
    case 1226:  // too many sessions of this user
    case 1290:  // read-only, as after a failover
    case 1317:  // interrupted
    case 1792:
    case 1836:
    case 1927:  // killed
    case 1969:  // took too long
    case 3024:
    case 4031:
    case 2002:
    case 2003:
    case 2005:  // the name of the host can't be looked up
    case 2006:
    case 2012:
    case 2013:
    case 2026:
    case 2055:
      return Kind::kUnavailable;
    default:
      return Kind::kInternal;
  }
}

Kind sqlite_kind(int result, bool committing) {
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Kind::kLockWait;
    case SQLITE_CONSTRAINT:
      if (result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY ||
          result == SQLITE_CONSTRAINT_ROWID) {
        return Kind::kDuplicate;
      }
      return Kind::kInternal;
    case SQLITE_INTERRUPT:
      return Kind::kUnavailable;
    case SQLITE_IOERR:
      return committing ? Kind::kCommitUnknown : Kind::kInternal;
    default:
      return Kind::kInternal;
  }
}

std::string phrase(Kind kind) {
  switch (kind) {
    case Kind::kConflict:
      return "conflict with another transaction";
    case Kind::kLockWait:
      return "a lock was not to be had in time";
    case Kind::kDuplicate:
      return "a unique key exists";
    case Kind::kUnavailable:
      return "the database can't be reached";
    case Kind::kCommitUnknown:
      return "the answer to COMMIT was lost";
    case Kind::kSchema:
    case Kind::kInternal:
      break;
  }
  return "the database refuses";
}

/// The start of a statement, which has no values yet.
std::string gist(std::string_view sql) {
  sql = sql.substr(0, std::min(sql.find_first_of("('0123456789"), std::size_t{60}));
  while (!sql.empty() && sql.back() == ' ') sql.remove_suffix(1);
  return sql.empty() ? std::string() : " in " + std::string(sql);
}

std::string connect_phrase(unsigned number) {
  switch (number) {
    case 1044:
    case 1045:
    case 1698:
      return "the database refuses this user or password";
    case 1049:
      return "the database named in the URL does not exist; create it first (CREATE DATABASE)";
    default:
      return {};
  }
}

}  // namespace

Database parse_url(std::string_view url) {
  Database database;
  if (url.starts_with("sqlite:")) {
    database.dialect = Dialect::kSqlite;
    database.path = url.substr(7);
    if (database.path.empty()) bad_url("sqlite: must be followed by a path");
    if (database.path.find_first_of(std::string_view("\"\0", 2)) != std::string::npos) {
      bad_url("the path of an SQLite file can't contain '\"'");
    }
    if (database.path == ":memory:") bad_url("an SQLite database must be a file");
    return database;
  }
  constexpr std::string_view kScheme = "mysql://";
  if (!url.starts_with(kScheme)) {
    bad_url("expected sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]");
  }
  database.dialect = Dialect::kMysql;
  url.remove_prefix(kScheme.size());
  const auto [location, query] = split(url, '?');
  const auto [authority, name] = split(location, '/');
  const auto at = authority.rfind('@');
  if (at == std::string_view::npos) bad_url("the user is missing");
  const auto [user, password] = split(authority.substr(0, at), ':');
  const auto [host, port] = split(authority.substr(at + 1), ':');
  database.user = percent_decoded(user);
  database.password = percent_decoded(password);
  database.host = percent_decoded(host);
  database.name = percent_decoded(name);
  if (database.user.empty()) bad_url("the user is missing");
  if (database.name.empty()) bad_url("the name of the database is missing");
  if (!port.empty()) {
    unsigned value = 0;
    const auto result = std::from_chars(port.data(), port.data() + port.size(), value);
    if (result.ptr != port.data() + port.size() || value == 0 || value > 65535) {
      bad_url("the port must be a number from 1 to 65535");
    }
    database.port = port;
  }
  if (!query.empty()) {
    const auto [key, value] = split(query, '=');
    if (key != "socket" || value.empty()) bad_url("the only parameter is socket=PATH");
    database.socket = percent_decoded(value);
    // The client library uses the socket only for "localhost".
    database.host = "localhost";
  }
  if (database.host.empty()) bad_url("the host is missing");
  return database;
}

std::unique_ptr<soci::session> open_session(const Database& database, bool patient) {
  try {
    return database.dialect == Dialect::kSqlite ? open_sqlite(database)
                                                : open_mysql(database, patient);
  } catch (const soci::mysql_soci_error& error) {
    const std::string why = connect_phrase(error.err_num_);
    if (!why.empty()) {
      throw Error(error.err_num_ == 1049 ? Kind::kSchema : Kind::kInternal, why);
    }
    throw translate_exception(database.dialect, {}, false);
  } catch (const soci::soci_error&) {
    throw translate_exception(database.dialect, {}, false);
  }
}

Fixed role_statement(Dialect dialect, Role role) {
  if (dialect == Dialect::kSqlite) {
    return role == Role::kRead ? Fixed("PRAGMA query_only=1") : Fixed("PRAGMA query_only=0");
  }
  // Several statements of a reader must see one moment. A writer locks first and must then see what
  // others committed before it got the lock.
  return role == Role::kRead ? Fixed("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                             : Fixed("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
}

Fixed begin_statement(Dialect dialect, Role role) {
  if (dialect == Dialect::kSqlite) {
    // A deferred transaction that reads first fails at once when it writes later.
    return role == Role::kRead ? Fixed("BEGIN") : Fixed("BEGIN IMMEDIATE");
  }
  return role == Role::kRead ? Fixed("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                             : Fixed("START TRANSACTION");
}

Error translate_exception(Dialect dialect, std::string_view sql, bool committing) {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const soci::mysql_soci_error& error) {
    const Kind kind = mysql_kind(error.err_num_, committing);
    return Error(
        kind, phrase(kind) + " (MySQL error " + std::to_string(error.err_num_) + gist(sql) + ")");
  } catch (const soci::sqlite3_soci_error& error) {
    const Kind kind = sqlite_kind(error.result(), committing);
    const bool full = (error.result() & 0xff) == SQLITE_FULL;
    return Error(kind, (full ? "the disk is full" : phrase(kind)) + " (SQLite error " +
                           std::to_string(error.result()) + gist(sql) + ")");
  } catch (const soci::soci_error&) {
    const Kind kind = committing ? Kind::kCommitUnknown : Kind::kInternal;
    return Error(kind, phrase(kind) + (dialect == Dialect::kSqlite ? " (SQLite" : " (MySQL") +
                           gist(sql) + ")");
  }
}

}  // namespace orderd::storage
