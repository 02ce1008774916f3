#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/engine/engine_fixture.h"
#include "tests/engine/faulty_storage.h"

// What the engine does when the database fails, by faults put in between.

namespace orderd::test {
namespace {

using Kind = storage::Error::Kind;

class Faults : public EngineTest {
 protected:
  /// A command on an order with a rule of the test's own.
  static Command command_with(const Uuid& id, rules::Rule rule) {
    Command command = invoice(id, "");
    command.rule = std::move(rule);
    return command;
  }
  static bool touches(const storage::ChangeSet& changes, const Uuid& id) {
    return std::any_of(changes.updated.begin(), changes.updated.end(),
                       [&](const StoredOrder* order) { return order->id == id; });
  }
  std::string invoice_of(const Uuid& id) { return server_.stored(id)->order->invoice_number(); }

  std::shared_ptr<FaultyStorage> faulty_ = std::make_shared<FaultyStorage>(open());
  Server server_{faulty_};
};

TEST_P(Faults, ADeadlockIsRunAgain) {
  const Uuid id = make_order(server_);
  std::int64_t version = 1;
  for (const Step step : {Step::kBegin, Step::kLock, Step::kSave, Step::kPositions,
                          Step::kAppendFeed, Step::kCommit}) {
    const auto before = server_.engine.counters();
    faulty_->set({.before = fail(step, Kind::kConflict, 3)});
    const AnswerOr answer = server_.call(invoice(id, "I-" + std::to_string(version)));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->changed);
    EXPECT_FALSE(answer->replayed);
    EXPECT_EQ(answer->order->version, ++version);
    EXPECT_EQ(server_.engine.counters().reruns, before.reruns + 3);
    EXPECT_EQ(server_.engine.counters().splits, before.splits);
    EXPECT_EQ(server_.engine.counters().batches, before.batches + 1);
  }
  raw().expect_history_without_gap({{id, version}});
}

TEST_P(Faults, ARerunBatchGivesEachCommandItsOneResult) {
  const auto ids = make_orders(server_, 10);
  const std::string request_id = Uuid::generate().to_string();
  faulty_->set({.before = fail(Step::kCommit, Kind::kConflict, 2)});
  std::vector<Command> commands;
  for (std::size_t i = 0; i < 10; ++i) commands.push_back(add_note(ids[i], "hello"));
  commands.push_back(invoice(ids[0], "I-0", request_id));
  commands.push_back(invoice(ids[1], "I-0"));
  commands.push_back(invoice(ids[0], "I-0", request_id));
  const auto answers = server_.call(std::move(commands));
  for (std::size_t i = 0; i < 11; ++i) {
    ASSERT_TRUE(answers[i].ok()) << answers[i].status();
    EXPECT_TRUE(answers[i]->changed);
    EXPECT_FALSE(answers[i]->replayed);
  }
  EXPECT_REASON(answers[11], "INVOICE_NUMBER_IN_USE");
  EXPECT_TRUE(answers[12]->replayed);
  std::map<Uuid, std::int64_t> versions;
  for (const Uuid& id : ids) {
    EXPECT_EQ(server_.notes(id).size(), 1u);
    versions[id] = id == ids[0] ? 3 : 2;
  }
  raw().expect_history_without_gap(versions);
}

TEST_P(Faults, ADeadlockWithoutEndIsATypedErrorAndNothingIsWritten) {
  const auto ids = make_orders(server_, 3);
  faulty_->set({.before = fail(Step::kCommit, Kind::kConflict, 1'000'000)});
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(invoice(id, id.to_string()));
  for (const AnswerOr& answer : server_.call(std::move(commands))) {
    EXPECT_TRUE(absl::IsResourceExhausted(answer.status())) << answer.status();
    EXPECT_TRUE(has_retry_info(answer.status()));
  }
  faulty_->set({});
  for (const Uuid& id : ids) EXPECT_EQ(server_.stored(id)->version, 1);
  EXPECT_TRUE(server_.call(invoice(ids[0], "I-0")).ok());
}

TEST_P(Faults, AfterALockWaitTheRestGoesOnAndTheLockedOrderKeepsItsOrder) {
  const auto ids = make_orders(server_, 4);
  std::atomic<bool> locked{true};
  faulty_->set({.locked = [&, id = ids[1]](const Uuid& asked) { return locked && asked == id; }});

  std::vector<Command> commands;
  commands.push_back(invoice(ids[1], "L-1"));
  commands.push_back(invoice(ids[0], "I-0"));
  commands.push_back(invoice(ids[1], "L-2"));
  commands.push_back(invoice(ids[2], "I-2"));
  auto answers = server_.send(std::move(commands));
  EXPECT_TRUE(get(std::move(answers[1])).ok());
  EXPECT_TRUE(get(std::move(answers[3])).ok());

  // Others go on while it is locked, and what comes later for it waits behind what came before.
  auto later = server_.send(invoice(ids[1], "L-3"));
  EXPECT_TRUE(server_.call(invoice(ids[3], "I-3")).ok());
  EXPECT_EQ(answers[0].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(answers[2].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(later.wait_for(std::chrono::seconds(0)), std::future_status::timeout);

  locked = false;
  const AnswerOr first = get(std::move(answers[0]));
  const AnswerOr second = get(std::move(answers[2]));
  const AnswerOr third = get(std::move(later));
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(first->etag, "2");
  EXPECT_EQ(second->etag, "3");
  EXPECT_EQ(third->etag, "4");
  EXPECT_EQ(invoice_of(ids[1]), "L-3");
}

TEST_P(Faults, ASplitKeepsTheOrderOfCommandsOnALockedOrder) {
  // The first half of a batch that is split finds the order locked; when the second half runs, it
  // is free again. Still what came first must be done first.
  const auto ids = make_orders(server_, 3);
  const Uuid &poisoned = ids[0], &other = ids[1], &busy = ids[2];
  std::atomic<bool> locked{true};
  faulty_->set({.locked = [&](const Uuid& asked) {
    if (asked == other && server_.engine.counters().splits > 0) locked = false;  // the second half
    return locked && asked == busy;
  }});
  std::vector<Command> commands;
  commands.push_back(command_with(poisoned, [](const auto&, const auto&) -> rules::Result {
    throw std::runtime_error("a fault of the rule");
  }));
  commands.push_back(invoice(busy, "first"));
  commands.push_back(invoice(other, "I-2"));
  commands.push_back(invoice(busy, "second"));
  const auto answers = server_.call(std::move(commands));
  EXPECT_TRUE(absl::IsInternal(answers[0].status()));
  for (std::size_t i : {1u, 2u, 3u}) ASSERT_TRUE(answers[i].ok()) << answers[i].status();
  EXPECT_EQ(answers[1]->etag, "2");
  EXPECT_EQ(answers[3]->etag, "3");
  EXPECT_EQ(invoice_of(busy), "second");
}

TEST_P(Faults, AReplayWaitsForItsLockedOrderAndHoldsUpNobody) {
  const auto request = new_order(Uuid::generate().to_string());
  const AnswerOr created = server_.call(create(request));
  ASSERT_TRUE(created.ok()) << created.status();
  const auto ids = make_orders(server_, 2);
  std::atomic<bool> locked{true};
  faulty_->set({.locked = [&](const Uuid& id) { return locked && id == created->order_id; }});
  // The retry of a creation names no order, but it needs the one that it made.
  std::vector<Command> commands;
  commands.push_back(create(request));
  commands.push_back(invoice(ids[0], "I-0"));
  auto answers = server_.send(std::move(commands));
  EXPECT_TRUE(get(std::move(answers[1])).ok());
  EXPECT_TRUE(server_.call(invoice(ids[1], "I-1")).ok());
  EXPECT_EQ(answers[0].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  locked = false;
  const AnswerOr replay = get(std::move(answers[0]));
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->replayed);
  EXPECT_EQ(replay->order_id, created->order_id);
  ASSERT_NE(replay->order, nullptr);
}

TEST_P(Faults, ManyCommandsOnALockedOrderHoldUpNobody) {
  const auto ids = make_orders(server_, 2);
  std::atomic<bool> locked{true};
  faulty_->set({.locked = [&](const Uuid& id) { return locked && id == ids[0]; }});
  // More than one batch of them.
  std::vector<Command> commands;
  for (int i = 0; i < 300; ++i) commands.push_back(add_note(ids[0], std::to_string(i)));
  auto answers = server_.send(std::move(commands));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(server_.call(add_note(ids[1], "x")).ok());
  for (auto& answer : answers) {
    EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  }
  auto last = server_.send(add_note(ids[0], "300"));
  locked = false;
  int version = 1;
  for (auto& pending : answers) {
    const AnswerOr answer = get(std::move(pending));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, std::to_string(++version));
  }
  EXPECT_EQ(get(std::move(last))->etag, "302");
  const auto notes = server_.notes(ids[0]);
  ASSERT_EQ(notes.size(), 301u);
}

TEST_P(Faults, WhatWaitsForALockCountsAsWaiting) {
  const auto ids = make_orders(server_, 2);
  server_.engine.stop();
  engine::Limits limits;
  limits.queue_commands = 20;
  std::atomic<bool> locked{true};
  faulty_->set({.locked = [&](const Uuid& id) { return locked && id == ids[0]; }});
  engine::Engine engine(*faulty_, server_.cache, server_.settings, limits);
  const auto send = [&](const Uuid& id, int count) {
    std::vector<Command> commands;
    std::vector<std::future<AnswerOr>> answers;
    for (int i = 0; i < count; ++i) {
      commands.push_back(add_note(id, "x"));
      answers.push_back(Server::expect(commands.back()));
    }
    engine.submit(std::move(commands));
    return answers;
  };
  auto waiting = send(ids[0], 15);
  EXPECT_TRUE(get(std::move(send(ids[1], 1)[0])).ok());  // by now the lane knows of the lock
  AnswerOr refused = get(std::move(send(ids[1], 6)[0]));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_TRUE(get(std::move(send(ids[1], 5)[4])).ok());
  locked = false;
  for (auto& answer : waiting) EXPECT_TRUE(get(std::move(answer)).ok());
  EXPECT_TRUE(get(std::move(send(ids[1], 20)[19])).ok());
}

TEST_P(Faults, ALockThatNeverGoesAwayEndsInATypedError) {
  const auto ids = make_orders(server_, 2);
  engine::Limits limits;
  limits.queue_age = std::chrono::milliseconds(300);
  server_.engine.stop();
  faulty_->set({.locked = [&](const Uuid& id) { return id == ids[0]; }});
  engine::Engine engine(*faulty_, server_.cache, server_.settings, limits);
  std::vector<Command> commands;
  commands.push_back(invoice(ids[0], "I-0"));
  commands.push_back(invoice(ids[1], "I-1"));
  auto locked = Server::expect(commands[0]);
  auto free = Server::expect(commands[1]);
  engine.submit(std::move(commands));
  EXPECT_TRUE(get(std::move(free)).ok());
  const AnswerOr answer = get(std::move(locked));
  EXPECT_TRUE(absl::IsResourceExhausted(answer.status())) << answer.status();
  EXPECT_TRUE(has_retry_info(answer.status()));
  EXPECT_EQ(server_.stored(ids[0])->version, 1);
}

TEST_P(Faults, ALockThatCannotBeSkippedHoldsUpTheOthersForAFewWaitsOnly) {
  // A value that another transaction has claimed and neither commits nor gives up: the wait is for
  // a row of a claim table, which SKIP LOCKED does not skip.
  const auto ids = make_orders(server_, 8);
  std::atomic<int> waits{0};
  faulty_->set({.on_save = [&](const storage::ChangeSet& changes) {
    if (!touches(changes, ids[6])) return;
    ++waits;
    throw storage::Error(Kind::kLockWait, "injected");
  }});
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(invoice(id, id.to_string()));
  const auto answers = server_.call(std::move(commands));
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == 6) {
      EXPECT_TRUE(absl::IsResourceExhausted(answers[i].status())) << answers[i].status();
      EXPECT_TRUE(has_retry_info(answers[i].status()));
    } else {
      EXPECT_TRUE(answers[i].ok()) << answers[i].status();
    }
  }
  EXPECT_LE(waits, 3 * 4);  // 8, 4, 2 and 1 commands; each wait takes seconds
}

