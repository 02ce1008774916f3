#pragma once

#include <string>

namespace orderd::bench {

/// The method of the echo server below.
extern const std::string kEchoMethod;

/// What gRPC alone does, in a process of its own like orderd's: serves unary calls that are
/// answered with what they sent, until SIGTERM. Prints its address.
void serve_echo();

}  // namespace orderd::bench
