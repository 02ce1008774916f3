#include <rapidcheck.h>

#include "server/orders/fields.h"
#include "tests/unit/payments_fixture.h"

// Random lives of a payment against a ledger of its own: a plain list of what was asked for and how
// it ended, which knows nothing of reserves, statuses and capabilities.

namespace orderd::rules {
namespace {

struct Entry {
  pb::TransactionKind kind;
  std::int64_t amount = 0;
  bool final_capture = false;
  enum class State { kOpen, kPending, kDone, kFailed } state = State::kOpen;

  bool is_open() const { return state == State::kOpen || state == State::kPending; }
};

class Ledger {
 public:
  explicit Ledger(std::int64_t authorized) : authorized_(authorized) {}

  std::map<std::string, Entry> entries;

  std::int64_t authorized() const { return authorized_; }
  std::int64_t done(pb::TransactionKind kind) const {
    std::int64_t sum = kind == pb::TRANSACTION_KIND_VOID ? released_ : 0;
    for (const auto& [id, e] : entries) {
      if (e.kind == kind && e.state == Entry::State::kDone) sum += e.amount;
    }
    return sum;
  }
  std::int64_t open(pb::TransactionKind kind) const {
    std::int64_t sum = 0;
    for (const auto& [id, e] : entries) sum += e.kind == kind && e.is_open() ? e.amount : 0;
    return sum;
  }
  std::int64_t rest() const {
    return authorized_ - done(pb::TRANSACTION_KIND_CAPTURE) - done(pb::TRANSACTION_KIND_VOID);
  }
  bool any_open(bool only_from_rest) const {
    return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.second.is_open() &&
             (!only_from_rest || entry.second.kind != pb::TRANSACTION_KIND_REFUND);
    });
  }
  bool rest_is_taken() const {
    return std::any_of(entries.begin(), entries.end(), [](const auto& entry) {
      const Entry& e = entry.second;
      return e.is_open() && (e.final_capture || e.kind == pb::TRANSACTION_KIND_VOID);
    });
  }
  std::int64_t capturable() const {
    return rest_is_taken() ? 0 : rest() - open(pb::TRANSACTION_KIND_CAPTURE);
  }
  std::int64_t refundable() const {
    return done(pb::TRANSACTION_KIND_CAPTURE) - done(pb::TRANSACTION_KIND_REFUND) -
           open(pb::TRANSACTION_KIND_REFUND);
  }

  /// How the gateway's answer changes the entry, if it does.
  bool answer(Entry& entry, Kind kind) {
    if (!entry.is_open()) return false;
    const bool pending = entry.state == Entry::State::kPending;
    if (kind == Kind::kSucceeded) {
      entry.state = Entry::State::kDone;
      if (entry.final_capture) released_ += rest();
      return true;
    }
    if (pending || (kind != Kind::kRefused && kind != Kind::kPending)) return false;
    entry.state = kind == Kind::kRefused ? Entry::State::kFailed : Entry::State::kPending;
    return true;
  }

  pb::PaymentStatus status() const {
    const auto captured = done(pb::TRANSACTION_KIND_CAPTURE);
    if (rest() > 0) {
      return captured == 0 ? pb::PAYMENT_STATUS_AUTHORIZED : pb::PAYMENT_STATUS_PARTLY_CAPTURED;
    }
    if (captured == 0) return pb::PAYMENT_STATUS_VOIDED;
    return done(pb::TRANSACTION_KIND_REFUND) == captured ? pb::PAYMENT_STATUS_REFUNDED
                                                         : pb::PAYMENT_STATUS_CAPTURED;
  }

 private:
  const std::int64_t authorized_;
  /// By final captures.
  std::int64_t released_ = 0;
};

/// How much was tried, and what became of it.
struct Tally {
  int attempts = 0, accepted = 0, settled = 0, final_captures = 0;
};

int roll(int limit) { return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, limit)); }

/// One life of one payment.
class Life {
 public:
  Life(Tally& tally, bool all_capabilities, std::int64_t authorized)
      : tally_(tally), ledger_(authorized), all_capabilities_(all_capabilities) {
    settings_.states.at("new").set_allows_capture(true);
    order_ = stored_order();
    auto& payment = add_payment(order_, "pay", {authorized, 0, 0, 0});
    if (all_capabilities) return;
    auto& can = *payment.mutable_capabilities();
    can.set_multi_capture(roll(2) == 0);
    can.set_max_captures(roll(4));
    can.set_partial_capture(roll(4) > 0);
    can.set_partial_refund(roll(4) > 0);
    can.set_refund_before_final_capture(roll(2) == 0);
    can.set_void_after_capture(roll(2) == 0);
    can.set_concurrent_operations(roll(2) == 0);
  }

  void step() {
    const int what = roll(10);
    if (what < 3) {
      capture();
    } else if (what < 5) {
      refund();
    } else if (what == 5) {
      release();
    } else {
      answer();
    }
    check();
  }

