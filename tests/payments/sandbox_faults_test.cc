// What the sandbox does when something is to go wrong: each fault with each operation.

#include <stdexcept>
#include <thread>

#include "tests/payments/sandbox_fixture.h"

namespace orderd::test {
namespace {

using payments::Attempt;
using payments::CallResult;
using payments::FetchError;
using payments::PaymentRef;
using payments::Sandbox;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SandboxFaults : public SandboxTest {
 protected:
  static constexpr Operation kMoves[] = {Operation::kCapture, Operation::kVoid, Operation::kRefund};

  /// A payment that the operation can be done with.
  PaymentRef ready_for(Operation operation) {
    return operation == Operation::kRefund ? captured(1000) : authorized(1000);
  }
  static Sandbox::Fault fault(FaultKind kind, std::string reason = {}) {
    return {.kind = kind, .reason = std::move(reason)};
  }
  /// How many movements of the payment are the attempt's.
  std::size_t booked(const PaymentRef& payment, const Attempt& attempt) {
    std::size_t n = 0;
    const auto kept = ledger().read(payment.gateway_reference);
    for (const auto& movement : kept->movements) {
      if (movement.attempt_id == attempt.attempt_id) ++n;
    }
    return n;
  }
  FetchError fetch_error(const PaymentRef& payment, payments::Deadline deadline = soon()) {
    const auto fetched = sandbox_->fetch(payment, deadline);
    if (const auto* error = std::get_if<FetchError>(&fetched)) return *error;
    ADD_FAILURE() << "there is a reading";
    return {};
  }
};

TEST_F(SandboxFaults, ARefusalIsForGood) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    const Attempt refused = attempt(100);
    sandbox_->add_fault(operation, fault(FaultKind::kRefuse, "CARD_DECLINED"));
    EXPECT_THAT(call(operation, payment, refused), IsResult(Kind::kRefused, "CARD_DECLINED"));
    EXPECT_THAT(call(operation, payment, refused), IsResult(Kind::kRefused, "CARD_DECLINED"));
    EXPECT_EQ(booked(payment, refused), 0U);
    EXPECT_EQ(call(operation, payment, attempt(100)).kind, Kind::kSucceeded);
  }
}

TEST_F(SandboxFaults, ALostAnswerIsUnknownAndComesWithTheSameKey) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    const Attempt lost = attempt(100);
    sandbox_->add_fault(operation, fault(FaultKind::kDropAnswer));
    EXPECT_THAT(call(operation, payment, lost), IsResult(Kind::kUnknown, "ANSWER_LOST"));
    EXPECT_EQ(booked(payment, lost), 1U);
    const CallResult again = call(operation, payment, lost);
    EXPECT_EQ(again.kind, Kind::kSucceeded);
    EXPECT_NE(again.gateway_transaction_id, "");
    EXPECT_EQ(booked(payment, lost), 1U);
  }
}

TEST_F(SandboxFaults, WhatDoesNotArriveCanBeSentAgain) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    const Attempt stopped = attempt(100);
    sandbox_->add_fault(operation, fault(FaultKind::kNotExecuted));
    EXPECT_EQ(call(operation, payment, stopped).kind, Kind::kNotExecuted);
    EXPECT_EQ(booked(payment, stopped), 0U);
    EXPECT_EQ(call(operation, payment, stopped).kind, Kind::kSucceeded);
  }
}

TEST_F(SandboxFaults, AServerErrorIsRepeatedForItsKeyAndSaysNothing) {
  for (const Operation operation : kMoves) {
    for (const bool applied : {false, true}) {
      const PaymentRef payment = ready_for(operation);
      const Attempt failing = attempt(100);
      sandbox_->add_fault(
          operation, fault(applied ? FaultKind::kServerErrorApplied : FaultKind::kServerError));
      EXPECT_THAT(call(operation, payment, failing), IsResult(Kind::kUnknown, "SERVER_ERROR"));
      EXPECT_THAT(sandbox_->faults(operation), IsEmpty());
      EXPECT_THAT(call(operation, payment, failing), IsResult(Kind::kUnknown, "SERVER_ERROR"));
      EXPECT_EQ(booked(payment, failing), applied ? 1U : 0U);
      // Until the key is forgotten.
      pass(std::chrono::hours(25));
      const CallResult later = call(operation, payment, failing);
      EXPECT_EQ(later.kind,
                applied && operation != Operation::kRefund && operation != Operation::kCapture
                    ? Kind::kStateConflict
                    : Kind::kSucceeded);
    }
  }
}

