#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/health.h"
#include "tests/process/load.h"
#include "tests/support/server_process.h"
#include "tests/support/tcp_gate.h"
#include "tests/support/test_database.h"

// The database goes away in every way that a network knows, from idle servers and from busy ones,
// and comes back. Nothing is injected into the server.

namespace orderd::test {
namespace {

using std::chrono::milliseconds;

/// A client in a hurry: one try, half a second.
client::Client hasty_client(const std::string& address) {
  client::Options options;
  options.server = address;
  options.timeout = options.attempt_timeout = milliseconds(500);
  options.retry.max_attempts = 1;
  return client::Client(std::move(options));
}

void expect_unavailable(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  const auto details = client::details(status);
  EXPECT_EQ(details.reason, "DATABASE_UNAVAILABLE");
  EXPECT_TRUE(details.retry_delay.has_value());
}

pb::GetOrderRequest get_request(const std::string& order_id) {
  pb::GetOrderRequest request;
  request.set_order_id(order_id);
  return request;
}

enum class Fault { kRefuse, kStopWriting, kStopReading };

/// A server whose way to the database leads through a gate.
class Site {
 public:
  Site(Fault fault, bool busy, std::uint64_t seed)
      : fault_(fault), busy_(busy), load_({patient_}, 10, seed) {}

  std::string name() const {
    const char* const names[] = {"refuse", "stop writing", "stop reading"};
    return std::string(names[static_cast<int>(fault_)]) + (busy_ ? ", busy" : ", idle");
  }
  const Health& health() const { return health_; }

  void make_an_order() {
    const auto made = strict_.create_order(empty_order());
    ASSERT_TRUE(made.ok()) << made.status();
    order_ids_.push_back(made->order().order_id());
  }

  void break_it() {
    if (busy_) {
      load_.start(8, Load::any_of(1));
      load_.wait_for_answers(100);
    }
    switch (fault_) {
      case Fault::kRefuse:
        return gate_.refuse();
      case Fault::kStopWriting:
        return gate_.stop_writing();
      case Fault::kStopReading:
        return gate_.stop_reading();
    }
  }

  /// Nobody knows of it yet.
  void expect_answers_in_time() {
    for (const absl::Status& status : {hasty_.get_order(get_request(order_ids_[0])).status(),
                                       hasty_.create_order(empty_order()).status()}) {
      if (!absl::IsDeadlineExceeded(status)) expect_unavailable(status);
    }
  }

  void expect_refusals() {
    EXPECT_TRUE(health_.lives());
    EXPECT_FALSE(health_.serves());
    expect_unavailable(strict_.get_order(get_request(order_ids_[0])).status());
    expect_unavailable(strict_.create_order(empty_order()).status());
  }

  /// `cut`: what stood still is lost, and the server is told, or not.
  void mend(bool cut) {
    if (cut && fault_ == Fault::kStopReading) gate_.forget();
    if (cut && fault_ == Fault::kStopWriting) gate_.close_now();
    gate_.pass();
    mended_ = std::chrono::steady_clock::now();
  }

  void expect_recovery() {
    health_.wait_until_it_serves();
    const auto time = std::chrono::steady_clock::now() - mended_;
    std::printf("%s: serves again after %lld ms\n", name().c_str(),
                static_cast<long long>(std::chrono::duration_cast<milliseconds>(time).count()));
    if (!busy_) return;
    load_.wait_for_answers(100);
    load_.stop();
    load_.check(patient_);
  }

  void expect_all_is_well() {
    EXPECT_TRUE(health_.serves());
    make_an_order();
    for (const std::string& order_id : order_ids_) {
      const auto answer = strict_.get_order(get_request(order_id));
      EXPECT_TRUE(answer.ok()) << answer.status();
    }
    if (!busy_) return;
    load_.replay_all(patient_);
    load_.check(patient_);
  }

  void end() {
    EXPECT_EQ(process_.terminate(), 0);
    check_database(database_.url());
  }

