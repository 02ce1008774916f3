#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace orderd::access {

/// What a caller has of an API key: "ord_", the id, "_" and the secret.
struct KeyToken {
  std::string key_id;
  /// 256 random bits, in 43 characters.
  std::string secret;

  std::string text() const;
};

/// From the system's random numbers.
KeyToken new_key_token();

/// Nothing if the text has another form.
std::optional<KeyToken> parse_key_token(std::string_view text);

/// SHA-256 of a secret: what is kept of it. It needs no salt and no slow hash, since nobody can
/// guess 256 random bits.
std::string secret_hash(std::string_view secret);

/// Compares hashes of secrets in a time that does not depend on where they differ. All secrets are
/// compared here.
bool same_hash(std::string_view a, std::string_view b);

}  // namespace orderd::access
