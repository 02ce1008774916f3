#include "server/access/key_token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "absl/strings/escaping.h"

namespace orderd::access {
namespace {

constexpr std::string_view kPrefix = "ord_";
constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kIdLength = 2 * kIdBytes;
constexpr std::size_t kSecretLength = 43;

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1) {
    throw std::runtime_error("the system has no random numbers");
  }
  return bytes;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::string KeyToken::text() const {
  std::string text(kPrefix);
  return text.append(key_id).append("_").append(secret);
}

KeyToken new_key_token() {
  return {absl::BytesToHexString(random_bytes(kIdBytes)),
          absl::WebSafeBase64Escape(random_bytes(kSecretBytes))};
}

std::optional<KeyToken> parse_key_token(std::string_view text) {
  if (text.size() != kPrefix.size() + kIdLength + 1 + kSecretLength || !text.starts_with(kPrefix)) {
    return std::nullopt;
  }
  const std::string_view id = text.substr(kPrefix.size(), kIdLength);
  if (!is_hex(id) || text[kPrefix.size() + kIdLength] != '_') return std::nullopt;
  return KeyToken{std::string(id), std::string(text.substr(text.size() - kSecretLength))};
}

std::string secret_hash(std::string_view secret) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), hash.data());
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

bool same_hash(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace orderd::access
