#include <algorithm>
#include <iostream>
#include <set>

#include "storage/reads.h"
#include "storage/session.h"
#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::ListPage;
using storage::ListQuery;
using storage::Session;
using storage::SortKey;

constexpr const char* kStates[] = {"new", "processing", "completed", "fraud", "canceled"};

/// What ListOrders means, said plainly.
class Model {
 public:
  explicit Model(std::vector<StoredOrder> orders) : orders_(std::move(orders)) {}

  const std::vector<StoredOrder>& orders() const { return orders_; }

  std::vector<Uuid> list(const ListQuery& query) const {
    std::vector<std::pair<std::int64_t, Uuid>> rows;
    for (const StoredOrder& order : orders_) {
      if (matches(order.order, query)) rows.emplace_back(key(order.order, query.sort), order.id);
    }
    std::ranges::sort(rows);
    if (!query.ascending) std::ranges::reverse(rows);
    std::vector<Uuid> ids;
    for (const auto& row : rows) ids.push_back(row.second);
    return ids;
  }

 private:
  static bool in(const google::protobuf::Timestamp& time, bool has, const pb::TimeRange& range) {
    if (!has) return true;
    const Micros t = storage::to_micros(time);
    return (!range.has_start_time() || storage::to_micros(range.start_time()) <= t) &&
           (!range.has_end_time() || t < storage::to_micros(range.end_time()));
  }

  static std::int64_t key(const pb::Order& order, SortKey sort) {
    switch (sort) {
      case SortKey::kCreateTime:
        return storage::to_micros(order.create_time());
      case SortKey::kUpdateTime:
        return storage::to_micros(order.update_time());
      case SortKey::kOrderTime:
        return storage::to_micros(order.order_time());
      case SortKey::kTotal:
        break;
    }
    return order.totals().total().amount_minor();
  }

  static std::string lower(std::string text) {
    for (char& c : text) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return text;
  }

  static bool matches(const pb::Order& order, const ListQuery& query) {
    const pb::OrderFilter& filter = query.filter;
    if (query.by_state &&
        std::ranges::find(filter.state_ids(), order.state_id()) == filter.state_ids().end()) {
      return false;
    }
    if (!filter.customer_email().empty() &&
        lower(filter.customer_email()) != lower(order.customer().email())) {
      return false;
    }
    if (!in(order.order_time(), filter.has_order_time(), filter.order_time()) ||
        !in(order.create_time(), filter.has_create_time(), filter.create_time()) ||
        !in(order.update_time(), filter.has_update_time(), filter.update_time())) {
      return false;
    }
    if (!filter.order_number().empty() && filter.order_number() != order.order_number()) {
      return false;
    }
    if (!filter.invoice_number().empty() && filter.invoice_number() != order.invoice_number()) {
      return false;
    }
    if (filter.payment_statuses_size() > 0 &&
        std::ranges::none_of(order.payments(), [&](const pb::Payment& payment) {
          return std::ranges::find(filter.payment_statuses(), payment.status()) !=
                 filter.payment_statuses().end();
        })) {
      return false;
    }
    if (filter.needs_attention() &&
        std::ranges::none_of(order.payments(), &pb::Payment::attention)) {
      return false;
    }
    if (filter.has_authorization_expires_before() &&
        std::ranges::none_of(order.payments(), [&](const pb::Payment& payment) {
          return payment.capturable().amount_minor() > 0 && payment.has_expire_time() &&
                 storage::to_micros(payment.expire_time()) <
                     storage::to_micros(filter.authorization_expires_before());
        })) {
      return false;
    }
    const auto any_shipment = [&](auto matching) {
      return std::ranges::any_of(order.shipments(), matching);
    };
    if (!filter.tracking_number().empty() && !any_shipment([&](const pb::Shipment& shipment) {
          return std::ranges::any_of(shipment.tracking_numbers(), [&](const auto& number) {
            return number.number() == filter.tracking_number();
          });
        })) {
      return false;
    }
    if (!filter.shipment_method_id().empty() && !any_shipment([&](const pb::Shipment& shipment) {
          return shipment.method_id() == filter.shipment_method_id();
        })) {
      return false;
    }
    if (filter.delivery_state_ids_size() > 0 && !any_shipment([&](const pb::Shipment& shipment) {
          return std::ranges::any_of(shipment.lines(), [&](const pb::ShipmentLine& line) {
            return std::ranges::find(filter.delivery_state_ids(), line.delivery_state_id()) !=
                   filter.delivery_state_ids().end();
          });
        })) {
      return false;
    }
    if (filter.has_label()) {
      const auto it = order.labels().find(filter.label().key());
      if (it == order.labels().end()) return false;
      if (filter.label().has_value() && filter.label().value() != it->second) return false;
    }
    return true;
  }

