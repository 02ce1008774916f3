#include "server/orders/shipments.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/engine/engine_fixture.h"
#include "tests/support/storage_test.h"

// Shipments on their way through the engine: what is answered is what is stored, and nobody's
// pieces are counted twice.

namespace orderd::test {
namespace {

Command ship(const pb::UpdateShipmentsRequest& request) {
  Command command = command_for("UpdateShipments", request);
  command.rule = [request, ids = Uuid::generate()](const rules::Target& target,
                                                   const rules::Context& context) {
    return rules::update_shipments(request, ids, target, context);
  };
  return command;
}

pb::UpdateShipmentsRequest request_for(const Uuid& order_id, const std::string& request_id = {}) {
  pb::UpdateShipmentsRequest request;
  request.set_order_id(order_id.to_string());
  request.set_request_id(request_id);
  return request;
}

/// All lines into a delivery state.
Command move_all(const Uuid& order_id, const std::string& state_id,
                 const std::string& request_id = {}) {
  auto request = request_for(order_id, request_id);
  auto& change = *request.add_changes()->mutable_set_delivery_state();
  change.mutable_selection()->set_all(true);
  change.set_delivery_state_id(state_id);
  return ship(request);
}

/// `quantity` pieces of item "1" into a delivery state.
Command move_some(const Uuid& order_id, const std::string& state_id, std::int64_t quantity) {
  auto request = request_for(order_id);
  auto& change = *request.add_changes()->mutable_set_delivery_state();
  auto& line = *change.mutable_selection()->add_lines();
  line.set_item_id("1");
  line.set_quantity(quantity);
  change.set_delivery_state_id(state_id);
  return ship(request);
}

/// `quantity` pieces of a line into a shipment of their own.
Command split_off(const Uuid& order_id, const std::string& line_id, std::int64_t quantity) {
  auto request = request_for(order_id);
  auto& change = *request.add_changes()->mutable_set_method();
  auto& line = *change.mutable_selection()->add_lines();
  line.set_line_id(line_id);
  line.set_quantity(quantity);
  change.set_method_id("express");
  return ship(request);
}

Command order_of(int items, std::int64_t quantity) {
  auto request = new_order();
  pb::Item item = request.order().items(0);
  item.set_quantity(quantity);
  request.mutable_order()->clear_items();
  for (int i = 0; i < items; ++i) *request.mutable_order()->add_items() = item;
  return create(request);
}

std::int64_t pieces(const pb::Order& order, std::string_view state_id = {}) {
  std::int64_t sum = 0;
  for (const pb::Shipment& shipment : order.shipments()) {
    EXPECT_FALSE(shipment.lines().empty());
    for (const pb::ShipmentLine& line : shipment.lines()) {
      EXPECT_GT(line.quantity(), 0);
      if (state_id.empty() || line.delivery_state_id() == state_id) sum += line.quantity();
    }
  }
  return sum;
}

class Shipments : public EngineTest {
 protected:
  void SetUp() override {
    opened_ = open(counting());
    add_express();
    server_ = std::make_unique<Server>(opened_);
  }

  storage::Options counting() {
    storage::Options options;
    options.on_statement = [this](std::string_view) { ++statements_; };
    return options;
  }

  void add_express() {
    const auto tx = opened_->begin_write(storage::Clock::now() + kPatience);
    const Settings settings = tx->lock_settings();
    pb::ShipmentMethod express;
    express.set_method_id("express");
    express.set_display_name("Express");
    express.set_enabled(true);
    express.set_position(20);
    tx->save_shipment_method(express);
    tx->set_settings_version(settings.version + 1);
    tx->commit();
  }

  Uuid make(int items, std::int64_t quantity) {
    const AnswerOr answer = server_->call(order_of(items, quantity));
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer->order_id;
  }

  /// That the answer is what is stored.
  void expect_stored(const AnswerOr& answer) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(same(server_->stored(answer->order_id)->order, answer->order->order));
  }

