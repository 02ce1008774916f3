#include "server/orders/text.h"

#include <fmt/format.h>

#include "server/orders/utf8.h"
#include "storage/uuid.h"

namespace orderd::rules {
namespace {

/// Adds what is wrong with the length; `count` is that of the characters.
void check_length(std::size_t count, std::size_t min, std::size_t max, const std::string& field,
                  errors::Violations& violations) {
  if (count == 0 && min > 0) {
    violations.add(field, "must not be empty");
  } else if (count < min || count > max) {
    violations.add(field, fmt::format("must have {} to {} characters, not {}", min, max, count));
  }
}

}  // namespace

void check_text(std::string_view text, std::size_t min, std::size_t max, const std::string& field,
                errors::Violations& violations) {
  auto count = count_code_points(text);
  if (!count) {
    violations.add(field, "must be valid UTF-8");
    return;
  }
  if (text.find('\0') != text.npos) violations.add(field, "must not contain U+0000");
  check_length(*count, min, max, field, violations);
}

void check_number(std::string_view text, std::size_t min, std::size_t max, const std::string& field,
                  errors::Violations& violations) {
  std::size_t count = 0;
  bool control = false;
  for (std::string_view rest = trimmed(text); !rest.empty(); ++count) {
    auto next = decode(rest);
    if (!next) {
      violations.add(field, "must be valid UTF-8");
      return;
    }
    control = control || is_control(next->value);
    rest.remove_prefix(next->length);
  }
  if (control) violations.add(field, "must not contain control characters");
  check_length(count, min, max, field, violations);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty()) {
    auto first = decode(text);
    if (!first || !is_white_space(first->value)) break;
    text.remove_prefix(first->length);
  }
  while (!text.empty()) {
    std::size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 &&
           (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) {
      --start;
    }
    auto last = decode(text.substr(start));
    if (!last || last->length != text.size() - start || !is_white_space(last->value)) break;
    text.remove_suffix(last->length);
  }
  return text;
}

void check_request_id(std::string_view text, errors::Violations& violations) {
  if (!text.empty() && !Uuid::parse(text)) {
    violations.add("request_id", "must be empty or a UUID in the form 8-4-4-4-12");
  }
}

void check_id(std::string_view text, const std::string& field, errors::Violations& violations) {
  check_text(text, 1, 64, field, violations);
}

}  // namespace orderd::rules