  std::vector<StoredOrder> orders_;
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(engine_); }
  bool one_in(int n) { return below(n) == 0; }
  std::string email() {
    static constexpr const char* kEmails[] = {"ann@example.org", "ANN@Example.org", "bob@x.de",
                                              "Bob@X.de",        "o'hara:@x.de",    ""};
    return kEmails[below(6)];
  }

 private:
  std::mt19937 engine_;
};

constexpr const char* kMethods[] = {"standard", "express", "pick-up"};
constexpr const char* kDeliveryStates[] = {"pending", "shipped", "delivered", "canceled"};
/// Some numbers are of many orders.
constexpr const char* kTrackingNumbers[] = {"T:1'", "t:1'", "T2", "common"};

void add_random_shipment(Random& random, pb::Order& order) {
  pb::Shipment& shipment = *order.add_shipments();
  shipment.set_shipment_id(Uuid::generate().to_string());
  shipment.set_method_id(kMethods[random.below(3)]);
  for (int n = random.below(3); n > 0; --n) {
    const int number = random.below(20);
    shipment.add_tracking_numbers()->set_number(number < 4 ? kTrackingNumbers[number]
                                                           : Uuid::generate().to_string());
  }
  for (int n = 1 + random.below(2); n > 0; --n) {
    pb::ShipmentLine& line = *shipment.add_lines();
    line.set_line_id(Uuid::generate().to_string());
    if (order.items().empty()) order.add_items()->set_item_id("1");
    line.set_item_id("1");
    line.set_quantity(1);
    line.set_delivery_state_id(kDeliveryStates[random.below(4)]);
  }
}

Model random_orders(Random& random, int count) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < count; ++i) {
    StoredOrder stored = plain_order(random.below(60));
    pb::Order& order = stored.order;
    // Few different times, so that the id decides often.
    *order.mutable_update_time() = storage::to_timestamp(random.below(60));
    *order.mutable_order_time() = storage::to_timestamp(random.below(30));
    order.set_state_id(kStates[random.below(5)]);
    order.mutable_customer()->set_email(random.email());
    order.set_currency_code("EUR");
    pb::Money& total = *order.mutable_totals()->mutable_total();
    total.set_currency_code("EUR");
    total.set_amount_minor(random.below(10));
    if (random.one_in(2)) order.set_invoice_number("I" + std::to_string(i));
    for (int n = random.below(3); n > 0; --n) {
      pb::Payment& payment = *order.add_payments();
      payment.set_payment_id(Uuid::generate().to_string());
      payment.set_gateway_account("external");
      payment.set_gateway_reference(payment.payment_id());
      payment.set_status(static_cast<pb::PaymentStatus>(1 + random.below(4)));
      payment.set_attention(random.one_in(4));
      if (random.one_in(2)) {
        *payment.mutable_expire_time() = storage::to_timestamp(random.below(10));
      }
      if (random.one_in(2)) {
        payment.mutable_capturable()->set_currency_code("EUR");
        payment.mutable_capturable()->set_amount_minor(random.below(2));
      }
    }
    for (int n = random.below(4); n > 0; --n) add_random_shipment(random, order);
    if (random.one_in(2)) (*order.mutable_labels())["a"] = std::to_string(random.below(3));
    if (random.one_in(4)) (*order.mutable_labels())["b:'"] = "x";
    if (random.one_in(5)) order.mutable_billing_address()->set_city("B");
    orders.push_back(std::move(stored));
  }
  return Model(std::move(orders));
}

