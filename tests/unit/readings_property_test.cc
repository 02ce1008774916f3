#include <rapidcheck.h>

#include <array>
#include <iostream>
#include <set>

#include "tests/unit/readings_fixture.h"

// Random lives of a payment: our own attempts, whose calls and answers arrive late or never, what
// others do at the gateway, and readings that are folded when they are old. The gateway is a model
// that shares no code with what it tests. RapidCheck prints the seed and the shortest life that
// fails; RC_PARAMS repeats it.

namespace orderd::rules {
namespace {

/// What a gateway tells of its movements.
enum class Style { kAll, kWithoutAttempts, kLastCapture, kSumsOnly };

class ModelGateway {
 public:
  explicit ModelGateway(Style style) : style_(style) {}

  struct Movement {
    std::string id;
    pb::TransactionKind kind{};
    std::int64_t amount = 0;
    Micros time = 0;
    std::string attempt;
    pb::TransactionStatus status = kSucceeded;
  };

  std::int64_t sum(pb::TransactionKind kind, pb::TransactionStatus status = kSucceeded) const {
    std::int64_t total = 0;
    for (const auto& movement : movements_) {
      if (movement.kind == kind && movement.status == status) total += movement.amount;
    }
    return total;
  }
  std::int64_t capturable() const {
    return sum(kAuthorization) - sum(kCapture) - sum(kVoid) - sum(kExpiry);
  }
  std::int64_t refundable() const { return sum(kCapture) - sum(kRefund) - sum(kRefund, kPending); }

  void authorize(std::int64_t amount, Micros now) { add(kAuthorization, amount, now, ""); }

  /// By its key, which is the attempt's id, each call is one call.
  CallResult call(const std::string& attempt, pb::TransactionKind kind, std::int64_t amount,
                  bool flag, Micros now) {
    const auto known = answers_.find(attempt);
    if (known != answers_.end()) return known->second;
    return answers_[attempt] = move(attempt, kind, amount, flag, now);
  }
  /// From the dashboard, with an empty attempt. `flag`: a final capture, a pending refund.
  CallResult move(const std::string& attempt, pb::TransactionKind kind, std::int64_t amount,
                  bool flag, Micros now) {
    CallResult refused;
    refused.kind = CallResult::Kind::kRefused;
    refused.reason = "AMOUNT_TOO_LARGE";
    if (kind == kVoid) amount = capturable();
    if (amount <= 0 || amount > (kind == kRefund ? refundable() : capturable())) return refused;
    CallResult done;
    done.kind = CallResult::Kind::kSucceeded;
    done.time = now;
    done.gateway_transaction_id = add(kind, amount, now, attempt);
    if (kind == kRefund && flag) {
      movements_.back().status = kPending;
      done.kind = CallResult::Kind::kPending;
    }
    if (kind == kCapture && flag && capturable() > 0) add(kVoid, capturable(), now, attempt);
    if (style_ == Style::kSumsOnly) done.gateway_transaction_id.clear();
    return done;
  }
  void expire(Micros now) {
    if (capturable() > 0) add(kExpiry, capturable(), now, "");
  }
  void charge_back(std::int64_t amount, Micros now) {
    add(pb::TRANSACTION_KIND_CHARGEBACK, amount, now, "");
  }
  /// The first refund of `from` becomes `to`.
  void turn_refund(pb::TransactionStatus from, pb::TransactionStatus to) {
    for (auto& movement : movements_) {
      if (movement.kind != kRefund || movement.status != from) continue;
      movement.status = to;
      return;
    }
  }

  Reading read() const {
    Reading reading;
    reading.authorized_minor = sum(kAuthorization);
    reading.captured_minor = sum(kCapture);
    reading.refunded_minor = sum(kRefund);
    reading.voided_minor = sum(kVoid) + sum(kExpiry);
    reading.status = status();
    reading.capabilities = capabilities(style_ == Style::kAll || style_ == Style::kLastCapture);
    if (style_ == Style::kSumsOnly) return reading;
    std::string last_capture;
    for (const auto& movement : movements_) {
      if (movement.kind == kCapture && !movement.attempt.empty()) last_capture = movement.id;
    }
    for (const auto& movement : movements_) {
      if (style_ == Style::kLastCapture && movement.kind == kCapture &&
          movement.id != last_capture) {
        continue;
      }
      auto& told = reading.movements.emplace_back();
      told.gateway_transaction_id = movement.id;
      told.kind = movement.kind;
      told.status = movement.status;
      told.amount_minor = movement.amount;
      told.time = movement.time;
      if (style_ != Style::kWithoutAttempts) told.attempt_id = movement.attempt;
    }
    return reading;
  }
  const std::vector<Movement>& movements() const { return movements_; }

