#include "server/payments/external.h"

#include "server/orders/money.h"

namespace orderd::payments {

pb::GatewayCapabilities External::capabilities() {
  pb::GatewayCapabilities all;
  all.set_multi_capture(true);
  all.set_partial_capture(true);
  all.set_partial_refund(true);
  all.set_refund_before_final_capture(true);
  all.set_void_after_capture(true);
  all.set_concurrent_operations(true);
  // No reading, hence no lookup; no call has an effect here, hence no key to remember.
  all.set_lookup_by_attempt(false);
  all.mutable_key_lifetime();
  return all;
}

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
  CallResult pending;
  pending.kind = CallResult::Kind::kPending;
  pending.reason = "MANUAL";
  return pending;
}

Representable External::representable(const pb::Money& amount) const {
  return rules::currency_exponent(amount.currency_code()) ? Representable::kYes
                                                          : Representable::kNo;
}

}  // namespace orderd::payments
