#include "server/payments/stripe_json.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

namespace orderd::payments::stripe {

using Json = nlohmann::json;

const Json& child(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto it = object.find(name);
  return it == object.end() ? none : *it;
}

std::string text(const Json& object, const char* name) {
  const Json& member = child(object, name);
  return member.is_string() ? member.get<std::string>() : std::string();
}

std::string id_of(const Json& reference) {
  return reference.is_string() ? reference.get<std::string>() : text(reference, "id");
}

std::string need_text(const Json& object, const char* name) {
  std::string value = text(object, name);
  if (value.empty()) throw Unusable{"UNREADABLE_ANSWER"};
  return value;
}

std::string need_id(const Json& object, const char* name) {
  std::string id = text(object, name);
  if (!plain_id(id)) throw Unusable{"UNREADABLE_ANSWER"};
  return id;
}

bool plain_id(std::string_view id) {
  return !id.empty() && id.size() <= 255 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::int64_t need_integer(const Json& object, const char* name) {
  const Json& member = child(object, name);
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool fits = member.is_number_integer() &&
                    !(member.is_number_unsigned() && member.get<std::uint64_t>() > kMax);
  if (!fits) throw Unusable{"UNREADABLE_ANSWER"};
  return member.get<std::int64_t>();
}

std::optional<std::int64_t> parse_integer(const std::string& digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace orderd::payments::stripe
