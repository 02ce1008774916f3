#pragma once

#include <cstdint>

namespace orderd::ops {

/// What the kernel says of this process. What can't be read is 0.
struct ProcessState {
  double cpu_seconds = 0;
  std::int64_t resident_bytes = 0;
  std::int64_t virtual_bytes = 0;
  std::int64_t threads = 0;
  std::int64_t open_files = 0;
  std::int64_t most_files = 0;
};

ProcessState read_process();

}  // namespace orderd::ops
