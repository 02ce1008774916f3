#pragma once

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/orders/cancellation.h"
#include "server/orders/payments.h"
#include "server/orders/readings.h"
#include "tests/support/any_gateway.h"
#include "tests/unit/rules_fixture.h"

// What the tests of cancellation share: an order whose payments are at gateways of the test's own,
// and what the engine, the sender and the reconciler would do with it.

namespace orderd::rules {

using payments::CallResult;
using payments::GatewayMovement;
using payments::Reading;
using Answered = CallResult::Kind;

inline constexpr Micros kMinutes = 60'000'000;
inline constexpr Micros kHours = 60 * kMinutes;
inline constexpr Micros kDays = 24 * kHours;
inline constexpr std::chrono::seconds kLease{20};

inline constexpr auto kAuthorization = pb::TRANSACTION_KIND_AUTHORIZATION;
inline constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
inline constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
inline constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
inline constexpr auto kExpiry = pb::TRANSACTION_KIND_EXPIRY;
inline constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
inline constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;
inline constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
inline constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;

/// One payment as its gateway has it. Consistent: it never moves more than there is, and a call
/// with the same key is one call.
class Bank {
 public:
  enum class Stage { kOpen, kProcessing, kAuthorized, kClosed };
  /// How a call goes wrong.
  enum class Fault {
    kNone,
    /// A refund is accepted, and not ended.
    kAccepts,
    kRefuses,
    /// Done, and the answer is lost.
    kDoneUnheard,
    /// Not done, which nobody is told.
    kLost,
    kAway,
  };

  explicit Bank(std::int64_t due_minor = 0) : due(due_minor) {
    can.set_multi_capture(true);
    can.set_partial_capture(true);
    can.set_partial_refund(true);
    can.set_refund_before_final_capture(true);
    can.set_void_after_capture(true);
    can.set_concurrent_operations(true);
    can.set_lookup_by_attempt(true);
    *can.mutable_key_lifetime() = google::protobuf::util::TimeUtil::HoursToDuration(24);
  }

  Stage stage = Stage::kOpen;
  std::int64_t due = 0;
  pb::GatewayCapabilities can;
  std::vector<GatewayMovement> movements;

  std::int64_t sum(pb::TransactionKind kind, pb::TransactionStatus status = kSucceeded) const {
    std::int64_t total = 0;
    for (const auto& movement : movements) {
      if (movement.kind == kind && movement.status == status) total += movement.amount_minor;
    }
    return total;
  }
  std::int64_t capturable() const {
    return sum(kAuthorization) - sum(kCapture) - sum(kVoid) - sum(kExpiry);
  }
  std::int64_t refundable() const { return sum(kCapture) - sum(kRefund) - sum(kRefund, kPending); }
  bool payable() const { return stage == Stage::kOpen || stage == Stage::kProcessing; }

  /// The customer pays.
  void pay() {
    if (!payable()) return;
    stage = Stage::kAuthorized;
    add(kAuthorization, due, "");
  }

  Reading reading() const {
    Reading said;
    said.capabilities = can;
    said.movements = movements;
    said.authorized_minor = sum(kAuthorization);
    said.captured_minor = sum(kCapture);
    said.refunded_minor = sum(kRefund);
    said.voided_minor = sum(kVoid) + sum(kExpiry);
    said.status = status();
    return said;
  }

