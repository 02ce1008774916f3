#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/engine_fixture.h"

// What the queue admits, drops and answers.

namespace orderd::test {
namespace {

class Queue : public EngineTest {
 protected:
  static void expect_overloaded(const AnswerOr& answer) {
    EXPECT_REASON(answer, "OVERLOADED");
    EXPECT_TRUE(absl::IsResourceExhausted(answer.status())) << answer.status();
    EXPECT_TRUE(has_retry_info(answer.status()));
  }
  /// A refusal of the queue comes at once; it does not wait for the lane.
  static AnswerOr at_once(std::future<AnswerOr> answer) {
    EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    return get(std::move(answer));
  }
  static Command of(Command command, const std::string& actor) {
    command.actor = actor;
    return command;
  }
};

TEST_P(Queue, ItsCommandsAreBounded) {
  engine::Limits limits;
  limits.queue_commands = 10;
  Server server(open(), limits);
  const auto ids = make_orders(server, 10);
  for (int round = 0; round < 2; ++round) {  // what was taken from the queue counts no more
    Held held(server);
    std::vector<std::future<AnswerOr>> waiting;
    for (const Uuid& id : ids) waiting.push_back(server.send(add_note(id, "x")));
    expect_overloaded(at_once(server.send(add_note(ids[0], "one too many"))));
    held.release();
    for (auto& answer : waiting) EXPECT_TRUE(get(std::move(answer)).ok());
  }
  EXPECT_EQ(server.stored(ids[0])->version, 3);
}

TEST_P(Queue, ItsBytesAreBounded) {
  engine::Limits limits;
  limits.queue_bytes = 10'000;
  Server server(open(), limits);
  const Uuid id = make_order(server);
  for (int round = 0; round < 2; ++round) {
    Held held(server);
    const auto note_of = [&](std::size_t bytes) {
      Command command = add_note(id, "x");
      command.bytes = bytes;
      return command;
    };
    auto first = server.send(note_of(6'000));
    expect_overloaded(at_once(server.send(note_of(6'000))));
    auto second = server.send(note_of(4'000));
    expect_overloaded(at_once(server.send(note_of(1))));
    held.release();
    EXPECT_TRUE(get(std::move(first)).ok());
    EXPECT_TRUE(get(std::move(second)).ok());
  }
}

TEST_P(Queue, OneCallerCannotFillIt) {
  engine::Limits limits;
  limits.caller_commands = 3;
  Server server(open(), limits);
  const auto ids = make_orders(server, 3);
  for (int round = 0; round < 2; ++round) {
    Held held(server);
    std::vector<std::future<AnswerOr>> waiting;
    for (const Uuid& id : ids) waiting.push_back(server.send(of(add_note(id, "x"), "greedy")));
    expect_overloaded(at_once(server.send(of(add_note(ids[0], "x"), "greedy"))));
    waiting.push_back(server.send(of(add_note(ids[0], "x"), "modest")));
    held.release();
    for (auto& answer : waiting) EXPECT_TRUE(get(std::move(answer)).ok());
  }
}

TEST_P(Queue, ASubmissionOfSeveralIsTakenWholeOrNotAtAll) {
  engine::Limits limits;
  limits.queue_commands = 10;
  Server server(open(), limits);
  const auto ids = make_orders(server, 6);
  Held held(server);
  const auto six = [&] {
    std::vector<Command> commands;
    for (const Uuid& id : ids) commands.push_back(add_note(id, "x"));
    return commands;
  };
  auto taken = server.send(six());
  for (auto& answer : server.send(six())) expect_overloaded(at_once(std::move(answer)));
  held.release();
  for (auto& answer : taken) EXPECT_TRUE(get(std::move(answer)).ok());
  for (const Uuid& id : ids) EXPECT_EQ(server.stored(id)->version, 2);
}

TEST_P(Queue, WhatWaitedTooLongIsRefusedNotRun) {
  Server server(open());
  const Uuid id = make_order(server);
  server.engine.stop();
  engine::Limits limits;
  limits.queue_age = std::chrono::milliseconds(-1);  // everything has waited too long
  engine::Engine engine(*server.storage, server.cache, server.settings, limits);
  for (int i = 0; i < 3; ++i) {
    Command command = add_note(id, "x");
    auto answer = Server::expect(command);
    engine.submit(std::move(command));
    expect_overloaded(get(std::move(answer)));
  }
  EXPECT_EQ(engine.counters().batches, 0u);
  EXPECT_EQ(server.stored(id)->version, 1);
}

TEST_P(Queue, WhoHasGoneIsDroppedBeforeTheBatch) {
  Server server(open());
  const auto ids = make_orders(server, 2);
  Held held(server);
  std::atomic<bool> gone{false};
  std::atomic<int> asked{0};
  Command command = invoice(ids[0], "I-0");
  command.abandoned = [&] { return gone.load(); };
  command.rule = [&, rule = command.rule](const auto& target, const auto& context) {
    ++asked;
    return rule(target, context);
  };
  auto dropped = server.send(std::move(command));
  command = invoice(ids[1], "I-1");
  command.abandoned = [] { return false; };
  auto kept = server.send(std::move(command));
  gone = true;
  held.release();
  EXPECT_TRUE(absl::IsCancelled(get(std::move(dropped)).status()));
  EXPECT_TRUE(get(std::move(kept)).ok());
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(server.stored(ids[0])->version, 1);
}

TEST_P(Queue, StopRunsWhatWaitsAndRefusesTheRest) {
  engine::Limits limits;
  limits.caller_commands = 40;
  Server server(open(), limits);
  const auto ids = make_orders(server, 20);
  Held held(server);
  std::vector<std::future<AnswerOr>> waiting;
  for (const Uuid& id : ids) waiting.push_back(server.send(add_note(id, "x")));
  std::thread stopper([&] { server.engine.stop(); });
  // The stop shows in the first answer of this kind; what is taken until then is run.
  AnswerOr refused = Answer{};
  while (!absl::IsUnavailable(refused.status())) {
    auto answer = server.send(add_note(ids[0], "late"));
    if (answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      refused = get(std::move(answer));
      ASSERT_FALSE(refused.ok());
    } else {
      waiting.push_back(std::move(answer));
    }
    std::this_thread::yield();
  }
  EXPECT_TRUE(has_retry_info(refused.status()));
  held.release();
  stopper.join();
  for (auto& answer : waiting) {
    ASSERT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_TRUE(get(std::move(answer)).ok());
  }
  server.engine.stop();  // once more is harmless
  EXPECT_TRUE(absl::IsUnavailable(server.call(add_note(ids[0], "x")).status()));
}

ORDERD_ON_BOTH_DATABASES(Queue);

}  // namespace
}  // namespace orderd::test
