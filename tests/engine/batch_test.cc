#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/engine/engine_fixture.h"

// What commands that share a transaction see of each other.

namespace orderd::test {
namespace {

class Batches : public EngineTest {
 protected:
  /// Submits commands that must make up one batch, and returns their answers.
  std::vector<AnswerOr> one_batch(std::vector<Command> commands) {
    const auto before = server_.engine.counters();
    const std::size_t count = commands.size();
    auto answers = server_.call(std::move(commands));
    const auto after = server_.engine.counters();
    EXPECT_EQ(after.batches, before.batches + 1);
    EXPECT_EQ(after.commands, before.commands + count);
    EXPECT_EQ(after.reruns, before.reruns);
    return answers;
  }
  std::string invoice_of(const Uuid& id) { return server_.stored(id)->order->invoice_number(); }

  Server server_{open()};
};

template <typename... Commands>
std::vector<Command> list(Commands... commands) {
  std::vector<Command> all;
  (all.push_back(std::move(commands)), ...);
  return all;
}

TEST_P(Batches, TwoOrdersSwapInvoiceNumbers) {
  const auto ids = make_orders(server_, 2);
  one_batch(list(invoice(ids[0], "I-0"), invoice(ids[1], "I-1")));
  const auto answers =
      one_batch(list(invoice(ids[0], ""), invoice(ids[1], "I-0"), invoice(ids[0], "I-1")));
  for (const AnswerOr& answer : answers) EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answers[0]->order->order->invoice_number(), "");
  EXPECT_EQ(answers[2]->etag, "4");
  EXPECT_EQ(invoice_of(ids[0]), "I-1");
  EXPECT_EQ(invoice_of(ids[1]), "I-0");
  // The claims are the orders': each number is refused to everybody else, and names its holder.
  const Uuid third = make_order(server_);
  for (const auto& [number, holder] : {std::pair{"I-1", ids[0]}, std::pair{"I-0", ids[1]}}) {
    const AnswerOr refused = server_.call(invoice(third, number));
    EXPECT_REASON(refused, "INVOICE_NUMBER_IN_USE");
    EXPECT_NE(errors::to_proto(refused.status()).DebugString().find(holder.to_string()),
              std::string::npos);
  }
  raw().expect_history_without_gap({{ids[0], 4}, {ids[1], 3}, {third, 1}});
}

TEST_P(Batches, ANumberFreedEarlierInTheBatchCanBeTaken) {
  const auto ids = make_orders(server_, 3);
  ASSERT_TRUE(server_.call(invoice(ids[0], "I-0")).ok());
  // Freed by being cleared; taken; freed by being replaced; taken again. And too early is refused.
  const auto answers =
      one_batch(list(invoice(ids[1], "I-0"), invoice(ids[0], ""), invoice(ids[1], "I-0"),
                     invoice(ids[1], "I-other"), invoice(ids[2], "I-0")));
  EXPECT_REASON(answers[0], "INVOICE_NUMBER_IN_USE");
  for (std::size_t i : {1u, 2u, 3u, 4u}) EXPECT_TRUE(answers[i].ok()) << answers[i].status();
  EXPECT_EQ(invoice_of(ids[0]), "");
  EXPECT_EQ(invoice_of(ids[1]), "I-other");
  EXPECT_EQ(invoice_of(ids[2]), "I-0");
}

TEST_P(Batches, ANumberThatComesBackWithinTheBatchStaysClaimed) {
  const auto ids = make_orders(server_, 2);
  ASSERT_TRUE(server_.call(invoice(ids[0], "I-0")).ok());
  const auto answers =
      one_batch(list(invoice(ids[0], ""), invoice(ids[0], "I-0"), invoice(ids[1], "I-0")));
  EXPECT_TRUE(answers[0].ok());
  EXPECT_TRUE(answers[1].ok());
  EXPECT_REASON(answers[2], "INVOICE_NUMBER_IN_USE");
  EXPECT_REASON(server_.call(invoice(ids[1], "I-0")), "INVOICE_NUMBER_IN_USE");
  EXPECT_EQ(server_.stored(ids[0])->version, 4);
}

TEST_P(Batches, ANumberTakenAndGivenUpWithinTheBatchIsFree) {
  const auto ids = make_orders(server_, 2);
  one_batch(list(invoice(ids[0], "I-0"), invoice(ids[0], "")));
  EXPECT_TRUE(server_.call(invoice(ids[1], "I-0")).ok());
}

TEST_P(Batches, TwoWantTheSameNumberAndTheFirstGetsIt) {
  const auto ids = make_orders(server_, 2);
  const auto answers = one_batch(list(invoice(ids[0], "I-0"), invoice(ids[1], "I-0")));
  EXPECT_TRUE(answers[0].ok());
  EXPECT_REASON(answers[1], "INVOICE_NUMBER_IN_USE");
  EXPECT_EQ(server_.stored(ids[1])->version, 1);
}

TEST_P(Batches, TwoRefusalsAmong64DisturbNobody) {
  const auto ids = make_orders(server_, 64);
  ASSERT_TRUE(server_.call(invoice(ids[63], "TAKEN")).ok());
  std::vector<Command> commands;
  for (std::size_t i = 0; i < 64; ++i) {
    if (i == 20) {
      commands.push_back(invoice(Uuid::generate(), "I-20"));
    } else if (i == 40) {
      commands.push_back(invoice(ids[i], "TAKEN"));
    } else {
      commands.push_back(invoice(ids[i], "I-" + std::to_string(i)));
    }
  }
  // The holder gives its number up as well, but only after the one that wants it was refused.
  const auto answers = one_batch(std::move(commands));
  int succeeded = 0;
  std::map<Uuid, std::int64_t> versions;
  for (std::size_t i = 0; i < 64; ++i) {
    if (i == 20) {
      EXPECT_REASON(answers[i], "ORDER_NOT_FOUND");
    } else if (i == 40) {
      EXPECT_REASON(answers[i], "INVOICE_NUMBER_IN_USE");
    } else {
      EXPECT_TRUE(answers[i].ok()) << answers[i].status();
      succeeded += answers[i].ok();
      EXPECT_EQ(invoice_of(ids[i]), "I-" + std::to_string(i));
    }
    versions[ids[i]] = i == 20 || i == 40 ? 1 : i == 63 ? 3 : 2;
  }
  EXPECT_EQ(succeeded, 62);
  raw().expect_history_without_gap(versions);
}

TEST_P(Batches, EachCommandSeesWhatTheEarlierOnesDid) {
  const Uuid id = make_order(server_);
  std::vector<Command> commands;
  for (int i = 0; i < 100; ++i) commands.push_back(add_note(id, std::to_string(i)));
  const auto answers = one_batch(std::move(commands));
  for (int i = 0; i < 100; ++i) {
    const AnswerOr& answer = answers[static_cast<std::size_t>(i)];
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, std::to_string(i + 2));
    EXPECT_EQ(answer->order->order->etag(), answer->etag);
    EXPECT_EQ(answer->order->order->note_count(), i + 1);
  }
  const auto notes = server_.notes(id);
  ASSERT_EQ(notes.size(), 100u);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(notes[i].body(), std::to_string(i));
  raw().expect_history_without_gap({{id, 101}});
}

