#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace orderd::payments {

/// The file of the sandbox's ledger can't be read or written, or is not one.
struct LedgerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The SQLite file of a sandbox's ledger, with its tables. Several processes may have it open; a
/// commit is on disk when it returns. Not thread-safe.
class SandboxDatabase {
 public:
  /// Creates the file if there is none. Refuses an SQLite file that is something else, such as the
  /// database of the orders.
  explicit SandboxDatabase(const std::string& path);

  class Statement {
   public:
    Statement(sqlite3* db, std::string_view sql);

    Statement& bind(std::int64_t value);
    Statement& bind(std::string_view value);
    Statement& bind(const std::optional<std::int64_t>& value);

    /// True: there is a row to read from.
    bool step();
    /// For a statement without rows. Gives the number of rows that it changed.
    int run();

    std::int64_t number(int column) const;
    std::optional<std::int64_t> optional_number(int column) const;
    std::string text(int column) const;

   private:
    sqlite3* db_;
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_{nullptr, sqlite3_finalize};
    int bound_ = 0;
  };
  /// `sql` must be one statement. Its parameters are bound in their order.
  Statement prepare(std::string_view sql) { return {db_.get(), sql}; }
  void execute(const char* sql);

  /// All reads see one state of the ledger; kWrite keeps every other writer out from the start. Is
  /// rolled back if it goes without `commit`.
  class Transaction {
   public:
    enum class Kind { kRead, kWrite };
    Transaction(SandboxDatabase& database, Kind kind);
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction();
    void commit();

   private:
    SandboxDatabase& database_;
    bool open_ = true;
  };

 private:
  void create_tables();

  std::unique_ptr<sqlite3, int (*)(sqlite3*)> db_{nullptr, sqlite3_close_v2};
};

}  // namespace orderd::payments