 private:
  std::string add(pb::TransactionKind kind, std::int64_t amount, Micros now,
                  const std::string& attempt) {
    movements_.push_back({"m" + std::to_string(movements_.size()), kind, amount, now, attempt});
    return movements_.back().id;
  }
  pb::PaymentStatus status() const {
    if (movements_.empty()) return pb::PAYMENT_STATUS_OPEN;
    if (capturable() > 0) {
      return sum(kCapture) > 0 ? pb::PAYMENT_STATUS_PARTLY_CAPTURED : pb::PAYMENT_STATUS_AUTHORIZED;
    }
    if (sum(kCapture) > 0) {
      return sum(kRefund) == sum(kCapture) ? pb::PAYMENT_STATUS_REFUNDED
                                           : pb::PAYMENT_STATUS_CAPTURED;
    }
    return sum(kExpiry) > 0 ? pb::PAYMENT_STATUS_EXPIRED : pb::PAYMENT_STATUS_VOIDED;
  }

  Style style_;
  std::vector<Movement> movements_;
  std::map<std::string, CallResult> answers_;
};

using Step = std::array<int, 4>;

class Life {
 public:
  Life(Style style, Settings& settings) : style_(style), book_(settings), gateway_(style) {
    book_.order.set_state_id("processing");
    settings.states.at("processing").set_allows_capture(true);
    // What a sync does before anything else can be done.
    gateway_.authorize(kDue, book_.now);
    fold_fresh();
  }

  void step(const Step& dice) {
    dice_ = dice;
    book_.now += 1 + dice[3] % 50 * 1'000'000;
    switch (dice[0] % 13) {
      case 0:
      case 1:
        return attempt(kCapture);
      case 2:
        return attempt(kRefund);
      case 3:
        return dice[1] % 4 == 0 ? attempt(kVoid) : attempt(kRefund);
      case 4:
        return deliver_call();
      case 5:
        return deliver_answer();
      case 6:
        gateway_.move("", dice[1] % 3 == 0 ? kRefund : kCapture, 1 + dice[2] % 40, dice[1] % 5 == 0,
                      book_.now);
        return;
      case 7:
        return trouble();
      case 8:
        saved_.push_back({gateway_.read(), book_.payment().revision()});
        return;
      case 9:
        return fold_saved();
      case 10:
        return fold_fresh();
      case 11:
        return send_again();
      default:
        book_.now += dice[1] % 3 == 0 ? 30 * kHours : 11 * kMinutes;
        // What was on its way has been lost by now.
        if (dice[1] % 3 == 0) {
          calls_.clear();
          answers_.clear();
          // Nor is a reading folded after such a time.
          saved_.clear();
        }
        return;
    }
  }

  /// Everything finds its end.
  void end() {
    for (int i = 0; i < 4; ++i) {
      fold_fresh();
      send_again();
      while (!calls_.empty()) deliver_call();
      answers_.clear();
      gateway_.turn_refund(kPending, kSucceeded);
      book_.now += 12 * kHours;
    }
    fold_fresh();
    book_.now += kHours;
    fold_fresh();
    RC_ASSERT(gateway_.sum(kCapture) <= kDue);
    if (style_ == Style::kSumsOnly || gateway_.sum(kRefund, kPending) > 0) return;
    for (const auto& open : book_.payment().open_transactions()) {
      // Without attempts there can be foreign movements that hide it.
      RC_ASSERT(style_ == Style::kWithoutAttempts);
      RC_ASSERT(open.status() == kUnknown);
    }
  }

 private:
  static constexpr std::int64_t kDue = 200;
  struct Call {
    std::string attempt;
    pb::TransactionKind kind{};
    std::int64_t amount = 0;
    bool flag = false;
  };

  void check() const {
    const std::string broken = book_.broken();
    RC_ASSERT(broken == "");
  }

