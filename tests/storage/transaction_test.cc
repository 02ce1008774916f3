#include <atomic>
#include <future>
#include <thread>

#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::Error;
using storage::LockMode;
using storage::Positions;

/// Returns when somebody waits for a row's lock.
void wait_for_lock_wait() {
  const auto deadline = storage::Clock::now() + std::chrono::seconds(20);
  while (MariadbServer::get().query("SELECT COUNT(*) FROM information_schema.innodb_trx"
                                    " WHERE trx_state = 'LOCK WAIT'") == "0") {
    if (storage::Clock::now() > deadline) throw std::runtime_error("nobody waits for a lock");
    // The table is a copy that is renewed only if nobody has read it for 100 ms.
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
  }
}

class TransactionTest : public StorageTest {};
ORDERD_ON_BOTH_DATABASES(TransactionTest);

TEST_P(TransactionTest, LocksThoseThatExistInTheOrderOfTheirIds) {
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  for (int i = 0; i < 1200; ++i) {
    orders.push_back(plain_order());
    ids.push_back(orders.back().id);
    if (i % 3 == 0) ids.push_back(Uuid::generate());
  }
  orders[5].version = 77;
  orders[5].order->set_etag("77");
  create(orders);
  auto write = begin_write();
  const auto locked = write->lock_orders(ids, LockMode::kWait);
  ASSERT_EQ(locked.size(), orders.size());
  for (std::size_t i = 0; i < locked.size(); ++i) {
    EXPECT_EQ(locked[i].id, orders[i].id);
    EXPECT_EQ(locked[i].version, i == 5 ? 77 : 1);
  }
}

TEST_P(TransactionTest, IsRolledBackUnlessCommitted) {
  const StoredOrder order = plain_order();
  {
    auto write = begin_write();
    ChangeSet changes;
    changes.batch_key = Uuid::generate();
    changes.created = {&order};
    changes.claims_taken = claims_of(order);
    write->save(changes);
    EXPECT_EQ(write->load_orders({&order.id, 1}).size(), 1u) << "a writer sees its own writes";
    EXPECT_EQ(load(order.id), nullptr) << "others do not";
  }
  EXPECT_EQ(load(order.id), nullptr);
  create({order});
  EXPECT_NE(load(order.id), nullptr);
}

TEST_P(TransactionTest, AReaderSeesOneMoment) {
  StoredOrder order = plain_order();
  create({order});
  auto snapshot = begin_read();
  EXPECT_EQ(snapshot->versions({&order.id, 1}).at(0).version, 1);
  auto plain = storage_->begin_read(soon());

  order.version = 2;
  order.order->set_etag("2");
  ChangeSet changes;
  changes.updated = {&order};
  save(changes);

  EXPECT_EQ(snapshot->versions({&order.id, 1}).at(0).version, 1);
  EXPECT_EQ(snapshot->load_orders({&order.id, 1}).at(0)->version, 1);
  EXPECT_EQ(plain->versions({&order.id, 1}).at(0).version, 2);
  EXPECT_EQ(load(order.id)->version, 2);
}

TEST_P(TransactionTest, TwoOrdersSwapTheirInvoiceNumbers) {
  StoredOrder a = plain_order();
  StoredOrder b = plain_order();
  a.order->set_invoice_number("A");
  b.order->set_invoice_number("B");
  create({a, b});
  std::swap(*a.order->mutable_invoice_number(), *b.order->mutable_invoice_number());
  a.version = b.version = 2;
  ChangeSet changes;
  changes.updated = {&a, &b};
  changes.claims_released = {{ClaimKind::kInvoiceNumber, "B"}, {ClaimKind::kInvoiceNumber, "A"}};
  changes.claims_taken[{ClaimKind::kInvoiceNumber, "A"}] = {b.id, {}};
  changes.claims_taken[{ClaimKind::kInvoiceNumber, "B"}] = {a.id, {}};
  save(changes);
  const std::vector<Claim> asked{{ClaimKind::kInvoiceNumber, "A"},
                                 {ClaimKind::kInvoiceNumber, "B"},
                                 {ClaimKind::kInvoiceNumber, "C"}};
  const auto holders = begin_read()->find_claims(asked);
  ASSERT_EQ(holders.size(), 2u);
  EXPECT_EQ(holders.at(asked[0]).order_id, b.id);
  EXPECT_EQ(holders.at(asked[1]).order_id, a.id);
  EXPECT_EQ(load(a.id)->order->invoice_number(), "B");
}

