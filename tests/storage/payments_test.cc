#include <algorithm>
#include <set>

#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::TransactionKey;
using storage::TransactionRow;

pb::Money euros(std::int64_t minor) {
  pb::Money result;
  result.set_currency_code("EUR");
  result.set_amount_minor(minor);
  return result;
}

pb::PaymentTransaction plain_transaction(const std::string& payment_id) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(Uuid::generate().to_string());
  transaction.set_payment_id(payment_id);
  return transaction;
}

Uuid id_of(const pb::PaymentTransaction& transaction) {
  return *Uuid::parse(transaction.transaction_id());
}

class PaymentsTest : public StorageTest {
 protected:
  static StoredOrder order_with(int payments) {
    StoredOrder order = plain_order();
    order.order->set_currency_code("EUR");
    for (int i = 0; i < payments; ++i) add_payment(order);
    return order;
  }
  static pb::Payment& add_payment(StoredOrder& order) {
    pb::Payment& payment = *order.order->add_payments();
    payment.set_payment_id(Uuid::generate().to_string());
    payment.set_gateway_account("acme");
    payment.set_gateway_reference(payment.payment_id());
    payment.set_status(pb::PAYMENT_STATUS_UNSYNCED);
    return payment;
  }

  void update(const StoredOrder& before, const StoredOrder& after) {
    ChangeSet changes;
    changes.payments_updated = {{&before, &after}};
    take_statements();
    save(changes);
  }
  /// How many statements wrote payments, and how many rows, since the last call.
  std::pair<int, int> payment_writes() {
    std::pair<int, int> result;
    for (const std::string& statement : take_statements()) {
      if (!statement.starts_with("INSERT INTO order_payments")) continue;
      ++result.first;
      result.second += 1;
      for (auto at = statement.find("),("); at != std::string::npos;
           at = statement.find("),(", at + 1)) {
        ++result.second;
      }
    }
    return result;
  }
};
ORDERD_ON_BOTH_DATABASES(PaymentsTest);

TEST_P(PaymentsTest, AreKeptWithEverythingInThem) {
  const StoredOrder order = rich_order();
  create({order});
  reopen();
  EXPECT_TRUE(same(load(order.id)->order, order.order));
  EXPECT_EQ(load(order.id)->order->payments(2).open_transactions_size(), 3);
  EXPECT_FALSE(load(order.id)->order->payments(0).has_capabilities());
  EXPECT_TRUE(load(order.id)->order->payments(1).has_capabilities());
}

TEST_P(PaymentsTest, EveryFieldCanBeChangedAndCleared) {
  const StoredOrder plain = order_with(3);
  create({plain});
  StoredOrder rich = plain;
  for (int i = 0; i < 3; ++i) {
    const pb::Payment sample = rich_order().order->payments(i);
    rich.order->mutable_payments(i)->MergeFrom(sample);
  }
  update(plain, rich);
  EXPECT_TRUE(same(load(plain.id)->order, rich.order));
  update(rich, plain);
  EXPECT_TRUE(same(load(plain.id)->order, plain.order));
}

TEST_P(PaymentsTest, OnlyRowsThatDifferAreWritten) {
  const StoredOrder before = order_with(4);
  create({before});
  update(before, before);
  EXPECT_EQ(payment_writes(), std::pair(0, 0));

  StoredOrder after = before;
  after.order->mutable_payments(1)->add_open_transactions();
  after.order->mutable_payments(3)->mutable_capabilities();
  add_payment(after);
  update(before, after);
  EXPECT_EQ(payment_writes(), std::pair(1, 3));
  EXPECT_TRUE(same(load(before.id)->order, after.order));

  // What `before` says is not compared with the database.
  StoredOrder elsewhere = after;
  elsewhere.order->mutable_payments(0)->set_description("changed by nobody");
  StoredOrder next = elsewhere;
  next.order->mutable_payments(4)->set_revision(1);
  update(elsewhere, next);
  EXPECT_EQ(payment_writes(), std::pair(1, 1));
  next.order->mutable_payments(0)->clear_description();
  EXPECT_TRUE(same(load(before.id)->order, next.order));
}

