#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

// The catalogue of everything that this service can refuse with. Each function makes one error: its
// canonical code, its reason (`google.rpc.ErrorInfo`, domain "orders.v1"), the numbers as metadata,
// and the further details that fit. Callers branch on the reason, so a reason never changes.
//
// No message contains SQL, a gateway's text, or a value that the caller did not send.

namespace orderd::errors {

/// All that is wrong with a request, collected before it is refused.
///
/// An error travels in HTTP/2 trailers, of which clients accept 8 KiB by default; so BadRequest has
/// the first violations that fit into kMaxBytes, and the metadata `violation_count` counts all.
class Violations {
 public:
  static constexpr std::size_t kMaxBytes = 4000;

  void add(std::string field, std::string description);
  bool empty() const { return count_ == 0; }
  /// OK if empty, else INVALID_ARGUMENT `INVALID_REQUEST` with BadRequest.
  absl::Status status() const;
  /// The error, with these violations as its BadRequest and their number as its metadata
  /// `violation_count`.
  absl::Status attach_to(absl::Status status) const;

 private:
  google::rpc::BadRequest bad_request_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

/// While one lives, errors that its thread makes have a code, a reason and nothing else, at a tenth
/// of the cost: for judging what would be refused where nobody sees more than the reason.
class ReasonsOnly {
 public:
  ReasonsOnly();
  ~ReasonsOnly();
  ReasonsOnly(const ReasonsOnly&) = delete;
  ReasonsOnly& operator=(const ReasonsOnly&) = delete;

