#include "storage/payment_rows.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"
#include "storage/reads.h"

namespace orderd::storage {
namespace {

using google::protobuf::util::MessageDifferencer;

// Bits of `order_payments.present`.
constexpr std::int64_t kAuthorized = 1 << 0;
constexpr std::int64_t kCaptured = 1 << 1;
constexpr std::int64_t kRefunded = 1 << 2;
constexpr std::int64_t kVoided = 1 << 3;
constexpr std::int64_t kCapturable = 1 << 4;
constexpr std::int64_t kRefundable = 1 << 5;

std::string serialized_details(const pb::Payment& payment) {
  internal::PaymentDetails details;
  if (payment.has_capabilities()) *details.mutable_capabilities() = payment.capabilities();
  *details.mutable_open_transactions() = payment.open_transactions();
  return details.SerializeAsString();
}

void set_details(const std::string& serialized, pb::Payment& payment) {
  if (serialized.empty()) return;
  internal::PaymentDetails details;
  if (!details.ParseFromString(serialized)) {
    throw Error(Error::Kind::kInternal, "the details of a payment can't be read");
  }
  if (details.has_capabilities()) *payment.mutable_capabilities() = details.capabilities();
  *payment.mutable_open_transactions() = std::move(*details.mutable_open_transactions());
}

void add_payment(const Uuid& order_id, int n, const pb::Payment& payment, MultiInsert& insert) {
  const std::int64_t present =
      bit(payment.has_authorized(), kAuthorized) | bit(payment.has_captured(), kCaptured) |
      bit(payment.has_refunded(), kRefunded) | bit(payment.has_voided(), kVoided) |
      bit(payment.has_capturable(), kCapturable) | bit(payment.has_refundable(), kRefundable);
  const std::string details = serialized_details(payment);
  insert.row(order_id, n, present, Text{payment.payment_id()}, Text{payment.gateway_account()},
             Text{payment.gateway_reference()}, static_cast<int>(payment.status()),
             Text{payment.description()}, payment.authorized().amount_minor(),
             payment.captured().amount_minor(), payment.refunded().amount_minor(),
             payment.voided().amount_minor(), payment.capturable().amount_minor(),
             payment.refundable().amount_minor(),
             time_or_none(payment.has_expire_time(), payment.expire_time()),
             payment.attention() ? 1 : 0, payment.discrepancy() ? 1 : 0, payment.capture_count(),
             payment.revision(), Blob{details});
}

Uuid transaction_uuid(const pb::PaymentTransaction& transaction) {
  const auto id = Uuid::parse(transaction.transaction_id());
  if (!id) throw Error(Error::Kind::kInternal, "a transaction's id is not a UUID");
  return *id;
}

void write_ledger(Session& session, std::span<const TransactionRow> rows, bool update) {
  MultiInsert insert(
      session,
      "INSERT INTO payment_transactions (order_id, transaction_id, payment_id, kind, status,"
      " present, amount_minor, gateway_transaction_id, reason, description, final_capture,"
      " made_elsewhere, actor, request_id, create_time, complete_time, released_by, missing_time)"
      " VALUES",
      [update](Sql& sql) {
        if (!update) return;
        sql.overwrite(
            "order_id, transaction_id",
            {"payment_id", "kind", "status", "present", "amount_minor", "gateway_transaction_id",
             "reason", "description", "final_capture", "made_elsewhere", "actor", "request_id",
             "create_time", "complete_time", "released_by", "missing_time"});
      });
  for (const TransactionRow& row : rows) {
    const pb::PaymentTransaction& transaction = row.transaction;
    insert.row(row.order_id, transaction_uuid(transaction), Blob{transaction.payment_id()},
               static_cast<int>(transaction.kind()), static_cast<int>(transaction.status()),
               transaction.has_amount() ? 1 : 0, transaction.amount().amount_minor(),
               Text{transaction.gateway_transaction_id()}, Text{transaction.reason()},
               Text{transaction.description()}, transaction.final_capture() ? 1 : 0,
               transaction.foreign() ? 1 : 0, Text{transaction.actor()},
               Text{transaction.request_id()},
               time_or_none(transaction.has_create_time(), transaction.create_time()),
               time_or_none(transaction.has_complete_time(), transaction.complete_time()),
               Text{transaction.released_by()},
               time_or_none(transaction.has_missing_time(), transaction.missing_time()));
  }
  insert.flush();
}

enum class LedgerIndex { kPrimary, kByPayment };

/// SELECT of the columns that `read_transaction` reads, up to WHERE. The ledger leads the join.
Sql select_transactions(Session& session, LedgerIndex index = LedgerIndex::kPrimary) {
  Sql sql = session.sql();
  sql << "SELECT t.order_id, t.transaction_id, t.payment_id, t.kind, t.status, t.present,"
         " t.amount_minor, t.gateway_transaction_id, t.reason, t.description, t.final_capture,"
         " t.made_elsewhere, t.actor, t.request_id, t.create_time, t.complete_time, t.released_by,"
         " t.missing_time, o.currency FROM payment_transactions AS t";
  if (index == LedgerIndex::kPrimary) {
    use_primary(sql);
  } else {
    sql.either(" INDEXED BY payment_transactions_by_payment",
               " FORCE INDEX (payment_transactions_by_payment)");
  }
  sql.either(" CROSS JOIN orders AS o", " STRAIGHT_JOIN orders AS o");
  return use_primary(sql) << " ON o.id = t.order_id WHERE ";
}

constexpr std::size_t kTransactionColumns = 19;

pb::PaymentTransaction read_transaction(Rows& row) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(row.id(1).to_string());
  transaction.set_payment_id(std::move(row.text(2)));
  transaction.set_kind(static_cast<pb::TransactionKind>(row.number(3)));
  transaction.set_status(static_cast<pb::TransactionStatus>(row.number(4)));
  if (row.number(5) != 0) set_money(row.number(6), row.text(18), transaction.mutable_amount());
  transaction.set_gateway_transaction_id(std::move(row.text(7)));
  transaction.set_reason(std::move(row.text(8)));
  transaction.set_description(std::move(row.text(9)));
  transaction.set_final_capture(row.number(10) != 0);
  transaction.set_foreign(row.number(11) != 0);
  transaction.set_actor(std::move(row.text(12)));
  transaction.set_request_id(std::move(row.text(13)));
  const Micros created = row.number(14);
  const Micros completed = row.number(15);
  const Micros missing = row.number(17);
  if (created != kNoTime) *transaction.mutable_create_time() = to_timestamp(created);
  if (completed != kNoTime) *transaction.mutable_complete_time() = to_timestamp(completed);
  transaction.set_released_by(std::move(row.text(16)));
  if (missing != kNoTime) *transaction.mutable_missing_time() = to_timestamp(missing);
  return transaction;
}

}  // namespace

