#include "server/payments/sandbox_ledger.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

namespace orderd::payments {
namespace {

using google::protobuf::util::TimeUtil;

CallResult done(const LedgerMovement& movement) {
  CallResult answer;
  answer.gateway_transaction_id = movement.gateway_transaction_id;
  if (movement.status == pb::TRANSACTION_STATUS_PENDING) {
    answer.kind = CallResult::Kind::kPending;
  } else {
    answer.kind = CallResult::Kind::kSucceeded;
    answer.time = movement.time;
  }
  return answer;
}

/// Everything that makes a request what it is, except its key.
std::string fingerprint_of(const SandboxLedger::Request& request) {
  const Attempt& attempt = request.attempt;
  std::string text = std::to_string(static_cast<int>(request.operation));
  for (const std::string& part :
       {std::to_string(attempt.amount_minor), std::string(attempt.final_capture ? "final" : ""),
        request.payment.currency_code, attempt.attempt_id, request.payment.gateway_reference}) {
    text += '\n';
    text += part;
  }
  return text;
}

std::string prefix_of(pb::TransactionKind kind) {
  switch (kind) {
    case pb::TRANSACTION_KIND_AUTHORIZATION:
      return "auth_";
    case pb::TRANSACTION_KIND_CAPTURE:
      return "cap_";
    case pb::TRANSACTION_KIND_REFUND:
      return "ref_";
    case pb::TRANSACTION_KIND_VOID:
      return "void_";
    case pb::TRANSACTION_KIND_EXPIRY:
      return "exp_";
    default:
      return "chb_";
  }
}

LedgerMovement movement_of(pb::TransactionKind kind, std::int64_t amount_minor) {
  LedgerMovement movement;
  movement.kind = kind;
  movement.status = pb::TRANSACTION_STATUS_SUCCEEDED;
  movement.amount_minor = amount_minor;
  return movement;
}

}  // namespace

pb::GatewayCapabilities all_capabilities() {
  pb::GatewayCapabilities all;
  all.set_multi_capture(true);
  all.set_partial_capture(true);
  all.set_partial_refund(true);
  all.set_refund_before_final_capture(true);
  all.set_void_after_capture(true);
  all.set_concurrent_operations(true);
  all.set_lookup_by_attempt(true);
  *all.mutable_key_lifetime() = TimeUtil::HoursToDuration(24);
  return all;
}

SandboxLedger::SandboxLedger(const std::string& path, Clock clock)
    : clock_(std::move(clock)), database_(path) {}

std::optional<std::string> SandboxLedger::open(const NewPayment& payment) {
  std::lock_guard lock(mutex_);
  const std::string reference =
      payment.reference.empty() ? "pay_" + Uuid::generate().to_string() : payment.reference;
  const int inserted =
      database_
          .prepare(
              "INSERT OR IGNORE INTO payments (reference, currency_code, due_minor, stage, "
              "expire_time, capabilities) VALUES (?, ?, ?, ?, ?, ?)")
          .bind(reference)
          .bind(payment.currency_code)
          .bind(payment.amount_minor)
          .bind(static_cast<std::int64_t>(LedgerStage::kOpen))
          .bind(payment.expire_time)
          .bind(payment.capabilities.SerializeAsString())
          .run();
  return inserted == 0 ? std::nullopt : std::optional(reference);
}

std::optional<std::string> SandboxLedger::authorize(const NewPayment& payment) {
  const auto reference = open(payment);
  if (reference) pay(*reference);
  return reference;
}

CallResult SandboxLedger::start_processing(const std::string& reference) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    if (payment.stage != LedgerStage::kOpen) return conflict("NOT_OPEN");
    set_stage(payment, LedgerStage::kProcessing);
    CallResult answer;
    answer.kind = CallResult::Kind::kSucceeded;
    answer.time = now;
    return answer;
  });
}

CallResult SandboxLedger::pay(const std::string& reference) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    if (payment.stage != LedgerStage::kOpen && payment.stage != LedgerStage::kProcessing) {
      return conflict("NOT_OPEN");
    }
    set_stage(payment, LedgerStage::kAuthorized);
    return done(
        book(payment, movement_of(pb::TRANSACTION_KIND_AUTHORIZATION, payment.due_minor), now));
  });
}

CallResult SandboxLedger::expire(const std::string& reference) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    if (payment.stage != LedgerStage::kOpen && payment.capturable() == 0) {
      return conflict("NOTHING_CAPTURABLE");
    }
    book_expiry(payment, now);
    return done(payment.movements.back());
  });
}

