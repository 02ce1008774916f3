#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::Error;

class RoundTripTest : public StorageTest {};
ORDERD_ON_BOTH_DATABASES(RoundTripTest);

TEST_P(RoundTripTest, ARichOrder) {
  const StoredOrder order = rich_order();
  create({order});
  const OrderPtr loaded = load(order.id);
  ASSERT_NE(loaded, nullptr);
  EXPECT_EQ(loaded->id, order.id);
  EXPECT_EQ(loaded->version, 1);
  EXPECT_TRUE(same(loaded->order, order.order));
}

TEST_P(RoundTripTest, AnOrderWithNothingInIt) {
  StoredOrder order = plain_order();
  order.order->mutable_customer();
  order.order->mutable_shipping_address();
  create({order});
  EXPECT_TRUE(same(load(order.id)->order, order.order));
}

TEST_P(RoundTripTest, TellsUnsetFromZero) {
  StoredOrder order = plain_order();
  order.order->set_currency_code("JPY");
  order.order->mutable_totals()->mutable_total()->set_currency_code("JPY");
  order.order->add_items()->set_item_id("1");
  order.order->mutable_items(0)->mutable_tax()->set_currency_code("JPY");
  create({order});
  EXPECT_TRUE(same(load(order.id)->order, order.order));
}

TEST_P(RoundTripTest, ManyOrdersAtOnce) {
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  for (int i = 0; i < 1100; ++i) {
    orders.push_back(plain_order(i));
    pb::Item& item = *orders.back().order->add_items();
    item.set_item_id("1");
    item.set_sku("sku-" + std::to_string(i));
    (*orders.back().order->mutable_labels())["n"] = std::to_string(i);
    ids.push_back(orders.back().id);
  }
  create(orders);
  ids.push_back(Uuid::generate());  // unknown
  ids.push_back(ids.front());       // again
  const auto loaded = begin_read()->load_orders(ids);
  ASSERT_GE(loaded.size(), orders.size());
  std::map<Uuid, OrderPtr> by_id;
  for (const OrderPtr& order : loaded) by_id[order->id] = order;
  ASSERT_EQ(by_id.size(), orders.size());
  for (const StoredOrder& order : orders) {
    ASSERT_TRUE(same(by_id.at(order.id)->order, order.order));
  }
  EXPECT_EQ(begin_read()->versions(ids).size(), loaded.size());
}

