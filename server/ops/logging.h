#pragma once

#include <string>

namespace orderd::ops {

/// Sends the log to standard error, one line per entry, written by a thread of its own: nobody who
/// logs ever waits, and if standard error stands still, the oldest lines are dropped.
void start_logging(const std::string& level);
/// From here on. Thread-safe.
void set_log_level(const std::string& level);
/// Writes what is left.
void stop_logging();

}  // namespace orderd::ops
