#include "storage/write.h"

#include <algorithm>

#include "storage/api_key_rows.h"
#include "storage/email_rows.h"
#include "storage/erasure_rows.h"
#include "storage/feed.h"
#include "storage/multi_insert.h"
#include "storage/order_rows.h"
#include "storage/payment_rows.h"
#include "storage/payment_schedule.h"
#include "storage/reads.h"
#include "storage/settings_rows.h"
#include "storage/shipment_rows.h"

namespace orderd::storage {
namespace {

Uuid note_uuid(const pb::Note& note) {
  const auto id = Uuid::parse(note.note_id());
  if (!id) throw Error(Error::Kind::kInternal, "a note's id is not a UUID");
  return *id;
}

void write_notes(Session& session, std::span<const NoteRow> notes, bool update) {
  MultiInsert insert(session,
                     "INSERT INTO order_notes (order_id, note_id, author, body, visibility,"
                     " create_time, update_time) VALUES",
                     [update](Sql& sql) {
                       if (!update) return;
                       sql.overwrite("order_id, note_id", {"author", "body", "visibility",
                                                           "create_time", "update_time"});
                     });
  for (const NoteRow& row : notes) {
    const pb::Note& note = row.note;
    insert.row(row.order_id, note_uuid(note), Text{note.author()}, Text{note.body()},
               static_cast<int>(note.visibility()),
               note.has_create_time() ? to_micros(note.create_time()) : kNoTime,
               note.has_update_time() ? to_micros(note.update_time()) : kNoTime);
  }
  insert.flush();
}

void delete_notes(Session& session, std::span<const NoteKey> keys) {
  in_chunks(keys, [&](std::span<const NoteKey> chunk) {
    Sql sql = session.sql();
    append_delete(sql, "order_notes") << " WHERE ";
    session.execute(append_keys(sql, chunk, "order_id", "note_id", &NoteKey::note_id));
  });
}

constexpr ClaimKind kClaimKinds[] = {ClaimKind::kOrderNumber, ClaimKind::kInvoiceNumber,
                                     ClaimKind::kPaymentReference};

void release_claims(Session& session, std::vector<Claim> claims) {
  std::ranges::sort(claims);
  for (const ClaimKind kind : kClaimKinds) {
    std::vector<std::string_view> values;
    for (const Claim& claim : claims) {
      if (claim.kind == kind) values.push_back(claim.value);
    }
    in_chunks(std::span<const std::string_view>(values), [&](auto chunk) {
      Sql sql = session.sql();
      append_delete(sql, claim_table(kind)) << " WHERE value IN (";
      bool first = true;
      for (const std::string_view value : chunk) {
        if (!first) sql << ",";
        first = false;
        sql << Blob{value};
      }
      session.execute(sql << ")");
    });
  }
}

void take_claims(Session& session, const std::map<Claim, ClaimHolder>& claims) {
  MultiInsert order_numbers(session,
                            "INSERT INTO order_numbers (value, order_id, import_digest) VALUES");
  MultiInsert invoice_numbers(session, "INSERT INTO invoice_numbers (value, order_id) VALUES");
  MultiInsert references(session, "INSERT INTO payment_references (value, order_id) VALUES");
  for (const auto& [claim, holder] : claims) {
    switch (claim.kind) {
      case ClaimKind::kOrderNumber:
        order_numbers.row(Blob{claim.value}, holder.order_id, Blob{holder.import_digest});
        break;
      case ClaimKind::kInvoiceNumber:
        invoice_numbers.row(Blob{claim.value}, holder.order_id);
        break;
      case ClaimKind::kPaymentReference:
        references.row(Blob{claim.value}, holder.order_id);
        break;
    }
  }
  order_numbers.flush();
  invoice_numbers.flush();
  references.flush();
}

/// Those of which the currency is new.
std::vector<const StoredOrder*> with_new_currency(
    std::span<const ChangeSet::BeforeAfter> payments_updated) {
  std::vector<const StoredOrder*> orders;
  for (const auto& [before, after] : payments_updated) {
    if (before->order->currency_code() != after->order->currency_code()) orders.push_back(after);
  }
  return orders;
}

void insert_requests(Session& session, Micros now, std::span<const RequestRecord> requests) {
  MultiInsert insert(session,
                     "INSERT INTO requests (request_key, body_hash, order_id, version, outcome,"
                     " create_time) VALUES");
  for (const RequestRecord& record : requests) {
    const std::string outcome = record.outcome.SerializeAsString();
    insert.row(Blob{record.key.raw()}, Blob{record.body_hash}, record.order_id, record.version,
               Blob{outcome}, record.kept_for_ever ? kKeptForEver : now);
  }
  insert.flush();
}

class WriteTransactionImpl : public WriteTransaction {
 public:
  explicit WriteTransactionImpl(Lease lease) : lease_(std::move(lease)) {
    lease_->begin(Role::kWrite);
  }

