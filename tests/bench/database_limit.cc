#include "tests/bench/database_limit.h"

#include <soci/soci.h>

#include <atomic>
#include <stdexcept>
#include <utility>

#include "server/payments/sandbox_ledger.h"
#include "storage/database.h"
#include "storage/storage.h"
#include "storage/wall_clock.h"

namespace orderd::bench {
namespace {

/// What a change writes.
constexpr const char* kTables[] = {"orders",
                                   "order_items",
                                   "order_adjustments",
                                   "order_addresses",
                                   "order_labels",
                                   "order_shipments",
                                   "order_shipment_lines",
                                   "order_tracking_numbers",
                                   "order_payments",
                                   "payment_transactions",
                                   "order_notes",
                                   "order_numbers",
                                   "payment_references",
                                   "order_events"};

constexpr const char* kSandboxCurrency = "EUR";
constexpr std::size_t kSandboxPayments = 512;

/// A binary value from its digits, in both dialects.
std::string literal(const std::string& hexadecimal) { return "x'" + hexadecimal + "'"; }

std::string new_id() {
  std::string digits = Uuid::generate().to_string();
  std::erase(digits, '-');
  return digits;
}

}  // namespace

std::unique_ptr<soci::session> writing_session(const std::string& url) {
  const storage::Database database = storage::parse_url(url);
  auto session = storage::open_session(database, /*patient=*/true);
  *session << std::string(storage::role_statement(database.dialect, storage::Role::kWrite).view());
  return session;
}

/// The sandbox's own book, with a payment for each order.
class WriteLimit::Sandbox {
 public:
  Sandbox(const std::string& directory, std::size_t payments)
      : ledger_(directory + "/limit-sandbox.db", wall_clock) {
    for (std::size_t i = 0; i < payments; ++i) {
      ledger_.authorize({.reference = reference(i),
                         .currency_code = kSandboxCurrency,
                         .amount_minor = 1'000'000});
    }
  }

  void capture(std::size_t payment, const std::string& attempt_id) {
    const payments::CallResult result = ledger_.execute(
        {.operation = payments::MoneyOperation::kCapture,
         .payment = {reference(payment), kSandboxCurrency},
         .attempt = {.attempt_id = attempt_id, .idempotency_key = attempt_id, .amount_minor = 1}});
    if (result.kind != payments::CallResult::Kind::kSucceeded) {
      throw std::runtime_error("the sandbox refused a capture");
    }
  }

 private:
  static std::string reference(std::size_t payment) { return "limit-" + std::to_string(payment); }

  payments::SandboxLedger ledger_;
};

/// One connection.
class WriteLimit::Writer {
 public:
  Writer(const std::string& url, Sandbox* sandbox)
      : session_(writing_session(url)), sandbox_(sandbox) {
    const bool sqlite = session_->get_backend_name() == "sqlite3";
    begin_ = sqlite ? "BEGIN IMMEDIATE" : "START TRANSACTION";
    for_update_ = sqlite ? "" : " FOR UPDATE";
  }

  void update_invoice(const Order& order, const std::string& unique) {
    soci::session& sql = *session_;
    std::string old_number;
    const std::string id = literal(order.id);
    long long version = 0;
    begin();
    sql << "SELECT version, invoice_number FROM orders WHERE id = " + id + for_update_,
        soci::into(version), soci::into(old_number);
    if (!old_number.empty()) {
      sql << "DELETE FROM invoice_numbers WHERE value = :v", soci::use(old_number);
    }
    sql << "INSERT INTO invoice_numbers (value, order_id) VALUES (:v, " + id + ")",
        soci::use(unique);
    ++version;
    const long long now = wall_clock();
    sql << "UPDATE orders SET invoice_number = :n, version = :v, update_time = :t WHERE id = " + id,
        soci::use(unique), soci::use(version), soci::use(now);
    add_event(id, version, now, 13);
    sql << "COMMIT";
  }

  void update_status(const Order& order, const std::string&) {
    soci::session& sql = *session_;
    const std::string id = literal(order.id);
    std::string state;
    long long version = 0;
    begin();
    sql << "SELECT version, state_id FROM orders WHERE id = " + id + for_update_,
        soci::into(version), soci::into(state);
    state = state == "new" ? "processing" : "new";
    ++version;
    const long long now = wall_clock();
    sql << "UPDATE orders SET state_id = :s, version = :v, update_time = :t WHERE id = " + id,
        soci::use(state), soci::use(version), soci::use(now);
    add_event(id, version, now, 12);
    sql << "COMMIT";
  }

