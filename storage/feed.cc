#include "storage/feed.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "storage/multi_insert.h"
#include "storage/reads.h"

namespace orderd::storage {
namespace {

/// Positions of one partition of the feed.
constexpr std::int64_t kPartition = 1'000'000;
/// Empty partitions that are made at once, when half of them are left: hours at full load.
constexpr int kAhead = 30;
/// In seconds: for the table's lock to change partitions, and for all else (database.cc).
constexpr int kShortPatience = 1;
constexpr int kPatience = 5;
/// Rows that one statement removes where there are no partitions.
constexpr std::int64_t kTrimStep = 10'000;

struct Mark {
  Micros time = 0;
  std::int64_t position = 0;
};

/// The last mark that is older than `before`.
std::optional<Mark> mark_before(Session& session, Micros before) {
  Sql sql = session.sql();
  sql << "SELECT time, pos FROM feed_marks WHERE time < " << before
      << " ORDER BY time DESC LIMIT 1";
  Rows rows = session.query(sql, 2);
  if (!rows.next()) return std::nullopt;
  return Mark{rows.number(0), rows.number(1)};
}

void set_mark(Session& session, Micros now, Micros interval) {
  const std::int64_t position = read_feed_position(session);
  const auto last = mark_before(session, INT64_MAX);
  if (last && (last->position == position || now - last->time < interval)) return;
  Sql sql = session.sql();
  // Another server may be as fast to the microsecond.
  sql.either("INSERT OR IGNORE", "INSERT IGNORE") << " INTO feed_marks (time, pos) VALUES (";
  session.execute(sql.list(now, position) << ")");
}

/// The partitions with an upper bound: the first position that is behind each.
std::vector<std::int64_t> partition_bounds(Session& session) {
  Sql sql = session.sql();
  sql << "SELECT partition_description FROM information_schema.partitions"
         " WHERE table_schema = DATABASE() AND table_name = 'feed'"
         " ORDER BY partition_ordinal_position";
  std::vector<std::int64_t> bounds;
  Rows rows = session.query(sql, 1);
  while (rows.next()) {
    const std::string& text = rows.text(0);
    std::int64_t bound = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bound);
    if (error == std::errc() && end == text.data() + text.size()) bounds.push_back(bound);
  }
  return bounds;
}

/// For changes of the table, which nobody should wait behind for long.
void set_patience(Session& session, int seconds) {
  session.execute(session.sql() << "SET SESSION lock_wait_timeout = " << seconds);
}

/// Drops partitions that hold nothing behind `floor`, and keeps empty ones ahead of the position.
void roll_partitions(Session& session, std::int64_t floor) {
  const std::int64_t position = read_feed_position(session);
  const std::vector<std::int64_t> bounds = partition_bounds(session);
  const std::int64_t last = bounds.empty() ? 1 : bounds.back();
  // The last partition has no bound. Rows that got there would be copied, so it must stay empty.
  Sql add = session.sql();
  add << "ALTER TABLE feed REORGANIZE PARTITION pmax INTO (";
  const std::int64_t first = std::max(last / kPartition, position / kPartition) + 1;
  for (int i = 0; i < kAhead; ++i) {
    const std::int64_t end = (first + i) * kPartition;
    add << "PARTITION p" << end << " VALUES LESS THAN (" << end + 1 << "), ";
  }
  add << "PARTITION pmax VALUES LESS THAN MAXVALUE)";
  if (last <= position + kAhead / 2 * kPartition) session.execute(add);
  for (const std::int64_t bound : bounds) {
    if (bound > floor + 1) break;
    session.execute(session.sql() << "ALTER TABLE feed DROP PARTITION p" << bound - 1);
  }
}

/// At most kTrimStep; whether there are more.
bool delete_changes(Session& session, std::int64_t floor) {
  std::int64_t first = 0;
  {
    Rows rows = session.query(session.sql() << "SELECT pos FROM feed ORDER BY pos LIMIT 1", 1);
    if (!rows.next()) return false;
    first = rows.number(0);
  }
  if (first > floor) return false;
  const std::int64_t last = std::min(floor, first + kTrimStep - 1);
  session.execute(session.sql() << "DELETE FROM feed WHERE pos <= " << last);
  return last < floor;
}

}  // namespace

void insert_events(Session& session, std::span<const EventRow> events) {
  MultiInsert insert(session,
                     "INSERT INTO order_events (order_id, version, n, type, event_time, payload)"
                     " VALUES");
  for (const EventRow& row : events) {
    insert.row(row.order_id, row.version, row.index, row.type, row.time, Blob{row.event});
  }
  insert.flush();
}

