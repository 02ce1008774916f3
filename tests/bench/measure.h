#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace orderd::bench {

/// What is there to be measured; scripts/bench starts it.
struct MeasureSetup {
  /// orderd on MariaDB, the same without a cache, and orderd on SQLite.
  std::string server, cold_server, sqlite_server;
  /// Their databases, and empty ones for what the databases do alone.
  std::string database, limit_database, insert_database, sqlite_database, sqlite_limit_database;
  /// gRPC alone.
  std::string echo;
  int server_process = 0, sqlite_process = 0, database_process = 0;
  /// What the server took before it had anything to do: memory, and CPU in percent of a core.
  double idle_mb = 0, idle_percent = 0;
  /// On the disk where the databases are.
  std::string directory;
  int orders = 10'000;
  int rounds = 5;
  std::chrono::milliseconds duration{2000};
  /// Only what the ratios need.
  bool quick = false;
  /// Only comparisons whose names begin with one of these; none: all, and the loads.
  std::vector<std::string> only;
};

/// Measures orderd against its limits, in turn, and (unless `quick`) everything it does at several
/// numbers of callers. The report's keys are documented in docs/benchmarks.md.
nlohmann::json measure(const MeasureSetup& setup);

}  // namespace orderd::bench
