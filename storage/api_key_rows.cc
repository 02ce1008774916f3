#include "storage/api_key_rows.h"

#include <utility>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"

namespace orderd::storage {
namespace {

constexpr std::size_t kColumns = 10;

Sql select_keys(Session& session) {
  Sql sql = session.sql();
  sql << "SELECT key_id, secret_hash, name, role, create_time, created_by, expire_time,"
         " revoke_time, revoked_by, last_use_time FROM api_keys";
  return sql;
}

void set_time(Micros micros, google::protobuf::Timestamp* (pb::ApiKey::*field)(), pb::ApiKey& key) {
  if (micros != kNoTime) *(key.*field)() = to_timestamp(micros);
}

ApiKeyRow read_row(Rows& row) {
  ApiKeyRow read;
  pb::ApiKey& key = read.key;
  key.set_key_id(std::move(row.text(0)));
  read.secret_hash = std::move(row.text(1));
  key.set_name(std::move(row.text(2)));
  key.set_role(static_cast<pb::Role>(row.number(3)));
  set_time(row.number(4), &pb::ApiKey::mutable_create_time, key);
  key.set_created_by(std::move(row.text(5)));
  set_time(row.number(6), &pb::ApiKey::mutable_expire_time, key);
  set_time(row.number(7), &pb::ApiKey::mutable_revoke_time, key);
  key.set_revoked_by(std::move(row.text(8)));
  set_time(row.number(9), &pb::ApiKey::mutable_last_use_time, key);
  return read;
}

}  // namespace

std::int64_t read_api_keys_version(Session& session) {
  Rows rows = session.query(session.sql() << "SELECT version FROM api_keys_head WHERE id = 1", 1);
  if (!rows.next()) throw Error(Error::Kind::kSchema, "the database has no head of API keys");
  return rows.number(0);
}

std::vector<ApiKeyRow> read_api_keys(Session& session, Micros revoked_before) {
  std::vector<ApiKeyRow> result;
  Rows rows = session.query(select_keys(session) << " WHERE revoke_time = " << kNoTime
                                                 << " OR revoke_time >= " << revoked_before,
                            kColumns);
  while (rows.next()) result.push_back(read_row(rows));
  return result;
}

std::vector<pb::ApiKey> read_api_key_page(Session& session,
                                          const std::optional<ApiKeyKeyset>& after, int limit) {
  Sql sql = select_keys(session);
  sql.either(" INDEXED BY api_keys_by_create", " FORCE INDEX (api_keys_by_create)");
  if (after) {
    sql << " WHERE create_time >= " << after->create_time << " AND (create_time > "
        << after->create_time << " OR key_id > " << Blob{after->key_id} << ")";
  }
  std::vector<pb::ApiKey> result;
  Rows rows = session.query(sql << " ORDER BY create_time, key_id LIMIT " << limit, kColumns);
  while (rows.next()) result.push_back(read_row(rows).key);
  return result;
}

std::optional<ApiKeyRow> read_api_key(Session& session, std::string_view key_id) {
  Rows rows = session.query(select_keys(session) << " WHERE key_id = " << Blob{key_id}, kColumns);
  if (!rows.next()) return std::nullopt;
  return read_row(rows);
}

std::int64_t count_api_keys(Session& session) {
  Rows rows = session.query(
      session.sql() << "SELECT COUNT(*) FROM api_keys WHERE revoke_time = " << kNoTime, 1);
  rows.next();
  return rows.number(0);
}

void raise_api_keys_version(Session& session) {
  if (session.execute("UPDATE api_keys_head SET version = version + 1 WHERE id = 1") == 0) {
    throw Error(Error::Kind::kSchema, "the database has no head of API keys");
  }
}

void insert_api_key(Session& session, const ApiKeyRow& row) {
  const pb::ApiKey& key = row.key;
  MultiInsert insert(session,
                     "INSERT INTO api_keys (key_id, secret_hash, name, role, create_time,"
                     " created_by, expire_time, revoke_time, revoked_by, last_use_time) VALUES");
  insert.row(Blob{key.key_id()}, Blob{row.secret_hash}, Text{key.name()},
             static_cast<int>(key.role()), to_micros(key.create_time()), Text{key.created_by()},
             time_or_none(key.has_expire_time(), key.expire_time()), kNoTime, Text{""}, kNoTime);
  insert.flush();
}

void mark_revoked(Session& session, std::string_view key_id, Micros time, std::string_view by) {
  session.execute(session.sql() << "UPDATE api_keys SET revoke_time = " << time << ", revoked_by = "
                                << Text{by} << " WHERE key_id = " << Blob{key_id});
}

void mark_used(Session& session, std::span<const ApiKeyUse> uses) {
  for (const ApiKeyUse& use : uses) {
    session.execute(session.sql() << "UPDATE api_keys SET last_use_time = " << use.time
                                  << " WHERE key_id = " << Blob{use.key_id}
                                  << " AND last_use_time < " << use.time);
  }
}

}  // namespace orderd::storage
