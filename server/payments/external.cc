#include "server/payments/external.h"

#include "server/orders/money.h"

namespace orderd::payments {

std::variant<Reading, FetchError> External::fetch(const PaymentRef& /*payment*/,
                                                  Deadline /*deadline*/) {
  return FetchError{
      .kind = FetchError::Kind::kUnusable, .reason = "EXTERNAL", .retry_after = std::nullopt};
}

CallResult External::capture(const PaymentRef& /*payment*/, const Attempt& /*attempt*/,
                             Deadline /*deadline*/) {
  CallResult done;
  done.kind = CallResult::Kind::kSucceeded;
  done.time = clock_();
  return done;
}

CallResult External::void_remainder(const PaymentRef& payment, const Attempt& attempt,
                                    Deadline deadline) {
  return capture(payment, attempt, deadline);
}

CallResult External::refund(const PaymentRef& /*payment*/, const Attempt& /*attempt*/,
                            Deadline /*deadline*/) {
  return ended(CallResult::Kind::kPending, "MANUAL");
}

Representable External::representable(const pb::Money& amount) const {
  return rules::currency_exponent(amount.currency_code()) ? Representable::kYes
                                                          : Representable::kNo;
}

}  // namespace orderd::payments
