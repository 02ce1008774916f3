#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "tests/engine/engine_fixture.h"

// A state is deleted on one server while another moves orders into it.

namespace orderd::test {
namespace {

/// A thousand take minutes, since SQLite's writers wait for each other in steps.
int rounds() {
  const char* given = std::getenv("ORDERD_TEST_ROUNDS");
  return given == nullptr ? 200 : std::atoi(given);
}

pb::OrderState busy_state(bool deleted) {
  pb::OrderState state;
  state.set_state_id("busy");
  state.set_display_name("Busy");
  state.set_category(pb::STATE_CATEGORY_OPEN);
  if (deleted) state.mutable_delete_time()->set_seconds(1'700'000'000);
  return state;
}

/// Deletes the state unless an order is in it, as the settings editor of a server does; tells
/// whether it is deleted.
bool delete_state(storage::Storage& storage) {
  const auto tx = storage.begin_write(storage::Clock::now() + kPatience);
  const Settings settings = tx->lock_settings();
  if (tx->any_order_in("busy")) return false;
  tx->save_order_state(busy_state(true));
  tx->set_settings_version(settings.version + 1);
  tx->commit();
  return true;
}

class SettingsRace : public EngineTest {};

TEST_P(SettingsRace, NoOrderEndsInADeletedState) {
  const auto here = open();
  // SQLite has one server, where the two meet in one storage.
  const auto there = backend() == Backend::kMariadb ? open() : here;
  Server server(there);
  const Uuid id = make_order(server);

  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int moved = 0;
  int deleted = 0;
  bool live = false;
  const int count = rounds();
  for (int round = 0; round < count; ++round) {
    if (!live) change_settings(*here, {busy_state(false)});
    // Half of the time the moving server knows what it is about to miss.
    if (random() % 2 == 0) {
      server.settings.refresh(*there->begin_read(storage::Clock::now() + kPatience));
    }
    // Who starts first, and by how much, is up to chance.
    const auto head_start = std::chrono::microseconds(random() % 1000);
    const bool deleter_waits = random() % 2 == 0;
    std::barrier start(2);
    bool gone = false;
    const auto wait_a_little = [&] {
      // Not by yielding, which takes ever longer the more others want to run.
      const auto end = std::chrono::steady_clock::now() + head_start;
      while (std::chrono::steady_clock::now() < end) {
      }
    };
    std::thread deleter([&] {
      start.arrive_and_wait();
      if (deleter_waits) wait_a_little();
      gone = delete_state(*here);
    });
    start.arrive_and_wait();
    if (!deleter_waits) wait_a_little();
    const AnswerOr answer = server.call(status(id, "busy"));
    deleter.join();

    const std::string state = server.stored(id)->order->state_id();
    if (answer.ok()) {
      // The move was committed, so the deletion must have seen it: either it was refused, or it
      // came before, and then the move was not judged by the settings that it committed under.
      ASSERT_FALSE(gone) << "round " << round << ": moved into a deleted state";
      ASSERT_EQ(state, "busy");
      ++moved;
      ASSERT_TRUE(server.call(status(id, "processing")).ok());
    } else {
      EXPECT_REASON(answer, "STATE_UNKNOWN");
      ASSERT_TRUE(gone) << "round " << round << ": refused, but not deleted";
      ASSERT_NE(state, "busy");
      ++deleted;
    }
    live = !gone;
  }
  std::cout << moved << " moved, " << deleted << " deleted" << std::endl;
  EXPECT_EQ(moved + deleted, count);
}

ORDERD_ON_BOTH_DATABASES(SettingsRace);

}  // namespace
}  // namespace orderd::test