void write_payments(Session& session, std::span<const StoredOrder* const> created,
                    std::span<const ChangeSet::BeforeAfter> updated) {
  // New rows and changed rows are written alike: their keys lead with the id of an order that is
  // new or locked, so an upsert can't overwrite what somebody else wrote.
  MultiInsert insert(
      session,
      "INSERT INTO order_payments (order_id, n, present, payment_id, gateway_account,"
      " gateway_reference, status, description, authorized_minor, captured_minor, refunded_minor,"
      " voided_minor, capturable_minor, refundable_minor, expire_time, attention, discrepancy,"
      " capture_count, revision, details) VALUES",
      [](Sql& sql) {
        sql.overwrite("order_id, n",
                      {"present", "payment_id", "gateway_account", "gateway_reference", "status",
                       "description", "authorized_minor", "captured_minor", "refunded_minor",
                       "voided_minor", "capturable_minor", "refundable_minor", "expire_time",
                       "attention", "discrepancy", "capture_count", "revision", "details"});
      });
  for (const StoredOrder* order : created) {
    int n = 0;
    for (const pb::Payment& payment : order->order->payments()) {
      add_payment(order->id, n++, payment, insert);
    }
  }
  for (const auto& [before, after] : updated) {
    const auto& old = before->order->payments();
    const auto& now = after->order->payments();
    if (now.size() < old.size()) {
      throw Error(Error::Kind::kInternal, "a payment was removed from an order");
    }
    for (int n = 0; n < now.size(); ++n) {
      if (n < old.size() && MessageDifferencer::Equals(old[n], now[n])) continue;
      add_payment(after->id, n, now[n], insert);
    }
  }
  insert.flush();
}

