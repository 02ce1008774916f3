#include "storage/shipment_rows.h"

#include <map>
#include <unordered_map>
#include <utility>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"

namespace orderd::storage {
namespace {

Uuid uuid(const std::string& text) {
  const auto id = Uuid::parse(text);
  if (!id) throw Error(Error::Kind::kInternal, "the id of a shipment or a line is not a UUID");
  return *id;
}

struct LineRow {
  Uuid shipment_id;
  std::int64_t item = 0;
  std::int64_t quantity = 0;
  std::string_view delivery_state_id;
  Micros time = kNoTime;

  bool operator==(const LineRow&) const = default;
};

/// The shipments of an order as rows, by key. The texts are those of the order.
struct Image {
  std::map<Uuid, std::string_view> methods;
  std::map<Uuid, LineRow> lines;
  /// By position and shipment, so that rows of the same position are deleted together.
  std::map<std::pair<int, Uuid>, std::string_view> tracking_numbers;

  Image() = default;
  explicit Image(const pb::Order& order) {
    if (order.shipments().empty()) return;
    std::unordered_map<std::string_view, std::int64_t> positions;
    std::int64_t next = 0;
    for (const pb::Item& item : order.items()) positions.emplace(item.item_id(), next++);
    for (const pb::Shipment& shipment : order.shipments()) {
      const Uuid shipment_id = uuid(shipment.shipment_id());
      methods.emplace(shipment_id, shipment.method_id());
      int n = 0;
      for (const pb::TrackingNumber& number : shipment.tracking_numbers()) {
        tracking_numbers.emplace(std::pair(n++, shipment_id), number.number());
      }
      for (const pb::ShipmentLine& line : shipment.lines()) {
        const auto position = positions.find(line.item_id());
        if (position == positions.end()) {
          throw Error(Error::Kind::kInternal, "a line is of an item that the order does not have");
        }
        lines.emplace(
            uuid(line.line_id()),
            LineRow{
                shipment_id, position->second, line.quantity(), line.delivery_state_id(),
                line.has_delivery_state_time() ? to_micros(line.delivery_state_time()) : kNoTime});
      }
    }
  }
};

/// Calls `gone` with each key that only `before` has, `changed` with each row that is not in it.
template <typename Rows, typename Gone, typename Changed>
void diff(const Rows& before, const Rows& after, Gone gone, Changed changed) {
  for (const auto& [key, row] : before) {
    if (!after.contains(key)) gone(key);
  }
  for (const auto& [key, row] : after) {
    const auto it = before.find(key);
    if (it == before.end() || it->second != row) changed(key, row);
  }
}

/// New rows and changed rows are written alike: their keys lead with the id of an order that is new
/// or locked, so an upsert can't overwrite what somebody else wrote.
class Writer {
 public:
  explicit Writer(Session& session)
      : deleted_shipments_(session, "order_shipments", "shipment_id"),
        deleted_lines_(session, "order_shipment_lines", "line_id"),
        deleted_numbers_(session, "order_tracking_numbers", "shipment_id"),
        shipments_(session, "INSERT INTO order_shipments (order_id, shipment_id, method_id) VALUES",
                   [](Sql& sql) { sql.overwrite("order_id, shipment_id", {"method_id"}); }),
        lines_(session,
               "INSERT INTO order_shipment_lines (order_id, line_id, shipment_id, item, quantity,"
               " delivery_state_id, delivery_state_time) VALUES",
               [](Sql& sql) {
                 sql.overwrite("order_id, line_id", {"shipment_id", "item", "quantity",
                                                     "delivery_state_id", "delivery_state_time"});
               }),
        numbers_(session,
                 "INSERT INTO order_tracking_numbers (order_id, shipment_id, n, number) VALUES",
                 [](Sql& sql) { sql.overwrite("order_id, shipment_id, n", {"number"}); }) {}

  void write(const Uuid& order_id, const Image& before, const Image& after) {
    diff(
        before.methods, after.methods,
        [&](const Uuid& id) { deleted_shipments_.row(order_id, id); },
        [&](const Uuid& id, std::string_view method_id) {
          shipments_.row(order_id, id, Blob{method_id});
        });
    diff(
        before.lines, after.lines, [&](const Uuid& id) { deleted_lines_.row(order_id, id); },
        [&](const Uuid& id, const LineRow& line) {
          lines_.row(order_id, id, line.shipment_id, line.item, line.quantity,
                     Blob{line.delivery_state_id}, line.time);
        });
    diff(
        before.tracking_numbers, after.tracking_numbers,
        [&](const auto& key) { deleted_numbers_.row(order_id, key.second, key.first); },
        [&](const auto& key, std::string_view number) {
          numbers_.row(order_id, key.second, key.first, Blob{number});
        });
  }

  void flush() {
    deleted_shipments_.flush();
    deleted_lines_.flush();
    deleted_numbers_.flush();
    shipments_.flush();
    lines_.flush();
    numbers_.flush();
  }

