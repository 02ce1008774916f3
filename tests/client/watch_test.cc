#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
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
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Writer = FakeServer::WatchWriter;

pb::WatchOrdersResponse message(const std::string& token) {
  pb::WatchOrdersResponse response;
  response.set_resume_token(token);
  response.add_changes()->set_order_id("order of " + token);
  return response;
}

/// As the server's end of a stream that nobody ends.
grpc::Status until_canceled(const grpc::ServerContext& context) {
  while (!context.IsCancelled()) std::this_thread::yield();
  return grpc::Status::CANCELLED;
}

class WatchTest : public ::testing::Test {
 protected:
  /// Each stream delivers the tokens behind the one that it resumes, up to the next of `ends`, and
  /// fails there. After the last of them there is nothing more.
  struct End {
    int after = 0;
    grpc::Status status;
  };
  void serve(std::vector<End> ends) {
    server_.on_watch = [ends = std::move(ends)](int attempt, grpc::ServerContext& context,
                                                const pb::WatchOrdersRequest& request,
                                                Writer& writer) {
      int token = request.resume_token().empty() ? 0 : std::stoi(request.resume_token());
      const auto index = static_cast<std::size_t>(attempt);
      if (index >= ends.size()) return until_canceled(context);
      while (token < ends[index].after) writer.Write(message(std::to_string(++token)));
      return ends[index].status;
    };
  }

  /// Watches until `last` is delivered, or it ends by itself.
  absl::Status watch(const std::string& last, pb::WatchOrdersRequest request = {},
                     const WatchOptions& options = {}) {
    return client_.watch_orders(
        std::move(request),
        [&](const pb::WatchOrdersResponse& response) {
          seen_.push_back(response.resume_token());
          return response.resume_token() != last;
        },
        options);
  }

  std::vector<std::string> tokens_asked_for() const {
    std::vector<std::string> tokens;
    for (const auto& call : server_.calls()) {
      pb::WatchOrdersRequest request;
      EXPECT_TRUE(request.ParseFromString(call.request));
      tokens.push_back(request.resume_token());
    }
    return tokens;
  }

  FakeServer server_;
  FakeTime time_;
  Client client_{time_.options(server_.address())};
  std::vector<std::string> seen_;
};

TEST_F(WatchTest, EndsWhenTheHandlerHasEnough) {
  server_.on_watch = [](int, grpc::ServerContext& context, const pb::WatchOrdersRequest&,
                        Writer& writer) {
    for (const auto* token : {"1", "2", "3"}) writer.Write(message(token));
    return until_canceled(context);
  };
  EXPECT_EQ(watch("2"), absl::OkStatus());
  EXPECT_THAT(seen_, ElementsAre("1", "2"));
  EXPECT_THAT(time_.sleeps(), IsEmpty());
}

TEST_F(WatchTest, GoesOnBehindTheLastTokenWithoutAGapOrARepeat) {
  serve({{3, grpc::Status(grpc::UNAVAILABLE, "away")},
         {3, to_grpc(rich_error(grpc::UNAVAILABLE, "SHUTTING_DOWN"))},
         {5, to_grpc(rich_error(grpc::ABORTED, "WATCH_TOO_SLOW"))},
         {6, to_grpc(rich_error(grpc::RESOURCE_EXHAUSTED, "OVERLOADED", 500))},
         {7, grpc::Status(grpc::INTERNAL, "Received RST_STREAM with error code 2")},
         {8, grpc::Status(grpc::DEADLINE_EXCEEDED, "a proxy's")},
         {9, grpc::Status(grpc::CANCELLED, "")},
         {10, grpc::Status(grpc::UNKNOWN, "Stream removed")},
         {11, grpc::Status::OK},
         {12, grpc::Status(grpc::UNAVAILABLE, "away")}});
  pb::WatchOrdersRequest request;
  request.set_from_snapshot(true);
  request.mutable_filter()->add_state_ids("new");
  EXPECT_EQ(watch("12", request), absl::OkStatus());
  EXPECT_THAT(seen_, ElementsAre("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"));
  EXPECT_THAT(tokens_asked_for(), ElementsAre("", "3", "3", "5", "6", "7", "8", "9", "10", "11"));
  for (const auto& call : server_.calls()) {
    ASSERT_TRUE(request.ParseFromString(call.request));
    EXPECT_EQ(request.from_snapshot(), request.resume_token().empty());
    EXPECT_THAT(request.filter().state_ids(), ElementsAre("new"));
  }
}

