#include "client/client.h"

#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "client/channel.h"
#include "client/client_impl.h"
#include "client/request_id.h"
#include "client/retry.h"

namespace orderd::client {
namespace {

using std::chrono::milliseconds;

template <class Stub, class Request, class Response>
absl::StatusOr<Response> call(const Options& options, Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  Response response;
  const absl::Status status =
      internal::run_with_retries(options, [&](milliseconds timeout) -> absl::Status {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + timeout);
        internal::add_key(context, options);
        response.Clear();
        return internal::to_status((stub.*method)(&context, request, &response));
      });
  if (!status.ok()) return status;
  return response;
}

template <class Stub, class Request, class Response>
absl::StatusOr<Response> mutate(const Options& options, Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                Request& request) {
  if (request.request_id().empty()) request.set_request_id(new_request_id());
  return call(options, stub, method, request);
}

/// Waits between two tries, and lets gRPC connect meanwhile. It has no thread of its own for that,
/// except one that looks every five seconds: it works on the threads that wait for it.
Options connecting_while_asleep(Options options, const std::shared_ptr<grpc::Channel>& channel) {
  if (!options.sleep) {
    options.sleep = [channel](milliseconds time) {
      const auto end = std::chrono::system_clock::now() + time;
      channel->WaitForConnected(end);
      std::this_thread::sleep_until(end);
    };
  }
  return internal::with_defaults(std::move(options));
}

using Orders = pb::OrderService::Stub;
using Settings = pb::OrderSettingsService::Stub;
using Access = pb::AccessService::Stub;
using Sandbox = sandbox::SandboxService::Stub;
using Health = grpc::health::v1::Health::Stub;

/// The items of all pages: `fetch(request)` gets a page, `items(response)` is where they are.
template <class Item, class Request, class Fetch, class Items>
PagedRange<Item> pages(Request request, Fetch fetch, Items items) {
  std::string token = request.page_token();
  return {[request = std::move(request), fetch = std::move(fetch),
           items](const std::string& page_token) mutable
          -> absl::StatusOr<typename PagedRange<Item>::Page> {
            request.set_page_token(page_token);
            auto response = fetch(request);
            if (!response.ok()) return response.status();
            typename PagedRange<Item>::Page page;
            for (auto& item : *items(*response)) page.items.push_back(std::move(item));
            page.next_page_token = response->next_page_token();
            return page;
          },
          std::move(token)};
}

}  // namespace

Client::Impl::Impl(std::shared_ptr<grpc::Channel> channel, Options options_given, bool own_channel)
    : given(internal::with_key(std::move(options_given))),
      owns_channel(own_channel),
      options(connecting_while_asleep(given, channel)),
      orders(pb::OrderService::NewStub(channel)),
      settings(pb::OrderSettingsService::NewStub(channel)),
      access(pb::AccessService::NewStub(channel)),
      gateway(sandbox::SandboxService::NewStub(channel)),
      health(grpc::health::v1::Health::NewStub(channel)) {}

std::shared_ptr<Client::Impl> Client::Impl::over_new_connection() const {
  if (!owns_channel) return nullptr;
  return std::make_shared<Impl>(internal::connect(given, true), given, true);
}

Client::Client(Options options)
    : impl_(std::make_shared<Impl>(internal::connect(options), std::move(options), true)) {}

Client::Client(std::shared_ptr<grpc::Channel> channel, Options options)
    : impl_(std::make_shared<Impl>(std::move(channel), std::move(options), false)) {}

absl::StatusOr<pb::CreateOrderResponse> Client::create_order(pb::CreateOrderRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::CreateOrder, request);
}

absl::StatusOr<pb::GetOrderResponse> Client::get_order(const pb::GetOrderRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::GetOrder, request);
}

absl::StatusOr<pb::BatchGetOrdersResponse> Client::batch_get_orders(
    const pb::BatchGetOrdersRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::BatchGetOrders, request);
}

absl::StatusOr<pb::UpdateOrderResponse> Client::update_order(pb::UpdateOrderRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::UpdateOrder, request);
}

absl::StatusOr<pb::UpdateOrderStatusResponse> Client::update_order_status(
    pb::UpdateOrderStatusRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::UpdateOrderStatus, request);
}

absl::StatusOr<pb::BatchUpdateOrderStatusResponse> Client::batch_update_order_status(
    pb::BatchUpdateOrderStatusRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::BatchUpdateOrderStatus, request);
}

absl::StatusOr<pb::UpdateInvoiceResponse> Client::update_invoice(
    pb::UpdateInvoiceRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::UpdateInvoice, request);
}

