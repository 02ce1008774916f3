#include "client/orderctl/errors.h"

#include <fmt/core.h>

#include <string_view>
#include <utility>

#include "client/error_details.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

std::string_view hint(const absl::Status& status, std::string_view reason) {
  static constexpr std::string_view kShow = "`orderctl ship show ORDER` shows what it has";
  static constexpr std::string_view kMethods = "`orderctl methods list` shows the methods";
  static constexpr std::string_view kDeliveryStates =
      "`orderctl delivery-states list` shows the states, and from where each can be entered";
  static constexpr std::string_view kPayShow = "`orderctl pay show ORDER` shows its payments";
  static constexpr std::string_view kSync = "`orderctl pay sync ORDER` asks the gateway";
  static constexpr std::string_view kWatch =
      "`orderctl watch --from-snapshot` begins anew, without --resume; a --token-file must be\n"
      "  removed first";
  static constexpr std::pair<std::string_view, std::string_view> kHints[] = {
      {"ORDER_NOT_FOUND", "`orderctl list` shows what there is"},
      {"NOTE_NOT_FOUND", "`orderctl note list ORDER` shows the ids of its notes"},
      {"STATE_NOT_FOUND", "`orderctl states list` shows the states"},
      {"STATE_UNKNOWN", "`orderctl states list` shows the states"},
      {"STATE_NOT_ENTERABLE",
       "`orderctl get ORDER` shows where the order may go; `--force --reason TEXT` overrides"},
      {"STATE_FINAL", "an order leaves a final state only with `--force --reason TEXT`"},
      {"CANCEL_REQUIRED",
       "`orderctl cancel ORDER --reason TEXT` returns the order's money and cancels it"},
      {"CANCEL_NOT_ALLOWED",
       "`orderctl states list` shows the states in which orders can be canceled (cancel)"},
      {"TARGET_STATE_NOT_CANCELED", "`orderctl states list` shows the states (category canceled)"},
      {"ORDER_SHIPPED", "--include-shipped cancels it all the same; what is shipped stays shipped"},
      {"CANCELLATION_IN_PROGRESS",
       "`orderctl get ORDER` shows how far it is; while no money has moved,\n"
       "  `orderctl cancel ORDER --abandon --reason TEXT` gives it up"},
      {"CANCELLATION_NOT_RUNNING", "`orderctl get ORDER` shows the order"},
      {"CANCELLATION_HAS_MOVED_MONEY",
       "`orderctl get ORDER` shows what; if it has failed, `orderctl cancel ORDER --reason TEXT`\n"
       "  goes on with the rest"},
      {"CUSTOMER_EMAIL_MISSING",
       "`orderctl update ORDER --set customer.email=ADDRESS` gives the customer one; `emails "
       "retry`\n"
       "  takes one with --to ADDRESS"},
      {"EMAIL_NOT_CONFIGURED",
       "leave --notify out; orderd sends e-mail if it is started with --smtp and --email-from"},
      {"EMAIL_NOT_FOUND", "`orderctl emails list` shows the e-mails and their orders"},
      {"EMAIL_SENT", "`orderctl emails list --order ORDER` shows when"},
      {"ETAG_MISMATCH",
       "somebody else changed it: look at it again, then repeat with the current etag or without"},
      {"ORDER_NUMBER_IN_USE", "`orderctl get` with the order_id above shows the other order"},
      {"INVOICE_NUMBER_IN_USE", "`orderctl get` with the order_id above shows the other order"},
      {"REQUEST_ID_REUSED", "use a new --request-id for a new change, or none"},
      {"ADDRESS_CHANGE_NEEDS_REASON", "say why with --reason TEXT"},
      {"STATE_IN_USE", "`orderctl list --state STATE` shows the orders that must leave it first"},
      {"DELIVERY_STATE_IN_USE",
       "`orderctl list --delivery STATE` shows the orders that have such lines"},
      {"SHIPMENT_METHOD_IN_USE",
       "`orderctl methods update METHOD --no-enabled` keeps it from being chosen"},
      {"SHIPMENT_UPDATE_NOT_ALLOWED",
       "`orderctl states list` shows the states in which shipments can be updated (ship)"},
      {"ITEM_UNKNOWN", kShow},
      {"LINE_UNKNOWN", kShow},
      {"SHIPMENT_UNKNOWN", kShow},
      {"ITEM_AMBIGUOUS",
       "say of which line with --line ID=QUANTITY; `orderctl ship show ORDER` shows the lines"},
      {"QUANTITY_TOO_LARGE", kShow},
      {"LINE_NOT_MOVABLE", "what is shipped or canceled stays where it is; --all skips it"},
      {"SHIPMENT_METHOD_UNKNOWN", kMethods},
      {"SHIPMENT_METHOD_DISABLED", kMethods},
      {"SHIPMENT_METHOD_NOT_FOUND", kMethods},
      {"SHIPMENT_METHOD_MISMATCH", "ship the lines by the method of the shipment that they join"},
      {"TRACKING_NOT_ALLOWED",
       "a line of the shipment must be confirmed first: `orderctl ship state ORDER STATE`"},
      {"DELIVERY_STATE_UNKNOWN", kDeliveryStates},
      {"DELIVERY_STATE_NOT_FOUND", kDeliveryStates},
      {"DELIVERY_STATE_NOT_ENTERABLE", kDeliveryStates},
      {"PAYMENT_NOT_FOUND", kPayShow},
      {"TRANSACTION_NOT_FOUND", kPayShow},
      {"PAYMENT_NOT_CAPTURABLE", kPayShow},
      {"PAYMENT_NOT_VOIDABLE", kPayShow},
      {"PAYMENT_NOT_REFUNDABLE", kPayShow},
      {"PAYMENT_BUSY", "another operation is under way; `orderctl pay show ORDER` shows it"},
      {"PAYMENT_REFERENCE_IN_USE",
       "`orderctl get` with the order_id above shows the other order, if there is one"},
      {"CAPTURE_NOT_ALLOWED",
       "`orderctl states list` shows the states in which money can be captured (capture)"},
      {"PARTIAL_CAPTURE_NOT_SUPPORTED", "without an AMOUNT all is captured"},
      {"PARTIAL_REFUND_NOT_SUPPORTED", "without an AMOUNT all is refunded"},
      {"CONFIRM_EXTERNAL_NOT_ALLOWED", "the gateway makes this refund: leave --confirm out"},
      {"AUTHORIZATION_EXPIRED", kSync},
      {"PAYMENT_DISCREPANCY", kSync},
      {"GATEWAY_CAN_TELL", kSync},
      {"GATEWAY_NOT_CONFIGURED", "orderd gets its accounts at the start: --gateway NAME=..."},
      {"GATEWAY_UNAVAILABLE", "nothing was changed: try again later"},
      {"UNAUTHENTICATED",
       "give your API key with --api-key-file FILE or in ORDERCTL_API_KEY, or a client "
       "certificate\n"
       "  with --cert and --key; an admin makes and lists keys with `orderctl keys`"},
      {"PERMISSION_DENIED",
       "your key or certificate does not have this role; an admin can make a key that has it:\n"
       "  `orderctl keys create --name NAME --role ROLE`"},
      {"FIRST_KEY_NOT_ADMIN", "`orderctl keys create --name NAME --role admin` comes first"},
      {"API_KEY_NOT_FOUND", "`orderctl keys list --revoked` shows the keys"},
      {"WATCH_TOKEN_EXPIRED", kWatch},
      {"WATCH_TOKEN_INVALID", kWatch},
      {"OVERLOADED", "the server sheds load: try again a little later"},
  };
  for (const auto& [of, text] : kHints) {
    if (reason == of) return text;
  }
  if (status.code() == absl::StatusCode::kUnavailable && reason.empty()) {
    return "is orderd running there? --server HOST:PORT or ORDERCTL_SERVER says where to look; if "
           "it\n"
           "  uses TLS, so must you: --tls, --ca FILE";
  }
  if (status.code() == absl::StatusCode::kDeadlineExceeded) {
    return "a change may or may not have been made; --timeout SECONDS waits longer";
  }
  return "";
}

}  // namespace

