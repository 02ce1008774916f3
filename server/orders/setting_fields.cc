#include "server/orders/setting_fields.h"

#include <algorithm>

#include <fmt/format.h>

#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

constexpr std::size_t kMaxSlug = 64;

bool is_slug(std::string_view text) {
  auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !text.empty() && text.size() <= kMaxSlug && letter(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return letter(c) || digit(c) || c == '-' || c == '_'; });
}

}  // namespace

void check_slug(std::string_view text, const std::string& field, errors::Violations& violations) {
  if (!is_slug(text)) {
    violations.add(field, "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\", starting with a letter");
  }
}

void check_mask(const google::protobuf::FieldMask& mask,
                std::span<const std::string_view> changeable, errors::Violations& violations) {
  if (mask.paths().empty()) violations.add("update_mask", "must name at least one field");
  for (int i = 0; i < mask.paths_size(); ++i) {
    const auto& path = mask.paths(i);
    if (std::find(changeable.begin(), changeable.end(), path) == changeable.end()) {
      violations.add(fmt::format("update_mask.paths[{}]", i),
                     fmt::format("\"{}\" is not a field that can be changed", shown(path)));
    }
  }
}

}  // namespace orderd::rules
