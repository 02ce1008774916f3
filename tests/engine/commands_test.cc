#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/engine/engine_fixture.h"

// Single commands through a whole engine on a real database.

namespace orderd::test {
namespace {

std::string new_request_id() { return Uuid::generate().to_string(); }

class Commands : public EngineTest {
 protected:
  Server server_{open()};
};

TEST_P(Commands, CreateStoresTheOrderAndItsEvent) {
  auto request = new_order(new_request_id());
  request.mutable_order()->set_order_number("  A-1 ");
  request.mutable_order()->mutable_customer()->set_email("a@example.org");
  (*request.mutable_order()->mutable_labels())["channel"] = "web";
  const AnswerOr answer = server_.call(create(request));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  EXPECT_FALSE(answer->replayed);
  EXPECT_EQ(answer->etag, "1");
  const pb::Order& order = answer->order->order;
  EXPECT_EQ(order.order_id(), answer->order_id.to_string());
  EXPECT_EQ(order.order_number(), "A-1");
  EXPECT_EQ(order.state_id(), "new");
  EXPECT_EQ(order.totals().total().amount_minor(), 2100);
  EXPECT_EQ(order.etag(), "1");

  const OrderPtr stored = server_.stored(answer->order_id);
  ASSERT_NE(stored, nullptr);
  EXPECT_EQ(stored->version, 1);
  EXPECT_EQ(stored->order->SerializeAsString().size(), order.SerializeAsString().size());
  EXPECT_EQ(stored->order->labels().at("channel"), "web");

  const auto events = raw().events(answer->order_id);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].version, 1);
  EXPECT_EQ(events[0].event.actor(), kActor);
  EXPECT_EQ(events[0].event.request_id(), request.request_id());
  EXPECT_EQ(events[0].event.etag(), "1");
  EXPECT_EQ(events[0].event.order_created().order().order_number(), "A-1");
}

TEST_P(Commands, AnOrderNumberCanBeTakenOnce) {
  auto request = new_order();
  request.mutable_order()->set_order_number("A-1");
  const AnswerOr first = server_.call(create(request));
  ASSERT_TRUE(first.ok()) << first.status();
  const AnswerOr second = server_.call(create(request));
  EXPECT_REASON(second, "ORDER_NUMBER_IN_USE");
  EXPECT_EQ(raw().feed().size(), 1u);
}