TEST_F(SandboxFaults, AServerErrorHidesARefusalToo) {
  const PaymentRef payment = authorized(1000);
  sandbox_->add_fault(Operation::kCapture, fault(FaultKind::kServerErrorApplied));
  EXPECT_THAT(capture(payment, attempt(1001)), IsResult(Kind::kUnknown, "SERVER_ERROR"));
  EXPECT_THAT(reading(payment), HasSums(1000, 0, 0, 0));
}

TEST_F(SandboxFaults, ADelayBeyondTheDeadlineIsUnknownAndDoneAllTheSame) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    const Attempt slow = attempt(100);
    sandbox_->add_fault(operation, {.kind = FaultKind::kDelay, .delay = std::chrono::hours(1)});
    EXPECT_THAT(call(operation, payment, slow, very_soon()), IsResult(Kind::kUnknown, "TIMEOUT"));
    EXPECT_EQ(booked(payment, slow), 1U);
    EXPECT_EQ(call(operation, payment, slow).kind, Kind::kSucceeded);
    EXPECT_EQ(booked(payment, slow), 1U);
  }
}

TEST_F(SandboxFaults, AShortDelayIsJustThat) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    sandbox_->add_fault(operation,
                        {.kind = FaultKind::kDelay, .delay = std::chrono::milliseconds(1)});
    EXPECT_EQ(call(operation, payment, attempt(100)).kind, Kind::kSucceeded);
  }
}

TEST_F(SandboxFaults, AHangDoesNothing) {
  for (const Operation operation : kMoves) {
    const PaymentRef payment = ready_for(operation);
    const Attempt hanging = attempt(100);
    sandbox_->add_fault(operation, fault(FaultKind::kHang));
    EXPECT_THAT(call(operation, payment, hanging, very_soon()),
                IsResult(Kind::kUnknown, "TIMEOUT"));
    EXPECT_EQ(booked(payment, hanging), 0U);
    EXPECT_EQ(call(operation, payment, hanging).kind, Kind::kSucceeded);
  }
}

TEST_F(SandboxFaults, ARefundFailsLater) {
  const PaymentRef payment = captured(1000);
  sandbox_->add_fault(Operation::kRefund, {.kind = FaultKind::kPendingRefund,
                                           .reason = "ACCOUNT_CLOSED",
                                           .delay = std::chrono::minutes(10)});
  const Attempt late = attempt(400);
  const CallResult answer = refund(payment, late);
  EXPECT_EQ(answer.kind, Kind::kPending);
  EXPECT_NE(answer.gateway_transaction_id, "");
  EXPECT_EQ(answer.time, std::nullopt);
  EXPECT_EQ(reading(payment).movements.back().status, pb::TRANSACTION_STATUS_PENDING);
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 0, 0));
  // It is reserved all the same.
  EXPECT_THAT(refund(payment, attempt(601)), IsResult(Kind::kStateConflict, "AMOUNT_TOO_LARGE"));

  pass(std::chrono::minutes(10));
  const auto failed = reading(payment).movements.back();
  EXPECT_EQ(failed.status, pb::TRANSACTION_STATUS_FAILED);
  EXPECT_EQ(failed.reason, "ACCOUNT_CLOSED");
  EXPECT_EQ(failed.gateway_transaction_id, answer.gateway_transaction_id);
  // The answer for the key is the one that was given.
  EXPECT_THAT(refund(payment, late), SameAnswer(answer));
  EXPECT_EQ(refund(payment, attempt(1000)).kind, Kind::kSucceeded);
}

