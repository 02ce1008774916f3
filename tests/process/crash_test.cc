#include <gtest/gtest.h>
#include <signal.h>

#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

namespace orderd::test {
namespace {

constexpr std::size_t kClients = 64;
constexpr std::size_t kAnswersBetween = 700;

/// Each call ends in an answer, though the server under it ends: the client library asks again,
/// with the same request_id, until a new server answers at the same address. Since the answers
/// account for every version, no change was lost and none was made twice.
class Restart : public testing::TestWithParam<Backend> {
 protected:
  void end_under_load(int times, int signal, int exit_code) {
    for (int i = 0; i < times; ++i) {
      load_.start(kClients, Load::any_of(1));
      load_.wait_for_answers(kAnswersBetween);
      const int retries = retries_;
      process_.send(signal);
      EXPECT_EQ(process_.wait(), exit_code);
      process_ = ServerProcess(database_.url(), {.listen = port_.address()});
      load_.wait_for_answers(kAnswersBetween);
      load_.stop();
      EXPECT_GT(retries_, retries) << "nobody was calling when the server ended";
      load_.check(client_);
      if (HasFailure()) return;
    }
    load_.replay_all(client_);
    load_.check(client_);
    EXPECT_EQ(process_.terminate(), 0);
    check_database(database_.url());
  }

  const TestDatabase database_ = TestDatabase::create(GetParam());
  const ReservedPort port_;
  ServerProcess process_{database_.url(), {.listen = port_.address()}};
  std::atomic<int> retries_ = 0;
  const client::Client client_ = patient_client(port_.address(), retries_);
  Load load_{{client_}, 30, test_seed()};
};
INSTANTIATE_TEST_SUITE_P(, Restart, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(Restart, AfterKillNothingIsLostOrDoubled) { end_under_load(5, SIGKILL, -SIGKILL); }

TEST_P(Restart, AfterSigtermNothingIsLostOrDoubled) { end_under_load(2, SIGTERM, 0); }

TEST(MariadbKilled, ServersRecoverByThemselvesAndNothingIsLostOrDoubled) {
  const auto mariadb = MariadbServer::start_own();
  mariadb->execute("CREATE DATABASE orders CHARACTER SET utf8mb4");
  const std::string url = mariadb->url("orders");
  ServerProcess first(url), second(url);
  std::atomic<int> retries = 0;
  const std::vector servers{patient_client(first.address(), retries),
                            patient_client(second.address(), retries)};
  Load load(servers, 30, test_seed());
  for (int i = 0; i < 3; ++i) {
    load.start(kClients, Load::any_of(2));
    load.wait_for_answers(kAnswersBetween);
    const int before = retries;
    mariadb->kill();
    mariadb->start();
    load.wait_for_answers(kAnswersBetween);
    load.stop();
    EXPECT_GT(retries, before) << "nobody was calling when the database ended";
    for (const client::Client& server : servers) load.check(server);
    if (testing::Test::HasFailure()) return;
  }
  load.replay_all(servers[0]);
  load.check(servers[1]);
  EXPECT_EQ(first.terminate(), 0);
  EXPECT_EQ(second.terminate(), 0);
  check_database(url);
}

}  // namespace
}  // namespace orderd::test
