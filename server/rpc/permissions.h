#pragma once

#include <span>
#include <string>
#include <string_view>

#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/access_service.pb.h"
#include "orders/v1/order_service.pb.h"
#include "storage/model.h"

// Which role each call needs at least. Each role may do all that the lesser ones may.

namespace orderd::rpc {

struct Permission {
  /// As in the descriptors: "orders.v1.OrderService".
  std::string_view service;
  /// No two services have a method of the same name.
  std::string_view method;
  pb::Role role{};
};

/// One entry per method of every service.
std::span<const Permission> permissions();

/// ROLE_UNSPECIFIED for a method without an entry: nobody may call it.
pb::Role required_role(std::string_view method);

/// What a request needs beyond its method's role.
template <class Request>
pb::Role role_for_fields(const Request&) {
  return pb::ROLE_UNSPECIFIED;
}
/// `payments` attaches them, as AddPayment does.
inline pb::Role role_for_fields(const pb::CreateOrderRequest& request) {
  return request.order().payments().empty() ? pb::ROLE_UNSPECIFIED : pb::ROLE_FINANCE;
}
/// `force` overrules what is configured.
inline pb::Role role_for_fields(const pb::UpdateOrderStatusRequest& request) {
  return request.force() ? pb::ROLE_ADMIN : pb::ROLE_UNSPECIFIED;
}
pb::Role role_for_fields(const pb::BatchUpdateOrderStatusRequest& request);

}  // namespace orderd::rpc