  void add_note(const Order& order, const std::string& unique) {
    soci::session& sql = *session_;
    const std::string id = literal(order.id);
    const std::string body = "The customer asked again where it is; call " + unique;
    long long version = 0;
    long long notes = 0;
    begin();
    sql << "SELECT version, note_count FROM orders WHERE id = " + id + for_update_,
        soci::into(version), soci::into(notes);
    ++version;
    ++notes;
    const long long now = wall_clock();
    sql << "INSERT INTO order_notes (order_id, note_id, author, body, visibility, create_time,"
           " update_time) VALUES (" +
               id + ", " + literal(new_id()) + ", 'anonymous', :b, 1, :c, :u)",
        soci::use(body), soci::use(now), soci::use(now);
    sql << "UPDATE orders SET note_count = :n, version = :v, update_time = :t WHERE id = " + id,
        soci::use(notes), soci::use(version), soci::use(now);
    add_event(id, version, now, 14);
    sql << "COMMIT";
  }

  void update_shipments(const Order& order, const std::string& unique) {
    soci::session& sql = *session_;
    const std::string id = literal(order.id);
    const std::string shipment = literal(order.shipment_id);
    long long version = 0;
    std::string state;
    std::string delivery_state;
    begin();
    sql << "SELECT version, state_id FROM orders WHERE id = " + id + for_update_,
        soci::into(version), soci::into(state);
    sql << "SELECT MIN(delivery_state_id) FROM order_shipment_lines WHERE order_id = " + id +
               " AND shipment_id = " + shipment,
        soci::into(delivery_state);
    ++version;
    const long long now = wall_clock();
    sql << "UPDATE order_tracking_numbers SET number = :n WHERE order_id = " + id +
               " AND shipment_id = " + shipment,
        soci::use(unique);
    sql << "UPDATE orders SET version = :v, update_time = :t WHERE id = " + id, soci::use(version),
        soci::use(now);
    add_event(id, version, now, 15);
    sql << "COMMIT";
  }

  /// Two transactions, and the gateway's between them: an attempt is written down before the
  /// gateway is asked.
  void capture(const Order& order, const std::string&, std::size_t payment) {
    soci::session& sql = *session_;
    const std::string id = literal(order.id);
    const std::string attempt = new_id();
    change_payment(order, [&](long long now) {
      sql << "INSERT INTO payment_transactions (order_id, transaction_id, payment_id, kind, status,"
             " present, amount_minor, gateway_transaction_id, reason, description, final_capture,"
             " made_elsewhere, actor, request_id, create_time, complete_time, released_by,"
             " missing_time) VALUES (" +
                 id + ", " + literal(attempt) +
                 ", :p, 2, 1, 1, 1, '', '', '', 0, 0, 'anonymous', '', :c, 0, '', 0)",
          soci::use(order.payment_id), soci::use(now);
    });
    sandbox_->capture(payment, attempt);
    change_payment(order, [&](long long now) {
      sql << "UPDATE payment_transactions SET status = 3, gateway_transaction_id = :g,"
             " complete_time = :t WHERE order_id = " +
                 id + " AND transaction_id = " + literal(attempt),
          soci::use(attempt), soci::use(now);
    });
  }

 private:
  /// SQLite lets one of many writers wait too long at times.
  void begin() {
    for (int tries = 1;; ++tries) {
      try {
        *session_ << begin_;
        return;
      } catch (const soci::soci_error&) {
        if (tries == 10) throw;
      }
    }
  }

  template <typename Write>
  void change_payment(const Order& order, Write write) {
    soci::session& sql = *session_;
    const std::string id = literal(order.id);
    long long version = 0;
    long long captured = 0;
    long long capturable = 0;
    std::string state;
    begin();
    sql << "SELECT version, state_id FROM orders WHERE id = " + id + for_update_,
        soci::into(version), soci::into(state);
    sql << "SELECT captured_minor, capturable_minor FROM order_payments WHERE order_id = " + id +
               " AND n = 0",
        soci::into(captured), soci::into(capturable);
    ++version;
    ++captured;
    --capturable;
    const long long now = wall_clock();
    write(now);
    sql << "UPDATE order_payments SET captured_minor = :a, capturable_minor = :b WHERE order_id "
           "= " +
               id + " AND n = 0",
        soci::use(captured), soci::use(capturable);
    sql << "UPDATE orders SET version = :v, update_time = :t WHERE id = " + id, soci::use(version),
        soci::use(now);
    add_event(id, version, now, 16);
    sql << "COMMIT";
  }