CallResult SandboxLedger::charge_back(const std::string& reference, std::int64_t amount_minor) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    if (amount_minor <= 0) return refused("AMOUNT_INVALID");
    if (amount_minor > payment.captured() - payment.disputed()) return conflict("AMOUNT_TOO_LARGE");
    return done(book(payment, movement_of(pb::TRANSACTION_KIND_CHARGEBACK, amount_minor), now));
  });
}

CallResult SandboxLedger::reverse_chargeback(const std::string& reference,
                                             std::int64_t amount_minor) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    if (amount_minor <= 0) return refused("AMOUNT_INVALID");
    if (amount_minor > payment.disputed()) return conflict("AMOUNT_TOO_LARGE");
    return done(
        book(payment, movement_of(pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL, amount_minor), now));
  });
}

CallResult SandboxLedger::move_from_dashboard(const std::string& reference,
                                              MoneyOperation operation, std::int64_t amount_minor,
                                              bool final_capture) {
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    Request request;
    request.operation = operation;
    request.attempt.amount_minor = amount_minor;
    request.attempt.final_capture = final_capture;
    return perform(payment, request, Course(), now);
  });
}

CallResult SandboxLedger::settle_refund(const std::string& transaction_id,
                                        const std::string& fail_reason) {
  std::string reference;
  {
    std::lock_guard lock(mutex_);
    auto statement = database_.prepare("SELECT reference FROM movements WHERE transaction_id = ?");
    if (!statement.bind(transaction_id).step()) return refused("TRANSACTION_NOT_FOUND");
    reference = statement.text(0);
  }
  return change(reference, [&](LedgerPayment& payment, Micros now) {
    for (LedgerMovement& movement : payment.movements) {
      if (movement.gateway_transaction_id != transaction_id) continue;
      const bool pending = movement.status == pb::TRANSACTION_STATUS_PENDING;
      const bool comes_back = movement.kind == pb::TRANSACTION_KIND_REFUND &&
                              movement.status == pb::TRANSACTION_STATUS_SUCCEEDED &&
                              !fail_reason.empty();
      if (!pending && !comes_back) break;
      settle(movement, fail_reason, now);
      CallResult answer;
      answer.kind = CallResult::Kind::kSucceeded;
      answer.gateway_transaction_id = transaction_id;
      answer.time = now;
      return answer;
    }
    return conflict("NOT_PENDING");
  });
}

bool SandboxLedger::set_capabilities(const std::string& reference,
                                     const pb::GatewayCapabilities& capabilities) {
  std::lock_guard lock(mutex_);
  return database_.prepare("UPDATE payments SET capabilities = ? WHERE reference = ?")
             .bind(capabilities.SerializeAsString())
             .bind(reference)
             .run() > 0;
}

CallResult SandboxLedger::execute(const Request& request, const Course& course) {
  const std::string fingerprint = fingerprint_of(request);
  return change(request.payment.gateway_reference, [&](LedgerPayment& payment, Micros now) {
    if (request.attempt.idempotency_key.empty()) return perform(payment, request, course, now);
    if (auto answer = recorded(request, fingerprint, now)) return *answer;
    const CallResult answer = perform(payment, request, course, now);
    record(request, fingerprint, answer, payment, now);
    return answer;
  });
}

CallResult SandboxLedger::perform(LedgerPayment& payment, const Request& request,
                                  const Course& course, Micros now) {
  const CallResult server_error = ended(CallResult::Kind::kUnknown, "SERVER_ERROR");
  if (course.kind == Course::Kind::kRefuse) return refused(course.reason);
  if (course.kind == Course::Kind::kServerError) return server_error;

  // The dashboard asks in the payment's own currency.
  const std::string& currency = request.payment.currency_code;
  if (!currency.empty() && currency != payment.currency_code) return refused("CURRENCY_MISMATCH");
  if (auto no = objection(payment, request.operation, request.attempt)) {
    return course.kind == Course::Kind::kServerErrorApplied ? server_error : *no;
  }

  CallResult answer;
  bool first = true;
  for (LedgerMovement movement : movements_of(payment, request.operation, request.attempt)) {
    movement.attempt_id = request.attempt.attempt_id;
    movement.idempotency_key = request.attempt.idempotency_key;
    if (course.kind == Course::Kind::kPending && movement.kind == pb::TRANSACTION_KIND_REFUND) {
      movement.status = pb::TRANSACTION_STATUS_PENDING;
      if (course.fail_after) {
        movement.fail_time = now + course.fail_after->count();
        movement.fail_reason = course.reason;
      }
    }
    const CallResult booked = done(book(payment, std::move(movement), now));
    if (std::exchange(first, false)) answer = booked;
  }
  if (payment.stage == LedgerStage::kOpen) set_stage(payment, LedgerStage::kClosed);
  return course.kind == Course::Kind::kServerErrorApplied ? server_error : answer;
}

