#pragma once

#include <soci/soci.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/database.h"
#include "storage/sql.h"

struct st_mysql;

namespace orderd::storage {

class Session;

/// The rows of a SELECT, one at a time. Each column is read as text, by both databases alike:
/// SOCI's own conversion cuts integers (SQLite) or runs them through a stream (MySQL). No column of
/// ours is NULL.
class Rows {
 public:
  Rows(Rows&&) noexcept;
  ~Rows();

  /// Goes on to the next row, the first one at first.
  bool next();

  std::string& text(std::size_t column) { return cells_[column]; }
  std::int64_t number(std::size_t column) const;
  Uuid id(std::size_t column) const { return Uuid::from_bytes(cells_[column]); }

 private:
  friend class Session;
  /// Where the rows come from.
  class Source;
  class SociSource;
  class MysqlSource;

  Rows(std::unique_ptr<Source> source, std::size_t columns);

  std::unique_ptr<Source> source_;
  /// Its memory stays where it is.
  std::vector<std::string> cells_;
};

/// One connection. All SQL goes through it. Every function throws `Error`; a session after whose
/// error nothing is certain about it is `doubtful` and must not be used again.
class Session {
 public:
  using Listener = std::function<void(std::string_view)>;

  Session(const Database& database, const Listener& listener, bool patient = false);
  ~Session();

  /// Sends the statement together with the next one of the transaction, COMMIT at last: a round
  /// trip less. Its error comes then. (SQLite, and outside transactions: `execute`.)
  void defer(const Sql& sql);
  /// Returns how many rows matched.
  std::int64_t execute(const Sql& sql);
  std::int64_t execute(Fixed text) { return execute(Sql(dialect_, text)); }
  /// A statement of a migration: text of ours, but not from a Fixed.
  void execute_script(const std::string& statement) { run(statement, false); }
  /// The rows of a statement that is not made of Fixed text, such as EXPLAIN of another one.
  std::vector<std::vector<std::string>> script_rows(const std::string& statement,
                                                    std::size_t columns);
  /// The caller says how many columns the statement has.
  Rows query(const Sql& sql, std::size_t columns) { return query_text(sql.text(), columns); }

  /// What the last statement gave to LAST_INSERT_ID(…); asks nobody. Only MySQL.
  std::int64_t last_insert_id();

  void set_role(Role role);
  void begin(Role role);
  void commit();
  void rollback();

  Sql sql() const { return Sql(dialect_); }
  Dialect dialect() const { return dialect_; }
  bool in_transaction() const { return in_transaction_; }
  bool doubtful() const { return doubtful_; }
  std::optional<Role> role() const { return role_; }

 private:
  friend class Rows;

  std::int64_t run(const std::string& statement, bool committing);
  Rows query_text(const std::string& statement, std::size_t columns);
  /// Reports a statement that is about to be sent.
  void announce(const std::string& statement);
  /// From a catch block: the Error for the exception in flight.
  Error failed(std::string_view statement, bool committing);

  const Dialect dialect_;
  const Listener listener_;
  std::unique_ptr<soci::session> soci_;
  /// Below SOCI's session, which turns a row into values at three times the cost. Null: SQLite.
  st_mysql* mysql_ = nullptr;
  std::optional<Role> role_;
  bool in_transaction_ = false;
  bool doubtful_ = false;
};

}  // namespace orderd::storage
