#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "tests/engine/settings_edits.h"

// A delivery state or a shipment method is deleted on one server while another moves lines into it.

namespace orderd::test {
namespace {

constexpr int kRounds = 200;

class ShipmentSettingsRace : public EngineTest {
 protected:
  struct Race {
    std::function<SettingsEdit(const std::string&id)> create, remove;
    std::function<Command(const std::string& id)> move;
    std::function<bool(const pb::Order& order, const std::string& id)> is_in;
    /// What the mover is told if it comes too late, and the deleter.
    std::string unknown, in_use;
  };

  void SetUp() override {
    // SQLite has one server process, where the two meet in one storage.
    const auto there = open();
    mover_ = std::make_unique<Server>(there);
    deleter_ = std::make_unique<Server>(backend() == Backend::kMariadb ? open() : there);
    editor_ = std::make_unique<SettingsEditor>(*deleter_->storage, deleter_->settings);
    id_ = make_order(*mover_);
  }

  EditAnswer edit(SettingsEdit wanted) { return submit(*editor_, std::move(wanted)); }

  void run(const Race& race) {
    const unsigned seed = std::random_device{}();
    std::cout << "seed " << seed << std::endl;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    int moved = 0, deleted = 0;
    // An id is never used again.
    std::string id;
    bool live = false;
    for (int round = 0; round < kRounds; ++round) {
      if (!live) {
        id = "busy-" + std::to_string(round);
        ASSERT_TRUE(edit(race.create(id)).ok());
      }
      // Half of the time the mover knows what it is about to miss.
      if (random() % 2 == 0) {
        const auto reads = mover_->storage->begin_read(storage::Clock::now() + kPatience);
        mover_->settings.refresh(*reads);
      }
      const auto head_start = std::chrono::microseconds(random() % 1000);
      const bool deleter_waits = random() % 2 == 0;
      std::barrier start(2);
      EditAnswer gone = SettingsAnswer();
      const auto wait_a_little = [&] {
        // Not by yielding, which takes ever longer the more others want to run.
        const auto end = std::chrono::steady_clock::now() + head_start;
        while (std::chrono::steady_clock::now() < end) {
        }
      };
      std::thread deleter([&] {
        start.arrive_and_wait();
        if (deleter_waits) wait_a_little();
        gone = edit(race.remove(id));
      });
      start.arrive_and_wait();
      if (!deleter_waits) wait_a_little();
      const AnswerOr answer = mover_->call(race.move(id));
      deleter.join();

      SCOPED_TRACE("round " + std::to_string(round));
      const OrderPtr stored = mover_->stored(id_);
      ASSERT_EQ(answer.ok(), !gone.ok()) << answer.status() << gone.status();
      ASSERT_EQ(race.is_in(stored->order, id), answer.ok());
      live = answer.ok();
      if (answer.ok()) {
        EXPECT_REASON(gone, race.in_use);
        ++moved;
        ASSERT_TRUE(mover_->call(leave()).ok());
      } else {
        EXPECT_REASON(answer, race.unknown);
        ++deleted;
      }
      const Settings settings =
          mover_->storage->begin_read(storage::Clock::now() + kPatience)->load_settings();
      const OrderPtr now = mover_->stored(id_);
      for (const pb::Shipment& shipment : now->order->shipments()) {
        ASSERT_FALSE(settings.methods.at(shipment.method_id()).has_delete_time());
        for (const pb::ShipmentLine& line : shipment.lines()) {
          ASSERT_FALSE(settings.delivery_states.at(line.delivery_state_id()).has_delete_time());
        }
      }
    }
    std::cout << moved << " moved, " << deleted << " deleted" << std::endl;
    EXPECT_EQ(moved + deleted, kRounds);
  }

  /// Out of the state and the method that are about to go.
  Command leave() {
    auto request = delivery_request(id_, "idle");
    auto& method = *request.add_changes()->mutable_set_method();
    method.mutable_selection()->set_all(true);
    method.set_method_id("standard");
    return ship(request);
  }

  std::unique_ptr<Server> mover_, deleter_;
  std::unique_ptr<SettingsEditor> editor_;
  Uuid id_;
};

TEST_P(ShipmentSettingsRace, NoLineEndsInADeletedState) {
  ASSERT_TRUE(edit(create_delivery_state("idle")).ok());
  run({create_delivery_state, delete_delivery_state,
       [&](const std::string& state) { return ship(delivery_request(id_, state)); },
       [](const pb::Order& order, const std::string& state) {
         return order.shipments(0).lines(0).delivery_state_id() == state;
       },
       "DELIVERY_STATE_UNKNOWN", "DELIVERY_STATE_IN_USE"});
}

TEST_P(ShipmentSettingsRace, NoShipmentEndsWithADeletedMethod) {
  ASSERT_TRUE(edit(create_delivery_state("idle")).ok());
  run({[](const std::string& method) { return create_method(method, 1000); }, delete_method,
       [&](const std::string& method) {
         auto request = shipment_request(id_);
         auto& change = *request.add_changes()->mutable_set_method();
         change.mutable_selection()->set_all(true);
         change.set_method_id(method);
         return ship(request);
       },
       [](const pb::Order& order, const std::string& method) {
         return order.shipments(0).method_id() == method;
       },
       "SHIPMENT_METHOD_UNKNOWN", "SHIPMENT_METHOD_IN_USE"});
}

ORDERD_ON_BOTH_DATABASES(ShipmentSettingsRace);

}  // namespace
}  // namespace orderd::test
