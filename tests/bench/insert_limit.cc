#include <soci/soci.h>

#include <atomic>
#include <map>
#include <stdexcept>
#include <thread>

#include "storage/storage.h"
#include "tests/bench/database_limit.h"

namespace orderd::bench {
namespace {

struct Table {
  std::string name;
  std::string order_id = "order_id";
};

/// What an import of the generated orders writes, the claims and the history too.
const std::vector<Table> kImported = {{"orders", "id"},
                                      {"order_items"},
                                      {"order_addresses"},
                                      {"order_labels"},
                                      {"order_shipments"},
                                      {"order_shipment_lines"},
                                      {"order_tracking_numbers"},
                                      {"order_payments"},
                                      {"payment_transactions"},
                                      {"order_notes"},
                                      {"order_numbers"},
                                      {"payment_references"},
                                      {"order_events"}};

/// An SQL expression for a row of the table as text: "(1,'a',x'00')".
std::string row_as_text(soci::session& sql, const std::string& database, const std::string& table) {
  soci::rowset<soci::row> columns =
      (sql.prepare << "SELECT column_name, data_type FROM information_schema.columns"
                      " WHERE table_schema = '" +
                          database + "' AND table_name = '" + table +
                          "' ORDER BY ordinal_position");
  std::string text = "CONCAT('('";
  bool first = true;
  for (const soci::row& column : columns) {
    const auto name = column.get<std::string>(0);
    const auto type = column.get<std::string>(1);
    text += first ? ", " : ", ',', ";
    first = false;
    if (type.find("int") != std::string::npos) {
      text += name;
    } else if (type.find("binary") != std::string::npos || type.find("blob") != std::string::npos) {
      text += "\"x'\", HEX(" + name + "), \"'\"";
    } else {
      text += "QUOTE(" + name + ")";
    }
  }
  return text + ", ')')";
}

}  // namespace

InsertLimit::InsertLimit(const std::string& url, const std::string& source, int orders)
    : url_(url) {
  storage::open(url, {});  // makes the tables
  const auto session = writing_session(url);
  soci::session& sql = *session;
  // Which transaction an order is in.
  std::map<std::string, std::size_t> place;
  soci::rowset<std::string> ids =
      (sql.prepare << "SELECT HEX(id) FROM " + source + ".orders ORDER BY id LIMIT " +
                          std::to_string(orders));
  for (const std::string& id : ids) {
    place.emplace(id, place.size() / static_cast<std::size_t>(kOrdersPerTransaction));
  }
  if (place.empty()) throw std::runtime_error("there are no orders in " + source);
  orders_ = static_cast<int>(place.size());
  transactions_.resize(place.rbegin()->second + 1);
  for (const Table& table : kImported) {
    std::vector<std::string> values(transactions_.size());
    soci::rowset<soci::row> rows =
        (sql.prepare << "SELECT HEX(" + table.order_id + "), " +
                            row_as_text(sql, source, table.name) + " FROM " + source + "." +
                            table.name + " WHERE " + table.order_id + " <= x'" +
                            place.rbegin()->first + "'");
    for (const soci::row& row : rows) {
      const auto at = place.find(row.get<std::string>(0));
      if (at == place.end()) continue;
      std::string& text = values[at->second];
      if (!text.empty()) text += ",";
      text += row.get<std::string>(1);
    }
    for (std::size_t i = 0; i < transactions_.size(); ++i) {
      if (values[i].empty()) throw std::runtime_error(table.name + " has no row for some orders");
      transactions_[i].push_back("INSERT INTO " + table.name + " VALUES " + values[i]);
    }
  }
}

double InsertLimit::run(int threads) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::unique_ptr<soci::session>> sessions;
  for (int i = 0; i < threads; ++i) sessions.push_back(writing_session(url_));
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> running;
  for (const auto& session : sessions) {
    running.emplace_back([&] {
      for (std::size_t i = next++; i < transactions_.size(); i = next++) {
        *session << "START TRANSACTION";
        for (const std::string& statement : transactions_[i]) *session << statement;
        *session << "COMMIT";
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const Table& table : kImported) *sessions.front() << "TRUNCATE TABLE " + table.name;
  return orders_ / seconds;
}

}  // namespace orderd::bench
