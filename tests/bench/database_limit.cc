#include "tests/bench/database_limit.h"

#include <soci/mysql/soci-mysql.h>
#include <soci/soci.h>

#include <memory>
#include <stdexcept>

#include "storage/database.h"
#include "storage/storage.h"
#include "storage/wall_clock.h"

namespace orderd::bench {
namespace {

constexpr const char* kTables[] = {
    "orders",         "order_items", "order_adjustments", "order_addresses",    "order_labels",
    "order_payments", "order_notes", "order_numbers",     "payment_references", "order_events"};

/// One connection and its prepared statements.
class InvoiceWriter {
 public:
  explicit InvoiceWriter(const std::string& connect) : sql_(soci::mysql, connect) {
    sql_ << "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
  }

  void write(const std::string& id, const std::string& number) {
    std::string old_number;
    long long version = 0;
    sql_ << "START TRANSACTION";
    sql_ << "SELECT version, invoice_number FROM orders WHERE id = UNHEX(:id) FOR UPDATE",
        soci::use(id), soci::into(version), soci::into(old_number);
    if (!old_number.empty()) {
      sql_ << "DELETE FROM invoice_numbers WHERE value = :v", soci::use(old_number);
    }
    sql_ << "INSERT INTO invoice_numbers (value, order_id) VALUES (:v, UNHEX(:id))",
        soci::use(number), soci::use(id);
    const long long next = version + 1;
    const long long now = wall_clock();
    sql_ << "UPDATE orders SET invoice_number = :n, version = :v, update_time = :t "
            "WHERE id = UNHEX(:id)",
        soci::use(number), soci::use(next), soci::use(now), soci::use(id);
    sql_ << "INSERT INTO order_events (order_id, version, n, type, event_time, payload) "
            "VALUES (UNHEX(:id), :v, 0, 13, :t, :p)",
        soci::use(id), soci::use(next), soci::use(now), soci::use(event_);
    sql_ << "COMMIT";
  }

 private:
  soci::session sql_;
  const std::string event_ = std::string(150, 'e');  // about the size of orderd's for this change
};

}  // namespace

std::string connect_string(const std::string& url) {
  const storage::Database database = storage::parse_url(url);
  return "dbname=" + database.name + " user=" + database.user + " unix_socket=" + database.socket +
         " charset=utf8mb4";
}

DatabaseLimit::DatabaseLimit(const std::string& url, const std::string& source) {
  storage::open(url, {});  // makes the tables
  connect_ = connect_string(url);
  soci::session sql(soci::mysql, connect_);
  for (const char* table : kTables) {
    sql << std::string("INSERT INTO ") + table + " SELECT * FROM " + source + "." + table;
  }
  sql << "UPDATE orders SET invoice_number = ''";
  soci::rowset<std::string> rows = (sql.prepare << "SELECT HEX(id) FROM orders");
  ids_.assign(rows.begin(), rows.end());
  if (ids_.empty()) throw std::runtime_error("there are no orders in " + source);
}

Figures DatabaseLimit::update_invoice(int threads, std::chrono::milliseconds duration) {
  std::vector<std::unique_ptr<InvoiceWriter>> writers;
  for (int i = 0; i < threads; ++i) writers.push_back(std::make_unique<InvoiceWriter>(connect_));
  const std::string round = std::to_string(++round_);
  return run_threads(threads, duration, [&](int thread, std::uint64_t call) {
    // Each thread has its own orders, like the callers of orderd's load.
    const std::size_t own = ids_.size() / static_cast<std::size_t>(threads);
    const std::size_t at = static_cast<std::size_t>(thread) * own + call % own;
    writers[static_cast<std::size_t>(thread)]->write(
        ids_[at], "R" + round + "-" + std::to_string(thread) + "-" + std::to_string(call));
  });
}

}  // namespace orderd::bench
