#include "tests/money/model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace orderd::test {
namespace {

constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;

}  // namespace

bool overlaps(const pb::Payment& payment) {
  return payment.captured().amount_minor() + payment.voided().amount_minor() +
                 reserved(payment, false) >
             payment.authorized().amount_minor() ||
         payment.refunded().amount_minor() + reserved(payment, true) >
             payment.captured().amount_minor();
}

bool in_step(const pb::Payment& payment, const sandbox::LedgerPayment& book) {
  return payment.open_transactions_size() == 0 &&
         payment.captured().amount_minor() == book.captured_minor() &&
         payment.voided().amount_minor() == book.voided_minor() &&
         payment.refunded().amount_minor() == book.refunded_minor();
}

std::int64_t capturable(const pb::Payment& payment) {
  return std::max<std::int64_t>(0, payment.authorized().amount_minor() -
                                       payment.captured().amount_minor() -
                                       payment.voided().amount_minor() - reserved(payment, false));
}

std::int64_t refundable(const pb::Payment& payment) {
  return std::max<std::int64_t>(0, payment.captured().amount_minor() -
                                       payment.refunded().amount_minor() - reserved(payment, true));
}

std::set<std::string> objections(const pb::Payment& payment,
                                 const pb::GatewayCapabilities& capabilities, Operation operation,
                                 std::int64_t amount) {
  std::set<std::string> reasons;
  const auto& open = payment.open_transactions();
  const bool taking = std::any_of(open.begin(), open.end(), [](const auto& it) {
    return it.kind() != pb::TRANSACTION_KIND_REFUND;
  });
  const bool captures_once =
      !capabilities.multi_capture() && (taking || payment.capture_count() > 0);
  if (!open.empty() && !capabilities.concurrent_operations()) reasons.insert("PAYMENT_BUSY");
  if (payment.discrepancy()) reasons.insert("PAYMENT_DISCREPANCY");
  switch (operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture:
      // What takes the rest has to wait until it is known what that is.
      if (operation == Operation::kFinalCapture && taking) reasons.insert("PAYMENT_BUSY");
      if (capturable(payment) == 0 || captures_once) {
        reasons.insert("PAYMENT_NOT_CAPTURABLE");
        if (payment.status() == pb::PAYMENT_STATUS_EXPIRED) {
          reasons.insert("AUTHORIZATION_EXPIRED");
        }
      } else if (amount > capturable(payment)) {
        reasons.insert("AMOUNT_TOO_LARGE");
      } else if (!capabilities.multi_capture() && amount < capturable(payment) &&
                 operation == Operation::kCapture) {
        reasons.insert("FINAL_CAPTURE_REQUIRED");
      }
      break;
    case Operation::kRefund:
      if (refundable(payment) == 0) {
        reasons.insert("PAYMENT_NOT_REFUNDABLE");
      } else if (amount > refundable(payment)) {
        reasons.insert("AMOUNT_TOO_LARGE");
      }
      if (!capabilities.refund_before_final_capture() &&
          payment.captured().amount_minor() + payment.voided().amount_minor() <
              payment.authorized().amount_minor()) {
        reasons.insert("REFUND_BEFORE_FINAL_CAPTURE_NOT_SUPPORTED");
      }
      break;
    case Operation::kVoid:
      if (taking) reasons.insert("PAYMENT_BUSY");
      if (capturable(payment) == 0) reasons.insert("PAYMENT_NOT_VOIDABLE");
      if (!capabilities.void_after_capture() && payment.captured().amount_minor() > 0) {
        reasons.insert("VOID_AFTER_CAPTURE_NOT_SUPPORTED");
      }
      break;
  }
  return reasons;
}

bool gateway_could(const sandbox::LedgerPayment& book, const pb::GatewayCapabilities& capabilities,
                   Operation operation, std::int64_t amount) {
  const std::int64_t left = book.authorized_minor() - book.captured_minor() - book.voided_minor();
  std::int64_t pending = 0;
  int captures = 0;
  for (const auto& movement : book.movements()) {
    captures += movement.kind() == pb::TRANSACTION_KIND_CAPTURE;
    if (movement.kind() == pb::TRANSACTION_KIND_REFUND && movement.status() == kPending) {
      pending += movement.amount_minor();
    }
  }
  switch (operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture:
      return amount <= left && (captures == 0 || capabilities.multi_capture());
    case Operation::kRefund:
      return amount <= book.captured_minor() - book.refunded_minor() - pending &&
             (left == 0 || capabilities.refund_before_final_capture());
    case Operation::kVoid:
      break;
  }
  return left > 0 && (book.captured_minor() == 0 || capabilities.void_after_capture());
}

std::set<pb::TransactionStatus> honest_statuses(sandbox::FaultKind fault, bool possible) {
  switch (fault) {
    case sandbox::FAULT_KIND_REFUSE:
      return {kFailed};
    case sandbox::FAULT_KIND_UNSPECIFIED:
      return possible ? std::set{kSucceeded} : std::set{kFailed, kUnknown};
    case sandbox::FAULT_KIND_PENDING_REFUND:
      return possible ? std::set{kPending} : std::set{kFailed, kUnknown};
    default:
      return {kUnknown};
  }
}

void expect_sums(const pb::Payment& before, Operation operation,
                 const pb::PaymentTransaction& transaction, const pb::Payment& after) {
  std::int64_t captured = before.captured().amount_minor();
  std::int64_t voided = before.voided().amount_minor();
  std::int64_t refunded = before.refunded().amount_minor();
  if (transaction.status() == kSucceeded) {
    const std::int64_t amount = transaction.amount().amount_minor();
    if (operation == Operation::kRefund) refunded += amount;
    if (operation == Operation::kVoid) voided += amount;
    if (operation == Operation::kCapture) captured += amount;
    if (operation == Operation::kFinalCapture) {
      captured += amount;
      voided = before.authorized().amount_minor() - captured;
    }
  }
  EXPECT_EQ(after.captured().amount_minor(), captured);
  EXPECT_EQ(after.voided().amount_minor(), voided);
  EXPECT_EQ(after.refunded().amount_minor(), refunded);
  EXPECT_EQ(after.open_transactions_size(),
            transaction.status() == kUnknown || transaction.status() == kPending);
}

}  // namespace orderd::test
