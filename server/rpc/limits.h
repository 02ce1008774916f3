#pragma once

#include <chrono>
#include <cstddef>

#include "server/rpc/rate_limit.h"

namespace orderd::rpc {

/// What the server takes at most, and for how long. docs/limits.md lists these and all other
/// limits.
struct Limits {
  /// Unary calls that run at once in the process. More are turned away before anything is done for
  /// them: so what an accepted call waits for is bounded, too.
  std::size_t calls = 512;
  /// ImportOrders streams at once; each reads some MiB ahead.
  std::size_t imports = 32;
  RateLimit::Options rate;
  /// Of unary calls: for those without a deadline of their own, and the longest that one may have.
  /// Streams go on for as long as the caller wants.
  std::chrono::milliseconds default_deadline{30'000};
  std::chrono::milliseconds max_deadline{300'000};
  /// How long an answer may wait for its caller to read it; then the call is cut.
  std::chrono::milliseconds unread{30'000};

  std::size_t connections = 10'000;
  /// Streams (calls) at once on one connection; clients know it, and hold back what is more.
  int streams = 1000;
  /// What gRPC holds for connections and for messages that are on their way.
  std::size_t memory_bytes = std::size_t{1} << 30;
  /// A connection that has not begun to speak HTTP/2 by then is closed.
  std::chrono::milliseconds handshake{10'000};
  /// A connection that is silent for so long is asked whether it is there, and closed if it does
  /// not answer in `keepalive_timeout`.
  std::chrono::milliseconds keepalive{60'000};
  std::chrono::milliseconds keepalive_timeout{20'000};
  /// A connection without a call is closed after that; clients connect again by themselves.
  std::chrono::milliseconds idle{1'800'000};
};

}  // namespace orderd::rpc