TEST_F(SandboxFaults, APendingRefundWaitsToBeSettled) {
  const PaymentRef payment = captured(1000);
  sandbox_->add_fault(Operation::kRefund, {.kind = FaultKind::kPendingRefund, .times = 2});
  const auto good = refund(payment, attempt(300)).gateway_transaction_id;
  const auto bad = refund(payment, attempt(200)).gateway_transaction_id;
  pass(std::chrono::hours(1000));
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 0, 0));
  EXPECT_EQ(ledger().settle_refund(good, "").kind, Kind::kSucceeded);
  EXPECT_EQ(ledger().settle_refund(bad, "ACCOUNT_CLOSED").kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 300, 0));
  EXPECT_EQ(ledger().settle_refund(good, "").reason, "NOT_PENDING");
  EXPECT_EQ(ledger().settle_refund("ref_none", "").reason, "TRANSACTION_NOT_FOUND");

  // A bank can send back what had arrived.
  EXPECT_EQ(ledger().settle_refund(good, "ACCOUNT_CLOSED").kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 0, 0));
  EXPECT_EQ(ledger().settle_refund(good, "ACCOUNT_CLOSED").reason, "NOT_PENDING");
}

TEST_F(SandboxFaults, FetchesFail) {
  const PaymentRef payment = authorized(1000);
  const std::vector<std::pair<FaultKind, std::string>> cases = {
      {FaultKind::kRefuse, "CREDENTIALS_REFUSED"},      {FaultKind::kDropAnswer, "ANSWER_LOST"},
      {FaultKind::kNotExecuted, "CONNECTION_FAILED"},   {FaultKind::kServerError, "SERVER_ERROR"},
      {FaultKind::kServerErrorApplied, "SERVER_ERROR"}, {FaultKind::kHang, "TIMEOUT"}};
  for (const auto& [kind, reason] : cases) {
    sandbox_->add_fault(Operation::kFetch, fault(kind, "CREDENTIALS_REFUSED"));
    const FetchError error = fetch_error(payment, very_soon());
    EXPECT_EQ(error.kind, FetchError::Kind::kUnavailable);
    EXPECT_EQ(error.reason, reason);
    EXPECT_THAT(reading(payment), HasSums(1000, 0, 0, 0));
  }
}

TEST_F(SandboxFaults, ASlowReadingIsAsOfItsBeginning) {
  const PaymentRef payment = authorized(1000);
  sandbox_->add_fault(Operation::kFetch,
                      {.kind = FaultKind::kDelay, .delay = std::chrono::hours(1)});
  payments::Reading slow;
  std::thread reader([&] { slow = reading(payment); });
  ASSERT_TRUE(sandbox_->wait_until_held(1, soon()));
  EXPECT_EQ(capture(payment, attempt(400)).kind, Kind::kSucceeded);
  sandbox_->clear_faults(Operation::kFetch);
  reader.join();
  EXPECT_THAT(slow, HasSums(1000, 0, 0, 0));
  EXPECT_THAT(reading(payment), HasSums(1000, 400, 0, 0));
}

TEST_F(SandboxFaults, TakeEffectOneAfterTheOther) {
  const PaymentRef payment = authorized(1000);
  auto twice = fault(FaultKind::kRefuse, "FIRST");
  twice.times = 2;
  auto always = fault(FaultKind::kRefuse, "SECOND");
  always.times.reset();
  sandbox_->add_fault(Operation::kCapture, twice);
  sandbox_->add_fault(Operation::kCapture, always);
  EXPECT_THAT(sandbox_->faults(Operation::kCapture), SizeIs(2));
  std::vector<std::string> reasons;
  for (int i = 0; i < 5; ++i) reasons.push_back(capture(payment, attempt(1)).reason);
  EXPECT_THAT(reasons, ElementsAre("FIRST", "FIRST", "SECOND", "SECOND", "SECOND"));
  EXPECT_EQ(refund(payment, attempt(1)).reason, "NOT_CAPTURED");  // another operation
  sandbox_->clear_faults();
  EXPECT_EQ(capture(payment, attempt(1)).kind, Kind::kSucceeded);
}