TEST_P(Faults, ADuplicateIsRunAgain) {
  const Uuid id = make_order(server_);
  faulty_->set({.before = fail(Step::kSave, Kind::kDuplicate, 2)});
  const AnswerOr answer = server_.call(invoice(id, "I-1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "2");
}

TEST_P(Faults, APoisonedCommandFailsAlone) {
  const auto ids = make_orders(server_, 16);
  faulty_->set({.on_save = [&](const storage::ChangeSet& changes) {
    if (touches(changes, ids[5])) throw storage::Error(Kind::kInternal, "injected");
  }});
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(invoice(id, id.to_string()));
  const auto answers = server_.call(std::move(commands));
  std::map<Uuid, std::int64_t> versions;
  for (std::size_t i = 0; i < 16; ++i) {
    if (i == 5) {
      EXPECT_TRUE(absl::IsInternal(answers[i].status())) << answers[i].status();
    } else {
      EXPECT_TRUE(answers[i].ok()) << answers[i].status();
    }
    versions[ids[i]] = i == 5 ? 1 : 2;
  }
  EXPECT_EQ(server_.engine.counters().splits, 4u);  // 16, 8, 4, 2
  raw().expect_history_without_gap(versions);
}

TEST_P(Faults, ARuleThatThrowsFailsAlone) {
  const auto ids = make_orders(server_, 8);
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(invoice(id, id.to_string()));
  commands[3].rule = [](const auto&, const auto&) -> rules::Result {
    throw std::runtime_error("a fault of the rule");
  };
  commands[6].rule = [](const auto&, const auto&) -> rules::Result { throw 42; };
  const auto answers = server_.call(std::move(commands));
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == 3 || i == 6) {
      EXPECT_REASON(answers[i], "INTERNAL");
      // Nothing of the fault reaches the caller.
      EXPECT_EQ(answers[i].status().ToString().find("fault"), std::string::npos);
    } else {
      EXPECT_TRUE(answers[i].ok()) << answers[i].status();
    }
  }
}

