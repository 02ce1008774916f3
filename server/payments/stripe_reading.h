#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/payments/gateway.h"

namespace orderd::payments::stripe {

// Metadata that is sent with a call, so that a reading can tell whose movement it sees. Captures
// and releases have no object of their own at Stripe: theirs is kept by the PaymentIntent.
inline constexpr char kAttemptKey[] = "orderd_attempt";  ///< of a Refund; of the last capture
inline constexpr char kAmountKey[] = "orderd_amount";    ///< of the last capture, in Stripe's unit
inline constexpr char kFinalKey[] = "orderd_final";      ///< the last capture releases the rest
inline constexpr char kVoidKey[] = "orderd_void";        ///< the attempt that cancels

/// Everything about one PaymentIntent, as Stripe answered. The intent was read last, so that it
/// knows the captures that the refunds are of.
struct Documents {
  nlohmann::json intent;  ///< with `latest_charge` and its `balance_transaction` expanded
  std::vector<nlohmann::json> charges;
  std::vector<nlohmann::json> refunds;
  std::vector<nlohmann::json> disputes;
};

/// Stripe has no ids of captures and releases. Those here are stable for one state of the payment:
/// a capture of ours is named by its charge and its attempt, the only capture of a charge by both
/// and its amount.
std::string capture_id(std::string_view charge_id, std::string_view which);
std::string void_id(std::string_view intent_id);

/// A word of ours for the `failure_reason` of a Refund.
std::string refund_failure(const std::string& reason);

/// The documents as a reading of a payment in `currency_code`.
///
/// - captured = amount_received; released = amount - received - capturable, a VOID or an EXPIRY.
/// - Only the latest charge and what belongs to it counts; earlier ones failed.
/// - Captures: Stripe lists none. The last one that was made from here is a movement, and so is the
///   only one of a charge without multicapture. Of all others nothing is told but the sum.
/// - A Refund that stands for a release (how releases were told before 2025-03-31.basil, and still
///   are when another program makes them with an older version) lends its id to the VOID: one that
///   Stripe says is of an expired charge, one of a payment that nothing was captured of, or one
///   made together with a capture, of what that capture left.
/// - A Dispute is a CHARGEBACK for what was withdrawn, and a CHARGEBACK_REVERSAL if it came back.
std::variant<Reading, FetchError> fold(const Documents& documents,
                                       const std::string& currency_code);

}  // namespace orderd::payments::stripe