TEST_F(SandboxFaults, ThatCannotBeAreRefused) {
  EXPECT_THROW(sandbox_->add_fault(Operation::kCapture, fault(FaultKind::kPendingRefund)),
               std::invalid_argument);
  EXPECT_THROW(sandbox_->add_fault(Operation::kCapture, fault(FaultKind::kDelay)),
               std::invalid_argument);
  EXPECT_THROW(sandbox_->add_fault(Operation::kCapture, {.kind = FaultKind::kRefuse, .times = 0}),
               std::invalid_argument);
}

TEST_F(SandboxFaults, EndWithTheServerAndTheLedgerDoesNot) {
  const PaymentRef payment = authorized(1000);
  ASSERT_EQ(capture(payment, attempt(400)).kind, Kind::kSucceeded);
  sandbox_->add_fault(Operation::kCapture, fault(FaultKind::kRefuse, "NO"));
  reopen();
  EXPECT_EQ(capture(payment, attempt(600)).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 0, 0));
}

TEST_F(SandboxFaults, AKeyAtWorkIsInUse) {
  const PaymentRef payment = authorized(1000);
  sandbox_->add_fault(Operation::kCapture,
                      {.kind = FaultKind::kDelay, .delay = std::chrono::hours(1)});
  const Attempt first = attempt(400);
  CallResult slow;
  std::thread caller([&] { slow = capture(payment, first); });
  ASSERT_TRUE(sandbox_->wait_until_held(1, soon()));
  const CallResult same = capture(payment, first);
  EXPECT_THAT(same, IsResult(Kind::kNotExecuted, "KEY_IN_USE"));
  EXPECT_TRUE(same.retry_after.has_value());
  EXPECT_EQ(capture(payment, attempt(100)).kind, Kind::kSucceeded);  // concurrent_operations
  sandbox_->clear_faults();
  caller.join();
  EXPECT_EQ(slow.kind, Kind::kSucceeded);
  EXPECT_THAT(capture(payment, first), SameAnswer(slow));
  EXPECT_THAT(reading(payment), HasSums(1000, 500, 0, 0));
}

TEST_F(SandboxFaults, WithoutConcurrentOperationsThePaymentIsBusy) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_concurrent_operations(false);
  const PaymentRef payment = authorized(1000, capabilities);
  sandbox_->add_fault(Operation::kCapture,
                      {.kind = FaultKind::kDelay, .delay = std::chrono::hours(1)});
  std::thread caller([&] { EXPECT_EQ(capture(payment, attempt(400)).kind, Kind::kSucceeded); });
  ASSERT_TRUE(sandbox_->wait_until_held(1, soon()));
  for (const Operation operation : kMoves) {
    const CallResult busy = call(operation, payment, attempt(100));
    EXPECT_THAT(busy, IsResult(Kind::kNotExecuted, "PAYMENT_BUSY"));
    EXPECT_TRUE(busy.retry_after.has_value());
  }
  EXPECT_THAT(reading(payment), HasSums(1000, 0, 0, 0));  // reading is no operation
  EXPECT_EQ(capture(authorized(1000, capabilities), attempt(1)).kind, Kind::kSucceeded);
  sandbox_->clear_faults();
  caller.join();
  EXPECT_EQ(capture(payment, attempt(600)).kind, Kind::kSucceeded);
}

TEST_F(SandboxFaults, ADeadlineThatIsOverSendsNothing) {
  const PaymentRef payment = authorized(1000);
  const auto over = std::chrono::steady_clock::now();
  for (const Operation operation : kMoves) {
    EXPECT_EQ(call(operation, payment, attempt(1), over).kind, Kind::kNotExecuted);
  }
  EXPECT_EQ(fetch_error(payment, over).kind, FetchError::Kind::kUnavailable);
  EXPECT_THAT(reading(payment), HasSums(1000, 0, 0, 0));
}

}  // namespace
}  // namespace orderd::test