TEST_P(Commands, EachChangeRaisesTheVersionByOneAndIsInTheFeed) {
  const Uuid id = make_order(server_);
  AnswerOr answer = server_.call(invoice(id, "I-1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "2");
  EXPECT_EQ(answer->order->order->invoice_number(), "I-1");
  answer = server_.call(status(id, "processing"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "3");
  answer = server_.call(add_note(id, "hello"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "4");
  EXPECT_EQ(answer->order->order->note_count(), 1);
  ASSERT_TRUE(answer->note.has_value());
  EXPECT_EQ(answer->note->body(), "hello");
  EXPECT_EQ(answer->note->author(), kActor);
  const std::string note_id = answer->note->note_id();
  EXPECT_EQ(answer->outcome.note_id(), note_id);

  pb::UpdateNoteRequest update;
  update.set_order_id(id.to_string());
  update.set_note_id(note_id);
  update.set_body("bye");
  answer = server_.call(update_note(update));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "5");
  ASSERT_EQ(server_.notes(id).size(), 1u);
  EXPECT_EQ(server_.notes(id)[0].body(), "bye");

  pb::DeleteNoteRequest remove;
  remove.set_order_id(id.to_string());
  remove.set_note_id(note_id);
  answer = server_.call(delete_note(remove));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "6");
  EXPECT_FALSE(answer->note.has_value());
  EXPECT_TRUE(server_.notes(id).empty());
  EXPECT_REASON(server_.call(delete_note(remove)), "NOTE_NOT_FOUND");

  const OrderPtr stored = server_.stored(id);
  EXPECT_EQ(stored->version, 6);
  EXPECT_EQ(stored->order->state_id(), "processing");
  EXPECT_EQ(stored->order->invoice_number(), "I-1");
  EXPECT_EQ(stored->order->note_count(), 0);
  raw().expect_history_without_gap({{id, 6}});
}

TEST_P(Commands, WhatHoldsAlreadyWritesNothing) {
  const Uuid id = make_order(server_);
  ASSERT_TRUE(server_.call(invoice(id, "I-1")).ok());
  for (Command command : {invoice(id, "I-1"), invoice(id, " I-1 "), status(id, "new")}) {
    const AnswerOr answer = server_.call(std::move(command));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_FALSE(answer->changed);
    EXPECT_EQ(answer->etag, "2");
    EXPECT_EQ(answer->order->version, 2);
  }
  raw().expect_history_without_gap({{id, 2}});
}

TEST_P(Commands, AnUnknownOrderIsNotFound) {
  EXPECT_REASON(server_.call(invoice(Uuid::generate(), "I-1")), "ORDER_NOT_FOUND");
  pb::UpdateInvoiceRequest request;
  request.set_order_id("no such thing");
  EXPECT_REASON(server_.call(invoice(request)), "ORDER_NOT_FOUND");
  EXPECT_TRUE(raw().feed().empty());
}

TEST_P(Commands, AStaleEtagIsRefusedBeforeTheRuleIsAsked) {
  const Uuid id = make_order(server_);
  ASSERT_TRUE(server_.call(invoice(id, "I-1", "", "1")).ok());
  // Even though the rule would find nothing to do, and though it would refuse.
  EXPECT_REASON(server_.call(invoice(id, "I-1", "", "1")), "ETAG_MISMATCH");
  pb::UpdateOrderStatusRequest unknown;
  unknown.set_order_id(id.to_string());
  unknown.set_state_id("no-such-state");
  unknown.set_etag("1");
  EXPECT_REASON(server_.call(status(unknown)), "ETAG_MISMATCH");
  unknown.set_etag("2");
  EXPECT_REASON(server_.call(status(unknown)), "STATE_UNKNOWN");
  EXPECT_EQ(server_.stored(id)->version, 2);
}

TEST_P(Commands, AReplayAnswersWithTheFirstEtagAndTheOrderAsItIsNow) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  const AnswerOr first = server_.call(invoice(id, "I-1", request_id));
  ASSERT_TRUE(first.ok()) << first.status();
  AnswerOr replay = server_.call(invoice(id, "I-1", request_id));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_TRUE(replay->changed);
  EXPECT_EQ(replay->etag, "2");
  EXPECT_EQ(replay->order->version, 2);

  ASSERT_TRUE(server_.call(invoice(id, "I-2")).ok());
  replay = server_.call(invoice(id, "I-1", request_id));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_EQ(replay->etag, "2");
  EXPECT_EQ(replay->order->version, 3);
  EXPECT_EQ(replay->order->order->invoice_number(), "I-2");
  EXPECT_EQ(server_.stored(id)->version, 3);
}

TEST_P(Commands, AReplayComesBeforeEtagAndRule) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  ASSERT_TRUE(server_.call(invoice(id, "I-1", request_id, "1")).ok());
  const AnswerOr replay = server_.call(invoice(id, "I-1", request_id, "1"));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
}

TEST_P(Commands, ARequestIdWithAnotherBodyIsRefused) {
  const std::vector<Uuid> ids = make_orders(server_, 2);
  const std::string request_id = new_request_id();
  ASSERT_TRUE(server_.call(invoice(ids[0], "I-1", request_id)).ok());
  EXPECT_REASON(server_.call(invoice(ids[0], "I-2", request_id)), "REQUEST_ID_REUSED");
  EXPECT_REASON(server_.call(invoice(ids[1], "I-1", request_id)), "REQUEST_ID_REUSED");
  EXPECT_REASON(server_.call(invoice(Uuid::generate(), "I-1", request_id)), "REQUEST_ID_REUSED");
  EXPECT_EQ(server_.stored(ids[0])->version, 2);
  EXPECT_EQ(server_.stored(ids[1])->version, 1);
}

TEST_P(Commands, ARequestIdIsScopedByMethodAndIdentity) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  ASSERT_TRUE(server_.call(invoice(id, "I-1", request_id)).ok());
  const AnswerOr other_method = server_.call(status(id, "processing", request_id));
  ASSERT_TRUE(other_method.ok()) << other_method.status();
  EXPECT_FALSE(other_method->replayed);
  Command other_caller = invoice(id, "I-2", request_id);
  other_caller.actor = "somebody else";
  other_caller.request =
      engine::request_key("somebody else", "UpdateInvoice", *Uuid::parse(request_id));
  const AnswerOr answer = server_.call(std::move(other_caller));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->replayed);
}

