#include <future>

#include "storage/session_pool.h"
#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::Clock;
using storage::Error;
using storage::Role;
using storage::Session;
using storage::SessionPool;

class PoolTest : public StorageTest {
 protected:
  void kill_sessions() {
    const std::string select = "SELECT id FROM information_schema.processlist WHERE db = '" +
                               database_.name() + "' LIMIT 1";
    MariadbServer& server = MariadbServer::get();
    for (std::string id = server.query(select); !id.empty(); id = server.query(select)) {
      try {
        server.execute("KILL HARD CONNECTION " + id);
      } catch (const soci::soci_error& error) {
        // Killed before, it has ended since it was listed.
        if (error.get_error_message().find("Unknown thread id") == std::string::npos) throw;
      }
    }
  }
};
ORDERD_ON_BOTH_DATABASES(PoolTest);

class MariadbPoolTest : public PoolTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbPoolTest, testing::Values(Backend::kMariadb), backend_name);

class SqlitePoolTest : public PoolTest {};
INSTANTIATE_TEST_SUITE_P(, SqlitePoolTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(PoolTest, ALeaseWaitsNoLongerThanItsDeadline) {
  storage::Options one;
  one.max_sessions = 1;
  storage_.reset();
  storage_ = storage::open(url(), one);
  auto write = begin_write();
  const auto deadline = Clock::now() + std::chrono::milliseconds(50);
  EXPECT_STORAGE_ERROR(storage_->begin_read(deadline), kUnavailable);
  EXPECT_GE(Clock::now(), deadline);
  EXPECT_STORAGE_ERROR(storage_->begin_write(Clock::now()), kUnavailable);
  const auto sessions = storage_->sessions();
  EXPECT_EQ(sessions.in_use, 1);
  EXPECT_EQ(sessions.most, 1);
  EXPECT_EQ(sessions.missed, 2u);
  EXPECT_EQ(sessions.waiting, 0);

  auto waiting = std::async(std::launch::async, [&] { storage_->begin_read(soon())->snapshot(); });
  write.reset();
  waiting.get();
}

TEST_P(SqlitePoolTest, SqliteHasOneWriterAndReadersBesideIt) {
  auto write = begin_write();
  auto first = begin_read();
  auto second = begin_read();
  EXPECT_EQ(first->settings_version(), 1);
  EXPECT_EQ(second->settings_version(), 1);
  EXPECT_STORAGE_ERROR(storage_->begin_write(Clock::now()), kUnavailable);
}

TEST_P(PoolTest, ASessionInATransactionIsRolledBackOnReturn) {
  SessionPool pool(storage::parse_url(url()), 1, 1, nullptr);
  const auto count = [](Session& session) {
    storage::Rows rows =
        session.query(session.sql() << "SELECT COUNT(*) FROM payment_references", 1);
    EXPECT_TRUE(rows.next());
    return rows.number(0);
  };
  {
    auto lease = pool.lease(Role::kWrite, soon());
    lease->begin(Role::kWrite);
    lease->execute("INSERT INTO payment_references (value, order_id) VALUES (x'00', x'00')");
    EXPECT_EQ(count(*lease), 1);
  }
  auto lease = pool.lease(Role::kWrite, soon());
  EXPECT_FALSE(lease->in_transaction());
  EXPECT_EQ(count(*lease), 0);
}

TEST_P(PoolTest, ASessionAfterAFaultIsDiscarded) {
  std::vector<std::string> statements;
  SessionPool pool(storage::parse_url(url()), 1, 1,
                   [&](std::string_view sql) { statements.emplace_back(sql); });
  {
    auto lease = pool.lease(Role::kRead, soon());
    EXPECT_STORAGE_ERROR(lease->execute("SELECT nothing FROM nowhere"), kInternal);
    EXPECT_TRUE(lease->doubtful());
    EXPECT_STORAGE_ERROR(lease->execute("SELECT 1"), kUnavailable);
  }
  EXPECT_EQ(pool.sessions().opened, 1u);
  EXPECT_EQ(pool.sessions().discarded, 1u);
  EXPECT_EQ(pool.sessions().idle, 0);
  statements.clear();
  auto lease = pool.lease(Role::kRead, soon());
  EXPECT_EQ(pool.sessions().opened, 2u);
  EXPECT_EQ(pool.sessions().in_use, 1);
  EXPECT_FALSE(lease->doubtful());
  EXPECT_EQ(statements.size(), 1u) << "a new session is put into its role";
}

TEST_P(PoolTest, AnIdleSessionIsAskedWhetherItLives) {
  std::vector<std::string> statements;
  SessionPool pool(
      storage::parse_url(url()), 1, 1, [&](std::string_view sql) { statements.emplace_back(sql); },
      std::chrono::seconds(0));
  pool.lease(Role::kRead, soon());
  statements.clear();
  pool.lease(Role::kRead, soon());
  EXPECT_THAT(statements, testing::ElementsAre("SELECT 1"));
  if (backend() == Backend::kSqlite) return;
  kill_sessions();
  auto lease = pool.lease(Role::kRead, soon());
  storage::Rows rows = lease->query(lease->sql() << "SELECT 7", 1);
  EXPECT_TRUE(rows.next());
  EXPECT_EQ(rows.number(0), 7);
}

TEST_P(MariadbPoolTest, RecoversFromKilledConnections) {
  const StoredOrder order = plain_order();
  create({order});
  // Several idle sessions, all dead.
  {
    std::vector<std::unique_ptr<storage::ReadTransaction>> reads;
    for (int i = 0; i < 5; ++i) reads.push_back(begin_read());
  }
  kill_sessions();
  // One error at most: the others are closed with it.
  int errors = 0;
  for (int i = 0; i < 5; ++i) {
    try {
      begin_read()->versions({&order.id, 1});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kUnavailable) << error.what();
      ++errors;
    }
  }
  EXPECT_LE(errors, 1);
  EXPECT_NE(load(order.id), nullptr);
}

TEST_P(MariadbPoolTest, AConnectionKilledInATransactionCommitsNothing) {
  const StoredOrder order = plain_order();
  storage::ChangeSet changes;
  changes.batch_key = Uuid::generate();
  changes.created = {&order};
  auto write = begin_write();
  write->save(changes);
  kill_sessions();
  // COMMIT was sent into the dark; the batch's key tells.
  EXPECT_STORAGE_ERROR(write->commit(), kCommitUnknown);
  write.reset();
  EXPECT_FALSE(storage_->settle_commit(changes.batch_key, soon()));
  EXPECT_EQ(load(order.id), nullptr);

  write = begin_write();
  write->versions({&order.id, 1});
  kill_sessions();
  EXPECT_STORAGE_ERROR(write->versions({&order.id, 1}), kUnavailable);
  EXPECT_STORAGE_ERROR(write->versions({&order.id, 1}), kUnavailable);
}

TEST_P(PoolTest, ASessionChangesItsRole) {
  SessionPool pool(storage::parse_url(url()), 1, 1, nullptr);
  for (int i = 0; i < 3; ++i) {
    {
      auto lease = pool.lease(Role::kWrite, soon());
      lease->begin(Role::kWrite);
      lease->execute("UPDATE feed_head SET pos = pos + 1 WHERE id = 1");
      lease->commit();
    }
    auto lease = pool.lease(Role::kRead, soon());
    lease->begin(Role::kRead);
    try {
      lease->execute("UPDATE feed_head SET pos = pos + 1 WHERE id = 1");
      ADD_FAILURE() << "a reader wrote";
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace orderd::test
