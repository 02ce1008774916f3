#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/bench/load.h"

namespace orderd::bench {

struct WatchSetup {
  /// Two servers on one database; those who watch are at the first.
  std::string server, other_server;
  /// Of the first.
  int process_id = 0;
  /// Of their MariaDB, for the number of statements.
  std::string database_url;
  std::vector<std::string> order_ids;
  int rounds = 5;
  std::chrono::milliseconds duration{};
};

/// Measures the change feed: what watchers cost writes, how late they hear of changes made at their
/// own server and at another one, what many of them cost the database, and what they cost idle.
nlohmann::json measure_watch(const WatchSetup& setup);

}  // namespace orderd::bench
