#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "orders/v1/access_service.grpc.pb.h"
#include "orders/v1/order_service.grpc.pb.h"
#include "orders/v1/settings_service.grpc.pb.h"

namespace orderd::testing {

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

/// An error with an ErrorInfo and, if `retry_ms` is not negative, a RetryInfo.
inline google::rpc::Status rich_error(grpc::StatusCode code, const std::string& reason,
                                      int retry_ms = -1) {
  google::rpc::Status rich;
  rich.set_code(code);
  rich.set_message("refused: " + reason);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("orders.v1");
  (*info.mutable_metadata())["current_etag"] = "7";
  rich.add_details()->PackFrom(info);
  if (retry_ms >= 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(retry_ms % 1000 * 1'000'000);
    rich.add_details()->PackFrom(retry);
  }
  return rich;
}

inline grpc::Status to_grpc(const google::rpc::Status& rich) {
  return {static_cast<grpc::StatusCode>(rich.code()), rich.message(), rich.SerializeAsString()};
}

/// The services on a free port. Every call is recorded; a call first meets the next of `faults`.
class FakeServer {
 public:
  struct Call {
    std::string method;
    std::string request_id;
    std::string request;  // serialized
    std::string user_agent;
    std::string authorization;
    std::chrono::system_clock::time_point deadline;
  };
  using Fault = std::function<grpc::Status(grpc::ServerContext&)>;
  using WatchWriter = grpc::ServerWriter<pb::WatchOrdersResponse>;
  using ImportStream = grpc::ServerReaderWriter<pb::ImportOrdersResponse, pb::ImportOrdersRequest>;