TEST_P(Faults, ASplitKeepsTheOrderOfCommandsOnOneOrder) {
  const auto ids = make_orders(server_, 2);
  std::vector<Command> commands;
  for (int i = 0; i < 20; ++i) commands.push_back(invoice(ids[0], "I-" + std::to_string(i)));
  commands[9] = command_with(ids[1], [](const auto&, const auto&) -> rules::Result {
    throw std::runtime_error("a fault of the rule");
  });
  const auto answers = server_.call(std::move(commands));
  int version = 1;
  for (std::size_t i = 0; i < 20; ++i) {
    if (i == 9) continue;
    ASSERT_TRUE(answers[i].ok()) << answers[i].status();
    EXPECT_EQ(answers[i]->etag, std::to_string(++version));
  }
  EXPECT_EQ(invoice_of(ids[0]), "I-19");
}

TEST_P(Faults, AStaleSessionIsNoError) {
  const Uuid id = make_order(server_);
  for (const Step step : {Step::kBegin, Step::kLock, Step::kSave, Step::kPositions}) {
    faulty_->set({.before = fail(step, Kind::kUnavailable)});
    const AnswerOr answer =
        server_.call(invoice(id, "I-" + std::to_string(static_cast<int>(step))));
    EXPECT_TRUE(answer.ok()) << answer.status();
  }
  EXPECT_EQ(server_.stored(id)->version, 5);
}