  CallResult move(pb::TransactionKind kind, std::int64_t amount, const std::string& attempt = "",
                  bool accepts = false) {
    const std::int64_t rest = capturable();
    if (kind == kVoid && stage == Stage::kOpen) {
      stage = Stage::kClosed;
      return done(add(kVoid, 0, attempt));
    }
    if (kind == kVoid) {
      if (rest == 0) return answer(Answered::kStateConflict, "NOTHING_TO_RELEASE");
      if (sum(kCapture) > 0 && !can.void_after_capture()) {
        return answer(Answered::kRefused, "VOID_AFTER_CAPTURE_UNSUPPORTED");
      }
      return done(add(kVoid, rest, attempt));
    }
    if (kind == kCapture) {
      if (amount <= 0 || amount > rest) return answer(Answered::kStateConflict, "TOO_LARGE");
      const auto id = add(kCapture, amount, attempt);
      if (!can.multi_capture() && capturable() > 0) add(kVoid, capturable(), attempt);
      return done(id);
    }
    if (amount <= 0 || amount > refundable()) return answer(Answered::kStateConflict, "TOO_LARGE");
    if (rest > 0 && !can.refund_before_final_capture()) {
      return answer(Answered::kRefused, "REFUND_BEFORE_FINAL_CAPTURE");
    }
    if (amount < sum(kCapture) && !can.partial_refund()) {
      return answer(Answered::kRefused, "PARTIAL_REFUND_UNSUPPORTED");
    }
    const auto id = add(kRefund, amount, attempt);
    if (!accepts) return done(id);
    movements.back().status = kPending;
    CallResult result = answer(Answered::kPending, "");
    result.gateway_transaction_id = id;
    return result;
  }

  CallResult call(const pb::PaymentTransaction& attempt, Fault fault) {
    if (fault == Fault::kAway) return answer(Answered::kNotExecuted, "GATEWAY_UNREACHABLE");
    if (fault == Fault::kLost) return answer(Answered::kUnknown, "NO_ANSWER");
    const std::string& key = attempt.transaction_id();
    if (!answers_.contains(key)) {
      answers_[key] = fault == Fault::kRefuses
                          ? answer(Answered::kRefused, "DECLINED")
                          : move(attempt.kind(), attempt.amount().amount_minor(), key,
                                 fault == Fault::kAccepts);
    }
    if (fault == Fault::kDoneUnheard) return answer(Answered::kUnknown, "NO_ANSWER");
    return answers_[key];
  }

  /// What becomes of the first refund that has not ended. False if there is none.
  bool end_refund(bool succeeds) {
    for (auto& movement : movements) {
      if (movement.kind != kRefund || movement.status != kPending) continue;
      movement.status = succeeds ? kSucceeded : kFailed;
      if (!succeeds) movement.reason = "ACCOUNT_CLOSED";
      return true;
    }
    return false;
  }

 private:
  static CallResult answer(Answered kind, const std::string& reason) {
    CallResult result;
    result.kind = kind;
    result.reason = reason;
    return result;
  }
  static CallResult done(const std::string& id) {
    CallResult result = answer(Answered::kSucceeded, "");
    result.gateway_transaction_id = id;
    result.time = kNow;
    return result;
  }
  std::string add(pb::TransactionKind kind, std::int64_t amount, const std::string& attempt) {
    auto& movement = movements.emplace_back();
    movement.kind = kind;
    movement.status = kSucceeded;
    movement.amount_minor = amount;
    movement.gateway_transaction_id = "m" + std::to_string(movements.size());
    movement.attempt_id = attempt;
    movement.time = kNow;
    return movement.gateway_transaction_id;
  }
  pb::PaymentStatus status() const {
    if (stage == Stage::kOpen) return pb::PAYMENT_STATUS_OPEN;
    if (stage == Stage::kProcessing) return pb::PAYMENT_STATUS_PROCESSING;
    if (stage == Stage::kClosed) return pb::PAYMENT_STATUS_VOIDED;
    if (capturable() > 0) {
      return sum(kCapture) > 0 ? pb::PAYMENT_STATUS_PARTLY_CAPTURED : pb::PAYMENT_STATUS_AUTHORIZED;
    }
    if (sum(kCapture) > 0) {
      return sum(kRefund) == sum(kCapture) ? pb::PAYMENT_STATUS_REFUNDED
                                           : pb::PAYMENT_STATUS_CAPTURED;
    }
    return sum(kExpiry) > 0 ? pb::PAYMENT_STATUS_EXPIRED : pb::PAYMENT_STATUS_VOIDED;
  }

