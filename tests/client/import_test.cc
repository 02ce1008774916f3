#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Stream = FakeServer::ImportStream;

pb::ImportOrdersResponse answer_to(const pb::ImportOrdersRequest& request,
                                   pb::ImportResult result = pb::IMPORT_RESULT_CREATED) {
  pb::ImportOrdersResponse response;
  response.set_order_number(request.order().order_number());
  response.set_result(result);
  return response;
}

class ImportTest : public ::testing::Test {
 protected:
  /// Imports orders "0", "1", …
  absl::Status import(int count, const ImportOptions& options = {}) {
    int next = 0;
    return client_.import_orders(
        [&]() -> std::optional<pb::ImportOrdersRequest> {
          if (next == count) return std::nullopt;
          pb::ImportOrdersRequest request;
          request.mutable_order()->set_order_number(std::to_string(next++));
          return request;
        },
        [&](const ImportAnswer& answer) {
          EXPECT_EQ(answer.index, answered_.size());
          EXPECT_EQ(answer.request.order().order_number(), std::to_string(answer.index));
          EXPECT_EQ(answer.response.order_number(), std::to_string(answer.index));
          answered_.push_back(answer.response);
          resent_.push_back(answer.resent);
        },
        options);
  }

  FakeServer server_;
  FakeTime time_;
  Client client_{time_.options(server_.address())};
  std::vector<pb::ImportOrdersResponse> answered_;
  std::vector<bool> resent_;
};

grpc::Status answer_all(int, grpc::ServerContext&, Stream& stream) {
  pb::ImportOrdersRequest request;
  while (stream.Read(&request)) stream.Write(answer_to(request));
  return grpc::Status::OK;
}

TEST_F(ImportTest, AnswersEachOrderOnceInOrder) {
  server_.on_import = answer_all;
  EXPECT_EQ(import(5000), absl::OkStatus());
  EXPECT_EQ(answered_.size(), 5000u);
  EXPECT_EQ(std::count(resent_.begin(), resent_.end(), true), 0);
}

TEST_F(ImportTest, NothingIsAnImportToo) {
  server_.on_import = answer_all;
  EXPECT_EQ(import(0), absl::OkStatus());
  EXPECT_TRUE(answered_.empty());
}

