#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

// Refusals that are about cancellations and the e-mails that tell of them.

namespace orderd::errors {

using rules::shown;

absl::Status cancel_not_allowed(std::string_view state_id) {
  return failed_precondition(
      "CANCEL_NOT_ALLOWED",
      fmt::format("The order's state \"{}\" does not allow cancellation.", shown(state_id)),
      fmt::format("order_states/{}", state_id), {{"state_id", state_id}});
}

absl::Status target_state_not_canceled(std::string_view state_id) {
  return failed_precondition(
      "TARGET_STATE_NOT_CANCELED",
      fmt::format("A canceled order can't enter the state \"{}\": it is not of category CANCELED.",
                  shown(state_id)),
      fmt::format("order_states/{}", state_id), {{"state_id", state_id}});
}

absl::Status order_shipped(std::int64_t line_count) {
  return failed_precondition(
      "ORDER_SHIPPED",
      fmt::format("{} lines of the order have been shipped. Set include_shipped to cancel it all "
                  "the same.",
                  line_count),
      "shipments", {{"line_count", fmt::format("{}", line_count)}});
}

absl::Status customer_email_missing() {
  return failed_precondition("CUSTOMER_EMAIL_MISSING",
                             "The customer has no e-mail address to which an e-mail can go.",
                             "customer.email", {});
}

absl::Status email_not_configured() {
  return failed_precondition("EMAIL_NOT_CONFIGURED", "This server sends no e-mail.", "email", {});
}

absl::Status cancellation_not_running() {
  return failed_precondition("CANCELLATION_NOT_RUNNING",
                             "The order is not being canceled, so there is nothing to give up.",
                             "cancellation", {});
}

absl::Status cancellation_has_moved_money(std::string_view transaction_id) {
  return failed_precondition(
      "CANCELLATION_HAS_MOVED_MONEY",
      "The cancellation has returned money, or may yet, so it can't be given up.", "cancellation",
      {{"transaction_id", transaction_id}});
}

absl::Status email_not_found(std::string_view order_id, std::string_view email_id) {
  return Error(absl::StatusCode::kNotFound, "EMAIL_NOT_FOUND",
               fmt::format("The order {} has no e-mail \"{}\".", shown(order_id), shown(email_id)),
               {{"order_id", order_id}, {"email_id", email_id}})
      .resource("email", email_id);
}

absl::Status email_sent(std::string_view email_id) {
  return failed_precondition("EMAIL_SENT",
                             "The mail server has accepted the e-mail; it is not sent again.",
                             fmt::format("emails/{}", email_id), {{"email_id", email_id}});
}

}  // namespace orderd::errors
