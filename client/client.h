#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "client/error_details.h"
#include "client/options.h"
#include "client/paged_range.h"
#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/access_service.pb.h"
#include "orders/v1/order_service.pb.h"
#include "orders/v1/settings_service.pb.h"

namespace grpc {
class Channel;
}

namespace orderd::client {

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

/// One order of an import, answered.
struct ImportAnswer {
  /// Counts the requests of the import from 0. Answers come in this order, each once.
  std::uint64_t index = 0;
  const pb::ImportOrdersRequest& request;
  const pb::ImportOrdersResponse& response;
  /// The connection broke before the answer came, and the request was sent again. Then UNCHANGED
  /// can mean that it went in the first time.
  bool resent = false;
};

struct ImportOptions {
  /// Requests that may be on their way without an answer; they are kept in memory. At least 1.
  std::size_t window = 256;
  /// A connection on which nothing moves for so long is replaced by a new one.
  std::chrono::milliseconds stall_timeout{30'000};
  /// The import ends if so long no answer has come, however often it has reconnected.
  std::chrono::milliseconds give_up_after{60'000};
};

/// A watch lost its stream, or could not open one.
struct WatchInterruption {
  const absl::Status& why;
  /// `RetryPolicy::max_attempts` tries in a row have brought no message.
  bool exhausted = false;
  /// How long it would wait before the next try.
  std::chrono::milliseconds wait{};
};

struct WatchOptions {
  /// Ends the watch, with OK, from any thread. What the handler is at is finished first.
  std::stop_token stop;
  /// Whether to go on. Called on the watching thread. Absent: unless it is exhausted.
  std::function<bool(const WatchInterruption&)> interrupted;
};

/// A client of orderd.
///
/// Calls block until they are answered or `Options::timeout` is over. All functions may be called
/// from several threads at once. Copies share one connection, and are cheap.
///
/// RETRIES. A call is tried again, after a random and growing wait, when it ends in
/// - UNAVAILABLE;
/// - CANCELLED, which is what a call ends in that reaches a server when it shuts down;
/// - ABORTED or RESOURCE_EXHAUSTED with a `RetryInfo` (whose delay is the least that it waits), but
///   never `ETAG_MISMATCH`;
/// - DEADLINE_EXCEEDED, while the call as a whole still has time (`Options::attempt_timeout`).
/// This is safe for mutations too: a request without a `request_id` is given one, the same for all
/// its tries, so that a change whose answer was lost is not made twice. Set the `request_id`
/// yourself if the change must also survive the end of your program.
///
/// MONEY. OK from `capture_payment`, `void_payment` and `refund_payment` means that the attempt is
/// stored, not that money moved: that is in `transaction().status()`, which can be UNKNOWN or
/// PENDING (the server goes on to find out). The same `request_id` never moves money twice, however
/// often and however late it is sent, and answers with the transaction as it is then. So keep your
/// own `request_id` with what you pay for, and call again with it after an error that leaves open
/// what happened; without one, such a call must be looked up (`list_transactions`) before it is
/// made again.
///
/// CANCELLATION. OK from `cancel_order` means that the cancellation is stored; how far it is says
/// `report().status()`. IN_PROGRESS: the server goes on by itself, and the same call with the same
/// `request_id` says later how far it is then. With a new `request_id` it begins another pass if
/// the cancellation has FAILED, and changes nothing otherwise.
///
/// SEVERAL SERVERS. `Options::server` can name servers that share a database. Calls go to each in
/// turn, leaving out those that can't be reached or say that they do not serve (any more), and a
/// call that is tried again is mostly tried at another one. So servers can be replaced one by one
/// without a call that fails, and a watch goes on at another server.
///
/// ERRORS. Each status has the code and message of the server; `details(status)` has the reason and
/// the rest. The reasons of each call are listed at its rpc in the protos. After UNAVAILABLE,
/// DEADLINE_EXCEEDED and CANCELLED it is not known whether a change was made; after every other
/// error it was not.
class Client {
 public:
  /// Connects at the first call, and again whenever the connection is lost. Throws
  /// std::runtime_error if a file that the options name can't be read.
  explicit Client(Options options = {});
  /// Over a channel that the caller made; `Options::server`, `tls` and `user_agent` are not used.
  explicit Client(std::shared_ptr<grpc::Channel> channel, Options options = {});

  absl::StatusOr<pb::CreateOrderResponse> create_order(pb::CreateOrderRequest request) const;
  absl::StatusOr<pb::GetOrderResponse> get_order(const pb::GetOrderRequest& request) const;
  absl::StatusOr<pb::BatchGetOrdersResponse> batch_get_orders(
      const pb::BatchGetOrdersRequest& request) const;
  absl::StatusOr<pb::UpdateOrderResponse> update_order(pb::UpdateOrderRequest request) const;
  absl::StatusOr<pb::UpdateOrderStatusResponse> update_order_status(
      pb::UpdateOrderStatusRequest request) const;
  /// OK also if changes were refused: see the status of each result.
  absl::StatusOr<pb::BatchUpdateOrderStatusResponse> batch_update_order_status(
      pb::BatchUpdateOrderStatusRequest request) const;
  absl::StatusOr<pb::UpdateInvoiceResponse> update_invoice(pb::UpdateInvoiceRequest request) const;
  absl::StatusOr<pb::UpdateShipmentsResponse> update_shipments(
      pb::UpdateShipmentsRequest request) const;

  absl::StatusOr<pb::AddPaymentResponse> add_payment(pb::AddPaymentRequest request) const;
  absl::StatusOr<pb::CapturePaymentResponse> capture_payment(
      pb::CapturePaymentRequest request) const;
  absl::StatusOr<pb::VoidPaymentResponse> void_payment(pb::VoidPaymentRequest request) const;
  absl::StatusOr<pb::RefundPaymentResponse> refund_payment(pb::RefundPaymentRequest request) const;
  absl::StatusOr<pb::SyncPaymentsResponse> sync_payments(pb::SyncPaymentsRequest request) const;
  absl::StatusOr<pb::ResolveTransactionResponse> resolve_transaction(
      pb::ResolveTransactionRequest request) const;
  PagedRange<pb::PaymentTransaction> list_transactions(pb::ListTransactionsRequest request) const;
  absl::StatusOr<pb::ListTransactionsResponse> list_transactions_page(
      const pb::ListTransactionsRequest& request) const;
  PagedRange<pb::UnresolvedPayment> list_unresolved_transactions(
      pb::ListUnresolvedTransactionsRequest request) const;
  absl::StatusOr<pb::ListUnresolvedTransactionsResponse> list_unresolved_transactions_page(
      const pb::ListUnresolvedTransactionsRequest& request) const;
  /// A payment at a sandbox account, as a customer would make it. Tried once: it has no
  /// `request_id`.
  absl::StatusOr<sandbox::AuthorizeResponse> authorize_at_sandbox(
      const sandbox::AuthorizeRequest& request) const;

  absl::StatusOr<pb::CancelOrderResponse> cancel_order(pb::CancelOrderRequest request) const;
  absl::StatusOr<pb::AbandonCancellationResponse> abandon_cancellation(
      pb::AbandonCancellationRequest request) const;
  PagedRange<pb::Email> list_emails(pb::ListEmailsRequest request) const;
  absl::StatusOr<pb::ListEmailsResponse> list_emails_page(
      const pb::ListEmailsRequest& request) const;
  absl::StatusOr<pb::RetryEmailResponse> retry_email(pb::RetryEmailRequest request) const;

  /// One page: call again with its `next_page_token` until that is empty.
  absl::StatusOr<pb::EraseCustomerDataResponse> erase_customer_data(
      pb::EraseCustomerDataRequest request) const;
  PagedRange<pb::Erasure> list_erasures(pb::ListErasuresRequest request) const;
  absl::StatusOr<pb::ListErasuresResponse> list_erasures_page(
      const pb::ListErasuresRequest& request) const;

  absl::StatusOr<pb::AddNoteResponse> add_note(pb::AddNoteRequest request) const;
  absl::StatusOr<pb::UpdateNoteResponse> update_note(pb::UpdateNoteRequest request) const;
  absl::StatusOr<pb::DeleteNoteResponse> delete_note(pb::DeleteNoteRequest request) const;

  /// All orders from `request.page_token` on, fetched `request.page_size` at a time. Each page is a
  /// call with a timeout of its own.
  PagedRange<pb::Order> list_orders(pb::ListOrdersRequest request) const;
  /// One page, for callers that keep the token.
  absl::StatusOr<pb::ListOrdersResponse> list_orders_page(
      const pb::ListOrdersRequest& request) const;
  PagedRange<pb::Note> list_notes(pb::ListNotesRequest request) const;
  absl::StatusOr<pb::ListNotesResponse> list_notes_page(const pb::ListNotesRequest& request) const;
  PagedRange<pb::OrderEvent> list_order_events(pb::ListOrderEventsRequest request) const;
  absl::StatusOr<pb::ListOrderEventsResponse> list_order_events_page(
      const pb::ListOrderEventsRequest& request) const;

  absl::StatusOr<pb::CreateOrderStateResponse> create_order_state(
      pb::CreateOrderStateRequest request) const;
  absl::StatusOr<pb::GetOrderStateResponse> get_order_state(
      const pb::GetOrderStateRequest& request) const;
  absl::StatusOr<pb::ListOrderStatesResponse> list_order_states(
      const pb::ListOrderStatesRequest& request) const;
  absl::StatusOr<pb::UpdateOrderStateResponse> update_order_state(
      pb::UpdateOrderStateRequest request) const;
  absl::StatusOr<pb::DeleteOrderStateResponse> delete_order_state(
      pb::DeleteOrderStateRequest request) const;

  absl::StatusOr<pb::CreateDeliveryStateResponse> create_delivery_state(
      pb::CreateDeliveryStateRequest request) const;
  absl::StatusOr<pb::GetDeliveryStateResponse> get_delivery_state(
      const pb::GetDeliveryStateRequest& request) const;
  absl::StatusOr<pb::ListDeliveryStatesResponse> list_delivery_states(
      const pb::ListDeliveryStatesRequest& request) const;
  absl::StatusOr<pb::UpdateDeliveryStateResponse> update_delivery_state(
      pb::UpdateDeliveryStateRequest request) const;
  absl::StatusOr<pb::DeleteDeliveryStateResponse> delete_delivery_state(
      pb::DeleteDeliveryStateRequest request) const;

  absl::StatusOr<pb::CreateShipmentMethodResponse> create_shipment_method(
      pb::CreateShipmentMethodRequest request) const;
  absl::StatusOr<pb::GetShipmentMethodResponse> get_shipment_method(
      const pb::GetShipmentMethodRequest& request) const;
  absl::StatusOr<pb::ListShipmentMethodsResponse> list_shipment_methods(
      const pb::ListShipmentMethodsRequest& request) const;
  absl::StatusOr<pb::UpdateShipmentMethodResponse> update_shipment_method(
      pb::UpdateShipmentMethodRequest request) const;
  absl::StatusOr<pb::DeleteShipmentMethodResponse> delete_shipment_method(
      pb::DeleteShipmentMethodRequest request) const;

  /// The token is in this answer and nowhere else. If an answer was lost and the retry finds the
  /// key made (`replayed`), it is empty: revoke that key and make another.
  absl::StatusOr<pb::CreateApiKeyResponse> create_api_key(pb::CreateApiKeyRequest request) const;
  absl::StatusOr<pb::RevokeApiKeyResponse> revoke_api_key(pb::RevokeApiKeyRequest request) const;
  PagedRange<pb::ApiKey> list_api_keys(pb::ListApiKeysRequest request) const;
  absl::StatusOr<pb::ListApiKeysResponse> list_api_keys_page(
      const pb::ListApiKeysRequest& request) const;

  /// What the server says of a service, such as "orders.v1.OrderService", or of itself as a process
  /// (""), over gRPC's health protocol. Tried once. NOT_FOUND: it does not know the service.
  absl::StatusOr<bool> is_serving(const std::string& service) const;

  /// Imports what `next` returns until it returns nothing, and reports each answer to `answered`;
  /// both are called on the calling thread. While `next` blocks, no answer is reported.
  ///
  /// If the connection breaks, or an order is answered with an error that is worth another try, the
  /// stream is opened again and what has no answer yet is sent again, which is harmless: the server
  /// knows an order by its number. `Options::timeout` does not apply.
  ///
  /// OK: every request was answered, be it with CONFLICT or REFUSED. Otherwise the import stopped
  /// after the last answer that was reported; begin again from there or from the start. An
  /// exception from a callback ends the import and passes through.
  absl::Status import_orders(const std::function<std::optional<pb::ImportOrdersRequest>()>& next,
                             const std::function<void(const ImportAnswer&)>& answered,
                             const ImportOptions& options = {}) const;

  /// Watches orders change. `handler` is called with every message, heartbeats too, in their order,
  /// on the calling thread; the next message is read ahead meanwhile, and no more. It ends
  /// - with OK, when the handler returns false or `WatchOptions::stop` says so;
  /// - with an error that going on does not mend: OUT_OF_RANGE `WATCH_TOKEN_EXPIRED`,
  ///   INVALID_ARGUMENT, PERMISSION_DENIED, …;
  /// - with the last error, when `RetryPolicy::max_attempts` tries in a row have brought no
  /// message. An exception from the handler ends it and passes through. `Options::timeout` does not
  /// apply.
  ///
  /// When the stream breaks, the server sheds load or finds this client too slow, or nothing has
  /// come for three heartbeat intervals (then the connection is taken for dead and a new one is
  /// made), it waits as between the tries of a call and goes on behind the last message whose
  /// handler has returned. Each message makes the waits short again.
  ///
  /// So each change reaches the handler exactly once, over all interruptions, as long as a return
  /// of the handler means that the message is processed. To keep that over the end of your program,
  /// store `resume_token` together with what you make of the message, in one transaction, or if
  /// that can't be, after it: then a crash in between brings the message once more. Begin the next
  /// watch with it as `request.resume_token`. A token is good for about a week; after that, begin
  /// with `from_snapshot`. The tokens of heartbeats are worth storing too: they are younger.
  absl::Status watch_orders(pb::WatchOrdersRequest request,
                            const std::function<bool(const pb::WatchOrdersResponse&)>& handler,
                            const WatchOptions& options = {}) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace orderd::client