TEST_P(PaymentsTest, AnOrderGetsItsCurrencyFromItsFirstPayment) {
  const StoredOrder other = order_with(1);
  StoredOrder before = plain_order();
  create({before, other});
  StoredOrder after = before;
  after.order->set_currency_code("JPY");
  pb::Money& authorized = *add_payment(after).mutable_authorized();
  authorized.set_currency_code("JPY");
  authorized.set_amount_minor(7);
  update(before, after);
  EXPECT_TRUE(same(load(before.id)->order, after.order));
  EXPECT_TRUE(same(load(other.id)->order, other.order));
}

TEST_P(PaymentsTest, AreNeverRemoved) {
  const StoredOrder before = order_with(2);
  create({before});
  StoredOrder after = before;
  after.order->mutable_payments()->RemoveLast();
  EXPECT_STORAGE_ERROR(update(before, after), kInternal);
  EXPECT_TRUE(same(load(before.id)->order, before.order));
}

TEST_P(PaymentsTest, TheLedgerKeepsEverything) {
  const StoredOrder order = order_with(1);
  create({order});
  pb::PaymentTransaction rich = rich_transaction(order.order->payments(0).payment_id());
  pb::PaymentTransaction poor = plain_transaction("");
  ChangeSet changes;
  changes.transactions_created = {{order.id, rich}, {order.id, poor}};
  save(changes);
  reopen();
  const std::vector<TransactionKey> keys{
      {order.id, id_of(rich)},
      {order.id, id_of(poor)},
      {order.id, Uuid::generate()},
      {Uuid::generate(), id_of(rich)},  // another order's
  };
  auto loaded = begin_read()->load_transactions(keys);
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_TRUE(same(loaded.at(keys[0]), rich));
  EXPECT_TRUE(same(loaded.at(keys[1]), poor));

  // Each becomes what the other was.
  std::string id = rich.transaction_id();
  std::swap(rich, poor);
  std::swap(*rich.mutable_transaction_id(), *poor.mutable_transaction_id());
  ASSERT_EQ(rich.transaction_id(), id);
  ChangeSet second;
  second.transactions_updated = {{order.id, poor}, {order.id, rich}};
  save(second);
  loaded = begin_write()->load_transactions(keys);
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_TRUE(same(loaded.at(keys[0]), rich));
  EXPECT_TRUE(same(loaded.at(keys[1]), poor));

  // An amount of 0 is not none.
  *rich.mutable_amount() = euros(0);
  ChangeSet third;
  third.transactions_updated = {{order.id, rich}};
  save(third);
  EXPECT_TRUE(same(begin_read()->load_transactions(keys).at(keys[0]), rich));
}

TEST_P(PaymentsTest, ATransactionIsInsertedOnce) {
  const StoredOrder order = order_with(1);
  create({order});
  ChangeSet changes;
  changes.transactions_created = {{order.id, plain_transaction("p")}};
  save(changes);
  EXPECT_STORAGE_ERROR(save(changes), kDuplicate);
  changes.transactions_created[0].transaction.set_transaction_id("no UUID");
  EXPECT_STORAGE_ERROR(save(changes), kInternal);
}

