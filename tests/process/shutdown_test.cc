#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "orders/v1/order_service.grpc.pb.h"
#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/support/server_process.h"
#include "tests/support/tcp_gate.h"
#include "tests/support/test_database.h"

namespace orderd::test {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Returns when the server has logged that. Fails the test if it does not.
void wait_for_log(const ServerProcess& process, const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (process.standard_error().find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "it does not log: " << text;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// With a database that hangs nothing can be finished. The server ends all the same, and what it
/// has acknowledged is there.
class HungDatabase : public testing::Test {
 protected:
  ServerProcess serve(const std::string& drain_timeout, const std::string& log_level = "warn") {
    return ServerProcess(database_.tcp_url(gate_.port()),
                         {.listen = port_.address(),
                          .more_arguments = {"--drain-timeout", drain_timeout},
                          .log_level = log_level});
  }

  const TestDatabase database_ = TestDatabase::mariadb();
  const ReservedPort port_;
  TcpGate gate_{static_cast<unsigned short>(MariadbServer::get().port())};
};

TEST_F(HungDatabase, DoesNotHoldUpTheEndForLongerThanAllowed) {
  std::atomic<int> retries = 0;
  const client::Client client = patient_client(port_.address(), retries);
  std::optional<Load> load;
  for (const bool writing : {false, true}) {
    ServerProcess process = serve("1");
    if (!load) load.emplace(std::vector{client}, 20, test_seed());
    load->start(16, Load::any_of(1));
    load->wait_for_answers(100);
    writing ? gate_.stop_writing() : gate_.stop_reading();
    EXPECT_EQ(process.terminate(), 0);
    EXPECT_THAT(process.standard_error(), HasSubstr("the time to shut down is over"));
    gate_.pass();
    process = serve("30");
    load->wait_for_answers(100);
    load->stop();
    load->replay_all(client);
    load->check(client);
    EXPECT_EQ(process.terminate(), 0);
    EXPECT_THAT(process.standard_error(), Not(HasSubstr("the time to shut down is over")));
  }
  check_database(database_.url());
}

TEST_F(HungDatabase, ASecondSignalEndsItAtOnce) {
  ServerProcess process = serve("3600", "info");
  const auto made = strict_client(process.address()).create_order(empty_order());
  ASSERT_TRUE(made.ok()) << made.status();
  gate_.stop_writing();
  std::promise<void> asked;
  gate_.drop_before([&, seen = false](std::string_view packet) mutable {
    if (packet == "\x03START TRANSACTION" && !std::exchange(seen, true)) asked.set_value();
    return false;  // only looks on
  });
  const auto hanging = std::async(std::launch::async, [&] {
    return strict_client(process.address()).create_order(empty_order()).status().code();
  });
  ASSERT_EQ(asked.get_future().wait_for(std::chrono::minutes(1)), std::future_status::ready);
  process.send(SIGTERM);
  wait_for_log(process, "shutting down");
  process.send(SIGINT);
  EXPECT_EQ(process.wait(), 0);
  EXPECT_THAT(process.standard_error(), HasSubstr("a second signal"));
  gate_.drop_before({});
  gate_.pass();
  process = serve("30");
  pb::GetOrderRequest get;
  get.set_order_id(made->order().order_id());
  EXPECT_TRUE(strict_client(process.address()).get_order(get).ok());
  EXPECT_EQ(process.terminate(), 0);
}

TEST(Shutdown, WatchersGoOnWithTheirTokenAtTheNextServer) {
  const TestDatabase database = TestDatabase::sqlite();
  const ReservedPort port;
  ServerProcess process(database.url(), {.listen = port.address()});
  const auto stub = pb::OrderService::NewStub(
      grpc::CreateChannel(port.address(), grpc::InsecureChannelCredentials()));
  std::string token;
  const auto watch = [&](const auto& then) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    pb::WatchOrdersRequest request;
    request.set_resume_token(token);
    const auto stream = stub->WatchOrders(&context, request);
    pb::WatchOrdersResponse message;
    int changes = 0;
    bool first = true;
    while (stream->Read(&message)) {
      token = message.resume_token();
      changes += message.changes_size();
      if (std::exchange(first, false)) then();
      if (changes == 2) context.TryCancel();
    }
    return std::pair(changes, stream->Finish());
  };
  const auto [seen, status] = watch([&] {
    ASSERT_TRUE(strict_client(port.address()).create_order(empty_order()).ok());
    process.send(SIGTERM);
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  EXPECT_EQ(seen, 1) << "what was acknowledged before the end";
  EXPECT_EQ(process.wait(), 0);
  process = ServerProcess(database.url(), {.listen = port.address()});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(strict_client(port.address()).create_order(empty_order()).ok());
  }
  EXPECT_EQ(watch([] {}).first, 2) << "neither the first again nor a gap";
  EXPECT_EQ(process.terminate(), 0);
}

TEST(Reload, TakesOverTheLogLevelAndNothingThatIsWrong) {
  const TestDatabase database = TestDatabase::sqlite();
  const std::string file = database.name() + ".toml";
  const auto write = [&](const std::string& text) { std::ofstream(file) << text; };
  write("log-level = \"warn\"\n");
  ServerProcess process(database.url(), {.more_arguments = {"--config", file}, .log_level = ""});
  const client::Client client = strict_client(process.address());
  const auto made = client.create_order(empty_order());
  ASSERT_TRUE(made.ok()) << made.status();
  pb::GetOrderRequest get;
  get.set_order_id(made->order().order_id());

  EXPECT_TRUE(client.get_order(get).ok());
  write("log-level = \"debug\"\nlanes = 2\ncache-mb = 1\n");
  process.send(SIGHUP);
  wait_for_log(process, "the configuration has been read again");
  EXPECT_THAT(process.standard_error(),
              HasSubstr("--lanes, --cache-mb: changed, but that needs a restart"));
  EXPECT_THAT(process.standard_error(), Not(HasSubstr("GetOrder")));
  EXPECT_TRUE(client.get_order(get).ok());
  wait_for_log(process, "GetOrder");

  write("log-level = \"off\"\nno-such-option = 1\n");
  process.send(SIGHUP);
  wait_for_log(process, "line 2");
  EXPECT_THAT(process.standard_error(), HasSubstr("the old one stays"));
  EXPECT_TRUE(client.create_order(empty_order()).ok());
  wait_for_log(process, "CreateOrder");
  EXPECT_EQ(process.terminate(), 0);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace orderd::test
