#pragma once

#include <algorithm>
#include <functional>
#include <span>

#include "storage/session.h"

namespace orderd::storage {

/// Limits of one statement: rows of an INSERT, values of an IN list, bytes of text. MariaDB changes
/// the plan of an IN list at 1,000 values.
inline constexpr std::size_t kMaxRows = 500;
inline constexpr std::size_t kMaxBytes = 1'000'000;

/// Inserts rows of one table with as few statements as the limits allow. SOCI's own bulk insert is
/// a round trip per row on MySQL.
class MultiInsert {
 public:
  using Ending = std::function<void(Sql&)>;

  /// `head` is everything up to and with VALUES; `ending` may add a clause behind the rows.
  MultiInsert(Session& session, Fixed head, Ending ending = nullptr)
      : session_(session),
        head_(head),
        ending_(std::move(ending)),
        statement_(session.dialect()),
        row_(session.dialect()) {}

  template <typename... Values>
  void row(const Values&... values) {
    row_.clear();
    row_ << "(";
    row_.list(values...) << ")";
    if (rows_ == kMaxRows ||
        (rows_ > 0 && statement_.text().size() + row_.text().size() >= kMaxBytes)) {
      flush();
    }
    if (rows_ == 0) {
      statement_ << head_ << " ";
    } else {
      statement_ << ",";
    }
    statement_.append(row_);
    ++rows_;
  }

  /// Sends what is left. Must be called.
  void flush() {
    if (rows_ == 0) return;
    if (ending_) ending_(statement_);
    session_.execute(statement_);
    statement_.clear();
    rows_ = 0;
  }

 private:
  Session& session_;
  const Fixed head_;
  const Ending ending_;
  Sql statement_;
  Sql row_;
  std::size_t rows_ = 0;
};

/// DELETE from a table, by its primary key: on a small table MySQL would rather read, and lock, all
/// rows, unless the statement has the form that takes an index hint.
inline Sql& append_delete(Sql& sql, Fixed table) {
  if (sql.dialect() == Dialect::kSqlite) return sql << "DELETE FROM " << table;
  return sql << "DELETE t FROM " << table << " AS t FORCE INDEX (PRIMARY)";
}

/// Calls `work` with at most kMaxRows of the values at a time.
template <typename T, typename F>
void in_chunks(std::span<const T> values, F work) {
  while (!values.empty()) {
    const auto count = std::min(values.size(), kMaxRows);
    work(values.first(count));
    values = values.subspan(count);
  }
}

}  // namespace orderd::storage
