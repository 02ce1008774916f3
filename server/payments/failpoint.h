#pragma once

// Named places at which a test build can be made to die: ORDERD_FAILPOINT=NAME[:N] kills the
// process with SIGKILL when it comes to the place NAME for the N-th time (default 1). Compiled only
// with ORDERD_FAILPOINTS; nothing otherwise.

#ifdef ORDERD_FAILPOINTS
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string_view>
#endif

namespace orderd::payments {

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
#else
inline void failpoint(const char*) {}
#endif

}  // namespace orderd::payments
