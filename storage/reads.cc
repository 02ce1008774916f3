#include "storage/reads.h"

#include "storage/multi_insert.h"
#include "storage/order_rows.h"

namespace orderd::storage {
namespace {

pb::Note read_note(Rows& row, std::size_t first) {
  pb::Note note;
  note.set_note_id(row.id(first).to_string());
  note.set_author(std::move(row.text(first + 1)));
  note.set_body(std::move(row.text(first + 2)));
  note.set_visibility(static_cast<pb::NoteVisibility>(row.number(first + 3)));
  const Micros created = row.number(first + 4);
  const Micros updated = row.number(first + 5);
  if (created != kNoTime) *note.mutable_create_time() = to_timestamp(created);
  if (updated != kNoTime) *note.mutable_update_time() = to_timestamp(updated);
  return note;
}

}  // namespace

std::vector<OrderVersion> read_versions(Session& session, std::span<const Uuid> ids) {
  std::vector<OrderVersion> result;
  in_chunks(ids, [&](std::span<const Uuid> chunk) {
    Sql sql = session.sql();
    sql << "SELECT id, version FROM orders";
    use_primary(sql) << " WHERE id IN (";
    sql.ids(chunk) << ")";
    Rows rows = session.query(sql, 2);
    while (rows.next()) result.push_back({rows.id(0), rows.number(1)});
  });
  return result;
}

std::vector<OrderPtr> read_orders(Session& session, std::span<const Uuid> ids) {
  std::vector<OrderPtr> result;
  in_chunks(ids, [&](std::span<const Uuid> chunk) {
    std::vector<std::shared_ptr<StoredOrder>> orders;
    Sql sql = session.sql();
    sql << "SELECT ";
    append_head_columns(sql);
    sql << " FROM orders AS o";
    use_primary(sql) << " WHERE o.id IN (";
    sql.ids(chunk) << ")";
    {
      Rows rows = session.query(sql, kHeadColumns);
      while (rows.next()) orders.push_back(read_head(rows));
    }
    read_all_children(session, orders);
    result.insert(result.end(), orders.begin(), orders.end());
  });
  return result;
}

std::map<NoteKey, pb::Note> read_notes(Session& session, std::span<const NoteKey> keys) {
  std::map<NoteKey, pb::Note> result;
  in_chunks(keys, [&](std::span<const NoteKey> chunk) {
    Sql sql = session.sql();
    sql << "SELECT order_id, note_id, author, body, visibility, create_time, update_time"
           " FROM order_notes";
    use_primary(sql) << " WHERE ";
    append_keys(sql, chunk, "order_id", "note_id", &NoteKey::note_id);
    Rows rows = session.query(sql, 7);
    while (rows.next()) {
      const NoteKey key{rows.id(0), rows.id(1)};
      result.emplace(key, read_note(rows, 1));
    }
  });
  return result;
}

std::vector<NoteRow> read_notes_of(Session& session, std::span<const Uuid> order_ids) {
  Sql sql = session.sql();
  sql << "SELECT order_id, note_id, author, body, visibility, create_time, update_time"
         " FROM order_notes";
  use_primary(sql) << " WHERE order_id IN (";
  sql.ids(order_ids) << ") ORDER BY order_id, note_id";
  std::vector<NoteRow> result;
  Rows rows = session.query(sql, 7);
  while (rows.next()) result.push_back({rows.id(0), read_note(rows, 1)});
  return result;
}

std::vector<RequestRecord> read_requests(Session& session, std::span<const RequestKey> keys) {
  std::vector<RequestRecord> result;
  in_chunks(keys, [&](std::span<const RequestKey> chunk) {
    Sql sql = session.sql();
    sql << "SELECT request_key, body_hash, order_id, version, outcome, create_time FROM requests";
    use_primary(sql) << " WHERE request_key IN (";
    bool first = true;
    for (const RequestKey& key : chunk) {
      if (!first) sql << ",";
      first = false;
      sql << Blob{key.raw()};
    }
    sql << ")";
    Rows rows = session.query(sql, 6);
    while (rows.next()) {
      RequestRecord record;
      if (rows.text(0).size() != record.key.bytes.size() ||
          !record.outcome.ParseFromString(rows.text(4))) {
        throw Error(Error::Kind::kInternal, "a request's row can't be read");
      }
      std::memcpy(record.key.bytes.data(), rows.text(0).data(), record.key.bytes.size());
      record.body_hash = std::move(rows.text(1));
      record.order_id = rows.id(2);
      record.version = rows.number(3);
      record.kept_for_ever = rows.number(5) == kKeptForEver;
      result.push_back(std::move(record));
    }
  });
  return result;
}

Fixed claim_table(ClaimKind kind) {
  switch (kind) {
    case ClaimKind::kOrderNumber:
      return "order_numbers";
    case ClaimKind::kInvoiceNumber:
      return "invoice_numbers";
    case ClaimKind::kPaymentReference:
      break;
  }
  return "payment_references";
}

std::map<Claim, ClaimHolder> read_claims(Session& session, std::span<const Claim> claims) {
  std::map<Claim, ClaimHolder> result;
  for (const ClaimKind kind :
       {ClaimKind::kOrderNumber, ClaimKind::kInvoiceNumber, ClaimKind::kPaymentReference}) {
    std::vector<std::string_view> values;
    for (const Claim& claim : claims) {
      if (claim.kind == kind) values.push_back(claim.value);
    }
    const bool digest = kind == ClaimKind::kOrderNumber;
    in_chunks(std::span<const std::string_view>(values), [&](auto chunk) {
      Sql sql = session.sql();
      sql << "SELECT value, order_id" << (digest ? Fixed(", import_digest") : Fixed("")) << " FROM "
          << claim_table(kind);
      use_primary(sql) << " WHERE value IN (";
      bool first = true;
      for (const std::string_view value : chunk) {
        if (!first) sql << ",";
        first = false;
        sql << Blob{value};
      }
      sql << ")";
      Rows rows = session.query(sql, digest ? 3 : 2);
      while (rows.next()) {
        ClaimHolder holder{rows.id(1), digest ? std::move(rows.text(2)) : std::string()};
        result.emplace(Claim{kind, std::move(rows.text(0))}, std::move(holder));
      }
    });
  }
  return result;
}

std::vector<pb::Note> read_note_page(Session& session, const Uuid& order_id,
                                     const std::optional<Uuid>& after, int limit) {
  Sql sql = session.sql();
  sql << "SELECT note_id, author, body, visibility, create_time, update_time FROM order_notes";
  use_primary(sql) << " WHERE order_id = " << order_id;
  if (after) sql << " AND note_id > " << *after;
  sql << " ORDER BY order_id, note_id LIMIT " << limit;
  std::vector<pb::Note> result;
  Rows rows = session.query(sql, 6);
  while (rows.next()) result.push_back(read_note(rows, 0));
  return result;
}

std::int64_t read_count(Session& session, std::string_view state_id) {
  Sql sql = session.sql();
  sql << "SELECT COUNT(*) FROM orders";
  sql.either(" INDEXED BY orders_by_state_create", " FORCE INDEX (orders_by_state_create)");
  sql << " WHERE state_id = " << Blob{state_id};
  Rows rows = session.query(sql, 1);
  if (!rows.next()) throw Error(Error::Kind::kInternal, "a count has no row");
  return rows.number(0);
}

std::vector<Uuid> read_ids_in_state(Session& session, std::string_view state_id, int limit) {
  Sql sql = session.sql();
  sql << "SELECT id FROM orders";
  sql.either(" INDEXED BY orders_by_state_create", " FORCE INDEX (orders_by_state_create)");
  sql << " WHERE state_id = " << Blob{state_id} << " ORDER BY state_id, create_time, id LIMIT "
      << limit;
  std::vector<Uuid> result;
  Rows rows = session.query(sql, 1);
  while (rows.next()) result.push_back(rows.id(0));
  return result;
}

}  // namespace orderd::storage
