#include "server/engine/order_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace orderd::engine {
namespace {

/// An id of the cache's first shard, so that a test knows who competes for room.
Uuid id_of(int n) {
  Uuid id;
  id.bytes[14] = static_cast<std::uint8_t>(n);
  return id;
}

OrderPtr order_of(const Uuid& id, std::int64_t version, std::size_t text = 100) {
  auto order = std::make_shared<StoredOrder>();
  order->id = id;
  order->version = version;
  order->order->set_etag(std::to_string(version));
  order->order->mutable_customer()->set_name(std::string(text, 'x'));
  return order;
}

/// How many bytes the cache counts for one such order.
std::size_t bytes_of_one() {
  OrderCache cache(1u << 30);
  cache.put(order_of(id_of(1), 1));
  return cache.bytes();
}

constexpr std::size_t kShards = 16;

TEST(OrderCache, CountsWhatItHadAndWhatItHadNot) {
  OrderCache cache(kShards * 2 * bytes_of_one());
  for (int n = 1; n <= 3; ++n) cache.put(order_of(id_of(n), 1));
  EXPECT_EQ(cache.find(id_of(1), 1), nullptr);
  EXPECT_EQ(cache.find(id_of(2), 2), nullptr);
  EXPECT_NE(cache.find(id_of(2), 1), nullptr);
  const auto counters = cache.counters();
  EXPECT_EQ(counters.hits, 1u);
  EXPECT_EQ(counters.misses, 2u);
  EXPECT_EQ(counters.evictions, 1u);
  EXPECT_EQ(counters.orders, 2u);
  EXPECT_EQ(counters.bytes, 2 * bytes_of_one());
}

TEST(OrderCache, FindsExactlyTheVersionAskedFor) {
  OrderCache cache(1u << 20);
  EXPECT_EQ(cache.find(id_of(1), 1), nullptr);
  const OrderPtr order = order_of(id_of(1), 5);
  cache.put(order);
  EXPECT_EQ(cache.find(id_of(1), 5), order);
  EXPECT_EQ(cache.find(id_of(1), 4), nullptr);
  EXPECT_EQ(cache.find(id_of(1), 6), nullptr);
  EXPECT_EQ(cache.find(id_of(2), 5), nullptr);
}

TEST(OrderCache, KeepsTheLaterVersionWhicheverComesFirst) {
  OrderCache cache(1u << 20);
  cache.put(order_of(id_of(1), 5));
  cache.put(order_of(id_of(1), 4));
  EXPECT_EQ(cache.find(id_of(1), 4), nullptr);
  EXPECT_NE(cache.find(id_of(1), 5), nullptr);
  cache.put(order_of(id_of(1), 6));
  EXPECT_EQ(cache.find(id_of(1), 5), nullptr);
  EXPECT_NE(cache.find(id_of(1), 6), nullptr);
  EXPECT_EQ(cache.bytes(), bytes_of_one());
}

TEST(OrderCache, DropsTheLeastRecentlyUsed) {
  OrderCache cache(kShards * bytes_of_one() * 3);
  for (int n : {1, 2, 3}) cache.put(order_of(id_of(n), 1));
  EXPECT_NE(cache.find(id_of(1), 1), nullptr);  // used, so 2 is now the oldest
  cache.put(order_of(id_of(4), 1));
  EXPECT_EQ(cache.find(id_of(2), 1), nullptr);
  for (int n : {1, 3, 4}) EXPECT_NE(cache.find(id_of(n), 1), nullptr) << n;
}

TEST(OrderCache, IsBoundedInBytesNotInOrders) {
  const std::size_t limit = kShards * bytes_of_one() * 4;
  OrderCache cache(limit);
  for (int n : {1, 2, 3, 4}) cache.put(order_of(id_of(n), 1));
  cache.put(order_of(id_of(5), 1, 250));  // takes the room of more than one
  EXPECT_NE(cache.find(id_of(5), 1), nullptr);
  EXPECT_EQ(cache.find(id_of(1), 1), nullptr);
  EXPECT_EQ(cache.find(id_of(2), 1), nullptr);
  EXPECT_LE(cache.bytes(), limit / kShards);
}

TEST(OrderCache, LeavesOutWhatIsLargerThanItsRoomAndDropsNobodyForIt) {
  OrderCache cache(kShards * bytes_of_one() * 2);
  cache.put(order_of(id_of(1), 1));
  cache.put(order_of(id_of(2), 1, 100'000));
  EXPECT_EQ(cache.find(id_of(2), 1), nullptr);
  EXPECT_NE(cache.find(id_of(1), 1), nullptr);
}

TEST(OrderCache, CountsAGrownOrderAnew) {
  OrderCache cache(1u << 20);
  cache.put(order_of(id_of(1), 1));
  const std::size_t small = cache.bytes();
  cache.put(order_of(id_of(1), 2, 1000));
  EXPECT_GT(cache.bytes(), small);
  cache.put(order_of(id_of(1), 3));
  EXPECT_EQ(cache.bytes(), small);
}

TEST(OrderCache, OffKeepsNothing) {
  OrderCache cache(0);
  cache.put(order_of(id_of(1), 1));
  EXPECT_EQ(cache.find(id_of(1), 1), nullptr);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(OrderCache, ManyThreadsNeverSeeAnotherVersionThanTheyAskFor) {
  const std::size_t limit = kShards * bytes_of_one() * 8;
  OrderCache cache(limit);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        const Uuid id = id_of((i * 7 + t) % 32);
        const std::int64_t version = i % 11 + 1;
        if (const OrderPtr found = cache.find(id, version)) {
          if (found->version != version || found->id != id) ++wrong;
        } else {
          cache.put(order_of(id, version));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.bytes(), limit);
}

}  // namespace
}  // namespace orderd::engine
