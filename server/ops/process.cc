#include "server/ops/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace orderd::ops {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

std::int64_t count_entries(const char* folder) {
  std::error_code error;
  const std::filesystem::directory_iterator first(folder, error);
  return error ? 0 : std::distance(first, std::filesystem::directory_iterator());
}

}  // namespace

ProcessState read_process() {
  ProcessState state;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    state.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::int64_t pages = 0;
  std::int64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> pages >> resident_pages) {
    const std::int64_t page = ::sysconf(_SC_PAGESIZE);
    state.virtual_bytes = pages * page;
    state.resident_bytes = resident_pages * page;
  }
  state.threads = count_entries("/proc/self/task");
  state.open_files = count_entries("/proc/self/fd");
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    state.most_files = static_cast<std::int64_t>(limit.rlim_cur);
  }
  return state;
}

}  // namespace orderd::ops
