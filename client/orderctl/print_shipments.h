#pragma once

#include <string>

#include "orders/v1/order.pb.h"

namespace orderd::cli {

/// The shipments of an order, one below the other: method, tracking numbers with where the carrier
/// shows them, and its lines with what is in them, in which delivery state and since when.
void print_shipments(const orders::v1::Order& order);

/// How many pieces are in which delivery state: "2 shipped, 3 pending". In the order of the lines.
std::string delivery_summary(const orders::v1::Order& order);
std::string delivery_summary(const orders::v1::Shipment& shipment);

/// A line of the order by its id: "2 x MUG, shipped"; empty if there is none.
std::string line_text(const orders::v1::Order& order, const std::string& line_id);

}  // namespace orderd::cli
