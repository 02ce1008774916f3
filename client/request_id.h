#pragma once

#include <string>

namespace orderd::client {

/// A new random UUID (version 4), for `request_id`. Thread-safe.
std::string new_request_id();

}  // namespace orderd::client
