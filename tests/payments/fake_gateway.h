#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server/payments/gateway.h"

namespace orderd::test {

/// Something that waits there until the test lets it go on.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_entered(int count = 1) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [&] { return entered_ >= count; })) {
      throw std::runtime_error("nothing came to the gate");
    }
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0;
  bool open_ = false;
};

/// A gateway with a book of its own that does what it is told: by default what it is asked for, or
/// else the next of its steps. One key is one movement.
class FakeGateway {
 public:
  struct Step {
    /// Whether the money moves.
    bool applies = true;
    /// What it answers; absent: what happened.
    std::optional<payments::CallResult> answer = {};
    std::shared_ptr<Gate> gate = {};
    bool throws = false;
  };
  struct Call {
    pb::TransactionKind kind{};
    payments::PaymentRef payment;
    payments::Attempt attempt;
  };

  void authorize(const std::string& reference, std::int64_t minor) {
    std::lock_guard lock(mutex_);
    book_[reference].authorized = minor;
  }
  /// Money that moves without us.
  void move(const std::string& reference, pb::TransactionKind kind, std::int64_t minor) {
    std::lock_guard lock(mutex_);
    add(reference, kind, minor, "");
  }

  void script(Step step) {
    std::lock_guard lock(mutex_);
    steps_.push_back(std::move(step));
  }
  /// What each reading of the payment begins with. It is called without any lock.
  void on_fetch(const std::string& reference, std::function<void()> hook) {
    std::lock_guard lock(mutex_);
    hooks_[reference] = std::move(hook);
  }
  /// Readings of the payment fail so; absent: no more.
  void fail_fetch(const std::string& reference, std::optional<payments::FetchError> error) {
    std::lock_guard lock(mutex_);
    if (error) {
      errors_[reference] = *error;
    } else {
      errors_.erase(reference);
    }
  }
  void set_capabilities(const pb::GatewayCapabilities& capabilities) {
    std::lock_guard lock(mutex_);
    capabilities_ = capabilities;
  }

  std::vector<Call> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<payments::GatewayMovement> movements(const std::string& reference) {
    std::lock_guard lock(mutex_);
    return book_[reference].movements;
  }
  /// By reference.
  std::map<std::string, int> fetches() {
    std::lock_guard lock(mutex_);
    return fetches_;
  }
  int fetches(const std::string& reference) {
    std::lock_guard lock(mutex_);
    return fetches_[reference];
  }

  std::variant<payments::Reading, payments::FetchError> fetch(const payments::PaymentRef& payment) {
    const std::string& reference = payment.gateway_reference;
    std::unique_lock lock(mutex_);
    ++fetches_[reference];
    const payments::Reading reading = reading_of(reference);
    const auto hook = hooks_.find(reference);
    if (hook != hooks_.end()) {
      const auto call = hook->second;
      lock.unlock();
      call();
      lock.lock();
    }
    const auto error = errors_.find(reference);
    if (error != errors_.end()) return error->second;
    return reading;
  }

  payments::CallResult call(pb::TransactionKind kind, const payments::PaymentRef& payment,
                            const payments::Attempt& attempt) {
    Step step;
    {
      std::lock_guard lock(mutex_);
      calls_.push_back({kind, payment, attempt});
      if (!steps_.empty()) {
        step = std::move(steps_.front());
        steps_.pop_front();
      }
    }
    if (step.gate) step.gate->pass();
    if (step.throws) throw std::runtime_error("body of the gateway: pan=4242");
    payments::CallResult result;
    if (step.applies) {
      std::lock_guard lock(mutex_);
      auto& known = keys_[attempt.idempotency_key];
      if (known.empty()) {
        const auto& book = book_[payment.gateway_reference];
        const bool is_void = kind == pb::TRANSACTION_KIND_VOID;
        const std::int64_t minor = is_void
                                       ? book.authorized - sum(book, pb::TRANSACTION_KIND_CAPTURE) -
                                             sum(book, pb::TRANSACTION_KIND_VOID)
                                       : attempt.amount_minor;
        known = add(payment.gateway_reference, kind, minor, attempt.attempt_id);
      }
      result.kind = payments::CallResult::Kind::kSucceeded;
      result.gateway_transaction_id = known;
      result.time = kTime;
    }
    return step.answer.value_or(result);
  }

 private:
  static constexpr Micros kTime = 1'790'000'000'000'000;
  struct Book {
    std::int64_t authorized = 0;
    std::vector<payments::GatewayMovement> movements;
  };

