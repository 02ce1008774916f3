#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "orders/v1/order.pb.h"
#include "orders/v1/payment.pb.h"
#include "storage/model.h"

namespace orderd::payments {

using Deadline = std::chrono::steady_clock::time_point;

/// A payment, as its gateway knows it.
struct PaymentRef {
  std::string gateway_reference;
  /// ISO 4217. A reading in another currency is an error of the gateway's (kUnusable).
  std::string currency_code;
};

/// What every call that moves money carries. The id goes to the gateway as metadata, so that a
/// reading can tell our movements from others; the key makes a repeated call one call.
struct Attempt {
  std::string attempt_id;
  std::string idempotency_key;
  std::int64_t amount_minor = 0;
  /// Captures only: the rest of the authorization is released.
  bool final_capture = false;
  /// Captures only: the payment's capability as of the last sync. Without it a gateway releases
  /// what a capture leaves, so one that is not final must take all.
  bool multi_capture = true;
};

/// How a call that moves money ended.
struct CallResult {
  enum class Kind {
    /// Done. `gateway_transaction_id` and `time` are set where the gateway gives them.
    kSucceeded,
    /// Accepted, not final; it has a `gateway_transaction_id`, or else the reason MANUAL: somebody
    /// has to do it and to confirm it.
    kPending,
    /// Refused for good: the same request will never succeed. `reason` says why.
    kRefused,
    /// It certainly did not happen, for a reason that may pass (no connection, credentials, rate
    /// limit, key in use): the same key can be sent again, after `retry_after` if given.
    kNotExecuted,
    /// The payment is not in the state that the call supposes (already captured, canceled,
    /// expired): a reading must say what is.
    kStateConflict,
    /// Everything else: a time-out after sending, a 5xx, an answer that makes no sense.
    kUnknown,
  };
  Kind kind = Kind::kUnknown;
  std::string gateway_transaction_id;
  /// An UPPER_SNAKE word of ours for what the gateway said ("CARD_DECLINED"); never its text.
  std::string reason;
  std::optional<std::chrono::milliseconds> retry_after;
  /// When the money moved, by the gateway's clock.
  std::optional<Micros> time;
};

/// A call that ended with a reason.
inline CallResult ended(CallResult::Kind kind, std::string reason) {
  CallResult result;
  result.kind = kind;
  result.reason = std::move(reason);
  return result;
}
inline CallResult refused(std::string reason) {
  return ended(CallResult::Kind::kRefused, std::move(reason));
}
inline CallResult conflict(std::string reason) {
  return ended(CallResult::Kind::kStateConflict, std::move(reason));
}

/// One movement as the gateway lists it.
struct GatewayMovement {
  std::string gateway_transaction_id;
  pb::TransactionKind kind{};
  /// PENDING, SUCCEEDED or FAILED.
  pb::TransactionStatus status{};
  std::int64_t amount_minor = 0;
  Micros time = 0;
  /// The attempt's id, if it is one of ours and the gateway keeps metadata of it.
  std::string attempt_id;
  /// With FAILED, as in CallResult.
  std::string reason;
};

/// The whole of a payment as the gateway says it is, at one moment.
struct Reading {
  /// Never UNSYNCED.
  pb::PaymentStatus status{};
  std::int64_t authorized_minor = 0;
  /// Sums of what SUCCEEDED. `voided` counts expired money too.
  std::int64_t captured_minor = 0;
  std::int64_t refunded_minor = 0;
  std::int64_t voided_minor = 0;
  /// When the authorization runs out, if it is known.
  std::optional<Micros> expire_time;
  pb::GatewayCapabilities capabilities;
  /// All, oldest first: the AUTHORIZATION too, where there is one. What a final capture released is
  /// a VOID of its own, with the attempt of the capture.
  std::vector<GatewayMovement> movements;
};

/// A reading that could not be had.
struct FetchError {
  enum class Kind {
    /// Try again later: no connection, a time-out, a 5xx, a rate limit, credentials refused.
    kUnavailable,
    /// The gateway has no such payment.
    kNotFound,
    /// It has, but not one that can be kept here: another currency, an amount that is not a number.
    kUnusable,
  };
  Kind kind = Kind::kUnavailable;
  /// As in CallResult.
  std::string reason;
  std::optional<std::chrono::milliseconds> retry_after;
};

/// Whether an amount can be expressed at the gateway; else no attempt is made at all
/// (AMOUNT_NOT_REPRESENTABLE). Never rounded.
enum class Representable { kYes, kNo };

/// One account at one gateway. Calls block for as long as they take, at most until their deadline;
/// they are made on threads of the gateway's own. Thread-safe. Nothing that the gateway sends, no
/// key and no body, gets into an error or a log line.
class Gateway {
 public:
  virtual ~Gateway() = default;

  virtual std::variant<Reading, FetchError> fetch(const PaymentRef& payment, Deadline deadline) = 0;

  virtual CallResult capture(const PaymentRef& payment, const Attempt& attempt,
                             Deadline deadline) = 0;
  /// Releases what is authorized and not captured: all of it; `attempt.amount_minor` is what the
  /// caller expects that to be. An OPEN payment is closed, so that the customer can't pay any more.
  virtual CallResult void_remainder(const PaymentRef& payment, const Attempt& attempt,
                                    Deadline deadline) = 0;
  virtual CallResult refund(const PaymentRef& payment, const Attempt& attempt,
                            Deadline deadline) = 0;

  virtual Representable representable(const pb::Money& amount) const = 0;
};

/// A call to a gateway that has ended.
struct GatewayReport {
  std::string_view account;
  /// "fetch", "capture", "void" or "refund".
  std::string_view operation;
  /// The kind of CallResult or FetchError, in lower case ("not_executed"); a fetch that brought a
  /// reading "succeeded".
  std::string_view outcome;
  std::chrono::nanoseconds duration{};
};
/// Thread-safe, must not block.
using GatewayObserver = std::function<void(const GatewayReport&)>;

}  // namespace orderd::payments
