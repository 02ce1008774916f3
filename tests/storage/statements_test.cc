#include <deque>

#include "tests/support/storage_test.h"

// How many statements things cost must not depend on how many orders they are about.

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::ListQuery;

class StatementsTest : public StorageTest {
 protected:
  template <typename F>
  std::size_t statements_of(F work) {
    take_statements();
    work();
    return take_statements().size();
  }
};
ORDERD_ON_BOTH_DATABASES(StatementsTest);

/// Past the times of all earlier changes, as a clock mostly is.
constexpr Micros kLate = 1'800'000'000'000'000;

StoredOrder full_order(int i) {
  StoredOrder stored = plain_order(i);
  pb::Order& order = stored.order;
  order.set_invoice_number("I" + std::to_string(i));
  order.mutable_customer()->set_email("a@x.de");
  order.mutable_billing_address()->set_city("B");
  order.mutable_shipping_address()->set_city("S");
  order.add_items()->set_item_id("1");
  order.mutable_totals()->add_adjustments()->set_label("fee");
  (*order.mutable_labels())["a"] = "b";
  order.add_payments()->set_gateway_reference(stored.id.to_string());
  order.mutable_payments(0)->set_gateway_account("external");
  pb::Shipment& shipment = *order.add_shipments();
  shipment.set_shipment_id(Uuid::generate().to_string());
  shipment.set_method_id("standard");
  shipment.add_tracking_numbers()->set_number("T" + std::to_string(i));
  pb::ShipmentLine& line = *shipment.add_lines();
  line.set_line_id(Uuid::generate().to_string());
  line.set_item_id("1");
  line.set_quantity(1);
  return stored;
}

pb::Email due_email() {
  pb::Email email;
  email.set_email_id(Uuid::generate().to_string());
  email.set_status(pb::EMAIL_STATUS_PENDING);
  *email.mutable_next_time() = storage::to_timestamp(1);
  return email;
}

/// A batch of one kind of everything, `count` times.
/// `before` keeps the orders as they were.
ChangeSet everything(std::vector<StoredOrder>& created, std::vector<StoredOrder>& updated,
                     std::deque<StoredOrder>& before) {
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  for (StoredOrder& order : created) {
    changes.created.push_back(&order);
    changes.claims_taken.merge(claims_of(order));
    pb::Note note;
    note.set_note_id(Uuid::generate().to_string());
    changes.notes_created.push_back({order.id, note});
    changes.requests.emplace_back().key = random_request_key();
    changes.events.push_back(event_row(order.id, 1, 0));
    pb::PaymentTransaction transaction;
    transaction.set_transaction_id(Uuid::generate().to_string());
    changes.transactions_created.push_back({order.id, transaction});
    changes.transactions_updated.push_back({order.id, transaction});
    changes.schedule.push_back({order.id, "external", {"1", 1, 1}});
    const pb::Email email = due_email();
    changes.emails_created.push_back({order.id, email, "snapshot"});
    changes.emails_updated.push_back({order.id, email, {}});
  }
  for (StoredOrder& order : updated) {
    changes.claims_released.push_back({ClaimKind::kInvoiceNumber, order.order->invoice_number()});
    ++order.version;
    order.order->set_invoice_number("J" + order.id.to_string());
    changes.updated.push_back(&order);
    changes.customer_updated.push_back(&order);
    changes.labels_updated.push_back(&order);
    before.push_back(order);
    pb::Shipment& shipment = *order.order->mutable_shipments(0);
    shipment.set_shipment_id(Uuid::generate().to_string());
    shipment.add_tracking_numbers()->set_number("another");
    shipment.mutable_lines(0)->set_line_id(Uuid::generate().to_string());
    changes.shipments_updated.push_back({&before.back(), &order});
    order.order->set_currency_code("EUR");
    order.order->mutable_payments(0)->set_attention(true);
    order.order->add_payments()->set_gateway_reference(Uuid::generate().to_string());
    changes.payments_updated.push_back({&before.back(), &order});
    changes.schedule.push_back({order.id, "external", {"1", std::nullopt, std::nullopt}});
    changes.claims_taken[{ClaimKind::kInvoiceNumber, order.order->invoice_number()}] = {order.id,
                                                                                        {}};
    changes.notes_deleted.push_back({order.id, Uuid::generate()});
    changes.events.push_back(event_row(order.id, order.version, 0));
    changes.events_updated.push_back(event_row(order.id, order.version, 0));
    changes.snapshots_erased.push_back({order.id, Uuid::generate()});
    changes.erased_orders.push_back({changes.batch_key, order.id, {}, 1});
  }
  return changes;
}

