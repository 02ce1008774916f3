#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// How the rows of a child table find their orders.

namespace orderd::storage {

/// The orders that a statement's rows belong to.
class ById {
 public:
  explicit ById(std::span<const std::shared_ptr<StoredOrder>> orders) {
    orders_.reserve(orders.size());
    for (const auto& order : orders) {
      ids_.push_back(order->id);
      orders_.emplace(order->id, &*order->order);
    }
  }
  std::span<const Uuid> ids() const { return ids_; }
  pb::Order* find(const Uuid& id) const {
    const auto it = orders_.find(id);
    return it == orders_.end() ? nullptr : it->second;
  }

 private:
  std::vector<Uuid> ids_;
  std::unordered_map<Uuid, pb::Order*> orders_;
};

/// Runs a SELECT of a child table, of which `head` is the text up to the index hint and the first
/// column is the order's id, and calls `add` for each row.
template <typename F>
void read_rows(Session& session, const ById& orders, Fixed head, Fixed order_by,
               std::size_t columns, F add) {
  Sql sql = session.sql();
  sql << head;
  sql.either("", " FORCE INDEX (PRIMARY)") << " WHERE order_id IN (";
  sql.ids(orders.ids()) << ") ORDER BY " << order_by;
  Rows rows = session.query(sql, columns);
  while (rows.next()) {
    if (pb::Order* order = orders.find(rows.id(0))) add(rows, *order);
  }
}

}  // namespace orderd::storage