  /// Answers all that is open, in an order of its own; the end is the same in every order.
  void end() {
    std::vector<std::pair<std::string, CallResult>> answers;
    for (const auto& [id, entry] : ledger_.entries) {
      if (entry.is_open()) answers.emplace_back(id, any_answer(roll(2) * 2));
    }
    const auto before = order_;
    auto shuffled = answers;
    std::reverse(shuffled.begin(), shuffled.end());
    std::vector<std::string> ends;
    for (const auto& order : {answers, shuffled}) {
      order_ = before;
      for (const auto& [id, result] : order) {
        const auto change = settled(id, result);
        RC_ASSERT(change.ok());
        if (change->after) order_ = *change->after;
      }
      ends.push_back(order_.payments(0).SerializeAsString());
    }
    RC_ASSERT(ends[0] == ends[1]);
  }

 private:
  const pb::Payment& payment() const { return order_.payments(0); }
  Context context() const { return {kNow + now_, &kActor, &settings_}; }
  Target target() const {
    Target target;
    target.order = &order_;
    return target;
  }
  AttemptContext attempt() {
    ++now_;
    return {uuid(10 * ++attempts_), "", std::chrono::seconds(20), &gateways_};
  }

  /// An amount about as large as `max`; none at all for "all".
  std::optional<std::int64_t> amount(std::int64_t max) {
    const int how = roll(12);
    if (how == 0) return std::nullopt;
    if (how == 1 && max < std::numeric_limits<std::int64_t>::max()) return max + 1;
    if (how == 2 || max < 1) return std::max<std::int64_t>(1, max);
    return 1 + roll(static_cast<int>(std::min<std::int64_t>(max, 60)));
  }

  void capture() {
    pb::CapturePaymentRequest request;
    request.set_payment_id("pay");
    const auto max = ledger_.capturable();
    const auto wanted = amount(max);
    if (wanted) *request.mutable_amount() = euros(*wanted);
    request.set_final_capture(roll(4) == 0);
    const auto minor = wanted.value_or(max);
    const bool busy = request.final_capture() && ledger_.any_open(true);
    expect(capture_payment(request, attempt(), target(), context()),
           max > 0 && minor <= max && !busy,
           {pb::TRANSACTION_KIND_CAPTURE, minor, request.final_capture()});
  }
  void refund() {
    pb::RefundPaymentRequest request;
    request.set_payment_id("pay");
    const auto max = ledger_.refundable();
    const auto wanted = amount(max);
    if (wanted) *request.mutable_amount() = euros(*wanted);
    const auto minor = wanted.value_or(max);
    expect(refund_payment(request, attempt(), target(), context()), max > 0 && minor <= max,
           {pb::TRANSACTION_KIND_REFUND, minor});
  }
  void release() {
    pb::VoidPaymentRequest request;
    request.set_payment_id("pay");
    expect(void_payment(request, attempt(), target(), context()),
           ledger_.rest() > 0 && !ledger_.any_open(true),
           {pb::TRANSACTION_KIND_VOID, ledger_.rest()});
  }

  /// `possible`: as far as the sums are concerned. A gateway may be able to do less.
  void expect(const Result& result, bool possible, const Entry& entry) {
    RC_LOG() << "attempt " << attempts_ << ": kind " << entry.kind << " amount " << entry.amount
             << (entry.final_capture ? " final" : "") << " -> "
             << (result.ok() ? "" : errors::reason(result.status())) << std::endl;
    ++tally_.attempts;
    if (all_capabilities_) RC_ASSERT(result.ok() == possible);
    if (!result.ok()) return;
    RC_ASSERT(possible);
    ++tally_.accepted;
    if (entry.final_capture) ++tally_.final_captures;
    RC_ASSERT(result->transactions_created.size() == 1u);
    RC_ASSERT(result->transactions_created[0].amount().amount_minor() == entry.amount);
    ledger_.entries[uuid(10 * attempts_).to_string()] = entry;
    take(*result);
  }

  Result settled(const std::string& id, const CallResult& result) const {
    return settle("pay", *Uuid::parse(id), result, target(), context());
  }

  CallResult any_answer(int kind) {
    constexpr Kind kKinds[] = {Kind::kSucceeded, Kind::kSucceeded,   Kind::kRefused,
                               Kind::kPending,   Kind::kNotExecuted, Kind::kStateConflict,
                               Kind::kUnknown};
    auto result = rules::answer(kKinds[kind], "SOME_REASON", "gw");
    result.time = kNow;
    return result;
  }

  /// The gateway answers to any attempt, also to one that has ended.
  void answer() {
    if (ledger_.entries.empty()) return;
    const auto found =
        std::next(ledger_.entries.begin(), roll(static_cast<int>(ledger_.entries.size())));
    const auto result = any_answer(roll(7));
    RC_LOG() << "answer to " << found->first << ": kind " << static_cast<int>(result.kind)
             << std::endl;
    ++now_;
    const auto change = settled(found->first, result);
    RC_ASSERT(change.ok());
    const auto revision = payment().revision();
    const bool moved = ledger_.answer(found->second, result.kind);
    if (change->after) take(*change);
    RC_ASSERT(payment().revision() == revision + (moved ? 1 : 0));
    if (!moved) return;
    ++tally_.settled;
    const auto again = settled(found->first, result);
    RC_ASSERT(again.ok() && !again->after);
  }

