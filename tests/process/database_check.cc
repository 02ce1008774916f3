#include "tests/process/database_check.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "storage/database.h"
#include "storage/session.h"

namespace orderd::test {
namespace {

using storage::Fixed;
using storage::Rows;

class View {
 public:
  explicit View(const std::string& url) : session_(storage::parse_url(url), {}) {}

  template <class Row>
  void each(Fixed statement, std::size_t columns, const Row& row) {
    Rows rows = session_.query(storage::Sql(session_.dialect(), statement), columns);
    while (rows.next()) row(rows);
  }
  std::int64_t number(Fixed statement) {
    std::int64_t result = -1;
    each(statement, 1, [&](Rows& row) { result = row.number(0); });
    return result;
  }

 private:
  storage::Session session_;
};

struct Order {
  std::int64_t version = 0;
  std::int64_t update_time = 0;
  std::int64_t note_count = 0;
  std::string order_number, invoice_number;
  std::int64_t in_feed = 0;
  std::int64_t last_position = 0;
};

}  // namespace

std::int64_t check_database(const std::string& url) {
  View view(url);
  std::map<Uuid, Order> orders;
  std::int64_t versions = 0;
  view.each("SELECT id, version, update_time, note_count, order_number, invoice_number FROM orders",
            6, [&](Rows& row) {
              orders[row.id(0)] = {.version = row.number(1),
                                   .update_time = row.number(2),
                                   .note_count = row.number(3),
                                   .order_number = row.text(4),
                                   .invoice_number = row.text(5)};
              versions += row.number(1);
            });

  std::int64_t position = 0;
  view.each("SELECT pos, order_id, version FROM feed ORDER BY pos", 3, [&](Rows& row) {
    EXPECT_EQ(row.number(0), ++position) << "a gap in the feed";
    Order& order = orders[row.id(1)];
    EXPECT_EQ(row.number(2), ++order.in_feed) << "of order " << row.id(1).to_string();
    order.last_position = position;
  });
  EXPECT_EQ(view.number("SELECT pos FROM feed_head"), position);
  EXPECT_EQ(position, versions) << "feed rows and versions";

  std::map<std::pair<Uuid, std::int64_t>, std::int64_t> events;
  view.each("SELECT order_id, version, n FROM order_events ORDER BY order_id, version, n", 3,
            [&](Rows& row) {
              EXPECT_EQ(row.number(2), (events[{row.id(0), row.number(1)}]++));
            });
  EXPECT_EQ(events.size(), static_cast<std::size_t>(versions)) << "versions that have events";

  std::map<std::int64_t, std::int64_t> update_times;
  std::map<std::string, Uuid> order_numbers, invoice_numbers;
  for (const auto& [id, order] : orders) {
    SCOPED_TRACE("order " + id.to_string());
    EXPECT_EQ(order.in_feed, order.version);
    EXPECT_TRUE(events.contains({id, 1})) << "no event of version 1";
    EXPECT_TRUE(events.contains({id, order.version})) << "no event of the last version";
    update_times[order.last_position] = order.update_time;
    EXPECT_TRUE(order_numbers.emplace(order.order_number, id).second);
    if (!order.invoice_number.empty()) {
      EXPECT_TRUE(invoice_numbers.emplace(order.invoice_number, id).second);
    }
  }
  std::int64_t latest = 0;
  for (const auto& [at, time] : update_times) {
    EXPECT_GE(time, latest) << "position " << at << " is earlier than the one before";
    latest = time;
  }

  std::map<std::string, Uuid> order_claims, invoice_claims;
  view.each("SELECT value, order_id FROM order_numbers", 2,
            [&](Rows& row) { order_claims[row.text(0)] = row.id(1); });
  view.each("SELECT value, order_id FROM invoice_numbers", 2,
            [&](Rows& row) { invoice_claims[row.text(0)] = row.id(1); });
  EXPECT_EQ(order_claims, order_numbers);
  EXPECT_EQ(invoice_claims, invoice_numbers);

  std::map<Uuid, std::int64_t> notes;
  view.each("SELECT order_id, count(*) FROM order_notes GROUP BY order_id", 2,
            [&](Rows& row) { notes[row.id(0)] = row.number(1); });
  for (const auto& [id, order] : orders) EXPECT_EQ(order.note_count, notes[id]) << id.to_string();
  return position;
}

std::int64_t orders_in_deleted_states(const std::string& url) {
  return View(url).number(
      "SELECT count(*) FROM orders JOIN order_states ON order_states.state_id = orders.state_id "
      "WHERE order_states.delete_time > 0");
}

}  // namespace orderd::test
