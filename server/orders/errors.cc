#include "server/orders/errors.h"

#include <optional>

#include <fmt/format.h>

#include "absl/strings/cord.h"
#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

namespace orderd::errors {
namespace {

using absl::StatusCode;
using rules::shown;

constexpr absl::string_view kErrorInfo = "type.googleapis.com/google.rpc.ErrorInfo";
/// The order of the details on the wire.
constexpr absl::string_view kDetails[] = {
    kErrorInfo,
    "type.googleapis.com/google.rpc.BadRequest",
    "type.googleapis.com/google.rpc.PreconditionFailure",
    "type.googleapis.com/google.rpc.ResourceInfo",
    "type.googleapis.com/google.rpc.RetryInfo",
};

/// A type and a name as the subject of a precondition.
std::string state_subject(std::string_view state_id) {
  return fmt::format("order_states/{}", state_id);
}

std::optional<google::rpc::ErrorInfo> error_info(const absl::Status& status) {
  auto payload = status.GetPayload(kErrorInfo);
  google::rpc::ErrorInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return info;
}

absl::Status with_metadata(absl::Status status, const std::string& key, const std::string& value) {
  auto info = error_info(status);
  if (!info) return status;
  (*info->mutable_metadata())[key] = value;
  set_detail(status, *info);
  return status;
}

}  // namespace

void Violations::add(std::string field, std::string description) {
  ++count_;
  bytes_ += field.size() + description.size() + 8;
  if (bytes_ > kMaxBytes && count_ > 1) return;
  auto* violation = bad_request_.add_field_violations();
  violation->set_field(std::move(field));
  violation->set_description(std::move(description));
}

absl::Status Violations::status() const {
  if (empty()) return absl::OkStatus();
  const auto& first = bad_request_.field_violations(0);
  std::string message = fmt::format("The request is not valid: {} {}", shown(first.field()),
                                    shown(first.description(), 200));
  if (count_ > 1) {
    message += count_ == 2 ? "; and 1 more violation"
                           : fmt::format("; and {} more violations", count_ - 1);
  }
  return Error(StatusCode::kInvalidArgument, "INVALID_REQUEST", message,
               {{"violation_count", fmt::format("{}", count_)}})
      .attach(bad_request_);
}

absl::Status Violations::attach_to(absl::Status status) const {
  set_detail(status, bad_request_);
  return with_metadata(std::move(status), "violation_count", fmt::format("{}", count_));
}

absl::Status request_id_reused(std::string_view request_id) {
  return Error(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
               fmt::format(
                   "The request_id {} was used before with another request. Use a new id for a new "
                   "request.",
                   shown(request_id)),
               {{"request_id", request_id}})
      .field("request_id");
}

absl::Status page_token_invalid() {
  return Error(StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
               "The page token was not made by this list with the same filter, sort and direction. "
               "Start again without a token.")
      .field("page_token");
}

absl::Status watch_token_invalid() {
  return Error(StatusCode::kInvalidArgument, "WATCH_TOKEN_INVALID",
               "The token was not made by a watch of this database, or in the middle of a snapshot "
               "with another filter. Start again with a snapshot.")
      .field("resume_token");
}

absl::Status watch_token_expired() {
  return Error(
      StatusCode::kOutOfRange, "WATCH_TOKEN_EXPIRED",
      "What has changed since the token is not kept any more, or the database has been set "
      "back to an earlier time. Start again with a snapshot.");
}

absl::Status watch_too_slow() {
  return Error(StatusCode::kAborted, "WATCH_TOO_SLOW",
               "The watcher does not keep up with the changes. Go on with the last token: nothing "
               "is lost.");
}

absl::Status state_unknown(std::string_view state_id) {
  return Error(StatusCode::kInvalidArgument, "STATE_UNKNOWN",
               fmt::format(
                   "There is no order state \"{}\", or it has been deleted. ListOrderStates names "
                   "those that there are.",
                   shown(state_id)),
               {{"state_id", state_id}})
      .field("state_id");
}

absl::Status order_not_found(std::string_view order_id) {
  return Error(StatusCode::kNotFound, "ORDER_NOT_FOUND",
               fmt::format("There is no order \"{}\".", shown(order_id)), {{"order_id", order_id}})
      .resource("order", order_id);
}

absl::Status note_not_found(std::string_view order_id, std::string_view note_id) {
  return Error(StatusCode::kNotFound, "NOTE_NOT_FOUND",
               fmt::format("The order {} has no note \"{}\".", shown(order_id), shown(note_id)),
               {{"order_id", order_id}, {"note_id", note_id}})
      .resource("note", note_id);
}

absl::Status order_number_in_use(std::string_view order_number, std::string_view order_id) {
  return Error(StatusCode::kAlreadyExists, "ORDER_NUMBER_IN_USE",
               fmt::format("The order number \"{}\" belongs to the order {}.", shown(order_number),
                           shown(order_id)),
               {{"order_number", order_number}, {"order_id", order_id}})
      .resource("order", order_id);
}

absl::Status invoice_number_in_use(std::string_view invoice_number, std::string_view order_id) {
  return Error(StatusCode::kAlreadyExists, "INVOICE_NUMBER_IN_USE",
               fmt::format("The invoice number \"{}\" belongs to the order {}.",
                           shown(invoice_number), shown(order_id)),
               {{"invoice_number", invoice_number}, {"order_id", order_id}})
      .resource("order", order_id);
}

absl::Status payment_reference_in_use(std::string_view account, std::string_view reference,
                                      std::string_view order_id) {
  return Error(StatusCode::kAlreadyExists, "PAYMENT_REFERENCE_IN_USE",
               fmt::format("The payment \"{}\" at \"{}\" belongs to the order {}.",
                           shown(reference), shown(account), shown(order_id)),
               {{"gateway_account", account},
                {"gateway_reference", reference},
                {"order_id", order_id}})
      .resource("order", order_id);
}

absl::Status import_conflict(std::string_view order_number, std::string_view order_id) {
  return Error(StatusCode::kAlreadyExists, "IMPORT_CONFLICT",
               fmt::format(
                   "The order number \"{}\" was imported before with other content, as the order "
                   "{}. Nothing was written.",
                   shown(order_number), shown(order_id)),
               {{"order_number", order_number}, {"order_id", order_id}})
      .resource("order", order_id);
}

absl::Status etag_mismatch(std::string_view current_etag) {
  return Error(StatusCode::kAborted, "ETAG_MISMATCH",
               "It was changed meanwhile. Read it again, and repeat the change if it is still "
               "wanted.",
               {{"current_etag", current_etag}});
}

absl::Status state_not_enterable(std::string_view from, std::string_view to) {
  return failed_precondition(
      "STATE_NOT_ENTERABLE",
      fmt::format("The state \"{}\" can't be entered from \"{}\", which its enterable_from does "
                  "not list.",
                  shown(to), shown(from)),
      state_subject(to), {{"from_state_id", from}, {"to_state_id", to}});
}

absl::Status state_final(std::string_view state_id) {
  return failed_precondition(
      "STATE_FINAL",
      fmt::format("The order's state \"{}\" is final; no order leaves it.", shown(state_id)),
      state_subject(state_id), {{"state_id", state_id}});
}

absl::Status cancel_required(std::string_view state_id, std::int64_t open_payments) {
  return failed_precondition(
      "CANCEL_REQUIRED",
      fmt::format("The state \"{}\" makes the order void, but {}{} open money. Return the money "
                  "first.",
                  shown(state_id), open_payments,
                  open_payments == 1 ? " payment has" : " payments have"),
      state_subject(state_id),
      {{"state_id", state_id}, {"open_payments", fmt::format("{}", open_payments)}});
}

absl::Status cancellation_completed() {
  return failed_precondition("CANCELLATION_COMPLETED",
                             "The order has been canceled, and nothing leads out of that.",
                             "cancellation", {});
}

absl::Status cancellation_in_progress() {
  return failed_precondition("CANCELLATION_IN_PROGRESS",
                             "The order is being canceled, or its cancellation has failed. Its "
                             "state, its shipments and its payments can't be changed until that "
                             "is settled.",
                             "cancellation", {});
}

absl::Status address_change_needs_reason() {
  return failed_precondition("ADDRESS_CHANGE_NEEDS_REASON",
                             "A line of the order has been shipped. Say why its address changes.",
                             "reason", {});
}

absl::Status overloaded(std::chrono::milliseconds retry_delay) {
  return Error(StatusCode::kResourceExhausted, "OVERLOADED",
               "The server has more to do than it can. Try again later.")
      .retry_after(retry_delay);
}

absl::Status database_unavailable(std::chrono::milliseconds retry_delay) {
  return Error(StatusCode::kUnavailable, "DATABASE_UNAVAILABLE",
               "The database can't be reached. Try again later.")
      .retry_after(retry_delay);
}

absl::Status shutting_down() {
  return Error(StatusCode::kUnavailable, "SHUTTING_DOWN",
               "This server is shutting down. Try again; another one will answer.")
      .retry_after(std::chrono::milliseconds(1000));
}

absl::Status deadline_exceeded() {
  return Error(StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
               "The deadline of the call has passed. A change may or may not have happened; try "
               "again with the same request_id.");
}

absl::Status cancelled() {
  return Error(StatusCode::kCancelled, "CANCELLED",
               "The caller has canceled the call. A change may or may not have happened; try again "
               "with the same request_id.");
}

absl::Status internal() {
  return Error(StatusCode::kInternal, "INTERNAL",
               "The server has made a mistake; its log says more.");
}

absl::Status in_change(absl::Status error, int change_index) {
  return with_metadata(std::move(error), "change_index", fmt::format("{}", change_index));
}

google::rpc::Status to_proto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  if (status.ok()) return proto;
  proto.set_message(std::string(status.message()));
  for (auto type : kDetails) {
    auto payload = status.GetPayload(type);
    if (!payload) continue;
    auto* detail = proto.add_details();
    detail->set_type_url(std::string(type));
    detail->set_value(std::string(*payload));
  }
  return proto;
}

std::string reason(const absl::Status& status) {
  if (status.ok()) return {};
  if (const auto only = status.GetPayload(kReasonOnly)) return std::string(*only);
  auto info = error_info(status);
  return info ? info->reason() : std::string();
}

}  // namespace orderd::errors
