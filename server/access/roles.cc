#include "server/access/roles.h"

namespace orderd::access {

std::string_view role_name(pb::Role role) {
  switch (role) {
    case pb::ROLE_VIEWER:
      return "viewer";
    case pb::ROLE_OPERATOR:
      return "operator";
    case pb::ROLE_FINANCE:
      return "finance";
    case pb::ROLE_ADMIN:
      return "admin";
    default:
      return "nobody";
  }
}

std::optional<pb::Role> role_of(std::string_view name) {
  for (const pb::Role role :
       {pb::ROLE_VIEWER, pb::ROLE_OPERATOR, pb::ROLE_FINANCE, pb::ROLE_ADMIN}) {
    if (role_name(role) == name) return role;
  }
  return std::nullopt;
}

}  // namespace orderd::access
