#include "tests/support/storage_test.h"

// What erasures read and write beside orders, and their records.

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::ErasedOrder;
using storage::ErasureRow;
using Keyset = storage::ListQuery::Keyset;

class ErasuresTest : public StorageTest {
 protected:
  static ErasureRow row(Micros start_time, const std::string& pseudonym) {
    ErasureRow row;
    row.erasure.set_erasure_id(Uuid::generate().to_string());
    row.erasure.set_actor("zoë's ':?");
    row.erasure.set_selector(pb::ERASURE_SELECTOR_EMAIL);
    row.erasure.set_pseudonym(pseudonym);
    row.erasure.set_include_open(true);
    row.erasure.set_erase_texts(true);
    *row.erasure.mutable_start_time() = storage::to_timestamp(start_time);
    row.body_hash = std::string("\0hash", 5);
    return row;
  }
  static Uuid id_of(const ErasureRow& row) { return *Uuid::parse(row.erasure.erasure_id()); }

  StoredOrder order_of(const std::string& customer_id, const std::string& email, Micros time) {
    StoredOrder order = plain_order(time);
    order.order->mutable_customer()->set_customer_id(customer_id);
    order.order->mutable_customer()->set_email(email);
    return order;
  }
  std::vector<Uuid> orders_of(const storage::CustomerSelector& customer,
                              const std::optional<Keyset>& after = std::nullopt, int limit = 10) {
    std::vector<Uuid> ids;
    for (const Keyset& key : begin_read()->list_customer_orders(customer, after, limit)) {
      ids.push_back(key.id);
    }
    return ids;
  }
};
ORDERD_ON_BOTH_DATABASES(ErasuresTest);

TEST_P(ErasuresTest, RecordsAreKeptWithTheirCounts) {
  const ErasureRow first = row(1000, "p");
  EXPECT_TRUE(same(storage_->begin_erasure(first).erasure, first.erasure));
  // Who begins it again gets the one that there is.
  ErasureRow other = row(2000, "q");
  other.erasure.set_erasure_id(first.erasure.erasure_id());
  other.body_hash = "other";
  const ErasureRow kept = storage_->begin_erasure(other);
  EXPECT_TRUE(same(kept.erasure, first.erasure));
  EXPECT_EQ(kept.body_hash, first.body_hash);

  const Uuid erasure = id_of(first);
  const Uuid a = Uuid::generate(), b = Uuid::generate(), c = Uuid::generate();
  const auto erase = [&](const Uuid& order, int emails) {
    ChangeSet changes;
    changes.erased_orders = {{erasure, order, "", emails}};
    save(changes);
  };
  erase(a, 2);
  const std::vector<ErasedOrder> skipped = {{erasure, a, "ORDER_OPEN", 0},
                                            {erasure, b, "ORDER_OPEN", 0},
                                            {erasure, c, "PAYMENT_OPEN", 0}};
  pb::Erasure now = storage_->record_erasure(erasure, skipped, std::nullopt).erasure;
  EXPECT_EQ(now.orders_erased(), 1);
  EXPECT_EQ(now.orders_skipped(), 2);
  EXPECT_EQ(now.emails_erased(), 2);
  EXPECT_FALSE(now.has_complete_time());
  erase(b, 1);
  now = storage_->record_erasure(erasure, skipped, 5000).erasure;
  EXPECT_EQ(now.orders_erased(), 2);
  EXPECT_EQ(now.orders_skipped(), 1);
  EXPECT_EQ(now.emails_erased(), 3);
  EXPECT_EQ(storage::to_micros(now.complete_time()), 5000);
  now = storage_->record_erasure(erasure, {}, 6000).erasure;
  EXPECT_EQ(storage::to_micros(now.complete_time()), 5000) << "the first counts";
  EXPECT_STORAGE_ERROR(storage_->record_erasure(Uuid::generate(), {}, 1), kInternal);

  reopen();
  EXPECT_TRUE(same(begin_read()->list_erasures("", std::nullopt, 10).at(0), now));
}

TEST_P(ErasuresTest, AreListedTheLatestFirst) {
  std::vector<std::string> ids;
  for (const auto& [time, pseudonym] :
       std::vector<std::pair<Micros, std::string>>{{10, "p"}, {20, "q"}, {20, "p"}, {30, "p"}}) {
    const ErasureRow added = row(time, pseudonym);
    storage_->begin_erasure(added);
    ids.push_back(added.erasure.erasure_id());
  }
  const auto list = [&](const std::string& pseudonym, const std::optional<Keyset>& after,
                        int limit) {
    std::vector<std::string> found;
    for (const auto& erasure : begin_read()->list_erasures(pseudonym, after, limit)) {
      found.push_back(erasure.erasure_id());
    }
    return found;
  };
  using testing::ElementsAre;
  // The ids rise.
  EXPECT_THAT(list("", std::nullopt, 10), ElementsAre(ids[3], ids[2], ids[1], ids[0]));
  EXPECT_THAT(list("", Keyset{20, *Uuid::parse(ids[2])}, 1), ElementsAre(ids[1]));
  EXPECT_THAT(list("p", std::nullopt, 2), ElementsAre(ids[3], ids[2]));
  EXPECT_THAT(list("p", Keyset{20, *Uuid::parse(ids[2])}, 2), ElementsAre(ids[0]));
  EXPECT_THAT(list("x", std::nullopt, 2), ElementsAre());
}

