#include "server/notify/text.h"

#include <optional>

#include "server/orders/utf8.h"

namespace orderd::notify {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Calls `take(code_point, bytes)` for each code point; 0xFFFD for a byte that starts none.
template <typename Take>
void for_each_code_point(std::string_view text, const Take& take) {
  while (!text.empty()) {
    const auto point = rules::decode(text);
    const std::size_t length = point ? point->length : 1;
    take(point ? point->value : U'\uFFFD', point ? text.substr(0, length) : kReplacement);
    text.remove_prefix(length);
  }
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string line;
  bool space = false;
  for_each_code_point(text, [&](char32_t point, std::string_view bytes) {
    if (rules::is_control(point) || rules::is_white_space(point)) {
      space = true;
      return;
    }
    if (space && !line.empty()) line += ' ';
    space = false;
    line += bytes;
  });
  return line;
}

std::string crlf_lines(std::string_view text) {
  std::string lines;
  lines.reserve(text.size() + text.size() / 32);
  char32_t last = 0;
  for_each_code_point(text, [&](char32_t point, std::string_view bytes) {
    if (point == '\r' || (point == '\n' && last != '\r')) {
      lines += "\r\n";
    } else if (point == '\t' || !rules::is_control(point)) {
      lines += bytes;
    }
    last = point;
  });
  return lines;
}

}  // namespace orderd::notify