  explicit FakeServer(int port = 0)
      : orders_(*this), settings_(*this), access_(*this), gateway_(*this) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&orders_);
    builder.RegisterService(&settings_);
    builder.RegisterService(&access_);
    builder.RegisterService(&gateway_);
    server_ = builder.BuildAndStart();
    say_serving(true);
  }
  ~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  /// What health checks are told.
  void say_serving(bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(pb::OrderService::service_full_name(),
                                                       serving);
  }

  void fail_next(const grpc::Status& status, int times = 1) {
    std::lock_guard lock(mutex_);
    for (int i = 0; i < times; ++i) {
      faults_.push_back([status](grpc::ServerContext&) { return status; });
    }
  }
  void fail_next(Fault fault) {
    std::lock_guard lock(mutex_);
    faults_.push_back(std::move(fault));
  }
  std::vector<Call> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

  // What the calls answer beyond the default. Set before the first call.
  std::function<void(const pb::GetOrderRequest&, pb::GetOrderResponse&)> on_get_order;
  std::function<void(const pb::ListOrdersRequest&, pb::ListOrdersResponse&)> on_list_orders;
  std::function<void(const pb::ListNotesRequest&, pb::ListNotesResponse&)> on_list_notes;
  std::function<void(const pb::UpdateOrderRequest&, pb::UpdateOrderResponse&)> on_update_order;
  std::function<void(const pb::BatchUpdateOrderStatusRequest&, pb::BatchUpdateOrderStatusResponse&)>
      on_batch;
  std::function<void(const pb::UpdateShipmentsRequest&, pb::UpdateShipmentsResponse&)>
      on_update_shipments;
  std::function<void(const pb::ListOrderStatesRequest&, pb::ListOrderStatesResponse&)>
      on_list_states;
  std::function<void(const pb::ListDeliveryStatesRequest&, pb::ListDeliveryStatesResponse&)>
      on_list_delivery_states;
  std::function<void(const pb::ListShipmentMethodsRequest&, pb::ListShipmentMethodsResponse&)>
      on_list_methods;
  std::function<void(const pb::GetShipmentMethodRequest&, pb::GetShipmentMethodResponse&)>
      on_get_method;
  std::function<void(const pb::AddPaymentRequest&, pb::AddPaymentResponse&)> on_add_payment;
  std::function<void(const pb::CapturePaymentRequest&, pb::CapturePaymentResponse&)> on_capture;
  std::function<void(const pb::VoidPaymentRequest&, pb::VoidPaymentResponse&)> on_void;
  std::function<void(const pb::RefundPaymentRequest&, pb::RefundPaymentResponse&)> on_refund;
  std::function<void(const pb::SyncPaymentsRequest&, pb::SyncPaymentsResponse&)> on_sync;
  std::function<void(const pb::ResolveTransactionRequest&, pb::ResolveTransactionResponse&)>
      on_resolve;
  std::function<void(const pb::ListTransactionsRequest&, pb::ListTransactionsResponse&)>
      on_list_transactions;
  std::function<void(const pb::ListUnresolvedTransactionsRequest&,
                     pb::ListUnresolvedTransactionsResponse&)>
      on_list_unresolved;
  std::function<void(const pb::CancelOrderRequest&, pb::CancelOrderResponse&)> on_cancel;
  std::function<void(const pb::AbandonCancellationRequest&, pb::AbandonCancellationResponse&)>
      on_abandon;
  std::function<void(const pb::ListEmailsRequest&, pb::ListEmailsResponse&)> on_list_emails;
  std::function<void(const pb::RetryEmailRequest&, pb::RetryEmailResponse&)> on_retry_email;
  std::function<void(const pb::ListOrderEventsRequest&, pb::ListOrderEventsResponse&)>
      on_list_events;
  std::function<void(const pb::EraseCustomerDataRequest&, pb::EraseCustomerDataResponse&)> on_erase;
  std::function<void(const pb::ListErasuresRequest&, pb::ListErasuresResponse&)> on_list_erasures;
  std::function<void(const sandbox::AuthorizeRequest&, sandbox::AuthorizeResponse&)> on_authorize;
  /// `attempt` counts the streams from 0.
  std::function<grpc::Status(int attempt, grpc::ServerContext&, ImportStream&)> on_import;

  /// `attempt` counts the watches from 0.
  std::function<grpc::Status(int attempt, grpc::ServerContext&, const pb::WatchOrdersRequest&,
                             WatchWriter&)>
      on_watch;

 private:
  template <class Request>
  static std::string request_id(const Request& request) {
    if constexpr (requires { request.request_id(); }) return request.request_id();
    return "";
  }

  static std::string metadata(const grpc::ServerContext& context, const std::string& name) {
    const auto it = context.client_metadata().find(name);
    if (it == context.client_metadata().end()) return "";
    return {it->second.data(), it->second.size()};
  }

  template <class Request>
  grpc::Status enter(const std::string& method, grpc::ServerContext& context,
                     const Request& request) {
    Fault fault;
    {
      std::lock_guard lock(mutex_);
      calls_.push_back({method, request_id(request), request.SerializeAsString(),
                        metadata(context, "user-agent"), metadata(context, "authorization"),
                        context.deadline()});
      if (!faults_.empty()) {
        fault = std::move(faults_.front());
        faults_.pop_front();
      }
    }
    return fault ? fault(context) : grpc::Status::OK;
  }

  template <class Request, class Response>
  grpc::Status unary(const std::string& method, grpc::ServerContext& context,
                     const Request& request, Response& response,
                     const std::function<void(const Request&, Response&)>& answer = nullptr) {
    if (auto status = enter(method, context, request); !status.ok()) return status;
    if constexpr (requires { response.set_changed(true); }) response.set_changed(true);
    if (answer) answer(request, response);
    return grpc::Status::OK;
  }

