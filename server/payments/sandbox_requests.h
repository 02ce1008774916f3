#pragma once

#include "absl/status/status.h"
#include "orders/sandbox/v1/sandbox.pb.h"

// The requests of `orders.sandbox.v1.SandboxService`.

namespace orderd {
namespace sandbox_pb = ::orders::sandbox::v1;
}
namespace orderd::rules {

absl::Status validate(const sandbox_pb::AuthorizeRequest& request);
absl::Status validate(const sandbox_pb::SimulateEventRequest& request);
absl::Status validate(const sandbox_pb::SetCapabilitiesRequest& request);
absl::Status validate(const sandbox_pb::AddFaultRequest& request);
absl::Status validate(const sandbox_pb::ClearFaultsRequest& request);
absl::Status validate(const sandbox_pb::GetLedgerPaymentRequest& request);
absl::Status validate(const sandbox_pb::ListLedgerPaymentsRequest& request);

}  // namespace orderd::rules
