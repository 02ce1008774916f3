#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/bench/load.h"
#include "tests/bench/raw_calls.h"

namespace orderd::bench {

/// What callers do with a server whose orders were made by `seed`, by name: "get_order",
/// "update_invoice" and so on. Each caller goes on as soon as its last call has ended.
class Workload {
 public:
  struct Setup {
    std::string server;
    /// Of all orders; those that can be written to are picked from them.
    std::vector<std::string> order_ids;
    /// Payments to be captured, and orders to be canceled, that are made at the beginning; 0 if
    /// neither is asked for.
    int payments = 0;
    int cancellations = 0;
  };
  explicit Workload(const Setup& setup);

  static const std::vector<std::string>& operations();

  Figures run(const std::string& operation, int callers, std::chrono::milliseconds duration);
  /// The size of an answer to the operation, in bytes.
  std::size_t answer_size(const std::string& operation);

 private:
  struct Order {
    std::string order_id;
    std::string shipment_id;
    std::string payment_id;
    /// How often its status was changed: it goes from "new" to "processing" and back.
    std::uint32_t status_changes = 0;
  };
  struct Operation;
  static const std::map<std::string, Operation>& table();

  void pick_writable(const std::vector<std::string>& order_ids);
  /// Orders with a payment at the sandbox that can be captured a million times.
  std::vector<Order> orders_with_payment(int count, const std::string& prefix);

  RawCalls calls_;
  const std::vector<std::string> order_ids_;
  /// Those that were imported as "new".
  std::vector<Order> writable_;
  std::vector<Order> payable_;
  std::vector<Order> cancelable_;
  std::atomic<std::size_t> canceled_ = 0;
  /// Makes what is unique unique, in all runs of all programs.
  const std::string run_;
  /// How many calls of each operation were made.
  std::map<std::string, std::atomic<std::uint64_t>> made_;
  std::atomic<std::uint64_t> created_ = 0;
};

}  // namespace orderd::bench
