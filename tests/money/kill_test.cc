#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/money/money.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

/// Two servers work on a few payments for many clients, and are killed wherever they happen to be.
/// A client that does not know what became of its request sends it again, to either server.
TEST(Killed, ServersThatAreKilledUnderLoadNeitherLoseNorDoubleMoney) {
  constexpr int kOrders = 12, kClients = 24, kKills = 8;
  const std::uint64_t seed = test_seed();
  const TestDatabase database = TestDatabase::mariadb();
  const Folder folder;
  const ReservedPort ports[2];
  const auto start = [&](int i) {
    Server::Options options;
    options.gateways = {folder.gateway("shop")};
    options.listen = ports[i].address();
    return std::make_unique<Server>(database.url(), options);
  };
  std::unique_ptr<Server> servers[] = {start(0), start(1)};
  std::vector<Paid> orders;
  for (int i = 0; i < kOrders; ++i) {
    orders.push_back(make_paid_order(servers[0]->shop(), "shop", 1'000'000));
  }

  std::mutex mutex;  // guards what follows
  std::vector<std::pair<Try, std::string>> made;
  std::map<std::string, int> refusals;
  std::atomic<int> answers = 0, lost = 0;
  std::atomic<bool> stopping = false;
  const auto work = [&](int client) {
    std::mt19937_64 random(seed + static_cast<std::uint64_t>(client));
    const Shop shops[] = {Shop(ports[0].address()), Shop(ports[1].address())};
    while (!stopping) {
      const Operation operation = random() % 3 == 0 ? Operation::kRefund : Operation::kCapture;
      const Try attempt{operation, orders[random() % kOrders], new_uuid(),
                        1 + static_cast<std::int64_t>(random() % 2'000)};
      for (;;) {
        const auto answer = perform(shops[random() % 2], attempt, milliseconds(10'000));
        if (answer.code == grpc::StatusCode::UNAVAILABLE ||
            answer.code == grpc::StatusCode::CANCELLED ||
            answer.code == grpc::StatusCode::RESOURCE_EXHAUSTED) {
          ++lost;
          std::this_thread::sleep_for(milliseconds(10 + random() % 50));
          continue;
        }
        ++answers;
        std::lock_guard lock(mutex);
        if (answer.ok()) {
          made.emplace_back(attempt, answer->transaction.transaction_id());
        } else {
          ++refusals[answer.reason];
        }
        break;
      }
    }
  };
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(work, i);
  std::mt19937_64 random(seed);
  for (int i = 0; i < kKills; ++i) {
    const int before = answers;
    const int more = 20 + static_cast<int>(random() % 100);
    wait_until("the clients have been answered", [&] { return answers > before + more; });
    auto& victim = servers[i % 2];
    victim->process().kill();
    victim = start(i % 2);
  }
  stopping = true;
  for (auto& client : clients) client.join();

  const Shop& shop = servers[0]->shop();
  shop.wait_until_settled();
  for (const Paid& paid : orders) {
    expect_equal_books(shop, paid);
    expect_invariant(payment_of(servers[1]->shop().get(paid.order_id)));
  }
  std::set<std::string> ids;
  std::map<std::string, pb::PaymentTransaction> ledger;
  for (const Paid& paid : orders) {
    for (const auto& it : shop.transactions(paid.order_id)) ledger[it.transaction_id()] = it;
  }
  int of_ours = 0;
  for (const auto& [id, transaction] : ledger) of_ours += !transaction.foreign();
  // No client gave up, so each attempt was answered to somebody, once under each request_id.
  EXPECT_EQ(of_ours, static_cast<int>(made.size()));
  for (const auto& [attempt, id] : made) {
    EXPECT_TRUE(ids.insert(id).second) << "one attempt for two requests";
    const auto again = perform(servers[random() % 2]->shop(), attempt);
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->transaction.SerializeAsString(), ledger[id].SerializeAsString());
    EXPECT_EQ(again->transaction.amount().amount_minor(), attempt.amount);
  }
  std::cout << made.size() << " attempts, " << lost << " answers lost; refused:";
  for (const auto& [reason, count] : refusals) {
    std::cout << " " << count << " " << reason;
    EXPECT_TRUE(reason == "AMOUNT_TOO_LARGE" || reason == "PAYMENT_NOT_REFUNDABLE" ||
                reason == "PAYMENT_NOT_CAPTURABLE")
        << reason;
  }
  std::cout << std::endl;
  EXPECT_GT(lost, 0) << "nobody was calling when the servers were killed";
  for (auto& server : servers) EXPECT_EQ(server->process().terminate(), 0);
  check_database(database.url());
}

}  // namespace
}  // namespace orderd::test