absl::StatusOr<pb::UpdateShipmentsResponse> Client::update_shipments(
    pb::UpdateShipmentsRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::UpdateShipments, request);
}

absl::StatusOr<pb::AddNoteResponse> Client::add_note(pb::AddNoteRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::AddNote, request);
}

absl::StatusOr<pb::UpdateNoteResponse> Client::update_note(pb::UpdateNoteRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::UpdateNote, request);
}

absl::StatusOr<pb::DeleteNoteResponse> Client::delete_note(pb::DeleteNoteRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::DeleteNote, request);
}

absl::StatusOr<pb::ListOrdersResponse> Client::list_orders_page(
    const pb::ListOrdersRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListOrders, request);
}

PagedRange<pb::Order> Client::list_orders(pb::ListOrdersRequest request) const {
  return pages<pb::Order>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_orders_page(page); },
      [](auto& response) { return response.mutable_orders(); });
}

absl::StatusOr<pb::ListNotesResponse> Client::list_notes_page(
    const pb::ListNotesRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListNotes, request);
}

PagedRange<pb::Note> Client::list_notes(pb::ListNotesRequest request) const {
  return pages<pb::Note>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_notes_page(page); },
      [](auto& response) { return response.mutable_notes(); });
}

absl::StatusOr<pb::ListOrderEventsResponse> Client::list_order_events_page(
    const pb::ListOrderEventsRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListOrderEvents, request);
}

PagedRange<pb::OrderEvent> Client::list_order_events(pb::ListOrderEventsRequest request) const {
  return pages<pb::OrderEvent>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_order_events_page(page); },
      [](auto& response) { return response.mutable_events(); });
}

absl::StatusOr<pb::AddPaymentResponse> Client::add_payment(pb::AddPaymentRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::AddPayment, request);
}

absl::StatusOr<pb::CapturePaymentResponse> Client::capture_payment(
    pb::CapturePaymentRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::CapturePayment, request);
}

absl::StatusOr<pb::VoidPaymentResponse> Client::void_payment(pb::VoidPaymentRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::VoidPayment, request);
}

absl::StatusOr<pb::RefundPaymentResponse> Client::refund_payment(
    pb::RefundPaymentRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::RefundPayment, request);
}

absl::StatusOr<pb::SyncPaymentsResponse> Client::sync_payments(
    pb::SyncPaymentsRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::SyncPayments, request);
}

absl::StatusOr<pb::ResolveTransactionResponse> Client::resolve_transaction(
    pb::ResolveTransactionRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::ResolveTransaction, request);
}

absl::StatusOr<pb::ListTransactionsResponse> Client::list_transactions_page(
    const pb::ListTransactionsRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListTransactions, request);
}

PagedRange<pb::PaymentTransaction> Client::list_transactions(
    pb::ListTransactionsRequest request) const {
  return pages<pb::PaymentTransaction>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_transactions_page(page); },
      [](auto& response) { return response.mutable_transactions(); });
}

absl::StatusOr<pb::ListUnresolvedTransactionsResponse> Client::list_unresolved_transactions_page(
    const pb::ListUnresolvedTransactionsRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListUnresolvedTransactions, request);
}

PagedRange<pb::UnresolvedPayment> Client::list_unresolved_transactions(
    pb::ListUnresolvedTransactionsRequest request) const {
  return pages<pb::UnresolvedPayment>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_unresolved_transactions_page(page); },
      [](auto& response) { return response.mutable_payments(); });
}

absl::StatusOr<pb::CancelOrderResponse> Client::cancel_order(pb::CancelOrderRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::CancelOrder, request);
}

absl::StatusOr<pb::AbandonCancellationResponse> Client::abandon_cancellation(
    pb::AbandonCancellationRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::AbandonCancellation, request);
}

absl::StatusOr<pb::ListEmailsResponse> Client::list_emails_page(
    const pb::ListEmailsRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListEmails, request);
}

PagedRange<pb::Email> Client::list_emails(pb::ListEmailsRequest request) const {
  return pages<pb::Email>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_emails_page(page); },
      [](auto& response) { return response.mutable_emails(); });
}

absl::StatusOr<pb::RetryEmailResponse> Client::retry_email(pb::RetryEmailRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::RetryEmail, request);
}

absl::StatusOr<pb::EraseCustomerDataResponse> Client::erase_customer_data(
    pb::EraseCustomerDataRequest request) const {
  return mutate(impl_->options, *impl_->orders, &Orders::EraseCustomerData, request);
}

absl::StatusOr<pb::ListErasuresResponse> Client::list_erasures_page(
    const pb::ListErasuresRequest& request) const {
  return call(impl_->options, *impl_->orders, &Orders::ListErasures, request);
}

