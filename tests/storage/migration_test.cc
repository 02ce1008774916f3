#include "storage/migrate.h"

#include <future>
#include <stdexcept>

#include "storage/session.h"
#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::Dialect;
using storage::Migration;
using storage::Session;

class MigrationTest : public DatabaseTest {
 protected:
  Dialect dialect() const {
    return backend() == Backend::kSqlite ? Dialect::kSqlite : Dialect::kMysql;
  }
  std::unique_ptr<Session> session(const Session::Listener& listener = nullptr) {
    return std::make_unique<Session>(
        storage::parse_url(current_ != nullptr ? current_->url() : url()), listener);
  }
  void run(const std::string& statement) { session()->execute_script(statement); }

  /// All tables and indexes with their columns, and the default states.
  std::vector<std::vector<std::string>> schema() {
    auto result = session()->script_rows(
        backend() == Backend::kSqlite
            ? "SELECT name, COALESCE(sql, '') FROM sqlite_master ORDER BY name"
            : "SELECT CONCAT(table_name, '.', column_name),"
              " CONCAT(column_type, ' ', is_nullable, ' ', COALESCE(column_default, ''))"
              " FROM information_schema.columns WHERE table_schema = DATABASE() UNION ALL"
              " SELECT CONCAT(table_name, '.', index_name, '.', seq_in_index), column_name FROM"
              " information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1",
        2);
    for (auto& row : session()->script_rows(
             "SELECT state_id, enterable_from FROM order_states ORDER BY state_id", 2)) {
      result.push_back(std::move(row));
    }
    for (auto& row : session()->script_rows(
             "SELECT delivery_state_id, enterable_from FROM delivery_states UNION ALL SELECT"
             " method_id, display_name FROM shipment_methods ORDER BY 1",
             2)) {
      result.push_back(std::move(row));
    }
    for (auto& row : session()->script_rows("SELECT pos, settings_version FROM feed_head", 2)) {
      result.push_back(std::move(row));
    }
    return result;
  }

  /// A lease that a dead process holds runs out.
  void expire_lock() {
    if (backend() == Backend::kSqlite) return;
    const auto tables = session()->script_rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        " AND table_name = 'schema_lock'",
        1);
    if (!tables.empty()) run("UPDATE schema_lock SET expire_time = 0");
  }

  /// The newest migration, and one that only this test knows.
  std::vector<Migration> extended(int oldest_binary) {
    std::vector<Migration> all = storage::migrations(dialect());
    Migration next;
    next.number = static_cast<int>(all.size()) + 1;
    next.oldest_binary = oldest_binary;
    next.steps = {"CREATE TABLE IF NOT EXISTS extra (id BIGINT NOT NULL PRIMARY KEY)"};
    all.push_back(next);
    return all;
  }

  /// Used instead of `database_` if set.
  std::unique_ptr<TestDatabase> current_;
};
ORDERD_ON_BOTH_DATABASES(MigrationTest);

class MariadbMigrationTest : public MigrationTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbMigrationTest, testing::Values(Backend::kMariadb), backend_name);

