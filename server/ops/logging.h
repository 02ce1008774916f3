#pragma once

#include <cstddef>
#include <string>

namespace orderd::ops {

/// What goes to standard error, and how.
struct LogConfig {
  enum class Format {
    /// TIME LEVEL MESSAGE NAME=VALUE …
    kText,
    /// An object per line: time, level, message, and the fields of the line.
    kJson,
  };
  std::string level = "info";
  Format format = Format::kText;
};

/// Sends the log to standard error, one line per entry, written by a thread of its own: nobody who
/// logs ever waits, and if standard error stands still, the oldest lines are dropped.
void start_logging(const LogConfig& config);
/// From here on. Thread-safe.
void set_log_level(const std::string& level);
/// Writes what is left.
void stop_logging();

/// How many lines have been dropped.
std::size_t dropped_log_lines();

}  // namespace orderd::ops
