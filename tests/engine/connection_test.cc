#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "tests/engine/engine_fixture.h"
#include "tests/support/tcp_gate.h"

// What the engine does when the way to MariaDB, or another session there, fails it. Nothing is
// injected here: connections are cut and locks are held.

namespace orderd::test {
namespace {

class Connection : public MariaDbEngineTest {
 protected:
  /// A server that reaches the database through the gate.
  std::unique_ptr<Server> behind_gate() {
    return std::make_unique<Server>(storage::open(database().tcp_url(gate_.port()), {}));
  }

  TcpGate gate_{static_cast<unsigned short>(MariadbServer::get().port())};
};

/// Both outcomes: a COMMIT that the server got, and one that it never saw.
void expect_applied_once(Server& server, const std::vector<Uuid>& ids, RawDatabase& raw,
                         const TcpGate& gate) {
  std::atomic<int> answered{0};
  std::vector<Command> commands;
  std::vector<std::future<AnswerOr>> answers;
  for (const Uuid& id : ids) {
    commands.push_back(add_note(id, "once", Uuid::generate().to_string()));
    answers.push_back(Server::expect(commands.back()));
    commands.back().done = [&, done = commands.back().done](AnswerOr answer) {
      ++answered;
      done(std::move(answer));
    };
  }
  server.engine.submit(std::move(commands));
  std::map<Uuid, std::int64_t> versions;
  for (auto& pending : answers) {
    const AnswerOr answer = get(std::move(pending));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->changed);
    EXPECT_FALSE(answer->replayed);
    EXPECT_EQ(answer->etag, "2");
    EXPECT_EQ(server.notes(answer->order_id).size(), 1u);
    versions[answer->order_id] = 2;
  }
  EXPECT_EQ(gate.dropped(), 1);
  EXPECT_EQ(server.engine.counters().settled_commits, 1u);
  // The engine works on, and whatever was still to be answered would be so by now.
  const AnswerOr next = server.call(invoice(ids[0], "I-1"));
  ASSERT_TRUE(next.ok()) << next.status();
  versions[ids[0]] = 3;
  EXPECT_EQ(answered, static_cast<int>(ids.size()));
  raw.expect_history_without_gap(versions);
}

TEST_F(Connection, ACommitWhoseAnswerIsLostIsAppliedOnce) {
  const auto server = behind_gate();
  const auto ids = make_orders(*server, 8);
  gate_.drop_after(TcpGate::is_commit);
  expect_applied_once(*server, ids, raw(), gate_);
}

TEST_F(Connection, ACommitThatNeverArrivesIsAppliedOnce) {
  const auto server = behind_gate();
  const auto ids = make_orders(*server, 8);
  gate_.drop_before(TcpGate::is_commit);
  expect_applied_once(*server, ids, raw(), gate_);
}

TEST_F(Connection, ACreationWhoseCommitIsLostMakesOneOrder) {
  const auto server = behind_gate();
  make_order(*server);
  for (int round = 0; round < 4; ++round) {
    const auto request = new_order(Uuid::generate().to_string());
    if (round % 2 == 0) {
      gate_.drop_after(TcpGate::is_commit);
    } else {
      gate_.drop_before(TcpGate::is_commit);
    }
    const AnswerOr answer = server->call(create(request));
    ASSERT_TRUE(answer.ok()) << answer.status();
    const AnswerOr retry = server->call(create(request));
    ASSERT_TRUE(retry.ok()) << retry.status();
    EXPECT_TRUE(retry->replayed);
    EXPECT_EQ(retry->order_id, answer->order_id);
  }
  EXPECT_EQ(raw().feed().size(), 5u);
  EXPECT_EQ(server->engine.counters().settled_commits, 4u);
}

TEST_F(Connection, ALostConnectionInMidWorkIsNoError) {
  const auto server = behind_gate();
  const Uuid id = make_order(*server);
  int version = 1;
  for (const char* statement : {"START TRANSACTION", "SELECT id, version FROM orders",
                                "INSERT INTO batches", "UPDATE feed_head", "INSERT INTO feed "}) {
    for (const bool forwarded : {false, true}) {
      const auto match = [statement](std::string_view packet) {
        return packet.substr(1).starts_with(statement);
      };
      const int dropped = gate_.dropped();
      if (forwarded) {
        gate_.drop_after(match);
      } else {
        gate_.drop_before(match);
      }
      const AnswerOr answer = server->call(add_note(id, "x"));
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->etag, std::to_string(++version));
      EXPECT_EQ(gate_.dropped(), dropped + 1) << statement;
    }
  }
  EXPECT_EQ(server->engine.counters().settled_commits, 0u);
  raw().expect_history_without_gap({{id, version}});
}

