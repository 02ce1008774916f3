#include "client/orderctl/lookup.h"

#include <fmt/core.h>

#include <regex>
#include <utility>

#include "client/orderctl/cli.h"

namespace orderd::cli {

absl::StatusOr<std::string> order_id_of(const client::Client& client, const std::string& order) {
  static const std::regex kUuid("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");
  if (std::regex_match(order, kUuid)) return order;
  // An empty filter would match every order, and the server trims the number.
  const auto first = order.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) {
    return absl::InvalidArgumentError("the order's id or number is empty");
  }
  pb::ListOrdersRequest request;
  request.set_page_size(1);
  request.mutable_filter()->set_order_number(order);
  for (const auto& found : client.list_orders(std::move(request))) {
    if (!found.ok()) return found.status();
    return found->order_id();
  }
  return absl::NotFoundError(fmt::format("there is no order with the number \"{}\"", order));
}

absl::StatusOr<pb::Order> full_order(const client::Client& client, const std::string& order_id) {
  pb::GetOrderRequest request;
  request.set_order_id(order_id);
  request.set_view(pb::ORDER_VIEW_FULL);
  auto response = client.get_order(request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_order());
}

std::pair<std::string, std::string> key_value(const std::string& text, const std::string& what) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    throw LocalError(fmt::format("{}: expected NAME=VALUE, found \"{}\"", what, text));
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace orderd::cli