TEST_P(Commands, RefusalsAndNoChangesAreNotRecorded) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  EXPECT_REASON(server_.call(status(id, "no-such-state", request_id)), "STATE_UNKNOWN");
  AnswerOr answer = server_.call(status(id, "new", request_id));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->changed);
  answer = server_.call(status(id, "processing", request_id));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->changed);
  EXPECT_FALSE(answer->replayed);
}

TEST_P(Commands, AReplayedCreationAnswersWithTheOrderItMade) {
  const auto request = new_order(new_request_id());
  const AnswerOr first = server_.call(create(request));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(server_.call(invoice(first->order_id, "I-1")).ok());
  // The retry draws an id and a number of its own, which it does not need.
  const AnswerOr replay = server_.call(create(request));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_EQ(replay->order_id, first->order_id);
  EXPECT_EQ(replay->etag, "1");
  ASSERT_NE(replay->order, nullptr);
  EXPECT_EQ(replay->order->id, first->order_id);
  EXPECT_EQ(replay->order->version, 2);
  raw().expect_history_without_gap({{first->order_id, 2}});
}

TEST_P(Commands, AReplayedAddNoteAnswersWithTheNoteAsItIsNow) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  const AnswerOr first = server_.call(add_note(id, "hello", request_id));
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string note_id = first->note->note_id();

  pb::UpdateNoteRequest update;
  update.set_order_id(id.to_string());
  update.set_note_id(note_id);
  update.set_body("edited");
  ASSERT_TRUE(server_.call(update_note(update)).ok());
  AnswerOr replay = server_.call(add_note(id, "hello", request_id));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  ASSERT_TRUE(replay->note.has_value());
  EXPECT_EQ(replay->note->body(), "edited");

  pb::DeleteNoteRequest remove;
  remove.set_order_id(id.to_string());
  remove.set_note_id(note_id);
  remove.set_request_id(new_request_id());
  ASSERT_TRUE(server_.call(delete_note(remove)).ok());
  replay = server_.call(add_note(id, "hello", request_id));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_FALSE(replay->note.has_value());
  EXPECT_EQ(replay->outcome.note_id(), note_id);
  EXPECT_TRUE(server_.notes(id).empty());

  // And the deletion itself: gone is gone, not NOTE_NOT_FOUND.
  replay = server_.call(delete_note(remove));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_EQ(server_.stored(id)->version, 4);
}

TEST_P(Commands, TheSameRequestTwiceInOneBatchIsOneChange) {
  const Uuid id = make_order(server_);
  const std::string request_id = new_request_id();
  const auto batches = server_.engine.counters().batches;
  std::vector<Command> commands;
  for (int i = 0; i < 3; ++i) commands.push_back(add_note(id, "hello", request_id));
  const auto answers = server_.call(std::move(commands));
  EXPECT_EQ(server_.engine.counters().batches, batches + 1);
  for (const AnswerOr& answer : answers) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, "2");
    EXPECT_EQ(answer->outcome.note_id(), answers[0]->outcome.note_id());
    EXPECT_EQ(answer->order->version, 2);
    ASSERT_TRUE(answer->note.has_value());
    EXPECT_EQ(answer->note->body(), "hello");
  }
  EXPECT_FALSE(answers[0]->replayed);
  EXPECT_TRUE(answers[1]->replayed);
  EXPECT_TRUE(answers[2]->replayed);
  EXPECT_EQ(server_.notes(id).size(), 1u);
}

TEST_P(Commands, TheSameCreationTwiceInOneBatchIsOneOrder) {
  const auto request = new_order(new_request_id());
  std::vector<Command> commands;
  commands.push_back(create(request));
  commands.push_back(create(request));
  const auto answers = server_.call(std::move(commands));
  ASSERT_TRUE(answers[0].ok()) << answers[0].status();
  ASSERT_TRUE(answers[1].ok()) << answers[1].status();
  EXPECT_TRUE(answers[1]->replayed);
  EXPECT_EQ(answers[1]->order_id, answers[0]->order_id);
  EXPECT_EQ(raw().feed().size(), 1u);
}

