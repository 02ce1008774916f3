#include "storage/session.h"

#include <charconv>

namespace orderd::storage {

using Kind = Error::Kind;

Rows::Rows(Session& session, const std::string& statement, std::size_t columns)
    : session_(&session),
      gist_(statement.substr(0, 80)),
      cells_(std::make_unique<std::vector<std::string>>(columns)) {
  session.announce(statement);
  try {
    statement_.emplace(*session.soci_);
    for (std::string& cell : *cells_) statement_->exchange(soci::into(cell));
    statement_->alloc();
    statement_->prepare(statement);
    statement_->define_and_bind();
    first_ = statement_->execute(true);
  } catch (const soci::soci_error&) {
    throw session.failed(gist_, false);
  }
}

bool Rows::next() {
  if (!started_) {
    started_ = true;
    return first_;
  }
  try {
    return statement_->fetch();
  } catch (const soci::soci_error&) {
    throw session_->failed(gist_, false);
  }
}

std::int64_t Rows::number(std::size_t column) const {
  const std::string& cell = (*cells_)[column];
  std::int64_t value = 0;
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (result.ec != std::errc() || result.ptr != cell.data() + cell.size()) {
    throw Error(Kind::kInternal, "a column that should be a number is not");
  }
  return value;
}

Session::Session(const Database& database, const Listener& listener, bool patient)
    : dialect_(database.dialect), listener_(listener), soci_(open_session(database, patient)) {}

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

std::vector<std::vector<std::string>> Session::script_rows(const std::string& statement,
                                                           std::size_t columns) {
  std::vector<std::vector<std::string>> result;
  Rows rows(*this, statement, columns);
  while (rows.next()) {
    result.emplace_back();
    for (std::size_t i = 0; i < columns; ++i) result.back().push_back(rows.text(i));
  }
  return result;
}

std::int64_t Session::execute(const Sql& sql) { return run(sql.text(), false); }

std::int64_t Session::last_insert_id() {
  long long id = 0;
  soci_->get_last_insert_id("", id);
  return id;
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
