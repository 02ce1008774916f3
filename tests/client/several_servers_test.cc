#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "client/client.h"
#include "tests/client/fake_server.h"

namespace orderd::client {
namespace {

using orderd::testing::FakeServer;

Options to(std::string servers) {
  Options options;
  options.server = std::move(servers);
  return options;
}

class SeveralServers : public ::testing::Test {
 protected:
  /// Makes calls, ten at a time, until `wanted(calls that the first got, the second got)` holds for
  /// ten, and says whether it did within a minute.
  bool comes_to(const std::function<bool(std::size_t, std::size_t)>& wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < end) {
      const std::size_t first = first_->calls().size(), second = second_->calls().size();
      for (int i = 0; i < 10; ++i) {
        const auto answer = client_.get_order({});
        if (!answer.ok()) {
          ADD_FAILURE() << answer.status();
          return false;
        }
      }
      if (wanted(first_->calls().size() - first, second_->calls().size() - second)) return true;
    }
    return false;
  }
  bool both_are_called() {
    return comes_to([](auto first, auto second) { return first == 5 && second == 5; });
  }
  bool only_the_second_is_called() {
    return comes_to([](auto first, auto second) { return first == 0 && second == 10; });
  }

  std::unique_ptr<FakeServer> first_ = std::make_unique<FakeServer>();
  std::unique_ptr<FakeServer> second_ = std::make_unique<FakeServer>();
  Client client_{to("ipv4:" + first_->address() + "," + second_->address())};
};

TEST_F(SeveralServers, AreCalledInTurn) { EXPECT_TRUE(both_are_called()); }

TEST_F(SeveralServers, OneThatSaysItDoesNotServeIsLeftOutUntilItDoes) {
  ASSERT_TRUE(both_are_called());
  first_->say_serving(false);
  EXPECT_TRUE(only_the_second_is_called());
  first_->say_serving(true);
  EXPECT_TRUE(both_are_called());
}

TEST_F(SeveralServers, OneThatGoesFailsNoCallAndIsCalledWhenItIsBack) {
  ASSERT_TRUE(both_are_called());
  const std::string address = first_->address();
  first_ = nullptr;
  for (int i = 0; i < 10; ++i) {
    const auto answer = client_.get_order({});
    EXPECT_TRUE(answer.ok()) << answer.status();
  }
  first_ = std::make_unique<FakeServer>(std::stoi(address.substr(address.rfind(':') + 1)));
  EXPECT_TRUE(both_are_called());
}

TEST_F(SeveralServers, AServerOfAnAddressIsAskedEvenIfItSaysItDoesNotServe) {
  // It may say better than anybody else why not.
  first_->say_serving(false);
  const auto answer = Client(to(first_->address())).get_order({});
  EXPECT_TRUE(answer.ok()) << answer.status();
}

}  // namespace
}  // namespace orderd::client
