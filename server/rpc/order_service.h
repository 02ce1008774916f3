#pragma once

#include "orders/v1/order_service.grpc.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/page_token.h"
#include "server/rpc/raw_methods.h"

namespace orderd::rpc {

namespace detail {
using S = pb::OrderService;
using OrderServiceBase =
    RawMethods<S, S::WithRawCallbackMethod_CreateOrder, S::WithRawCallbackMethod_ImportOrders,
               S::WithRawCallbackMethod_GetOrder, S::WithRawCallbackMethod_BatchGetOrders,
               S::WithRawCallbackMethod_ListOrders, S::WithRawCallbackMethod_UpdateOrder,
               S::WithRawCallbackMethod_UpdateOrderStatus,
               S::WithRawCallbackMethod_BatchUpdateOrderStatus,
               S::WithRawCallbackMethod_UpdateInvoice, S::WithRawCallbackMethod_UpdateShipments,
               S::WithRawCallbackMethod_AddPayment, S::WithRawCallbackMethod_CapturePayment,
               S::WithRawCallbackMethod_VoidPayment, S::WithRawCallbackMethod_RefundPayment,
               S::WithRawCallbackMethod_SyncPayments, S::WithRawCallbackMethod_ListTransactions,
               S::WithRawCallbackMethod_ListUnresolvedTransactions,
               S::WithRawCallbackMethod_ResolveTransaction, S::WithRawCallbackMethod_CancelOrder,
               S::WithRawCallbackMethod_AbandonCancellation, S::WithRawCallbackMethod_ListEmails,
               S::WithRawCallbackMethod_RetryEmail, S::WithRawCallbackMethod_AddNote,
               S::WithRawCallbackMethod_UpdateNote, S::WithRawCallbackMethod_DeleteNote,
               S::WithRawCallbackMethod_ListNotes, S::WithRawCallbackMethod_ListOrderEvents,
               S::WithRawCallbackMethod_WatchOrders, S::WithRawCallbackMethod_EraseCustomerData,
               S::WithRawCallbackMethod_ListErasures>::Base;
}  // namespace detail

/// The adapters of `orders.v1.OrderService`: a request becomes a command or a read, an answer
/// becomes a response. No rules.
class OrderService final : public detail::OrderServiceBase {
 public:
  OrderService(const Guard& guard, Backend& backend)
      : guard_(guard), backend_(backend), tokens_(backend.secret) {}

  /// Once, if the backend had none, before the first call.
  void set_secret(std::string secret) { tokens_.set_secret(std::move(secret)); }

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateOrder(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* ImportOrders(Context* context) override;
  Unary* GetOrder(Context* context, const Bytes* in, Bytes* out) override;
  Unary* BatchGetOrders(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListOrders(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateOrder(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateOrderStatus(Context* context, const Bytes* in, Bytes* out) override;
  Unary* BatchUpdateOrderStatus(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateInvoice(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateShipments(Context* context, const Bytes* in, Bytes* out) override;
  Unary* AddPayment(Context* context, const Bytes* in, Bytes* out) override;
  Unary* CapturePayment(Context* context, const Bytes* in, Bytes* out) override;
  Unary* VoidPayment(Context* context, const Bytes* in, Bytes* out) override;
  Unary* RefundPayment(Context* context, const Bytes* in, Bytes* out) override;
  Unary* SyncPayments(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListTransactions(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListUnresolvedTransactions(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ResolveTransaction(Context* context, const Bytes* in, Bytes* out) override;
  Unary* CancelOrder(Context* context, const Bytes* in, Bytes* out) override;
  Unary* AbandonCancellation(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListEmails(Context* context, const Bytes* in, Bytes* out) override;
  Unary* RetryEmail(Context* context, const Bytes* in, Bytes* out) override;
  Unary* AddNote(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UpdateNote(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteNote(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListNotes(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListOrderEvents(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerWriteReactor<Bytes>* WatchOrders(Context* context, const Bytes* in) override;
  Unary* EraseCustomerData(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListErasures(Context* context, const Bytes* in, Bytes* out) override;

 private:
  const Guard& guard_;
  Backend& backend_;
  PageTokens tokens_;
};

}  // namespace orderd::rpc
