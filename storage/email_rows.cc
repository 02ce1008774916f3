#include "storage/email_rows.h"

#include <utility>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"
#include "storage/reads.h"

namespace orderd::storage {
namespace {

Uuid email_uuid(const pb::Email& email) {
  const auto id = Uuid::parse(email.email_id());
  if (!id) throw Error(Error::Kind::kInternal, "an e-mail's id is not a UUID");
  return *id;
}

void set_time(Micros micros, google::protobuf::Timestamp* (pb::Email::*field)(), pb::Email& email) {
  if (micros != kNoTime) *(email.*field)() = to_timestamp(micros);
}

constexpr std::size_t kEmailColumns = 12;

/// SELECT of the columns that `read_email` reads.
Sql select_emails(Session& session) {
  Sql sql = session.sql();
  sql << "SELECT order_id, email_id, kind, status, recipient, message_id, tries, create_time,"
         " next_time, send_time, last_error, last_code";
  return sql;
}

pb::Email read_email(Rows& row) {
  pb::Email email;
  email.set_order_id(row.id(0).to_string());
  email.set_email_id(row.id(1).to_string());
  email.set_kind(static_cast<pb::EmailKind>(row.number(2)));
  email.set_status(static_cast<pb::EmailStatus>(row.number(3)));
  email.set_recipient(std::move(row.text(4)));
  email.set_message_id(std::move(row.text(5)));
  email.set_tries(static_cast<std::int32_t>(row.number(6)));
  set_time(row.number(7), &pb::Email::mutable_create_time, email);
  set_time(row.number(8), &pb::Email::mutable_next_time, email);
  set_time(row.number(9), &pb::Email::mutable_send_time, email);
  email.set_last_error(std::move(row.text(10)));
  email.set_last_code(static_cast<std::int32_t>(row.number(11)));
  return email;
}

void write_rows(Session& session, std::span<const EmailRow> rows, bool update) {
  MultiInsert insert(session,
                     "INSERT INTO order_emails (order_id, email_id, kind, status, recipient,"
                     " message_id, tries, create_time, next_time, send_time, last_error, last_code,"
                     " snapshot) VALUES",
                     [update](Sql& sql) {
                       if (!update) return;
                       sql.overwrite(
                           "order_id, email_id",
                           {"kind", "status", "recipient", "message_id", "tries", "create_time",
                            "next_time", "send_time", "last_error", "last_code"});
                     });
  for (const auto& [order_id, email, snapshot] : rows) {
    insert.row(order_id, email_uuid(email), static_cast<int>(email.kind()),
               static_cast<int>(email.status()), Text{email.recipient()}, Text{email.message_id()},
               email.tries(), time_or_none(email.has_create_time(), email.create_time()),
               time_or_none(email.has_next_time(), email.next_time()),
               time_or_none(email.has_send_time(), email.send_time()), Text{email.last_error()},
               email.last_code(), Blob{snapshot});
  }
  insert.flush();
}

/// A condition on the primary key.
}  // namespace

void write_emails(Session& session, std::span<const EmailRow> created,
                  std::span<const EmailRow> updated) {
  write_rows(session, created, false);
  // The rows exist, and their orders are locked: an upsert can only overwrite.
  write_rows(session, updated, true);
}

std::map<EmailKey, pb::Email> read_emails(Session& session, std::span<const EmailKey> keys) {
  std::map<EmailKey, pb::Email> result;
  in_chunks(keys, [&](std::span<const EmailKey> chunk) {
    Sql sql = select_emails(session);
    sql << " FROM order_emails";
    use_primary(sql) << " WHERE ";
    append_keys(sql, chunk, "order_id", "email_id", &EmailKey::email_id);
    Rows rows = session.query(sql, kEmailColumns);
    while (rows.next()) {
      const EmailKey key{rows.id(0), rows.id(1)};
      result.emplace(key, read_email(rows));
    }
  });
  return result;
}

std::vector<EmailRow> read_emails_of(Session& session, std::span<const Uuid> order_ids) {
  Sql sql = select_emails(session);
  sql << " FROM order_emails";
  use_primary(sql) << " WHERE order_id IN (";
  sql.ids(order_ids) << ") ORDER BY order_id, email_id";
  std::vector<EmailRow> result;
  Rows rows = session.query(sql, kEmailColumns);
  while (rows.next()) {
    const Uuid order_id = rows.id(0);
    result.push_back({order_id, read_email(rows), {}});
  }
  return result;
}

std::vector<pb::Email> read_email_page(Session& session, const std::optional<Uuid>& order_id,
                                       std::optional<pb::EmailStatus> status,
                                       const std::optional<Uuid>& after, int limit) {
  Sql sql = select_emails(session);
  sql << " FROM order_emails";
  // An order has few e-mails, so that their status is looked at row by row.
  Fixed order_by = "email_id";
  if (order_id) {
    use_primary(sql) << " WHERE order_id = " << *order_id << " AND ";
    order_by = "order_id, email_id";
  } else if (status) {
    sql.either(" INDEXED BY order_emails_by_status", " FORCE INDEX (order_emails_by_status)")
        << " WHERE ";
    order_by = "status, email_id";
  } else {
    sql.either(" INDEXED BY order_emails_by_id", " FORCE INDEX (order_emails_by_id)") << " WHERE ";
  }
  if (status) sql << "status = " << static_cast<int>(*status) << " AND ";
  if (after) sql << "email_id > " << *after << " AND ";
  sql << "1 = 1 ORDER BY " << order_by << " LIMIT " << limit;
  std::vector<pb::Email> result;
  Rows rows = session.query(sql, kEmailColumns);
  while (rows.next()) result.push_back(read_email(rows));
  return result;
}

Backlog read_email_backlog(Session& session, pb::EmailStatus status, int most) {
  const auto of_status = [&](Sql& sql, Fixed column, int limit) -> Sql& {
    sql << "SELECT " << column << " FROM order_emails";
    sql.either(" INDEXED BY order_emails_by_status", " FORCE INDEX (order_emails_by_status)");
    return sql << " WHERE status = " << static_cast<int>(status)
               << " ORDER BY status, email_id LIMIT " << limit;
  };
  Backlog backlog;
  {
    Sql sql = session.sql();
    of_status(sql << "SELECT COUNT(*) FROM (", "email_id", most) << ") page";
    Rows rows = session.query(sql, 1);
    if (rows.next()) backlog.count = rows.number(0);
  }
  // Ids of e-mails sort by the time of their making.
  Sql sql = session.sql();
  Rows rows = session.query(of_status(sql, "create_time", 1), 1);
  if (rows.next()) backlog.oldest = rows.number(0);
  return backlog;
}

std::vector<EmailRow> claim_emails(Session& session, Micros now, Micros lease_until, int limit) {
  std::vector<EmailRow> claimed;
  std::vector<EmailKey> keys;
  {
    Sql sql = select_emails(session);
    sql << ", snapshot FROM order_emails";
    sql.either(" INDEXED BY order_emails_due", " FORCE INDEX (order_emails_due)");
    sql << " WHERE status = " << static_cast<int>(pb::EMAIL_STATUS_PENDING)
        << " AND next_time <= " << now << " ORDER BY status, next_time LIMIT " << limit;
    // What another server is claiming or changing at this moment is not for this one.
    sql.either("", " FOR UPDATE SKIP LOCKED");
    Rows rows = session.query(sql, kEmailColumns + 1);
    while (rows.next()) {
      keys.push_back({rows.id(0), rows.id(1)});
      std::string snapshot = std::move(rows.text(kEmailColumns));
      claimed.push_back({keys.back().order_id, read_email(rows), std::move(snapshot)});
      *claimed.back().email.mutable_next_time() = to_timestamp(lease_until);
    }
  }
  in_chunks(std::span<const EmailKey>(keys), [&](std::span<const EmailKey> chunk) {
    Sql sql = session.sql();
    sql << "UPDATE order_emails";
    use_primary(sql) << " SET next_time = " << lease_until << " WHERE ";
    session.execute(append_keys(sql, chunk, "order_id", "email_id", &EmailKey::email_id));
  });
  return claimed;
}

}  // namespace orderd::storage
