#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// UTF-8 as of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.

namespace orderd::rules {

struct CodePoint {
  char32_t value = 0;
  /// How many bytes it takes.
  std::size_t length = 0;
};

/// The first code point of a text that is not empty; nothing if the text does not start with one.
std::optional<CodePoint> decode(std::string_view text);

/// How many code points the text has; nothing if it is not valid UTF-8.
std::optional<std::size_t> count_code_points(std::string_view text);

/// Unicode general category Cc.
bool is_control(char32_t code_point);
/// Unicode property White_Space.
bool is_white_space(char32_t code_point);

/// A text of a caller's for use in a message: at most `max` characters, with whatever could mislead
/// a reader or a terminal (control and direction characters, invalid bytes) escaped.
std::string shown(std::string_view text, std::size_t max = 64);

}  // namespace orderd::rules
