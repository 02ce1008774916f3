#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/process/clients.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

namespace orderd::test {
namespace {

using testing::HasSubstr;

TEST(Start, PortZeroPicksAFreePort) {
  const TestDatabase one = TestDatabase::sqlite(), other = TestDatabase::sqlite();
  const ServerProcess first(one.url()), second(other.url());
  EXPECT_NE(first.address(), second.address());
  EXPECT_THAT(first.address(), testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_TRUE(strict_client(first.address()).create_order(empty_order()).ok());
  EXPECT_TRUE(strict_client(second.address()).create_order(empty_order()).ok());
}

void expect_refused(const std::string& url, const std::string& path) {
  try {
    const ServerProcess second(url);
    FAIL() << "a second server serves " << url;
  } catch (const ServerProcess::StartFailed& failure) {
    EXPECT_GT(failure.exit_code, 0);
    EXPECT_THAT(failure.standard_error, HasSubstr("another orderd"));
    EXPECT_THAT(failure.standard_error, HasSubstr(path));
    EXPECT_EQ(std::count(failure.standard_error.begin(), failure.standard_error.end(), '\n'), 1)
        << failure.standard_error;
  }
}

TEST(Start, ASecondServerOnAnSqliteFileIsRefused) {
  const TestDatabase database = TestDatabase::sqlite();
  ServerProcess first(database.url());
  expect_refused(database.url(), database.name());
  // The same file by another name.
  const std::string link = database.name() + "-link";
  std::filesystem::create_symlink(database.name(), link);
  expect_refused("sqlite:" + link, link);

  EXPECT_TRUE(strict_client(first.address()).create_order(empty_order()).ok())
      << "the first is disturbed";
  first.kill();
  ServerProcess after(database.url());  // the lock has gone with its process
  EXPECT_EQ(after.terminate(), 0);
}

class Stop : public testing::TestWithParam<Backend> {};
INSTANTIATE_TEST_SUITE_P(, Stop, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(Stop, EndsWithZeroAndKeepsWhatWasAcknowledged) {
  const TestDatabase database = TestDatabase::create(GetParam());
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server(database.url());
    const auto made = strict_client(server.address()).create_order(empty_order());
    ASSERT_TRUE(made.ok()) << made.status();
    server.send(signal);
    EXPECT_EQ(server.wait(), 0);

    server = ServerProcess(database.url());
    pb::GetOrderRequest get;
    get.set_order_id(made->order().order_id());
    const auto kept = strict_client(server.address()).get_order(get);
    ASSERT_TRUE(kept.ok()) << kept.status();
    EXPECT_EQ(kept->order().SerializeAsString(), made->order().SerializeAsString());
    EXPECT_EQ(server.terminate(), 0);
  }
}

}  // namespace
}  // namespace orderd::test
