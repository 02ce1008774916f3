#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orders/v1/order_service.pb.h"

namespace orderd::bench {

/// The order of a small shop: items in two shipments, two notes, an external payment that was
/// captured, labels; varied by `n` in customer, state, times and amounts, the same for the same
/// `n`.
orders::v1::ImportOrdersRequest generated_order(std::uint64_t n, int items = 3);

/// Imports the generated orders from `first` on until the server has `count` of them; orders that
/// are there already are left alone. Returns the ids of all, in the order of n.
std::vector<std::string> seed(const std::string& server, std::uint64_t count,
                              std::uint64_t first = 0, int items = 3);

}  // namespace orderd::bench
