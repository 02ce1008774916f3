#pragma once

#include "client/orderctl/text.h"
#include "orders/v1/order.pb.h"

namespace orderd::cli {

/// An order with all that belongs to it.
void print_order(const orders::v1::Order& order);

/// The table that lists orders, one per row.
Table order_table();
void add_order(Table& table, const orders::v1::Order& order);

/// What is said after a change: `order 1001 (id): state processing, invoice -, etag "3"`, with
/// "no change: " or "done before: " in front where that is so.
void print_changed(const orders::v1::Order& order, bool changed, bool replayed);

}  // namespace orderd::cli
