#include "server/payments/sandbox.h"

#include <stdexcept>
#include <utility>

#include "server/orders/money.h"

namespace orderd::payments {
namespace {

using FaultKind = Sandbox::Fault::Kind;

constexpr std::chrono::milliseconds kBusyRetryAfter{500};

CallResult unknown(std::string reason) {
  return ended(CallResult::Kind::kUnknown, std::move(reason));
}

CallResult not_executed(std::string reason) {
  return ended(CallResult::Kind::kNotExecuted, std::move(reason));
}

CallResult busy(std::string reason) {
  CallResult result = not_executed(std::move(reason));
  result.retry_after = kBusyRetryAfter;
  return result;
}

FetchError fetch_error(FetchError::Kind kind, std::string reason) {
  return {.kind = kind, .reason = std::move(reason), .retry_after = std::nullopt};
}

SandboxLedger::Course course_of(const Sandbox::Fault& fault) {
  using Kind = SandboxLedger::Course::Kind;
  switch (fault.kind) {
    case FaultKind::kRefuse:
      return {.kind = Kind::kRefuse, .reason = fault.reason};
    case FaultKind::kServerError:
      return {.kind = Kind::kServerError};
    case FaultKind::kServerErrorApplied:
      return {.kind = Kind::kServerErrorApplied};
    case FaultKind::kPendingRefund:
      return {.kind = Kind::kPending, .reason = fault.reason, .fail_after = fault.delay};
    default:
      return {};
  }
}

Reading reading_of(const LedgerPayment& payment) {
  Reading reading;
  reading.status = payment.status();
  reading.authorized_minor = payment.authorized();
  reading.captured_minor = payment.captured();
  reading.refunded_minor = payment.refunded();
  reading.voided_minor = payment.voided();
  reading.expire_time = payment.expire_time;
  reading.capabilities = payment.capabilities;
  reading.movements.assign(payment.movements.begin(), payment.movements.end());
  if (!payment.capabilities.lookup_by_attempt()) {
    for (GatewayMovement& movement : reading.movements) movement.attempt_id.clear();
  }
  return reading;
}

}  // namespace

/// A request that the gateway is at work on: no other with its key is let in, nor, where the
/// payment does not allow it, any other on the payment.
class Sandbox::UnderWay {
 public:
  /// `refusal()` says whether it was let in.
  UnderWay(Sandbox& sandbox, const SandboxLedger::Request& request, bool concurrent)
      : sandbox_(sandbox),
        key_(request.attempt.idempotency_key),
        reference_(request.payment.gateway_reference) {
    std::lock_guard lock(sandbox_.mutex_);
    if (sandbox_.keys_under_way_.contains(key_)) {
      refusal_ = busy("KEY_IN_USE");
    } else if (!concurrent && sandbox_.payments_under_way_.contains(reference_)) {
      refusal_ = busy("PAYMENT_BUSY");
    } else {
      if (!key_.empty()) sandbox_.keys_under_way_.insert(key_);
      ++sandbox_.payments_under_way_[reference_];
    }
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  ~UnderWay() {
    if (refusal_) return;
    std::lock_guard lock(sandbox_.mutex_);
    sandbox_.keys_under_way_.erase(key_);
    auto payment = sandbox_.payments_under_way_.find(reference_);
    if (--payment->second == 0) sandbox_.payments_under_way_.erase(payment);
  }

  const std::optional<CallResult>& refusal() const { return refusal_; }

 private:
  Sandbox& sandbox_;
  const std::string key_;
  const std::string reference_;
  std::optional<CallResult> refusal_;
};

Sandbox::Sandbox(const std::string& ledger_path, SandboxLedger::Clock clock)
    : ledger_(ledger_path, std::move(clock)) {}

void Sandbox::add_fault(Operation operation, const Fault& fault) {
  if (fault.kind == FaultKind::kPendingRefund && operation != Operation::kRefund) {
    throw std::invalid_argument("only a refund can be pending");
  }
  if (fault.kind == FaultKind::kDelay && !fault.delay) {
    throw std::invalid_argument("a delay of how long?");
  }
  if (fault.times && *fault.times <= 0) throw std::invalid_argument("a fault for no call");
  std::lock_guard lock(mutex_);
  faults_[operation].push_back(fault);
}

void Sandbox::clear_faults(Operation operation) {
  std::lock_guard lock(mutex_);
  faults_.erase(operation);
  ++clearings_[operation];
  changed_.notify_all();
}

void Sandbox::clear_faults() {
  for (Operation operation :
       {Operation::kFetch, Operation::kCapture, Operation::kVoid, Operation::kRefund}) {
    clear_faults(operation);
  }
}

std::vector<Sandbox::Fault> Sandbox::faults(Operation operation) const {
  std::lock_guard lock(mutex_);
  auto faults = faults_.find(operation);
  return faults == faults_.end() ? std::vector<Fault>() : faults->second;
}

bool Sandbox::wait_until_held(int calls, Deadline deadline) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return held_ >= calls; });
}

