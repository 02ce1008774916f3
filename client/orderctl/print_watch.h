#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "client/orderctl/text.h"
#include "orders/v1/watch.pb.h"

namespace orderd::cli {

/// Prints what a watch delivers: a table that grows, or JSON lines. What was printed of a message
/// has left this program when `print` returns.
class WatchPrinter {
 public:
  explicit WatchPrinter(bool json);

  /// The table shows the number of an order where it is known.
  void remember(const std::string& order_id, const std::string& order_number);
  /// Throws LocalError if standard output can't be written.
  void print(const orders::v1::WatchOrdersResponse& message);

 private:
  void print_table(const orders::v1::WatchOrdersResponse& message);
  void print_lines(const orders::v1::WatchOrdersResponse& message) const;
  void add_change(const orders::v1::OrderChange& change);

  const bool json_;
  LiveTable table_;
  std::unordered_map<std::string, std::string> numbers_;
};

}  // namespace orderd::cli