  std::map<std::string, CallResult> answers_;
};

/// An order in the making of its cancellation.
class CancellationWorld {
 public:
  explicit CancellationWorld(Settings& world_settings) : settings(world_settings) {
    for (const auto* id : {"new", "processing", "completed", "fraud", "suspended"}) {
      settings.states.at(id).set_allows_cancel(true);
      settings.states.at(id).set_allows_capture(true);
    }
  }

  Settings& settings;
  pb::Order order = stored_order();
  std::map<std::string, Bank> banks;
  std::vector<pb::PaymentTransaction> ledger;
  std::map<std::string, std::optional<Micros>> schedule;
  std::vector<pb::Email> emails;
  std::vector<pb::OrderEvent> events;
  AnyGateway gateways;
  Mailing mailing{true, "shop.example"};
  Micros now = kNow;
  /// Of the next calls.
  std::function<Bank::Fault(const pb::PaymentTransaction&)> fault =
      [](const pb::PaymentTransaction&) { return Bank::Fault::kNone; };
  /// The first thing that must not be and was.
  std::string broken;

  Context context() const { return Context{now, &kActor, &settings}; }
  Uuid next_ids() {
    Uuid id = uuid(0);
    ++used_ids_;
    id.bytes[4] = static_cast<std::uint8_t>(used_ids_ >> 8);
    id.bytes[5] = static_cast<std::uint8_t>(used_ids_);
    return id;
  }
  CancellationContext cancellation() { return {next_ids(), kUuid, kLease, &gateways, &mailing}; }
  Target target() const {
    Target seen;
    seen.order = &order;
    seen.ledger = ledger;
    return seen;
  }

  /// A payment of so much that has been authorized, captured and refunded, and is synced.
  Bank& add(const std::string& id, std::int64_t authorized, std::int64_t captured = 0,
            std::int64_t refunded = 0) {
    Bank& bank = add_open(id, authorized);
    bank.pay();
    if (captured > 0) bank.move(kCapture, captured);
    if (refunded > 0) bank.move(kRefund, refunded);
    sync(id);
    return bank;
  }
  Bank& add_open(const std::string& id, std::int64_t due) {
    auto& payment = *order.add_payments();
    payment.set_payment_id(id);
    payment.set_gateway_account("bank-" + id);
    payment.set_gateway_reference("ref-" + id);
    payment.set_status(pb::PAYMENT_STATUS_UNSYNCED);
    return banks.emplace(id, Bank(due)).first->second;
  }
  void add_external(const std::string& id, std::int64_t authorized, std::int64_t captured) {
    pb::NewPayment wanted;
    wanted.set_gateway_account("external");
    wanted.set_gateway_reference("ref-" + id);
    *wanted.mutable_authorized() = make_money("EUR", authorized);
    *wanted.mutable_captured() = make_money("EUR", captured);
    std::string currency = "EUR";
    std::vector<pb::PaymentTransaction> written;
    auto payment = attach(wanted, next_ids(), currency, gateways, context(), written);
    payment->set_payment_id(id);
    for (auto& transaction : written) {
      transaction.set_payment_id(id);
      ledger.push_back(transaction);
    }
    *order.add_payments() = *payment;
  }

  pb::Payment& payment(const std::string& id) {
    for (auto& payment : *order.mutable_payments()) {
      if (payment.payment_id() == id) return payment;
    }
    throw std::out_of_range(id);
  }
  pb::CancellationStatus status() const { return order.cancellation().status(); }
  const pb::PaymentTransaction& transaction(const std::string& id) const {
    for (const auto& transaction : ledger) {
      if (transaction.transaction_id() == id) return transaction;
    }
    throw std::out_of_range(id);
  }

