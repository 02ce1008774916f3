#pragma once

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <iterator>
#include <string>
#include <string_view>

namespace orderd {

/// A line of the log with fields, by which machines find it. What writes the log
/// (server/ops/logging.h) gives each format its form of them.
///
/// Within the payload of a line of spdlog's, each field stands behind kField, its value behind
/// kText or kNumber; that a payload has this form shows in its source_loc.
class LogLine {
 public:
  static constexpr char kField = '\x1f';
  static constexpr char kText = '\x1e';
  static constexpr char kNumber = '\x1d';
  /// By its address.
  static constexpr char kMark[] = "LogLine";

  explicit LogLine(std::string_view message) : payload_(message) {}

  /// An empty value is left out.
  void field(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    begin(name, kText);
    for (const char c : value) payload_ += c >= '\0' && c < ' ' ? '?' : c;
  }
  void number(std::string_view name, double value) {
    begin(name, kNumber);
    fmt::format_to(std::back_inserter(payload_), "{:.3f}", value);
  }

  void write(spdlog::level::level_enum level) const {
    spdlog::log(spdlog::source_loc{kMark, 1, kMark}, level, payload_);
  }

 private:
  void begin(std::string_view name, char kind) {
    payload_ += kField;
    payload_ += name;
    payload_ += kind;
  }

  std::string payload_;
};

}  // namespace orderd
