#include "client/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "client/client.h"
#include "client/request_id.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_time.h"

namespace orderd::client {
namespace {

using orderd::testing::FakeServer;
using orderd::testing::FakeTime;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::MatchesRegex;

absl::Status error(grpc::StatusCode code, const std::string& reason, int retry_ms = -1) {
  return internal::to_status(to_grpc(rich_error(code, reason, retry_ms)));
}

TEST(WorthRetrying, DependsOnCodeAndRetryInfo) {
  using internal::worth_retrying;
  EXPECT_TRUE(worth_retrying(absl::UnavailableError("connection refused")));
  EXPECT_TRUE(worth_retrying(error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 100)));
  EXPECT_TRUE(worth_retrying(absl::DeadlineExceededError("")));
  EXPECT_TRUE(worth_retrying(error(grpc::RESOURCE_EXHAUSTED, "OVERLOADED", 100)));
  EXPECT_TRUE(worth_retrying(error(grpc::ABORTED, "PAYMENT_BUSY", 100)));

  EXPECT_FALSE(worth_retrying(error(grpc::RESOURCE_EXHAUSTED, "OVERLOADED")));
  EXPECT_FALSE(worth_retrying(absl::ResourceExhaustedError("message too large")));
  EXPECT_FALSE(worth_retrying(error(grpc::ABORTED, "ETAG_MISMATCH")));
  EXPECT_FALSE(worth_retrying(error(grpc::ABORTED, "ETAG_MISMATCH", 100)));
  EXPECT_FALSE(worth_retrying(error(grpc::NOT_FOUND, "ORDER_NOT_FOUND", 100)));
  EXPECT_FALSE(worth_retrying(error(grpc::FAILED_PRECONDITION, "STATE_FINAL", 100)));
  EXPECT_FALSE(worth_retrying(absl::InternalError("")));
  EXPECT_TRUE(worth_retrying(absl::CancelledError("")));
  EXPECT_FALSE(worth_retrying(absl::OkStatus()));
}

TEST(Backoff, GrowsToItsLimitAndBeginsAgain) {
  FakeTime time;
  Options options = time.options("", 0.5);
  options.retry = {.max_attempts = 9,
                   .initial_backoff = milliseconds(100),
                   .max_backoff = milliseconds(350),
                   .multiplier = 2};
  internal::Backoff backoff(options);
  const auto next = [&] { return backoff.next(absl::UnavailableError("")).count(); };
  EXPECT_EQ(next(), 50);
  EXPECT_EQ(next(), 100);
  EXPECT_EQ(next(), 175);
  EXPECT_EQ(next(), 175);
  backoff.reset();
  EXPECT_EQ(next(), 50);
  EXPECT_EQ(backoff.next(error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 1500)).count(), 1600);
}

TEST(Backoff, IsRandomBetweenNothingAndTheBound) {
  Options options = internal::with_defaults({});
  std::set<milliseconds::rep> seen;
  for (int i = 0; i < 100; ++i) {
    internal::Backoff backoff(options);
    const auto wait = backoff.next(absl::UnavailableError("")).count();
    EXPECT_THAT(wait, AllOf(Ge(0), Le(options.retry.initial_backoff.count())));
    seen.insert(wait);
  }
  EXPECT_GT(seen.size(), 10u);
}

TEST(RequestId, IsAUuidThatRisesWithTime) {
  const std::string id = new_request_id();
  EXPECT_THAT(id,
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(id, new_request_id());
}

TEST(Retry, GoesOnUntilTheCallSucceeds) {
  FakeServer server;
  FakeTime time;
  const Client client(time.options(server.address()));
  server.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"));
  server.fail_next(to_grpc(rich_error(grpc::RESOURCE_EXHAUSTED, "OVERLOADED", 300)));
  server.fail_next(to_grpc(rich_error(grpc::ABORTED, "PAYMENT_BUSY", 20)));
  EXPECT_TRUE(client.get_order({}).ok());
  EXPECT_EQ(server.calls().size(), 4u);
  EXPECT_THAT(time.sleeps(), ElementsAre(25, 350, 120));
}

TEST(Retry, UsesOneRequestIdForAllTries) {
  FakeServer server;
  FakeTime time;
  const Client client(time.options(server.address()));
  server.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"), 2);
  EXPECT_TRUE(client.update_invoice({}).ok());
  EXPECT_TRUE(client.update_invoice({}).ok());
  const auto calls = server.calls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0].request_id.size(), 36u);
  EXPECT_EQ(calls[0].request_id, calls[1].request_id);
  EXPECT_EQ(calls[0].request_id, calls[2].request_id);
  EXPECT_NE(calls[0].request_id, calls[3].request_id);
}

