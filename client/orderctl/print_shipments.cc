#include "client/orderctl/print_shipments.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

const pb::Item* find_item(const pb::Order& order, std::string_view item_id) {
  const auto& items = order.items();
  const auto item = std::find_if(items.begin(), items.end(),
                                 [&](const auto& each) { return each.item_id() == item_id; });
  return item == items.end() ? nullptr : &*item;
}

void print_tracking_numbers(const pb::Shipment& shipment) {
  std::size_t width = 0;
  for (const auto& tracked : shipment.tracking_numbers()) {
    width = std::max(width, display_width(printable(tracked.number())));
  }
  const char* heading = "tracking";
  for (const auto& tracked : shipment.tracking_numbers()) {
    const std::string number = printable(tracked.number());
    const std::string padding(width - display_width(number), ' ');
    fmt::print("  {:<8}  {}{}\n", heading, number,
               tracked.url().empty() ? "" : padding + "  " + printable(tracked.url()));
    heading = "";
  }
}

/// Pieces by delivery state, in the order of the lines.
using Counts = std::vector<std::pair<std::string, std::int64_t>>;

void count_pieces(const pb::Shipment& shipment, Counts& counts) {
  for (const auto& line : shipment.lines()) {
    const auto count = std::find_if(counts.begin(), counts.end(), [&](const auto& each) {
      return each.first == line.delivery_state_id();
    });
    if (count == counts.end()) {
      counts.emplace_back(line.delivery_state_id(), line.quantity());
    } else {
      count->second += line.quantity();
    }
  }
}

std::string to_text(const Counts& counts) {
  std::string text;
  for (const auto& [state, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, state);
  }
  return text;
}

}  // namespace

std::string delivery_summary(const pb::Order& order) {
  Counts counts;
  for (const auto& shipment : order.shipments()) count_pieces(shipment, counts);
  return to_text(counts);
}

std::string delivery_summary(const pb::Shipment& shipment) {
  Counts counts;
  count_pieces(shipment, counts);
  return to_text(counts);
}

std::string line_text(const pb::Order& order, const std::string& line_id) {
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) {
      if (line.line_id() != line_id) continue;
      const pb::Item* item = find_item(order, line.item_id());
      return fmt::format("{} x {}, {}", line.quantity(),
                         item == nullptr ? "item " + line.item_id() : item->sku(),
                         line.delivery_state_id());
    }
  }
  return "";
}

void print_shipments(const pb::Order& order) {
  for (const auto& shipment : order.shipments()) {
    fmt::print("\nshipment {}: {}\n", printable(shipment.shipment_id()),
               shipment.method_id().empty() ? "no method" : printable(shipment.method_id()));
    print_tracking_numbers(shipment);
    Table table({">QUANTITY", "SKU", "NAME", "DELIVERY STATE", "SINCE", "ITEM", "LINE"});
    for (const auto& line : shipment.lines()) {
      const pb::Item* item = find_item(order, line.item_id());
      table.add({std::to_string(line.quantity()), item == nullptr ? "?" : item->sku(),
                 item == nullptr ? "" : item->name(), line.delivery_state_id(),
                 format_time(line.delivery_state_time()), line.item_id(), line.line_id()});
    }
    table.print(2);
  }
}

}  // namespace orderd::cli
