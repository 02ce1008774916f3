#include "server/payments/sandbox_judgement.h"

#include <algorithm>

namespace orderd::payments {
namespace {

/// Why a payment of which nothing is capturable is so.
std::string nothing_capturable(const LedgerPayment& payment) {
  switch (payment.status()) {
    case pb::PAYMENT_STATUS_OPEN:
      return "PAYMENT_OPEN";
    case pb::PAYMENT_STATUS_PROCESSING:
      return "PAYMENT_PROCESSING";
    case pb::PAYMENT_STATUS_VOIDED:
      return "PAYMENT_VOIDED";
    case pb::PAYMENT_STATUS_EXPIRED:
      return "PAYMENT_EXPIRED";
    default:
      return "ALREADY_CAPTURED";
  }
}

std::optional<CallResult> objection_to_capture(const LedgerPayment& payment,
                                               std::int64_t amount_minor) {
  const pb::GatewayCapabilities& can = payment.capabilities;
  const std::int64_t capturable = payment.capturable();
  if (amount_minor <= 0) return refused("AMOUNT_INVALID");
  if (capturable == 0) return conflict(nothing_capturable(payment));
  if (amount_minor > capturable) return conflict("AMOUNT_TOO_LARGE");
  const auto captures = std::count_if(
      payment.movements.begin(), payment.movements.end(),
      [](const auto& movement) { return movement.kind == pb::TRANSACTION_KIND_CAPTURE; });
  if (captures > 0 && !can.multi_capture()) return refused("MULTI_CAPTURE_UNSUPPORTED");
  if (can.max_captures() > 0 && captures >= can.max_captures()) {
    return refused("MAX_CAPTURES_REACHED");
  }
  if (amount_minor < capturable && !can.partial_capture()) {
    return refused("PARTIAL_CAPTURE_UNSUPPORTED");
  }
  return std::nullopt;
}

std::optional<CallResult> objection_to_void(const LedgerPayment& payment) {
  if (payment.stage == LedgerStage::kOpen) return std::nullopt;
  if (payment.capturable() == 0) return conflict(nothing_capturable(payment));
  if (payment.captured() > 0 && !payment.capabilities.void_after_capture()) {
    return refused("VOID_AFTER_CAPTURE_UNSUPPORTED");
  }
  return std::nullopt;
}

std::optional<CallResult> objection_to_refund(const LedgerPayment& payment,
                                              std::int64_t amount_minor) {
  const pb::GatewayCapabilities& can = payment.capabilities;
  const std::int64_t captured = payment.captured();
  const std::int64_t left = captured - payment.refunded() - payment.pending_refunds();
  if (amount_minor <= 0) return refused("AMOUNT_INVALID");
  if (captured == 0) return conflict("NOT_CAPTURED");
  if (left == 0) return conflict("ALREADY_REFUNDED");
  if (amount_minor > left) return conflict("AMOUNT_TOO_LARGE");
  if (amount_minor > left - payment.disputed()) return refused("CHARGE_DISPUTED");
  if (payment.capturable() > 0 && !can.refund_before_final_capture()) {
    return refused("REFUND_BEFORE_FINAL_CAPTURE");
  }
  if (amount_minor < captured && !can.partial_refund())
    return refused("PARTIAL_REFUND_UNSUPPORTED");
  return std::nullopt;
}

}  // namespace

std::int64_t LedgerPayment::sum(pb::TransactionKind kind) const {
  std::int64_t total = 0;
  for (const LedgerMovement& movement : movements) {
    if (movement.kind == kind && movement.status == pb::TRANSACTION_STATUS_SUCCEEDED) {
      total += movement.amount_minor;
    }
  }
  return total;
}

std::int64_t LedgerPayment::pending_refunds() const {
  std::int64_t total = 0;
  for (const LedgerMovement& movement : movements) {
    if (movement.kind == pb::TRANSACTION_KIND_REFUND &&
        movement.status == pb::TRANSACTION_STATUS_PENDING) {
      total += movement.amount_minor;
    }
  }
  return total;
}

std::int64_t LedgerPayment::voided() const {
  return sum(pb::TRANSACTION_KIND_VOID) + sum(pb::TRANSACTION_KIND_EXPIRY);
}

std::int64_t LedgerPayment::disputed() const {
  return sum(pb::TRANSACTION_KIND_CHARGEBACK) - sum(pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL);
}

pb::PaymentStatus LedgerPayment::status() const {
  switch (stage) {
    case LedgerStage::kOpen:
      return pb::PAYMENT_STATUS_OPEN;
    case LedgerStage::kProcessing:
      return pb::PAYMENT_STATUS_PROCESSING;
    case LedgerStage::kClosed:
      return pb::PAYMENT_STATUS_VOIDED;
    case LedgerStage::kLapsed:
      return pb::PAYMENT_STATUS_EXPIRED;
    case LedgerStage::kAuthorized:
      break;
  }
  if (capturable() > 0) {
    return captured() > 0 ? pb::PAYMENT_STATUS_PARTLY_CAPTURED : pb::PAYMENT_STATUS_AUTHORIZED;
  }
  if (captured() > 0) {
    return refunded() == captured() ? pb::PAYMENT_STATUS_REFUNDED : pb::PAYMENT_STATUS_CAPTURED;
  }
  return sum(pb::TRANSACTION_KIND_EXPIRY) > 0 ? pb::PAYMENT_STATUS_EXPIRED
                                              : pb::PAYMENT_STATUS_VOIDED;
}

std::optional<CallResult> objection(const LedgerPayment& payment, MoneyOperation operation,
                                    const Attempt& attempt) {
  switch (operation) {
    case MoneyOperation::kCapture:
      return objection_to_capture(payment, attempt.amount_minor);
    case MoneyOperation::kVoid:
      return objection_to_void(payment);
    case MoneyOperation::kRefund:
      return objection_to_refund(payment, attempt.amount_minor);
  }
  return refused("OPERATION_UNKNOWN");
}

std::vector<LedgerMovement> movements_of(const LedgerPayment& payment, MoneyOperation operation,
                                         const Attempt& attempt) {
  std::vector<LedgerMovement> movements;
  const auto add = [&](pb::TransactionKind kind, std::int64_t amount_minor) {
    LedgerMovement& movement = movements.emplace_back();
    movement.kind = kind;
    movement.status = pb::TRANSACTION_STATUS_SUCCEEDED;
    movement.amount_minor = amount_minor;
  };
  const std::int64_t capturable = payment.capturable();
  switch (operation) {
    case MoneyOperation::kCapture: {
      add(pb::TRANSACTION_KIND_CAPTURE, attempt.amount_minor);
      const std::int64_t rest = capturable - attempt.amount_minor;
      // Where a second capture is not possible the first one releases the rest, asked to or not.
      if (rest > 0 && (attempt.final_capture || !payment.capabilities.multi_capture())) {
        add(pb::TRANSACTION_KIND_VOID, rest);
      }
      break;
    }
    case MoneyOperation::kVoid:
      add(pb::TRANSACTION_KIND_VOID, capturable);
      break;
    case MoneyOperation::kRefund:
      add(pb::TRANSACTION_KIND_REFUND, attempt.amount_minor);
      break;
  }
  return movements;
}

std::string violation(const LedgerPayment& payment) {
  const std::string where = "payment " + payment.reference + ": ";
  for (const LedgerMovement& movement : payment.movements) {
    if (movement.amount_minor < 0) return where + "a movement is negative";
  }
  const std::int64_t authorized = payment.authorized();
  if (authorized != (payment.stage == LedgerStage::kAuthorized ? payment.due_minor : 0)) {
    return where + "what is authorized is not what was due";
  }
  if (payment.captured() + payment.voided() > authorized) {
    return where + "more captured and voided than authorized";
  }
  if (payment.refunded() + payment.pending_refunds() > payment.captured()) {
    return where + "more refunded than captured";
  }
  if (payment.disputed() < 0 || payment.disputed() > payment.captured()) {
    return where + "more charged back than captured, or more given back than charged back";
  }
  return "";
}

}  // namespace orderd::payments
