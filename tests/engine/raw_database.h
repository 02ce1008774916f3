#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "storage/session.h"

namespace orderd::test {

/// A look into the tables, past the storage interface, by a session of its own.
class RawDatabase {
 public:
  explicit RawDatabase(const std::string& url)
      : session_(storage::parse_url(url), {}, /*patient=*/true) {}

  storage::Session& session() { return session_; }

  struct FeedEntry {
    std::int64_t position = 0;
    Uuid order_id;
    std::int64_t version = 0;
  };
  /// By position.
  std::vector<FeedEntry> feed() {
    std::vector<FeedEntry> entries;
    auto rows =
        session_.query(session_.sql() << "SELECT pos, order_id, version FROM feed ORDER BY pos", 3);
    while (rows.next()) entries.push_back({rows.number(0), rows.id(1), rows.number(2)});
    return entries;
  }

  struct Event {
    std::int64_t version = 0;
    pb::OrderEvent event;
  };
  std::vector<Event> events(const Uuid& order_id) {
    std::vector<Event> events;
    auto rows = session_.query(
        session_.sql() << "SELECT version, payload FROM order_events WHERE order_id = " << order_id
                       << " ORDER BY version, n",
        2);
    while (rows.next()) {
      Event& event = events.emplace_back();
      event.version = rows.number(0);
      EXPECT_TRUE(event.event.ParseFromString(rows.text(1)));
    }
    return events;
  }

  /// That the feed's positions are 1, 2, 3, … and hold, for each of these orders, every version
  /// from 1 up to the one given, in this order, each with an event of that version.
  void expect_history_without_gap(const std::map<Uuid, std::int64_t>& versions) {
    std::int64_t position = 0;
    std::map<Uuid, std::int64_t> seen;
    for (const FeedEntry& entry : feed()) {
      ASSERT_EQ(entry.position, ++position);
      ASSERT_EQ(entry.version, ++seen[entry.order_id]) << "at position " << position;
    }
    for (const auto& [id, version] : versions) {
      EXPECT_EQ(seen[id], version) << id.to_string();
      std::int64_t last = 0;
      for (const Event& event : events(id)) {
        EXPECT_LE(event.version, last + 1) << "a version without an event";
        last = event.version;
        EXPECT_EQ(event.event.etag(), std::to_string(event.version));
      }
      EXPECT_EQ(last, version) << id.to_string();
    }
  }

 private:
  storage::Session session_;
};

}  // namespace orderd::test