  std::vector<PaymentReading> read() {
    std::vector<PaymentReading> readings;
    for (const auto& payment : order.payments()) {
      const auto bank = banks.find(payment.payment_id());
      if (bank == banks.end()) continue;
      readings.push_back({payment.payment_id(), payment.revision(), bank->second.reading()});
    }
    return readings;
  }
  bool sync(const std::string& id) {
    const std::vector<PaymentReading> one = {{id, payment(id).revision(), banks.at(id).reading()}};
    return apply(fold_readings(one, next_ids(), target(), context()));
  }

  Result try_begin(const pb::CancelOrderRequest& request = {}) {
    const std::string before = order.SerializeAsString();
    auto result = begin_cancellation(request, cancellation(), target(), context());
    if (order.SerializeAsString() != before) broken = "begin altered its input";
    return result;
  }
  /// As the driver does it: what has never been read is read first.
  bool begin(const pb::CancelOrderRequest& request = {}) {
    for (const auto& [id, bank] : banks) {
      if (payment(id).status() == pb::PAYMENT_STATUS_UNSYNCED) sync(id);
    }
    return apply(try_begin(request));
  }
  Result try_advance(const std::vector<PaymentReading>& readings) {
    const std::string before = order.SerializeAsString();
    auto result = advance_cancellation(readings, cancellation(), target(), context());
    if (order.SerializeAsString() != before) broken = "advance altered its input";
    return result;
  }
  bool advance() { return apply(try_advance(read())); }
  Result try_resolve(const std::string& transaction_id, bool succeeded) {
    pb::ResolveTransactionRequest request;
    request.set_transaction_id(transaction_id);
    request.set_status(succeeded ? kSucceeded : kFailed);
    request.set_reason("the bank says so");
    Target seen = target();
    const auto stored = transaction(transaction_id);
    seen.transaction = &stored;
    return resolve_transaction(request, gateways, std::chrono::microseconds(0), seen, context());
  }
  bool resolve(const std::string& transaction_id, bool succeeded) {
    return apply(try_resolve(transaction_id, succeeded));
  }
  Result try_abandon() {
    pb::AbandonCancellationRequest request;
    request.set_reason("changed our mind");
    return abandon_cancellation(request, target(), context());
  }

  /// What a sender does with an attempt.
  bool send(const pb::PaymentTransaction& attempt) {
    const std::string id = attempt.payment_id();
    const auto bank = banks.find(id);
    CallResult result;
    if (bank != banks.end()) {
      result = bank->second.call(attempt, fault(attempt));
    } else {
      result.kind = attempt.kind() == kRefund ? Answered::kPending : Answered::kSucceeded;
      if (attempt.kind() == kRefund) result.reason = "MANUAL";
      result.time = now;
    }
    if (result.kind == Answered::kStateConflict) {
      sync(id);
      result.kind = Answered::kRefused;
    }
    return apply(settle(id, *Uuid::parse(attempt.transaction_id()), result, target(), context()));
  }
  /// Sends all that has no answer; how many those were.
  int send_all() {
    int sent = 0;
    const pb::Order before = order;
    for (const auto& payment : before.payments()) {
      for (const auto& attempt : to_send_again(before, payment, settings, now)) {
        send(attempt);
        ++sent;
      }
    }
    return sent;
  }
  /// Rounds until nothing more happens.
  void drive() {
    for (int round = 0; round < 20; ++round) {
      const bool changed = advance();
      if (send_all() == 0 && !changed) return;
      if (status() != pb::CANCELLATION_STATUS_IN_PROGRESS) return;
    }
  }