TEST_P(TransactionTest, ClaimsAreComparedBytewise) {
  const Uuid id = Uuid::generate();
  ChangeSet changes;
  for (const ClaimKind kind :
       {ClaimKind::kOrderNumber, ClaimKind::kInvoiceNumber, ClaimKind::kPaymentReference}) {
    for (const char* value : {"A", "a", "A ", "\xc3\x84", "A\xcc\x88", "A'", "A\\", ":A", "?"}) {
      changes.claims_taken[{kind, value}] = {
          id, kind == ClaimKind::kOrderNumber ? std::string("\0\x01 digest", 9) : std::string()};
    }
  }
  save(changes);
  std::vector<Claim> asked;
  for (const auto& [claim, holder] : changes.claims_taken) asked.push_back(claim);
  const auto found = begin_read()->find_claims(asked);
  ASSERT_EQ(found.size(), changes.claims_taken.size());
  for (const auto& [claim, holder] : changes.claims_taken) {
    EXPECT_EQ(found.at(claim).import_digest, holder.import_digest);
  }
}

TEST_P(TransactionTest, AClaimTwiceIsADuplicate) {
  const Claim claims[] = {{ClaimKind::kOrderNumber, "top-secret"},
                          {ClaimKind::kInvoiceNumber, "top-secret"},
                          {ClaimKind::kPaymentReference, payment_claim("a", "top-secret")}};
  for (const Claim& claim : claims) {
    ChangeSet changes;
    changes.claims_taken[claim] = {Uuid::generate(), {}};
    save(changes);
    changes.batch_key = Uuid::generate();
    EXPECT_STORAGE_ERROR(save(changes), kDuplicate);
    try {
      save(changes);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
    }
  }
  // The session is as good as before.
  create({plain_order()});
}

TEST_P(TransactionTest, PositionsAreContiguousAfterRollbacks) {
  std::int64_t next = 1;
  Micros last = 0;
  for (int i = 0; i < 30; ++i) {
    const StoredOrder order = plain_order();
    auto write = begin_write();
    ChangeSet changes;
    changes.batch_key = Uuid::generate();
    changes.created = {&order};
    changes.events = {event_row(order.id, 1, 0)};
    write->save(changes);
    const int count = 1 + i % 3;
    const auto positions = write->take_positions(count, 1, i % 2 == 0 ? last + 10 : 1000 - i);
    ASSERT_TRUE(positions.has_value());
    EXPECT_EQ(positions->first, next);
    EXPECT_GT(positions->time, last);
    std::vector<storage::FeedRow> rows;
    for (int n = 0; n < count; ++n) rows.push_back({order.id, n + 1, {}});
    write->append_feed(positions->first, rows);
    if (i % 4 == 3) continue;  // rolled back
    write->commit();
    next += count;
    last = positions->time;
  }
  auto write = begin_write();
  EXPECT_EQ(write->take_positions(1, 1, last + 50)->time, last + 50);
}

TEST_P(TransactionTest, NoPositionsUnderOtherSettings) {
  auto write = begin_write();
  EXPECT_FALSE(write->take_positions(1, 2, 10).has_value());
  write.reset();
  write = begin_write();
  write->lock_settings();
  write->set_settings_version(2);
  write->commit();
  write.reset();
  write = begin_write();
  EXPECT_FALSE(write->take_positions(1, 1, 10).has_value());
  EXPECT_TRUE(write->take_positions(1, 2, 10).has_value());
}

TEST_P(TransactionTest, Restamp) {
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  for (int i = 0; i < 600; ++i) orders.push_back(plain_order(5));
  create(orders);
  for (const StoredOrder& order : orders) ids.push_back(order.id);
  const Uuid spared = ids.back();
  ids.pop_back();
  auto write = begin_write();
  write->restamp(ids, 99);
  write->commit();
  EXPECT_EQ(storage::to_micros(load(ids[0])->order->update_time()), 99);
  EXPECT_EQ(storage::to_micros(load(ids[598])->order->update_time()), 99);
  EXPECT_EQ(storage::to_micros(load(ids[0])->order->create_time()), 5);
  EXPECT_EQ(storage::to_micros(load(spared)->order->update_time()), 5);
}

