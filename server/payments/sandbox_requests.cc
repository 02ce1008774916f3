#include "server/payments/sandbox_requests.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

using google::protobuf::util::TimeUtil;

void check_reference(std::string_view reference, std::size_t min, errors::Violations& violations) {
  check_number(reference, min, 255, "gateway_reference", violations);
}

/// What names a payment.
template <class Request>
errors::Violations check_payment(const Request& request) {
  errors::Violations violations;
  check_id(request.gateway_account(), "gateway_account", violations);
  check_reference(request.gateway_reference(), 1, violations);
  return violations;
}

void check_duration(const google::protobuf::Duration& duration, const std::string& field,
                    errors::Violations& violations) {
  const bool valid = duration.seconds() >= 0 &&
                     duration.seconds() <= TimeUtil::kDurationMaxSeconds && duration.nanos() >= 0 &&
                     duration.nanos() <= 999'999'999;
  if (!valid) violations.add(field, "must be a duration of 0 or more");
}

void check_capabilities(const pb::GatewayCapabilities& capabilities,
                        errors::Violations& violations) {
  if (capabilities.max_captures() < 0) {
    violations.add("capabilities.max_captures", "must not be negative");
  }
  check_duration(capabilities.key_lifetime(), "capabilities.key_lifetime", violations);
}

void check_word(std::string_view word, std::size_t min, const std::string& field,
                errors::Violations& violations) {
  const bool valid =
      word.size() >= min && word.size() <= 64 && std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
      });
  if (!valid) violations.add(field, "must be an UPPER_SNAKE word of at most 64 characters");
}

void check_fault(const sandbox_pb::Fault& fault, errors::Violations& violations) {
  const auto kind = fault.kind();
  if (fault.operation() == sandbox_pb::OPERATION_UNSPECIFIED ||
      !sandbox_pb::Operation_IsValid(fault.operation())) {
    violations.add("fault.operation", "must be one of the operations");
  }
  if (kind == sandbox_pb::FAULT_KIND_UNSPECIFIED || !sandbox_pb::FaultKind_IsValid(kind)) {
    violations.add("fault.kind", "must be one of the kinds");
  }
  if (kind == sandbox_pb::FAULT_KIND_PENDING_REFUND &&
      fault.operation() != sandbox_pb::OPERATION_REFUND) {
    violations.add("fault.kind", "only a refund can be pending");
  }
  if (kind == sandbox_pb::FAULT_KIND_DELAY && !fault.has_delay()) {
    violations.add("fault.delay", "is needed for a delay");
  }
  check_duration(fault.delay(), "fault.delay", violations);
  const bool has_reason = kind == sandbox_pb::FAULT_KIND_REFUSE ||
                          (kind == sandbox_pb::FAULT_KIND_PENDING_REFUND && fault.has_delay());
  check_word(fault.reason(), has_reason ? 1 : 0, "fault.reason", violations);
  if (fault.times() < 0) violations.add("fault.times", "must not be negative");
}

}  // namespace

absl::Status validate(const sandbox_pb::AuthorizeRequest& request) {
  errors::Violations violations;
  check_id(request.gateway_account(), "gateway_account", violations);
  check_reference(request.gateway_reference(), 0, violations);
  MoneyCheck(request.amount().currency_code(), violations).amount(request.amount(), "amount", 1);
  if (request.has_expire_time()) check_time(request.expire_time(), "expire_time", violations);
  check_capabilities(request.capabilities(), violations);
  return violations.status();
}

absl::Status validate(const sandbox_pb::SimulateEventRequest& request) {
  errors::Violations violations = check_payment(request);
  if (request.event().event_case() == sandbox_pb::PaymentEvent::EVENT_NOT_SET) {
    violations.add("event", "is required");
  }
  check_word(request.event().settle_refund().fail_reason(), 0, "event.settle_refund.fail_reason",
             violations);
  return violations.status();
}

absl::Status validate(const sandbox_pb::SetCapabilitiesRequest& request) {
  errors::Violations violations = check_payment(request);
  if (!request.has_capabilities()) violations.add("capabilities", "is required");
  check_capabilities(request.capabilities(), violations);
  return violations.status();
}

absl::Status validate(const sandbox_pb::AddFaultRequest& request) {
  errors::Violations violations;
  check_id(request.gateway_account(), "gateway_account", violations);
  check_fault(request.fault(), violations);
  return violations.status();
}

absl::Status validate(const sandbox_pb::ClearFaultsRequest& request) {
  errors::Violations violations;
  check_id(request.gateway_account(), "gateway_account", violations);
  check_enum(sandbox_pb::Operation_IsValid(request.operation()), "operation", violations);
  return violations.status();
}

absl::Status validate(const sandbox_pb::GetLedgerPaymentRequest& request) {
  return check_payment(request).status();
}

absl::Status validate(const sandbox_pb::ListLedgerPaymentsRequest& request) {
  errors::Violations violations;
  check_id(request.gateway_account(), "gateway_account", violations);
  check_page_size(request.page_size(), violations);
  return violations.status();
}

}  // namespace orderd::rules
