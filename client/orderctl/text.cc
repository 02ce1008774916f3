#include "client/orderctl/text.h"

#include <fmt/core.h>
#include <google/protobuf/util/time_util.h>
#include <wchar.h>

#include <algorithm>
#include <array>
#include <regex>
#include <utility>

#include "client/orderctl/cli.h"

namespace orderd::cli {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

/// The code point at `at`, which moves behind it; U+FFFD for a byte that is not part of one.
char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const int following = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 0;
  if (following == 0 || lead > 0xF4 || at + static_cast<std::size_t>(following) > text.size()) {
    return kReplacement;
  }
  char32_t code = lead & (0x3F >> following);
  for (int i = 0; i < following; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + static_cast<std::size_t>(i)]);
    if ((byte & 0xC0) != 0x80) return kReplacement;
    code = code << 6 | (byte & 0x3F);
  }
  static constexpr std::array<char32_t, 4> kSmallest = {0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[static_cast<std::size_t>(following)] || code > 0x10FFFF ||
      (code >= 0xD800 && code < 0xE000)) {
    return kReplacement;
  }
  at += static_cast<std::size_t>(following);
  return code;
}

/// Controls, and the characters that turn or hide the text around them.
bool unsafe(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029;
}

void widen(std::vector<std::size_t>& widths, const std::vector<std::string>& row) {
  widths.resize(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    widths[i] = std::max(widths[i], display_width(row[i]));
  }
}

/// `right` says which columns are aligned to the right.
void print_row(const std::vector<std::string>& row, const std::vector<std::size_t>& widths,
               const std::vector<bool>& right, int indent) {
  std::string line(static_cast<std::size_t>(indent), ' ');
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string padding(widths[i] - display_width(row[i]), ' ');
    if (i > 0) line += "  ";
    line += right[i] ? padding + row[i] : row[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  fmt::print("{}\n", line);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    const char32_t code = next_code_point(text, at);
    if (code == '\n' || code == '\r' || code == '\t') {
      result += ' ';
    } else if (unsafe(code) || code == kReplacement) {
      result += "\xEF\xBF\xBD";
    } else {
      result += text.substr(start, at - start);
    }
  }
  return result;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const int columns = ::wcwidth(static_cast<wchar_t>(next_code_point(text, at)));
    width += static_cast<std::size_t>(columns < 0 ? 1 : columns);
  }
  return width;
}

std::string clipped(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  std::size_t width = 1;  // of the "…"
  std::size_t at = 0;
  while (true) {
    std::size_t next = at;
    next_code_point(text, next);
    width += display_width(text.substr(at, next - at));
    if (width > columns) return std::string(text.substr(0, at)) + "…";
    at = next;
  }
}

std::string format_time(const google::protobuf::Timestamp& time) {
  using google::protobuf::util::TimeUtil;
  if (time.seconds() == 0 && time.nanos() == 0) return "-";
  if (time.seconds() < TimeUtil::kTimestampMinSeconds ||
      time.seconds() > TimeUtil::kTimestampMaxSeconds) {
    return "?";
  }
  return TimeUtil::ToString(TimeUtil::SecondsToTimestamp(time.seconds()));
}

google::protobuf::Timestamp parse_time(const std::string& text, const std::string& what) {
  static const std::regex kDate("[0-9]{4}-[0-9]{2}-[0-9]{2}");
  google::protobuf::Timestamp time;
  const std::string full = std::regex_match(text, kDate) ? text + "T00:00:00Z" : text;
  if (!google::protobuf::util::TimeUtil::FromString(full, &time)) {
    throw LocalError(fmt::format(
        "{}: \"{}\" is not a time; expected 2026-11-23 or 2026-11-23T08:30:00Z", what, text));
  }
  return time;
}

std::string or_dash(std::string_view text) { return text.empty() ? "-" : std::string(text); }

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
  for (auto& heading : headings_) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
}

void Table::add(std::vector<std::string> cells) {
  for (auto& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::print(int indent) const {
  std::vector<std::size_t> widths;
  widen(widths, headings_);
  for (const auto& row : rows_) widen(widths, row);
  print_row(headings_, widths, right_, indent);
  for (const auto& row : rows_) print_row(row, widths, right_, indent);
}

LiveTable::LiveTable(std::vector<std::string> headings, std::vector<std::size_t> widths)
    : headings_(std::move(headings)), widths_(std::move(widths)) {
  widen(widths_, headings_);
}

void LiveTable::print(std::vector<std::string> cells) {
  for (auto& cell : cells) cell = printable(cell);
  const std::vector<bool> right(cells.size(), false);
  widen(widths_, cells);
  if (!std::exchange(begun_, true)) print_row(headings_, widths_, right, 0);
  print_row(cells, widths_, right, 0);
}

}  // namespace orderd::cli