TEST_P(RoundTripTest, UpdatesOfEveryPart) {
  StoredOrder order = rich_order();
  const StoredOrder other = rich_order();
  create({order, other});

  const std::vector<Claim> released{{ClaimKind::kInvoiceNumber, order.order->invoice_number()}};
  order.version = 2;
  order.order->set_etag("2");
  order.order->set_state_id("completed");
  order.order->set_invoice_number("I-2");
  order.order->set_note_count(7);
  order.order->clear_cancellation();
  order.order->mutable_customer()->set_email("new@example.org");
  order.order->clear_billing_address();
  order.order->mutable_shipping_address()->set_city("Berlin");
  order.order->clear_labels();
  (*order.order->mutable_labels())["a'b"] = "c:d";
  *order.order->mutable_update_time() = storage::to_timestamp(1'800'000'000'000'000);

  ChangeSet changes;
  changes.updated = {&order};
  changes.customer_updated = {&order};
  changes.labels_updated = {&order};
  changes.claims_released = released;
  changes.claims_taken[{ClaimKind::kInvoiceNumber, "I-2"}] = {order.id, {}};
  save(changes);
  EXPECT_TRUE(same(load(order.id)->order, order.order));
  EXPECT_TRUE(same(load(other.id)->order, other.order));

  // Only the head: customer and labels stay though the order given has others.
  StoredOrder head = order;
  head.version = 3;
  head.order->set_etag("3");
  head.order->clear_labels();
  head.order->mutable_shipping_address()->set_city("Bonn");
  head.order->set_state_id("fraud");
  ChangeSet second;
  second.updated = {&head};
  save(second);
  order.order->set_etag("3");
  order.order->set_state_id("fraud");
  EXPECT_TRUE(same(load(order.id)->order, order.order));
}

TEST_P(RoundTripTest, ACancellation) {
  const auto listed = [&](const StoredOrder& order) {
    storage::ListQuery query;
    query.filter.set_order_number(order.order->order_number());
    const auto page = begin_read()->list_orders(query);
    EXPECT_EQ(page.orders.size(), 1u);
    return page.orders.empty() ? pb::Cancellation() : page.orders[0]->order->cancellation();
  };
  const pb::Cancellation rich = rich_order().order->cancellation();
  StoredOrder order = plain_order();
  const StoredOrder other = rich_order();
  create({order, other});
  EXPECT_TRUE(same(listed(other), other.order->cancellation()));
  const auto update = [&](bool states) {
    storage::ChangeSet changes;
    changes.updated = {&order};
    changes.states_updated = states;
    save(changes);
  };
  const auto expect_stored = [&](const std::string& what) {
    EXPECT_TRUE(same(load(order.id)->order->cancellation(), order.order->cancellation())) << what;
    EXPECT_TRUE(same(listed(order), order.order->cancellation())) << what;
    EXPECT_EQ(load(order.id)->order->has_cancellation(), order.order->has_cancellation()) << what;
  };
  *order.order->mutable_cancellation() = rich;
  update(true);
  expect_stored("all that it can have");

  // Without the states, none of it is written.
  order.order->mutable_cancellation()->mutable_legs()->RemoveLast();
  update(false);
  EXPECT_TRUE(same(load(order.id)->order->cancellation(), rich));
  update(true);
  expect_stored("a leg less");

  const auto* descriptor = pb::Cancellation::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    *order.order->mutable_cancellation() = rich;
    rich.GetReflection()->ClearField(order.order->mutable_cancellation(), descriptor->field(i));
    update(true);
    expect_stored("without " + descriptor->field(i)->name());
  }
  order.order->mutable_cancellation()->Clear();
  update(true);
  expect_stored("an empty one");
  order.order->clear_cancellation();
  update(true);
  expect_stored("none");
  EXPECT_TRUE(same(load(other.id)->order, other.order));
}