  /// Keeps the books as the database would.
  void take(const Change& change) {
    RC_ASSERT(change.payments_changed);
    RC_ASSERT(change.schedule.size() == 1u);
    RC_ASSERT(change.events.size() == 1u);
    const auto& event = change.events[0].payment_changed();
    RC_ASSERT(event.before().SerializeAsString() == payment().SerializeAsString());
    order_ = *change.after;
    RC_ASSERT(event.after().SerializeAsString() == payment().SerializeAsString());
    for (const auto& transaction : change.transactions_created) {
      RC_ASSERT(rows_.emplace(transaction.transaction_id(), transaction).second);
    }
    for (const auto& transaction : change.transactions_updated) {
      auto& row = rows_.at(transaction.transaction_id());
      RC_ASSERT(row.amount().amount_minor() == transaction.amount().amount_minor());
      row = transaction;
    }
  }

  void check() const {
    const auto& p = payment();
    const auto minor = [](const pb::Money& money) { return money.amount_minor(); };
    const auto captured = ledger_.done(pb::TRANSACTION_KIND_CAPTURE);
    const auto refunded = ledger_.done(pb::TRANSACTION_KIND_REFUND);
    const auto voided = ledger_.done(pb::TRANSACTION_KIND_VOID);
    RC_ASSERT(minor(p.captured()) == captured);
    RC_ASSERT(minor(p.refunded()) == refunded);
    RC_ASSERT(minor(p.voided()) == voided);
    RC_ASSERT(minor(p.capturable()) == ledger_.capturable());
    RC_ASSERT(minor(p.refundable()) == ledger_.refundable());
    RC_ASSERT(p.status() == ledger_.status());
    RC_ASSERT(!p.discrepancy());
    RC_ASSERT(!p.attention());
    // The invariant.
    RC_ASSERT(captured + voided + ledger_.open(pb::TRANSACTION_KIND_CAPTURE) +
                  ledger_.open(pb::TRANSACTION_KIND_VOID) <=
              ledger_.authorized());
    RC_ASSERT(refunded + ledger_.open(pb::TRANSACTION_KIND_REFUND) <= captured);
    check_rows();
  }

  /// The rows of the ledger say the same as the payment.
  void check_rows() const {
    std::map<pb::TransactionKind, std::int64_t> sums;
    std::map<std::string, std::string> open;
    for (const auto& [id, row] : rows_) {
      if (row.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
        sums[row.kind()] += row.amount().amount_minor();
        RC_ASSERT(row.has_complete_time());
      } else if (row.status() != pb::TRANSACTION_STATUS_FAILED) {
        open[id] = row.SerializeAsString();
      }
    }
    RC_ASSERT(sums[pb::TRANSACTION_KIND_CAPTURE] == payment().captured().amount_minor());
    RC_ASSERT(sums[pb::TRANSACTION_KIND_REFUND] == payment().refunded().amount_minor());
    RC_ASSERT(sums[pb::TRANSACTION_KIND_VOID] == payment().voided().amount_minor());
    std::map<std::string, std::string> kept;
    for (const auto& transaction : payment().open_transactions()) {
      kept[transaction.transaction_id()] = transaction.SerializeAsString();
    }
    RC_ASSERT(kept == open);
  }

  Tally& tally_;
  Ledger ledger_;
  const bool all_capabilities_;
  Settings settings_ = default_settings();
  AnyGateway gateways_;
  pb::Order order_;
  std::map<std::string, pb::PaymentTransaction> rows_;
  int attempts_ = 0;
  Micros now_ = 0;
};

void check_lives(bool all_capabilities) {
  Tally tally;
  ASSERT_TRUE(rc::check([&] {
    for (int n = 0; n < 5; ++n) {
      const std::int64_t authorized =
          roll(8) == 0 ? std::numeric_limits<std::int64_t>::max() : 1 + roll(400);
      Life life(tally, all_capabilities, authorized);
      const int steps = 1 + roll(40);
      for (int i = 0; i < steps; ++i) life.step();
      life.end();
    }
  }));
  std::cout << tally.attempts << " attempts, " << tally.accepted << " accepted ("
            << tally.final_captures << " final), " << tally.settled << " answers that counted"
            << std::endl;
  // The lives are worth living; where RC_PARAMS asks for a few only, that can't be told.
  if (tally.attempts < 500) return;
  EXPECT_GT(tally.accepted, tally.attempts / 12);
  EXPECT_GT(tally.attempts - tally.accepted, tally.attempts / 10);
  EXPECT_GT(tally.settled, tally.accepted / 2);
  EXPECT_GT(tally.final_captures, 0);
}

TEST(PaymentsProperty, NothingIsSpentTwiceAtAGatewayThatCanDoEverything) { check_lives(true); }

TEST(PaymentsProperty, NothingIsSpentTwiceAtAnyGateway) { check_lives(false); }

}  // namespace
}  // namespace orderd::rules