TEST_P(TransactionTest, WhatHasNotChangedNeedNotBeWritten) {
  const StoredOrder before = rich_order();
  create({before});
  StoredOrder after = before;
  ++after.version;
  after.order->set_etag(std::to_string(after.version));
  after.order->set_invoice_number("another");
  after.order->set_note_count(before.order->note_count() + 1);
  *after.order->mutable_update_time() = storage::to_timestamp(1'777'000'000'000'000);
  ChangeSet changes;
  changes.updated = {&after};
  changes.states_updated = false;
  take_statements();
  save(changes);
  for (const std::string& statement : take_statements()) {
    EXPECT_EQ(statement.find("state_id"), std::string::npos) << statement;
  }
  EXPECT_TRUE(same(load(after.id)->order, after.order));
}

TEST_P(TransactionTest, AnyOrderIn) {
  create({plain_order()});
  auto write = begin_write();
  EXPECT_TRUE(write->any_order_in("new"));
  EXPECT_FALSE(write->any_order_in("fraud"));
}

TEST_P(TransactionTest, SettlesALostCommit) {
  const Uuid committed = Uuid::generate();
  ChangeSet changes;
  changes.batch_key = committed;
  save(changes);
  EXPECT_TRUE(storage_->settle_commit(committed, soon()));
  EXPECT_TRUE(storage_->settle_commit(committed, soon()));

  // What was not committed never will be.
  const Uuid lost = Uuid::generate();
  EXPECT_FALSE(storage_->settle_commit(lost, soon()));
  changes.batch_key = lost;
  EXPECT_STORAGE_ERROR(save(changes), kDuplicate);
}

TEST_P(TransactionTest, SettlesACommitThatIsStillOnItsWay) {
  for (const bool commits : {true, false}) {
    const Uuid key = Uuid::generate();
    auto write = begin_write();
    ChangeSet changes;
    changes.batch_key = key;
    write->save(changes);
    auto settled =
        std::async(std::launch::async, [&] { return storage_->settle_commit(key, soon()); });
    // SQLite has one writer: there the other waits for the session.
    if (backend() == Backend::kMariadb) wait_for_lock_wait();
    if (commits) write->commit();
    write.reset();
    EXPECT_EQ(settled.get(), commits);
  }
}

TEST_P(TransactionTest, SweepsInBounds) {
  ChangeSet changes;
  for (int i = 0; i < 1200; ++i) {
    RequestRecord record;
    record.key = random_request_key();
    changes.requests.push_back(record);
  }
  changes.now = 1000;
  save(changes);
  ChangeSet later;
  later.now = 2000;
  later.requests.emplace_back().key = random_request_key();
  save(later);
  EXPECT_EQ(storage_->sweep(1000, 100), 0);
  EXPECT_EQ(storage_->sweep(2000, 700), 701);  // and the batch
  EXPECT_EQ(storage_->sweep(2000, 700), 500);
  EXPECT_EQ(storage_->sweep(2000, 700), 0);
  EXPECT_EQ(begin_read()->find_requests(std::vector{later.requests[0].key}).size(), 1u);
}

class MariadbTransactionTest : public StorageTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbTransactionTest, testing::Values(Backend::kMariadb),
                         backend_name);

TEST_P(MariadbTransactionTest, SkipsWhatOthersHold) {
  const StoredOrder a = plain_order();
  const StoredOrder b = plain_order();
  create({a, b});
  auto first = begin_write();
  first->lock_orders({&a.id, 1}, LockMode::kWait);
  auto second = begin_write();
  const std::vector<Uuid> both{a.id, b.id};
  const auto locked = second->lock_orders(both, LockMode::kSkipLocked);
  ASSERT_EQ(locked.size(), 1u);
  EXPECT_EQ(locked[0].id, b.id);
  EXPECT_STORAGE_ERROR(second->lock_orders(both, LockMode::kWait), kLockWait);
}

