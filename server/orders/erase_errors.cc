#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

// Refusals that are about the erasure of personal data.

namespace orderd::errors {

using rules::shown;

absl::Status customer_erased() {
  return failed_precondition(
      "CUSTOMER_ERASED",
      "The customer's data has been erased from the order, which takes no new data in its place.",
      "customer", {});
}

absl::Status order_open(std::string_view state_id) {
  return failed_precondition(
      "ORDER_OPEN",
      fmt::format("The order is in the state \"{}\", so there is work to be done on it.",
                  shown(state_id)),
      fmt::format("order_states/{}", state_id), {{"state_id", state_id}});
}

absl::Status payment_open(std::string_view payment_id) {
  return failed_precondition(
      "PAYMENT_OPEN", fmt::format("Money of the payment {} may still move.", shown(payment_id)),
      fmt::format("payments/{}", payment_id), {{"payment_id", payment_id}});
}

absl::Status delivery_open(std::string_view line_id) {
  return failed_precondition(
      "DELIVERY_OPEN", fmt::format("The shipment line {} is not delivered yet.", shown(line_id)),
      fmt::format("shipment_lines/{}", line_id), {{"line_id", line_id}});
}

}  // namespace orderd::errors
