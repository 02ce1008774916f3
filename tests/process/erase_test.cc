#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

// An erasure is cut short by the death of its server, in the middle of a page.

namespace orderd::test {
namespace {

constexpr int kOrders = 60;

class ErasureCutShort : public testing::TestWithParam<Backend> {};
INSTANTIATE_TEST_SUITE_P(, ErasureCutShort, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(ErasureCutShort, IsFinishedByTheSameCall) {
  const TestDatabase database = TestDatabase::create(GetParam());
  pb::EraseCustomerDataRequest erase;
  erase.set_request_id("018f0000-0000-7000-8000-000000000001");
  erase.set_customer_id("C-1");
  erase.set_include_open(true);
  {
    ServerProcess server(database.url(), {.environment = {"ORDERD_FAILPOINT=erasure_after_chunk:2"},
                                          .binary = ORDERD_FAILPOINTS_BINARY});
    const client::Client client = strict_client(server.address());
    for (int i = 0; i < kOrders; ++i) {
      auto order = empty_order();
      order.mutable_order()->mutable_customer()->set_customer_id("C-1");
      order.mutable_order()->mutable_customer()->set_name("Ann");
      ASSERT_TRUE(client.create_order(order).ok());
    }
    EXPECT_FALSE(client.erase_customer_data(erase).ok());
    EXPECT_EQ(server.wait(), -SIGKILL);
  }
  ServerProcess server(database.url());
  const client::Client client = strict_client(server.address());
  int erased = 0;
  for (const auto& order : client.list_orders({})) {
    ASSERT_TRUE(order.ok());
    erased += order->has_customer_erase_time();
    // Whole orders, or nothing of them.
    EXPECT_EQ(order->has_customer_erase_time(), order->customer().name().empty());
  }
  EXPECT_GT(erased, 0);
  EXPECT_LT(erased, kOrders);
  for (const auto& record : client.list_erasures({})) {
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->orders_erased(), erased) << "each order is recorded with its erasure";
    EXPECT_FALSE(record->has_complete_time());
  }

  const auto rest = client.erase_customer_data(erase);
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(rest->orders_erased(), kOrders - erased);
  EXPECT_EQ(rest->erasure().orders_erased(), kOrders);
  EXPECT_TRUE(rest->erasure().has_complete_time());
  for (const auto& order : client.list_orders({})) {
    ASSERT_TRUE(order.ok());
    EXPECT_EQ(order->customer().name(), "");
    EXPECT_EQ(order->etag(), "2") << "each was erased once";
  }
  EXPECT_EQ(server.terminate(), 0);
  check_database(database.url());
}

}  // namespace
}  // namespace orderd::test
