#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <barrier>
#include <future>
#include <iostream>

#include "client/request_id.h"
#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

namespace orderd::test {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class TwoServers : public testing::Test {
 protected:
  void stop_servers() {
    EXPECT_EQ(first_.terminate(), 0);
    EXPECT_EQ(second_.terminate(), 0);
    check_database(database_.url());
  }

  const TestDatabase database_ = TestDatabase::mariadb();
  ServerProcess first_{database_.url()};
  ServerProcess second_{database_.url()};
};

/// The longest time between two acknowledged changes of one order, from `begin` on, made by the
/// clients with even numbers.
milliseconds longest_gap(const Load& load, steady_clock::time_point begin) {
  std::vector<std::vector<steady_clock::time_point>> by_order(load.order_ids().size());
  for (std::size_t client = 0; client < load.successes().size(); client += 2) {
    for (const auto& success : load.successes()[client]) {
      by_order[success.order].push_back(success.ended);
    }
  }
  steady_clock::duration longest{};
  for (auto& times : by_order) {
    std::sort(times.begin(), times.end());
    auto last = begin;
    for (const auto time : times) {
      if (time < begin) continue;
      longest = std::max(longest, time - last);
      last = time;
    }
  }
  return duration_cast<milliseconds>(longest);
}

TEST_F(TwoServers, OneGoesOnWhileTheOtherIsStopped) {
  std::atomic<int> retries = 0;
  const std::vector servers{patient_client(first_.address(), retries),
                            patient_client(second_.address(), retries)};
  Load load(servers, 16, test_seed());
  for (int round = 0; round < 3; ++round) {
    load.start(32, Load::own);
    load.wait_for_answers(500);
    const auto stopped = steady_clock::now();
    second_.send(SIGSTOP);
    // The clients of the stopped server get no answers, so these are the other's.
    load.wait_for_answers(2000);
    second_.send(SIGCONT);
    load.wait_for_answers(500);
    load.stop();
    const milliseconds gap = longest_gap(load, stopped);
    std::cout << "the longest gap of an order: " << gap.count() << " ms" << std::endl;
    // The one figure of time in these tests: it is the promise itself.
    EXPECT_LE(gap, milliseconds(6000));
    for (const client::Client& server : servers) load.check(server);
    if (HasFailure()) return;
  }
  load.replay_all(servers[1]);
  load.check(servers[0]);
  stop_servers();
}

/// Calls `call` with each client at the same moment.
template <class Call>
auto at_once(const std::vector<client::Client>& clients, const Call& call) {
  std::barrier together(static_cast<std::ptrdiff_t>(clients.size()));
  std::vector<std::future<decltype(call(clients[0]))>> calls;
  for (const client::Client& client : clients) {
    calls.push_back(std::async(std::launch::async, [&] {
      together.arrive_and_wait();
      return call(client);
    }));
  }
  std::vector<decltype(call(clients[0]))> answers;
  for (auto& each : calls) answers.push_back(each.get());
  return answers;
}

TEST_F(TwoServers, TheSameRequestAtTheSameMomentIsOneChangeWithEqualAnswers) {
  constexpr int kRounds = 100;
  // Two of each: the same request meets itself in one batch and in another server's.
  const std::vector clients{strict_client(first_.address()), strict_client(second_.address()),
                            strict_client(first_.address()), strict_client(second_.address())};
  const auto made = clients[0].create_order(empty_order());
  ASSERT_TRUE(made.ok()) << made.status();
  const std::string order_id = made->order().order_id();
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    pb::CreateOrderRequest create = empty_order();
    create.set_request_id(client::new_request_id());
    const auto orders = at_once(clients, [&](const auto& c) { return c.create_order(create); });
    int replayed = 0;
    for (const auto& answer : orders) {
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->order().SerializeAsString(), orders[0]->order().SerializeAsString());
      EXPECT_EQ(answer->etag(), "1");
      EXPECT_TRUE(answer->changed());
      replayed += answer->replayed();
    }
    EXPECT_EQ(replayed, 3);

    pb::AddNoteRequest note;
    note.set_request_id(client::new_request_id());
    note.set_order_id(order_id);
    note.set_body("round " + std::to_string(round));
    const auto notes = at_once(clients, [&](const auto& c) { return c.add_note(note); });
    replayed = 0;
    for (const auto& answer : notes) {
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->note().SerializeAsString(), notes[0]->note().SerializeAsString());
      EXPECT_EQ(version_of(answer->etag()), round + 2);
      EXPECT_TRUE(answer->changed());
      replayed += answer->replayed();
    }
    EXPECT_EQ(replayed, 3);
    if (HasFailure()) return;
  }
  int count = 0;
  for (const auto& order : clients[1].list_orders({})) {
    ASSERT_TRUE(order.ok()) << order.status();
    ++count;
    EXPECT_EQ(order->note_count(), order->order_id() == order_id ? kRounds : 0);
  }
  EXPECT_EQ(count, kRounds + 1);
  stop_servers();
}

TEST_F(TwoServers, NoOrderEndsInAStateThatIsDeletedMeanwhile) {
  constexpr int kRounds = 100;
  const std::vector clients{strict_client(first_.address()), strict_client(second_.address())};
  std::vector<std::string> order_ids;
  for (int i = 0; i < 4; ++i) {
    const auto made = clients[1].create_order(empty_order());
    ASSERT_TRUE(made.ok()) << made.status();
    order_ids.push_back(made->order().order_id());
  }
  std::mt19937_64 random(test_seed());
  int deleted = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::string state_id = "temporary-" + std::to_string(round);
    SCOPED_TRACE(state_id);
    pb::CreateOrderStateRequest create;
    create.mutable_state()->set_state_id(state_id);
    create.mutable_state()->set_display_name("Temporary");
    create.mutable_state()->set_category(pb::STATE_CATEGORY_OPEN);
    const auto created = clients[0].create_order_state(create);
    ASSERT_TRUE(created.ok()) << created.status();

    pb::DeleteOrderStateRequest remove;
    remove.set_state_id(state_id);
    const std::size_t movers = 1 + random() % order_ids.size();
    std::barrier together(static_cast<std::ptrdiff_t>(movers + 1));
    std::vector<std::future<absl::Status>> moves;
    for (std::size_t i = 0; i < movers; ++i) {
      moves.push_back(std::async(std::launch::async, [&, i] {
        pb::UpdateOrderStatusRequest move;
        move.set_order_id(order_ids[i]);
        move.set_state_id(state_id);
        together.arrive_and_wait();
        return clients[1].update_order_status(move).status();
      }));
    }
    together.arrive_and_wait();
    // A little later now and then: else the deletion, which waits for less, nearly always wins.
    if (random() % 2 == 0) (void)clients[0].list_order_states({});
    const absl::Status removed = clients[0].delete_order_state(remove).status();
    std::size_t moved = 0;
    for (auto& move : moves) {
      const absl::Status status = move.get();
      moved += status.ok();
      EXPECT_TRUE(status.ok() || client::details(status).reason == "STATE_UNKNOWN") << status;
    }
    if (removed.ok()) {
      ++deleted;
      EXPECT_EQ(moved, 0u) << "into a state that had no orders when it was deleted";
    } else {
      EXPECT_EQ(client::details(removed).reason, "STATE_IN_USE") << removed;
      EXPECT_EQ(moved, movers) << "the state is still there";
    }
    if (HasFailure()) return;
  }
  std::cout << deleted << " of " << kRounds << " states could be deleted" << std::endl;
  stop_servers();
  EXPECT_EQ(orders_in_deleted_states(database_.url()), 0);
}

}  // namespace
}  // namespace orderd::test