void read_payments(Session& session, const ById& orders) {
  read_rows(session, orders,
            "SELECT order_id, present, payment_id, gateway_account, gateway_reference, status,"
            " description, authorized_minor, captured_minor, refunded_minor, voided_minor,"
            " capturable_minor, refundable_minor, expire_time, attention, discrepancy,"
            " capture_count, revision, details FROM order_payments",
            "order_id, n", 19, [](Rows& row, pb::Order& order) {
              pb::Payment& payment = *order.add_payments();
              const std::int64_t present = row.number(1);
              payment.set_payment_id(std::move(row.text(2)));
              payment.set_gateway_account(std::move(row.text(3)));
              payment.set_gateway_reference(std::move(row.text(4)));
              payment.set_status(static_cast<pb::PaymentStatus>(row.number(5)));
              payment.set_description(std::move(row.text(6)));
              const auto money = [&](std::int64_t flag, std::size_t column, auto field) {
                if ((present & flag) != 0) {
                  set_money(row.number(column), order.currency_code(), (payment.*field)());
                }
              };
              money(kAuthorized, 7, &pb::Payment::mutable_authorized);
              money(kCaptured, 8, &pb::Payment::mutable_captured);
              money(kRefunded, 9, &pb::Payment::mutable_refunded);
              money(kVoided, 10, &pb::Payment::mutable_voided);
              money(kCapturable, 11, &pb::Payment::mutable_capturable);
              money(kRefundable, 12, &pb::Payment::mutable_refundable);
              const Micros expires = row.number(13);
              if (expires != kNoTime) *payment.mutable_expire_time() = to_timestamp(expires);
              payment.set_attention(row.number(14) != 0);
              payment.set_discrepancy(row.number(15) != 0);
              payment.set_capture_count(static_cast<std::int32_t>(row.number(16)));
              payment.set_revision(row.number(17));
              set_details(row.text(18), payment);
            });
}

void write_transactions(Session& session, std::span<const TransactionRow> created,
                        std::span<const TransactionRow> updated) {
  write_ledger(session, created, false);
  write_ledger(session, updated, true);
}

std::map<TransactionKey, pb::PaymentTransaction> read_transactions(
    Session& session, std::span<const TransactionKey> keys) {
  std::map<TransactionKey, pb::PaymentTransaction> result;
  in_chunks(keys, [&](std::span<const TransactionKey> chunk) {
    Sql sql = select_transactions(session);
    append_keys(sql, chunk, "t.order_id", "t.transaction_id", &TransactionKey::transaction_id);
    Rows rows = session.query(sql, kTransactionColumns);
    while (rows.next()) {
      const TransactionKey key{rows.id(0), rows.id(1)};
      result.emplace(key, read_transaction(rows));
    }
  });
  return result;
}

std::vector<TransactionRow> read_ledgers(Session& session, std::span<const Uuid> order_ids) {
  std::vector<Uuid> ids(order_ids.begin(), order_ids.end());
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::vector<TransactionRow> result;
  in_chunks(std::span<const Uuid>(ids), [&](std::span<const Uuid> chunk) {
    Sql sql = select_transactions(session);
    sql << "t.order_id IN (";
    sql.ids(chunk) << ") ORDER BY t.order_id, t.transaction_id";
    Rows rows = session.query(sql, kTransactionColumns);
    while (rows.next()) {
      const Uuid order_id = rows.id(0);
      result.push_back({order_id, read_transaction(rows)});
    }
  });
  return result;
}

std::vector<pb::PaymentTransaction> read_transaction_page(Session& session, const Uuid& order_id,
                                                          std::string_view payment_id,
                                                          const std::optional<Uuid>& after,
                                                          int limit) {
  const bool one = !payment_id.empty();
  Sql sql = select_transactions(session, one ? LedgerIndex::kByPayment : LedgerIndex::kPrimary);
  sql << "t.order_id = " << order_id;
  if (one) sql << " AND t.payment_id = " << Blob{payment_id};
  if (after) sql << " AND t.transaction_id > " << *after;
  sql << " ORDER BY t.order_id, " << (one ? Fixed("t.payment_id, ") : Fixed(""))
      << "t.transaction_id LIMIT " << limit;
  std::vector<pb::PaymentTransaction> result;
  Rows rows = session.query(sql, kTransactionColumns);
  while (rows.next()) result.push_back(read_transaction(rows));
  return result;
}

}  // namespace orderd::storage