#define UNARY(Method, answer)                                                                  \
  grpc::Status Method(grpc::ServerContext* context, const pb::Method##Request* request,        \
                      pb::Method##Response* response) override {                               \
    return fake_.unary<pb::Method##Request, pb::Method##Response>(#Method, *context, *request, \
                                                                  *response, answer);          \
  }

  class Orders final : public pb::OrderService::Service {
   public:
    explicit Orders(FakeServer& fake) : fake_(fake) {}
    UNARY(CreateOrder, nullptr)
    UNARY(GetOrder, fake_.on_get_order)
    UNARY(BatchGetOrders, nullptr)
    UNARY(ListOrders, fake_.on_list_orders)
    UNARY(UpdateOrder, fake_.on_update_order)
    UNARY(UpdateOrderStatus, nullptr)
    UNARY(BatchUpdateOrderStatus, fake_.on_batch)
    UNARY(UpdateInvoice, nullptr)
    UNARY(UpdateShipments, fake_.on_update_shipments)
    UNARY(AddNote, nullptr)
    UNARY(UpdateNote, nullptr)
    UNARY(DeleteNote, nullptr)
    UNARY(ListNotes, fake_.on_list_notes)
    UNARY(AddPayment, fake_.on_add_payment)
    UNARY(CapturePayment, fake_.on_capture)
    UNARY(VoidPayment, fake_.on_void)
    UNARY(RefundPayment, fake_.on_refund)
    UNARY(SyncPayments, fake_.on_sync)
    UNARY(ResolveTransaction, fake_.on_resolve)
    UNARY(ListTransactions, fake_.on_list_transactions)
    UNARY(ListUnresolvedTransactions, fake_.on_list_unresolved)
    UNARY(CancelOrder, fake_.on_cancel)
    UNARY(AbandonCancellation, fake_.on_abandon)
    UNARY(ListEmails, fake_.on_list_emails)
    UNARY(RetryEmail, fake_.on_retry_email)
    UNARY(ListOrderEvents, fake_.on_list_events)
    UNARY(EraseCustomerData, fake_.on_erase)
    UNARY(ListErasures, fake_.on_list_erasures)

    grpc::Status ImportOrders(grpc::ServerContext* context, ImportStream* stream) override {
      const auto status = fake_.enter("ImportOrders", *context, pb::ImportOrdersRequest());
      if (!status.ok()) return status;
      int attempt = 0;
      {
        std::lock_guard lock(fake_.mutex_);
        attempt = fake_.imports_++;
      }
      return fake_.on_import(attempt, *context, *stream);
    }

    grpc::Status WatchOrders(grpc::ServerContext* context, const pb::WatchOrdersRequest* request,
                             WatchWriter* writer) override {
      int attempt = 0;
      {
        std::lock_guard lock(fake_.mutex_);
        attempt = fake_.watches_++;
      }
      if (auto status = fake_.enter("WatchOrders", *context, *request); !status.ok()) return status;
      return fake_.on_watch(attempt, *context, *request, *writer);
    }

   private:
    FakeServer& fake_;
  };

  class Settings final : public pb::OrderSettingsService::Service {
   public:
    explicit Settings(FakeServer& fake) : fake_(fake) {}
    UNARY(CreateOrderState, nullptr)
    UNARY(GetOrderState, nullptr)
    UNARY(ListOrderStates, fake_.on_list_states)
    UNARY(UpdateOrderState, nullptr)
    UNARY(DeleteOrderState, nullptr)
    UNARY(CreateDeliveryState, nullptr)
    UNARY(GetDeliveryState, nullptr)
    UNARY(ListDeliveryStates, fake_.on_list_delivery_states)
    UNARY(UpdateDeliveryState, nullptr)
    UNARY(DeleteDeliveryState, nullptr)
    UNARY(CreateShipmentMethod, nullptr)
    UNARY(GetShipmentMethod, fake_.on_get_method)
    UNARY(ListShipmentMethods, fake_.on_list_methods)
    UNARY(UpdateShipmentMethod, nullptr)
    UNARY(DeleteShipmentMethod, nullptr)

   private:
    FakeServer& fake_;
  };

  class Access final : public pb::AccessService::Service {
   public:
    explicit Access(FakeServer& fake) : fake_(fake) {}
    UNARY(CreateApiKey, nullptr)
    UNARY(ListApiKeys, nullptr)
    UNARY(RevokeApiKey, nullptr)

   private:
    FakeServer& fake_;
  };
#undef UNARY

  class Gateway final : public sandbox::SandboxService::Service {
   public:
    explicit Gateway(FakeServer& fake) : fake_(fake) {}
    grpc::Status Authorize(grpc::ServerContext* context, const sandbox::AuthorizeRequest* request,
                           sandbox::AuthorizeResponse* response) override {
      return fake_.unary<sandbox::AuthorizeRequest, sandbox::AuthorizeResponse>(
          "Authorize", *context, *request, *response, fake_.on_authorize);
    }

   private:
    FakeServer& fake_;
  };

  mutable std::mutex mutex_;
  std::deque<Fault> faults_;
  std::vector<Call> calls_;
  int imports_ = 0;
  int watches_ = 0;

  Orders orders_;
  Settings settings_;
  Access access_;
  Gateway gateway_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace orderd::testing