pb::TimeRange random_range(Random& random, int limit) {
  pb::TimeRange range;
  if (!random.one_in(3)) *range.mutable_start_time() = storage::to_timestamp(random.below(limit));
  if (!random.one_in(3)) *range.mutable_end_time() = storage::to_timestamp(random.below(limit) + 1);
  return range;
}

ListQuery random_query(Random& random, const Model& model) {
  ListQuery query;
  pb::OrderFilter& filter = query.filter;
  const pb::Order& some =
      model.orders()[random.below(static_cast<int>(model.orders().size()))].order;
  if (random.one_in(2)) {
    query.by_state = true;
    std::set<std::string> states;
    for (int n = random.below(4); n > 0; --n) states.insert(kStates[random.below(5)]);
    if (random.one_in(4)) states.insert("no-such-state");
    for (const std::string& state : states) filter.add_state_ids(state);
  }
  if (random.one_in(3)) filter.set_customer_email(random.email());
  if (random.one_in(4)) *filter.mutable_create_time() = random_range(random, 60);
  if (random.one_in(4)) *filter.mutable_update_time() = random_range(random, 60);
  if (random.one_in(4)) *filter.mutable_order_time() = random_range(random, 30);
  if (random.one_in(10)) filter.set_order_number(some.order_number());
  if (random.one_in(10)) filter.set_invoice_number(some.invoice_number());
  if (random.one_in(4)) {
    filter.add_payment_statuses(static_cast<pb::PaymentStatus>(1 + random.below(4)));
    if (random.one_in(2)) filter.add_payment_statuses(pb::PAYMENT_STATUS_OPEN);
  }
  if (random.one_in(4)) {
    filter.mutable_label()->set_key(random.one_in(2) ? "a" : "b:'");
    if (random.one_in(2)) filter.mutable_label()->set_value(random.one_in(2) ? "x" : "1");
  }
  if (random.one_in(8)) filter.set_needs_attention(true);
  if (random.one_in(8)) {
    *filter.mutable_authorization_expires_before() = storage::to_timestamp(random.below(11));
  }
  if (random.one_in(5)) {
    filter.set_tracking_number(random.one_in(10) ? "nobody's" : kTrackingNumbers[random.below(4)]);
  }
  if (random.one_in(4)) filter.set_shipment_method_id(kMethods[random.below(3)]);
  if (random.one_in(4)) {
    filter.add_delivery_state_ids(kDeliveryStates[random.below(4)]);
    if (random.one_in(2)) filter.add_delivery_state_ids(kDeliveryStates[random.below(4)]);
  }
  const bool by_total = !filter.customer_email().empty() || !filter.order_number().empty() ||
                        !filter.invoice_number().empty() || !filter.tracking_number().empty();
  query.sort = static_cast<SortKey>(random.below(by_total ? 4 : 3));
  query.ascending = random.one_in(2);
  query.limit = 1 + random.below(40);
  return query;
}

class ListOrdersTest : public StorageTest {
 protected:
  /// All pages.
  template <typename ReadPage>
  std::vector<Uuid> walk(ListQuery query, ReadPage read_page) {
    std::vector<Uuid> ids;
    for (int pages = 0; pages < 20'000; ++pages) {
      const ListPage page = read_page(query);
      EXPECT_LE(static_cast<int>(page.orders.size()), query.limit);
      for (const OrderPtr& order : page.orders) ids.push_back(order->id);
      if (!page.next) return ids;
      if (query.after) {
        EXPECT_NE(std::tie(query.after->sort_key, query.after->id),
                  std::tie(page.next->sort_key, page.next->id))
            << "no progress";
      }
      query.after = page.next;
    }
    ADD_FAILURE() << "the list does not end";
    return ids;
  }
};
ORDERD_ON_BOTH_DATABASES(ListOrdersTest);

