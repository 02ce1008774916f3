#pragma once

#include "orders/v1/settings_service.grpc.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"

namespace orderd::rpc {

namespace detail {
using T = pb::OrderSettingsService;
using SettingsServiceBase =
    T::WithRawCallbackMethod_CreateOrderState<T::WithRawCallbackMethod_GetOrderState<
        T::WithRawCallbackMethod_ListOrderStates<T::WithRawCallbackMethod_UpdateOrderState<
            T::WithRawCallbackMethod_DeleteOrderState<T::Service>>>>>;
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

 private:
  const Guard& guard_;
  Backend& backend_;
};

}  // namespace orderd::rpc