PagedRange<pb::Erasure> Client::list_erasures(pb::ListErasuresRequest request) const {
  return pages<pb::Erasure>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_erasures_page(page); },
      [](auto& response) { return response.mutable_erasures(); });
}

absl::StatusOr<sandbox::AuthorizeResponse> Client::authorize_at_sandbox(
    const sandbox::AuthorizeRequest& request) const {
  Options once = impl_->options;
  once.retry.max_attempts = 1;
  return call(once, *impl_->gateway, &Sandbox::Authorize, request);
}

absl::StatusOr<bool> Client::is_serving(const std::string& service) const {
  Options once = impl_->options;
  once.retry.max_attempts = 1;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  const auto answer = call(once, *impl_->health, &Health::Check, request);
  if (!answer.ok()) return answer.status();
  return answer->status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

absl::StatusOr<pb::CreateOrderStateResponse> Client::create_order_state(
    pb::CreateOrderStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::CreateOrderState, request);
}

absl::StatusOr<pb::GetOrderStateResponse> Client::get_order_state(
    const pb::GetOrderStateRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::GetOrderState, request);
}

absl::StatusOr<pb::ListOrderStatesResponse> Client::list_order_states(
    const pb::ListOrderStatesRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::ListOrderStates, request);
}

absl::StatusOr<pb::UpdateOrderStateResponse> Client::update_order_state(
    pb::UpdateOrderStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::UpdateOrderState, request);
}

absl::StatusOr<pb::DeleteOrderStateResponse> Client::delete_order_state(
    pb::DeleteOrderStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::DeleteOrderState, request);
}

absl::StatusOr<pb::CreateDeliveryStateResponse> Client::create_delivery_state(
    pb::CreateDeliveryStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::CreateDeliveryState, request);
}

absl::StatusOr<pb::GetDeliveryStateResponse> Client::get_delivery_state(
    const pb::GetDeliveryStateRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::GetDeliveryState, request);
}

absl::StatusOr<pb::ListDeliveryStatesResponse> Client::list_delivery_states(
    const pb::ListDeliveryStatesRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::ListDeliveryStates, request);
}

absl::StatusOr<pb::UpdateDeliveryStateResponse> Client::update_delivery_state(
    pb::UpdateDeliveryStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::UpdateDeliveryState, request);
}

absl::StatusOr<pb::DeleteDeliveryStateResponse> Client::delete_delivery_state(
    pb::DeleteDeliveryStateRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::DeleteDeliveryState, request);
}

absl::StatusOr<pb::CreateShipmentMethodResponse> Client::create_shipment_method(
    pb::CreateShipmentMethodRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::CreateShipmentMethod, request);
}

absl::StatusOr<pb::GetShipmentMethodResponse> Client::get_shipment_method(
    const pb::GetShipmentMethodRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::GetShipmentMethod, request);
}

absl::StatusOr<pb::ListShipmentMethodsResponse> Client::list_shipment_methods(
    const pb::ListShipmentMethodsRequest& request) const {
  return call(impl_->options, *impl_->settings, &Settings::ListShipmentMethods, request);
}

absl::StatusOr<pb::UpdateShipmentMethodResponse> Client::update_shipment_method(
    pb::UpdateShipmentMethodRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::UpdateShipmentMethod, request);
}

absl::StatusOr<pb::DeleteShipmentMethodResponse> Client::delete_shipment_method(
    pb::DeleteShipmentMethodRequest request) const {
  return mutate(impl_->options, *impl_->settings, &Settings::DeleteShipmentMethod, request);
}

absl::StatusOr<pb::CreateApiKeyResponse> Client::create_api_key(
    pb::CreateApiKeyRequest request) const {
  return mutate(impl_->options, *impl_->access, &Access::CreateApiKey, request);
}

absl::StatusOr<pb::RevokeApiKeyResponse> Client::revoke_api_key(
    pb::RevokeApiKeyRequest request) const {
  return mutate(impl_->options, *impl_->access, &Access::RevokeApiKey, request);
}

absl::StatusOr<pb::ListApiKeysResponse> Client::list_api_keys_page(
    const pb::ListApiKeysRequest& request) const {
  return call(impl_->options, *impl_->access, &Access::ListApiKeys, request);
}

PagedRange<pb::ApiKey> Client::list_api_keys(pb::ListApiKeysRequest request) const {
  return pages<pb::ApiKey>(
      std::move(request),
      [client = *this](const auto& page) { return client.list_api_keys_page(page); },
      [](auto& response) { return response.mutable_keys(); });
}

}  // namespace orderd::client