TEST_P(ListOrdersTest, AgreesWithAModel) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  const Model model = random_orders(random, 400);
  create(model.orders());
  auto read = begin_read();
  for (int i = 0; i < 300; ++i) {
    const ListQuery query = random_query(random, model);
    const auto listed = walk(query, [&](const ListQuery& q) { return read->list_orders(q); });
    ASSERT_EQ(listed, model.list(query))
        << "seed " << seed << " query " << i << " sort " << static_cast<int>(query.sort)
        << (query.ascending ? " ascending " : " descending ") << query.limit << " "
        << query.filter.ShortDebugString();
  }
}

TEST_P(ListOrdersTest, AgreesWithAModelOnATinyBudget) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  const Model model = random_orders(random, 200);
  create(model.orders());
  Session session(storage::parse_url(url()), nullptr);
  for (int i = 0; i < 200; ++i) {
    const ListQuery query = random_query(random, model);
    const int budget = 1 + random.below(30);
    const auto listed = walk(
        query, [&](const ListQuery& q) { return storage::read_order_page(session, q, budget); });
    ASSERT_EQ(listed, model.list(query))
        << "seed " << seed << " query " << i << " budget " << budget << " sort "
        << static_cast<int>(query.sort) << (query.ascending ? " ascending " : " descending ")
        << query.limit << " " << query.filter.ShortDebugString();
  }
}

TEST_P(ListOrdersTest, APageHasSummaries) {
  const StoredOrder order = rich_order();
  create({order});
  const ListPage page = begin_read()->list_orders({});
  ASSERT_EQ(page.orders.size(), 1u);
  EXPECT_FALSE(page.next.has_value());
  pb::Order expected = order.order;
  expected.clear_items();
  expected.clear_labels();
  expected.clear_payments();
  expected.clear_shipments();
  EXPECT_TRUE(same(page.orders[0]->order, expected));
}

TEST_P(ListOrdersTest, NoPageExaminesMoreThanTheBudget) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < storage::kScanBudget + 500; ++i) {
    orders.push_back(plain_order(i));
    orders.back().order->mutable_customer()->set_email("guest@example.org");
  }
  (*orders.front().order->mutable_labels())["rare"] = "";
  create(orders);
  auto read = begin_read();

  // The only match is the last of the rows: the first page stops before it, empty.
  ListQuery query;
  query.filter.mutable_label()->set_key("rare");
  ListPage page = read->list_orders(query);
  EXPECT_TRUE(page.orders.empty());
  ASSERT_TRUE(page.next.has_value());
  EXPECT_EQ(page.next->sort_key, 500);
  query.after = page.next;
  page = read->list_orders(query);
  ASSERT_EQ(page.orders.size(), 1u);
  EXPECT_EQ(page.orders[0]->id, orders.front().id);
  EXPECT_FALSE(page.next.has_value());

  // An address with more orders than the budget, by every sort.
  for (const SortKey sort :
       {SortKey::kCreateTime, SortKey::kUpdateTime, SortKey::kOrderTime, SortKey::kTotal}) {
    ListQuery by_email;
    by_email.filter.set_customer_email("GUEST@example.org");
    by_email.sort = sort;
    by_email.limit = 1000;
    const auto ids = walk(by_email, [&](const ListQuery& q) { return read->list_orders(q); });
    EXPECT_EQ(std::set<Uuid>(ids.begin(), ids.end()).size(), orders.size());
    EXPECT_EQ(ids.size(), orders.size());
  }
}

