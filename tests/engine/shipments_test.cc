#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/engine/engine_fixture.h"
#include "tests/support/storage_test.h"

// Shipments on their way through the engine: what is answered is what is stored, and nobody's
// pieces are counted twice.

namespace orderd::test {
namespace {

/// All lines into a delivery state.
Command move_all(const Uuid& order_id, const std::string& state_id,
                 const std::string& request_id = {}) {
  return ship(delivery_request(order_id, state_id, request_id));
}

/// `quantity` pieces of item "1" into a delivery state.
Command move_some(const Uuid& order_id, const std::string& state_id, std::int64_t quantity) {
  auto request = shipment_request(order_id);
  auto& change = *request.add_changes()->mutable_set_delivery_state();
  auto& line = *change.mutable_selection()->add_lines();
  line.set_item_id("1");
  line.set_quantity(quantity);
  change.set_delivery_state_id(state_id);
  return ship(request);
}

/// `quantity` pieces of a line into a shipment of their own.
Command split_off(const Uuid& order_id, const std::string& line_id, std::int64_t quantity) {
  auto request = shipment_request(order_id);
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
  ASSERT_EQ(made->order->order->shipments_size(), 1);
  EXPECT_EQ(pieces(made->order->order, "pending"), 20);
  const Uuid id = made->order_id;

  const auto moved = server_->call(move_some(id, "confirmed", 3));
  expect_stored(moved);
  EXPECT_EQ(pieces(moved->order->order, "confirmed"), 3);
  ASSERT_EQ(moved->outcome.shipment_results_size(), 1);

  auto request = shipment_request(id);
  auto& tracking = *request.add_changes()->mutable_set_tracking_numbers();
  tracking.set_shipment_id(moved->order->order->shipments(0).shipment_id());
  tracking.add_tracking_numbers("T-1");
  tracking.add_tracking_numbers("T-2");
  const auto tracked = server_->call(ship(request));
  expect_stored(tracked);
  EXPECT_EQ(tracked->order->order->shipments(0).tracking_numbers_size(), 2);

  const std::string line_id = moved->order->order->shipments(0).lines(0).line_id();
  const auto split = server_->call(split_off(id, line_id, 1));
  expect_stored(split);
  EXPECT_EQ(split->order->order->shipments_size(), 2);

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

TEST_P(Shipments, AChangeOfSomethingElseInTheSameBatchKeepsThem) {
  const Uuid id = make(3, 5);
  std::vector<Command> commands;
  commands.push_back(move_some(id, "confirmed", 2));
  commands.push_back(invoice(id, "I-1"));
  const auto before = server_->engine.counters().batches;
  const auto answers = server_->call(std::move(commands));
  EXPECT_EQ(server_->engine.counters().batches, before + 1);
  expect_stored(answers[1]);
  EXPECT_EQ(pieces(answers[1]->order->order, "confirmed"), 2);
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
    const AnswerOr made = server_->call(order_of(items, 2));
    ASSERT_TRUE(made.ok()) << made.status();
    const Uuid id = made->order_id;
    // Its cache is cold: the order is loaded, too.
    Server cold(opened_);
    costs.emplace_back();
    OrderPtr order;
    const auto change = [&](const pb::UpdateShipmentsRequest& request) {
      const int before = statements_;
      const AnswerOr answer = cold.call(ship(request));
      costs.back().push_back(statements_ - before);
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_TRUE(answer->changed);
      EXPECT_EQ(pieces(answer->order->order), 2 * items);
      expect_stored(answer);
      order = answer->order;
    };
    auto method = shipment_request(id);
    auto& everything = *method.add_changes()->mutable_set_method();
    everything.mutable_selection()->set_all(true);
    everything.set_method_id("express");
    const google::protobuf::Timestamp at = made->order->order->create_time();
    auto each = shipment_request(id);
    auto halves = shipment_request(id);
    for (int i = 1; i <= items; ++i) {
      auto& own = *each.add_changes()->mutable_set_method();
      own.mutable_selection()->add_lines()->set_item_id(std::to_string(i));
      own.set_method_id("standard");
      // A line that is split is two rows, and a statement writes 1,000 at most.
      if (i % 2 == 0) continue;
      auto& half = *halves.add_changes()->mutable_set_delivery_state();
      auto& line = *half.mutable_selection()->add_lines();
      line.set_item_id(std::to_string(i));
      line.set_quantity(1);
      half.set_delivery_state_id("shipped");
      *half.mutable_delivery_state_time() = at;
    }
    change(method);                                                           // one shipment
    change(delivery_request(id, "confirmed", Uuid::generate().to_string()));  // each line changes
    change(each);                                                             // a shipment each
    ASSERT_EQ(order->order->shipments_size(), items);
    auto numbers = shipment_request(id);
    for (const pb::Shipment& shipment : order->order->shipments()) {
      auto& tracking = *numbers.add_changes()->mutable_set_tracking_numbers();
      tracking.set_shipment_id(shipment.shipment_id());
      tracking.add_tracking_numbers("T-" + shipment.shipment_id());
    }
    change(numbers);  // a tracking number each
    change(method);   // all but one shipment go, with their numbers
    ASSERT_EQ(order->order->shipments_size(), 1);
    change(halves);  // half as many lines more
    ASSERT_EQ(order->order->shipments(0).lines_size(), items + halves.changes_size());
    auto rest = delivery_request(id, "shipped");
    auto& shipped = *rest.mutable_changes(0)->mutable_set_delivery_state();
    *shipped.mutable_delivery_state_time() = at;
    change(rest);  // the halves merge
    ASSERT_EQ(order->order->shipments(0).lines_size(), items);
  }
  EXPECT_EQ(costs[0], costs[1]);
}

/// What is answered, and what is read through the caches of both servers, is what is stored.
TEST_P(Shipments, CachesAreRightAfterEachChange) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Server other(backend() == Backend::kMariadb ? open() : opened_);
  const std::array<Server*, 2> servers{server_.get(), &other};
  engine::Reader here(*server_->storage, server_->cache, {});
  engine::Reader there(*other.storage, other.cache, {});
  const Uuid id = make(4, 6);
  std::string etag = "1";
  int changed = 0;
  for (int round = 0; round < 60; ++round) {
    auto request = shipment_request(id);
    request.set_etag(etag);
    const auto selection = [&](pb::LineSelection& lines) {
      const OrderPtr order = server_->stored(id);
      const auto& shipments = order->order->shipments();
      const auto& from = shipments[static_cast<int>(random() % shipments.size())];
      auto& line = *lines.add_lines();
      line.set_line_id(from.lines(static_cast<int>(random() % from.lines_size())).line_id());
      if (random() % 2 == 0) line.set_quantity(1);
    };
    if (random() % 2 == 0) {
      auto& change = *request.add_changes()->mutable_set_method();
      change.set_method_id(random() % 2 == 0 ? "express" : "standard");
      selection(*change.mutable_selection());
    } else {
      auto& change = *request.add_changes()->mutable_set_delivery_state();
      change.set_delivery_state_id(random() % 4 == 0 ? "shipped" : "confirmed");
      selection(*change.mutable_selection());
    }
    const AnswerOr answer = servers[random() % 2]->call(ship(request));
    const OrderPtr stored = server_->stored(id);
    EXPECT_EQ(pieces(stored->order), 24);
    if (answer.ok()) {
      EXPECT_TRUE(same(answer->order->order, stored->order));
      EXPECT_EQ(answer->etag, stored->order->etag());
      EXPECT_EQ(answer->changed, answer->etag != etag);
      changed += answer->changed;
    }
    for (engine::Reader* reader : {&here, &there}) {
      const auto promise = std::make_shared<std::promise<absl::StatusOr<engine::Reader::Orders>>>();
      reader->get({id}, nullptr, [=](auto orders) { promise->set_value(std::move(orders)); });
      const auto orders = get(promise->get_future());
      ASSERT_TRUE(orders.ok()) << orders.status();
      EXPECT_TRUE(same(orders->at(0)->order, stored->order));
    }
    etag = stored->order->etag();
  }
  EXPECT_GT(changed, 10);
}

TEST_P(Shipments, EventsHaveBeforeAndAfter) {
  const AnswerOr made = server_->call(order_of(2, 5));
  const Uuid id = made->order_id;
  const std::string request_id = Uuid::generate().to_string();
  const std::string line_id = made->order->order->shipments(0).lines(0).line_id();
  const auto confirmed = server_->call(move_all(id, "confirmed", request_id));
  ASSERT_FALSE(server_->call(move_some(id, "shipped", 6)).ok());
  ASSERT_FALSE(server_->call(move_all(id, "confirmed"))->changed);
  const auto split = server_->call(split_off(id, line_id, 2));
  const auto canceled = server_->call(status(id, "canceled"));
  ASSERT_TRUE(canceled.ok()) << canceled.status();

  const auto events = raw().events(id);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_TRUE(
      same(events[0].event.order_created().order().shipments(0), made->order->order->shipments(0)));
  const auto expect = [&](std::size_t n, const AnswerOr& from, const AnswerOr& to, int before,
                          int after) {
    SCOPED_TRACE(n);
    ASSERT_TRUE(events[n].event.has_shipments_changed());
    EXPECT_EQ(events[n].event.etag(), to->etag);
    EXPECT_EQ(events[n].event.actor(), kActor);
    const auto& event = events[n].event.shipments_changed();
    ASSERT_EQ(event.before_size(), before);
    ASSERT_EQ(event.after_size(), after);
    for (int i = 0; i < before; ++i) {
      EXPECT_TRUE(same(event.before(i), from->order->order->shipments(i)));
    }
    for (int i = 0; i < after; ++i) {
      EXPECT_TRUE(same(event.after(i), to->order->order->shipments(i)));
    }
  };
  expect(1, made, confirmed, 1, 1);
  EXPECT_EQ(events[1].event.request_id(), request_id);
  expect(2, confirmed, split, 1, 2);
  // One change, two events: the state and the lines that were not shipped.
  EXPECT_EQ(events[3].event.state_changed().after_state_id(), "canceled");
  EXPECT_EQ(events[3].version, events[4].version);
  expect(4, split, canceled, 2, 2);
  EXPECT_EQ(pieces(canceled->order->order, "canceled"), 10);
  raw().expect_history_without_gap({{id, 4}});
}

/// Many callers split one item: by delivery state, where the sum of what they were granted counts,
/// and by shipment, where each gets a line of its own.
class Splitters : public Shipments {
 protected:
  static constexpr std::int64_t kPieces = 300;
  static constexpr unsigned kThreads = 8;
  static constexpr int kCalls = 60;

