#include "server/rpc/permissions.h"

#include <algorithm>
#include <unordered_map>

namespace orderd::rpc {
namespace {

constexpr std::string_view kOrders = "orders.v1.OrderService";
constexpr std::string_view kSettings = "orders.v1.OrderSettingsService";
constexpr std::string_view kAccess = "orders.v1.AccessService";
constexpr std::string_view kSandbox = "orders.sandbox.v1.SandboxService";

constexpr Permission kPermissions[] = {
    {kOrders, "CreateOrder", pb::ROLE_OPERATOR},
    {kOrders, "ImportOrders", pb::ROLE_ADMIN},
    {kOrders, "GetOrder", pb::ROLE_VIEWER},
    {kOrders, "BatchGetOrders", pb::ROLE_VIEWER},
    {kOrders, "ListOrders", pb::ROLE_VIEWER},
    {kOrders, "UpdateOrder", pb::ROLE_OPERATOR},
    {kOrders, "UpdateOrderStatus", pb::ROLE_OPERATOR},
    {kOrders, "BatchUpdateOrderStatus", pb::ROLE_OPERATOR},
    {kOrders, "UpdateInvoice", pb::ROLE_OPERATOR},
    {kOrders, "UpdateShipments", pb::ROLE_OPERATOR},
    {kOrders, "AddPayment", pb::ROLE_FINANCE},
    {kOrders, "CapturePayment", pb::ROLE_FINANCE},
    {kOrders, "VoidPayment", pb::ROLE_FINANCE},
    {kOrders, "RefundPayment", pb::ROLE_FINANCE},
    {kOrders, "SyncPayments", pb::ROLE_FINANCE},
    {kOrders, "ListTransactions", pb::ROLE_VIEWER},
    {kOrders, "ListUnresolvedTransactions", pb::ROLE_VIEWER},
    {kOrders, "ResolveTransaction", pb::ROLE_FINANCE},
    {kOrders, "CancelOrder", pb::ROLE_FINANCE},
    {kOrders, "AbandonCancellation", pb::ROLE_ADMIN},
    {kOrders, "ListEmails", pb::ROLE_VIEWER},
    {kOrders, "RetryEmail", pb::ROLE_OPERATOR},
    {kOrders, "AddNote", pb::ROLE_OPERATOR},
    {kOrders, "UpdateNote", pb::ROLE_OPERATOR},
    {kOrders, "DeleteNote", pb::ROLE_OPERATOR},
    {kOrders, "ListNotes", pb::ROLE_VIEWER},
    {kOrders, "ListOrderEvents", pb::ROLE_VIEWER},
    {kOrders, "WatchOrders", pb::ROLE_VIEWER},
    {kOrders, "EraseCustomerData", pb::ROLE_ADMIN},
    {kOrders, "ListErasures", pb::ROLE_ADMIN},
    {kSettings, "CreateOrderState", pb::ROLE_ADMIN},
    {kSettings, "GetOrderState", pb::ROLE_VIEWER},
    {kSettings, "ListOrderStates", pb::ROLE_VIEWER},
    {kSettings, "UpdateOrderState", pb::ROLE_ADMIN},
    {kSettings, "DeleteOrderState", pb::ROLE_ADMIN},
    {kSettings, "CreateDeliveryState", pb::ROLE_ADMIN},
    {kSettings, "GetDeliveryState", pb::ROLE_VIEWER},
    {kSettings, "ListDeliveryStates", pb::ROLE_VIEWER},
    {kSettings, "UpdateDeliveryState", pb::ROLE_ADMIN},
    {kSettings, "DeleteDeliveryState", pb::ROLE_ADMIN},
    {kSettings, "CreateShipmentMethod", pb::ROLE_ADMIN},
    {kSettings, "GetShipmentMethod", pb::ROLE_VIEWER},
    {kSettings, "ListShipmentMethods", pb::ROLE_VIEWER},
    {kSettings, "UpdateShipmentMethod", pb::ROLE_ADMIN},
    {kSettings, "DeleteShipmentMethod", pb::ROLE_ADMIN},
    {kAccess, "CreateApiKey", pb::ROLE_ADMIN},
    {kAccess, "ListApiKeys", pb::ROLE_ADMIN},
    {kAccess, "RevokeApiKey", pb::ROLE_ADMIN},
    {kSandbox, "Authorize", pb::ROLE_FINANCE},
    {kSandbox, "SimulateEvent", pb::ROLE_FINANCE},
    {kSandbox, "SetCapabilities", pb::ROLE_ADMIN},
    {kSandbox, "AddFault", pb::ROLE_ADMIN},
    {kSandbox, "ClearFaults", pb::ROLE_ADMIN},
    {kSandbox, "GetLedgerPayment", pb::ROLE_VIEWER},
    {kSandbox, "ListLedgerPayments", pb::ROLE_VIEWER},
};

}  // namespace

std::span<const Permission> permissions() { return kPermissions; }

pb::Role required_role(std::string_view method) {
  static const auto* roles = [] {
    auto* all = new std::unordered_map<std::string_view, pb::Role>;
    for (const Permission& permission : kPermissions)
      all->emplace(permission.method, permission.role);
    return all;
  }();
  const auto it = roles->find(method);
  return it == roles->end() ? pb::ROLE_UNSPECIFIED : it->second;
}

pb::Role role_for_fields(const pb::BatchUpdateOrderStatusRequest& request) {
  const bool forces =
      std::ranges::any_of(request.updates(), [](const auto& item) { return item.force(); });
  return forces ? pb::ROLE_ADMIN : pb::ROLE_UNSPECIFIED;
}

}  // namespace orderd::rpc