std::optional<CallResult> SandboxLedger::recorded(const Request& request,
                                                  const std::string& fingerprint, Micros now) {
  auto statement = database_.prepare(
      "SELECT fingerprint, kind, transaction_id, reason, time, forget_time FROM answers "
      "WHERE idempotency_key = ?");
  if (!statement.bind(request.attempt.idempotency_key).step()) return std::nullopt;
  if (statement.number(5) <= now) return std::nullopt;
  if (statement.text(0) != fingerprint) return refused("IDEMPOTENCY_KEY_REUSED");
  CallResult answer;
  answer.kind = static_cast<CallResult::Kind>(statement.number(1));
  answer.gateway_transaction_id = statement.text(2);
  answer.reason = statement.text(3);
  answer.time = statement.optional_number(4);
  return answer;
}

void SandboxLedger::record(const Request& request, const std::string& fingerprint,
                           const CallResult& answer, const LedgerPayment& payment, Micros now) {
  const Micros lifetime = TimeUtil::DurationToMicroseconds(payment.capabilities.key_lifetime());
  // A key that is there already has been forgotten.
  database_
      .prepare(
          "INSERT OR REPLACE INTO answers (idempotency_key, fingerprint, reference, kind, "
          "transaction_id, reason, time, record_time, forget_time) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(request.attempt.idempotency_key)
      .bind(fingerprint)
      .bind(payment.reference)
      .bind(static_cast<std::int64_t>(answer.kind))
      .bind(answer.gateway_transaction_id)
      .bind(answer.reason)
      .bind(answer.time)
      .bind(now)
      .bind(now + lifetime)
      .run();
}

std::optional<LedgerPayment> SandboxLedger::read(const std::string& reference) {
  std::lock_guard lock(mutex_);
  const Micros now = clock_();
  const auto is_due = [&](const std::optional<Micros>& time) { return time && *time <= now; };
  {
    Transaction transaction(database_, Transaction::Kind::kRead);
    auto payment = load(reference);
    bool due = payment && is_due(payment->expire_time) &&
               (payment->stage == LedgerStage::kOpen || payment->capturable() > 0);
    if (payment) {
      for (const LedgerMovement& movement : payment->movements) {
        due |= movement.status == pb::TRANSACTION_STATUS_PENDING && is_due(movement.fail_time);
      }
    }
    if (!due) return payment;
  }
  Transaction transaction(database_, Transaction::Kind::kWrite);
  auto payment = load_current(reference, now);
  transaction.commit();
  return payment;
}

std::vector<std::string> SandboxLedger::references() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> references;
  auto statement = database_.prepare("SELECT reference FROM payments ORDER BY reference");
  while (statement.step()) references.push_back(statement.text(0));
  return references;
}

std::vector<SandboxLedger::RecordedAnswer> SandboxLedger::answers(const std::string& reference) {
  std::lock_guard lock(mutex_);
  std::vector<RecordedAnswer> answers;
  auto statement = database_.prepare(
      "SELECT idempotency_key, kind, transaction_id, reason, time FROM answers "
      "WHERE reference = ? ORDER BY record_time, idempotency_key");
  statement.bind(reference);
  while (statement.step()) {
    RecordedAnswer& recorded = answers.emplace_back();
    recorded.idempotency_key = statement.text(0);
    recorded.reference = reference;
    recorded.answer.kind = static_cast<CallResult::Kind>(statement.number(1));
    recorded.answer.gateway_transaction_id = statement.text(2);
    recorded.answer.reason = statement.text(3);
    recorded.answer.time = statement.optional_number(4);
  }
  return answers;
}

std::vector<std::string> SandboxLedger::violations() {
  std::vector<std::string> found;
  for (const std::string& reference : references()) {
    std::lock_guard lock(mutex_);
    Transaction transaction(database_, Transaction::Kind::kRead);
    const auto payment = load(reference);
    std::string text = payment ? violation(*payment) : "";
    if (!text.empty()) found.push_back(std::move(text));
  }
  return found;
}

