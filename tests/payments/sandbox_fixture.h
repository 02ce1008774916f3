#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "server/payments/sandbox.h"

namespace orderd::test {

/// A sandbox over a ledger in a directory of its own, with a clock that stands still.
class SandboxTest : public testing::Test {
 protected:
  using Kind = payments::CallResult::Kind;
  using Operation = payments::Sandbox::Operation;
  using FaultKind = payments::Sandbox::Fault::Kind;
  using MoneyOperation = payments::MoneyOperation;

  SandboxTest() {
    std::string name = "/tmp/orderd-sandbox-XXXXXX";
    directory_ = mkdtemp(name.data());
    reopen();
  }
  ~SandboxTest() override {
    if (sandbox_) {
      EXPECT_THAT(ledger().violations(), testing::IsEmpty());
    }
    sandbox_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string path() const { return directory_ + "/ledger"; }
  void reopen() {
    sandbox_.reset();
    sandbox_ = std::make_unique<payments::Sandbox>(path(), [this] { return now_.load(); });
  }
  payments::SandboxLedger& ledger() { return sandbox_->ledger(); }
  void pass(std::chrono::microseconds time) { now_ += time.count(); }

  /// Authorized, in EUR.
  payments::PaymentRef authorized(
      std::int64_t amount_minor,
      const pb::GatewayCapabilities& capabilities = payments::all_capabilities()) {
    const auto reference = ledger().authorize(
        {.currency_code = "EUR", .amount_minor = amount_minor, .capabilities = capabilities});
    EXPECT_TRUE(reference);
    return {reference.value_or(""), "EUR"};
  }
  payments::PaymentRef captured(
      std::int64_t amount_minor,
      const pb::GatewayCapabilities& capabilities = payments::all_capabilities()) {
    const payments::PaymentRef payment = authorized(amount_minor, capabilities);
    EXPECT_EQ(capture(payment, attempt(amount_minor)).kind, Kind::kSucceeded);
    return payment;
  }

  /// With an id and a key that no other has.
  payments::Attempt attempt(std::int64_t amount_minor, bool final_capture = false) {
    const std::string n = std::to_string(++attempts_);
    return {.attempt_id = "attempt-" + n,
            .idempotency_key = "key-" + n,
            .amount_minor = amount_minor,
            .final_capture = final_capture};
  }
  static payments::Deadline soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(30);
  }
  /// Long enough for a call to begin, short enough to wait for.
  static payments::Deadline very_soon() {
    return std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  }

  payments::CallResult call(Operation operation, const payments::PaymentRef& payment,
                            const payments::Attempt& attempt,
                            payments::Deadline deadline = soon()) {
    switch (operation) {
      case Operation::kCapture:
        return sandbox_->capture(payment, attempt, deadline);
      case Operation::kVoid:
        return sandbox_->void_remainder(payment, attempt, deadline);
      default:
        return sandbox_->refund(payment, attempt, deadline);
    }
  }
  payments::CallResult capture(const payments::PaymentRef& payment,
                               const payments::Attempt& attempt) {
    return call(Operation::kCapture, payment, attempt);
  }
  payments::CallResult void_remainder(const payments::PaymentRef& payment,
                                      const payments::Attempt& attempt) {
    return call(Operation::kVoid, payment, attempt);
  }
  payments::CallResult refund(const payments::PaymentRef& payment,
                              const payments::Attempt& attempt) {
    return call(Operation::kRefund, payment, attempt);
  }

  payments::Reading reading(const payments::PaymentRef& payment) {
    auto fetched = sandbox_->fetch(payment, soon());
    if (auto* reading = std::get_if<payments::Reading>(&fetched)) return *reading;
    ADD_FAILURE() << "no reading: " << std::get<payments::FetchError>(fetched).reason;
    return {};
  }

  std::atomic<Micros> now_{1'700'000'000'000'000};
  std::atomic<int> attempts_ = 0;
  std::string directory_;
  std::unique_ptr<payments::Sandbox> sandbox_;
};

MATCHER_P2(IsResult, kind, reason, "") { return arg.kind == kind && arg.reason == reason; }

/// The same answer, as far as a caller can tell.
MATCHER_P(SameAnswer, other, "") {
  return arg.kind == other.kind && arg.gateway_transaction_id == other.gateway_transaction_id &&
         arg.reason == other.reason && arg.time == other.time;
}

/// A movement of a reading.
MATCHER_P3(IsMovement, kind, status, amount_minor, "") {
  return arg.kind == kind && arg.status == status && arg.amount_minor == amount_minor;
}

/// The sums of a reading.
MATCHER_P4(HasSums, authorized, captured, refunded, voided, "") {
  *result_listener << "sums " << arg.authorized_minor << ' ' << arg.captured_minor << ' '
                   << arg.refunded_minor << ' ' << arg.voided_minor;
  return arg.authorized_minor == authorized && arg.captured_minor == captured &&
         arg.refunded_minor == refunded && arg.voided_minor == voided;
}

}  // namespace orderd::test