TEST_F(ImportTest, RefusalsAreAnswersNotErrors) {
  server_.on_import = [](int, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    while (stream.Read(&request)) {
      auto response = answer_to(request, pb::IMPORT_RESULT_REFUSED);
      *response.mutable_error() = rich_error(grpc::INVALID_ARGUMENT, "INVALID_REQUEST");
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(import(3), absl::OkStatus());
  ASSERT_EQ(answered_.size(), 3u);
  EXPECT_EQ(details(to_status(answered_[2].error())).reason, "INVALID_REQUEST");
}

TEST_F(ImportTest, KeepsNoMoreThanTheWindowUnanswered) {
  std::size_t waiting = 0;
  std::size_t most = 0;
  server_.on_import = [&](int, grpc::ServerContext&, Stream& stream) {
    // Answers only once the window is full, or the orders are at their end.
    std::vector<pb::ImportOrdersRequest> held;
    pb::ImportOrdersRequest request;
    while (stream.Read(&request)) {
      held.push_back(request);
      waiting = held.size();
      most = std::max(most, waiting);
      if (held.size() < 4) continue;
      for (const auto& each : held) stream.Write(answer_to(each));
      held.clear();
    }
    for (const auto& each : held) stream.Write(answer_to(each));
    return grpc::Status::OK;
  };
  ImportOptions options;
  options.window = 4;
  EXPECT_EQ(import(42, options), absl::OkStatus());
  EXPECT_EQ(answered_.size(), 42u);
  EXPECT_EQ(most, 4u);
}

TEST_F(ImportTest, ReconnectsAndSendsAgainWhatHasNoAnswer) {
  std::vector<std::string> first_of_stream;
  server_.on_import = [&](int attempt, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    int read = 0;
    while (stream.Read(&request)) {
      if (read++ == 0) first_of_stream.push_back(request.order().order_number());
      // The third order of the first two streams gets no answer.
      if (attempt < 2 && read == 3) return grpc::Status(grpc::UNAVAILABLE, "shutting down");
      stream.Write(answer_to(request));
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(import(10), absl::OkStatus());
  EXPECT_EQ(answered_.size(), 10u);
  EXPECT_THAT(first_of_stream, ElementsAre("0", "2", "4"));
  EXPECT_FALSE(resent_[1]);
  EXPECT_TRUE(resent_[2]);
  EXPECT_TRUE(resent_[4]);
  EXPECT_EQ(time_.sleeps(), (std::vector<milliseconds::rep>{25, 25}));
}

TEST_F(ImportTest, RepeatsAnOrderThatMetAPassingError) {
  server_.on_import = [](int attempt, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    while (stream.Read(&request)) {
      auto response = answer_to(request);
      if (attempt == 0 && request.order().order_number() == "1") {
        response.set_result(pb::IMPORT_RESULT_REFUSED);
        *response.mutable_error() = rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 400);
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(import(3), absl::OkStatus());
  ASSERT_EQ(answered_.size(), 3u);
  for (const auto& each : answered_) EXPECT_EQ(each.result(), pb::IMPORT_RESULT_CREATED);
  EXPECT_THAT(resent_, ElementsAre(false, true, ::testing::_));
  EXPECT_THAT(time_.sleeps(), ElementsAre(425));
}

TEST_F(ImportTest, GivesUpWhenNothingIsAnsweredForLong) {
  int streams = 0;
  server_.on_import = [&](int, grpc::ServerContext&, Stream&) {
    ++streams;
    return to_grpc(rich_error(grpc::UNAVAILABLE, "DATABASE_UNAVAILABLE", 1000));
  };
  ImportOptions options;
  options.give_up_after = milliseconds(3500);
  const auto status = import(3, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(details(status).reason, "DATABASE_UNAVAILABLE");
  EXPECT_EQ(streams, 4);
  EXPECT_TRUE(answered_.empty());
}

TEST_F(ImportTest, StopsAtAnErrorForGood) {
  server_.on_import = [](int, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    stream.Read(&request);
    stream.Write(answer_to(request));
    return to_grpc(rich_error(grpc::PERMISSION_DENIED, "PERMISSION_DENIED"));
  };
  const auto status = import(1000);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(answered_.size(), 1u);
}

TEST_F(ImportTest, ReplacesAConnectionOnWhichNothingMoves) {
  server_.on_import = [](int attempt, grpc::ServerContext& context, Stream& stream) {
    if (attempt > 0) return answer_all(attempt, context, stream);
    pb::ImportOrdersRequest request;
    while (stream.Read(&request)) {
    }
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  };
  ImportOptions options;
  options.stall_timeout = milliseconds(100);
  EXPECT_EQ(import(3, options), absl::OkStatus());
  EXPECT_EQ(answered_.size(), 3u);
}

TEST_F(ImportTest, NoticesAServerThatLeavesOrdersUnanswered) {
  server_.on_import = [](int, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    stream.Read(&request);
    return grpc::Status::OK;
  };
  const auto status = import(3);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("before it had answered all orders"));
}

TEST_F(ImportTest, NoticesAnAnswerTooMany) {
  server_.on_import = [](int, grpc::ServerContext&, Stream& stream) {
    pb::ImportOrdersRequest request;
    stream.Read(&request);
    stream.Write(answer_to(request));
    stream.Write(answer_to(request));
    while (stream.Read(&request)) {
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(import(1).code(), absl::StatusCode::kInternal);
}

TEST_F(ImportTest, LetsExceptionsOfTheCallbacksPass) {
  server_.on_import = answer_all;
  EXPECT_THROW(
      (void)client_.import_orders(
          []() -> std::optional<pb::ImportOrdersRequest> { throw std::runtime_error("disk"); },
          [](const ImportAnswer&) {}),
      std::runtime_error);
  EXPECT_THROW(
      (void)client_.import_orders([] { return std::optional(pb::ImportOrdersRequest()); },
                                  [](const ImportAnswer&) { throw std::runtime_error("sink"); }),
      std::runtime_error);
}

}  // namespace
}  // namespace orderd::client