TEST_F(WatchTest, EachMessageMakesTheWaitsShortAgain) {
  const grpc::Status away(grpc::UNAVAILABLE, "away");
  serve({{0, away}, {0, away}, {1, away}, {1, away}, {2, away}, {2, away}, {3, away}});
  EXPECT_EQ(watch("3"), absl::OkStatus());
  EXPECT_THAT(time_.sleeps(), ElementsAre(25, 50, 25, 50, 25, 50));
}

TEST_F(WatchTest, EndsWithWhatGoingOnDoesNotMend) {
  const google::rpc::Status failures[] = {rich_error(grpc::OUT_OF_RANGE, "WATCH_TOKEN_EXPIRED"),
                                          rich_error(grpc::INVALID_ARGUMENT, "WATCH_TOKEN_INVALID"),
                                          rich_error(grpc::PERMISSION_DENIED, "X"),
                                          rich_error(grpc::UNAUTHENTICATED, "X"),
                                          rich_error(grpc::UNIMPLEMENTED, "X"),
                                          rich_error(grpc::INTERNAL, "INTERNAL")};
  for (const auto& failure : failures) {
    const std::size_t before = server_.calls().size();
    server_.fail_next(to_grpc(failure));
    const absl::Status status = watch("");
    EXPECT_EQ(static_cast<int>(status.code()), failure.code());
    EXPECT_EQ(status.message(), failure.message());
    EXPECT_EQ(server_.calls().size(), before + 1) << failure.message();
  }
  EXPECT_THAT(time_.sleeps(), IsEmpty());
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(WatchTest, EndsWhenItsTokenIsTooOldInTheEnd) {
  serve({{2, grpc::Status(grpc::UNAVAILABLE, "away")},
         {2, to_grpc(rich_error(grpc::OUT_OF_RANGE, "WATCH_TOKEN_EXPIRED"))}});
  EXPECT_EQ(details(watch("")).reason, "WATCH_TOKEN_EXPIRED");
  EXPECT_THAT(seen_, ElementsAre("1", "2"));
}

TEST_F(WatchTest, GivesUpAfterSoManyTriesInARow) {
  Options options = time_.options(server_.address());
  options.retry.max_attempts = 3;
  client_ = Client(options);
  const grpc::Status away(grpc::UNAVAILABLE, "away");
  // The first tries count as later ones do.
  serve({{0, away}, {0, away}, {1, away}, {1, away}, {1, away}});
  const absl::Status status = watch("");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("away"), HasSubstr("given up after 3 tries")));
  EXPECT_EQ(server_.calls().size(), 5u);
}