  void add_event(const std::string& id, long long version, long long now, int type) {
    *session_ << "INSERT INTO order_events (order_id, version, n, type, event_time, payload)"
                 " VALUES (" +
                     id + ", :v, 0, " + std::to_string(type) + ", :t, :p)",
        soci::use(version), soci::use(now), soci::use(event_);
  }

  std::unique_ptr<soci::session> session_;
  Sandbox* sandbox_;
  std::string begin_;
  std::string for_update_;
  const std::string event_ = std::string(150, 'e');  // about the size of orderd's for these changes
};

const std::vector<std::string>& WriteLimit::commands() {
  static const std::vector<std::string> names = {"update_invoice", "update_status", "add_note",
                                                 "update_shipments", "capture"};
  return names;
}

WriteLimit::WriteLimit(const std::string& url, const std::string& source,
                       const std::string& directory)
    : url_(url) {
  storage::open(url, {});  // makes the tables
  const auto session = writing_session(url);
  soci::session& sql = *session;
  std::string prefix = source;
  if (sql.get_backend_name() == "sqlite3") {
    sql << "ATTACH '" + source + "' AS source";
    prefix = "source";
  }
  sql << "BEGIN";
  for (const char* table : kTables) {
    sql << std::string("INSERT INTO ") + table + " SELECT * FROM " + prefix + "." + table;
  }
  sql << "UPDATE orders SET invoice_number = ''";
  sql << "COMMIT";
  soci::rowset<soci::row> rows =
      (sql.prepare
       << "SELECT HEX(o.id), MIN(HEX(t.shipment_id)), MIN(p.payment_id) FROM orders AS o"
          " JOIN order_tracking_numbers AS t ON t.order_id = o.id"
          " JOIN order_payments AS p ON p.order_id = o.id GROUP BY o.id ORDER BY o.id");
  for (const soci::row& row : rows) {
    orders_.push_back({row.get<std::string>(0), row.get<std::string>(1), row.get<std::string>(2)});
  }
  if (orders_.empty()) throw std::runtime_error("there are no orders in " + source);
  if (!directory.empty()) {
    sandbox_ = std::make_unique<Sandbox>(directory, std::min(orders_.size(), kSandboxPayments));
  }
}

WriteLimit::~WriteLimit() = default;

Figures WriteLimit::run(const std::string& command, int threads,
                        std::chrono::milliseconds duration) {
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < threads; ++i) {
    writers.push_back(std::make_unique<Writer>(url_, sandbox_.get()));
  }
  const std::string round = std::to_string(++round_);
  // Each thread has its own orders, like the callers of orderd's load.
  const std::size_t own = orders_.size() / static_cast<std::size_t>(threads);
  return run_threads(threads, duration, [&](int thread, std::uint64_t call) {
    Writer& writer = *writers[static_cast<std::size_t>(thread)];
    const std::size_t at = static_cast<std::size_t>(thread) * own + call % own;
    const Order& order = orders_[at];
    const std::string unique =
        "L" + round + "-" + std::to_string(thread) + "-" + std::to_string(call);
    if (command == "update_invoice") writer.update_invoice(order, unique);
    if (command == "update_status") writer.update_status(order, unique);
    if (command == "add_note") writer.add_note(order, unique);
    if (command == "update_shipments") writer.update_shipments(order, unique);
    if (command == "capture") writer.capture(order, unique, at % kSandboxPayments);
  });
}

ReadLimit::ReadLimit(const std::string& url, std::vector<std::string> order_ids)
    : storage_(storage::open(url, {.max_sessions = 64, .on_statement = {}})),
      order_ids_(std::move(order_ids)) {}

ReadLimit::~ReadLimit() = default;

Figures ReadLimit::run(const std::string& command, int threads,
                       std::chrono::milliseconds duration) {
  std::vector<Uuid> ids;
  for (const std::string& id : order_ids_) ids.push_back(*Uuid::parse(id));
  const auto deadline = storage::Clock::now() + std::chrono::hours(1);
  return run_threads(threads, duration, [&](int thread, std::uint64_t call) {
    const auto reads = storage_->begin_read(deadline);
    reads->snapshot();
    if (command == "get_order") {
      const std::size_t at = (static_cast<std::size_t>(thread) * 7919 + call * 31) % ids.size();
      if (reads->load_orders(std::span(&ids[at], 1)).size() != 1) {
        throw std::runtime_error("an order is gone");
      }
    } else {
      storage::ListQuery query;
      query.limit = 20;
      if (command == "list_orders_distinct") {
        query.filter.mutable_create_time()->mutable_end_time()->set_seconds(4'000'000'000);
      }
      if (reads->list_orders(query).orders.size() != 20)
        throw std::runtime_error("a page is short");
    }
  });
}

}  // namespace orderd::bench
