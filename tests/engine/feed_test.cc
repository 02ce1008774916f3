#include "server/watch/feed.h"

#include "tests/engine/engine_fixture.h"

// What the feed takes from the database by itself.

namespace orderd::test {
namespace {

/// Sees where a feed stands.
class Onlooker final : public watch::Watcher {
 public:
  explicit Onlooker(const watch::Feed& feed) : feed_(feed) {}

  /// Whether the feed comes to stand there.
  bool sees(std::int64_t position) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return position_ == position; });
  }

 private:
  void begin(std::int64_t) override { look(); }
  void look() override {
    std::lock_guard lock(mutex_);
    position_ = feed_.position();
    changed_.notify_all();
  }
  void end() override {}
  std::int64_t position() const override { return 0; }

  const watch::Feed& feed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t position_ = -1;
};

class FeedTest : public MariaDbEngineTest {
 protected:
  /// How often something was written only to make durable what others have committed.
  std::int64_t flushes() {
    auto& session = raw().session();
    auto rows = session.query(session.sql() << "SELECT n FROM feed_flush WHERE id = 1", 1);
    return rows.next() ? rows.number(0) : 0;
  }
};

TEST_F(FeedTest, WhatItKnewOfADatabaseThatIsSetBackIsForgotten) {
  Server other(open());
  const auto storage = open();
  watch::Feed feed(*storage, {});
  const auto onlooker = std::make_shared<Onlooker>(feed);
  make_orders(other, 5);
  ASSERT_TRUE(feed.add(onlooker));
  ASSERT_TRUE(onlooker->sees(5));

  const std::int64_t before = flushes();
  auto& session = raw().session();
  session.execute(session.sql() << "DELETE FROM feed WHERE pos > 2");
  session.execute(session.sql() << "UPDATE feed_head SET pos = 2 WHERE id = 1");
  ASSERT_TRUE(onlooker->sees(2));
  EXPECT_EQ(flushes(), before + 1) << "these positions have been others', which were durable";

  make_orders(other, 2);
  ASSERT_TRUE(onlooker->sees(4));
  EXPECT_GT(flushes(), before + 1);
}

}  // namespace
}  // namespace orderd::test
