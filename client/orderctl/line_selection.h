#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orders/v1/order_service.pb.h"

namespace orderd::cli {

/// Which lines of an order a command is about, as given on the command line.
struct SelectionFlags {
  bool all = false;
  std::vector<std::string> items;
  std::vector<std::string> skus;
  std::vector<std::string> lines;
  std::vector<std::string> shipments;

  bool empty() const {
    return !all && items.empty() && skus.empty() && lines.empty() && shipments.empty();
  }
};

void add_selection_options(CLI::App& command, SelectionFlags& flags);

/// The selection as the server takes it, which knows neither skus nor shipments: a sku becomes the
/// items of `order` that have it, a shipment becomes its lines. INVALID_ARGUMENT if there are none,
/// and for a quantity of a sku that several items have. Throws LocalError for a quantity that no 64
/// bits hold.
absl::StatusOr<orders::v1::LineSelection> selection_of(const orders::v1::Order& order,
                                                       const SelectionFlags& flags);

/// INVALID_ARGUMENT if the order has no such shipment.
absl::StatusOr<orders::v1::Shipment> shipment_of(const orders::v1::Order& order,
                                                 const std::string& shipment_id);

}  // namespace orderd::cli
