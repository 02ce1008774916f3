#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/sql.h"
#include "storage/storage.h"

namespace soci {
class session;
}

// Where the databases differ, beside the text of statements: how they are reached, how a session
// is set up, how a transaction begins and what an error means.

namespace orderd::storage {

/// What a session is used for.
enum class Role { kRead, kWrite };

/// A database URL, taken apart.
struct Database {
  Dialect dialect{};
  /// SQLite: the file.
  std::string path;
  /// MySQL.
  std::string user, password, host, port, name, socket;
};

/// Throws Error(kInternal) if it can't be read. The message does not repeat the URL: it may hold a
/// password.
Database parse_url(std::string_view url);

/// Opens a session and sets it up. `patient`: for schema changes, which may take long.
std::unique_ptr<soci::session> open_session(const Database& database, bool patient);

/// Makes a session fit for reading or for writing. Outside transactions.
Fixed role_statement(Dialect dialect, Role role);
Fixed begin_statement(Dialect dialect, Role role);

/// What went wrong, from the exception in flight. Our own words and the error's number only: the
/// database's message may contain values. `sql` is the statement, if there was one.
Error translate_exception(Dialect dialect, std::string_view sql, bool committing);

}  // namespace orderd::storage