  std::vector<OrderVersion> versions(std::span<const Uuid> ids) override {
    return read_versions(*lease_, ids);
  }
  std::vector<OrderPtr> load_orders(std::span<const Uuid> ids) override {
    return read_orders(*lease_, ids);
  }
  std::map<NoteKey, pb::Note> load_notes(std::span<const NoteKey> keys) override {
    return read_notes(*lease_, keys);
  }
  std::map<TransactionKey, pb::PaymentTransaction> load_transactions(
      std::span<const TransactionKey> keys) override {
    return read_transactions(*lease_, keys);
  }
  std::vector<TransactionRow> load_ledgers(std::span<const Uuid> order_ids) override {
    return read_ledgers(*lease_, order_ids);
  }
  std::map<EmailKey, pb::Email> load_emails(std::span<const EmailKey> keys) override {
    return read_emails(*lease_, keys);
  }
  std::vector<RequestRecord> find_requests(std::span<const RequestKey> keys) override {
    return read_requests(*lease_, keys);
  }
  std::map<Claim, ClaimHolder> find_claims(std::span<const Claim> claims) override {
    return read_claims(*lease_, claims);
  }
  Settings load_settings() override { return read_settings(*lease_); }
  std::int64_t settings_version() override { return read_settings_version(*lease_); }
  std::int64_t api_keys_version() override { return read_api_keys_version(*lease_); }

  std::vector<OrderVersion> lock_orders(std::span<const Uuid> sorted, LockMode mode) override {
    std::vector<OrderVersion> result;
    in_chunks(sorted, [&](std::span<const Uuid> chunk) {
      Sql sql = lease_->sql();
      sql << "SELECT id, version FROM orders";
      use_primary(sql) << " WHERE id IN (";
      sql.ids(chunk) << ") ORDER BY id";
      sql.either("", " FOR UPDATE");
      if (mode == LockMode::kSkipLocked) sql.either("", " SKIP LOCKED");
      Rows rows = lease_->query(sql, 2);
      while (rows.next()) result.push_back({rows.id(0), rows.number(1)});
    });
    return result;
  }

  OrderRecords load_records(std::span<const Uuid> order_ids) override {
    return read_records(*lease_, order_ids);
  }

  void save(const ChangeSet& changes) override {
    Session& session = *lease_;
    insert_batch(session, changes.batch_key, changes.now);
    insert_orders(session, changes.created);
    update_heads(session, changes.updated, changes.states_updated);
    update_customers(session, changes.customer_updated);
    update_labels(session, changes.labels_updated);
    write_shipments(session, changes.created, changes.shipments_updated);
    update_currencies(session, with_new_currency(changes.payments_updated));
    write_payments(session, changes.created, changes.payments_updated);
    write_transactions(session, changes.transactions_created, changes.transactions_updated);
    write_schedule(session, changes.schedule);
    write_emails(session, changes.emails_created, changes.emails_updated);
    delete_notes(session, changes.notes_deleted);
    write_notes(session, changes.notes_created, false);
    write_notes(session, changes.notes_updated, true);
    release_claims(session, changes.claims_released);
    take_claims(session, changes.claims_taken);
    insert_requests(session, changes.now, changes.requests);
    insert_events(session, changes.events);
    overwrite_events(session, changes.events_updated);
    erase_snapshots(session, changes.snapshots_erased);
    write_erased_orders(session, changes.erased_orders);
  }

