#include "server/payments/sender.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "server/failpoint.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/orders/payments.h"

namespace orderd::payments {
namespace {

using engine::Answer;
using engine::Command;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Kind = CallResult::Kind;

constexpr milliseconds kFirstPause{20};
constexpr milliseconds kLongestPause{1'000};
constexpr milliseconds kRetryDelay{1'000};
/// Readings in a row that other movements of money made stale.
constexpr int kMaxReadings = 10;

bool passes(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

/// Whether the gateway said anything about the request.
bool is_answer(Kind kind) { return kind != Kind::kNotExecuted && kind != Kind::kUnknown; }
bool moves_money(Kind kind) { return kind == Kind::kSucceeded || kind == Kind::kPending; }

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::kSucceeded:
      return "succeeded";
    case Kind::kPending:
      return "pending";
    case Kind::kRefused:
      return "refused";
    case Kind::kNotExecuted:
      return "not_executed";
    case Kind::kStateConflict:
      return "state_conflict";
    case Kind::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(FetchError::Kind kind) {
  switch (kind) {
    case FetchError::Kind::kNotFound:
      return "not_found";
    case FetchError::Kind::kUnusable:
      return "unusable";
    case FetchError::Kind::kUnavailable:
      break;
  }
  return "unavailable";
}

std::string_view name_of(pb::TransactionKind operation) {
  switch (operation) {
    case pb::TRANSACTION_KIND_CAPTURE:
      return "capture";
    case pb::TRANSACTION_KIND_VOID:
      return "void";
    default:
      return "refund";
  }
}

/// When the oldest attempt without an answer was made.
std::optional<Micros> unknown_since(const pb::Order& order, const std::string& payment_id) {
  std::optional<Micros> since;
  const pb::Payment* payment = rules::find_payment(order, payment_id);
  if (payment == nullptr) return since;
  for (const pb::PaymentTransaction& transaction : payment->open_transactions()) {
    if (transaction.status() != pb::TRANSACTION_STATUS_UNKNOWN) continue;
    const Micros time = rules::to_micros(transaction.create_time());
    since = std::min(since.value_or(time), time);
  }
  return since;
}

/// `first_check`: how long an attempt is left alone after it was not answered. `read`: the gateway
/// was read after it had answered.
Command settle_command(const Uuid& order_id, const pb::PaymentTransaction& attempt,
                       const CallResult& answer, bool read, bool again,
                       std::chrono::microseconds first_check) {
  const Uuid attempt_id = Uuid::parse(attempt.transaction_id()).value();
  Command command = own_command(order_id);
  command.transaction_id = attempt_id;
  command.wants_ledger = read;
  command.rule = [=](const rules::Target& target, const rules::Context& context) -> rules::Result {
    CallResult result = answer;
    // What that reading would show and does not has not happened; nor has what was never sent
    // before.
    if (read && (!again || rules::would_be_found(*target.order, attempt, target.ledger))) {
      result.kind = Kind::kRefused;
      if (result.reason.empty()) result.reason = "STATE_CONFLICT";
    }
    auto change = rules::settle(attempt.payment_id(), attempt_id, result, target, context);
    if (!change.ok()) return change;
    if (is_answer(result.kind)) {
      ask_in_time(*change, context.now, first_check);
      return change;
    }
    const std::chrono::microseconds wished = result.retry_after.value_or(milliseconds(0));
    for (PaymentSchedule& schedule : change->schedule) {
      schedule.next_check = context.now + std::max(first_check, wished).count();
    }
    return change;
  };
  return command;
}

}  // namespace

void ask_in_time(rules::Change& change, Micros now, std::chrono::microseconds first_check) {
  if (!change.after) return;
  for (PaymentSchedule& schedule : change.schedule) {
    const auto since = unknown_since(*change.after, schedule.payment_id);
    if (!since) continue;
    const Micros check = std::max(*since + first_check.count(), now);
    schedule.next_check = std::min(schedule.next_check.value_or(check), check);
  }
}

rules::Result change_nothing(const rules::Target&, const rules::Context&) {
  return rules::Change{};
}

rules::Rule after_fold(rules::Rule fold, rules::Rule rule) {
  return [fold = std::move(fold), rule = std::move(rule)](
             const rules::Target& target, const rules::Context& context) -> rules::Result {
    const auto change = fold(target, context);
    if (!change.ok()) return change.status();
    rules::Target folded = target;
    if (change->after) folded.order = &*change->after;
    return rule(folded, context);
  };
}

Command own_command(const Uuid& order_id) {
  Command command;
  command.actor = "orderd";
  command.order_id = order_id;
  command.order_id_text = order_id.to_string();
  return command;
}

absl::Status to_status(const FetchError& error, const pb::Payment& payment) {
  switch (error.kind) {
    case FetchError::Kind::kNotFound:
      return errors::gateway_payment_not_found(payment.payment_id());
    case FetchError::Kind::kUnusable:
      return errors::gateway_payment_unusable(payment.payment_id());
    case FetchError::Kind::kUnavailable:
      break;
  }
  return errors::gateway_unavailable(payment.gateway_account(),
                                     error.retry_after.value_or(kRetryDelay));
}

std::variant<Reading, FetchError> Sender::fetch(const pb::Payment& payment,
                                                const std::string& currency_code,
                                                Deadline deadline) {
  const std::string& account = payment.gateway_account();
  Gateway* gateway = accounts_.find(account);
  if (gateway == nullptr) return FetchError{FetchError::Kind::kUnavailable, {}, std::nullopt};
  accounts_.enter(account);
  const auto began = Clock::now();
  const Deadline end = call_deadline(deadline);
  std::variant<Reading, FetchError> result;
  try {
    result = gateway->fetch({payment.gateway_reference(), currency_code}, end);
  } catch (const std::exception&) {
    // What an exception says may be a gateway's text.
    spdlog::error("reading a payment of account {} failed", account);
    result = FetchError{FetchError::Kind::kUnavailable, {}, std::nullopt};
  }
  const auto* error = std::get_if<FetchError>(&result);
  observe(account, "fetch", error == nullptr ? name_of(Kind::kSucceeded) : name_of(error->kind),
          began);
  report(account, error == nullptr || error->kind != FetchError::Kind::kUnavailable, began, end);
  return result;
}

CallResult Sender::call(const pb::Payment& payment, const pb::PaymentTransaction& attempt,
                        Deadline lease_end) {
  const std::string& account = payment.gateway_account();
  Gateway* gateway = accounts_.find(account);
  CallResult result;
  if (gateway == nullptr) {
    result.kind = Kind::kNotExecuted;
    result.reason = "GATEWAY_NOT_CONFIGURED";
    return result;
  }
  accounts_.enter(account);
  const auto began = Clock::now();
  const Deadline end = call_deadline(lease_end);
  try {
    result = call_gateway(*gateway, payment, attempt, end);
  } catch (const std::exception&) {
    spdlog::error("attempt {} failed within the gateway of account {}", attempt.transaction_id(),
                  account);
  }
  observe(account, name_of(attempt.kind()), name_of(result.kind), began);
  report(account, is_answer(result.kind), began, end);
  return result;
}

CallResult Sender::call_gateway(Gateway& gateway, const pb::Payment& payment,
                                const pb::PaymentTransaction& attempt, Deadline deadline) {
  const PaymentRef reference{payment.gateway_reference(), attempt.amount().currency_code()};
  Attempt sent;
  sent.attempt_id = attempt.transaction_id();
  sent.idempotency_key = attempt.transaction_id();
  sent.amount_minor = attempt.amount().amount_minor();
  sent.final_capture = attempt.final_capture();
  sent.multi_capture = payment.capabilities().multi_capture();
  switch (attempt.kind()) {
    case pb::TRANSACTION_KIND_CAPTURE:
      return gateway.capture(reference, sent, deadline);
    case pb::TRANSACTION_KIND_VOID:
      return gateway.void_remainder(reference, sent, deadline);
    case pb::TRANSACTION_KIND_REFUND:
      return gateway.refund(reference, sent, deadline);
    default:
      spdlog::error("attempt {} is of a kind that nobody can send", attempt.transaction_id());
      return {};
  }
}

std::optional<Answer> Sender::send(const Uuid& order_id, const pb::Payment& payment,
                                   const pb::PaymentTransaction& attempt, Deadline lease_end,
                                   bool again) {
  // Somebody else may be at it by then.
  if (Clock::now() >= lease_end) return std::nullopt;
  failpoint("before_gateway_call");
  CallResult result = call(payment, attempt, lease_end);
  failpoint("after_gateway_applied");

  const bool read = result.kind == Kind::kStateConflict &&
                    read_and_fold(order_id, nullptr, payment.payment_id(), lease_end).answer.ok();

  failpoint("before_transaction_two");
  auto answer =
      run_until(settle_command(order_id, attempt, result, read, again, first_check_), lease_end);
  if (!answer.ok()) {
    spdlog::warn("the result of attempt {} can't be written and is left to the reconciler: {}",
                 attempt.transaction_id(), errors::reason(answer.status()));
    return std::nullopt;
  }
  if (moves_money(result.kind) && answer->transaction &&
      answer->transaction->status() == pb::TRANSACTION_STATUS_FAILED) {
    spdlog::warn(
        "attempt {} on payment {} of order {} was carried out after it had been taken for "
        "failed; the payment is read again and needs attention",
        attempt.transaction_id(), payment.payment_id(), order_id.to_string());
  }
  failpoint("after_commit_before_answer");
  return *std::move(answer);
}

Sender::Folded Sender::read_and_fold(const Uuid& order_id, OrderPtr order,
                                     const std::string& payment_id, Deadline deadline) {
  milliseconds delay = kFirstPause;
  for (int tries = 1;; ++tries) {
    if (order == nullptr) {
      Command look = own_command(order_id);
      look.rule = change_nothing;
      auto looked = run(std::move(look));
      if (!looked.ok()) return {.answer = looked.status()};
      order = looked->order;
    }
    const pb::Payment* payment = rules::find_payment(order->order, payment_id);
    if (payment == nullptr)
      return {.answer = errors::payment_not_found(order->order->order_id(), payment_id)};

    std::vector<rules::PaymentReading> readings;
    if (payment->gateway_account() != rules::kExternal) {
      auto fetched = fetch(*payment, order->order->currency_code(), deadline);
      if (const auto* error = std::get_if<FetchError>(&fetched)) {
        return {.answer = to_status(*error, *payment), .retry_after = error->retry_after};
      }
      readings.push_back({payment_id, payment->revision(), std::get<Reading>(std::move(fetched))});
    }

    // The rule may run several times; the last one counts.
    const auto found = std::make_shared<Folded>();
    Command command = own_command(order_id);
    command.wants_ledger = true;
    command.rule = [=, first_check = first_check_, ids = Uuid::generate()](
                       const rules::Target& target,
                       const rules::Context& context) -> rules::Result {
      auto change = rules::fold_readings(readings, ids, target, context);
      if (!change.ok()) return change;
      ask_in_time(*change, context.now, first_check);
      const pb::Order& after = change->after ? *change->after : *target.order;
      if (const pb::Payment* folded = rules::find_payment(after, payment_id)) {
        found->send_again = rules::to_send_again(after, *folded, *context.settings, context.now);
        // What became of an attempt without an answer may be known at any time.
        found->next_check = rules::has_unknown(*folded)
                                ? context.now
                                : rules::schedule_of(*folded, context.now,
                                                     rules::last_refund(target.ledger, payment_id))
                                      .next_check;
      }
      return change;
    };
    auto answer = run(std::move(command));
    const bool stale = errors::reason(answer.status()) == "STALE_READING";
    if (!stale || tries == kMaxReadings || Clock::now() >= deadline) {
      found->answer = std::move(answer);
      return std::move(*found);
    }
    order = nullptr;
    pause(std::exchange(delay, std::min(delay * 2, kLongestPause)));
  }
}

absl::StatusOr<Answer> Sender::run(Command command) {
  const auto promise = std::make_shared<std::promise<absl::StatusOr<Answer>>>();
  auto answer = promise->get_future();
  command.done = [promise](absl::StatusOr<Answer> result) {
    promise->set_value(std::move(result));
  };
  engine_.submit(std::move(command));
  return answer.get();
}

absl::StatusOr<Answer> Sender::run_until(const Command& command, Deadline end) {
  milliseconds delay = kFirstPause;
  while (true) {
    auto answer = run(command);
    if (answer.ok() || !passes(answer.status()) || Clock::now() + delay >= end) return answer;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return answer;
    }
    pause(delay);
    delay = std::min(delay * 2, kLongestPause);
  }
}

Deadline Sender::call_deadline(Deadline end) const {
  return std::min(Clock::now() + call_timeout_, end);
}

void Sender::report(const std::string& account, bool answered, Deadline began, Deadline deadline) {
  // A caller in a hurry says nothing about the gateway.
  if (answered || deadline - began >= call_timeout_ / 2) accounts_.leave(account, answered);
}

void Sender::observe(std::string_view account, std::string_view operation, std::string_view outcome,
                     Deadline began) const {
  if (observer_) observer_({account, operation, outcome, Clock::now() - began});
}

void Sender::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, time, [this] { return stopping_; });
}

void Sender::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
}

}  // namespace orderd::payments