TEST_P(Faults, AStaleSessionAfterADeadlockIsNoErrorEither) {
  const Uuid id = make_order(server_);
  std::atomic<int> begins{0};
  faulty_->set({.before = [&](Step step) {
    if (step != Step::kLock) return;
    const int n = ++begins;
    if (n == 1) throw storage::Error(Kind::kConflict, "injected");
    if (n == 2) throw storage::Error(Kind::kUnavailable, "injected");
  }});
  const AnswerOr answer = server_.call(invoice(id, "I-1"));
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_P(Faults, WithoutADatabaseUnavailableAndAfterwardsAllIsWell) {
  const auto ids = make_orders(server_, 3);
  faulty_->set({.before = fail(Step::kBegin, Kind::kUnavailable, 1'000'000)});
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(invoice(id, id.to_string()));
  for (const AnswerOr& answer : server_.call(std::move(commands))) {
    EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
    EXPECT_REASON(answer, "DATABASE_UNAVAILABLE");
    EXPECT_TRUE(has_retry_info(answer.status()));
  }
  faulty_->set({});
  for (const Uuid& id : ids) {
    const AnswerOr answer = server_.call(invoice(id, id.to_string()));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, "2");
  }
}

TEST_P(Faults, ALostCommitThatHappenedIsAnsweredAndNotRunAgain) {
  const auto ids = make_orders(server_, 3);
  std::atomic<int> rules_run{0};
  faulty_->set({.after = fail(Step::kCommit, Kind::kCommitUnknown)});
  std::vector<Command> commands;
  for (const Uuid& id : ids) {
    commands.push_back(add_note(id, "once"));
    commands.back().rule = [&, rule = commands.back().rule](const auto& target,
                                                            const auto& context) {
      ++rules_run;
      return rule(target, context);
    };
  }
  commands.push_back(invoice(Uuid::generate(), "I-1"));
  const auto answers = server_.call(std::move(commands));
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(answers[i].ok()) << answers[i].status();
    EXPECT_EQ(answers[i]->etag, "2");
    EXPECT_TRUE(answers[i]->changed);
    EXPECT_EQ(server_.notes(ids[i]).size(), 1u);
    EXPECT_EQ(server_.stored(ids[i])->version, 2);
  }
  EXPECT_REASON(answers[3], "ORDER_NOT_FOUND");
  EXPECT_EQ(rules_run, 3);
  EXPECT_EQ(server_.engine.counters().settled_commits, 1u);
  raw().expect_history_without_gap({{ids[0], 2}, {ids[1], 2}, {ids[2], 2}});
}