 private:
  const Fault fault_;
  const bool busy_;
  const TestDatabase database_ = TestDatabase::mariadb();
  TcpGate gate_{static_cast<unsigned short>(MariadbServer::get().port())};
  ServerProcess process_{database_.tcp_url(gate_.port())};
  const Health health_{process_.address()};
  const client::Client hasty_ = hasty_client(process_.address());
  const client::Client strict_ = strict_client(process_.address());
  std::atomic<int> retries_ = 0;
  const client::Client patient_ = patient_client(process_.address(), retries_);
  Load load_;
  std::vector<std::string> order_ids_;
  std::chrono::steady_clock::time_point mended_;
};

/// All at once, since noticing that a database hangs takes its time.
TEST(DatabaseOutage, EachFaultIsToldAndRecoveredFrom) {
  const std::uint64_t seed = test_seed();
  std::vector<std::unique_ptr<Site>> sites;
  for (const Fault fault : {Fault::kRefuse, Fault::kStopWriting, Fault::kStopReading}) {
    sites.push_back(std::make_unique<Site>(fault, true, seed));
  }
  sites.push_back(std::make_unique<Site>(Fault::kStopReading, false, seed));
  for (int round = 0; round < 2; ++round) {
    const auto each = [&](const auto& step) {
      for (const auto& site : sites) {
        SCOPED_TRACE(site->name() + ", round " + std::to_string(round));
        step(*site);
      }
    };
    each([](Site& site) { site.make_an_order(); });
    each([](Site& site) { site.break_it(); });
    if (round == 0) each([](Site& site) { site.expect_answers_in_time(); });
    each([](Site& site) { site.health().wait_until_it_serves(false); });
    each([](Site& site) { site.expect_refusals(); });
    each([&](Site& site) { site.mend(round == 1); });
    each([](Site& site) { site.expect_recovery(); });
    if (HasFailure()) return;
  }
  for (const auto& site : sites) {
    SCOPED_TRACE(site->name());
    site->expect_all_is_well();
    site->end();
  }
}

TEST(DatabaseOutage, BrokenConnectionsAreReplacedWithoutACallFailing) {
  const TestDatabase database = TestDatabase::mariadb();
  TcpGate gate(static_cast<unsigned short>(MariadbServer::get().port()));
  ServerProcess process(database.tcp_url(gate.port()));
  std::atomic<int> retries = 0;
  const client::Client client = patient_client(process.address(), retries);
  Load load({client}, 20, test_seed());
  load.start(16, Load::any_of(1));
  for (int i = 0; i < 10; ++i) {
    load.wait_for_answers(50);
    gate.close_now();
  }
  load.wait_for_answers(50);
  load.stop();
  load.replay_all(client);
  load.check(client);
  EXPECT_TRUE(Health(process.address()).serves());
  EXPECT_EQ(process.terminate(), 0);
  check_database(database.url());
}

TEST(DatabaseLater, AServerWaitsForItsDatabaseAndThenServes) {
  const auto mariadb = MariadbServer::start_own();
  const std::string url = mariadb->url("orders");
  mariadb->execute("CREATE DATABASE orders CHARACTER SET utf8mb4");
  mariadb->kill();

  ServerProcess process(url);
  EXPECT_TRUE(Health(process.address()).lives());
  EXPECT_FALSE(Health(process.address()).serves());
  const client::Client early = strict_client(process.address());
  expect_unavailable(early.create_order(empty_order()).status());
  expect_unavailable(early.get_order(get_request("x")).status());
  EXPECT_EQ(process.terminate(), 0) << "it waits in vain";

  process = ServerProcess(url);
  // The system's own tables are not orderd's: that is no outage, also when it comes out later.
  ServerProcess lost(mariadb->url("mysql"));
  EXPECT_FALSE(Health(process.address()).serves());
  EXPECT_FALSE(Health(lost.address()).serves());
  mariadb->start();
  Health(process.address()).wait_until_it_serves();
  const client::Client client = strict_client(process.address());
  const auto made = client.create_order(empty_order());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(client.get_order(get_request(made->order().order_id())).ok());
  ASSERT_TRUE(client.create_order(empty_order()).ok());
  // A page's token holds, so the secret is the database's.
  pb::ListOrdersRequest list;
  list.set_page_size(1);
  int count = 0;
  for (const auto& order : client.list_orders(list)) {
    ASSERT_TRUE(order.ok()) << order.status();
    ++count;
  }
  EXPECT_EQ(count, 2);
  EXPECT_EQ(process.terminate(), 0);

  EXPECT_EQ(lost.wait(), 3);
  EXPECT_THAT(lost.standard_error(), testing::HasSubstr("tables that are not orderd's"));
}

}  // namespace
}  // namespace orderd::test
