#pragma once

#include "orders/v1/settings_service.grpc.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/raw_methods.h"

namespace orderd::rpc {

namespace detail {
using T = pb::OrderSettingsService;
using SettingsServiceBase = RawMethods<
    T, T::WithRawCallbackMethod_CreateOrderState, T::WithRawCallbackMethod_GetOrderState,
    T::WithRawCallbackMethod_ListOrderStates, T::WithRawCallbackMethod_UpdateOrderState,
    T::WithRawCallbackMethod_DeleteOrderState, T::WithRawCallbackMethod_CreateDeliveryState,
    T::WithRawCallbackMethod_GetDeliveryState, T::WithRawCallbackMethod_ListDeliveryStates,
    T::WithRawCallbackMethod_UpdateDeliveryState, T::WithRawCallbackMethod_DeleteDeliveryState,
    T::WithRawCallbackMethod_CreateShipmentMethod, T::WithRawCallbackMethod_GetShipmentMethod,
    T::WithRawCallbackMethod_ListShipmentMethods, T::WithRawCallbackMethod_UpdateShipmentMethod,
    T::WithRawCallbackMethod_DeleteShipmentMethod>::Base;
}  // namespace detail

/// The adapters of `orders.v1.OrderSettingsService`.
class SettingsService final : public detail::SettingsServiceBase {
 public:
  SettingsService(const Guard& guard, Backend& backend) : guard_(guard), backend_(backend) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateOrderState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetOrderState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListOrderStates(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateOrderState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteOrderState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* CreateDeliveryState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetDeliveryState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListDeliveryStates(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateDeliveryState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteDeliveryState(Context* context, const Bytes* in, Bytes* out) override;
  Unary* CreateShipmentMethod(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetShipmentMethod(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListShipmentMethods(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateShipmentMethod(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteShipmentMethod(Context* context, const Bytes* in, Bytes* out) override;

 private:
  const Guard& guard_;
  Backend& backend_;
};

}  // namespace orderd::rpc
