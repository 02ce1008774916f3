#include "server/orders/error_builder.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "absl/strings/cord.h"
#include "server/orders/utf8.h"

namespace orderd::errors {
namespace {

using rules::shown;

/// Enough for every value that passes validation, and for the state ids that an error names.
constexpr std::size_t kMaxMetadataCharacters = 1400;

thread_local bool reasons_only = false;

/// Equal messages have equal bytes.
std::string serialized(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

ReasonsOnly::ReasonsOnly() : before_(std::exchange(reasons_only, true)) {}

ReasonsOnly::~ReasonsOnly() { reasons_only = before_; }

void set_detail(absl::Status& status, const google::protobuf::Message& detail) {
  status.SetPayload("type.googleapis.com/" + detail.GetDescriptor()->full_name(),
                    absl::Cord(serialized(detail)));
}

Error::Error(absl::StatusCode code, std::string_view reason, std::string_view message,
             Metadata metadata)
    : status_(code, reasons_only ? absl::string_view()
                                 : absl::string_view(message.data(), message.size())) {
  if (reasons_only) {
    status_.SetPayload(kReasonOnly, absl::Cord(absl::string_view(reason.data(), reason.size())));
    return;
  }
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("orders.v1");
  for (const auto& [key, value] : metadata) {
    (*info.mutable_metadata())[std::string(key)] = shown(value, kMaxMetadataCharacters);
  }
  set_detail(status_, info);
}

Error&& Error::attach(const google::protobuf::Message& detail) && {
  if (reasons_only) return std::move(*this);
  set_detail(status_, detail);
  return std::move(*this);
}

Error&& Error::field(std::string_view field) && {
  if (reasons_only) return std::move(*this);
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(status_.message()));
  return std::move(*this).attach(bad_request);
}

Error&& Error::resource(std::string_view type, std::string_view name) && {
  if (reasons_only) return std::move(*this);
  google::rpc::ResourceInfo resource;
  resource.set_resource_type(std::string(type));
  resource.set_resource_name(shown(name, kMaxMetadataCharacters));
  resource.set_description(std::string(status_.message()));
  return std::move(*this).attach(resource);
}

Error&& Error::precondition(std::string_view reason, std::string_view subject) && {
  if (reasons_only) return std::move(*this);
  google::rpc::PreconditionFailure failure;
  auto* violation = failure.add_violations();
  violation->set_type(std::string(reason));
  violation->set_subject(shown(subject, kMaxMetadataCharacters));
  violation->set_description(std::string(status_.message()));
  return std::move(*this).attach(failure);
}

Error&& Error::retry_after(std::chrono::milliseconds delay) && {
  if (reasons_only) return std::move(*this);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(delay.count() % 1000) *
                                         1'000'000);
  return std::move(*this).attach(retry);
}

Error invalid_argument(std::string_view reason, std::string_view message, std::string_view field,
                       Metadata metadata) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message, metadata).field(field);
}

Error failed_precondition(std::string_view reason, std::string_view message,
                          std::string_view subject, Metadata metadata) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, message, metadata)
      .precondition(reason, subject);
}

}  // namespace orderd::errors
