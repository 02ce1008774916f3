#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "orders/v1/payment_calls.pb.h"
#include "server/orders/errors.h"
#include "server/orders/rule.h"
#include "server/payments/gateway.h"

// The rules of payments: what may be tried, what an attempt reserves, and what its end means. What
// a reading of the gateway means is in readings.h.
//
// The invariant: captured + voided + open captures and voids <= authorized, and refunded + open
// refunds <= captured. It binds what is asked for; what a gateway reports is always recorded.
// Nothing is ever clamped.

namespace orderd::rules {

/// What is known of the configured gateway accounts. Thread-safe, never blocks.
class GatewayDirectory {
 public:
  virtual ~GatewayDirectory() = default;
  /// "external" always is.
  virtual bool configured(std::string_view account) const = 0;
  virtual bool representable(std::string_view account, const pb::Money& amount) const = 0;
  /// OK, or why nothing should be sent to the account now: it has been failing (UNAVAILABLE
  /// `GATEWAY_UNAVAILABLE`), or too much waits for it (RESOURCE_EXHAUSTED).
  virtual absl::Status available(std::string_view account) const = 0;
};

inline constexpr std::string_view kExternal = "external";
inline constexpr int kMaxPayments = 100;

/// What an attempt is made with.
struct AttemptContext {
  /// The id of the attempt, which is its key at the gateway too. Others are derived from it.
  Uuid transaction_id;
  std::string_view request_id;
  /// For how long the sender alone sees to it; then the reconciler does.
  std::chrono::microseconds lease{};
  const GatewayDirectory* gateways = nullptr;
};

absl::Status validate(const pb::AddPaymentRequest& request);
absl::Status validate(const pb::CapturePaymentRequest& request);
absl::Status validate(const pb::VoidPaymentRequest& request);
absl::Status validate(const pb::RefundPaymentRequest& request);
absl::Status validate(const pb::SyncPaymentsRequest& request);
absl::Status validate(const pb::ListTransactionsRequest& request);
absl::Status validate(const pb::ListUnresolvedTransactionsRequest& request);
absl::Status validate(const pb::ResolveTransactionRequest& request);
/// For the payments of a new order.
void check_new_payment(const pb::NewPayment& payment, const std::string& prefix,
                       errors::Violations& violations);

/// The claim that AddPayment's rule wants to see the holder of.
std::vector<Claim> payment_claims(const pb::NewPayment& payment);
Result add_payment(const pb::AddPaymentRequest& request, const Uuid& payment_id,
                   const GatewayDirectory& gateways, const Target& target, const Context& context);
/// A payment as it is attached: UNSYNCED, or for "external" with the caller's amounts and, in
/// `transactions`, what they say (AUTHORIZATION, CAPTURE). Or a refusal: not configured, another
/// currency than `currency_code`, which is set if it is empty; for a payment at a gateway it must
/// not be (ORDER_WITHOUT_CURRENCY).
absl::StatusOr<pb::Payment> attach(const pb::NewPayment& request, const Uuid& payment_id,
                                   std::string& currency_code, const GatewayDirectory& gateways,
                                   const Context& context,
                                   std::vector<pb::PaymentTransaction>& transactions);

/// Each writes an attempt: UNKNOWN, with what it reserves. `Outcome.transaction_id` names it. A
/// void and a final capture reserve the whole remainder, so they wait (PAYMENT_BUSY) for the ends
/// of other captures and voids. A void of 0 closes an OPEN payment. A refund with
/// `confirm_external` is SUCCEEDED at once. PAYMENT_UNSYNCED (an error that no caller sees) if all
/// that can be said without its amounts is fine, and the payment must be synced first.
Result capture_payment(const pb::CapturePaymentRequest& request, const AttemptContext& attempt,
                       const Target& target, const Context& context);
Result void_payment(const pb::VoidPaymentRequest& request, const AttemptContext& attempt,
                    const Target& target, const Context& context);
Result refund_payment(const pb::RefundPaymentRequest& request, const AttemptContext& attempt,
                      const Target& target, const Context& context);

/// What the gateway answered to an attempt. No change if the attempt is no longer open: a final
/// status is never overwritten by an answer, nor PENDING by kUnknown. kNotExecuted and kUnknown
/// leave it UNKNOWN, with the reason, due for the reconciler; kStateConflict too, due at once. The
/// capture of a final capture is booked together with the VOID of the rest. A PENDING transaction
/// ends by kSucceeded only: for its failure a reading must speak. Nor does an answer make a FAILED
/// transaction (the target's) another, but money that moved after all sets `attention`, and the
/// payment is due at once, so that a reading books it.
Result settle(std::string_view payment_id, const Uuid& transaction_id,
              const payments::CallResult& result, const Target& target, const Context& context);

/// Wants the command's `transaction_id` set. A transaction that has ended as asked for is left
/// alone. PAYMENT_BUSY for an UNKNOWN one that is younger than `lease`: its call may be under way.
Result resolve_transaction(const pb::ResolveTransactionRequest& request,
                           const GatewayDirectory& gateways, std::chrono::microseconds lease,
                           const Target& target, const Context& context);

/// How much may be captured, voided, refunded now, or why nothing. For available actions; the same
/// judgement as the rules above, but for what the gateways have to say. PAYMENT_UNSYNCED: that
/// can't be known yet.
struct Allowance {
  absl::Status refusal;
  std::int64_t max_minor = 0;
};
Allowance may_capture(const pb::Order& order, const pb::Payment& payment, const Settings& settings);
Allowance may_void(const pb::Order& order, const pb::Payment& payment);
Allowance may_refund(const pb::Order& order, const pb::Payment& payment);

/// Whether money is open: capturable, or captured and not refunded, or a transaction under way, or
/// the customer may still pay.
bool has_open_money(const pb::Payment& payment);

/// Writes capturable, refundable, attention and discrepancy, which follow from the rest of the
/// payment. Keeps an `attention` or `discrepancy` that is set: a payment does not show what all
/// they are for.
void derive(pb::Payment& payment);
/// Adds what the transaction moved to the payment's sums, if it is SUCCEEDED; a CHARGEBACK is in
/// none of them. False, and nothing booked, if 64 bits don't hold a sum.
[[nodiscard]] bool book(const pb::PaymentTransaction& transaction, pb::Payment& payment);

/// When the gateway is to be asked next and since when the payment has been unresolved:
/// - with UNKNOWN transactions a minute from now, with PENDING ones (not MANUAL) an hour;
/// - an UNSYNCED, OPEN or PROCESSING payment in ten minutes;
/// - an uncaptured authorization daily, an hour before it runs out, and then;
/// - 30 days long daily after the last refund; else never. External payments never, but for UNKNOWN
///   ones.
/// Unresolved is what has open transactions, or `attention`, of which the first time is kept.
/// `last_refund`: when the last REFUND succeeded; if that is not known, and something was refunded,
/// it counts as now.
PaymentSchedule schedule_of(const pb::Payment& payment, Micros now,
                            std::optional<Micros> last_refund = std::nullopt);

/// When the last REFUND of the payment succeeded.
std::optional<Micros> last_refund(std::span<const pb::PaymentTransaction> ledger,
                                  std::string_view payment_id);

/// Whether nobody knows yet what became of one of its transactions.
bool has_unknown(const pb::Payment& payment);

/// The payment of that id, or null.
const pb::Payment* find_payment(const pb::Order& order, std::string_view payment_id);

}  // namespace orderd::rules