TEST_P(RoundTripTest, Notes) {
  const StoredOrder order = plain_order();
  const StoredOrder other = plain_order();
  ChangeSet changes;
  changes.created = {&order, &other};
  std::vector<storage::NoteRow> rows;
  for (int i = 0; i < 700; ++i) {
    pb::Note note;
    note.set_note_id(Uuid::generate().to_string());
    note.set_author("ann'");
    note.set_body(i == 0 ? std::string(10'000, '\'') : "note: " + std::to_string(i));
    if (i == 1) {
      note.clear_body();
      for (int c = 0; c < 10'000; ++c) note.mutable_body()->append("\U0001F600");
    }
    note.set_visibility(pb::NOTE_VISIBILITY_CUSTOMER);
    *note.mutable_create_time() = storage::to_timestamp(i);
    if (i % 2 == 0) *note.mutable_update_time() = storage::to_timestamp(i + 1);
    rows.push_back({i == 699 ? other.id : order.id, note});
  }
  changes.notes_created = rows;
  save(changes);

  // By key, all of them.
  std::vector<storage::NoteKey> keys;
  for (const auto& row : rows) keys.push_back({row.order_id, *Uuid::parse(row.note.note_id())});
  keys.push_back({order.id, Uuid::generate()});
  keys.push_back({order.id, *Uuid::parse(rows[699].note.note_id())});  // another order's note
  const auto loaded = begin_read()->load_notes(keys);
  ASSERT_EQ(loaded.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(same(loaded.at(keys[i]), rows[i].note));
  }

  // In pages, oldest first.
  std::vector<pb::Note> paged;
  std::optional<Uuid> after;
  for (;;) {
    const auto page = begin_read()->list_notes(order.id, after, 100);
    if (page.empty()) break;
    paged.insert(paged.end(), page.begin(), page.end());
    after = Uuid::parse(page.back().note_id());
  }
  ASSERT_EQ(paged.size(), 699u);
  for (std::size_t i = 0; i < paged.size(); ++i) ASSERT_TRUE(same(paged[i], rows[i].note));

  // Changed and deleted.
  ChangeSet second;
  pb::Note changed = rows[5].note;
  changed.set_body("changed");
  second.notes_updated = {{order.id, changed}};
  second.notes_deleted = {{order.id, *Uuid::parse(rows[6].note.note_id())}};
  save(second);
  const auto again = begin_read()->load_notes(keys);
  EXPECT_EQ(again.size(), rows.size() - 1);
  EXPECT_TRUE(same(again.at(keys[5]), changed));
  EXPECT_FALSE(again.contains(keys[6]));
}

TEST_P(RoundTripTest, Requests) {
  std::vector<RequestRecord> records(600);
  for (std::size_t i = 0; i < records.size(); ++i) {
    RequestRecord& record = records[i];
    record.key = random_request_key();
    // Every byte, NUL first.
    record.body_hash.resize(32);
    for (std::size_t b = 0; b < 32; ++b) record.body_hash[b] = static_cast<char>(b + i);
    if (i % 2 == 0) record.order_id = Uuid::generate();
    record.version = static_cast<std::int64_t>(i) << 40;
    record.outcome.set_note_id(std::string("a\0b", 3));
  }
  ChangeSet changes;
  changes.requests = records;
  save(changes);
  std::vector<RequestKey> keys{random_request_key()};
  for (const RequestRecord& record : records) keys.push_back(record.key);
  auto found = begin_read()->find_requests(keys);
  ASSERT_EQ(found.size(), records.size());
  std::ranges::sort(found, {}, &RequestRecord::key);
  std::ranges::sort(records, {}, &RequestRecord::key);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].key, records[i].key);
    EXPECT_EQ(found[i].body_hash, records[i].body_hash);
    EXPECT_EQ(found[i].order_id, records[i].order_id);
    EXPECT_EQ(found[i].version, records[i].version);
    EXPECT_TRUE(same(found[i].outcome, records[i].outcome));
  }
  ChangeSet again;
  again.requests = {records[0]};
  EXPECT_STORAGE_ERROR(save(again), kDuplicate);
}