TEST_F(WatchTest, TheCallerDecidesHowOftenToTry) {
  Options options = time_.options(server_.address());
  options.retry.max_attempts = 2;
  client_ = Client(options);
  const grpc::Status away(grpc::UNAVAILABLE, "away");
  serve({{1, away}, {1, away}, {1, away}, {1, away}});
  std::vector<bool> exhausted;
  WatchOptions watch_options;
  watch_options.interrupted = [&](const WatchInterruption& interruption) {
    EXPECT_EQ(interruption.why.message(), "away");
    exhausted.push_back(interruption.exhausted);
    return exhausted.size() < 4;
  };
  EXPECT_EQ(watch("", {}, watch_options).code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(exhausted, ElementsAre(false, true, true, true));
  EXPECT_EQ(server_.calls().size(), 4u);
}

TEST_F(WatchTest, TakesASilentConnectionForDeadAndMakesANewOne) {
  std::mutex mutex;
  std::vector<std::string> peers;
  server_.on_watch = [&](int, grpc::ServerContext& context, const pb::WatchOrdersRequest& request,
                         Writer& writer) {
    {
      std::lock_guard lock(mutex);
      peers.push_back(context.peer());
    }
    // One message, then silence.
    writer.Write(message(request.resume_token().empty() ? "1" : "2"));
    return until_canceled(context);
  };
  pb::WatchOrdersRequest request;
  request.mutable_heartbeat_interval()->set_nanos(50'000'000);
  std::string why;
  WatchOptions options;
  options.interrupted = [&](const WatchInterruption& interruption) {
    why = std::string(interruption.why.message());
    return true;
  };
  EXPECT_EQ(watch("2", request, options), absl::OkStatus());
  EXPECT_THAT(why, HasSubstr("no message from the server for 150 ms"));
  EXPECT_THAT(seen_, ElementsAre("1", "2"));
  EXPECT_EQ(tokens_asked_for().back(), "1");
  std::lock_guard lock(mutex);
  ASSERT_GE(peers.size(), 2u);
  EXPECT_NE(peers.front(), peers.back());
}

TEST_F(WatchTest, ASlowHandlerIsNoSilence) {
  const grpc::Status away(grpc::UNAVAILABLE, "away");
  serve({{2, away}, {2, away}, {2, away}});
  pb::WatchOrdersRequest request;
  request.mutable_heartbeat_interval()->set_nanos(100'000'000);
  WatchOptions options;
  absl::Status why;
  options.interrupted = [&](const WatchInterruption& interruption) {
    why = interruption.why;
    return seen_.empty();  // a slow machine may take the first stream for silent
  };
  const absl::Status status = client_.watch_orders(
      request,
      [&](const pb::WatchOrdersResponse& response) {
        seen_.push_back(response.resume_token());
        // Longer than the silence that is allowed.
        if (seen_.size() == 1) std::this_thread::sleep_for(milliseconds(500));
        return true;
      },
      options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(why.message(), "away");
  EXPECT_THAT(seen_, ElementsAre("1", "2"));
}

TEST_F(WatchTest, AStopEndsItWhileItWaitsForAMessage) {
  std::stop_source stop;
  server_.on_watch = [&](int, grpc::ServerContext& context, const pb::WatchOrdersRequest&,
                         Writer& writer) {
    writer.Write(message("1"));
    stop.request_stop();
    return until_canceled(context);
  };
  EXPECT_EQ(watch("", {}, {.stop = stop.get_token(), .interrupted = {}}), absl::OkStatus());
  // Once it is stopped it does not even begin.
  EXPECT_EQ(watch("", {}, {.stop = stop.get_token(), .interrupted = {}}), absl::OkStatus());
  EXPECT_EQ(server_.calls().size(), 1u);
}

TEST_F(WatchTest, AStopEndsItBetweenTwoTries) {
  std::stop_source stop;
  server_.fail_next(to_grpc(rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 60'000)), 2);
  Options options = time_.options(server_.address());
  options.sleep = [&](milliseconds time) {
    time_.advance(time);
    if (time_.sleeps().size() == 3) stop.request_stop();
  };
  client_ = Client(options);
  EXPECT_EQ(watch("", {}, {.stop = stop.get_token(), .interrupted = {}}), absl::OkStatus());
  EXPECT_EQ(time_.sleeps().size(), 3u) << "the wait is made of short ones";
  EXPECT_THAT(time_.sleeps(), Each(100));
}

TEST_F(WatchTest, AnExceptionFromTheHandlerPassesThrough) {
  serve({{2, grpc::Status::OK}});
  EXPECT_THROW((void)client_.watch_orders({},
                                          [](const pb::WatchOrdersResponse&) -> bool {
                                            throw std::runtime_error("disk full");
                                          }),
               std::runtime_error);
}

TEST_F(WatchTest, FindsAServerThatComesBack) {
  auto first = std::make_unique<FakeServer>();
  const int port = std::stoi(first->address().substr(first->address().find(':') + 1));
  std::unique_ptr<FakeServer> second;
  const auto deliver = [](const char* token) {
    return
        [token](int, grpc::ServerContext& context, const pb::WatchOrdersRequest&, Writer& writer) {
          writer.Write(message(token));
          return until_canceled(context);
        };
  };
  first->on_watch = deliver("1");
  Options options;
  options.server = first->address();
  options.retry.max_backoff = milliseconds(20);
  options.retry.max_attempts = 1'000'000;
  const Client client(options);
  int tries = 0;
  WatchOptions watch_options;
  watch_options.interrupted = [&](const WatchInterruption&) {
    if (++tries == 3) {
      second = std::make_unique<FakeServer>(port);
      second->on_watch = deliver("2");
    }
    return true;
  };
  const absl::Status status = client.watch_orders(
      {},
      [&](const pb::WatchOrdersResponse& response) {
        seen_.push_back(response.resume_token());
        first.reset();
        return response.resume_token() != "2";
      },
      watch_options);
  EXPECT_EQ(status, absl::OkStatus());
  EXPECT_THAT(seen_, ElementsAre("1", "2"));
  pb::WatchOrdersRequest request;
  ASSERT_TRUE(request.ParseFromString(second->calls().front().request));
  EXPECT_EQ(request.resume_token(), "1");
}

}  // namespace
}  // namespace orderd::client
