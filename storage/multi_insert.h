#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>

#include "storage/session.h"

namespace orderd::storage {

/// Limits of one statement: rows written or deleted by their keys, values of an IN list or
/// conditions between ORs, bytes of text. MariaDB changes the plan of an IN list at 1,000 values,
/// SQLite refuses 1,000 conditions.
inline constexpr std::size_t kMaxRows = 1000;
inline constexpr std::size_t kMaxValues = 500;
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

/// Deletes rows of a child table by their primary key (the order's id, an id, and perhaps a number)
/// with as few statements as the limits allow. Fewest if rows of the same order and number follow
/// each other.
class MultiDelete {
 public:
  /// `id_column`: of the id that follows the order's.
  MultiDelete(Session& session, Fixed table, Fixed id_column)
      : session_(session), table_(table), id_column_(id_column), statement_(session.dialect()) {}

  /// `n`: the value of the column n, if it is part of the key.
  void row(const Uuid& order_id, const Uuid& id, std::optional<int> n = std::nullopt) {
    bool joins = values_ > 0 && values_ < kMaxValues && order_id == order_id_ && n == n_;
    if (rows_ == kMaxRows || (!joins && conditions_ == kMaxValues)) {
      flush();
      joins = false;
    }
    if (joins) {
      statement_ << ",";
    } else {
      start_condition(order_id, n);
    }
    statement_ << id;
    ++rows_;
    ++values_;
  }

  /// Sends what is left. Must be called.
  void flush() {
    if (rows_ == 0) return;
    session_.execute(statement_ << "))");
    statement_.clear();
    rows_ = conditions_ = values_ = 0;
  }

 private:
  void start_condition(const Uuid& order_id, std::optional<int> n) {
    if (rows_ == 0) {
      append_delete(statement_, table_) << " WHERE ";
    } else {
      statement_ << ")) OR ";
    }
    statement_ << "(order_id = " << order_id;
    if (n) statement_ << " AND n = " << *n;
    statement_ << " AND " << id_column_ << " IN (";
    order_id_ = order_id;
    n_ = n;
    ++conditions_;
    values_ = 0;
  }

  Session& session_;
  const Fixed table_;
  const Fixed id_column_;
  Sql statement_;
  /// Of the last condition.
  Uuid order_id_;
  std::optional<int> n_;
  std::size_t rows_ = 0;
  std::size_t conditions_ = 0;
  std::size_t values_ = 0;
};

/// Calls `work` with at most kMaxValues of the values at a time.
template <typename T, typename F>
void in_chunks(std::span<const T> values, F work) {
  while (!values.empty()) {
    const auto count = std::min(values.size(), kMaxValues);
    work(values.first(count));
    values = values.subspan(count);
  }
}

}  // namespace orderd::storage