TEST_P(Batches, AnEtagOfThisBatchCounts) {
  const Uuid id = make_order(server_);
  const auto answers = one_batch(
      list(invoice(id, "I-1", "", "1"), invoice(id, "I-2", "", "1"), invoice(id, "I-3", "", "2")));
  EXPECT_TRUE(answers[0].ok());
  EXPECT_REASON(answers[1], "ETAG_MISMATCH");
  EXPECT_TRUE(answers[2].ok());
  EXPECT_EQ(invoice_of(id), "I-3");
}

TEST_P(Batches, ANoteCanBeEditedAndDeletedInTheBatch) {
  const Uuid id = make_order(server_);
  const std::string note_id = server_.call(add_note(id, "one"))->note->note_id();
  pb::UpdateNoteRequest update;
  update.set_order_id(id.to_string());
  update.set_note_id(note_id);
  update.set_body("two");
  pb::DeleteNoteRequest remove;
  remove.set_order_id(id.to_string());
  remove.set_note_id(note_id);
  const auto answers =
      one_batch(list(update_note(update), delete_note(remove), update_note(update)));
  ASSERT_TRUE(answers[0].ok()) << answers[0].status();
  EXPECT_EQ(answers[0]->note->body(), "two");
  EXPECT_TRUE(answers[1].ok()) << answers[1].status();
  EXPECT_REASON(answers[2], "NOTE_NOT_FOUND");
  EXPECT_TRUE(server_.notes(id).empty());
  EXPECT_EQ(server_.stored(id)->order->note_count(), 0);
  const auto events = raw().events(id);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].event.note_deleted().note().body(), "two");
}

