#include "server/access/requests.h"

#include <algorithm>

#include "server/access/caller.h"
#include "server/orders/fields.h"

namespace orderd::rules {
namespace {

constexpr std::size_t kMaxName = 64;

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Without a colon, which identities of certificates have.
bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName && is_alphanumeric(name.front()) &&
         std::ranges::all_of(name, [](char c) {
           return is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == '@';
         });
}

}  // namespace

absl::Status validate(const pb::CreateApiKeyRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  if (!is_name(request.name())) {
    violations.add("name",
                   "must be 1 to 64 letters, digits, \".\", \"_\", \"-\" and \"@\", and begin with "
                   "a letter or digit");
  } else if (request.name() == access::kLocal || request.name() == access::kServer ||
             request.name() == access::kAdminKeyFile) {
    violations.add("name", "is reserved");
  }
  if (request.role() == pb::ROLE_UNSPECIFIED || !pb::Role_IsValid(request.role())) {
    violations.add("role", "must be one of the roles");
  }
  if (request.has_expire_time()) check_time(request.expire_time(), "expire_time", violations);
  return violations.status();
}

absl::Status validate(const pb::ListApiKeysRequest& request) {
  errors::Violations violations;
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status validate(const pb::RevokeApiKeyRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  check_id(request.key_id(), "key_id", violations);
  return violations.status();
}

}  // namespace orderd::rules
