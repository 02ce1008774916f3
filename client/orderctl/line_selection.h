#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace orderd::cli {

/// Which lines of an order a command is about, as given on the command line.
struct SelectionFlags {
  bool all = false;
  std::vector<std::string> items;
  std::vector<std::string> skus;
  std::vector<std::string> lines;

  bool empty() const { return !all && items.empty() && skus.empty() && lines.empty(); }
};

void add_selection_options(CLI::App& command, SelectionFlags& flags);

/// The selection as the server takes it. The order is read if there are skus, which the server does
/// not select by: each becomes the items that have it. NOT_FOUND if the order has no item of a sku,
/// INVALID_ARGUMENT for a quantity of a sku that several items have. Throws LocalError for a
/// quantity that no 64 bits hold.
absl::StatusOr<orders::v1::LineSelection> selection_of(const client::Client& client,
                                                       const std::string& order_id,
                                                       const SelectionFlags& flags);

}  // namespace orderd::cli
