#include "storage/erasure_rows.h"

#include <iterator>
#include <map>
#include <utility>

#include "storage/email_rows.h"
#include "storage/multi_insert.h"
#include "storage/order_rows.h"
#include "storage/reads.h"

namespace orderd::storage {
namespace {

constexpr std::size_t kErasureColumns = 9;

/// SELECT of the columns that `read_row` reads.
Sql select_erasures(Session& session) {
  Sql sql = session.sql();
  sql << "SELECT erasure_id, actor, selector, pseudonym, include_open, erase_texts, start_time,"
         " complete_time, body_hash FROM erasures";
  return sql;
}

ErasureRow read_row(Rows& row) {
  ErasureRow result;
  pb::Erasure& erasure = result.erasure;
  erasure.set_erasure_id(row.id(0).to_string());
  erasure.set_actor(std::move(row.text(1)));
  erasure.set_selector(static_cast<pb::ErasureSelector>(row.number(2)));
  erasure.set_pseudonym(std::move(row.text(3)));
  erasure.set_include_open(row.number(4) != 0);
  erasure.set_erase_texts(row.number(5) != 0);
  *erasure.mutable_start_time() = to_timestamp(row.number(6));
  const Micros completed = row.number(7);
  if (completed != kNoTime) *erasure.mutable_complete_time() = to_timestamp(completed);
  result.body_hash = std::move(row.text(8));
  return result;
}

Uuid id_of(const pb::Erasure& erasure) {
  const auto id = Uuid::parse(erasure.erasure_id());
  if (!id) throw Error(Error::Kind::kInternal, "an erasure's id is not a UUID");
  return *id;
}

void add_counts(Session& session, std::span<pb::Erasure* const> erasures) {
  std::map<Uuid, pb::Erasure*> by_id;
  std::vector<Uuid> ids;
  for (pb::Erasure* erasure : erasures) {
    ids.push_back(id_of(*erasure));
    by_id[ids.back()] = erasure;
  }
  in_chunks(std::span<const Uuid>(ids), [&](std::span<const Uuid> chunk) {
    Sql sql = session.sql();
    sql << "SELECT erasure_id, COUNT(*), SUM(CASE WHEN LENGTH(skip_reason) = 0 THEN 0 ELSE 1 END),"
           " SUM(emails) FROM erased_orders";
    use_primary(sql) << " WHERE erasure_id IN (";
    sql.ids(chunk) << ") GROUP BY erasure_id";
    Rows rows = session.query(sql, 4);
    while (rows.next()) {
      pb::Erasure& erasure = *by_id.at(rows.id(0));
      erasure.set_orders_skipped(rows.number(2));
      erasure.set_orders_erased(rows.number(1) - erasure.orders_skipped());
      erasure.set_emails_erased(rows.number(3));
    }
  });
}

/// Overwrites, or leaves alone, the row of the same erasure and order.
void write_orders(Session& session, std::span<const ErasedOrder> orders, bool overwrite) {
  MultiInsert insert(session,
                     "INSERT INTO erased_orders (erasure_id, order_id, skip_reason, emails) VALUES",
                     [overwrite](Sql& sql) {
                       if (overwrite) {
                         sql.overwrite("erasure_id, order_id", {"skip_reason", "emails"});
                       } else {
                         // Overwriting the key with itself changes nothing.
                         sql.overwrite("erasure_id, order_id", {"erasure_id"});
                       }
                     });
  for (const ErasedOrder& order : orders) {
    insert.row(order.erasure_id, order.order_id, Blob{order.skip_reason}, order.emails);
  }
  insert.flush();
}

}  // namespace

OrderRecords read_records(Session& session, std::span<const Uuid> order_ids) {
  OrderRecords records;
  in_chunks(order_ids, [&](std::span<const Uuid> chunk) {
    {
      Sql sql = session.sql();
      sql << "SELECT order_id, version, n, type, event_time, payload FROM order_events";
      use_primary(sql) << " WHERE order_id IN (";
      sql.ids(chunk) << ") ORDER BY order_id, version, n";
      Rows rows = session.query(sql, 6);
      while (rows.next()) {
        records.events.push_back({rows.id(0), rows.number(1), static_cast<int>(rows.number(2)),
                                  static_cast<int>(rows.number(3)), rows.number(4),
                                  std::move(rows.text(5))});
      }
    }
    auto notes = read_notes_of(session, chunk);
    std::move(notes.begin(), notes.end(), std::back_inserter(records.notes));
    auto emails = read_emails_of(session, chunk);
    std::move(emails.begin(), emails.end(), std::back_inserter(records.emails));
  });
  return records;
}

void overwrite_events(Session& session, std::span<const EventRow> events) {
  // The rows exist, and their orders are locked: an upsert can only overwrite.
  MultiInsert update(session,
                     "INSERT INTO order_events (order_id, version, n, type, event_time, payload)"
                     " VALUES",
                     [](Sql& sql) { sql.overwrite("order_id, version, n", {"payload"}); });
  for (const EventRow& row : events) {
    update.row(row.order_id, row.version, row.index, row.type, row.time, Blob{row.event});
  }
  update.flush();
}

void erase_snapshots(Session& session, std::span<const EmailKey> emails) {
  in_chunks(emails, [&](std::span<const EmailKey> chunk) {
    Sql sql = session.sql();
    sql << "UPDATE order_emails";
    use_primary(sql) << " SET snapshot = " << Blob{{}} << " WHERE ";
    session.execute(append_keys(sql, chunk, "order_id", "email_id", &EmailKey::email_id));
  });
}

void write_erased_orders(Session& session, std::span<const ErasedOrder> erased) {
  write_orders(session, erased, true);
}

void write_skipped_orders(Session& session, std::span<const ErasedOrder> skipped) {
  write_orders(session, skipped, false);
}

void insert_erasure(Session& session, const ErasureRow& row) {
  const pb::Erasure& erasure = row.erasure;
  Sql sql = session.sql();
  sql.either("INSERT OR IGNORE", "INSERT IGNORE")
      << " INTO erasures (erasure_id, actor, selector, pseudonym, body_hash, include_open,"
         " erase_texts, start_time, complete_time) VALUES (";
  sql.list(id_of(erasure), Text{erasure.actor()}, static_cast<int>(erasure.selector()),
           Blob{erasure.pseudonym()}, Blob{row.body_hash}, erasure.include_open() ? 1 : 0,
           erasure.erase_texts() ? 1 : 0, to_micros(erasure.start_time()), kNoTime);
  session.execute(sql << ")");
}

void complete_erasure(Session& session, const Uuid& erasure_id, Micros time) {
  Sql sql = session.sql();
  sql << "UPDATE erasures";
  use_primary(sql) << " SET complete_time = " << time << " WHERE erasure_id = " << erasure_id
                   << " AND complete_time = " << kNoTime;
  session.execute(sql);
}

std::optional<ErasureRow> read_erasure(Session& session, const Uuid& erasure_id) {
  std::optional<ErasureRow> result;
  {
    Sql sql = select_erasures(session);
    use_primary(sql) << " WHERE erasure_id = " << erasure_id;
    Rows rows = session.query(sql, kErasureColumns);
    if (rows.next()) result = read_row(rows);
  }
  if (result) {
    pb::Erasure* const erasure = &result->erasure;
    add_counts(session, {&erasure, 1});
  }
  return result;
}

std::vector<pb::Erasure> read_erasure_page(Session& session, std::string_view pseudonym,
                                           const std::optional<ListQuery::Keyset>& after,
                                           int limit) {
  Sql sql = select_erasures(session);
  Fixed order_by = "start_time DESC, erasure_id DESC";
  if (pseudonym.empty()) {
    sql.either(" INDEXED BY erasures_by_start", " FORCE INDEX (erasures_by_start)") << " WHERE ";
  } else {
    sql.either(" INDEXED BY erasures_by_pseudonym", " FORCE INDEX (erasures_by_pseudonym)");
    sql << " WHERE pseudonym = " << Blob{pseudonym} << " AND ";
    order_by = "pseudonym DESC, start_time DESC, erasure_id DESC";
  }
  if (after) {
    sql << "start_time <= " << after->sort_key << " AND (start_time < " << after->sort_key
        << " OR erasure_id < " << after->id << ") AND ";
  }
  sql << "1 = 1 ORDER BY " << order_by << " LIMIT " << limit;
  std::vector<pb::Erasure> page;
  {
    Rows rows = session.query(sql, kErasureColumns);
    while (rows.next()) page.push_back(read_row(rows).erasure);
  }
  std::vector<pb::Erasure*> erasures;
  for (pb::Erasure& erasure : page) erasures.push_back(&erasure);
  add_counts(session, erasures);
  return page;
}

std::vector<ListQuery::Keyset> read_customer_orders(Session& session,
                                                    const CustomerSelector& customer,
                                                    const std::optional<ListQuery::Keyset>& after,
                                                    int limit) {
  Sql sql = session.sql();
  sql << "SELECT create_time, id FROM orders";
  if (!customer.customer_id.empty()) {
    sql.either(" INDEXED BY orders_by_customer", " FORCE INDEX (orders_by_customer)");
    sql << " WHERE customer_id = " << Text{customer.customer_id};
    // MySQL's comparison of texts ignores spaces at the end.
    if (sql.dialect() == Dialect::kMysql) {
      sql << " AND CAST(customer_id AS BINARY) = " << Blob{customer.customer_id};
    }
  } else {
    const std::string key = email_key(customer.email);
    sql.either(" INDEXED BY orders_by_email_create", " FORCE INDEX (orders_by_email_create)");
    sql << " WHERE email_key = " << Blob{key};
  }
  if (after) {
    sql << " AND create_time >= " << after->sort_key << " AND (create_time > " << after->sort_key
        << " OR id > " << after->id << ")";
  }
  sql << " ORDER BY create_time, id LIMIT " << limit;
  std::vector<ListQuery::Keyset> orders;
  Rows rows = session.query(sql, 2);
  while (rows.next()) orders.push_back({rows.number(0), rows.id(1)});
  return orders;
}

}  // namespace orderd::storage
