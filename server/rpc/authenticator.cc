#include "server/rpc/authenticator.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace orderd::rpc {
namespace {

constexpr std::string_view kBearer = "bearer ";

/// The key in the value of `authorization`; empty if it holds something else.
std::string_view bearer_token(std::string_view value) {
  const bool is_bearer =
      value.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), value.begin(), [](char lower, char c) {
        return c == lower || (c >= 'A' && c <= 'Z' && c + 32 == lower);
      });
  if (!is_bearer) return {};
  value.remove_prefix(kBearer.size());
  return value;
}

/// In PEM, the caller's own first; empty if it showed none.
std::string certificates_of(const grpc::CallbackServerContext& context) {
  const auto connection = context.auth_context();
  if (connection == nullptr) return {};
  std::string pem;
  // OpenSSL's chain on the side of the server is without the certificate itself.
  for (const char* name :
       {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    const auto values = connection->FindPropertyValues(name);
    if (!values.empty()) pem.append(values.front().data(), values.front().size());
  }
  return pem;
}

}  // namespace

access::Identified AccessAuthenticator::identify(const grpc::CallbackServerContext& context) const {
  if (keyring_.open()) return LocalAuthenticator().identify(context);
  const auto [first, last] = context.client_metadata().equal_range("authorization");
  if (first != last) {
    // Who sends two says nothing certain.
    const std::string_view token = std::next(first) == last
                                       ? bearer_token({first->second.data(), first->second.size()})
                                       : std::string_view();
    if (token.empty()) return {std::nullopt, "malformed authorization"};
    return keyring_.identify(token);
  }
  if (certificates_ != nullptr) {
    const std::string chain = certificates_of(context);
    if (!chain.empty()) return certificates_->identify(chain);
  }
  return {std::nullopt, "no credential"};
}

}  // namespace orderd::rpc
