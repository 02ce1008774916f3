#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/engine_fixture.h"

// Many callers, few orders: no change is lost, none is made twice, and the history tells all of
// them.

namespace orderd::test {
namespace {

constexpr int kThreads = 64;
constexpr int kChanges = 10'000;
constexpr int kOrders = 50;

class LostUpdates : public EngineTest {};

TEST_P(LostUpdates, EachVersionIsOneAnsweredChange) {
  // On MariaDB two servers share the database, one of them with two lanes.
  std::vector<std::unique_ptr<Server>> servers;
  servers.push_back(std::make_unique<Server>(open()));
  if (backend() == Backend::kMariadb) {
    engine::Limits limits;
    limits.lanes = 2;
    servers.push_back(std::make_unique<Server>(open(), limits));
  }
  const auto ids = make_orders(*servers[0], kOrders);

  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::vector<std::atomic<int>> changed(kOrders);
  std::mutex mutex;
  std::map<std::string, int> reasons;
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + t);
      Server& server = *servers[t % servers.size()];
      while (next++ < kChanges) {
        const std::size_t n = random() % kOrders;
        const std::string request_id =
            random() % 4 == 0 ? Uuid::generate().to_string() : std::string();
        Command command;
        switch (random() % 3) {
          case 0: {
            const char* const states[] = {"new",       "processing", "completed",
                                          "suspended", "fraud",      "no-such-state"};
            command = status(ids[n], states[random() % 6], request_id);
            break;
          }
          case 1:
            // Fewer numbers than would do for all, so that callers get into each other's way.
            command = invoice(ids[n], random() % 5 == 0 ? "" : "I-" + std::to_string(random() % 80),
                              request_id);
            break;
          default:
            command = add_note(ids[n], "note of " + std::to_string(t), request_id);
        }
        if (random() % 8 == 0) command.expected_etag = std::to_string(random() % 200 + 1);
        const AnswerOr answer = server.call(std::move(command));
        if (answer.ok()) {
          ASSERT_FALSE(answer->replayed);
          if (answer->changed) ++changed[n];
        } else {
          std::lock_guard lock(mutex);
          ++reasons[errors::reason(answer.status())];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  const std::set<std::string> expected{"STATE_UNKNOWN", "STATE_NOT_ENTERABLE", "ETAG_MISMATCH",
                                       "INVOICE_NUMBER_IN_USE"};
  for (const auto& [reason, count] : reasons) {
    EXPECT_TRUE(expected.contains(reason)) << count << " x " << reason;
  }
  int sum = 0;
  std::map<Uuid, std::int64_t> versions;
  std::set<std::string> numbers;
  for (std::size_t n = 0; n < kOrders; ++n) {
    const OrderPtr order = servers[0]->stored(ids[n]);
    EXPECT_EQ(order->version, 1 + changed[n]);
    EXPECT_EQ(static_cast<std::size_t>(order->order->note_count()),
              servers[0]->notes(ids[n]).size());
    if (!order->order->invoice_number().empty()) {
      EXPECT_TRUE(numbers.insert(order->order->invoice_number()).second)
          << "one number, two orders";
    }
    versions[ids[n]] = order->version;
    sum += changed[n];
  }
  EXPECT_GT(sum, kChanges / 3);
  raw().expect_history_without_gap(versions);
  EXPECT_EQ(raw().feed().size(), static_cast<std::size_t>(kOrders + sum));

  // The numbers are claimed by those that have them and by nobody else.
  std::size_t claims = 0;
  auto rows = raw().session().query(
      raw().session().sql() << "SELECT value, order_id FROM invoice_numbers", 2);
  while (rows.next()) {
    ++claims;
    EXPECT_EQ(servers[0]->stored(rows.id(1))->order->invoice_number(), rows.text(0));
  }
  EXPECT_EQ(claims, numbers.size());
}

ORDERD_ON_BOTH_DATABASES(LostUpdates);

}  // namespace
}  // namespace orderd::test