  void attempt(pb::TransactionKind kind) {
    const auto& payment = book_.payment();
    const std::int64_t most =
        kind == kRefund ? payment.refundable().amount_minor() : payment.capturable().amount_minor();
    // What Stripe tells is only enough for one at a time.
    if (style_ == Style::kLastCapture && payment.open_transactions_size() > 0) return;
    if (payment.discrepancy() || most <= 0) return;
    Call call;
    call.kind = kind;
    // Where amounts tell attempts apart they differ.
    call.amount = kind == kVoid ? most : std::min<std::int64_t>(most, 1 + dice_[1] % 60);
    if (!told_apart(call)) return;
    call.flag = dice_[2] % 7 == 0;
    call.attempt = book_.attempt(kind, call.amount, kind == kCapture && call.flag);
    check();
    switch (dice_[2] % 5) {
      case 0:  // lost on the way
        return;
      case 1:
        calls_.push_back(call);
        return;
      case 2:
        answers_.emplace_back(call.attempt, execute(call));
        return;
      case 3:  // the answer is lost
        execute(call);
        return;
      default:
        answer(call.attempt, execute(call));
    }
  }
  bool told_apart(const Call& call) {
    if (style_ == Style::kAll || style_ == Style::kLastCapture) return true;
    return amounts_.emplace(call.kind, call.amount).second;
  }
  CallResult execute(const Call& call) {
    return gateway_.call(call.attempt, call.kind, call.amount, call.flag, book_.now);
  }
  void answer(const std::string& attempt, const CallResult& result) {
    book_.answer(attempt, result);
    check();
  }
  void deliver_call() {
    if (calls_.empty()) return;
    const Call call = calls_.front();
    calls_.erase(calls_.begin());
    answer(call.attempt, execute(call));
  }
  void deliver_answer() {
    if (answers_.empty()) return;
    const auto late = answers_.front();
    answers_.erase(answers_.begin());
    answer(late.first, late.second);
  }
  void trouble() {
    switch (dice_[1] % 6) {
      case 0:
        return gateway_.turn_refund(kPending, kSucceeded);
      case 1:
        return gateway_.turn_refund(kPending, kFailed);
      case 2:
        return gateway_.turn_refund(kSucceeded, kFailed);
      case 3:
        return gateway_.charge_back(5, book_.now);
      case 4:
        if (dice_[2] % 4 == 0) gateway_.expire(book_.now);
        return;
      default:
        if (dice_[2] % 4 == 0) gateway_.move("", kVoid, 0, false, book_.now);
    }
  }
  void send_again() {
    for (const auto& attempt :
         to_send_again(book_.order, book_.payment(), *book_.context().settings, book_.now)) {
      Call call;
      call.attempt = attempt.transaction_id();
      call.kind = attempt.kind();
      call.amount = attempt.amount().amount_minor();
      call.flag = attempt.final_capture();
      answer(call.attempt, execute(call));
    }
  }

  void fold_saved() {
    if (saved_.empty()) return;
    const auto at = saved_.begin() + dice_[1] % static_cast<int>(saved_.size());
    const auto [reading, revision] = *at;
    saved_.erase(at);
    const bool stale = revision != book_.payment().revision();
    const auto result = book_.try_fold(reading, revision);
    RC_ASSERT(result.ok() != stale);
    if (stale) {
      RC_ASSERT(errors::reason(result.status()) == "STALE_READING");
      return;
    }
    take_over(*result, reading);
  }
  void fold_fresh() {
    const Reading reading = gateway_.read();
    const auto result = book_.try_fold(reading, book_.payment().revision());
    RC_ASSERT(result.ok());
    take_over(*result, reading);
    check_against_gateway();
  }
  void take_over(const Change& change, const Reading& reading) {
    const auto before = book_.ledger;
    book_.apply(change);
    check();
    RC_ASSERT(book_.payment().authorized().amount_minor() == reading.authorized_minor);
    RC_ASSERT(book_.payment().captured().amount_minor() == reading.captured_minor);
    RC_ASSERT(book_.payment().refunded().amount_minor() == reading.refunded_minor);
    RC_ASSERT(book_.payment().voided().amount_minor() == reading.voided_minor);
    RC_ASSERT(book_.payment().status() == reading.status);
    RC_ASSERT(change.outcome.differences_size() == (change.after ? 1 : 0));
    // Nothing that is final changes but a status, and that only where somebody is told.
    for (const auto& old : before) {
      const auto now = book_.transaction(old.transaction_id());
      if (old.status() == kUnknown || old.status() == kPending) continue;
      if (old.status() != now.status()) RC_ASSERT(book_.payment().attention());
      if (old.status() == kSucceeded) {
        RC_ASSERT(old.amount().amount_minor() == now.amount().amount_minor());
      }
    }
    const auto again = book_.try_fold(reading, book_.payment().revision());
    RC_ASSERT(again.ok());
    RC_ASSERT(!again->after);
  }