TEST_P(Batches, ImportsOfOneNumberMeet) {
  pb::ImportOrdersRequest request;
  *request.mutable_order() = new_order().order();
  request.mutable_order()->set_order_number("H-1");
  request.set_state_id("completed");
  request.set_invoice_number("I-1");
  request.add_notes()->set_body("from the old system");
  auto& payment = *request.add_payments();
  payment.set_gateway_account("external");
  payment.set_gateway_reference("R-1");
  auto other = request;
  other.set_state_id("new");
  for (int round = 0; round < 2; ++round) {  // within one batch, and against what is stored
    const auto answers = one_batch(list(import(request), import(request), import(other)));
    ASSERT_TRUE(answers[0].ok()) << answers[0].status();
    ASSERT_TRUE(answers[1].ok()) << answers[1].status();
    EXPECT_EQ(answers[0]->changed, round == 0);
    EXPECT_EQ(answers[0]->imported_before, round == 1);
    EXPECT_FALSE(answers[1]->changed);
    EXPECT_TRUE(answers[1]->imported_before);
    EXPECT_EQ(answers[1]->order_id, answers[0]->order_id);
    EXPECT_REASON(answers[2], "IMPORT_CONFLICT");
    const OrderPtr stored = server_.stored(answers[0]->order_id);
    ASSERT_NE(stored, nullptr);
    EXPECT_EQ(stored->version, 1);
    EXPECT_EQ(stored->order->state_id(), "completed");
    EXPECT_EQ(stored->order->payments_size(), 1);
    EXPECT_EQ(server_.notes(answers[0]->order_id).size(), 1u);
    raw().expect_history_without_gap({{answers[0]->order_id, 1}});
  }
  // What it claimed is claimed.
  EXPECT_REASON(server_.call(invoice(make_order(server_), "I-1")), "INVOICE_NUMBER_IN_USE");
}

TEST_P(Batches, WhatWaitsBehindABusyLaneGoesTogether) {
  const auto ids = make_orders(server_, 10);
  Held held(server_);
  const auto before = server_.engine.counters();
  std::vector<std::future<AnswerOr>> answers;
  for (const Uuid& id : ids) answers.push_back(server_.send(invoice(id, id.to_string())));
  held.release();
  for (auto& answer : answers) EXPECT_TRUE(get(std::move(answer)).ok());
  EXPECT_EQ(server_.engine.counters().batches, before.batches + 2);  // the held one, and these
}

TEST_P(Batches, AHeavyBatchIsCutByCost) {
  engine::Limits limits;
  limits.batch_cost = 40;  // five commands of the usual cost
  server_.engine.stop();
  engine::Engine engine(*server_.storage, server_.cache, server_.settings, limits);
  std::vector<Command> commands;
  std::vector<std::future<AnswerOr>> answers;
  for (int i = 0; i < 12; ++i) {
    commands.push_back(create(new_order()));
    if (i == 7) commands.back().cost = 1000;
    answers.push_back(Server::expect(commands.back()));
  }
  engine.submit(std::move(commands));
  for (auto& answer : answers) EXPECT_TRUE(get(std::move(answer)).ok());
  EXPECT_EQ(engine.counters().batches, 4u);  // 5 + 2 + the heavy one + 4
}

TEST_P(Batches, ASettingsChangeOfAnotherServerIsSeenBeforeAnybodyIsAnswered) {
  const auto ids = make_orders(server_, 2);
  pb::OrderState state;
  state.set_state_id("packed");
  state.set_display_name("Packed");
  state.set_category(pb::STATE_CATEGORY_OPEN);
  change_settings(*server_.storage, {state});
  // This server does not know the state yet; a refusal would be an error.
  AnswerOr answer = server_.call(status(ids[0], "packed"));
  ASSERT_TRUE(answer.ok()) << answer.status();

  state.mutable_delete_time()->set_seconds(1'700'000'000);
  change_settings(*server_.storage, {state});
  // Now it believes in a state that is gone.
  const auto answers = server_.call(list(status(ids[1], "packed"), invoice(ids[1], "I-1")));
  EXPECT_REASON(answers[0], "STATE_UNKNOWN");
  EXPECT_TRUE(answers[1].ok()) << answers[1].status();
  // An order that slipped in may leave.
  EXPECT_TRUE(server_.call(status(ids[0], "processing")).ok());
}

ORDERD_ON_BOTH_DATABASES(Batches);

}  // namespace
}  // namespace orderd::test
