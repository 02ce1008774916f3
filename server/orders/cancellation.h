#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "orders/v1/cancellation.pb.h"
#include "server/orders/payments.h"
#include "server/orders/readings.h"
#include "server/orders/rule.h"

// The rules of cancellation: may it begin, what is to be returned, when is it done. Who drives it
// is server/payments/cancellation.h.
//
// A cancellation goes through three kinds of changes, each one transaction:
// 1. `begin_cancellation`, the caller's: IN_PROGRESS. If no gateway can know more and the order has
//    no money to return it is completed by the same change.
// 2. `advance_cancellation`, once per round: folds fresh readings of all payments, looks at what is
//    left to return, and either writes attempts for it (legs), or completes the cancellation, or
//    says that it has FAILED, or waits.
// 3. `settle`, `fold_readings`, `resolve_transaction`: what became of a leg. They keep the legs in
//    `Order.cancellation` in step (`follow_transactions`), and never complete anything themselves.

namespace orderd::rules {

/// How e-mails are written.
struct Mailing {
  /// False: this server sends none.
  bool configured = false;
  /// Of Message-IDs.
  std::string domain;
};

absl::Status validate(const pb::CancelOrderRequest& request);
absl::Status validate(const pb::AbandonCancellationRequest& request);

/// Whether the order may be canceled now: CANCEL_NOT_ALLOWED, ORDER_SHIPPED (unless
/// `include_shipped`). OK while a cancellation runs or has been completed. For available actions
/// too.
absl::Status may_cancel(const pb::Order& order, bool include_shipped, const Settings& settings);

/// What is to be returned, judged by the order as it is: per payment a VOID of what is capturable
/// (of 0 for a payment that is OPEN or PROCESSING), then a REFUND of what is refundable. Voids
/// first. Payments with a transaction that is UNKNOWN, or with a discrepancy, are left out.
std::vector<pb::CancellationLeg> plan_of(const pb::Order& order);

/// `ids`: a family for the attempts, the e-mail, and all else that is made.
struct CancellationContext {
  Uuid ids;
  std::string_view request_id;
  /// For how long the legs that are written belong to their sender.
  std::chrono::microseconds lease{};
  const GatewayDirectory* gateways = nullptr;
  const Mailing* mailing = nullptr;
};

/// With `validate_only` the engine shows what would be; then `Outcome.cancellation` has the report
/// of the plan. PAYMENT_UNSYNCED (an error that no caller sees) if all else is fine and a payment
/// must be synced first; not with `validate_only`.
Result begin_cancellation(const pb::CancelOrderRequest& request,
                          const CancellationContext& cancellation, const Target& target,
                          const Context& context);

/// One round. Wants the ledger. `readings`: of all payments that have a gateway; without that of
/// one with open money (or if one is stale: STALE_READING) nothing is decided. No change unless
/// IN_PROGRESS. The attempts that it writes are UNKNOWN in `Change.transactions_created` and
/// `Answer.order`; the caller sends them.
///
/// - A payment with an UNKNOWN transaction, or a PENDING one that has no gateway id, waits.
/// - Legs of this pass that were refused for good (FAILED, and not NOT_APPLIED or a state
///   conflict), and whose plan is still the same after the readings, make it FAILED.
/// - Voids go first: a refund is planned once nothing of the order is left to void, or where the
///   void has failed for good.
/// - When nothing is left to return and nothing waits: COMPLETED. The order enters the target state
///   (or, if that has been deleted, the first of category CANCELED), lines that have not been
///   shipped become canceled, and the e-mail is written if it was asked for.
Result advance_cancellation(std::span<const PaymentReading> readings,
                            const CancellationContext& cancellation, const Target& target,
                            const Context& context);

Result abandon_cancellation(const pb::AbandonCancellationRequest& request, const Target& target,
                            const Context& context);

/// Brings the legs of `order.cancellation` in step with transactions that were written or changed;
/// a REFUND that fails after COMPLETED sets the payment's `attention`. Called by whatever changes
/// transactions.
void follow_transactions(std::span<const pb::PaymentTransaction> transactions, pb::Order& order);

/// What has been done and what is left, from the order alone.
pb::CancellationReport report_of(const pb::Order& order);

}  // namespace orderd::rules
