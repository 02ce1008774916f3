#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/errors.h"
#include "server/orders/utf8.h"

// The part of the catalogue that is about who may call.

namespace orderd::errors {

using absl::StatusCode;
using rules::shown;

absl::Status unauthenticated() {
  return Error(
      StatusCode::kUnauthenticated, "UNAUTHENTICATED",
      "The call needs a valid API key (metadata \"authorization: Bearer KEY\") or a client "
      "certificate.");
}

absl::Status permission_denied(std::string_view required_role) {
  return Error(StatusCode::kPermissionDenied, "PERMISSION_DENIED",
               fmt::format("The call needs the role {}.", required_role),
               {{"required_role", required_role}});
}

absl::Status api_key_not_found(std::string_view key_id) {
  return Error(StatusCode::kNotFound, "API_KEY_NOT_FOUND",
               fmt::format("There is no API key \"{}\".", shown(key_id)), {{"key_id", key_id}})
      .resource("api_key", key_id);
}

absl::Status first_key_not_admin() {
  return failed_precondition(
      "FIRST_KEY_NOT_ADMIN",
      "With the first key, callers without one are not let in any more; so it must be one of an "
      "admin, who can make others. Make a key with the role admin first.",
      "api_keys", {});
}

absl::Status too_many_api_keys(int limit) {
  return failed_precondition(
      "TOO_MANY_API_KEYS",
      fmt::format("There are {} API keys already; revoke those that nobody needs.", limit),
      "api_keys", {{"limit", fmt::format("{}", limit)}});
}

}  // namespace orderd::errors