void insert_feed(Session& session, std::int64_t first, std::span<const FeedRow> rows) {
  MultiInsert insert(session, "INSERT INTO feed (pos, order_id, version, facts) VALUES");
  for (const FeedRow& row : rows) {
    insert.row(first++, row.order_id, row.version, Blob{row.facts});
  }
  insert.flush();
}

std::vector<HistoryRow> read_history(Session& session, const Uuid& order_id,
                                     const std::optional<EventKey>& after,
                                     std::span<const int> types, int limit) {
  Sql sql = session.sql();
  sql << "SELECT version, n, payload FROM order_events WHERE order_id = " << order_id;
  if (after) {
    sql << " AND version >= " << after->version << " AND (version > " << after->version
        << " OR n > " << after->index << ")";
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    sql << (i == 0 ? Fixed(" AND type IN (") : Fixed(",")) << types[i];
  }
  if (!types.empty()) sql << ")";
  sql << " ORDER BY version, n LIMIT " << limit;
  std::vector<HistoryRow> history;
  Rows rows = session.query(sql, 3);
  while (rows.next()) {
    HistoryRow& row = history.emplace_back();
    row.key = {rows.number(0), static_cast<int>(rows.number(1))};
    if (!row.event.ParseFromString(rows.text(2))) {
      throw Error(Error::Kind::kInternal, "an event can't be read");
    }
  }
  return history;
}

std::int64_t read_feed_position(Session& session) {
  Rows rows = session.query(session.sql() << "SELECT pos FROM feed_head WHERE id = 1", 1);
  if (!rows.next()) throw Error(Error::Kind::kSchema, "the database has no feed head");
  return rows.number(0);
}

std::vector<FeedChange> read_changes(Session& session, std::int64_t after, int limit) {
  // The join is outside: a limit over it could cut a change in two.
  Sql sql = session.sql();
  sql << "SELECT f.pos, f.order_id, f.version, f.facts, COALESCE(e.type, 0),"
         " COALESCE(e.payload, '')"
         " FROM (SELECT pos, order_id, version, facts FROM feed WHERE pos > "
      << after << " ORDER BY pos LIMIT " << limit
      << ") AS f LEFT JOIN order_events AS e ON e.order_id = f.order_id AND e.version = f.version"
         " ORDER BY f.pos, e.n";
  std::vector<FeedChange> changes;
  Rows rows = session.query(sql, 6);
  while (rows.next()) {
    const std::int64_t position = rows.number(0);
    if (changes.empty() || changes.back().position != position) {
      changes.push_back({position, rows.id(1), rows.number(2), std::move(rows.text(3)), {}});
    }
    const int type = static_cast<int>(rows.number(4));
    if (type != 0) changes.back().events.push_back({type, std::move(rows.text(5))});
  }
  return changes;
}

std::int64_t read_feed_floor(Session& session, Micros before) {
  const auto mark = mark_before(session, before);
  std::int64_t first = 0;
  {
    Rows rows = session.query(session.sql() << "SELECT pos FROM feed ORDER BY pos LIMIT 1", 1);
    first = rows.next() ? rows.number(0) : read_feed_position(session) + 1;
  }
  return std::max(mark ? mark->position : 0, first - 1);
}

std::vector<ScannedOrder> scan_orders(Session& session, const Uuid& after, int limit) {
  Sql sql = session.sql();
  sql << "SELECT id, version, state_id FROM orders";
  use_primary(sql) << " WHERE id > " << after << " ORDER BY id LIMIT " << limit;
  std::vector<ScannedOrder> orders;
  Rows rows = session.query(sql, 3);
  while (rows.next()) {
    orders.push_back({{rows.id(0), rows.number(1)}, std::move(rows.text(2))});
  }
  return orders;
}

void flush_log(Session& session) {
  // The log is sequential: when this commit is on disk, so is what was committed before it.
  session.execute(session.sql() << "UPDATE feed_flush SET n = n + 1 WHERE id = 1");
}

bool trim_feed(Session& session, Micros now, Micros before, Micros mark_interval) {
  set_mark(session, now, mark_interval);
  const auto mark = mark_before(session, before);
  const std::int64_t floor = mark ? mark->position : 0;
  bool more = false;
  if (session.dialect() == Dialect::kMysql) {
    set_patience(session, kShortPatience);
    try {
      roll_partitions(session, floor);
    } catch (const Error&) {
      if (!session.doubtful()) set_patience(session, kPatience);
      throw;
    }
    set_patience(session, kPatience);
  } else {
    more = delete_changes(session, floor);
  }
  if (mark) session.execute(session.sql() << "DELETE FROM feed_marks WHERE time < " << mark->time);
  return more;
}

}  // namespace orderd::storage
