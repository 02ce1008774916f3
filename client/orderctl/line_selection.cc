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

std::vector<std::string> items_of(const pb::Order& order, const std::string& sku) {
  std::vector<std::string> ids;
  for (const auto& item : order.items()) {
    if (item.sku() == sku) ids.push_back(item.item_id());
  }
  return ids;
}

std::string joined(const auto& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

absl::Status add_sku(const pb::Order& order, const std::string& text,
                     pb::LineSelection& selection) {
  Named sku{text, std::nullopt};
  std::vector<std::string> items = items_of(order, sku.name);
  if (items.empty()) {
    sku = split(text);
    items = items_of(order, sku.name);
  }
  if (items.empty()) {
    std::set<std::string> skus;
    for (const auto& item : order.items()) skus.insert(item.sku());
    return absl::NotFoundError(
        fmt::format("the order has no item of the sku \"{}\"; it has: {}", sku.name, joined(skus)));
  }
  if (sku.quantity && items.size() > 1) {
    return absl::InvalidArgumentError(
        fmt::format("several items have the sku \"{}\": {}; say of which item with --item ID={}",
                    sku.name, joined(items), *sku.quantity));
  }
  for (const std::string& item : items)
    *selection.add_lines() = item_selector({item, sku.quantity});
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
}

absl::StatusOr<pb::LineSelection> selection_of(const client::Client& client,
                                               const std::string& order_id,
                                               const SelectionFlags& flags) {
  pb::LineSelection selection;
  selection.set_all(flags.all);
  for (const auto& item : flags.items) *selection.add_lines() = item_selector(split(item));
  for (const auto& line : flags.lines) *selection.add_lines() = line_selector(split(line));
  if (flags.skus.empty()) return selection;
  pb::GetOrderRequest request;
  request.set_order_id(order_id);
  request.set_view(pb::ORDER_VIEW_FULL);
  const auto order = client.get_order(request);
  if (!order.ok()) return order.status();
  for (const auto& sku : flags.skus) {
    if (auto status = add_sku(order->order(), sku, selection); !status.ok()) return status;
  }
  return selection;
}

}  // namespace orderd::cli
