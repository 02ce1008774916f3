#include "server/payments/accounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <future>
#include <thread>

#include "server/orders/errors.h"
#include "tests/payments/fake_gateway.h"

namespace orderd::test {
namespace {

using payments::Accounts;
using Priority = payments::Accounts::Priority;
using std::chrono::hours;
using std::chrono::milliseconds;

std::unique_ptr<Accounts> accounts_with(const Accounts::Limits& limits) {
  auto accounts = std::make_unique<Accounts>(limits);
  for (const char* name : {"shop", "acme"}) {
    accounts->add(name, std::make_unique<FakeGatewayDoor>(std::make_shared<FakeGateway>()));
  }
  return accounts;
}

TEST(AccountsTest, KnowsItsAccounts) {
  const auto accounts = accounts_with({});
  EXPECT_THAT(accounts->names(), testing::ElementsAre("acme", "shop"));
  EXPECT_TRUE(accounts->configured("acme"));
  EXPECT_FALSE(accounts->configured("other"));
  EXPECT_NE(accounts->find("acme"), nullptr);
  EXPECT_EQ(accounts->find("other"), nullptr);
  EXPECT_TRUE(accounts->representable("acme", {}));
  EXPECT_FALSE(accounts->representable("other", {}));
  EXPECT_TRUE(accounts->available("acme").ok());
  EXPECT_FALSE(accounts->available("other").ok());
}

TEST(AccountsTest, FailuresInARowOpenTheCircuitOfTheirAccountOnly) {
  const auto accounts = accounts_with({.failures = 3, .pause = hours(1)});
  for (const bool answered : {false, false, true, false, false}) {
    EXPECT_TRUE(accounts->enter("acme"));
    accounts->leave("acme", answered);
    EXPECT_TRUE(accounts->available("acme").ok());
  }
  accounts->leave("acme", false);
  const absl::Status refusal = accounts->available("acme");
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(errors::reason(refusal), "GATEWAY_UNAVAILABLE");
  EXPECT_FALSE(accounts->enter("acme"));
  EXPECT_TRUE(accounts->available("shop").ok());
  EXPECT_TRUE(accounts->enter("shop"));

  // A call that was under way got through.
  accounts->leave("acme", true);
  EXPECT_TRUE(accounts->available("acme").ok());
  EXPECT_TRUE(accounts->enter("acme"));
}

TEST(AccountsTest, AfterAPauseOneCallProbes) {
  const auto accounts = accounts_with({.failures = 1, .pause = milliseconds(1000)});
  const auto wait_until_available = [&] {
    while (!accounts->available("acme").ok()) std::this_thread::yield();
  };
  accounts->leave("acme", false);
  EXPECT_FALSE(accounts->enter("acme"));
  wait_until_available();
  constexpr int kThreads = 8;
  std::barrier start(kThreads);
  std::atomic<int> entered = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        if (accounts->enter("acme")) ++entered;
      });
    }
  }
  EXPECT_EQ(entered, 1);
  EXPECT_FALSE(accounts->available("acme").ok()) << "until the probe is answered";
  accounts->leave("acme", false);
  EXPECT_FALSE(accounts->available("acme").ok());
  wait_until_available();
  EXPECT_TRUE(accounts->enter("acme"));
  accounts->leave("acme", true);
  EXPECT_TRUE(accounts->available("acme").ok());
  EXPECT_TRUE(accounts->enter("acme"));
}

TEST(AccountsTest, RefusesCallersWhenTooManyWaitAndNeverAJob) {
  const auto accounts = accounts_with({.threads = 1, .waiting = 2});
  Gate gate;
  std::promise<void> last;
  std::atomic<int> ran = 0;
  accounts->run("acme", Priority::kCaller, [&] { gate.pass(); });
  gate.wait_entered();
  for (int i = 0; i < 100; ++i) accounts->run("acme", Priority::kBackground, [&] { ++ran; });
  EXPECT_TRUE(accounts->available("acme").ok()) << "what waits in the background does not count";
  accounts->run("acme", Priority::kCaller, [&] { ++ran; });
  EXPECT_TRUE(accounts->available("acme").ok());
  accounts->run("acme", Priority::kCaller, [&] { ++ran; });
  EXPECT_EQ(accounts->available("acme").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(accounts->available("shop").ok());
  accounts->run("acme", Priority::kCaller, [&] {
    EXPECT_EQ(ran, 2) << "callers go first";
    last.set_value();
  });
  gate.open();
  last.get_future().wait();
  EXPECT_TRUE(accounts->available("acme").ok());
}

TEST(AccountsTest, ABackgroundThatHangsLeavesAThreadToCallers) {
  const auto accounts = accounts_with({.threads = 3});
  Gate gate;
  for (int i = 0; i < 10; ++i) accounts->run("acme", Priority::kBackground, [&] { gate.pass(); });
  gate.wait_entered(2);
  for (int i = 0; i < 10; ++i) {
    std::promise<void> ran;
    accounts->run("acme", Priority::kCaller, [&] { ran.set_value(); });
    ran.get_future().wait();
  }
  gate.open();
  gate.wait_entered(10);
}

TEST(AccountsTest, AJobThatThrowsHarmsNobody) {
  const auto accounts = accounts_with({.threads = 1});
  std::promise<void> ran;
  accounts->run("acme", Priority::kBackground, [] { throw std::runtime_error("pan=4242"); });
  accounts->run("acme", Priority::kBackground, [&] { ran.set_value(); });
  ran.get_future().wait();
}

TEST(AccountsTest, StoppingDropsWhatWaits) {
  const auto accounts = accounts_with({.threads = 1});
  Gate gate;
  std::atomic<int> ran = 0;
  const auto alive = std::make_shared<int>();
  accounts->run("acme", Priority::kCaller, [&] { gate.pass(); });
  gate.wait_entered();
  for (const auto priority : {Priority::kCaller, Priority::kBackground}) {
    accounts->run("acme", priority, [&ran, alive] { ++ran; });
  }
  EXPECT_EQ(alive.use_count(), 3);
  std::thread stopping([&] { accounts->stop(); });
  while (alive.use_count() > 1) std::this_thread::yield();
  gate.open();
  stopping.join();
  accounts->run("acme", Priority::kCaller, [&ran, alive] { ++ran; });
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_EQ(ran, 0);
}

}  // namespace
}  // namespace orderd::test