TEST_F(Connection, EveryIdleConnectionMayBeGone) {
  const auto server = behind_gate();
  const Uuid id = make_order(*server);
  for (int i = 0; i < 5; ++i) {
    gate_.close_now();
    const AnswerOr answer = server->call(add_note(id, "x"));
    EXPECT_TRUE(answer.ok()) << answer.status();
  }
  EXPECT_EQ(server->stored(id)->version, 6);
}

TEST_F(Connection, WithoutADatabaseUnavailableAndAfterwardsAllIsWell) {
  const auto server = behind_gate();
  const Uuid id = make_order(*server);
  gate_.refuse();
  for (int i = 0; i < 2; ++i) {
    const AnswerOr answer = server->call(add_note(id, "x"));
    EXPECT_REASON(answer, "DATABASE_UNAVAILABLE");
    EXPECT_TRUE(has_retry_info(answer.status()));
  }
  gate_.pass();
  const AnswerOr answer = server->call(add_note(id, "x"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->etag, "2");
}

TEST_F(Connection, AStalledLineGoesOnWhereItStopped) {
  const auto server = behind_gate();
  const Uuid id = make_order(*server);
  for (const bool reading : {true, false}) {
    if (reading) {
      gate_.stop_reading();
    } else {
      gate_.stop_writing();
    }
    auto pending = server->send(add_note(id, "x"));
    EXPECT_EQ(pending.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    gate_.pass();
    EXPECT_TRUE(get(std::move(pending)).ok());
  }
  EXPECT_EQ(server->stored(id)->version, 3);
}

TEST_F(Connection, AKilledSessionIsReplaced) {
  Server server(open());
  const auto ids = make_orders(server, 2);
  // Kills every session of the engine while a rule runs, so with the orders locked.
  std::atomic<int> runs{0};
  std::vector<Command> commands;
  commands.push_back(invoice(ids[0], "I-0"));
  commands.push_back(invoice(ids[1], "I-1"));
  commands[0].rule = [&, rule = commands[0].rule](const auto& target, const auto& context) {
    if (++runs == 1) {
      const MariadbServer& mariadb = MariadbServer::get();
      const std::string sessions =
          mariadb.query("SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE db = '" +
                        database().name() + "'");
      std::size_t from = 0;
      while (from < sessions.size()) {
        const std::size_t comma = std::min(sessions.find(',', from), sessions.size());
        mariadb.execute("KILL CONNECTION " + sessions.substr(from, comma - from));
        from = comma + 1;
      }
    }
    return rule(target, context);
  };
  const auto answers = server.call(std::move(commands));
  for (const AnswerOr& answer : answers) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->etag, "2");
  }
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(server.call(invoice(ids[0], "I-2")).ok());
  raw().expect_history_without_gap({{ids[0], 3}, {ids[1], 2}});
}

TEST_F(Connection, AnOrderLockedByAnotherSessionHoldsUpNobodyElse) {
  Server server(open());
  const auto ids = make_orders(server, 10);
  storage::Session& other = raw().session();
  other.execute("START TRANSACTION");
  {
    auto rows = other.query(
        other.sql() << "SELECT id FROM orders WHERE id = " << ids[3] << " FOR UPDATE", 1);
    ASSERT_TRUE(rows.next());
  }
  std::vector<Command> commands;
  commands.push_back(invoice(ids[3], "first"));
  for (const Uuid& id : ids) {
    if (id != ids[3]) commands.push_back(add_note(id, "x"));
  }
  commands.push_back(invoice(ids[3], "second"));
  auto answers = server.send(std::move(commands));
  for (std::size_t i = 1; i < 10; ++i) EXPECT_TRUE(get(std::move(answers[i])).ok());
  EXPECT_TRUE(server.call(add_note(ids[0], "y")).ok());
  EXPECT_EQ(answers[0].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(answers[10].wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  other.execute("ROLLBACK");
  EXPECT_EQ(get(std::move(answers[0]))->etag, "2");
  EXPECT_EQ(get(std::move(answers[10]))->etag, "3");
  EXPECT_EQ(server.stored(ids[3])->order->invoice_number(), "second");
}

TEST_F(Connection, ASilentHolderOfTheFeedIsDisposedOfWithinSixSeconds) {
  // As left behind by a server that was stopped (SIGSTOP) in the middle of a transaction.
  Server server(open());
  const Uuid id = make_order(server);
  const auto silent = open();
  auto tx = silent->begin_write(storage::Clock::now() + kPatience);
  ASSERT_EQ(tx->take_positions(1, server.settings.get()->version, 1)->first, 2);
  const auto start = storage::Clock::now();
  const AnswerOr answer = server.call(invoice(id, "I-1"));
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_LT(storage::Clock::now() - start, std::chrono::seconds(6));
  EXPECT_THROW(tx->commit(), storage::Error);
  tx.reset();
  raw().expect_history_without_gap({{id, 2}});
}

}  // namespace
}  // namespace orderd::test
