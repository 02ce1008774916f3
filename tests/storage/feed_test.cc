#include <gmock/gmock.h>

#include "tests/support/storage_test.h"

// The history and the feed in the database: what is written, read, marked and let go of.

namespace orderd::test {
namespace {

using storage::EventKey;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class FeedTest : public StorageTest {
 protected:
  /// One change with `events` events; its position.
  std::int64_t change(const Uuid& order_id, std::int64_t version, int events = 1,
                      const std::string& facts = "facts") {
    auto write = begin_write();
    storage::ChangeSet changes;
    changes.batch_key = Uuid::generate();
    for (int i = 0; i < events; ++i) {
      changes.events.push_back(event_row(order_id, version, i, std::to_string(i)));
    }
    write->save(changes);
    const auto positions = write->take_positions(1, 1, ++time_);
    const storage::FeedRow row{order_id, version, facts};
    write->append_feed(positions->first, {&row, 1});
    write->commit();
    return positions->first;
  }
  std::vector<storage::FeedChange> changes_after(std::int64_t position, int limit = 1000) {
    return storage_->begin_read(soon())->list_changes(position, limit);
  }
  std::int64_t floor(Micros before) { return storage_->begin_read(soon())->feed_floor(before); }
  std::vector<std::pair<std::int64_t, int>> history(const Uuid& order_id,
                                                    const std::optional<EventKey>& after, int limit,
                                                    std::vector<int> types = {}) {
    std::vector<std::pair<std::int64_t, int>> keys;
    for (const auto& row :
         storage_->begin_read(soon())->list_events(order_id, after, types, limit)) {
      EXPECT_EQ(row.event.invoice_number_changed().after(), std::to_string(row.key.index));
      keys.emplace_back(row.key.version, row.key.index);
    }
    return keys;
  }

  Micros time_ = 1'700'000'000'000'000;
};
ORDERD_ON_BOTH_DATABASES(FeedTest);

TEST_P(FeedTest, ChangesComeInTheirOrderWithTheirEvents) {
  const Uuid a = Uuid::generate();
  const Uuid b = Uuid::generate();
  EXPECT_EQ(storage_->begin_read(soon())->feed_position(), 0);
  EXPECT_THAT(changes_after(0), IsEmpty());
  change(b, 1, 1, std::string("\0\x01'\"\\:?", 7));
  change(a, 1, 12);
  change(b, 2, 2);
  take_statements();
  const auto all = changes_after(0);
  EXPECT_THAT(take_statements(), SizeIs(1));
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0].position, 1);
  EXPECT_EQ(all[0].order_id, b);
  EXPECT_EQ(all[0].facts, std::string("\0\x01'\"\\:?", 7));
  EXPECT_EQ(all[1].order_id, a);
  ASSERT_THAT(all[1].events, SizeIs(12));
  for (int i = 0; i < 12; ++i) {
    const auto& event = all[1].events[static_cast<std::size_t>(i)];
    EXPECT_EQ(event.type, pb::ORDER_EVENT_TYPE_INVOICE_NUMBER_CHANGED);
    EXPECT_EQ(event.event, event_row(a, 1, i, std::to_string(i)).event);
  }
  EXPECT_EQ(all[2].version, 2);
  EXPECT_EQ(all[2].facts, "facts");
  EXPECT_EQ(storage_->begin_read(soon())->feed_position(), 3);

  // A limit counts changes and cuts none in two.
  const auto some = changes_after(1, 1);
  ASSERT_THAT(some, SizeIs(1));
  EXPECT_THAT(some[0].events, SizeIs(12));
}

TEST_P(FeedTest, AHistoryIsPagedAndFiltered) {
  const Uuid id = Uuid::generate();
  change(id, 1);
  change(id, 2, 11);
  change(id, 3);
  change(Uuid::generate(), 1);
  EXPECT_THAT(history(id, std::nullopt, 100), SizeIs(13));
  EXPECT_THAT(history(id, std::nullopt, 2), ElementsAre(std::pair(1, 0), std::pair(2, 0)));
  EXPECT_THAT(history(id, EventKey{2, 9}, 2), ElementsAre(std::pair(2, 10), std::pair(3, 0)));
  EXPECT_THAT(history(id, EventKey{3, 0}, 2), IsEmpty());
  EXPECT_THAT(history(id, std::nullopt, 100, {pb::ORDER_EVENT_TYPE_NOTE_ADDED}), IsEmpty());
  EXPECT_THAT(
      history(id, std::nullopt, 100,
              {pb::ORDER_EVENT_TYPE_NOTE_ADDED, pb::ORDER_EVENT_TYPE_INVOICE_NUMBER_CHANGED}),
      SizeIs(13));
}