ExitCode exit_code(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kInvalid;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return kConflict;
    case absl::StatusCode::kFailedPrecondition:
      return kRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kUnavailable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kPermission;
    default:
      return kInternal;
  }
}

int fail(const absl::Status& status) {
  const client::ErrorDetails error = client::details(status);
  fmt::print(stderr, "error: {}\n", printable(std::string(status.message())));
  if (!error.reason.empty()) fmt::print(stderr, "  reason: {}\n", printable(error.reason));
  for (const auto& [key, value] : error.metadata) {
    fmt::print(stderr, "  {}: {}\n", printable(key), printable(value));
  }
  for (const auto& violation : error.field_violations) {
    // Alone, it often says what the message says, with a reason of its own in front.
    const bool said =
        !status.message().empty() && violation.description.ends_with(std::string(status.message()));
    fmt::print(stderr, "  field {}{}\n", printable(violation.field),
               said ? "" : ": " + printable(violation.description));
  }
  if (const auto text = hint(status, error.reason); !text.empty()) {
    fmt::print(stderr, "hint: {}\n", text);
  }
  return exit_code(status);
}

std::string one_line(const absl::Status& status) {
  const client::ErrorDetails error = client::details(status);
  std::string line = error.reason.empty() ? absl::StatusCodeToString(status.code()) : error.reason;
  line += ": ";
  if (error.field_violations.empty()) line += std::string(status.message());
  const char* separator = "";
  for (const auto& violation : error.field_violations) {
    line += fmt::format("{}{}: {}", separator, violation.field, violation.description);
    separator = "; ";
  }
  return printable(line);
}

}  // namespace orderd::cli