TEST_P(MariadbTransactionTest, ALockShowsWhatWasCommittedMeanwhile) {
  StoredOrder order = plain_order();
  create({order});
  auto first = begin_write();
  first->lock_orders({&order.id, 1}, LockMode::kWait);
  auto locked = std::async(std::launch::async, [&] {
    auto second = begin_write();
    // An earlier read must not fix what the later ones see.
    EXPECT_EQ(second->versions({&order.id, 1}).at(0).version, 1);
    const auto versions = second->lock_orders({&order.id, 1}, LockMode::kWait);
    return std::pair(versions.at(0).version,
                     second->load_orders({&order.id, 1}).at(0)->order->labels().at("a"));
  });
  wait_for_lock_wait();
  order.version = 2;
  (*order.order->mutable_labels())["a"] = "new";
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  changes.updated = {&order};
  changes.labels_updated = {&order};
  first->save(changes);
  first->commit();
  EXPECT_EQ(locked.get(), std::pair(std::int64_t{2}, std::string("new")));
}

TEST_P(MariadbTransactionTest, ADeadlockIsAConflict) {
  const StoredOrder a = plain_order();
  const StoredOrder b = plain_order();
  create({a, b});
  auto first = begin_write();
  auto second = begin_write();
  first->lock_orders({&a.id, 1}, LockMode::kWait);
  second->lock_orders({&b.id, 1}, LockMode::kWait);
  std::atomic<int> conflicts = 0;
  const auto lock = [&](storage::WriteTransaction& write, const Uuid& id) {
    try {
      write.lock_orders({&id, 1}, LockMode::kWait);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kConflict) << error.what();
      ++conflicts;
    }
  };
  auto waiting = std::async(std::launch::async, [&] { lock(*first, b.id); });
  wait_for_lock_wait();
  lock(*second, a.id);
  second.reset();
  waiting.get();
  EXPECT_EQ(conflicts, 1);
}

TEST_P(MariadbTransactionTest, UnknownIdsBlockNobody) {
  // Gap locks would.
  create({plain_order()});
  const Uuid unknown = Uuid::generate();
  const StoredOrder later = plain_order();
  auto first = begin_write();
  EXPECT_TRUE(first->lock_orders({&unknown, 1}, LockMode::kWait).empty());
  create({later});
  EXPECT_NE(load(later.id), nullptr);
}

TEST_P(MariadbTransactionTest, ClaimsOfTwoServersCollide) {
  auto first = begin_write();
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  changes.claims_taken[{ClaimKind::kInvoiceNumber, "X"}] = {Uuid::generate(), {}};
  first->save(changes);
  auto second = std::async(std::launch::async, [&] {
    ChangeSet mine;
    mine.claims_taken[{ClaimKind::kInvoiceNumber, "X"}] = {Uuid::generate(), {}};
    EXPECT_STORAGE_ERROR(save(mine), kDuplicate);
  });
  wait_for_lock_wait();
  first->commit();
  second.get();
}

TEST_P(MariadbTransactionTest, ChangesOfDisjointOrdersDoNotWait) {
  // Deletes and upserts by key must not lock the other rows of a small table.
  StoredOrder a = rich_order();
  StoredOrder b = rich_order();
  create({a, b});
  const auto change = [](StoredOrder& order) {
    ChangeSet changes;
    changes.batch_key = Uuid::generate();
    changes.claims_released = {{ClaimKind::kInvoiceNumber, order.order->invoice_number()}};
    order.version = 2;
    order.order->set_invoice_number("new-" + order.id.to_string());
    changes.updated = {&order};
    changes.customer_updated = {&order};
    changes.labels_updated = {&order};
    changes.claims_taken[{ClaimKind::kInvoiceNumber, order.order->invoice_number()}] = {order.id,
                                                                                        {}};
    changes.notes_deleted = {{order.id, Uuid::generate()}};
    return changes;
  };
  auto first = begin_write();
  first->lock_orders({&a.id, 1}, LockMode::kWait);
  first->save(change(a));
  auto second = begin_write();
  second->lock_orders({&b.id, 1}, LockMode::kWait);
  second->save(change(b));
  second->commit();
  first->commit();
  EXPECT_EQ(load(a.id)->version, 2);
  EXPECT_EQ(load(b.id)->version, 2);
}

}  // namespace
}  // namespace orderd::test
