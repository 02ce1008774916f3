#include "client/error_details.h"

#include <string_view>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace orderd::client {
namespace {

// A detail is a payload of the status, under the type URL that it has on the wire.
template <class Message>
std::optional<Message> payload(const absl::Status& status) {
  const auto bytes = status.GetPayload("type.googleapis.com/" + Message::descriptor()->full_name());
  Message message;
  if (!bytes || !message.ParseFromString(std::string(*bytes))) return std::nullopt;
  return message;
}

}  // namespace

ErrorDetails details(const absl::Status& status) {
  ErrorDetails result;
  if (const auto info = payload<google::rpc::ErrorInfo>(status)) {
    result.reason = info->reason();
    result.domain = info->domain();
    result.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto bad_request = payload<google::rpc::BadRequest>(status)) {
    for (const auto& violation : bad_request->field_violations()) {
      result.field_violations.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto resource = payload<google::rpc::ResourceInfo>(status)) {
    result.resource_type = resource->resource_type();
    result.resource_name = resource->resource_name();
  }
  if (const auto retry = payload<google::rpc::RetryInfo>(status)) {
    const auto& delay = retry->retry_delay();
    result.retry_delay = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::seconds(delay.seconds()) + std::chrono::nanoseconds(delay.nanos()));
  }
  return result;
}

absl::Status to_status(const google::rpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.code()), status.message());
  for (const auto& detail : status.details()) {
    result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

}  // namespace orderd::client