  /// Does what a rule wants, as the engine would. Whether it wanted anything.
  bool apply(const Result& result) {
    if (!result.ok()) {
      if (broken.empty()) broken = "refused: " + result.status().ToString();
      return false;
    }
    if (!result->after) return false;
    const bool payments_differ = differ(order, *result->after);
    order = *result->after;
    for (const auto& created : result->transactions_created) ledger.push_back(created);
    for (const auto& updated : result->transactions_updated) {
      for (auto& old : ledger) {
        if (old.transaction_id() == updated.transaction_id()) old = updated;
      }
    }
    for (const auto& row : result->schedule) schedule[row.payment_id] = row.next_check;
    emails.insert(emails.end(), result->emails_created.begin(), result->emails_created.end());
    events.insert(events.end(), result->events.begin(), result->events.end());
    if (payments_differ && !result->payments_changed && broken.empty()) {
      broken = "payments differ and the change does not say so";
    }
    if (broken.empty()) broken = fault_of_order();
    return true;
  }

 private:
  static bool differ(const pb::Order& a, const pb::Order& b) {
    if (a.payments_size() != b.payments_size()) return true;
    for (int i = 0; i < a.payments_size(); ++i) {
      if (a.payments(i).SerializeAsString() != b.payments(i).SerializeAsString()) return true;
    }
    return false;
  }

  /// What must hold after every change; says what does not.
  std::string fault_of_order() const {
    const auto& cancellation = order.cancellation();
    if (cancellation.status() == pb::CANCELLATION_STATUS_IN_PROGRESS &&
        std::none_of(order.payments().begin(), order.payments().end(), [&](const auto& payment) {
          const auto row = schedule.find(payment.payment_id());
          return row != schedule.end() && row->second.has_value();
        })) {
      return "in progress, and nobody will see to it";
    }
    for (const auto& leg : cancellation.legs()) {
      const auto& of = transaction(leg.transaction_id());
      const bool same =
          leg.status() == of.status() && leg.kind() == of.kind() && leg.reason() == of.reason() &&
          leg.amount().amount_minor() == of.amount().amount_minor() &&
          leg.initiated() == (of.status() == kPending && !of.gateway_transaction_id().empty());
      if (!same) return "a leg is not what its transaction is: " + leg.ShortDebugString();
    }
    for (const auto& payment : order.payments()) {
      std::int64_t refunded = 0;
      int voids = 0;
      for (const auto& leg : cancellation.legs()) {
        if (leg.payment_id() != payment.payment_id() || leg.status() == kFailed) continue;
        if (leg.kind() == kRefund) refunded += leg.amount().amount_minor();
        if (leg.kind() == kVoid && leg.status() != kSucceeded) ++voids;
      }
      if (refunded > payment.captured().amount_minor()) return "refunded more than captured";
      if (voids > 1) return "two voids of one payment at once";
    }
    return "";
  }

  int used_ids_ = 100;
};

class CancellationTest : public RulesTest {
 protected:
  void TearDown() override { EXPECT_EQ(world.broken, ""); }

  /// "VOID 60 SUCCEEDED" of each leg.
  std::vector<std::string> legs() {
    std::vector<std::string> shown;
    for (const auto& leg : world.order.cancellation().legs()) shown.push_back(show(leg));
    return shown;
  }
  static std::string show(const pb::CancellationLeg& leg) {
    std::string text = leg.payment_id() + " " + pb::TransactionKind_Name(leg.kind()).substr(17) +
                       " " + std::to_string(leg.amount().amount_minor());
    if (leg.status() != pb::TRANSACTION_STATUS_UNSPECIFIED) {
      text += " " + pb::TransactionStatus_Name(leg.status()).substr(19);
    }
    return text;
  }
  std::vector<std::string> plan() {
    std::vector<std::string> shown;
    for (const auto& leg : plan_of(world.order)) shown.push_back(show(leg));
    return shown;
  }
  std::string status() { return pb::CancellationStatus_Name(world.status()).substr(20); }
  /// The kinds of events since the last call.
  std::vector<int> events() {
    std::vector<int> kinds;
    for (const auto& event : world.events) kinds.push_back(event.payload_case());
    world.events.clear();
    return kinds;
  }

  CancellationWorld world{settings_};
};

}  // namespace orderd::rules
