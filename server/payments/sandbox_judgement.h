#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/payments/gateway.h"

// What the sandbox allows and what it books, as pure functions: a gateway's view of a payment,
// written without regard to what orderd checks, so that each finds the other's mistakes.

namespace orderd::payments {

/// How far the customer has come. Everything after kAuthorized follows from the movements.
enum class LedgerStage {
  kOpen = 1,
  kProcessing = 2,
  kAuthorized = 3,
  /// Closed before the customer paid.
  kClosed = 4,
  /// Expired before the customer paid.
  kLapsed = 5,
};

struct LedgerMovement : GatewayMovement {
  /// Empty: made from the dashboard, or by the gateway itself.
  std::string idempotency_key;
  /// With PENDING: when and why it will fail. Without a time it waits to be settled.
  std::optional<Micros> fail_time;
  std::string fail_reason;
};

struct LedgerPayment {
  std::string reference;
  std::string currency_code;
  /// What the customer is to pay; it is authorized in full or not at all.
  std::int64_t due_minor = 0;
  LedgerStage stage = LedgerStage::kOpen;
  std::optional<Micros> expire_time;
  pb::GatewayCapabilities capabilities;
  /// Oldest first.
  std::vector<LedgerMovement> movements;

  /// The sum of the movements of a kind that SUCCEEDED.
  std::int64_t sum(pb::TransactionKind kind) const;
  std::int64_t authorized() const { return sum(pb::TRANSACTION_KIND_AUTHORIZATION); }
  std::int64_t captured() const { return sum(pb::TRANSACTION_KIND_CAPTURE); }
  std::int64_t refunded() const { return sum(pb::TRANSACTION_KIND_REFUND); }
  std::int64_t pending_refunds() const;
  /// Expired money too.
  std::int64_t voided() const;
  std::int64_t capturable() const { return authorized() - captured() - voided(); }
  /// Charged back and not given back since.
  std::int64_t disputed() const;
  pb::PaymentStatus status() const;
};

enum class MoneyOperation { kCapture = 1, kVoid = 2, kRefund = 3 };

/// Why the operation can't be done; nothing if it can. Refused is what no later moment allows by
/// itself, a conflict is what the caller would have known from a reading.
std::optional<CallResult> objection(const LedgerPayment& payment, MoneyOperation operation,
                                    const Attempt& attempt);

/// What the operation moves, the caller's own movement first. The parts that are left empty are
/// those that the ledger fills in: ids, time, key. `objection` must have had none.
std::vector<LedgerMovement> movements_of(const LedgerPayment& payment, MoneyOperation operation,
                                         const Attempt& attempt);

/// The first thing about the payment that can't be, in words; empty if it is sound.
std::string violation(const LedgerPayment& payment);

}  // namespace orderd::payments
