#pragma once

#include <functional>

#include "server/payments/gateway.h"

namespace orderd::payments {

/// The account "external": money that is handled elsewhere (cash, vouchers, history).
///
/// There is nobody to call. What is known of such a payment is the word of a caller with the role
/// finance, kept in the order alone. So this much lives behind the Gateway interface:
/// - A capture or a void succeeds at once: it records what somebody does by hand.
/// - A refund is PENDING with reason MANUAL and without a transaction id: money goes back only when
///   somebody hands it over, and says so (`ResolveTransaction`, or `confirm_external`). Nothing
///   here ever completes it.
/// - The answer depends on the attempt alone. A call that is repeated after a crash gets the same
///   answer, and two servers need not agree on anything.
/// - There is no reading: it could only repeat the order's own sums, and a copy of one's own book
///   proves nothing. `fetch` says kUnusable / EXTERNAL, which is never a reason to try again.
///
/// And this is the caller's part, which has the order at hand:
/// - An external payment gets its amounts and capabilities when it is added
///   (server/orders/external_payment.h); it is never UNSYNCED, and a sync leaves it out.
/// - An attempt that a crash left UNKNOWN is settled by the same call again, not by a reading.
/// - The invariant of the sums is checked against the order; there is no second book here.
class External : public Gateway {
 public:
  /// `clock` gives the time of captures and voids.
  explicit External(std::function<Micros()> clock) : clock_(std::move(clock)) {}

  std::variant<Reading, FetchError> fetch(const PaymentRef& payment, Deadline deadline) override;
  CallResult capture(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  CallResult void_remainder(const PaymentRef& payment, const Attempt& attempt,
                            Deadline deadline) override;
  CallResult refund(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  Representable representable(const pb::Money& amount) const override;

 private:
  std::function<Micros()> clock_;
};

}  // namespace orderd::payments
