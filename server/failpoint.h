#pragma once

// Named places at which a test build can be made to fail. Compiled only with ORDERD_FAILPOINTS;
// nothing otherwise.
// - ORDERD_FAILPOINT=NAME[:N] kills the process with SIGKILL when it comes to the place NAME for
//   the N-th time (default 1).
// - ORDERD_DISTURB=NAME disturbs each passing of the place NAME at random: half of them take up to
//   20 ms longer, a tenth are to fail as if the database had said so.

#ifdef ORDERD_FAILPOINTS
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#endif

namespace orderd {

#ifdef ORDERD_FAILPOINTS
inline void failpoint(std::string_view name) {
  static std::atomic<int> passed = 0;
  const char* wanted = std::getenv("ORDERD_FAILPOINT");
  if (wanted == nullptr) return;
  const std::string_view all(wanted);
  const auto colon = all.find(':');
  if (all.substr(0, colon) != name) return;
  const int nth = colon == std::string_view::npos ? 1 : std::atoi(wanted + colon + 1);
  if (++passed == nth) std::raise(SIGKILL);
}

/// Whether the caller is to fail.
inline bool disturbed(std::string_view name) {
  const char* wanted = std::getenv("ORDERD_DISTURB");
  if (wanted == nullptr || wanted != name) return false;
  thread_local std::mt19937 random{std::random_device{}()};
  if (random() % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
  return random() % 10 == 0;
}
#else
inline void failpoint(const char*) {}
inline bool disturbed(const char*) { return false; }
#endif

}  // namespace orderd
