#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/orders/errors.h"

namespace orderd::rules {

/// Adds a violation unless `text` is valid UTF-8 without U+0000 and has `min` to `max` characters
/// (code points).
void check_text(std::string_view text, std::size_t min, std::size_t max, const std::string& field,
                errors::Violations& violations);

/// As check_text, after trimming, and without control characters: invoice and order numbers,
/// tracking numbers, references.
void check_number(std::string_view text, std::size_t min, std::size_t max, const std::string& field,
                  errors::Violations& violations);

/// Without leading and trailing white space (Unicode White_Space).
std::string_view trimmed(std::string_view text);

/// Adds a violation unless `text` is empty or a UUID.
void check_request_id(std::string_view text, errors::Violations& violations);
/// Adds a violation unless `text` has 1 to 64 characters. An id of another form is just unknown.
void check_id(std::string_view text, const std::string& field, errors::Violations& violations);

}  // namespace orderd::rules