TEST_P(FeedTest, MarksTellHowOldAPositionIs) {
  EXPECT_EQ(floor(INT64_MAX), 0);
  const Uuid id = Uuid::generate();
  change(id, 1);
  change(id, 2);
  storage_->trim_feed(1'000, 0, 100);  // a mark: position 2 at 1,000
  change(id, 3);
  storage_->trim_feed(1'050, 0, 100);  // too soon for another
  EXPECT_EQ(floor(1'000), 0) << "not before 1,000";
  EXPECT_EQ(floor(1'001), 2);
  storage_->trim_feed(1'100, 0, 100);
  EXPECT_EQ(floor(1'100), 2);
  EXPECT_EQ(floor(1'101), 3);
  storage_->trim_feed(9'000, 0, 100);  // nothing has happened since
  EXPECT_EQ(floor(9'001), 3);
  EXPECT_THAT(changes_after(0), SizeIs(3));
}

TEST_P(FeedTest, WhatHasExpiredGoesAndTheRestStays) {
  // Past the bounds of several partitions, which are a million positions wide.
  const Uuid id = Uuid::generate();
  const auto jump = [&](std::int64_t position) {
    const std::string at = std::to_string(position);
    auto write = begin_write();
    ASSERT_TRUE(write->take_positions(
        static_cast<int>(position - storage_->begin_read(soon())->feed_position() - 1), 1,
        ++time_));
    write->commit();
  };
  change(id, 1);
  jump(1'000'001);
  EXPECT_EQ(change(id, 2), 1'000'001);
  storage_->trim_feed(1'000, 0, 0);
  jump(3'500'000);
  EXPECT_EQ(change(id, 3), 3'500'000);
  storage_->trim_feed(2'000, 0, 0);
  EXPECT_THAT(changes_after(0), SizeIs(3));

  while (storage_->trim_feed(2'100, 1'500, 0)) {
  }
  EXPECT_EQ(floor(1'500), backend() == Backend::kSqlite ? 3'499'999 : 1'000'001);
  const auto left = changes_after(0);
  ASSERT_FALSE(left.empty());
  EXPECT_EQ(left.back().position, 3'500'000);
  EXPECT_GT(left.front().position, 1) << "expired, and in a partition that could go";

  while (storage_->trim_feed(2'200, INT64_MAX, 0)) {
  }
  jump(5'000'000);
  EXPECT_EQ(change(id, 4), 5'000'000) << "there is a partition for what comes";
  EXPECT_EQ(changes_after(4'999'999).size(), 1u);
  EXPECT_THAT(history(id, std::nullopt, 100), SizeIs(4)) << "the history stays";
}

TEST_P(FeedTest, ManyPositionsAheadHaveTheirPartitions) {
  // As after an upgrade at a high position, and after a burst: nothing is left in the last
  // partition.
  for (const std::int64_t position : {std::int64_t{123'456'789}, std::int64_t{987'654'321}}) {
    auto write = begin_write();
    ASSERT_TRUE(write->take_positions(
        static_cast<int>(position - storage_->begin_read(soon())->feed_position()), 1, ++time_));
    write->commit();
    write.reset();
    storage_->trim_feed(time_, 0, 0);
    const Uuid id = Uuid::generate();
    EXPECT_EQ(change(id, 1), position + 1);
    EXPECT_THAT(changes_after(position), SizeIs(1));
    take_statements();
    storage_->trim_feed(time_, 0, 0);
    for (const std::string& sql : take_statements()) {
      EXPECT_EQ(sql.find("ALTER"), std::string::npos) << "there is nothing to change";
    }
  }
}

TEST_P(FeedTest, OrdersAreWalkedById) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < 5; ++i) {
    orders.push_back(plain_order());
    orders.back().order->set_state_id(i % 2 == 0 ? "new" : "fraud");
  }
  create(orders);
  const auto read = begin_read();
  auto rows = read->scan_orders(Uuid{}, 3);
  ASSERT_THAT(rows, SizeIs(3));
  const auto rest = read->scan_orders(rows.back().order.id, 3);
  ASSERT_THAT(rest, SizeIs(2));
  rows.insert(rows.end(), rest.begin(), rest.end());
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(rows[i].order.id, orders[i].id) << "ids rise";
    EXPECT_EQ(rows[i].state_id, orders[i].order->state_id());
    EXPECT_EQ(rows[i].order.version, orders[i].version);
  }
}

TEST_P(FeedTest, MakingDurableIsOneSmallWrite) {
  storage_->make_durable();  // and makes a session fit for writing
  take_statements();
  storage_->make_durable();
  EXPECT_THAT(take_statements(), SizeIs(backend() == Backend::kSqlite ? 0 : 1));
}

}  // namespace
}  // namespace orderd::test
