#pragma once

#include <optional>
#include <string_view>

#include "orders/v1/access_service.pb.h"
#include "storage/model.h"

namespace orderd::access {

/// "viewer", "operator", "finance" or "admin"; "nobody" for ROLE_UNSPECIFIED.
std::string_view role_name(pb::Role role);
std::optional<pb::Role> role_of(std::string_view name);

}  // namespace orderd::access
