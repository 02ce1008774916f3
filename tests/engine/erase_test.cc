#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/orders/erase.h"
#include "tests/engine/engine_fixture.h"

// An erasure and other commands on the same order, all in one batch.

namespace orderd::test {
namespace {

const std::string kMarker = "personal";
const rules::Pseudonyms kPseudonyms{"secret"};

class ErasureInBatch : public EngineTest {
 protected:
  static Command create_personal() {
    auto request = new_order();
    request.mutable_order()->mutable_customer()->set_name(kMarker);
    return create(request);
  }
  static Command erase(const Uuid& order_id) {
    pb::EraseCustomerDataRequest request;
    request.mutable_orders()->add_order_ids(order_id.to_string());
    request.set_erase_texts(true);
    request.set_include_open(true);
    Command command;
    command.actor = kActor;
    command.order_id = order_id;
    command.wants_ledger = true;
    command.wants_records = true;
    command.rule = [request](const rules::Target& target, const rules::Context& context) {
      return rules::erase_customer(request, Uuid::generate(), kPseudonyms, target, context);
    };
    return command;
  }
  std::string history_of(const Uuid& order_id) {
    std::string all;
    for (const auto& event : raw().events(order_id)) all += event.event.DebugString();
    return all;
  }

  Server server_{open()};
};
ORDERD_ON_BOTH_DATABASES(ErasureInBatch);

TEST_P(ErasureInBatch, ErasesWhatCameBeforeItAndNothingElse) {
  Command first = create_personal();
  const Uuid stored = first.order_id;
  ASSERT_TRUE(server_.call(std::move(first)).ok());
  ASSERT_TRUE(server_.call(add_note(stored, kMarker + " 1")).ok());
  Command second = create_personal();
  const Uuid fresh = second.order_id;

  std::vector<Command> commands;
  commands.push_back(add_note(stored, kMarker + " 2"));
  commands.push_back(std::move(second));
  commands.push_back(add_note(fresh, kMarker + " 3"));
  for (const Uuid& id : {stored, fresh}) {
    commands.push_back(erase(id));
    commands.push_back(erase(id));
    commands.push_back(add_note(id, "written later"));
  }
  for (Command& command : commands) command.cost = 1;
  const auto before = server_.engine.counters();
  const auto answers = server_.call(std::move(commands));
  EXPECT_EQ(server_.engine.counters().batches, before.batches + 1);
  for (const AnswerOr& answer : answers) ASSERT_TRUE(answer.ok()) << answer.status();
  for (const std::size_t i : {3u, 6u}) {
    EXPECT_TRUE(answers[i]->changed);
    EXPECT_FALSE(answers[i + 1]->changed) << "nothing was left";
  }

  for (const Uuid& id : {stored, fresh}) {
    const std::string history = history_of(id);
    EXPECT_EQ(history.find(kMarker), std::string::npos) << history;
    EXPECT_NE(history.find("written later"), std::string::npos) << history;
    EXPECT_NE(history.find("customer_erased"), std::string::npos);
    EXPECT_TRUE(server_.stored(id)->order->has_customer_erase_time());
    EXPECT_EQ(server_.stored(id)->order->customer().name(), "");
    std::vector<std::string> bodies;
    for (const pb::Note& note : server_.notes(id)) bodies.push_back(note.body());
    EXPECT_EQ(bodies.back(), "written later");
    for (std::size_t i = 0; i + 1 < bodies.size(); ++i) EXPECT_EQ(bodies[i], "");
  }
  raw().expect_history_without_gap({{stored, 5}, {fresh, 4}});
}

}  // namespace
}  // namespace orderd::test