TEST_P(ListOrdersTest, ATrackingNumberOfMoreOrdersThanTheBudget) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < storage::kScanBudget + 500; ++i) {
    orders.push_back(plain_order(i));
    pb::Order& order = orders.back().order;
    order.set_currency_code("EUR");
    order.mutable_totals()->mutable_total()->set_currency_code("EUR");
    order.mutable_totals()->mutable_total()->set_amount_minor(i % 7);
    pb::Shipment& shipment = *order.add_shipments();
    shipment.set_shipment_id(Uuid::generate().to_string());
    shipment.add_tracking_numbers()->set_number("none");
  }
  create(orders);
  const Model model(orders);
  auto read = begin_read();
  for (const SortKey sort :
       {SortKey::kCreateTime, SortKey::kUpdateTime, SortKey::kOrderTime, SortKey::kTotal}) {
    ListQuery query;
    query.filter.set_tracking_number("none");
    query.sort = sort;
    query.limit = 1000;
    EXPECT_EQ(walk(query, [&](const ListQuery& q) { return read->list_orders(q); }),
              model.list(query));
  }
}

TEST_P(ListOrdersTest, FiltersOfPaymentsLookAtOnePaymentAtATime) {
  StoredOrder order = plain_order();
  order.order->set_currency_code("EUR");
  pb::Payment& capturable = *order.order->add_payments();
  capturable.set_gateway_reference("a" + order.id.to_string());
  capturable.mutable_capturable()->set_currency_code("EUR");
  capturable.mutable_capturable()->set_amount_minor(1);
  pb::Payment& expiring = *order.order->add_payments();
  expiring.set_gateway_reference("b" + order.id.to_string());
  *expiring.mutable_expire_time() = storage::to_timestamp(-5);
  create({order});
  ListQuery query;
  *query.filter.mutable_authorization_expires_before() = storage::to_timestamp(100);
  EXPECT_TRUE(begin_read()->list_orders(query).orders.empty());
  query.filter.Clear();
  query.filter.set_needs_attention(true);
  EXPECT_TRUE(begin_read()->list_orders(query).orders.empty());

  StoredOrder after = order;
  *after.order->mutable_payments(0)->mutable_expire_time() = storage::to_timestamp(99);
  after.order->mutable_payments(1)->set_attention(true);
  storage::ChangeSet changes;
  changes.payments_updated = {{&order, &after}};
  save(changes);
  EXPECT_EQ(begin_read()->list_orders(query).orders.size(), 1u);
  query.filter.Clear();
  *query.filter.mutable_authorization_expires_before() = storage::to_timestamp(100);
  EXPECT_EQ(begin_read()->list_orders(query).orders.size(), 1u);
  *query.filter.mutable_authorization_expires_before() = storage::to_timestamp(99);
  EXPECT_TRUE(begin_read()->list_orders(query).orders.empty()) << "not before";
}

TEST_P(ListOrdersTest, ManyStates) {
  std::vector<StoredOrder> orders;
  ListQuery query;
  query.by_state = true;
  for (int i = 0; i < 300; ++i) {
    orders.push_back(plain_order(i));
    orders.back().order->set_state_id("s" + std::to_string(i % 150));
  }
  create(orders);
  for (const int states : {100, 101, 149}) {
    query.filter.clear_state_ids();
    for (int i = 0; i < states; ++i) query.filter.add_state_ids("s" + std::to_string(i));
    query.limit = 1000;
    auto read = begin_read();
    EXPECT_EQ(walk(query, [&](const ListQuery& q) { return read->list_orders(q); }),
              Model(orders).list(query));
  }
  query.filter.clear_state_ids();
  EXPECT_TRUE(begin_read()->list_orders(query).orders.empty());
}

TEST_P(ListOrdersTest, CountsAndNamesTheOrdersOfAState) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < 20; ++i) orders.push_back(plain_order(100 - i));
  orders[7].order->set_state_id("fraud");
  create(orders);
  auto read = begin_read();
  EXPECT_EQ(read->count_orders("new"), 19);
  EXPECT_EQ(read->count_orders("fraud"), 1);
  EXPECT_EQ(read->count_orders("nobody's"), 0);
  EXPECT_EQ(read->count_orders_with_delivery_state("shipped"), 0);
  const auto first = read->orders_in_state("new", 3);
  EXPECT_THAT(first, testing::ElementsAre(orders[19].id, orders[18].id, orders[17].id));
}

}  // namespace
}  // namespace orderd::test