  std::optional<Positions> take_positions(int count, std::int64_t settings_version,
                                          Micros now) override {
    if (lease_->dialect() == Dialect::kMysql) {
      if (const auto positions = take_positions_at(now, count, settings_version)) return positions;
    }
    Sql take = lease_->sql();
    take << "UPDATE feed_head SET pos = pos + " << count
         << ", last_time = CASE WHEN last_time >= " << now << " THEN last_time + 1 ELSE " << now
         << " END WHERE id = 1 AND settings_version = " << settings_version;
    if (lease_->execute(take) == 0) return std::nullopt;
    Rows rows =
        lease_->query(lease_->sql() << "SELECT pos, last_time FROM feed_head WHERE id = 1", 2);
    if (!rows.next()) throw Error(Error::Kind::kSchema, "the database has no feed head");
    return Positions{rows.number(0) - count + 1, rows.number(1)};
  }

  /// With one statement less while everybody waits for the row; only if the clock is past all
  /// earlier times, as it mostly is.
  std::optional<Positions> take_positions_at(Micros now, int count, std::int64_t settings_version) {
    Sql take = lease_->sql();
    take << "UPDATE feed_head SET pos = LAST_INSERT_ID(pos + " << count << "), last_time = " << now
         << " WHERE id = 1 AND settings_version = " << settings_version << " AND last_time < "
         << now;
    if (lease_->execute(take) == 0) return std::nullopt;
    return Positions{lease_->last_insert_id() - count + 1, now};
  }

  void restamp(std::span<const Uuid> sorted, Micros time) override {
    in_chunks(sorted, [&](std::span<const Uuid> chunk) {
      Sql sql = lease_->sql();
      sql << "UPDATE orders";
      use_primary(sql) << " SET update_time = " << time << " WHERE id IN (";
      lease_->execute(sql.ids(chunk) << ")");
    });
  }

  void append_feed(std::int64_t first, std::span<const FeedRow> rows) override {
    insert_feed(*lease_, first, rows);
  }

  Settings lock_settings() override {
    Settings settings;
    {
      Sql sql = lease_->sql();
      sql << "SELECT settings_version FROM feed_head WHERE id = 1";
      Rows rows = lease_->query(sql.either("", " FOR UPDATE"), 1);
      if (!rows.next()) throw Error(Error::Kind::kSchema, "the database has no feed head");
      settings.version = rows.number(0);
    }
    read_settings_rows(*lease_, settings);
    return settings;
  }

  bool any_order_in(std::string_view state_id) override {
    return !read_ids_in_state(*lease_, state_id, 1).empty();
  }

  bool any_order_with_delivery_state(std::string_view delivery_state_id) override {
    return any_with_delivery_state(*lease_, delivery_state_id);
  }
  bool any_order_with_method(std::string_view method_id) override {
    return any_with_method(*lease_, method_id);
  }

  void save_order_state(const pb::OrderState& state) override { save_row(*lease_, state); }
  void save_delivery_state(const pb::DeliveryState& state) override { save_row(*lease_, state); }
  void save_shipment_method(const pb::ShipmentMethod& method) override {
    save_row(*lease_, method);
  }

  void set_settings_version(std::int64_t version) override {
    Sql sql = lease_->sql();
    sql << "UPDATE feed_head SET settings_version = " << version << " WHERE id = 1";
    lease_->execute(sql);
  }

  void lock_api_keys() override { raise_api_keys_version(*lease_); }
  std::optional<ApiKeyRow> find_api_key(std::string_view key_id) override {
    return read_api_key(*lease_, key_id);
  }
  std::int64_t count_api_keys() override { return storage::count_api_keys(*lease_); }
  void add_api_key(const ApiKeyRow& row) override { insert_api_key(*lease_, row); }
  void revoke_api_key(std::string_view key_id, Micros time, std::string_view by) override {
    mark_revoked(*lease_, key_id, time, by);
  }
  void save_requests(const Uuid& batch_key, Micros now,
                     std::span<const RequestRecord> requests) override {
    insert_batch(*lease_, batch_key, now);
    insert_requests(*lease_, now, requests);
  }

  void commit() override { lease_->commit(); }

 private:
  Lease lease_;
};

}  // namespace

void insert_batch(Session& session, const Uuid& batch_key, Micros now) {
  MultiInsert insert(session, "INSERT INTO batches (batch_key, create_time) VALUES");
  insert.row(batch_key, now);
  insert.flush();
}

std::unique_ptr<WriteTransaction> make_write_transaction(Lease lease) {
  return std::make_unique<WriteTransactionImpl>(std::move(lease));
}

}  // namespace orderd::storage
