#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace orderd::client {

/// What an error of the service says beyond its code and message. A program should branch on
/// `reason`; the protos list the reasons of each call.
struct ErrorDetails {
  struct FieldViolation {
    /// The path of the field in the request, "order.items[2].quantity".
    std::string field;
    std::string description;
  };

  /// UPPER_SNAKE; empty if the error does not come from the service itself (no connection, …).
  std::string reason;
  std::string domain;
  /// The numbers and ids of the error, such as `current_etag` or `order_count`.
  std::map<std::string, std::string> metadata;
  /// All that is wrong with the request.
  std::vector<FieldViolation> field_violations;
  /// Which resource is missing or exists already; empty if the error does not say.
  std::string resource_type;
  std::string resource_name;
  /// Set if another try may succeed: how long to wait first.
  std::optional<std::chrono::milliseconds> retry_delay;
};

/// The details that a status from this library carries; empty for OK and for foreign errors.
ErrorDetails details(const absl::Status& status);

/// An error that came within an answer (`ImportOrdersResponse.error`, `OrderStatusResult.status`),
/// in the same form as the error of a call.
absl::Status to_status(const google::rpc::Status& status);

}  // namespace orderd::client
