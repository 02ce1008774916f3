#include "server/rpc/rate_limit.h"

#include <gtest/gtest.h>

#include <atomic>

#include <string>
#include <thread>
#include <vector>

namespace orderd::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr auto kZero = RateLimit::Clock::duration::zero();
const RateLimit::Clock::time_point kStart{hours(1000)};

RateLimit limit(double per_second, double burst, std::size_t identities = 100) {
  return RateLimit({per_second, burst, identities});
}

TEST(RateLimitTest, NoneLetsEverythingPass) {
  RateLimit rate({});
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(rate.take("a", kStart), kZero);
}

TEST(RateLimitTest, ABurstThenOneAtATimeAndTheWaitIsExact) {
  RateLimit rate = limit(10, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rate.take("a", kStart), kZero) << i;
  EXPECT_EQ(rate.take("a", kStart), milliseconds(100));
  EXPECT_EQ(rate.take("a", kStart + milliseconds(30)), milliseconds(70));
  EXPECT_EQ(rate.take("a", kStart + milliseconds(100)), kZero);
  EXPECT_EQ(rate.take("a", kStart + milliseconds(100)), milliseconds(100));
  // Refusals cost nothing.
  EXPECT_EQ(rate.take("a", kStart + milliseconds(200)), kZero);
}

TEST(RateLimitTest, APauseFillsTheBucketAndNoMore) {
  RateLimit rate = limit(10, 3);
  for (int i = 0; i < 3; ++i) rate.take("a", kStart);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rate.take("a", kStart + hours(1)), kZero) << i;
  EXPECT_GT(rate.take("a", kStart + hours(1)), kZero);
}

TEST(RateLimitTest, OverALongTimeTheRateHolds) {
  RateLimit rate = limit(50, 5);
  int taken = 0;
  for (auto now = kStart; now < kStart + std::chrono::seconds(10); now += milliseconds(1)) {
    if (rate.take("a", now) == kZero) ++taken;
  }
  EXPECT_EQ(taken, 504);  // 50 a second, and those of the first moment
}

TEST(RateLimitTest, IdentitiesDoNotDisturbEachOther) {
  RateLimit rate = limit(1, 1);
  EXPECT_EQ(rate.take("a", kStart), kZero);
  EXPECT_EQ(rate.take("b", kStart), kZero);
  EXPECT_GT(rate.take("a", kStart), kZero);
  EXPECT_GT(rate.take("b", kStart), kZero);
}

TEST(RateLimitTest, TimeThatGoesBackALittleGivesNothingAway) {
  RateLimit rate = limit(10, 1);
  EXPECT_EQ(rate.take("a", kStart), kZero);
  EXPECT_EQ(rate.take("a", kStart - milliseconds(5)), milliseconds(105));
  EXPECT_EQ(rate.take("a", kStart + milliseconds(100)), kZero);
}

TEST(RateLimitTest, MemoryIsBoundedAndThoseBeyondShareABucket) {
  RateLimit rate = limit(1, 1, 2);
  EXPECT_EQ(rate.take("a", kStart), kZero);
  EXPECT_EQ(rate.take("b", kStart), kZero);
  EXPECT_EQ(rate.take("c", kStart), kZero);
  EXPECT_GT(rate.take("d", kStart), kZero);
  // Full buckets make room.
  const auto later = kStart + std::chrono::seconds(5);
  EXPECT_EQ(rate.take("c", later), kZero);
  EXPECT_EQ(rate.take("d", later), kZero);
}

TEST(RateLimitTest, ThreadsTakeEachTokenOnce) {
  RateLimit rate = limit(1, 1000);
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) taken += rate.take("a", kStart) == kZero ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1000);
}

}  // namespace
}  // namespace orderd::rpc