  /// After a fresh reading: captures and refunds are exactly those of the gateway.
  void check_against_gateway() const {
    if (style_ != Style::kAll && style_ != Style::kWithoutAttempts) return;
    using Fact = std::tuple<std::string, std::int64_t, pb::TransactionStatus>;
    std::multiset<Fact> theirs, ours;
    std::map<std::string, pb::TransactionStatus> of_attempt;
    std::set<std::string> own;
    for (const auto& transaction : book_.ledger) {
      if (!transaction.foreign()) own.insert(transaction.gateway_transaction_id());
    }
    for (const auto& movement : gateway_.movements()) {
      if (movement.kind == kVoid || movement.kind == kExpiry) continue;
      theirs.emplace(movement.id, movement.amount, movement.status);
      if (!movement.attempt.empty()) of_attempt[movement.attempt] = movement.status;
    }
    for (const auto& transaction : book_.ledger) {
      if (transaction.kind() == kVoid || transaction.kind() == kExpiry) continue;
      if (transaction.kind() == kAdjustment) {
        RC_ASSERT(transaction.reason() == "VOIDED");
        continue;
      }
      // Attempts that the gateway does not have.
      if (transaction.gateway_transaction_id().empty()) {
        RC_ASSERT(transaction.status() == kUnknown || transaction.status() == kFailed);
        continue;
      }
      // A failure that nobody could tell to be ours, until the gateway answered the attempt.
      if (style_ == Style::kWithoutAttempts && transaction.foreign() &&
          transaction.status() == kFailed && own.contains(transaction.gateway_transaction_id())) {
        continue;
      }
      ours.emplace(transaction.gateway_transaction_id(), transaction.amount().amount_minor(),
                   transaction.status());
      if (style_ != Style::kAll) continue;
      const auto truth = of_attempt.find(transaction.transaction_id());
      RC_ASSERT(transaction.foreign() == (truth == of_attempt.end()));
      if (truth != of_attempt.end()) RC_ASSERT(transaction.status() == truth->second);
    }
    RC_ASSERT(ours == theirs);
  }

  const Style style_;
  Book book_;
  ModelGateway gateway_;
  Step dice_{};
  std::vector<std::pair<Reading, std::int64_t>> saved_;
  std::vector<Call> calls_;
  std::vector<std::pair<std::string, CallResult>> answers_;
  std::set<std::pair<pb::TransactionKind, std::int64_t>> amounts_;
};

void live(Style style) {
  const auto roll = rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, 840));
  const auto steps = *rc::gen::container<std::vector<Step>>(rc::gen::container<Step>(roll));
  Settings settings = default_settings();
  Life life(style, settings);
  for (const auto& step : steps) life.step(step);
  life.end();
}

bool always(Style style, const char* what) {
  return rc::check(what, [style] {
    for (int i = 0; i < 5; ++i) live(style);
  });
}

TEST(ReadingsPropertyTest, AGatewayThatTellsEverything) {
  EXPECT_TRUE(always(Style::kAll, "the ledger is the gateway's"));
}

TEST(ReadingsPropertyTest, AGatewayThatDoesNotKeepAttempts) {
  EXPECT_TRUE(always(Style::kWithoutAttempts, "the ledger is the gateway's"));
}

TEST(ReadingsPropertyTest, AGatewayThatTellsOfItsCapturesOnlyTheLast) {
  EXPECT_TRUE(always(Style::kLastCapture, "the sums are the gateway's"));
}

TEST(ReadingsPropertyTest, AGatewayThatTellsOnlySums) {
  EXPECT_TRUE(always(Style::kSumsOnly, "the sums are the gateway's"));
}

}  // namespace
}  // namespace orderd::rules
