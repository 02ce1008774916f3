#include <gtest/gtest.h>

#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

namespace orderd::test {
namespace {

constexpr std::size_t kClients = 64;
constexpr std::size_t kChanges = 10'000;
/// About six of ten answers say that something was changed.
constexpr std::size_t kAnswers = 18'000;
constexpr std::size_t kOrders = 50;

void expect_nothing_lost(Load& load, const std::vector<client::Client>& servers,
                         const TestDatabase& database, std::vector<ServerProcess>& processes) {
  for (const client::Client& server : servers) load.check(server);
  EXPECT_GE(load.changes(), kChanges);
  EXPECT_EQ(load.replays(), 0u) << "nobody has asked twice";
  for (ServerProcess& process : processes) EXPECT_EQ(process.terminate(), 0);
  EXPECT_EQ(check_database(database.url()),
            static_cast<std::int64_t>(load.changes() + load.order_ids().size()));
}

class LostUpdates : public testing::TestWithParam<Backend> {};
INSTANTIATE_TEST_SUITE_P(, LostUpdates, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(LostUpdates, NoneOnOneServer) {
  const TestDatabase database = TestDatabase::create(GetParam());
  std::vector<ServerProcess> processes;
  processes.emplace_back(database.url());
  const std::vector servers{strict_client(processes[0].address())};
  Load load(servers, kOrders, test_seed());
  load.run(kClients, kAnswers, Load::any_of(1));
  expect_nothing_lost(load, servers, database, processes);
}

TEST(LostUpdatesBetweenServers, NoneIfEachCallGoesToAnyOfThem) {
  const TestDatabase database = TestDatabase::mariadb();
  std::vector<ServerProcess> processes;
  processes.emplace_back(database.url());
  processes.emplace_back(database.url());
  const std::vector servers{strict_client(processes[0].address()),
                            strict_client(processes[1].address())};
  Load load(servers, kOrders, test_seed());
  load.run(kClients, kAnswers, Load::any_of(2));
  expect_nothing_lost(load, servers, database, processes);
}

TEST(LostUpdatesBetweenServers, NoneWithSeveralLanes) {
  const TestDatabase database = TestDatabase::mariadb();
  const ServerProcess::Options three_lanes{.more_arguments = {"--lanes", "3"}};
  std::vector<ServerProcess> processes;
  processes.emplace_back(database.url(), three_lanes);
  processes.emplace_back(database.url(), three_lanes);
  const std::vector servers{strict_client(processes[0].address()),
                            strict_client(processes[1].address())};
  Load load(servers, kOrders, test_seed());
  load.run(kClients, kAnswers, Load::any_of(2));
  expect_nothing_lost(load, servers, database, processes);
}

}  // namespace
}  // namespace orderd::test