TEST_P(Faults, ALostCommitThatNeverHappenedIsRunAgain) {
  const auto ids = make_orders(server_, 3);
  faulty_->set({.before = fail(Step::kCommit, Kind::kCommitUnknown)});
  std::vector<Command> commands;
  for (const Uuid& id : ids) commands.push_back(add_note(id, "once"));
  for (const AnswerOr& answer : server_.call(std::move(commands))) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, "2");
    EXPECT_FALSE(answer->replayed);
    EXPECT_EQ(server_.notes(answer->order_id).size(), 1u);
  }
  EXPECT_EQ(server_.engine.counters().settled_commits, 1u);
  raw().expect_history_without_gap({{ids[0], 2}, {ids[1], 2}, {ids[2], 2}});
}

TEST_P(Faults, ALostCommitIsDecidedAsSoonAsTheDatabaseIsBack) {
  const Uuid id = make_order(server_);
  std::atomic<int> settles{0};
  faulty_->set({.before =
                    [&](Step step) {
                      if (step == Step::kSettle && ++settles <= 3) {
                        throw storage::Error(Kind::kUnavailable, "injected");
                      }
                    },
                .after = fail(Step::kCommit, Kind::kCommitUnknown)});
  const AnswerOr answer = server_.call(invoice(id, "I-1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(settles, 4);
  EXPECT_EQ(server_.engine.counters().settled_commits, 1u);
  EXPECT_EQ(server_.stored(id)->version, 2);
}

TEST_P(Faults, ALostCommitThatCannotBeDecidedBeforeTheEndIsNotAnsweredAsAFailure) {
  const Uuid id = make_order(server_);
  faulty_->set({.before = fail(Step::kSettle, Kind::kUnavailable, 1'000'000),
                .after = fail(Step::kCommit, Kind::kCommitUnknown)});
  auto pending = server_.send(invoice(id, "I-1"));
  server_.engine.stop();
  const AnswerOr answer = get(std::move(pending));
  // It may have happened (here it has); only this code says so.
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status())) << answer.status();
  EXPECT_EQ(server_.stored(id)->version, 2);
}

ORDERD_ON_BOTH_DATABASES(Faults);

}  // namespace
}  // namespace orderd::test