TEST_P(RoundTripTest, Settings) {
  const Settings initial = begin_read()->load_settings();
  EXPECT_EQ(initial.version, 1);
  ASSERT_EQ(initial.states.size(), 6u);
  EXPECT_TRUE(initial.states.at("new").initial());
  EXPECT_FALSE(initial.states.at("processing").has_enterable_from());
  const auto& from = initial.states.at("suspended").enterable_from().state_ids();
  EXPECT_THAT(from, testing::ElementsAre("processing", "fraud"));
  EXPECT_EQ(initial.states.at("canceled").category(), pb::STATE_CATEGORY_CANCELED);
  EXPECT_TRUE(initial.states.at("canceled").final());
  for (const auto& [id, state] : initial.states) {
    EXPECT_EQ(state.state_id(), id);
    EXPECT_FALSE(state.has_delete_time());
  }

  pb::OrderState packed;
  packed.set_state_id("packed");
  packed.set_display_name("Packed: 'yes' \U0001F600");
  packed.set_category(pb::STATE_CATEGORY_HELD);
  packed.set_allows_cancel(true);
  packed.mutable_enterable_from();
  packed.set_position(-5);
  pb::OrderState fraud = initial.states.at("fraud");
  *fraud.mutable_delete_time() = storage::to_timestamp(12345);

  ASSERT_EQ(initial.delivery_states.size(), 6u);
  EXPECT_TRUE(initial.delivery_states.at("pending").initial());
  EXPECT_TRUE(initial.delivery_states.at("pending").has_enterable_from());
  EXPECT_TRUE(initial.delivery_states.at("pending").enterable_from().state_ids().empty());
  EXPECT_FALSE(initial.delivery_states.at("pending").allows_tracking());
  EXPECT_THAT(initial.delivery_states.at("canceled").enterable_from().state_ids(),
              testing::ElementsAre("pending", "confirmed"));
  EXPECT_EQ(initial.delivery_states.at("canceled").category(), pb::DELIVERY_CATEGORY_CANCELED);
  EXPECT_TRUE(initial.delivery_states.at("canceled").final());
  EXPECT_EQ(initial.delivery_states.at("delivered").category(), pb::DELIVERY_CATEGORY_DELIVERED);
  EXPECT_TRUE(initial.delivery_states.at("delivered").allows_tracking());
  EXPECT_EQ(initial.delivery_states.at("returned").position(), 50);
  for (const auto& [id, state] : initial.delivery_states) {
    EXPECT_EQ(state.delivery_state_id(), id);
    EXPECT_FALSE(state.has_delete_time());
  }
  ASSERT_EQ(initial.methods.size(), 1u);
  EXPECT_EQ(initial.methods.at("standard").display_name(), "Standard");
  EXPECT_TRUE(initial.methods.at("standard").enabled());

  pb::DeliveryState lost;
  lost.set_delivery_state_id("lost");
  lost.set_display_name("Lost: 'yes' \U0001F600");
  lost.set_category(pb::DELIVERY_CATEGORY_RETURNED);
  lost.set_allows_tracking(true);
  lost.set_final(true);
  lost.set_position(INT32_MIN);
  pb::DeliveryState returned = initial.delivery_states.at("returned");
  returned.clear_enterable_from();
  *returned.mutable_delete_time() = storage::to_timestamp(1);
  pb::ShipmentMethod express;
  express.set_method_id("express");
  express.set_display_name("Express \\ ?");
  express.set_carrier(std::string(255, '\''));
  express.set_tracking_url_template("https://x.example/?n={tracking_number}&a=" +
                                    std::string(900, '"'));
  express.set_position(7);
  pb::ShipmentMethod standard = initial.methods.at("standard");
  standard.set_enabled(false);
  *standard.mutable_delete_time() = storage::to_timestamp(2);
  {
    auto write = begin_write();
    const Settings locked = write->lock_settings();
    EXPECT_EQ(locked.version, 1);
    EXPECT_EQ(locked.states.size(), 6u);
    EXPECT_EQ(locked.delivery_states.size(), 6u);
    EXPECT_EQ(locked.methods.size(), 1u);
    write->save_order_state(packed);
    write->save_order_state(fraud);
    write->save_delivery_state(lost);
    write->save_delivery_state(returned);
    write->save_shipment_method(express);
    write->save_shipment_method(standard);
    write->set_settings_version(2);
    RequestRecord record;
    record.key = random_request_key();
    write->save_requests(Uuid::generate(), 5, {&record, 1});
    write->commit();
  }
  reopen();
  const Settings after = begin_read()->load_settings();
  EXPECT_EQ(after.version, 2);
  EXPECT_EQ(begin_read()->settings_version(), 2);
  ASSERT_EQ(after.states.size(), 7u);
  EXPECT_TRUE(same(after.states.at("packed"), packed));
  EXPECT_TRUE(same(after.states.at("fraud"), fraud));
  EXPECT_EQ(after.live_state("fraud"), nullptr);
  ASSERT_EQ(after.delivery_states.size(), 7u);
  EXPECT_TRUE(same(after.delivery_states.at("lost"), lost));
  EXPECT_TRUE(same(after.delivery_states.at("returned"), returned));
  ASSERT_EQ(after.methods.size(), 2u);
  EXPECT_TRUE(same(after.methods.at("express"), express));
  EXPECT_TRUE(same(after.methods.at("standard"), standard));
}

TEST_P(RoundTripTest, TheSecretStays) {
  const std::string secret = storage_->secret();
  EXPECT_EQ(secret.size(), 32u);
  reopen();
  EXPECT_EQ(storage_->secret(), secret);
}

}  // namespace
}  // namespace orderd::test