TEST_P(ErasuresTest, OrdersOfACustomer) {
  const std::vector<StoredOrder> orders = {order_of("C-1", "a@example.com", 30),
                                           order_of("C-1", "B@example.com", 10),
                                           order_of("C-1 ", "A@Example.com", 20),
                                           order_of("c-1", "", 40),
                                           order_of("", "", 50),
                                           order_of("C-1", "x", 30)};
  create(orders);
  using testing::ElementsAre;
  EXPECT_THAT(orders_of({"C-1", ""}), ElementsAre(orders[1].id, orders[0].id, orders[5].id));
  EXPECT_THAT(orders_of({"C-1", ""}, std::nullopt, 2), ElementsAre(orders[1].id, orders[0].id));
  EXPECT_THAT(orders_of({"C-1", ""}, Keyset{30, orders[0].id}), ElementsAre(orders[5].id));
  EXPECT_THAT(orders_of({"C-1", ""}, Keyset{10, orders[1].id}, 1), ElementsAre(orders[0].id));
  EXPECT_THAT(orders_of({"C-1 ", ""}), ElementsAre(orders[2].id));
  EXPECT_THAT(orders_of({"", "a@EXAMPLE.com"}), ElementsAre(orders[2].id, orders[0].id));
  EXPECT_THAT(orders_of({"", "a@example.com"}, Keyset{20, orders[2].id}),
              ElementsAre(orders[0].id));
}

TEST_P(ErasuresTest, RecordsOfOrdersAreLoadedAndOverwritten) {
  const std::vector<StoredOrder> orders = {plain_order(), plain_order(), plain_order()};
  create(orders);
  ChangeSet changes;
  std::vector<pb::Email> emails;
  for (const StoredOrder& order : orders) {
    for (int i = 0; i < 2; ++i) {
      pb::Note note;
      note.set_note_id(Uuid::generate().to_string());
      note.set_body("body");
      changes.notes_created.push_back({order.id, note});
      emails.push_back(rich_email(order.id));
      emails.back().set_status(pb::EMAIL_STATUS_PENDING);
      *emails.back().mutable_next_time() = storage::to_timestamp(1);
      changes.emails_created.push_back({order.id, emails.back(), "snapshot"});
      changes.events.push_back(event_row(order.id, 1 + i, 0));
      changes.events.push_back(event_row(order.id, 1 + i, 1));
    }
  }
  save(changes);
  const std::vector<Uuid> ids = {orders[0].id, orders[2].id};
  storage::OrderRecords records;
  {
    auto write = begin_write();
    write->lock_orders(ids, storage::LockMode::kWait);
    records = write->load_records(ids);
  }
  ASSERT_EQ(records.events.size(), 8u);
  ASSERT_EQ(records.notes.size(), 4u);
  ASSERT_EQ(records.emails.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t written = i < 2 ? i : i + 2;
    EXPECT_TRUE(same(records.notes[i].note, changes.notes_created[written].note));
    EXPECT_TRUE(same(records.emails[i].email, emails[written]));
  }
  for (std::size_t i = 0; i < 8; ++i) {
    const storage::EventRow& written = changes.events[i < 4 ? i : i + 4];
    const storage::EventRow& loaded = records.events[i];
    EXPECT_EQ(loaded.order_id, written.order_id);
    EXPECT_EQ(loaded.version, written.version);
    EXPECT_EQ(loaded.index, written.index);
    EXPECT_EQ(loaded.type, written.type);
    EXPECT_EQ(loaded.time, written.time);
    EXPECT_EQ(loaded.event, written.event);
  }

  ChangeSet erasure;
  pb::OrderEvent erased;
  erased.set_actor("erased");
  records.events[5].event = erased.SerializeAsString();
  erasure.events_updated = {records.events[5]};
  erasure.snapshots_erased = {{orders[2].id, *Uuid::parse(emails[5].email_id())}};
  save(erasure);
  const auto history = begin_read()->list_events(orders[2].id, std::nullopt, {}, 10);
  ASSERT_EQ(history.size(), 4u);
  EXPECT_TRUE(same(history[1].event, erased));
  EXPECT_EQ(history[2].event.SerializeAsString(), records.events[6].event);
  for (const auto& row : storage_->claim_due_emails(INT64_MAX, 1000, 100)) {
    EXPECT_EQ(row.snapshot, row.email.email_id() == emails[5].email_id() ? "" : "snapshot");
  }
}

}  // namespace
}  // namespace orderd::test