TEST_P(StatementsTest, ABatchOfManyCostsWhatABatchOfOneCosts) {
  std::size_t counts[2];
  int number = 0;
  for (const int size : {1, 240}) {
    std::vector<StoredOrder> existing;
    std::vector<StoredOrder> created;
    for (int i = 0; i < size; ++i) existing.push_back(full_order(10'000 * size + i));
    for (int i = 0; i < size; ++i) created.push_back(full_order(20'000 * size + 5000 + i));
    create(existing);
    std::vector<Uuid> ids;
    for (const StoredOrder& order : existing) ids.push_back(order.id);
    std::deque<StoredOrder> before;
    const ChangeSet changes = everything(created, existing, before);
    counts[number++] = statements_of([&] {
      auto write = begin_write();
      write->lock_orders(ids, storage::LockMode::kWait);
      write->load_orders(ids);
      write->load_records(ids);
      write->save(changes);
      const auto positions = write->take_positions(size, 1, kLate + size);
      std::vector<storage::FeedRow> rows(static_cast<std::size_t>(size));
      write->append_feed(positions->first, rows);
      write->commit();
    });
  }
  EXPECT_EQ(counts[0], counts[1]);
}

TEST_P(StatementsTest, AnUpdateOfInvoicesIsFewStatements) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < 64; ++i) orders.push_back(full_order(i));
  create(orders);
  std::vector<Uuid> ids;
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  for (StoredOrder& order : orders) {
    ids.push_back(order.id);
    changes.claims_released.push_back({ClaimKind::kInvoiceNumber, order.order->invoice_number()});
    order.order->set_invoice_number("J" + order.id.to_string());
    changes.updated.push_back(&order);
    changes.claims_taken[{ClaimKind::kInvoiceNumber, order.order->invoice_number()}] = {order.id,
                                                                                        {}};
    changes.events.push_back(event_row(order.id, 2, 0));
  }
  begin_write();
  // BEGIN, lock, batch key, heads, two of claims, events, position (SQLite: two), feed, COMMIT.
  EXPECT_EQ(statements_of([&] {
              auto write = begin_write();
              write->lock_orders(ids, storage::LockMode::kWait);
              write->save(changes);
              const auto positions = write->take_positions(64, 1, kLate);
              std::vector<storage::FeedRow> rows(64);
              write->append_feed(positions->first, rows);
              write->commit();
            }),
            backend() == Backend::kSqlite ? 11u : 10u);
}

TEST_P(StatementsTest, ReadsOfManyCostWhatAReadOfOneCosts) {
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  for (int i = 0; i < 500; ++i) {
    orders.push_back(full_order(i));
    ids.push_back(orders.back().id);
  }
  create(orders);
  auto read = begin_read();
  const auto load = [&](std::size_t count) {
    return statements_of([&] { read->load_orders(std::span(ids).first(count)); });
  };
  EXPECT_EQ(load(1), 9u);
  EXPECT_EQ(load(500), 9u);
  EXPECT_EQ(statements_of([&] { read->versions(ids); }), 1u);
  EXPECT_EQ(statements_of([&] { read->load_ledgers(ids); }), 1u);
  std::vector<storage::TransactionKey> keys;
  for (const Uuid& id : ids) keys.push_back({id, id});
  EXPECT_EQ(statements_of([&] { read->load_transactions(keys); }), 1u);
  std::vector<storage::EmailKey> emails;
  for (const Uuid& id : ids) emails.push_back({id, id});
  EXPECT_EQ(statements_of([&] { read->load_emails(emails); }), 1u);

  ListQuery query;
  const auto list = [&](int limit) {
    query.limit = limit;
    return statements_of([&] { read->list_orders(query); });
  };
  EXPECT_EQ(list(1), 3u);
  EXPECT_EQ(list(400), 3u);
  // A residual condition costs one more, for the end of the budget.
  query.filter.mutable_label()->set_key("a");
  query.filter.set_shipment_method_id("standard");
  query.filter.add_delivery_state_ids("");
  EXPECT_EQ(list(1), 4u);
  EXPECT_EQ(list(400), 4u);
  // A tracking number is counted first, and needs no end of the budget.
  query.filter.set_tracking_number("T7");
  EXPECT_EQ(list(1), 4u);
  EXPECT_EQ(list(400), 4u);
}

TEST_P(StatementsTest, TheQueueIsServedInBulk) {
  const Uuid order_id = Uuid::generate();
  ChangeSet changes;
  for (int i = 0; i < 900; ++i) {
    changes.schedule.push_back({order_id, "a", {std::to_string(i), 1, std::nullopt}});
  }
  save(changes);
  const std::vector<std::string> accounts{"a", "b"};
  for (const int limit : {1, 400}) {
    std::vector<storage::DueCheck> claimed;
    // BEGIN, one of each account, UPDATE, COMMIT.
    EXPECT_EQ(
        statements_of([&] { claimed = storage_->claim_due_checks(accounts, 1, 1000, limit); }), 5u);
    ASSERT_EQ(claimed.size(), static_cast<std::size_t>(limit));
    std::vector<storage::Postponement> postponements;
    for (const auto& check : claimed) {
      postponements.push_back({check.order_id, check.payment_id, 1000, 2000});
    }
    // BEGIN, SELECT, INSERT, COMMIT.
    EXPECT_EQ(statements_of([&] { storage_->postpone_checks(postponements); }), 4u);
  }
  EXPECT_EQ(statements_of([&] { storage_->claim_due_checks({}, 1, 1000, 10); }), 0u);
  EXPECT_EQ(statements_of([&] { storage_->postpone_checks({}); }), 0u);
}

TEST_P(StatementsTest, TheOutboxIsServedInBulk) {
  ChangeSet changes;
  for (int i = 0; i < 450; ++i) {
    changes.emails_created.push_back({Uuid::generate(), due_email(), "snapshot"});
  }
  save(changes);
  for (const int limit : {1, 400}) {
    std::size_t claimed = 0;
    // BEGIN, SELECT, UPDATE, COMMIT.
    EXPECT_EQ(statements_of([&] { claimed = storage_->claim_due_emails(1, 1000, limit).size(); }),
              4u);
    EXPECT_EQ(claimed, static_cast<std::size_t>(limit));
  }
}

TEST_P(StatementsTest, AReadOfOneStatementNeedsNoTransaction) {
  const StoredOrder order = plain_order();
  create({order});
  begin_read();
  EXPECT_EQ(statements_of([&] { storage_->begin_read(soon())->versions({&order.id, 1}); }), 1u);
}

TEST_P(StatementsTest, AreBoundedInBytes) {
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  const Uuid id = Uuid::generate();
  for (int i = 0; i < 5; ++i) {
    changes.events.push_back(event_row(id, 1, i, std::string(i == 2 ? 3'000'000 : 200'000, 'x')));
  }
  take_statements();
  save(changes);
  std::size_t events = 0;
  for (const std::string& statement : take_statements()) {
    if (!statement.starts_with("INSERT INTO order_events")) continue;
    ++events;
    // One row may be larger than that by itself.
    if (statement.size() > 1'100'000) {
      EXPECT_GT(statement.size(), 6'000'000u);
    }
  }
  EXPECT_EQ(events, 3u);
}

TEST_P(StatementsTest, ContainNoColonAndNoQuestionMark) {
  std::vector<StoredOrder> orders{rich_order()};
  std::vector<StoredOrder> existing{rich_order()};
  create(existing);
  std::deque<StoredOrder> before;
  ChangeSet changes = everything(orders, existing, before);
  changes.emails_created.push_back({orders[0].id, rich_email(orders[0].id), ":?"});
  save(changes);
  begin_read()->load_orders({&orders[0].id, 1});
  for (const std::string& statement : take_statements()) {
    EXPECT_EQ(statement.find_first_of(":?\\\""), std::string::npos) << statement.substr(0, 300);
  }
}

}  // namespace
}  // namespace orderd::test
