#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace orderd::bench {

struct GrowthSetup {
  struct Server {
    /// Such as "10k" or "1m"; the first is what the others are compared with.
    std::string name;
    std::string address;
    std::uint64_t orders = 0;
    int items = 3;
  };
  std::vector<Server> servers;
  int rounds = 5;
  std::chrono::milliseconds duration{2000};
};

/// Fills the servers, each of which has a database of its own, and measures them in turn: what 64
/// callers do with 10,000 orders picked at random, and reads of all orders.
nlohmann::json measure_growth(const GrowthSetup& setup);

}  // namespace orderd::bench
