#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace orderd::payments::stripe {

// Reads of JSON that came from outside: nothing here throws what nlohmann's library throws, whose
// texts quote the document.

/// The document is not what Stripe documents. `reason` is a word of ours.
struct Unusable {
  const char* reason;
};

/// The member, or null if there is none.
const nlohmann::json& child(const nlohmann::json& object, const char* name);

/// A member's text; empty if there is none.
std::string text(const nlohmann::json& object, const char* name);

/// The id of an object that may be expanded; empty if it is neither a text nor an object.
std::string id_of(const nlohmann::json& reference);

/// Throw Unusable.
std::string need_text(const nlohmann::json& object, const char* name);
/// The text, if it is one that Stripe could have given as an id.
std::string need_id(const nlohmann::json& object, const char* name);
std::int64_t need_integer(const nlohmann::json& object, const char* name);

/// Letters, digits, `_` and, in ids of ours, `-`.
bool plain_id(std::string_view id);

std::optional<std::int64_t> parse_integer(const std::string& digits);

}  // namespace orderd::payments::stripe
