#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/errors.h"
#include "server/orders/utf8.h"

// The part of the catalogue that is about the sandbox's service.

namespace orderd::errors {

using absl::StatusCode;
using rules::shown;

absl::Status gateway_account_not_found(std::string_view account) {
  return Error(StatusCode::kNotFound, "GATEWAY_ACCOUNT_NOT_FOUND",
               fmt::format("This server has no gateway account \"{}\".", shown(account)),
               {{"gateway_account", account}})
      .resource("gateway_account", account);
}

absl::Status not_a_sandbox(std::string_view account) {
  return failed_precondition(
      "NOT_A_SANDBOX", fmt::format("The gateway account \"{}\" is not a sandbox.", shown(account)),
      fmt::format("gateway_accounts/{}", account), {{"gateway_account", account}});
}

absl::Status sandbox_payment_not_found(std::string_view reference) {
  return Error(StatusCode::kNotFound, "SANDBOX_PAYMENT_NOT_FOUND",
               fmt::format("The sandbox has no payment \"{}\".", shown(reference)),
               {{"gateway_reference", reference}})
      .resource("sandbox_payment", reference);
}

absl::Status sandbox_reference_in_use(std::string_view reference) {
  return Error(StatusCode::kAlreadyExists, "PAYMENT_REFERENCE_IN_USE",
               fmt::format("The sandbox has a payment \"{}\" already.", shown(reference)),
               {{"gateway_reference", reference}})
      .resource("sandbox_payment", reference);
}

absl::Status sandbox_refused(std::string_view reference, std::string_view gateway_reason) {
  return failed_precondition("SANDBOX_REFUSED",
                             fmt::format("The sandbox does not do that to the payment \"{}\": {}.",
                                         shown(reference), gateway_reason),
                             fmt::format("sandbox_payments/{}", reference),
                             {{"gateway_reason", gateway_reason}});
}

}  // namespace orderd::errors
