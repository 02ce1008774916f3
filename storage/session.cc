#include "storage/session.h"

#include <mysql.h>
#include <soci/mysql/soci-mysql.h>

#include <charconv>
#include <utility>

namespace orderd::storage {

using Kind = Error::Kind;

namespace {

[[noreturn]] void throw_error(MYSQL* mysql) {
  throw soci::mysql_soci_error(mysql_error(mysql), static_cast<int>(mysql_errno(mysql)));
}

}  // namespace

class Rows::Source {
 public:
  virtual ~Source() = default;
  virtual bool next(std::vector<std::string>& cells) = 0;
};

class Rows::SociSource : public Rows::Source {
 public:
  SociSource(Session& session, const std::string& statement, std::vector<std::string>& cells)
      : session_(session), gist_(statement.substr(0, 80)), statement_(*session.soci_) {
    try {
      for (std::string& cell : cells) statement_.exchange(soci::into(cell));
      statement_.alloc();
      statement_.prepare(statement);
      statement_.define_and_bind();
      first_ = statement_.execute(true);
    } catch (const soci::soci_error&) {
      throw session.failed(gist_, false);
    }
  }

  bool next(std::vector<std::string>&) override {
    if (!std::exchange(started_, true)) return first_;
    try {
      return statement_.fetch();
    } catch (const soci::soci_error&) {
      throw session_.failed(gist_, false);
    }
  }

 private:
  Session& session_;
  const std::string gist_;
  soci::statement statement_;
  bool started_ = false;
  bool first_ = false;
};

class Rows::MysqlSource : public Rows::Source {
 public:
  MysqlSource(MYSQL_RES* result, std::size_t columns) : result_(result), columns_(columns) {}

  bool next(std::vector<std::string>& cells) override {
    const MYSQL_ROW row = mysql_fetch_row(result_.get());
    if (row == nullptr) return false;
    const unsigned long* lengths = mysql_fetch_lengths(result_.get());
    for (std::size_t i = 0; i < columns_; ++i) {
      cells[i].assign(row[i] == nullptr ? "" : row[i], lengths[i]);
    }
    return true;
  }

 private:
  struct Free {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
  };
  const std::unique_ptr<MYSQL_RES, Free> result_;
  const std::size_t columns_;
};

Rows::Rows(std::unique_ptr<Source> source, std::size_t columns)
    : source_(std::move(source)), cells_(columns) {}

Rows::Rows(Rows&&) noexcept = default;

Rows::~Rows() = default;

bool Rows::next() { return source_->next(cells_); }

std::int64_t Rows::number(std::size_t column) const {
  const std::string& cell = cells_[column];
  std::int64_t value = 0;
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (result.ec != std::errc() || result.ptr != cell.data() + cell.size()) {
    throw Error(Kind::kInternal, "a column that should be a number is not");
  }
  return value;
}

Session::Session(const Database& database, const Listener& listener, bool patient)
    : dialect_(database.dialect), listener_(listener), soci_(open_session(database, patient)) {
  if (dialect_ == Dialect::kMysql) {
    mysql_ = static_cast<soci::mysql_session_backend*>(soci_->get_backend())->conn_;
  }
}

Session::~Session() = default;

void Session::announce(const std::string& statement) {
  // SOCI would send only what stands before it. No literal of ours contains one either.
  if (statement.find(':') != std::string::npos) {
    throw Error(Kind::kInternal, "a statement contains a colon");
  }
  if (doubtful_) throw Error(Kind::kUnavailable, "the session was lost");
  if (listener_) listener_(statement);
}

Error Session::failed(std::string_view statement, bool committing) {
  Error error = translate_exception(dialect_, statement, committing);
  switch (error.kind()) {
    case Kind::kConflict:
    case Kind::kLockWait:
    case Kind::kDuplicate:
      break;
    default:
      doubtful_ = true;
  }
  return error;
}

std::int64_t Session::run(const std::string& statement, bool committing) {
  announce(statement);
  try {
    if (mysql_ != nullptr) {
      if (mysql_real_query(mysql_, statement.data(), statement.size()) != 0) throw_error(mysql_);
      return static_cast<std::int64_t>(mysql_affected_rows(mysql_));
    }
    soci::statement prepared(*soci_);
    prepared.alloc();
    prepared.prepare(statement, soci::details::st_one_time_query);
    prepared.define_and_bind();
    prepared.execute(true);
    return prepared.get_affected_rows();
  } catch (const soci::soci_error&) {
    throw failed(statement, committing);
  }
}

Rows Session::query_text(const std::string& statement, std::size_t columns) {
  announce(statement);
  Rows rows(nullptr, columns);
  if (mysql_ == nullptr) {
    rows.source_ = std::make_unique<Rows::SociSource>(*this, statement, rows.cells_);
    return rows;
  }
  MYSQL_RES* result = nullptr;
  try {
    if (mysql_real_query(mysql_, statement.data(), statement.size()) == 0) {
      result = mysql_store_result(mysql_);
    }
    if (result == nullptr) throw_error(mysql_);
  } catch (const soci::soci_error&) {
    throw failed(statement, false);
  }
  const bool fits = mysql_num_fields(result) == columns;
  rows.source_ = std::make_unique<Rows::MysqlSource>(result, columns);
  if (!fits) throw Error(Kind::kInternal, "a statement has another number of columns");
  return rows;
}

std::vector<std::vector<std::string>> Session::script_rows(const std::string& statement,
                                                           std::size_t columns) {
  std::vector<std::vector<std::string>> result;
  Rows rows = query_text(statement, columns);
  while (rows.next()) {
    result.emplace_back();
    for (std::size_t i = 0; i < columns; ++i) result.back().push_back(rows.text(i));
  }
  return result;
}

std::int64_t Session::execute(const Sql& sql) { return run(sql.text(), false); }

std::int64_t Session::last_insert_id() {
  return static_cast<std::int64_t>(mysql_insert_id(mysql_));
}

void Session::set_role(Role role) {
  if (role_ == role) return;
  execute(role_statement(dialect_, role));
  role_ = role;
}

void Session::begin(Role role) {
  set_role(role);
  execute(begin_statement(dialect_, role));
  in_transaction_ = true;
}

void Session::commit() {
  run("COMMIT", true);
  in_transaction_ = false;
}

void Session::rollback() {
  in_transaction_ = false;
  execute("ROLLBACK");
}

}  // namespace orderd::storage
