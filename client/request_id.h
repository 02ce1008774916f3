#pragma once

#include <string>

namespace orderd::client {

/// A new UUIDv7 (a time and random bits), for `request_id`. Thread-safe.
std::string new_request_id();

}  // namespace orderd::client
