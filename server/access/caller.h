#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "orders/v1/access_service.pb.h"
#include "storage/model.h"

namespace orderd {

/// Who calls, and what they may do.
struct Caller {
  std::string identity;
  /// ROLE_UNSPECIFIED: nothing.
  pb::Role role = pb::ROLE_UNSPECIFIED;
};

namespace access {

/// A caller, or why there is none: for the log, never for the caller.
struct Identified {
  std::optional<Caller> caller;
  std::string_view why_not;
};

/// Identities that are no names of keys.
inline constexpr std::string_view kLocal = "local";
inline constexpr std::string_view kAdminKeyFile = "admin-key-file";
/// What the server does by itself.
inline constexpr std::string_view kServer = "orderd";

}  // namespace access
}  // namespace orderd
