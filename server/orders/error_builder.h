#pragma once

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "server/orders/errors.h"

// How the errors of the catalogue are made. For the catalogue's own files only.

namespace orderd::errors {

using Metadata = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// The payload of an error that has only its reason (ReasonsOnly).
inline constexpr const char* kReasonOnly = "orders.v1/reason";

/// An error in the making.
class Error {
 public:
  Error(absl::StatusCode code, std::string_view reason, std::string_view message,
        Metadata metadata = {});

  Error&& attach(const google::protobuf::Message& detail) &&;
  Error&& field(std::string_view field) &&;
  Error&& resource(std::string_view type, std::string_view name) &&;
  Error&& precondition(std::string_view reason, std::string_view subject) &&;
  Error&& retry_after(std::chrono::milliseconds delay) &&;

  operator absl::Status() && { return std::move(status_); }

 private:
  absl::Status status_;
};

Error invalid_argument(std::string_view reason, std::string_view message, std::string_view field,
                       Metadata metadata);
Error failed_precondition(std::string_view reason, std::string_view message,
                          std::string_view subject, Metadata metadata);

/// Puts a detail into an error, in the place of one of the same type.
void set_detail(absl::Status& status, const google::protobuf::Message& detail);

}  // namespace orderd::errors
