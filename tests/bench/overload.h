#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace orderd::bench {

struct OverloadSetup {
  std::string server;
  int process_id = 0;
  std::vector<std::string> order_ids;
  /// How many clients the server serves: as many as it runs calls at once.
  int clients = 0;
  std::chrono::milliseconds duration{0};
  int rounds = 1;
};

/// Measures the server with up to half as many clients as it serves at most; with eight times that
/// most, who wait as they are told to; with as many who do not; and each time how soon it is itself
/// again. Every second call is a read. Prints a table.
nlohmann::json measure_overload(const OverloadSetup& setup);

}  // namespace orderd::bench