TEST_P(PaymentsTest, LedgersComeByOrderAndOldestFirst) {
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  std::vector<TransactionRow> rows;
  for (int i = 0; i < 700; ++i) {
    orders.push_back(order_with(0));
    ids.push_back(orders.back().id);
  }
  create(orders);
  for (int round = 0; round < 3; ++round) {
    for (const Uuid& id : ids) {
      if (id != ids[5]) rows.push_back({id, plain_transaction(std::to_string(round % 2))});
    }
  }
  ChangeSet changes;
  changes.transactions_created = rows;
  std::ranges::reverse(changes.transactions_created);
  save(changes);
  std::ranges::stable_sort(rows, {}, &TransactionRow::order_id);

  std::vector<Uuid> asked = ids;
  std::ranges::reverse(asked);
  asked.push_back(Uuid::generate());  // unknown
  // All again, an odd number of them first: wherever statements are cut, the same id may be on both
  // sides.
  asked.push_back(ids[0]);
  asked.insert(asked.end(), ids.begin(), ids.end());
  const auto loaded = begin_read()->load_ledgers(asked);
  ASSERT_EQ(loaded.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(loaded[i].order_id, rows[i].order_id);
    ASSERT_TRUE(same(loaded[i].transaction, rows[i].transaction));
  }
  EXPECT_EQ(begin_write()->load_ledgers({&ids[7], 1}).size(), 3u);
  EXPECT_TRUE(begin_read()->load_ledgers({&ids[5], 1}).empty());
}

TEST_P(PaymentsTest, TransactionsAreListedInPages) {
  const StoredOrder order = order_with(0);
  const StoredOrder other = order_with(0);
  create({order, other});
  ChangeSet changes;
  std::map<std::string, std::vector<std::string>> expected;
  for (int i = 0; i < 25; ++i) {
    const std::string payment_id = i % 3 == 0 ? "A" : i % 3 == 1 ? "a" : "A ";
    changes.transactions_created.push_back({order.id, plain_transaction(payment_id)});
    const std::string& id = changes.transactions_created.back().transaction.transaction_id();
    expected[payment_id].push_back(id);
    expected[""].push_back(id);
  }
  changes.transactions_created.push_back({other.id, plain_transaction("A")});
  std::ranges::reverse(changes.transactions_created);
  save(changes);
  auto read = begin_read();
  for (const auto& [payment_id, ids] : expected) {
    for (const int limit : {1, 4, 100}) {
      std::vector<std::string> listed;
      std::optional<Uuid> after;
      for (;;) {
        const auto page = read->list_transactions(order.id, payment_id, after, limit);
        ASSERT_LE(page.size(), static_cast<std::size_t>(limit));
        if (page.empty()) break;
        for (const auto& transaction : page) listed.push_back(transaction.transaction_id());
        after = id_of(page.back());
      }
      EXPECT_EQ(listed, ids) << "payment '" << payment_id << "', pages of " << limit;
    }
  }
  EXPECT_TRUE(read->list_transactions(Uuid::generate(), "", std::nullopt, 10).empty());
}

TEST_P(PaymentsTest, RequestsThatMovedMoneyAreKeptForEver) {
  RequestRecord swept;
  swept.key = random_request_key();
  RequestRecord kept;
  kept.key = random_request_key();
  kept.kept_for_ever = true;
  kept.outcome.set_transaction_id("t");
  ChangeSet changes;
  changes.now = 1000;
  changes.requests = {swept, kept};
  save(changes);
  {
    auto write = begin_write();
    kept.key = random_request_key();
    write->save_requests(Uuid::generate(), 1000, {&kept, 1});
    write->commit();
  }
  const std::vector<RequestKey> keys{swept.key, changes.requests[1].key, kept.key};
  for (const RequestRecord& record : begin_read()->find_requests(keys)) {
    EXPECT_EQ(record.kept_for_ever, record.key != swept.key);
  }
  // One request and two batches.
  EXPECT_EQ(storage_->sweep(INT64_MAX, 100), 3);
  std::set<RequestKey> left;
  for (const RequestRecord& record : begin_read()->find_requests(keys)) {
    left.insert(record.key);
    EXPECT_EQ(record.outcome.transaction_id(), "t");
  }
  EXPECT_EQ(left, std::set({changes.requests[1].key, kept.key}));
}

}  // namespace
}  // namespace orderd::test