  std::atomic<int> statements_{0};
  std::shared_ptr<storage::Storage> opened_;
  std::unique_ptr<Server> server_;
};

TEST_P(Shipments, AnswersAreWhatIsStored) {
  const AnswerOr made = server_->call(order_of(4, 5));
  expect_stored(made);
  ASSERT_EQ(made->order->order.shipments_size(), 1);
  EXPECT_EQ(pieces(made->order->order, "pending"), 20);
  const Uuid id = made->order_id;

  const auto moved = server_->call(move_some(id, "confirmed", 3));
  expect_stored(moved);
  EXPECT_EQ(pieces(moved->order->order, "confirmed"), 3);
  ASSERT_EQ(moved->outcome.shipment_results_size(), 1);

  auto request = request_for(id);
  auto& tracking = *request.add_changes()->mutable_set_tracking_numbers();
  tracking.set_shipment_id(moved->order->order.shipments(0).shipment_id());
  tracking.add_tracking_numbers("T-1");
  tracking.add_tracking_numbers("T-2");
  const auto tracked = server_->call(ship(request));
  expect_stored(tracked);
  EXPECT_EQ(tracked->order->order.shipments(0).tracking_numbers_size(), 2);

  const std::string line_id = moved->order->order.shipments(0).lines(0).line_id();
  const auto split = server_->call(split_off(id, line_id, 1));
  expect_stored(split);
  EXPECT_EQ(split->order->order.shipments_size(), 2);

  const auto again = server_->call(move_all(id, "shipped"));
  expect_stored(again);
  EXPECT_EQ(pieces(again->order->order, "shipped"), 20);
  EXPECT_EQ(again->order->version, 5);
}

TEST_P(Shipments, SeveralChangesOfABatchAreWrittenOnce) {
  const Uuid id = make(3, 5);
  std::vector<Command> commands;
  Command created = order_of(2, 4);
  const Uuid fresh = created.order_id;
  commands.push_back(std::move(created));
  for (const Uuid& order : {id, fresh}) {
    commands.push_back(move_some(order, "confirmed", 2));
    commands.push_back(move_some(order, "shipped", 1));  // two lines could be meant
    commands.push_back(move_all(order, "shipped"));
  }
  const auto answers = server_->call(std::move(commands));
  EXPECT_REASON(answers[2], "ITEM_AMBIGUOUS");
  EXPECT_REASON(answers[5], "ITEM_AMBIGUOUS");
  expect_stored(answers[3]);
  expect_stored(answers[6]);
  EXPECT_EQ(pieces(answers[3]->order->order, "shipped"), 15);
  EXPECT_EQ(pieces(answers[6]->order->order, "shipped"), 8);
}

TEST_P(Shipments, AReplayAnswersWhatBecameOfEachChange) {
  const Uuid id = make(3, 5);
  const std::string request_id = Uuid::generate().to_string();
  const auto first = server_->call(move_all(id, "confirmed", request_id));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->outcome.shipment_results_size(), 1);
  ASSERT_TRUE(server_->call(move_all(id, "shipped")).ok());
  Server cold(opened_);
  const auto replayed = cold.call(move_all(id, "confirmed", request_id));
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_TRUE(replayed->replayed);
  EXPECT_EQ(replayed->etag, first->etag);
  EXPECT_TRUE(same(replayed->outcome, first->outcome));
  EXPECT_EQ(pieces(replayed->order->order, "shipped"), 15);
}

TEST_P(Shipments, ABulkChangeOf675ItemsCostsWhatOneOfThreeCosts) {
  std::vector<std::vector<int>> costs;
  for (const int items : {3, 675}) {
    const Uuid id = make(items, 2);
    // Its cache is cold: the order is loaded, too.
    Server cold(opened_);
    std::vector<AnswerOr> answers;
    const auto cost = [&](Command command) {
      const int before = statements_;
      answers.push_back(cold.call(std::move(command)));
      return statements_ - before;
    };
    auto method = request_for(id);
    auto& change = *method.add_changes()->mutable_set_method();
    change.mutable_selection()->set_all(true);
    change.set_method_id("express");
    auto each = request_for(id);
    for (int i = 1; i <= items; ++i) {
      auto& own = *each.add_changes()->mutable_set_method();
      own.mutable_selection()->add_lines()->set_item_id(std::to_string(i));
      own.set_method_id("standard");
    }
    costs.emplace_back();
    for (const auto& request : {method, each, method}) costs.back().push_back(cost(ship(request)));
    costs.back().push_back(cost(move_all(id, "shipped", Uuid::generate().to_string())));
    for (const AnswerOr& answer : answers) {
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_TRUE(answer->changed);
      EXPECT_EQ(pieces(answer->order->order), 2 * items);
    }
    expect_stored(answers.back());
  }
  EXPECT_EQ(costs[0], costs[1]);
}

TEST_P(Shipments, CallersThatSplitOneItemNeverExceedItsQuantity) {
  constexpr int kPieces = 300;
  constexpr int kThreads = 8;
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  SCOPED_TRACE("seed " + std::to_string(seed));
  // SQLite has one server, where the two meet in one storage.
  Server other(backend() == Backend::kMariadb ? open() : opened_);
  const std::array<Server*, 2> servers{server_.get(), &other};

  for (const bool by_line : {false, true}) {
    SCOPED_TRACE(by_line ? "split by method" : "split by delivery state");
    const Uuid id = make(1, kPieces);
    const std::string line_id = server_->stored(id)->order.shipments(0).lines(0).line_id();
    std::atomic<std::int64_t> taken{0};
    std::mutex mutex;
    std::set<std::string> reasons;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed + t);
        for (int i = 0; i < 60; ++i) {
          const std::int64_t quantity = 1 + random() % 5;
          const AnswerOr answer = servers[t % 2]->call(
              by_line ? split_off(id, line_id, quantity) : move_some(id, "shipped", quantity));
          if (answer.ok()) {
            if (answer->changed) taken += quantity;
            EXPECT_EQ(pieces(answer->order->order), kPieces);
          } else {
            std::lock_guard lock(mutex);
            reasons.insert(errors::reason(answer.status()));
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();

    const OrderPtr order = server_->stored(id);
    EXPECT_EQ(pieces(order->order), kPieces);
    if (by_line) {
      std::int64_t left = 0;
      for (const pb::Shipment& shipment : order->order.shipments()) {
        for (const pb::ShipmentLine& line : shipment.lines()) {
          if (shipment.method_id() == "standard") left += line.quantity();
        }
      }
      EXPECT_LE(left, kPieces);
      EXPECT_GT(order->order.shipments_size(), 10);
    } else {
      EXPECT_LE(taken, kPieces);
      EXPECT_EQ(pieces(order->order, "shipped"), taken);
    }
    // 480 callers for 3 pieces each on average: in the end there were not enough.
    EXPECT_FALSE(reasons.empty());
    const std::set<std::string> expected{"QUANTITY_TOO_LARGE", "ITEM_AMBIGUOUS",
                                         "DELIVERY_STATE_NOT_ENTERABLE"};
    for (const std::string& reason : reasons) EXPECT_TRUE(expected.contains(reason)) << reason;
  }
}

ORDERD_ON_BOTH_DATABASES(Shipments);

}  // namespace
}  // namespace orderd::test