std::optional<Sandbox::Fault> Sandbox::take_fault(Operation operation) {
  std::lock_guard lock(mutex_);
  std::vector<Fault>& faults = faults_[operation];
  if (faults.empty()) return std::nullopt;
  Fault fault = faults.front();
  if (fault.times && --*faults.front().times == 0) faults.erase(faults.begin());
  return fault;
}

bool Sandbox::hold(Operation operation, std::optional<std::chrono::microseconds> delay,
                   Deadline deadline) {
  std::unique_lock lock(mutex_);
  const int clearings = clearings_[operation];
  const auto now = std::chrono::steady_clock::now();
  // Compared as durations: the sum with a long delay could overflow.
  const bool in_time = delay && *delay < deadline - now;
  ++held_;
  changed_.notify_all();
  const bool cleared = changed_.wait_until(lock, in_time ? now + *delay : deadline,
                                           [&] { return clearings_[operation] != clearings; });
  --held_;
  return cleared || in_time;
}

std::variant<Reading, FetchError> Sandbox::fetch(const PaymentRef& payment, Deadline deadline) {
  using Kind = FetchError::Kind;
  if (std::chrono::steady_clock::now() >= deadline) {
    return fetch_error(Kind::kUnavailable, "TIMEOUT");
  }
  const std::optional<Fault> fault = take_fault(Operation::kFetch);
  if (!fault) return read(payment);
  switch (fault->kind) {
    case FaultKind::kDelay: {
      auto reading = read(payment);
      if (hold(Operation::kFetch, fault->delay, deadline)) return reading;
      return fetch_error(Kind::kUnavailable, "TIMEOUT");
    }
    case FaultKind::kHang:
      hold(Operation::kFetch, std::nullopt, deadline);
      return fetch_error(Kind::kUnavailable, "TIMEOUT");
    case FaultKind::kRefuse:
      return fetch_error(Kind::kUnavailable, fault->reason);
    case FaultKind::kDropAnswer:
      return fetch_error(Kind::kUnavailable, "ANSWER_LOST");
    case FaultKind::kNotExecuted:
      return fetch_error(Kind::kUnavailable, "CONNECTION_FAILED");
    default:
      return fetch_error(Kind::kUnavailable, "SERVER_ERROR");
  }
}

std::variant<Reading, FetchError> Sandbox::read(const PaymentRef& payment) {
  using Kind = FetchError::Kind;
  try {
    const auto found = ledger_.read(payment.gateway_reference);
    if (!found) return fetch_error(Kind::kNotFound, "PAYMENT_NOT_FOUND");
    if (found->currency_code != payment.currency_code) {
      return fetch_error(Kind::kUnusable, "CURRENCY_MISMATCH");
    }
    return reading_of(*found);
  } catch (const LedgerError&) {
    return fetch_error(Kind::kUnavailable, "LEDGER_UNAVAILABLE");
  }
}

CallResult Sandbox::capture(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) {
  return move(Operation::kCapture, {MoneyOperation::kCapture, payment, attempt}, deadline);
}

CallResult Sandbox::void_remainder(const PaymentRef& payment, const Attempt& attempt,
                                   Deadline deadline) {
  return move(Operation::kVoid, {MoneyOperation::kVoid, payment, attempt}, deadline);
}

CallResult Sandbox::refund(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) {
  return move(Operation::kRefund, {MoneyOperation::kRefund, payment, attempt}, deadline);
}

CallResult Sandbox::move(Operation operation, const SandboxLedger::Request& request,
                         Deadline deadline) {
  if (std::chrono::steady_clock::now() >= deadline) return not_executed("TIMEOUT");
  const std::optional<Fault> fault = take_fault(operation);
  if (fault && fault->kind == FaultKind::kNotExecuted) return not_executed("CONNECTION_FAILED");
  try {
    const auto payment = ledger_.read(request.payment.gateway_reference);
    const UnderWay under_way(*this, request,
                             !payment || payment->capabilities.concurrent_operations());
    if (under_way.refusal()) return *under_way.refusal();

    bool answer_arrives = true;
    if (fault && fault->kind == FaultKind::kHang) {
      hold(operation, std::nullopt, deadline);
      return unknown("TIMEOUT");
    }
    if (fault && fault->kind == FaultKind::kDelay) {
      answer_arrives = hold(operation, fault->delay, deadline);
    }
    const CallResult answer =
        ledger_.execute(request, fault ? course_of(*fault) : SandboxLedger::Course());
    if (!answer_arrives) return unknown("TIMEOUT");
    if (fault && fault->kind == FaultKind::kDropAnswer) return unknown("ANSWER_LOST");
    return answer;
  } catch (const LedgerError&) {
    // The error may have come from the commit.
    return unknown("LEDGER_UNAVAILABLE");
  }
}

Representable Sandbox::representable(const pb::Money& amount) const {
  return rules::currency_exponent(amount.currency_code()) ? Representable::kYes
                                                          : Representable::kNo;
}

}  // namespace orderd::payments