TEST_P(Commands, UpdateTimesRiseAndAreThoseOfTheDatabase) {
  const Uuid id = make_order(server_);
  std::int64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const AnswerOr answer = server_.call(invoice(id, "I-" + std::to_string(i)));
    ASSERT_TRUE(answer.ok()) << answer.status();
    const auto& time = answer->order->order->update_time();
    const std::int64_t micros = time.seconds() * 1'000'000 + time.nanos() / 1000;
    EXPECT_GT(micros, last);
    last = micros;
    EXPECT_EQ(server_.stored(id)->order->update_time().SerializeAsString(),
              time.SerializeAsString());
  }
}

ORDERD_ON_BOTH_DATABASES(Commands);

/// Several lanes and several servers, which SQLite has not.
class CommandsOnMariaDb : public MariaDbEngineTest {};

TEST_F(CommandsOnMariaDb, TheSameRequestOnTwoLanesIsOneChange) {
  engine::Limits limits;
  limits.lanes = 2;
  Server server(open(), limits);
  for (int round = 0; round < 50; ++round) {
    const auto request = new_order(new_request_id());
    // A creation goes by the id that it draws, so two of one request meet on different lanes.
    std::vector<Command> commands;
    commands.push_back(create(request));
    do {
      if (commands.size() > 1) commands.pop_back();
      commands.push_back(create(request));
    } while (std::hash<Uuid>{}(commands[0].order_id) % 2 ==
             std::hash<Uuid>{}(commands[1].order_id) % 2);
    const auto answers = server.call(std::move(commands));
    ASSERT_TRUE(answers[0].ok()) << answers[0].status();
    ASSERT_TRUE(answers[1].ok()) << answers[1].status();
    EXPECT_NE(answers[0]->replayed, answers[1]->replayed);
    EXPECT_EQ(answers[0]->order_id, answers[1]->order_id);
    EXPECT_EQ(answers[0]->etag, answers[1]->etag);
    EXPECT_EQ(answers[0]->order->order->SerializeAsString().size(),
              answers[1]->order->order->SerializeAsString().size());
  }
  EXPECT_EQ(raw().feed().size(), 50u);
}

TEST_F(CommandsOnMariaDb, TheSameRequestOnTwoServersIsOneChange) {
  Server one(open());
  Server two(open());
  std::map<Uuid, std::int64_t> versions;
  for (int round = 0; round < 50; ++round) {
    const auto request = new_order(new_request_id());
    auto first = one.send(create(request));
    auto second = two.send(create(request));
    const AnswerOr a = get(std::move(first));
    const AnswerOr b = get(std::move(second));
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_NE(a->replayed, b->replayed);
    ASSERT_EQ(a->order_id, b->order_id);
    EXPECT_EQ(a->etag, b->etag);

    const std::string request_id = new_request_id();
    auto third = one.send(add_note(a->order_id, "hello", request_id));
    auto fourth = two.send(add_note(a->order_id, "hello", request_id));
    const AnswerOr c = get(std::move(third));
    const AnswerOr d = get(std::move(fourth));
    ASSERT_TRUE(c.ok()) << c.status();
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_NE(c->replayed, d->replayed);
    EXPECT_EQ(c->etag, "2");
    EXPECT_EQ(d->etag, "2");
    ASSERT_TRUE(c->note && d->note);
    EXPECT_EQ(c->note->SerializeAsString(), d->note->SerializeAsString());
    versions[a->order_id] = 2;
  }
  raw().expect_history_without_gap(versions);
}

TEST_F(CommandsOnMariaDb, AnInvoiceNumberIsTakenOnceByTwoServers) {
  Server one(open());
  Server two(open());
  const std::vector<Uuid> ids = make_orders(one, 2);
  for (int round = 0; round < 50; ++round) {
    const std::string number = "I-" + std::to_string(round);
    auto first = one.send(invoice(ids[0], number));
    auto second = two.send(invoice(ids[1], number));
    const AnswerOr a = get(std::move(first));
    const AnswerOr b = get(std::move(second));
    EXPECT_NE(a.ok(), b.ok());
    EXPECT_REASON(a.ok() ? b : a, "INVOICE_NUMBER_IN_USE");
  }
}

}  // namespace
}  // namespace orderd::test
