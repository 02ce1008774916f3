#pragma once

#include <string>

namespace orderd::bench {

/// The method of the echo server below. The request is the size of the answer, in digits.
extern const std::string kEchoMethod;

/// What gRPC alone does, in a process of its own like orderd's: serves unary calls that are
/// answered with so many bytes as they ask for, until SIGTERM. Prints its address.
void serve_echo();

}  // namespace orderd::bench