 private:
  const bool before_;
};

/// Order states and delivery states have the same rules; a reason about delivery states starts with
/// "DELIVERY_".
enum class StateKind { kOrder, kDelivery };

// INVALID_ARGUMENT
absl::Status request_id_reused(std::string_view request_id);
absl::Status page_token_invalid();
absl::Status watch_token_invalid();
absl::Status watch_token_expired();
absl::Status watch_too_slow();
absl::Status state_unknown(std::string_view state_id);
absl::Status delivery_state_unknown(std::string_view delivery_state_id);
absl::Status shipment_method_unknown(std::string_view method_id);
absl::Status shipment_unknown(std::string_view shipment_id);
absl::Status line_unknown(std::string_view line_id);
absl::Status item_unknown(std::string_view item_id);
absl::Status item_ambiguous(std::string_view item_id, std::size_t line_count);
absl::Status line_selected_twice(std::string_view line_id);
absl::Status client_ref_is_shipment(std::string_view client_ref);
absl::Status time_in_future();
absl::Status currency_mismatch(std::string_view expected, std::string_view given);

// NOT_FOUND
absl::Status order_not_found(std::string_view order_id);
absl::Status note_not_found(std::string_view order_id, std::string_view note_id);
absl::Status payment_not_found(std::string_view order_id, std::string_view payment_id);
absl::Status transaction_not_found(std::string_view order_id, std::string_view transaction_id);
absl::Status email_not_found(std::string_view order_id, std::string_view email_id);
absl::Status state_not_found(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status shipment_method_not_found(std::string_view method_id);

// ALREADY_EXISTS. `order_id` is the order that has it.
absl::Status order_number_in_use(std::string_view order_number, std::string_view order_id);
absl::Status invoice_number_in_use(std::string_view invoice_number, std::string_view order_id);
absl::Status payment_reference_in_use(std::string_view account, std::string_view reference,
                                      std::string_view order_id);
absl::Status import_conflict(std::string_view order_number, std::string_view order_id);
absl::Status state_exists(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status shipment_method_exists(std::string_view method_id);

// ABORTED
absl::Status etag_mismatch(std::string_view current_etag);
/// With RetryInfo.
absl::Status payment_busy(std::string_view payment_id);

// ABORTED, between the rules of payments and who runs them; no caller sees one.
absl::Status payment_unsynced(std::string_view payment_id);
absl::Status stale_reading(std::string_view payment_id);

// FAILED_PRECONDITION, orders
absl::Status state_not_enterable(std::string_view from, std::string_view to);
absl::Status state_final(std::string_view state_id);
absl::Status cancel_required(std::string_view state_id, std::int64_t open_payments);
absl::Status cancellation_completed();
absl::Status cancellation_in_progress();
absl::Status address_change_needs_reason();
absl::Status customer_erased();
// What an order may need its customer's data for. In `SkippedOrder.reason`.
absl::Status order_open(std::string_view state_id);
absl::Status payment_open(std::string_view payment_id);
absl::Status delivery_open(std::string_view line_id);

// FAILED_PRECONDITION, shipments
absl::Status shipment_update_not_allowed(std::string_view state_id);
/// `subject`: the line or item of which so many were asked for.
absl::Status quantity_too_large(std::int64_t requested, std::int64_t available,
                                std::string_view subject);
absl::Status line_not_movable(std::string_view line_id, std::string_view delivery_state_id);
absl::Status shipment_method_disabled(std::string_view method_id);
/// `method_id`: the one that the shipment has.
absl::Status shipment_method_mismatch(std::string_view shipment_id, std::string_view method_id);
/// `shipment_id`: the one that has it.
absl::Status tracking_number_in_use(std::string_view number, std::string_view shipment_id);
absl::Status tracking_not_allowed(std::string_view shipment_id);
absl::Status delivery_state_not_enterable(std::string_view line_id, std::string_view from,
                                          std::string_view to);
absl::Status delivery_state_final(std::string_view line_id, std::string_view delivery_state_id);
absl::Status too_many_lines(int limit);

// FAILED_PRECONDITION, payments. `status`: the name of the payment's status.
absl::Status order_canceled();
absl::Status order_without_currency();
absl::Status too_many_payments(int limit);
absl::Status gateway_not_configured(std::string_view account);
absl::Status gateway_payment_not_found(std::string_view payment_id);
absl::Status gateway_payment_unusable(std::string_view payment_id);
absl::Status payment_discrepancy(std::string_view payment_id);
absl::Status capture_not_allowed(std::string_view state_id);
absl::Status payment_not_capturable(std::string_view payment_id, std::string_view status,
                                    std::int64_t max_minor);
absl::Status authorization_expired(std::string_view payment_id);
absl::Status capture_too_large(std::string_view payment_id, std::int64_t requested_minor,
                               std::int64_t max_minor);
absl::Status final_capture_required(std::string_view payment_id, std::int64_t released_minor);
absl::Status partial_capture_not_supported(std::string_view payment_id, std::int64_t max_minor);
absl::Status amount_not_representable(std::string_view account, std::string_view currency_code,
                                      std::int64_t amount_minor);
absl::Status payment_not_voidable(std::string_view payment_id, std::string_view status);
absl::Status void_after_capture_not_supported(std::string_view payment_id);
absl::Status payment_not_refundable(std::string_view payment_id, std::string_view status,
                                    std::int64_t max_minor);
absl::Status refund_too_large(std::string_view payment_id, std::int64_t requested_minor,
                              std::int64_t max_minor);
absl::Status partial_refund_not_supported(std::string_view payment_id, std::int64_t max_minor);
absl::Status refund_before_final_capture_not_supported(std::string_view payment_id);
absl::Status confirm_external_not_allowed(std::string_view account);
absl::Status transaction_final(std::string_view transaction_id);
absl::Status gateway_can_tell(std::string_view transaction_id);

// FAILED_PRECONDITION, cancellation and e-mail
absl::Status cancel_not_allowed(std::string_view state_id);
absl::Status target_state_not_canceled(std::string_view state_id);
absl::Status order_shipped(std::int64_t line_count);
absl::Status customer_email_missing();
absl::Status email_not_configured();
absl::Status cancellation_not_running();
/// `transaction_id`: the leg that has moved money, or may yet.
absl::Status cancellation_has_moved_money(std::string_view transaction_id);
absl::Status email_sent(std::string_view email_id);

// FAILED_PRECONDITION, settings
absl::Status state_in_use(std::string_view state_id, std::int64_t order_count,
                          StateKind kind = StateKind::kOrder);
absl::Status state_referenced(std::string_view state_id,
                              const std::vector<std::string>& referenced_by,
                              StateKind kind = StateKind::kOrder);
absl::Status state_last_initial(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status state_last_canceled(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status state_initial_exists(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status state_reference_invalid(std::string_view state_id, std::string_view referenced,
                                     StateKind kind = StateKind::kOrder);
absl::Status state_unreachable(std::string_view state_id, StateKind kind = StateKind::kOrder);
absl::Status too_many_states(int limit, StateKind kind = StateKind::kOrder);
absl::Status shipment_method_in_use(std::string_view method_id, std::int64_t order_count);
absl::Status too_many_shipment_methods(int limit);

// Who may call. `unauthenticated` says the same whatever is wrong with a credential.
absl::Status unauthenticated();
/// `required_role`: "viewer", "operator", "finance" or "admin".
absl::Status permission_denied(std::string_view required_role);
absl::Status api_key_not_found(std::string_view key_id);
absl::Status first_key_not_admin();
absl::Status too_many_api_keys(int limit);

// The sandbox's own service
absl::Status gateway_account_not_found(std::string_view account);
absl::Status not_a_sandbox(std::string_view account);
absl::Status sandbox_payment_not_found(std::string_view reference);
absl::Status sandbox_reference_in_use(std::string_view reference);
/// `gateway_reason`: an UPPER_SNAKE word of the sandbox's.
absl::Status sandbox_refused(std::string_view reference, std::string_view gateway_reason);

// RESOURCE_EXHAUSTED, UNAVAILABLE, with RetryInfo
absl::Status overloaded(std::chrono::milliseconds retry_delay);
absl::Status database_unavailable(std::chrono::milliseconds retry_delay);
/// The caller makes more calls per second than it may.
absl::Status rate_limited(std::chrono::milliseconds retry_delay);
absl::Status shutting_down();
absl::Status gateway_unavailable(std::string_view account, std::chrono::milliseconds retry_delay);

// DEADLINE_EXCEEDED, CANCELLED, INTERNAL
absl::Status deadline_exceeded();
absl::Status cancelled();
absl::Status internal();

/// The error, with the number of the change at fault as its metadata `change_index`.
absl::Status in_change(absl::Status error, int change_index);

/// The wire form: code, message and details.
google::rpc::Status to_proto(const absl::Status& status);
/// `ErrorInfo.reason`; empty for OK.
std::string reason(const absl::Status& status);

}  // namespace orderd::errors
