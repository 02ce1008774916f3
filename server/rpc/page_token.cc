#include "server/rpc/page_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <stdexcept>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/engine/request_hash.h"

namespace orderd::rpc {
namespace {

constexpr std::size_t kMacBytes = 16;
constexpr std::string_view kPage = "page\n";
constexpr std::string_view kWatch = "watch\n";

std::string mac(const std::string& secret, std::string_view data) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(data.data()), data.size(), out.data(),
           &size) == nullptr) {
    throw std::runtime_error("HMAC failed");
  }
  return {reinterpret_cast<const char*>(out.data()), kMacBytes};
}

}  // namespace

std::string PageTokens::seal_bytes(std::string_view purpose, const std::string& body) const {
  return absl::WebSafeBase64Escape(
      absl::StrCat(mac(secret_, absl::StrCat(std::string(purpose), body)), body));
}

std::optional<std::string> PageTokens::open_bytes(std::string_view purpose,
                                                  std::string_view text) const {
  std::string raw;
  // Decoding is lenient (padding, spare bits); writing it again makes it strict.
  if (!absl::WebSafeBase64Unescape({text.data(), text.size()}, &raw) ||
      absl::WebSafeBase64Escape(raw) != text || raw.size() < kMacBytes) {
    return std::nullopt;
  }
  std::string body = raw.substr(kMacBytes);
  const std::string expected = mac(secret_, absl::StrCat(std::string(purpose), body));
  if (CRYPTO_memcmp(expected.data(), raw.data(), kMacBytes) != 0) return std::nullopt;
  return body;
}

std::string PageTokens::seal(const internal::PageToken& token) const {
  return seal_bytes(kPage, token.SerializeAsString());
}

std::optional<internal::PageToken> PageTokens::open(std::string_view text,
                                                    std::string_view scope) const {
  const auto body = open_bytes(kPage, text);
  internal::PageToken token;
  if (!body || !token.ParseFromString(*body) || token.scope() != scope) return std::nullopt;
  return token;
}

std::string PageTokens::seal(const internal::WatchToken& token) const {
  return seal_bytes(kWatch, token.SerializeAsString());
}

std::optional<internal::WatchToken> PageTokens::open_watch(std::string_view text) const {
  const auto body = open_bytes(kWatch, text);
  internal::WatchToken token;
  if (!body || !token.ParseFromString(*body)) return std::nullopt;
  return token;
}

std::string page_scope(std::string_view method, const google::protobuf::Message& query) {
  const std::string scoped = absl::StrCat(std::string(method), "\n", engine::body_hash(query));
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  if (EVP_Digest(scoped.data(), scoped.size(), out.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 failed");
  }
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace orderd::rpc
