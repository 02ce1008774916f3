#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace orderd::bench {

/// Of a process, since its start.
struct Usage {
  double cpu_seconds = 0;
  double resident_mb = 0;
};

/// Throws std::runtime_error if there is no such process.
Usage usage_of(int process_id);

/// How often a file in this directory can be written to the disk in a second, a block at a time:
/// what bounds commits. Takes half a second.
double syncs_per_second(const std::string& directory);

}  // namespace orderd::bench
