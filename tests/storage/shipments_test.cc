#include <algorithm>
#include <deque>
#include <future>
#include <iostream>
#include <set>

#include "tests/support/storage_test.h"

// Shipments, lines and tracking numbers as rows: what is read is what was written, only what
// differs is written, and how many statements that takes does not depend on how much it is.

namespace orderd::test {
namespace {

using storage::ChangeSet;

std::string new_id() { return Uuid::generate().to_string(); }

pb::Shipment& add_shipment(pb::Order& order, const std::string& method_id) {
  pb::Shipment& shipment = *order.add_shipments();
  shipment.set_shipment_id(new_id());
  shipment.set_method_id(method_id);
  return shipment;
}

pb::ShipmentLine& add_line(pb::Shipment& shipment, const std::string& item_id,
                           const std::string& state_id) {
  pb::ShipmentLine& line = *shipment.add_lines();
  line.set_line_id(new_id());
  line.set_item_id(item_id);
  line.set_quantity(1);
  line.set_delivery_state_id(state_id);
  return line;
}

/// An order of `items` items, in `shipments` shipments with a tracking number each.
StoredOrder order_with(int items, int shipments) {
  StoredOrder stored = plain_order();
  pb::Order& order = stored.order;
  for (int i = 0; i < shipments; ++i) {
    add_shipment(order, "standard").add_tracking_numbers()->set_number("T" + std::to_string(i));
  }
  for (int i = 0; i < items; ++i) {
    order.add_items()->set_item_id(std::to_string(i));
    add_line(*order.mutable_shipments(static_cast<int>(std::int64_t{i} * shipments / items)),
             std::to_string(i), "pending");
  }
  return stored;
}

/// The order in which shipments and lines are read.
void sort(pb::Order& order) {
  std::ranges::sort(*order.mutable_shipments(), {}, &pb::Shipment::shipment_id);
  const auto position = [&](const pb::ShipmentLine& line) {
    const auto it = std::ranges::find(order.items(), line.item_id(), &pb::Item::item_id);
    return std::pair(it - order.items().begin(), line.line_id());
  };
  for (pb::Shipment& shipment : *order.mutable_shipments()) {
    std::ranges::sort(*shipment.mutable_lines(), {}, position);
  }
}

class ShipmentsTest : public StorageTest {
 protected:
  /// Writes new shipments of orders, which `befores` has as they were.
  void update(const std::vector<StoredOrder>& befores, const std::vector<StoredOrder>& afters) {
    ChangeSet changes;
    for (std::size_t i = 0; i < afters.size(); ++i) {
      changes.updated.push_back(&afters[i]);
      changes.shipments_updated.push_back({&befores[i], &afters[i]});
    }
    take_statements();
    save(changes);
  }
  /// The statements since the last call that write shipments.
  std::vector<std::string> shipment_statements() {
    auto statements = take_statements();
    std::erase_if(statements, [](const std::string& sql) {
      return sql.find("order_shipment") == sql.npos && sql.find("order_tracking") == sql.npos;
    });
    return statements;
  }
};
ORDERD_ON_BOTH_DATABASES(ShipmentsTest);

TEST_P(ShipmentsTest, AreReadAsTheyWereWritten) {
  StoredOrder order = order_with(5, 2);
  // Several lines of an item, and items out of their order.
  add_line(*order.order->mutable_shipments(0), "1", "shipped").set_quantity(1'000'000'000);
  add_line(*order.order->mutable_shipments(1), "0", "shipped");
  *order.order->mutable_shipments(1)->mutable_lines(0)->mutable_delivery_state_time() =
      storage::to_timestamp(-1);
  order.order->mutable_shipments(0)->mutable_tracking_numbers(0)->set_url("https://not.stored");
  sort(order.order);
  create({order});
  order.order->mutable_shipments(0)->mutable_tracking_numbers(0)->clear_url();
  EXPECT_TRUE(same(load(order.id)->order, order.order));
}

TEST_P(ShipmentsTest, AnOrderMayHaveVeryManyRows) {
  StoredOrder order = order_with(1000, 1000);
  for (pb::Shipment& shipment : *order.order->mutable_shipments()) {
    add_line(shipment, shipment.lines(0).item_id(), "shipped");
    for (int n = 0; n < 3; ++n) shipment.add_tracking_numbers()->set_number(new_id());
  }
  create({order});
  EXPECT_TRUE(same(load(order.id)->order, order.order));

  StoredOrder after = order;
  after.order->mutable_shipments()->DeleteSubrange(1, 999);
  update({order}, {after});
  EXPECT_TRUE(same(load(order.id)->order, after.order));
  // All of it again.
  update({after}, {order});
  EXPECT_TRUE(same(load(order.id)->order, order.order));
}

TEST_P(ShipmentsTest, WhatIsNotSaidToDifferIsNotWritten) {
  const StoredOrder order = order_with(3, 1);
  create({order});
  StoredOrder after = order;
  after.order->clear_shipments();
  ChangeSet changes;
  changes.updated = {&after};
  save(changes);
  EXPECT_TRUE(same(load(order.id)->order, order.order));
  update({order}, {order});
  EXPECT_THAT(shipment_statements(), testing::IsEmpty());
}

/// What UpdateShipments may do to an order, and worse.
class RandomChange {
 public:
  explicit RandomChange(std::mt19937& random) : random_(random) {}

  StoredOrder operator()(StoredOrder stored) {
    pb::Order& order = stored.order;
    for (int changes = 1 + below(6); changes > 0; --changes) change(order);
    auto& shipments = *order.mutable_shipments();
    const auto empty = std::ranges::remove_if(
        shipments, [](const pb::Shipment& shipment) { return shipment.lines().empty(); });
    shipments.erase(empty.begin(), empty.end());
    sort(order);
    return stored;
  }

 private:
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  void change(pb::Order& order) {
    if (order.shipments().empty() || below(6) == 0) {
      add_line(add_shipment(order, below(2) == 0 ? "express" : ""), any_item(order), "pending");
      return;
    }
    const auto any = [&]() -> pb::Shipment& {
      return *order.mutable_shipments(below(order.shipments_size()));
    };
    pb::Shipment& shipment = any();
    pb::Shipment& other = any();
    switch (below(8)) {
      case 0:
        shipment.set_method_id(below(2) == 0 ? "express" : "standard");
        break;
      case 1:
        shipment.clear_tracking_numbers();
        for (int n = below(4); n > 0; --n) {
          shipment.add_tracking_numbers()->set_number(std::to_string(below(9)));
        }
        break;
      case 2:
        shipment.clear_lines();
        break;
      case 3:
        add_line(shipment, any_item(order), "shipped");
        break;
      case 4:
        // A line moves.
        if (!shipment.lines().empty() && &shipment != &other) {
          *other.add_lines() = shipment.lines(0);
          shipment.mutable_lines()->DeleteSubrange(0, 1);
        }
        break;
      default:
        for (pb::ShipmentLine& line : *shipment.mutable_lines()) {
          if (below(2) == 0) continue;
          line.set_delivery_state_id(below(2) == 0 ? "shipped" : "delivered");
          line.set_quantity(1 + below(5));
          *line.mutable_delivery_state_time() = storage::to_timestamp(below(1000));
          if (below(4) == 0) line.clear_delivery_state_time();
        }
    }
  }

  std::string any_item(const pb::Order& order) {
    return order.items(below(order.items_size())).item_id();
  }

  std::mt19937& random_;
};

TEST_P(ShipmentsTest, RandomChangesOfManyOrdersAreReadBack) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  RandomChange change(random);
  std::vector<StoredOrder> orders;
  std::vector<Uuid> ids;
  for (int i = 0; i < 20; ++i) {
    orders.push_back(order_with(1 + i % 7, 1 + i % 3));
    sort(orders.back().order);
    ids.push_back(orders.back().id);
  }
  // One that nobody changes.
  const StoredOrder still = order_with(4, 2);
  create(orders);
  create({still});
  for (int round = 0; round < 60; ++round) {
    std::vector<StoredOrder> afters;
    for (const StoredOrder& order : orders) afters.push_back(change(order));
    update(orders, afters);
    ASSERT_LE(shipment_statements().size(), 6u);
    orders = std::move(afters);
    std::map<Uuid, OrderPtr> loaded;
    for (const OrderPtr& order : begin_read()->load_orders(ids)) loaded[order->id] = order;
    for (const StoredOrder& order : orders) {
      ASSERT_TRUE(same(loaded.at(order.id)->order, order.order)) << "round " << round;
    }
  }
  EXPECT_TRUE(same(load(still.id)->order, still.order));
}

TEST_P(ShipmentsTest, OnlyRowsThatDifferAreWritten) {
  const StoredOrder order = order_with(6, 3);
  create({order});
  StoredOrder after = order;
  const auto& first = order.order->shipments(0);
  after.order->mutable_shipments(0)->mutable_lines(1)->set_quantity(2);
  update({order}, {after});
  const auto statements = shipment_statements();
  ASSERT_EQ(statements.size(), 1u);
  EXPECT_THAT(statements[0], testing::StartsWith("INSERT INTO order_shipment_lines"));
  const auto hex = [](const std::string& id) {
    std::string text = id;
    std::erase(text, '-');
    return text;
  };
  EXPECT_THAT(statements[0], testing::HasSubstr(hex(first.lines(1).line_id())));
  EXPECT_THAT(statements[0], testing::Not(testing::HasSubstr(hex(first.lines(0).line_id()))));
}

/// Bulk changes of all lines.
const std::pair<const char*, void (*)(pb::Order&)> kBulkChanges[] = {
    {"delivery state",
     [](pb::Order& order) {
       for (pb::Shipment& shipment : *order.mutable_shipments()) {
         for (pb::ShipmentLine& line : *shipment.mutable_lines()) {
           line.set_delivery_state_id("shipped");
           *line.mutable_delivery_state_time() = storage::to_timestamp(1);
         }
       }
     }},
    {"one new shipment",
     [](pb::Order& order) {
       pb::Shipment all;
       all.set_shipment_id(new_id());
       all.set_method_id("express");
       for (const pb::Shipment& shipment : order.shipments()) all.MergeFrom(shipment);
       all.set_shipment_id(new_id());
       all.clear_tracking_numbers();
       order.clear_shipments();
       *order.add_shipments() = all;
     }},
    {"a shipment each, with a number of its own",
     [](pb::Order& order) {
       pb::Order split;
       for (const pb::Shipment& shipment : order.shipments()) {
         for (const pb::ShipmentLine& line : shipment.lines()) {
           pb::Shipment& own = add_shipment(split, "express");
           own.add_tracking_numbers()->set_number(new_id());
           *own.add_lines() = line;
         }
       }
       order.mutable_shipments()->Swap(split.mutable_shipments());
     }},
    {"other lines",
     [](pb::Order& order) {
       for (pb::Shipment& shipment : *order.mutable_shipments()) {
         for (pb::ShipmentLine& line : *shipment.mutable_lines()) line.set_line_id(new_id());
       }
     }},
};

TEST_P(ShipmentsTest, ManyLinesCostWhatFewCost) {
  for (const bool apart : {false, true}) {
    for (const auto& [name, change] : kBulkChanges) {
      SCOPED_TRACE(name + std::string(apart ? ", a shipment each" : ", one shipment"));
      std::vector<std::size_t> costs;
      for (const int items : {3, 675}) {
        const StoredOrder order = order_with(items, apart ? items : 1);
        create({order});
        StoredOrder after = order;
        change(after.order);
        sort(after.order);
        update({order}, {after});
        costs.push_back(take_statements().size());
        EXPECT_TRUE(same(load(order.id)->order, after.order));
      }
      EXPECT_EQ(costs[0], costs[1]);
    }
  }
}

TEST_P(ShipmentsTest, ManyOrdersCostWhatOneCosts) {
  for (const auto& [name, change] : kBulkChanges) {
    SCOPED_TRACE(name);
    std::vector<std::size_t> costs;
    for (const int count : {1, 400}) {
      std::vector<StoredOrder> befores;
      for (int i = 0; i < count; ++i) befores.push_back(order_with(2, 2));
      create(befores);
      std::vector<StoredOrder> afters = befores;
      for (StoredOrder& after : afters) {
        change(after.order);
        sort(after.order);
      }
      update(befores, afters);
      costs.push_back(take_statements().size());
      EXPECT_TRUE(same(load(afters.back().id)->order, afters.back().order));
    }
    EXPECT_EQ(costs[0], costs[1]);
  }
}

TEST_P(ShipmentsTest, AreCountedByOrder) {
  std::vector<StoredOrder> orders;
  for (int i = 0; i < 6; ++i) orders.push_back(order_with(4, 2));
  for (pb::ShipmentLine& line : *orders[0].order->mutable_shipments(0)->mutable_lines()) {
    line.set_delivery_state_id("shipped");
  }
  orders[1].order->mutable_shipments(0)->mutable_lines(0)->set_delivery_state_id("shipped");
  orders[2].order->mutable_shipments(0)->set_method_id("express");
  orders[2].order->mutable_shipments(1)->set_method_id("express");
  create(orders);
  auto read = begin_read();
  EXPECT_EQ(read->count_orders_with_delivery_state("pending"), 6);
  EXPECT_EQ(read->count_orders_with_delivery_state("shipped"), 2);
  EXPECT_EQ(read->count_orders_with_delivery_state("Shipped"), 0);
  EXPECT_EQ(read->count_orders_with_method("standard"), 5);
  EXPECT_EQ(read->count_orders_with_method("express"), 1);
  EXPECT_EQ(read->count_orders_with_method(""), 0);
  read.reset();
  auto write = begin_write();
  EXPECT_TRUE(write->any_order_with_delivery_state("shipped"));
  EXPECT_FALSE(write->any_order_with_delivery_state("canceled"));
  EXPECT_TRUE(write->any_order_with_method("express"));
  EXPECT_FALSE(write->any_order_with_method("pick-up"));
}

class MariadbShipmentsTest : public ShipmentsTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbShipmentsTest, testing::Values(Backend::kMariadb), backend_name);

TEST_P(MariadbShipmentsTest, ChangesOfDisjointOrdersDoNotWait) {
  // A statement that deletes most rows of a table must still lock only those.
  const StoredOrder a = order_with(1000, 1000);
  const StoredOrder b = order_with(3, 3);
  create({a, b});
  const auto change = [&](const StoredOrder& before, StoredOrder& after) {
    after.order->mutable_shipments()->DeleteSubrange(1, after.order->shipments_size() - 1);
    ChangeSet changes;
    changes.batch_key = Uuid::generate();
    changes.updated = {&after};
    changes.shipments_updated = {{&before, &after}};
    return changes;
  };
  StoredOrder a_after = a;
  StoredOrder b_after = b;
  auto first = begin_write();
  first->lock_orders({&a.id, 1}, storage::LockMode::kWait);
  first->save(change(a, a_after));
  auto second = begin_write();
  second->lock_orders({&b.id, 1}, storage::LockMode::kWait);
  second->save(change(b, b_after));
  second->commit();
  first->commit();
  EXPECT_TRUE(same(load(a.id)->order, a_after.order));
  EXPECT_TRUE(same(load(b.id)->order, b_after.order));
}

}  // namespace
}  // namespace orderd::test
