#include "client/orderctl/line_selection.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "client/orderctl/cli.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

struct Named {
  std::string name;
  std::optional<std::int64_t> quantity;
};

/// "ID=3" is three pieces of ID. What has no number behind its last "=" is a name with a "=" in it.
/// Whether the number is a possible quantity is the server's business.
Named split(const std::string& text) {
  const auto equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return {text, std::nullopt};
  const std::string_view number = std::string_view(text).substr(equals + 1);
  std::int64_t quantity = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), quantity);
  if (error == std::errc::invalid_argument || end != number.data() + number.size()) {
    return {text, std::nullopt};
  }
  if (error != std::errc()) throw LocalError(fmt::format("\"{}\": no such quantity", text));
  return {text.substr(0, equals), quantity};
}

pb::LineSelector item_selector(const Named& item) {
  pb::LineSelector selector;
  selector.set_item_id(item.name);
  if (item.quantity) selector.set_quantity(*item.quantity);
  return selector;
}

pb::LineSelector line_selector(const Named& line) {
  pb::LineSelector selector;
  selector.set_line_id(line.name);
  if (line.quantity) selector.set_quantity(*line.quantity);
  return selector;
}

std::string joined(const auto& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::vector<std::string> items_of(const pb::Order& order, const std::string& sku) {
  std::vector<std::string> ids;
  for (const auto& item : order.items()) {
    if (item.sku() == sku) ids.push_back(item.item_id());
  }
  return ids;
}

absl::Status add_sku(const pb::Order& order, const std::string& text,
                     pb::LineSelection& selection) {
  // A sku may end in "=3" itself.
  Named sku{text, std::nullopt};
  std::vector<std::string> items = items_of(order, sku.name);
  if (items.empty()) {
    sku = split(text);
    items = items_of(order, sku.name);
  }
  if (items.empty()) {
    std::set<std::string> skus;
    for (const auto& item : order.items()) skus.insert(item.sku());
    return absl::InvalidArgumentError(
        fmt::format("the order has no item of the sku \"{}\"; it has: {}", sku.name, joined(skus)));
  }
  if (sku.quantity && items.size() > 1) {
    return absl::InvalidArgumentError(
        fmt::format("several items have the sku \"{}\": {}; say of which item with --item ID={}",
                    sku.name, joined(items), *sku.quantity));
  }
  for (const std::string& item : items) {
    *selection.add_lines() = item_selector({item, sku.quantity});
  }
  return absl::OkStatus();
}

}  // namespace

void add_selection_options(CLI::App& command, SelectionFlags& flags) {
  auto* all = command.add_flag("--all", flags.all, "All lines for which it is possible");
  const auto add = [&](const char* name, std::vector<std::string>& values,
                       const char* description) {
    command.add_option(name, values, description)->allow_extra_args(false)->excludes(all);
  };
  add("--item", flags.items, "ID, or ID=QUANTITY for some pieces only; may be repeated");
  add("--sku", flags.skus, "The same, by sku");
  add("--line", flags.lines, "The same, by line of a shipment");
  add("--shipment", flags.shipments, "ID: all that is in this shipment; may be repeated");
}

absl::StatusOr<pb::LineSelection> selection_of(const pb::Order& order,
                                               const SelectionFlags& flags) {
  pb::LineSelection selection;
  selection.set_all(flags.all);
  for (const auto& item : flags.items) *selection.add_lines() = item_selector(split(item));
  for (const auto& line : flags.lines) *selection.add_lines() = line_selector(split(line));
  for (const auto& sku : flags.skus) {
    if (auto status = add_sku(order, sku, selection); !status.ok()) return status;
  }
  for (const auto& shipment_id : flags.shipments) {
    const auto shipment = shipment_of(order, shipment_id);
    if (!shipment.ok()) return shipment.status();
    for (const auto& line : shipment->lines()) {
      *selection.add_lines() = line_selector({line.line_id(), std::nullopt});
    }
  }
  return selection;
}

absl::StatusOr<pb::Shipment> shipment_of(const pb::Order& order, const std::string& shipment_id) {
  std::vector<std::string> ids;
  for (const auto& shipment : order.shipments()) {
    if (shipment.shipment_id() == shipment_id) return shipment;
    ids.push_back(shipment.shipment_id());
  }
  return absl::InvalidArgumentError(fmt::format("the order has no shipment \"{}\"; it has: {}",
                                                shipment_id, ids.empty() ? "none" : joined(ids)));
}

}  // namespace orderd::cli
