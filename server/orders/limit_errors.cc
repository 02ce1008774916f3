#include "server/orders/error_builder.h"
#include "server/orders/errors.h"

namespace orderd::errors {

absl::Status rate_limited(std::chrono::milliseconds retry_delay) {
  return Error(absl::StatusCode::kResourceExhausted, "RATE_LIMITED",
               "You have made more calls than you may in this time. Try again later.")
      .retry_after(retry_delay);
}

}  // namespace orderd::errors