  static pb::GatewayCapabilities all_capabilities() {
    pb::GatewayCapabilities all;
    all.set_multi_capture(true);
    all.set_partial_capture(true);
    all.set_partial_refund(true);
    all.set_refund_before_final_capture(true);
    all.set_void_after_capture(true);
    all.set_concurrent_operations(true);
    all.set_lookup_by_attempt(true);
    all.mutable_key_lifetime()->set_seconds(24 * 3600);
    return all;
  }

  static std::int64_t sum(const Book& book, pb::TransactionKind kind) {
    std::int64_t total = 0;
    for (const auto& movement : book.movements) {
      if (movement.kind == kind) total += movement.amount_minor;
    }
    return total;
  }

  std::string add(const std::string& reference, pb::TransactionKind kind, std::int64_t minor,
                  const std::string& attempt_id) {
    payments::GatewayMovement movement;
    movement.gateway_transaction_id = "gw-" + std::to_string(++ids_);
    movement.kind = kind;
    movement.status = pb::TRANSACTION_STATUS_SUCCEEDED;
    movement.amount_minor = minor;
    movement.time = kTime;
    movement.attempt_id = attempt_id;
    book_[reference].movements.push_back(movement);
    return movement.gateway_transaction_id;
  }

  payments::Reading reading_of(const std::string& reference) {
    const Book& book = book_[reference];
    payments::Reading reading;
    reading.authorized_minor = book.authorized;
    reading.captured_minor = sum(book, pb::TRANSACTION_KIND_CAPTURE);
    reading.refunded_minor = sum(book, pb::TRANSACTION_KIND_REFUND);
    reading.voided_minor = sum(book, pb::TRANSACTION_KIND_VOID);
    reading.capabilities = capabilities_;
    payments::GatewayMovement authorization;
    authorization.gateway_transaction_id = "auth-" + reference;
    authorization.kind = pb::TRANSACTION_KIND_AUTHORIZATION;
    authorization.status = pb::TRANSACTION_STATUS_SUCCEEDED;
    authorization.amount_minor = book.authorized;
    authorization.time = kTime;
    reading.movements.push_back(authorization);
    reading.movements.insert(reading.movements.end(), book.movements.begin(), book.movements.end());
    const bool all_used = reading.captured_minor + reading.voided_minor >= reading.authorized_minor;
    if (reading.captured_minor == 0) {
      reading.status = all_used ? pb::PAYMENT_STATUS_VOIDED : pb::PAYMENT_STATUS_AUTHORIZED;
    } else if (!all_used) {
      reading.status = pb::PAYMENT_STATUS_PARTLY_CAPTURED;
    } else {
      reading.status = reading.refunded_minor == reading.captured_minor
                           ? pb::PAYMENT_STATUS_REFUNDED
                           : pb::PAYMENT_STATUS_CAPTURED;
    }
    return reading;
  }

  std::mutex mutex_;  // guards what follows
  std::map<std::string, Book> book_;
  std::map<std::string, std::string> keys_;
  std::deque<Step> steps_;
  std::map<std::string, std::function<void()>> hooks_;
  std::map<std::string, payments::FetchError> errors_;
  pb::GatewayCapabilities capabilities_ = all_capabilities();
  std::vector<Call> calls_;
  std::map<std::string, int> fetches_;
  int ids_ = 0;
};

/// The door to a fake that several servers share.
class FakeGatewayDoor : public payments::Gateway {
 public:
  explicit FakeGatewayDoor(std::shared_ptr<FakeGateway> gateway) : gateway_(std::move(gateway)) {}

  std::variant<payments::Reading, payments::FetchError> fetch(const payments::PaymentRef& payment,
                                                              payments::Deadline) override {
    return gateway_->fetch(payment);
  }
  payments::CallResult capture(const payments::PaymentRef& payment,
                               const payments::Attempt& attempt, payments::Deadline) override {
    return gateway_->call(pb::TRANSACTION_KIND_CAPTURE, payment, attempt);
  }
  payments::CallResult void_remainder(const payments::PaymentRef& payment,
                                      const payments::Attempt& attempt,
                                      payments::Deadline) override {
    return gateway_->call(pb::TRANSACTION_KIND_VOID, payment, attempt);
  }
  payments::CallResult refund(const payments::PaymentRef& payment, const payments::Attempt& attempt,
                              payments::Deadline) override {
    return gateway_->call(pb::TRANSACTION_KIND_REFUND, payment, attempt);
  }
  payments::Representable representable(const pb::Money&) const override {
    return payments::Representable::kYes;
  }

 private:
  const std::shared_ptr<FakeGateway> gateway_;
};

}  // namespace orderd::test
