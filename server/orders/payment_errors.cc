#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

// Refusals that are about payments and their gateways.

namespace orderd::errors {
namespace {

using absl::StatusCode;
using rules::shown;

constexpr std::chrono::milliseconds kBusyDelay{1000};

std::string payment_subject(std::string_view payment_id) {
  return fmt::format("payments/{}", payment_id);
}

std::string number(std::int64_t value) { return fmt::format("{}", value); }

/// More was asked for than there is; `max_key` says of what.
absl::Status amount_too_large(std::string_view payment_id, std::int64_t requested_minor,
                              std::int64_t max_minor, std::string_view max_key,
                              std::string_view verb) {
  return failed_precondition("AMOUNT_TOO_LARGE",
                             fmt::format("{} minor units were to be {}, and at most {} can be.",
                                         requested_minor, verb, max_minor),
                             payment_subject(payment_id),
                             {{"payment_id", payment_id},
                              {"requested_minor", number(requested_minor)},
                              {max_key, number(max_minor)}});
}

}  // namespace

absl::Status currency_mismatch(std::string_view expected, std::string_view given) {
  return invalid_argument(
      "CURRENCY_MISMATCH",
      fmt::format("The amounts of the order are in {}, not in {}.", shown(expected), shown(given)),
      "currency_code", {{"expected", expected}, {"given", given}});
}

absl::Status payment_not_found(std::string_view order_id, std::string_view payment_id) {
  return Error(
             StatusCode::kNotFound, "PAYMENT_NOT_FOUND",
             fmt::format("The order {} has no payment \"{}\".", shown(order_id), shown(payment_id)),
             {{"order_id", order_id}, {"payment_id", payment_id}})
      .resource("payment", payment_id);
}

absl::Status transaction_not_found(std::string_view order_id, std::string_view transaction_id) {
  return Error(StatusCode::kNotFound, "TRANSACTION_NOT_FOUND",
               fmt::format("The order {} has no payment transaction \"{}\".", shown(order_id),
                           shown(transaction_id)),
               {{"order_id", order_id}, {"transaction_id", transaction_id}})
      .resource("payment_transaction", transaction_id);
}

absl::Status payment_busy(std::string_view payment_id) {
  return Error(StatusCode::kAborted, "PAYMENT_BUSY",
               "An operation on the payment is under way, and what was asked for has to wait for "
               "its end. Try again later.",
               {{"payment_id", payment_id}})
      .retry_after(kBusyDelay);
}

absl::Status payment_unsynced(std::string_view payment_id) {
  return Error(StatusCode::kAborted, "PAYMENT_UNSYNCED",
               "The amounts of the payment are not known yet. Sync it first.",
               {{"payment_id", payment_id}});
}

absl::Status stale_reading(std::string_view payment_id) {
  return Error(StatusCode::kAborted, "STALE_READING",
               "Money of the payment moved while its gateway was asked. Ask again.",
               {{"payment_id", payment_id}});
}

absl::Status order_canceled() {
  return failed_precondition("ORDER_CANCELED",
                             "The order is canceled; no payment can be attached to it.",
                             "cancellation", {});
}

absl::Status order_without_currency() {
  return failed_precondition("ORDER_WITHOUT_CURRENCY",
                             "The order has no amount, and so no currency that what the gateway "
                             "says could be checked against.",
                             "currency_code", {});
}

absl::Status too_many_payments(int limit) {
  return failed_precondition("TOO_MANY_PAYMENTS",
                             fmt::format("The order would have more than {} payments.", limit),
                             "payments", {{"limit", number(limit)}});
}

absl::Status gateway_not_configured(std::string_view account) {
  return failed_precondition(
      "GATEWAY_NOT_CONFIGURED",
      fmt::format("This server has no gateway account \"{}\".", shown(account)),
      fmt::format("gateway_accounts/{}", account), {{"gateway_account", account}});
}

absl::Status gateway_payment_not_found(std::string_view payment_id) {
  return failed_precondition("GATEWAY_PAYMENT_NOT_FOUND",
                             "The gateway has no payment of that gateway_reference.",
                             payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status gateway_payment_unusable(std::string_view payment_id) {
  return failed_precondition(
      "GATEWAY_PAYMENT_UNUSABLE",
      "What the gateway says of the payment can't be kept: it has another currency than the order, "
      "or amounts that make no sense.",
      payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status payment_discrepancy(std::string_view payment_id) {
  return failed_precondition(
      "PAYMENT_DISCREPANCY",
      "The gateway reports sums for the payment that can't be. Nothing can be done with it until a "
      "sync finds them right again.",
      payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status capture_not_allowed(std::string_view state_id) {
  return failed_precondition(
      "CAPTURE_NOT_ALLOWED",
      fmt::format("The order's state \"{}\" does not allow captures.", shown(state_id)),
      fmt::format("order_states/{}", state_id), {{"state_id", state_id}});
}

absl::Status payment_not_capturable(std::string_view payment_id, std::string_view status,
                                    std::int64_t max_minor) {
  return failed_precondition(
      "PAYMENT_NOT_CAPTURABLE",
      fmt::format("Nothing of the payment can be captured now. It is {}.", shown(status)),
      payment_subject(payment_id),
      {{"payment_id", payment_id},
       {"status", status},
       {"max_capturable_minor", number(max_minor)}});
}

absl::Status authorization_expired(std::string_view payment_id) {
  return failed_precondition("AUTHORIZATION_EXPIRED", "The authorization of the payment ran out.",
                             payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status capture_too_large(std::string_view payment_id, std::int64_t requested_minor,
                               std::int64_t max_minor) {
  return amount_too_large(payment_id, requested_minor, max_minor, "max_capturable_minor",
                          "captured");
}

absl::Status final_capture_required(std::string_view payment_id, std::int64_t released_minor) {
  return failed_precondition(
      "FINAL_CAPTURE_REQUIRED",
      fmt::format("The gateway takes no further capture after this one, and would release the "
                  "remaining {} minor units. Set final_capture if that is wanted.",
                  released_minor),
      payment_subject(payment_id),
      {{"payment_id", payment_id}, {"released_minor", number(released_minor)}});
}

absl::Status partial_capture_not_supported(std::string_view payment_id, std::int64_t max_minor) {
  return failed_precondition(
      "PARTIAL_CAPTURE_NOT_SUPPORTED",
      fmt::format("The gateway captures all that is authorized, {} minor units, or nothing.",
                  max_minor),
      payment_subject(payment_id),
      {{"payment_id", payment_id}, {"max_capturable_minor", number(max_minor)}});
}

absl::Status amount_not_representable(std::string_view account, std::string_view currency_code,
                                      std::int64_t amount_minor) {
  return failed_precondition("AMOUNT_NOT_REPRESENTABLE",
                             fmt::format("The gateway can't express {} minor units of {}.",
                                         amount_minor, shown(currency_code)),
                             fmt::format("gateway_accounts/{}", account),
                             {{"gateway_account", account},
                              {"currency_code", currency_code},
                              {"amount_minor", number(amount_minor)}});
}

absl::Status payment_not_voidable(std::string_view payment_id, std::string_view status) {
  return failed_precondition(
      "PAYMENT_NOT_VOIDABLE",
      fmt::format("The payment has no authorization to release. It is {}.", shown(status)),
      payment_subject(payment_id), {{"payment_id", payment_id}, {"status", status}});
}

absl::Status void_after_capture_not_supported(std::string_view payment_id) {
  return failed_precondition(
      "VOID_AFTER_CAPTURE_NOT_SUPPORTED",
      "A part of the payment is captured, and its gateway can't release the rest by itself.",
      payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status payment_not_refundable(std::string_view payment_id, std::string_view status,
                                    std::int64_t max_minor) {
  return failed_precondition(
      "PAYMENT_NOT_REFUNDABLE",
      fmt::format("Nothing of the payment can be refunded now. It is {}.", shown(status)),
      payment_subject(payment_id),
      {{"payment_id", payment_id},
       {"status", status},
       {"max_refundable_minor", number(max_minor)}});
}

absl::Status refund_too_large(std::string_view payment_id, std::int64_t requested_minor,
                              std::int64_t max_minor) {
  return amount_too_large(payment_id, requested_minor, max_minor, "max_refundable_minor",
                          "refunded");
}

absl::Status partial_refund_not_supported(std::string_view payment_id, std::int64_t max_minor) {
  return failed_precondition(
      "PARTIAL_REFUND_NOT_SUPPORTED",
      fmt::format("The gateway refunds all that is captured, {} minor units, or nothing.",
                  max_minor),
      payment_subject(payment_id),
      {{"payment_id", payment_id}, {"max_refundable_minor", number(max_minor)}});
}

absl::Status refund_before_final_capture_not_supported(std::string_view payment_id) {
  return failed_precondition(
      "REFUND_BEFORE_FINAL_CAPTURE_NOT_SUPPORTED",
      "A part of the authorization can still be captured, and the gateway refunds only after that.",
      payment_subject(payment_id), {{"payment_id", payment_id}});
}

absl::Status confirm_external_not_allowed(std::string_view account) {
  return failed_precondition(
      "CONFIRM_EXTERNAL_NOT_ALLOWED",
      fmt::format("The payment is one of the account \"{}\", which makes refunds itself; "
                  "confirm_external is for \"external\" only.",
                  shown(account)),
      fmt::format("gateway_accounts/{}", account), {{"gateway_account", account}});
}

absl::Status transaction_final(std::string_view transaction_id) {
  return failed_precondition(
      "TRANSACTION_FINAL", "The transaction has found its end, which nobody can change.",
      fmt::format("payment_transactions/{}", transaction_id), {{"transaction_id", transaction_id}});
}

absl::Status gateway_can_tell(std::string_view transaction_id) {
  return failed_precondition(
      "GATEWAY_CAN_TELL",
      "The gateway knows what became of the transaction. Sync the payment instead.",
      fmt::format("payment_transactions/{}", transaction_id), {{"transaction_id", transaction_id}});
}

absl::Status gateway_unavailable(std::string_view account, std::chrono::milliseconds retry_delay) {
  return Error(StatusCode::kUnavailable, "GATEWAY_UNAVAILABLE",
               fmt::format("The gateway \"{}\" can't be reached, or does not answer. Nothing was "
                           "changed; try again later.",
                           shown(account)),
               {{"gateway_account", account}})
      .retry_after(retry_delay);
}

}  // namespace orderd::errors
