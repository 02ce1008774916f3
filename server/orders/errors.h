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
  /// The error, with these violations as its BadRequest.
  absl::Status attach_to(absl::Status status) const;

 private:
  google::rpc::BadRequest bad_request_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

// INVALID_ARGUMENT
absl::Status request_id_reused(std::string_view request_id);
absl::Status page_token_invalid();
absl::Status state_unknown(std::string_view state_id);

// NOT_FOUND
absl::Status order_not_found(std::string_view order_id);
absl::Status note_not_found(std::string_view order_id, std::string_view note_id);
absl::Status state_not_found(std::string_view state_id);

// ALREADY_EXISTS. `order_id` is the order that has it.
absl::Status order_number_in_use(std::string_view order_number, std::string_view order_id);
absl::Status invoice_number_in_use(std::string_view invoice_number, std::string_view order_id);
absl::Status payment_reference_in_use(std::string_view account, std::string_view reference,
                                      std::string_view order_id);
absl::Status import_conflict(std::string_view order_number, std::string_view order_id);
absl::Status state_exists(std::string_view state_id);

// ABORTED
absl::Status etag_mismatch(std::string_view current_etag);

// FAILED_PRECONDITION, orders
absl::Status state_not_enterable(std::string_view from, std::string_view to);
absl::Status state_final(std::string_view state_id);
absl::Status cancel_required(std::string_view state_id, std::int64_t open_payments);
absl::Status cancellation_completed();
absl::Status cancellation_in_progress();

// FAILED_PRECONDITION, settings
absl::Status state_in_use(std::string_view state_id, std::int64_t order_count);
absl::Status state_referenced(std::string_view state_id,
                              const std::vector<std::string>& referenced_by);
absl::Status state_last_initial(std::string_view state_id);
absl::Status state_last_canceled(std::string_view state_id);
absl::Status state_initial_exists(std::string_view state_id);
absl::Status state_reference_invalid(std::string_view state_id, std::string_view referenced);
absl::Status state_unreachable(std::string_view state_id);
absl::Status too_many_states(int limit);

// RESOURCE_EXHAUSTED, UNAVAILABLE, with RetryInfo
absl::Status overloaded(std::chrono::milliseconds retry_delay);
absl::Status database_unavailable(std::chrono::milliseconds retry_delay);
absl::Status shutting_down();

// DEADLINE_EXCEEDED, CANCELLED, INTERNAL
absl::Status deadline_exceeded();
absl::Status cancelled();
absl::Status internal();

/// The wire form: code, message and details.
google::rpc::Status to_proto(const absl::Status& status);
/// `ErrorInfo.reason`; empty for OK.
std::string reason(const absl::Status& status);

}  // namespace orderd::errors