  void SetUp() override {
    Shipments::SetUp();
    seed_ = std::random_device{}();
    std::cout << "seed " << seed_ << std::endl;
    id_ = make(1, kPieces);
    line_id_ = server_->stored(id_)->order->shipments(0).lines(0).line_id();
  }

  /// Every thread calls its server with commands for random quantities. `granted` is told about
  /// each that was a change.
  void split(const std::vector<Server*>& servers,
             const std::function<Command(std::int64_t quantity)>& command,
             const std::function<void(const Answer&, std::int64_t quantity)>& granted) {
    SCOPED_TRACE("seed " + std::to_string(seed_));
    std::mutex mutex;
    std::map<std::string, int> refused;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(seed_ + t);
        for (int i = 0; i < kCalls; ++i) {
          const std::int64_t quantity = 1 + random() % 5;
          const AnswerOr answer = servers[t % servers.size()]->call(command(quantity));
          std::lock_guard lock(mutex);
          if (!answer.ok()) {
            ++refused[errors::reason(answer.status())];
            continue;
          }
          EXPECT_EQ(pieces(answer->order->order), kPieces);
          if (answer->changed) granted(*answer, quantity);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const OrderPtr stored = server_->stored(id_);
    EXPECT_EQ(pieces(stored->order), kPieces);
    // Ids are made when a call comes in, so those of a later change may be the smaller ones.
    int cached = 0;
    for (Server* server : servers) {
      const OrderPtr found = server->cache.find(id_, stored->version);
      if (found == nullptr) continue;
      ++cached;
      EXPECT_TRUE(same(found->order, stored->order));
    }
    EXPECT_GT(cached, 0);
    // 480 callers for 3 pieces each on average: in the end there were not enough.
    EXPECT_GT(refused["QUANTITY_TOO_LARGE"] + refused["ITEM_AMBIGUOUS"], 100);
    refused.erase("QUANTITY_TOO_LARGE");
    refused.erase("ITEM_AMBIGUOUS");
    for (const auto& [reason, count] : refused) ADD_FAILURE() << count << " times " << reason;
  }

  void split_by_state(const std::vector<Server*>& servers) {
    std::int64_t taken = 0;
    split(
        servers, [&](std::int64_t quantity) { return move_some(id_, "shipped", quantity); },
        [&](const Answer&, std::int64_t quantity) { taken += quantity; });
    EXPECT_GT(taken, kPieces - 5);
    EXPECT_LE(taken, kPieces);
    const OrderPtr order = server_->stored(id_);
    EXPECT_EQ(pieces(order->order, "shipped"), taken);
    EXPECT_EQ(pieces(order->order, "pending"), kPieces - taken);
  }

  void split_by_shipment(const std::vector<Server*>& servers) {
    // The part that is not selected keeps the line's id, so the last pieces are a line that stays.
    std::map<std::string, std::int64_t> quantities;
    split(
        servers, [&](std::int64_t quantity) { return split_off(id_, line_id_, quantity); },
        [&](const Answer& answer, std::int64_t quantity) {
          ASSERT_EQ(answer.outcome.shipment_results_size(), 1);
          ASSERT_EQ(answer.outcome.shipment_results(0).line_ids_size(), 1);
          const std::string& line = answer.outcome.shipment_results(0).line_ids(0);
          if (line == line_id_) return;
          EXPECT_TRUE(quantities.emplace(line, quantity).second) << "a line for two callers";
        });
    std::int64_t rest = kPieces;
    for (const auto& [line, quantity] : quantities) rest -= quantity;
    EXPECT_GT(rest, 0);
    EXPECT_LT(rest, 5);
    quantities[line_id_] = rest;
    std::map<std::string, std::int64_t> stored;
    const OrderPtr order = server_->stored(id_);
    for (const pb::Shipment& shipment : order->order->shipments()) {
      for (const pb::ShipmentLine& line : shipment.lines()) {
        stored[line.line_id()] = line.quantity();
      }
    }
    EXPECT_EQ(stored, quantities);
  }

  unsigned seed_ = 0;
  Uuid id_;
  std::string line_id_;
};

TEST_P(Splitters, ByDeliveryStateOnOneServer) { split_by_state({server_.get()}); }

TEST_P(Splitters, ByShipmentOnOneServer) { split_by_shipment({server_.get()}); }

// SQLite has one server process, where the two engines meet in one storage.
TEST_P(Splitters, ByDeliveryStateOnTwoServers) {
  Server other(backend() == Backend::kMariadb ? open() : opened_);
  split_by_state({server_.get(), &other});
}

TEST_P(Splitters, ByShipmentOnTwoServers) {
  Server other(backend() == Backend::kMariadb ? open() : opened_);
  split_by_shipment({server_.get(), &other});
}

ORDERD_ON_BOTH_DATABASES(Shipments);
ORDERD_ON_BOTH_DATABASES(Splitters);

}  // namespace
}  // namespace orderd::test