class SqliteMigrationTest : public MigrationTest {};
INSTANTIATE_TEST_SUITE_P(, SqliteMigrationTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(MigrationTest, AreNumberedAndHaveSteps) {
  const auto all = storage::migrations(dialect());
  ASSERT_FALSE(all.empty());
  for (const Migration& migration : all) {
    EXPECT_GE(migration.oldest_binary, 1);
    EXPECT_LE(migration.oldest_binary, migration.number);
    EXPECT_FALSE(migration.steps.empty());
    for (const std::string& step : migration.steps) {
      EXPECT_EQ(step.find_first_of(":;?\\\""), std::string::npos) << step;
    }
  }
}

TEST_P(MigrationTest, OpeningAgainChangesNothing) {
  storage::open(url(), {}).reset();
  const auto before = schema();
  std::vector<std::string> statements;
  storage::Options options;
  options.on_statement = [&](std::string_view sql) { statements.emplace_back(sql); };
  storage::open(url(), options).reset();
  EXPECT_EQ(schema(), before);
  for (const std::string& statement : statements) {
    EXPECT_FALSE(statement.starts_with("CREATE TABLE IF NOT EXISTS orders")) << statement;
  }
}

TEST_P(MigrationTest, IsResumedAfterACrashAtEveryStatement) {
  storage::open(url(), {}).reset();
  const auto expected = schema();
  ASSERT_GT(expected.size(), 20u);

  struct Crash : std::runtime_error {
    Crash() : std::runtime_error("crash") {}
  };
  bool finished = false;
  for (int statements = 0; !finished; ++statements) {
    current_ = std::make_unique<TestDatabase>(TestDatabase::create(backend()));
    int left = statements;
    storage::Options options;
    options.on_statement = [&](std::string_view) {
      if (left-- == 0) throw Crash();
    };
    try {
      storage::open(current_->url(), options).reset();
      finished = true;
    } catch (const Crash&) {
    }
    expire_lock();
    storage::open(current_->url(), {}).reset();
    ASSERT_EQ(schema(), expected) << "crash before statement " << statements;
  }
}

TEST_P(MigrationTest, OrdersOfTheFirstSchemaAreKept) {
  storage::open(url(), {}).reset();
  const auto expected = schema();
  const std::vector<Migration> first{storage::migrations(dialect()).front()};
  const std::string id = "x'0190000000007000800000000000000a'";
  const std::string insert_order =
      "INSERT INTO orders (id, version, order_number, state_id, item_count) VALUES (" + id +
      ", 3, x'4e', x'6e6577', 1)";
  const std::string insert_item =
      "INSERT INTO order_items (order_id, n, present, item_id, sku, name, quantity,"
      " unit_price_minor, tax_minor, discount_minor, total_minor) VALUES (" +
      id + ", 0, 0, '1', 'sku', '', 5, 0, 0, 0, 0)";

  struct Crash : std::runtime_error {
    Crash() : std::runtime_error("crash") {}
  };
  bool finished = false;
  int crashes = 0;
  for (int statements = 0; !finished; ++statements) {
    current_ = std::make_unique<TestDatabase>(TestDatabase::create(backend()));
    storage::migrate(*session(), first);
    run(insert_order);
    run(insert_item);
    int left = statements;
    storage::Options options;
    options.on_statement = [&](std::string_view) {
      if (left-- == 0) throw Crash();
    };
    try {
      storage::open(current_->url(), options).reset();
      finished = true;
    } catch (const Crash&) {
      ++crashes;
    }
    expire_lock();
    auto storage = storage::open(current_->url(), {});
    ASSERT_EQ(schema(), expected) << "crash before statement " << statements;
    const Uuid uuid = *Uuid::parse("01900000-0000-7000-8000-00000000000a");
    const auto orders = storage->begin_read(soon())->load_orders({&uuid, 1});
    ASSERT_EQ(orders.size(), 1u);
    const pb::Order& order = orders[0]->order;
    EXPECT_EQ(orders[0]->version, 3);
    ASSERT_EQ(order.items_size(), 1);
    EXPECT_EQ(order.items(0).quantity(), 5);
    EXPECT_EQ(order.items(0).shipment_method_id(), "");
    EXPECT_EQ(order.shipments_size(), 0);
  }
  EXPECT_GT(crashes, 15);
  // What a server of the first schema inserts beside one of this schema.
  run("DELETE FROM order_items");
  run(insert_item);
}

TEST_P(MigrationTest, PaymentsOfTheSecondSchemaAreKept) {
  std::vector<Migration> second = storage::migrations(dialect());
  second.resize(2);
  storage::migrate(*session(), second);
  const std::string id = "x'0190000000007000800000000000000a'";
  run("INSERT INTO orders (id, version, currency) VALUES (" + id + ", 3, 'EUR')");
  const std::string insert_payment =
      "INSERT INTO order_payments (order_id, n, present, payment_id, gateway_account,"
      " gateway_reference, status, description, authorized_minor, captured_minor, refunded_minor,"
      " voided_minor, capturable_minor, refundable_minor) VALUES (" +
      id;
  run(insert_payment + ", 0, 63, 'p0', 'external', 'r0', 5, 'cash', 10, 4, 0, 1, 5, 4)");
  auto storage = storage::open(url(), {});
  // What a server of the second schema goes on to write while it runs.
  run(insert_payment + ", 1, 0, 'p1', 'acme', 'r1', 1, '', 0, 0, 0, 0, 0, 0)");

  const Uuid uuid = *Uuid::parse("01900000-0000-7000-8000-00000000000a");
  const auto orders = storage->begin_read(soon())->load_orders({&uuid, 1});
  ASSERT_EQ(orders.size(), 1u);
  ASSERT_EQ(orders[0]->order->payments_size(), 2);
  pb::Payment expected;
  expected.set_payment_id("p0");
  expected.set_gateway_account("external");
  expected.set_gateway_reference("r0");
  expected.set_status(pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  expected.set_description("cash");
  const auto set = [](pb::Money* money, std::int64_t minor) {
    money->set_currency_code("EUR");
    money->set_amount_minor(minor);
  };
  set(expected.mutable_authorized(), 10);
  set(expected.mutable_captured(), 4);
  set(expected.mutable_refunded(), 0);
  set(expected.mutable_voided(), 1);
  set(expected.mutable_capturable(), 5);
  set(expected.mutable_refundable(), 4);
  EXPECT_TRUE(same(orders[0]->order->payments(0), expected));
  expected.Clear();
  expected.set_payment_id("p1");
  expected.set_gateway_account("acme");
  expected.set_gateway_reference("r1");
  expected.set_status(pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_TRUE(same(orders[0]->order->payments(1), expected));

  // One that does not see open money is not started again.
  EXPECT_STORAGE_ERROR(storage::migrate(*session(), second), kSchema);
}

TEST_P(MigrationTest, CancellationsOfTheThirdSchemaAreKept) {
  std::vector<Migration> third = storage::migrations(dialect());
  third.resize(3);
  storage::migrate(*session(), third);
  const std::string columns =
      "INSERT INTO orders (id, version, present, state_id, cancellation_status,"
      " cancellation_reason, cancellation_time, create_time) VALUES (";
  const std::string canceled = "x'0190000000007000800000000000000a'";
  const std::string plain = "x'0190000000007000800000000000000b'";
  const std::string later = "x'0190000000007000800000000000000c'";
  run(columns + canceled + ", 3, 64, x'63616e63656c6564', 4, 'out of stock', 1700000000000001, 5)");
  run(columns + plain + ", 2, 64, x'6e6577', 1, '', -9223372036854775808, 6)");
  auto storage = storage::open(url(), {});
  // What a server of the third schema goes on to write while it runs.
  run(columns + later + ", 1, 0, x'6e6577', 0, '', -9223372036854775808, 7)");

  const std::vector<Uuid> ids{*Uuid::parse("01900000-0000-7000-8000-00000000000a"),
                              *Uuid::parse("01900000-0000-7000-8000-00000000000b"),
                              *Uuid::parse("01900000-0000-7000-8000-00000000000c")};
  pb::Cancellation expected;
  expected.set_status(pb::CANCELLATION_STATUS_COMPLETED);
  expected.set_reason("out of stock");
  *expected.mutable_complete_time() = storage::to_timestamp(1'700'000'000'000'001);
  pb::Cancellation none;
  none.set_status(pb::CANCELLATION_STATUS_NONE);
  auto read = storage->begin_read(soon());
  storage::ListQuery query;
  query.ascending = true;
  for (const auto& orders : {read->load_orders(ids), read->list_orders(query).orders}) {
    std::map<Uuid, pb::Order> found;
    for (const OrderPtr& order : orders) found[order->id] = order->order;
    ASSERT_EQ(found.size(), 3u);
    EXPECT_TRUE(same(found[ids[0]].cancellation(), expected));
    EXPECT_EQ(found[ids[0]].state_id(), "canceled");
    EXPECT_TRUE(same(found[ids[1]].cancellation(), none));
    EXPECT_FALSE(found[ids[2]].has_cancellation());
  }
  EXPECT_TRUE(read->list_emails(std::nullopt, std::nullopt, std::nullopt, 10).empty());
  read.reset();

  // It also overwrites what it knows, and leaves the rest.
  StoredOrder order;
  order.id = ids[1];
  order.version = 3;
  pb::Cancellation& cancellation = *order.order->mutable_cancellation();
  cancellation.set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  cancellation.set_notify_customer(true);
  cancellation.add_legs()->set_payment_id("p");
  storage::ChangeSet changes;
  changes.batch_key = Uuid::generate();
  changes.updated = {&order};
  auto write = storage->begin_write(soon());
  write->save(changes);
  write->commit();
  write.reset();
  run("UPDATE orders SET version = 4, state_id = x'6672617564', cancellation_status = 3 WHERE id "
      "= " +
      plain);
  cancellation.set_status(pb::CANCELLATION_STATUS_FAILED);
  const auto orders = storage->begin_read(soon())->load_orders({&ids[1], 1});
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_TRUE(same(orders[0]->order->cancellation(), cancellation));

  // One that does not keep the legs in step is not started again.
  storage.reset();
  EXPECT_STORAGE_ERROR(storage::migrate(*session(), third), kSchema);
}

TEST_P(MigrationTest, AnOlderBinaryIsRefusedIfTheSchemaSaysSo) {
  storage::open(url(), {}).reset();
  const auto all = extended(static_cast<int>(storage::migrations(dialect()).size()) + 1);
  storage::migrate(*session(), all);
  try {
    storage::open(url(), {});
    ADD_FAILURE() << "an older binary was let in";
  } catch (const storage::Error& error) {
    EXPECT_EQ(error.kind(), storage::Error::Kind::kSchema);
    EXPECT_NE(std::string(error.what()).find("newer orderd"), std::string::npos) << error.what();
  }
}

TEST_P(MigrationTest, AnOlderBinaryWorksWithAnExpandedSchema) {
  storage::open(url(), {}).reset();
  storage::migrate(*session(), extended(1));
  auto storage = storage::open(url(), {});
  EXPECT_EQ(storage->begin_read(soon())->settings_version(), 1);
}

TEST_P(MigrationTest, ADatabaseOfSomebodyElseIsLeftAlone) {
  run("CREATE TABLE orders (id BIGINT)");
  EXPECT_STORAGE_ERROR(storage::open(url(), {}), kSchema);
  EXPECT_TRUE(session()->script_rows("SELECT id FROM orders", 1).empty());
}

TEST_P(MariadbMigrationTest, SeveralMayOpenAtOnce) {
  std::vector<std::future<std::string>> opening;
  for (int i = 0; i < 4; ++i) {
    opening.push_back(
        std::async(std::launch::async, [&] { return storage::open(url(), {})->secret(); }));
  }
  const std::string secret = opening[0].get();
  EXPECT_EQ(secret.size(), 32u);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(opening[static_cast<std::size_t>(i)].get(), secret);
  EXPECT_EQ(session()->script_rows("SELECT state_id FROM order_states", 1).size(), 6u);
}

TEST_P(MariadbMigrationTest, TheLockIsTakenOverFromTheDead) {
  storage::open(url(), {}).reset();
  run("UPDATE schema_lock SET owner = 'dead', expire_time = UNIX_TIMESTAMP() - 1");
  storage::migrate(*session(), extended(1));
  EXPECT_EQ(session()->script_rows("SELECT owner FROM schema_lock", 1).at(0).at(0), "");
}

TEST_P(SqliteMigrationTest, SqliteHasOneServerPerFile) {
  auto first = storage::open(url(), {});
  try {
    storage::open(url(), {});
    ADD_FAILURE() << "the file was opened twice";
  } catch (const storage::Error& error) {
    EXPECT_EQ(error.kind(), storage::Error::Kind::kSchema);
    EXPECT_NE(std::string(error.what()).find("pid " + std::to_string(::getpid())),
              std::string::npos)
        << error.what();
  }
  first.reset();
  storage::open(url(), {}).reset();
}

}  // namespace
}  // namespace orderd::test
