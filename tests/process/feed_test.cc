#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <optional>

#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/process/watchers.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

// A checker of the change feed: many writers, whose batches are held up and rolled back at random
// before their commits; servers that are killed; watchers that break off at random and go on at any
// server. In the end each watcher must have heard of exactly what the tables hold, each change
// once, in the order of the commits; and what it made of that must be the orders as they are.

namespace orderd::test {
namespace {

constexpr std::size_t kClients = 32;
constexpr std::size_t kAnswersBetween = 600;
constexpr const char* kTheEnd = "the end of the feed test";

class FeedChecker : public testing::TestWithParam<Backend> {
 protected:
  FeedChecker() {
    // Of an SQLite database there is one server.
    const int servers = GetParam() == Backend::kSqlite ? 1 : 2;
    for (int i = 0; i < servers; ++i) {
      ports_.push_back(std::make_unique<ReservedPort>());
      addresses_.push_back(ports_.back()->address());
      processes_.push_back(serve(addresses_.back()));
      clients_.push_back(patient_client(addresses_.back(), retries_));
    }
  }

  std::unique_ptr<ServerProcess> serve(const std::string& address) {
    ServerProcess::Options options;
    options.listen = address;
    options.binary = ORDERD_FAILPOINTS_BINARY;
    options.environment = {"ORDERD_DISTURB=before_commit"};
    return std::make_unique<ServerProcess>(database_.url(), options);
  }

  /// Changes that watchers of all kinds here hear of.
  void mark_the_end() {
    const auto created = clients_[0].create_order(empty_order());
    ASSERT_TRUE(created.ok()) << created.status();
    pb::UpdateOrderStatusRequest moved;
    moved.set_order_id(created->order().order_id());
    moved.set_state_id("processing");
    ASSERT_TRUE(clients_[0].update_order_status(moved).ok());
    pb::AddNoteRequest note;
    note.set_order_id(created->order().order_id());
    note.set_body(kTheEnd);
    note.set_visibility(pb::NOTE_VISIBILITY_INTERNAL);
    ASSERT_TRUE(clients_[0].add_note(note).ok());
  }

  void check(const Watchers& watchers, const std::map<std::string, pb::Order>& orders) {
    for (const auto& record : watchers.records()) {
      const auto& kind = record->kind;
      if (!kind.from_snapshot) {
        const auto expected = expected_of(database_.url(), kind.filter);
        ASSERT_EQ(record->heard.size(), expected.size()) << kind.filter.ShortDebugString();
        for (std::size_t i = 0; i < expected.size(); ++i) {
          ASSERT_EQ(record->heard[i], expected[i]) << "the change at " << i;
        }
      }
      if (!kind.filter.state_ids().empty() || !kind.filter.event_types().empty()) continue;
      ASSERT_EQ(record->replay.orders().size(), orders.size());
      for (const auto& [id, order] : orders) {
        ASSERT_EQ(record->replay.orders().at(id).SerializeAsString(), order.SerializeAsString())
            << record->replay.orders().at(id).DebugString() << order.DebugString();
      }
    }
  }

  const TestDatabase database_ = TestDatabase::create(GetParam());
  std::vector<std::unique_ptr<ReservedPort>> ports_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<ServerProcess>> processes_;
  std::atomic<int> retries_ = 0;
  std::vector<client::Client> clients_;
};
INSTANTIATE_TEST_SUITE_P(, FeedChecker, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(FeedChecker, EveryChangeReachesEveryWatcherOnceAndInOrder) {
  const std::uint64_t seed = test_seed();
  Watchers watchers(addresses_, seed, kTheEnd);
  // Before anything is written, so that they hear of everything.
  for (int i = 0; i < 3; ++i) watchers.add({});
  watchers.add({.slow = true});
  Watchers::Kind in_state;
  in_state.filter.add_state_ids("processing");
  watchers.add(in_state);
  Watchers::Kind of_type;
  of_type.filter.add_event_types(pb::ORDER_EVENT_TYPE_NOTE_ADDED);
  watchers.add(of_type);

  Load load(clients_, 30, seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 4 && !HasFailure(); ++round) {
    load.start(kClients, Load::any_of(clients_.size()));
    load.wait_for_answers(kAnswersBetween / 2);
    watchers.add({.from_snapshot = true, .slow = round == 1});
    auto& process = processes_[random() % processes_.size()];
    process->send(SIGKILL);
    process->wait();
    process = serve(process->address());
    load.wait_for_answers(kAnswersBetween / 2);
    load.stop();
  }
  mark_the_end();
  watchers.finish();
  load.check(clients_[0]);

  std::map<std::string, pb::Order> orders;
  for (const auto& order : clients_[0].list_orders(pb::ListOrdersRequest())) {
    ASSERT_TRUE(order.ok()) << order.status();
    pb::GetOrderRequest get;
    get.set_order_id(order->order_id());
    const auto whole = clients_[0].get_order(get);
    ASSERT_TRUE(whole.ok()) << whole.status();
    orders[order->order_id()] = replayable(whole->order());
  }
  for (auto& process : processes_) EXPECT_EQ(process->terminate(), 0);
  std::cout << check_database(database_.url()) << " changes; resumed:";
  for (const auto& record : watchers.records()) std::cout << " " << record->resumed;
  std::cout << std::endl;
  check(watchers, orders);
}

/// The first message of a watch, and the code with which it ends if there is none.
grpc::StatusCode first_message(pb::OrderService::Stub& stub, const std::string& token,
                               pb::WatchOrdersResponse& message) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  pb::WatchOrdersRequest request;
  request.set_resume_token(token);
  const auto stream = stub.WatchOrders(&context, request);
  if (!stream->Read(&message)) return stream->Finish().error_code();
  context.TryCancel();
  for (pb::WatchOrdersResponse rest; stream->Read(&rest);) {
  }
  stream->Finish();
  return grpc::StatusCode::OK;
}

class FeedRetention : public testing::TestWithParam<Backend> {};
INSTANTIATE_TEST_SUITE_P(, FeedRetention, testing::Values(Backend::kSqlite, Backend::kMariadb),
                         backend_name);

TEST_P(FeedRetention, ATokenExpiresWhenWhatFollowsItIsOldEnough) {
  const TestDatabase database = TestDatabase::create(GetParam());
  ServerProcess server(database.url(), {.more_arguments = {"--feed-retention", "1"}});
  const client::Client client = strict_client(server.address());
  const auto stub = pb::OrderService::NewStub(
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  pb::WatchOrdersResponse message;
  ASSERT_EQ(first_message(*stub, "", message), grpc::StatusCode::OK);
  const std::string token = message.resume_token();
  // Nothing has happened since, however long ago it was: it is as good as new.
  ASSERT_EQ(first_message(*stub, token, message), grpc::StatusCode::OK);
  ASSERT_TRUE(client.create_order(empty_order()).ok());
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  grpc::StatusCode code = grpc::StatusCode::OK;
  while (code == grpc::StatusCode::OK && std::chrono::steady_clock::now() < end) {
    code = first_message(*stub, token, message);
  }
  EXPECT_EQ(code, grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(first_message(*stub, "", message), grpc::StatusCode::OK);
  EXPECT_EQ(server.terminate(), 0);
}

}  // namespace
}  // namespace orderd::test