TEST(Retry, KeepsTheCallersRequestId) {
  FakeServer server;
  FakeTime time;
  const Client client(time.options(server.address()));
  pb::AddNoteRequest request;
  request.set_request_id("11111111-2222-4333-8444-555555555555");
  EXPECT_TRUE(client.add_note(request).ok());
  EXPECT_EQ(server.calls().at(0).request_id, request.request_id());
}

TEST(Retry, NeverRepeatsWhatFailedForGood) {
  for (const auto& failure :
       {rich_error(grpc::ABORTED, "ETAG_MISMATCH", 10), rich_error(grpc::NOT_FOUND, "X"),
        rich_error(grpc::RESOURCE_EXHAUSTED, "X"), rich_error(grpc::INTERNAL, "INTERNAL")}) {
    FakeServer server;
    FakeTime time;
    const Client client(time.options(server.address()));
    server.fail_next(to_grpc(failure));
    const auto response = client.update_order_status({});
    EXPECT_EQ(static_cast<int>(response.status().code()), failure.code());
    EXPECT_EQ(response.status().message(), failure.message());
    EXPECT_EQ(server.calls().size(), 1u) << failure.message();
    EXPECT_TRUE(time.sleeps().empty());
  }
}

TEST(Retry, EndsWithTheTries) {
  FakeServer server;
  FakeTime time;
  Options options = time.options(server.address());
  options.retry.max_attempts = 3;
  const Client client(options);
  server.fail_next(to_grpc(rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 100)), 100);
  const auto response = client.get_order({});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("given up after 3 tries"));
  EXPECT_EQ(details(response.status()).reason, "DATABASE_UNAVAILABLE");
  EXPECT_EQ(server.calls().size(), 3u);
}

TEST(Retry, NeverWaitsBeyondTheTimeout) {
  FakeServer server;
  FakeTime time;
  Options options = time.options(server.address(), 0);
  options.timeout = milliseconds(1000);
  options.retry.max_attempts = 1000;
  const Client client(options);
  server.fail_next(to_grpc(rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 300)), 100);
  EXPECT_FALSE(client.get_order({}).ok());
  EXPECT_THAT(time.sleeps(), ElementsAre(300, 300, 300));
}

TEST(Retry, EachTryHasADeadlineWithinTheWhole) {
  FakeServer server;
  FakeTime time;
  Options options = time.options(server.address(), 0);
  options.timeout = milliseconds(60'000);
  options.attempt_timeout = milliseconds(40'000);
  const Client client(options);
  // After it only 30 seconds are left.
  server.fail_next(to_grpc(rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 30'000)));
  const auto before = std::chrono::system_clock::now();
  EXPECT_TRUE(client.get_order({}).ok());
  const auto after = std::chrono::system_clock::now();
  const auto calls = server.calls();
  ASSERT_EQ(calls.size(), 2u);
  // gRPC carries deadlines as rounded timeouts.
  const auto slack = std::chrono::seconds(1);
  EXPECT_THAT(calls[0].deadline, AllOf(Ge(before + std::chrono::seconds(40) - slack),
                                       Le(after + std::chrono::seconds(40) + slack)));
  EXPECT_THAT(calls[1].deadline, AllOf(Ge(before + std::chrono::seconds(30) - slack),
                                       Le(after + std::chrono::seconds(30) + slack)));
}

TEST(Retry, RepeatsATryThatTookTooLong) {
  FakeServer server;
  Options options;
  options.server = server.address();
  options.timeout = std::chrono::minutes(5);
  options.attempt_timeout = milliseconds(50);
  const Client client(options);
  server.fail_next([](grpc::ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  });
  EXPECT_TRUE(client.update_invoice({}).ok());
  const auto calls = server.calls();
  ASSERT_GE(calls.size(), 2u);
  EXPECT_EQ(calls.front().request_id, calls.back().request_id);
}

TEST(Retry, FindsAServerThatComesBack) {
  auto server = std::make_unique<FakeServer>();
  const int port = std::stoi(server->address().substr(server->address().find(':') + 1));
  Options options;
  options.server = server->address();
  options.timeout = std::chrono::minutes(5);
  options.retry.max_attempts = 1'000'000;
  options.retry.max_backoff = milliseconds(20);
  int sleeps = 0;
  std::unique_ptr<FakeServer> second;
  options.sleep = [&](milliseconds time) {
    if (++sleeps == 3) second = std::make_unique<FakeServer>(port);
    std::this_thread::sleep_for(time);
  };
  const Client client(options);
  ASSERT_TRUE(client.get_order({}).ok());
  server.reset();
  EXPECT_TRUE(client.get_order({}).ok());
  EXPECT_GE(sleeps, 3);
}

}  // namespace
}  // namespace orderd::client