std::optional<LedgerPayment> SandboxLedger::load(const std::string& reference) {
  auto head = database_.prepare(
      "SELECT currency_code, due_minor, stage, expire_time, capabilities FROM payments "
      "WHERE reference = ?");
  if (!head.bind(reference).step()) return std::nullopt;
  LedgerPayment payment;
  payment.reference = reference;
  payment.currency_code = head.text(0);
  payment.due_minor = head.number(1);
  payment.stage = static_cast<LedgerStage>(head.number(2));
  payment.expire_time = head.optional_number(3);
  if (!payment.capabilities.ParseFromString(head.text(4))) {
    throw LedgerError("sandbox ledger: capabilities can't be read");
  }
  auto rows = database_.prepare(
      "SELECT transaction_id, kind, status, amount_minor, time, attempt_id, idempotency_key, "
      "reason, fail_time, fail_reason FROM movements WHERE reference = ? ORDER BY n");
  rows.bind(reference);
  while (rows.step()) {
    LedgerMovement& movement = payment.movements.emplace_back();
    movement.gateway_transaction_id = rows.text(0);
    movement.kind = static_cast<pb::TransactionKind>(rows.number(1));
    movement.status = static_cast<pb::TransactionStatus>(rows.number(2));
    movement.amount_minor = rows.number(3);
    movement.time = rows.number(4);
    movement.attempt_id = rows.text(5);
    movement.idempotency_key = rows.text(6);
    movement.reason = rows.text(7);
    movement.fail_time = rows.optional_number(8);
    movement.fail_reason = rows.text(9);
  }
  return payment;
}

std::optional<LedgerPayment> SandboxLedger::load_current(const std::string& reference, Micros now) {
  auto payment = load(reference);
  if (!payment) return payment;
  for (LedgerMovement& movement : payment->movements) {
    if (movement.status == pb::TRANSACTION_STATUS_PENDING && movement.fail_time &&
        *movement.fail_time <= now) {
      settle(movement, movement.fail_reason, *movement.fail_time);
    }
  }
  if (payment->expire_time && *payment->expire_time <= now &&
      (payment->stage == LedgerStage::kOpen || payment->capturable() > 0)) {
    book_expiry(*payment, *payment->expire_time);
  }
  return payment;
}

void SandboxLedger::set_stage(LedgerPayment& payment, LedgerStage stage) {
  database_.prepare("UPDATE payments SET stage = ? WHERE reference = ?")
      .bind(static_cast<std::int64_t>(stage))
      .bind(payment.reference)
      .run();
  payment.stage = stage;
}

LedgerMovement& SandboxLedger::book(LedgerPayment& payment, LedgerMovement movement, Micros time) {
  movement.gateway_transaction_id = prefix_of(movement.kind) + Uuid::generate().to_string();
  movement.time = time;
  database_
      .prepare(
          "INSERT INTO movements (transaction_id, reference, kind, status, amount_minor, time, "
          "attempt_id, idempotency_key, reason, fail_time, fail_reason) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(movement.gateway_transaction_id)
      .bind(payment.reference)
      .bind(static_cast<std::int64_t>(movement.kind))
      .bind(static_cast<std::int64_t>(movement.status))
      .bind(movement.amount_minor)
      .bind(movement.time)
      .bind(movement.attempt_id)
      .bind(movement.idempotency_key)
      .bind(movement.reason)
      .bind(movement.fail_time)
      .bind(movement.fail_reason)
      .run();
  return payment.movements.emplace_back(std::move(movement));
}

void SandboxLedger::book_expiry(LedgerPayment& payment, Micros time) {
  book(payment, movement_of(pb::TRANSACTION_KIND_EXPIRY, payment.capturable()), time);
  if (payment.stage == LedgerStage::kOpen) set_stage(payment, LedgerStage::kLapsed);
}

void SandboxLedger::settle(LedgerMovement& refund, const std::string& fail_reason, Micros time) {
  refund.status =
      fail_reason.empty() ? pb::TRANSACTION_STATUS_SUCCEEDED : pb::TRANSACTION_STATUS_FAILED;
  refund.reason = fail_reason;
  refund.time = time;
  refund.fail_time.reset();
  database_
      .prepare(
          "UPDATE movements SET status = ?, reason = ?, time = ?, fail_time = NULL "
          "WHERE transaction_id = ?")
      .bind(static_cast<std::int64_t>(refund.status))
      .bind(refund.reason)
      .bind(refund.time)
      .bind(refund.gateway_transaction_id)
      .run();
}

CallResult SandboxLedger::change(const std::string& reference,
                                 const std::function<CallResult(LedgerPayment&, Micros)>& change) {
  std::lock_guard lock(mutex_);
  Transaction transaction(database_, Transaction::Kind::kWrite);
  const Micros now = clock_();
  auto payment = load_current(reference, now);
  if (!payment) return refused("PAYMENT_NOT_FOUND");
  const CallResult answer = change(*payment, now);
  if (const std::string broken = violation(*payment); !broken.empty()) {
    throw LedgerError("sandbox ledger: " + broken);
  }
  transaction.commit();
  return answer;
}

}  // namespace orderd::payments