 private:
  MultiDelete deleted_shipments_, deleted_lines_, deleted_numbers_;
  MultiInsert shipments_, lines_, numbers_;
};

/// A shipment while its rows are read.
struct Parcel {
  pb::Shipment* shipment = nullptr;
  /// By the item's position; lines of one item as they are read, by id.
  std::multimap<std::int64_t, pb::ShipmentLine> lines;
};

/// The part of an index of `order_shipment_lines` or `order_shipments` that has this value.
Sql& append_lines_in(Sql& sql, std::string_view delivery_state_id) {
  sql << " FROM order_shipment_lines";
  sql.either(" INDEXED BY order_shipment_lines_by_state",
             " FORCE INDEX (order_shipment_lines_by_state)");
  return sql << " WHERE delivery_state_id = " << Blob{delivery_state_id};
}

Sql& append_shipments_by(Sql& sql, std::string_view method_id) {
  sql << " FROM order_shipments";
  sql.either(" INDEXED BY order_shipments_by_method", " FORCE INDEX (order_shipments_by_method)");
  return sql << " WHERE method_id = " << Blob{method_id};
}

std::int64_t only_number(Rows rows) {
  if (!rows.next()) throw Error(Error::Kind::kInternal, "a count has no row");
  return rows.number(0);
}

}  // namespace

void write_shipments(Session& session, std::span<const StoredOrder* const> created,
                     std::span<const ChangeSet::BeforeAfter> updated) {
  Writer writer(session);
  for (const StoredOrder* order : created) writer.write(order->id, {}, Image(order->order));
  for (const auto& [before, after] : updated) {
    writer.write(after->id, Image(before->order), Image(after->order));
  }
  writer.flush();
}

void read_shipments(Session& session, const ById& orders) {
  std::map<std::pair<const pb::Order*, Uuid>, Parcel> parcels;
  const auto parcel_of = [&](const pb::Order& order, const Uuid& shipment_id) -> Parcel& {
    const auto it = parcels.find({&order, shipment_id});
    if (it == parcels.end()) {
      throw Error(Error::Kind::kInternal, "a row is of a shipment that does not exist");
    }
    return it->second;
  };
  read_rows(session, orders, "SELECT order_id, shipment_id, method_id FROM order_shipments",
            "order_id, shipment_id", 3, [&](Rows& row, pb::Order& order) {
              pb::Shipment& shipment = *order.add_shipments();
              shipment.set_shipment_id(row.id(1).to_string());
              shipment.set_method_id(std::move(row.text(2)));
              parcels[{&order, row.id(1)}].shipment = &shipment;
            });
  read_rows(session, orders, "SELECT order_id, shipment_id, number FROM order_tracking_numbers",
            "order_id, shipment_id, n", 3, [&](Rows& row, pb::Order& order) {
              parcel_of(order, row.id(1))
                  .shipment->add_tracking_numbers()
                  ->set_number(std::move(row.text(2)));
            });
  read_rows(session, orders,
            "SELECT order_id, line_id, shipment_id, item, quantity, delivery_state_id,"
            " delivery_state_time FROM order_shipment_lines",
            "order_id, line_id", 7, [&](Rows& row, pb::Order& order) {
              const std::int64_t item = row.number(3);
              if (item < 0 || item >= order.items_size()) {
                throw Error(Error::Kind::kInternal, "a line is of an item that does not exist");
              }
              pb::ShipmentLine line;
              line.set_line_id(row.id(1).to_string());
              line.set_item_id(order.items(static_cast<int>(item)).item_id());
              line.set_quantity(row.number(4));
              line.set_delivery_state_id(std::move(row.text(5)));
              const Micros time = row.number(6);
              if (time != kNoTime) *line.mutable_delivery_state_time() = to_timestamp(time);
              parcel_of(order, row.id(2)).lines.emplace(item, std::move(line));
            });
  for (auto& [key, parcel] : parcels) {
    for (auto& [item, line] : parcel.lines) *parcel.shipment->add_lines() = std::move(line);
  }
}

std::int64_t count_with_delivery_state(Session& session, std::string_view delivery_state_id) {
  Sql sql = session.sql();
  sql << "SELECT COUNT(DISTINCT order_id)";
  return only_number(session.query(append_lines_in(sql, delivery_state_id), 1));
}

std::int64_t count_with_method(Session& session, std::string_view method_id) {
  Sql sql = session.sql();
  sql << "SELECT COUNT(DISTINCT order_id)";
  return only_number(session.query(append_shipments_by(sql, method_id), 1));
}

bool any_with_delivery_state(Session& session, std::string_view delivery_state_id) {
  Sql sql = session.sql();
  sql << "SELECT order_id";
  return session.query(append_lines_in(sql, delivery_state_id) << " LIMIT 1", 1).next();
}

bool any_with_method(Session& session, std::string_view method_id) {
  Sql sql = session.sql();
  sql << "SELECT order_id";
  return session.query(append_shipments_by(sql, method_id) << " LIMIT 1", 1).next();
}

}  // namespace orderd::storage
