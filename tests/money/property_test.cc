#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "tests/money/model.h"
#include "tests/money/money.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;

/// Random things happen to one payment, through the API and behind its back, one after the other or
/// while a call of ours is under way.
/// The model is the order's view before the step, the sandbox's book, and what the contract makes
/// of them: which requests must be refused and why, what an answer may say, what it changes.
class Sequence {
 public:
  Sequence(const Shop& shop, std::string account, std::uint64_t seed) : shop_(shop), random_(seed) {
    capabilities_ = all_capabilities();
    capabilities_.set_multi_capture(chance(80));
    capabilities_.set_concurrent_operations(chance(70));
    capabilities_.set_lookup_by_attempt(chance(67));
    capabilities_.set_refund_before_final_capture(chance(85));
    capabilities_.set_void_after_capture(chance(85));
    paid_ = make_paid_order(shop, account, 1'000 + below(100'000), capabilities_);
    look();
  }

  void run(int steps) {
    for (int step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
      before_ = payment_;
      book_ = shop_.ledger(paid_.account, paid_.reference);
      auto what = below(100);
      // Not too much of what is refused anyway.
      const bool vain = what < 30 || (what >= 50 && what < 52)
                            ? capturable(before_) == 0
                            : what < 50 && refundable(before_) == 0;
      if (vain && chance(70)) what = 52 + below(48);
      if (what < 30) {
        move(chance(capabilities_.multi_capture() ? 12 : 70) ? Operation::kFinalCapture
                                                             : Operation::kCapture);
      } else if (what < 50) {
        move(Operation::kRefund);
      } else if (what < 52) {
        move(Operation::kVoid);
      } else if (what < 70) {
        sync();
      } else if (what < 82) {
        dashboard();
      } else if (what < 92) {
        overlap();
      } else {
        replay();
      }
      look();
      if (testing::Test::HasFailure()) show();
    }
  }

  /// After the reconciler has done what it could.
  void finish(const Shop& shop) const {
    SCOPED_TRACE(history_text());
    shop.call(&Orders::SyncPayments, sync_request(paid_));
    const auto again = shop.call(&Orders::SyncPayments, sync_request(paid_));
    EXPECT_FALSE(again.changed()) << again.ShortDebugString();
    expect_equal_books(shop, paid_, !hopeless_.empty());
    for (const auto& transaction : shop.transactions(paid_.order_id)) {
      if (transaction.status() != kUnknown) continue;
      EXPECT_TRUE(hopeless_.contains(transaction.transaction_id()))
          << transaction.ShortDebugString();
    }
    if (testing::Test::HasFailure()) show();
  }

  /// Attempts whose key has a recorded 5xx without effect, or that may hide in what others did
  /// where readings carry no attempt ids: nobody can tell before the key is old.
  const std::set<std::string>& hopeless() const { return hopeless_; }
  const std::map<std::string, int>& counts() const { return counts_; }

 private:
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n));
  }
  bool chance(int percent) { return below(100) < percent; }
  void note(const std::string& text) { history_.push_back(text); }
  std::string history_text() const {
    std::string text = paid_.account + ": " + capabilities_.ShortDebugString();
    for (const auto& line : history_) text += "\n  " + line;
    return text;
  }
  void show() const { std::cout << history_text() << std::endl; }

  /// Takes the order's view, and checks the invariant: only what the gateway reported beside our
  /// open attempts may break it, and then nothing more can be asked for.
  void look() {
    payment_ = payment_of(shop_.get(paid_.order_id));
    if (!overlaps(payment_)) {
      surprised_ = false;
      expect_invariant(payment_);
      return;
    }
    EXPECT_TRUE(surprised_) << payment_.ShortDebugString();
    EXPECT_LE(payment_.captured().amount_minor() + payment_.voided().amount_minor(),
              payment_.authorized().amount_minor());
    EXPECT_LE(payment_.refunded().amount_minor(), payment_.captured().amount_minor());
  }

  std::int64_t choose(std::int64_t most) {
    if (most == 0) return 1 + below(1'000);
    if (chance(5)) return most;
    if (chance(10)) return most + 1 + below(100);
    return 1 + below(std::max<std::int64_t>(1, most / (1 + below(4))));
  }

  void move(Operation operation) {
    using sandbox::FaultKind;
    Try attempt{operation, paid_, new_uuid(), 0};
    attempt.amount =
        operation == Operation::kVoid
            ? capturable(before_)
            : choose(operation == Operation::kRefund ? refundable(before_) : capturable(before_));
    FaultKind kind = sandbox::FAULT_KIND_UNSPECIFIED;
    if (chance(40)) {
      std::vector<FaultKind> kinds{sandbox::FAULT_KIND_REFUSE, sandbox::FAULT_KIND_DROP_ANSWER,
                                   sandbox::FAULT_KIND_NOT_EXECUTED,
                                   sandbox::FAULT_KIND_SERVER_ERROR_APPLIED};
      if (chance(10)) kinds = {sandbox::FAULT_KIND_SERVER_ERROR};
      if (operation == Operation::kRefund) kinds.push_back(sandbox::FAULT_KIND_PENDING_REFUND);
      kind = kinds[static_cast<std::size_t>(below(static_cast<std::int64_t>(kinds.size())))];
      sandbox::Fault fault;
      fault.set_operation(at_gateway(operation));
      fault.set_kind(kind);
      if (kind == sandbox::FAULT_KIND_REFUSE) fault.set_reason("CARD_DECLINED");
      fault.set_times(1);
      shop_.fault(paid_.account, fault);
    }
    const auto reasons = objections(before_, capabilities_, operation, attempt.amount);
    const auto answer = perform(shop_, attempt);
    shop_.clear_faults(paid_.account);
    std::string text = std::string(name_of(operation)) + " " + std::to_string(attempt.amount) +
                       " " + (kind == 0 ? "" : sandbox::FaultKind_Name(kind)) + " -> ";
    note(text + (answer.ok() ? answer->transaction.ShortDebugString() : answer.reason));
    if (!answer.ok()) return check_refusal(operation, attempt.amount, reasons, answer);
    requests_.push_back({attempt, answer->transaction.transaction_id()});
    const pb::PaymentTransaction& transaction = answer->transaction;
    ++counts_[std::string(name_of(operation)) + " " +
              pb::TransactionStatus_Name(transaction.status()).substr(19)];
    // A refund that is PENDING may or may not keep others away.
    const bool only_pending =
        std::all_of(before_.open_transactions().begin(), before_.open_transactions().end(),
                    [](const auto& it) { return it.status() == kPending; });
    EXPECT_TRUE(reasons.empty() ||
                (reasons == std::set<std::string>{"PAYMENT_BUSY"} && only_pending))
        << "must be refused: " << *reasons.begin();
    EXPECT_FALSE(answer->replayed);
    // A void releases what is left when it arrives.
    if (operation != Operation::kVoid || capabilities_.lookup_by_attempt()) {
      EXPECT_EQ(transaction.amount().amount_minor(), attempt.amount);
    }
    check_status(operation, kind, attempt.amount, transaction);
    // Where it was not in the state that was supposed, the gateway has been read.
    if (transaction.status() == kFailed) surprised_ = true;
    if (in_step(before_, book_))
      expect_sums(before_, operation, transaction, payment_of(answer->order));
  }

  void check_refusal(Operation operation, std::int64_t amount, const std::set<std::string>& reasons,
                     const Reply<Moved>& answer) {
    ++counts_[answer.reason];
    // Five calls in a row were not answered: that is no mistake, and nothing may be written.
    const bool closed = answer.reason == "GATEWAY_UNAVAILABLE";
    EXPECT_TRUE(closed || reasons.contains(answer.reason)) << answer << before_.ShortDebugString();
    EXPECT_EQ(payment_of(shop_.get(paid_.order_id)).SerializeAsString(),
              before_.SerializeAsString());
    if (answer.reason == "AMOUNT_TOO_LARGE") {
      const bool refund = operation == Operation::kRefund;
      EXPECT_EQ(answer.number(refund ? "max_refundable_minor" : "max_capturable_minor"),
                refund ? refundable(before_) : capturable(before_));
      EXPECT_EQ(answer.number("requested_minor"), amount);
    }
    if (answer.reason == "FINAL_CAPTURE_REQUIRED") {
      EXPECT_EQ(answer.number("released_minor"), capturable(before_) - amount);
    }
  }

  /// What the answer says, against what the gateway has now and what it could do before.
  void check_status(Operation operation, sandbox::FaultKind fault, std::int64_t amount,
                    const pb::PaymentTransaction& transaction) {
    const auto after = shop_.ledger(paid_.account, paid_.reference);
    const sandbox::LedgerMovement* made = nullptr;
    for (const auto& movement : after.movements()) {
      if (movement.attempt_id() == transaction.transaction_id() &&
          movement.kind() == kind_of(operation)) {
        made = &movement;
      }
    }
    const bool nothing_done = fault == sandbox::FAULT_KIND_REFUSE ||
                              fault == sandbox::FAULT_KIND_NOT_EXECUTED ||
                              fault == sandbox::FAULT_KIND_SERVER_ERROR;
    const bool possible = !nothing_done && gateway_could(book_, capabilities_, operation, amount);
    EXPECT_EQ(made != nullptr, possible) << after.ShortDebugString();
    auto honest = honest_statuses(fault, possible);
    // Without the ids of attempts somebody else's movement is taken for ours.
    const bool mistakable =
        !capabilities_.lookup_by_attempt() &&
        std::any_of(after.movements().begin(), after.movements().end(), [&](const auto& movement) {
          return movement.kind() == transaction.kind() &&
                 (movement.amount_minor() == amount || operation == Operation::kVoid);
        });
    if (honest.contains(kFailed) && mistakable) honest.insert(kSucceeded);
    if (!possible && fault == 0) surprised_ = true;
    EXPECT_TRUE(honest.contains(transaction.status())) << transaction.ShortDebugString();
    const bool recorded = fault == sandbox::FAULT_KIND_SERVER_ERROR ||
                          fault == sandbox::FAULT_KIND_SERVER_ERROR_APPLIED;
    if (recorded && !possible) hopeless_.insert(transaction.transaction_id());
    check_undone(transaction);
  }

  /// What is FAILED has not been done, and what is UNKNOWN may stay so.
  void check_undone(const pb::PaymentTransaction& transaction) {
    const auto book = shop_.ledger(paid_.account, paid_.reference);
    const bool made =
        std::any_of(book.movements().begin(), book.movements().end(), [&](const auto& movement) {
          return movement.attempt_id() == transaction.transaction_id() &&
                 movement.kind() == transaction.kind() && movement.status() != kFailed;
        });
    EXPECT_FALSE(made && transaction.status() == kFailed) << transaction.ShortDebugString();
    // An older attempt of the same amount may be taken for it.
    const bool has_twin = std::any_of(requests_.begin(), requests_.end(), [&](const auto& request) {
      return kind_of(request.first.operation) == transaction.kind() &&
             request.first.amount == transaction.amount().amount_minor() &&
             request.second != transaction.transaction_id();
    });
    if (transaction.status() == kUnknown && (!made || has_twin) &&
        !capabilities_.lookup_by_attempt()) {
      hopeless_.insert(transaction.transaction_id());
    }
  }

  void sync() {
    if (chance(20)) {
      const auto kind =
          chance(50) ? sandbox::FAULT_KIND_DROP_ANSWER : sandbox::FAULT_KIND_SERVER_ERROR;
      sandbox::Fault fault;
      fault.set_operation(sandbox::OPERATION_FETCH);
      fault.set_kind(kind);
      shop_.fault(paid_.account, fault);  // until it is cleared
      const auto failed = shop_.send(&Orders::SyncPayments, sync_request(paid_));
      shop_.clear_faults(paid_.account);
      note("sync without a reading -> " + failed.reason);
      EXPECT_EQ(failed.code, grpc::StatusCode::UNAVAILABLE) << failed;
      EXPECT_EQ(payment_of(shop_.get(paid_.order_id)).SerializeAsString(),
                before_.SerializeAsString());
      return;
    }
    auto request = sync_request(paid_);
    request.set_validate_only(true);
    const auto asked = shop_.send(&Orders::SyncPayments, request);
    if (asked.reason == "GATEWAY_UNAVAILABLE") return note("sync while the circuit is open");
    EXPECT_TRUE(asked.ok()) << asked;
    EXPECT_EQ(payment_of(shop_.get(paid_.order_id)).SerializeAsString(),
              before_.SerializeAsString());
    const auto synced = shop_.send(&Orders::SyncPayments, sync_request(paid_));
    ASSERT_TRUE(synced.ok()) << synced;
    note("sync -> " + std::to_string(synced->differences_size()) + " differences");
    EXPECT_EQ(asked->differences_size(), synced->differences_size());
    EXPECT_EQ(synced->changed(), synced->differences_size() > 0);
    if (synced->changed() && before_.open_transactions_size() > 0) surprised_ = true;
    const auto again = shop_.send(&Orders::SyncPayments, sync_request(paid_));
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_FALSE(again->changed()) << again;
    expect_equal_books(shop_, paid_, true);
    // None of ours that the gateway has is left open.
    std::set<std::string> made;
    const auto book = shop_.ledger(paid_.account, paid_.reference);
    for (const auto& movement : book.movements()) {
      if (movement.status() != kPending) made.insert(movement.attempt_id());
    }
    if (capabilities_.lookup_by_attempt()) {
      for (const auto& transaction : payment_of(again->order()).open_transactions()) {
        EXPECT_FALSE(made.contains(transaction.transaction_id())) << transaction.ShortDebugString();
      }
    }
    ++counts_["sync"];
  }

  void dashboard() {
    const std::int64_t left =
        book_.authorized_minor() - book_.captured_minor() - book_.voided_minor();
    const std::int64_t back = book_.captured_minor() - book_.refunded_minor();
    sandbox::PaymentEvent event;
    const auto what = below(100);
    if (what < 35) {
      event.mutable_capture()->set_amount_minor(1 + below(std::max<std::int64_t>(1, left / 6)));
      event.mutable_capture()->set_final_capture(chance(5));
    } else if (what < 65) {
      event.mutable_refund()->set_amount_minor(1 + below(std::max<std::int64_t>(1, back / 3)));
    } else if (what < 67) {
      event.mutable_void_remainder();
    } else if (what < 69) {
      event.mutable_expire();
    } else {
      for (const auto& movement : book_.movements()) {
        if (movement.status() != kPending) continue;
        event.mutable_settle_refund()->set_gateway_transaction_id(
            movement.gateway_transaction_id());
        if (chance(50)) event.mutable_settle_refund()->set_fail_reason("ACCOUNT_CLOSED");
        break;
      }
      if (!event.has_settle_refund()) return;
    }
    const auto done = shop_.simulate(paid_.account, paid_.reference, event);
    note("dashboard: " + event.ShortDebugString() + " -> " + done.reason);
    EXPECT_TRUE(done.ok() || done.reason == "SANDBOX_REFUSED") << done;
    counts_["dashboard"] += done.ok();
    // The order does not know.
    EXPECT_EQ(payment_of(shop_.get(paid_.order_id)).SerializeAsString(),
              before_.SerializeAsString());
  }

  /// A call takes its time, and meanwhile somebody moves the same amount at the dashboard, perhaps
  /// in vain, and the payment is synced.
  void overlap() {
    const bool refunds = refundable(before_) > 0 && (capturable(before_) == 0 || chance(70));
    Try attempt{refunds ? Operation::kRefund : Operation::kCapture, paid_, new_uuid(), 0};
    attempt.amount = 1 + below(std::max<std::int64_t>(
                             1, (refunds ? refundable(before_) : capturable(before_)) / 4));
    if (!objections(before_, capabilities_, attempt.operation, attempt.amount).empty()) return;
    sandbox::Fault fault;
    fault.set_operation(at_gateway(attempt.operation));
    fault.set_kind(sandbox::FAULT_KIND_DELAY);
    fault.mutable_delay()->set_seconds(2);  // until it is cleared
    fault.set_times(1);
    shop_.fault(paid_.account, fault);
    auto sent = std::async(std::launch::async, [&] { return perform(shop_, attempt); });
    const auto answered = [&] {
      return sent.wait_for(milliseconds(0)) == std::future_status::ready;
    };
    wait_until("the attempt is written", [&] {
      return answered() || payment_of(shop_.get(paid_.order_id)).open_transactions_size() >
                               before_.open_transactions_size();
    });
    const auto dashboard = below(3);
    if (dashboard > 0) {
      sandbox::PaymentEvent event;
      const std::int64_t amount = chance(70) ? attempt.amount : attempt.amount + 1;
      const bool fails = refunds && dashboard == 1;
      if (refunds) {
        event.mutable_refund()->set_amount_minor(amount);
      } else {
        event.mutable_capture()->set_amount_minor(amount);
      }
      const auto moved = shop_.simulate(paid_.account, paid_.reference, event);
      EXPECT_TRUE(moved.ok() || moved.reason == "SANDBOX_REFUSED") << moved;
      if (moved.ok() && fails) {
        const auto book = shop_.ledger(paid_.account, paid_.reference);
        for (const auto& movement : book.movements()) {
          if (movement.kind() != pb::TRANSACTION_KIND_REFUND || !movement.attempt_id().empty()) {
            continue;
          }
          event.mutable_settle_refund()->set_gateway_transaction_id(
              movement.gateway_transaction_id());
        }
        event.mutable_settle_refund()->set_fail_reason("ACCOUNT_CLOSED");
        EXPECT_TRUE(shop_.simulate(paid_.account, paid_.reference, event).ok());
      }
      note("meanwhile: " + event.ShortDebugString() + " -> " + moved.reason);
      surprised_ = true;
    }
    if (chance(80)) {
      const auto synced = shop_.send(&Orders::SyncPayments, sync_request(paid_));
      EXPECT_TRUE(synced.ok() || synced.reason == "GATEWAY_UNAVAILABLE") << synced;
      note("meanwhile: sync");
      surprised_ = true;
    }
    const bool late = answered();
    shop_.clear_faults(paid_.account);
    const auto answer = sent.get();
    note("overlapped " + std::string(name_of(attempt.operation)) + " -> " +
         (answer.ok() ? answer->transaction.ShortDebugString() : answer.reason));
    if (!answer.ok()) {
      EXPECT_EQ(answer.reason, "GATEWAY_UNAVAILABLE") << answer;
      return;
    }
    requests_.push_back({attempt, answer->transaction.transaction_id()});
    ++counts_[late ? "overlapping too late" : "overlapping"];
    check_undone(answer->transaction);
    // The gateway has read the payment where it was not in the state that was supposed.
    surprised_ = true;
    const auto synced = shop_.send(&Orders::SyncPayments, sync_request(paid_));
    if (synced.reason == "GATEWAY_UNAVAILABLE") return;
    EXPECT_TRUE(synced.ok()) << synced;
    expect_equal_books(shop_, paid_, true);
    const auto again = shop_.send(&Orders::SyncPayments, sync_request(paid_));
    EXPECT_FALSE(again.ok() && again->changed()) << again;
  }

  /// An earlier request comes again: it answers with its attempt as it is now, and does nothing.
  void replay() {
    if (requests_.empty()) return;
    const auto& [attempt, id] =
        requests_[static_cast<std::size_t>(below(static_cast<std::int64_t>(requests_.size())))];
    const auto answer = perform(shop_, attempt);
    note("replay of " + id);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->replayed);
    EXPECT_EQ(answer->transaction.transaction_id(), id);
    for (const auto& transaction : shop_.transactions(paid_.order_id)) {
      if (transaction.transaction_id() != id) continue;
      EXPECT_EQ(transaction.SerializeAsString(), answer->transaction.SerializeAsString());
    }
    EXPECT_EQ(shop_.ledger(paid_.account, paid_.reference).SerializeAsString(),
              book_.SerializeAsString());
    ++counts_["replay"];
  }

  const Shop& shop_;
  std::mt19937_64 random_;
  pb::GatewayCapabilities capabilities_;
  Paid paid_;
  pb::Payment payment_, before_;
  sandbox::LedgerPayment book_;
  bool surprised_ = false;
  std::vector<std::pair<Try, std::string>> requests_;
  std::set<std::string> hopeless_;
  std::vector<std::string> history_;
  std::map<std::string, int> counts_;
};

class Property : public DatabaseTest {
 protected:
  const Folder folder_;
};
ORDERD_ON_BOTH_DATABASES(Property);

TEST_P(Property, AnySequenceKeepsTheInvariantAndEndsInEqualBooks) {
  constexpr int kSequences = 32, kSteps = 40, kThreads = 4;
  const std::uint64_t seed = test_seed();
  Server::Options options;
  for (int i = 0; i < kSequences; ++i) {
    options.gateways.push_back(folder_.gateway("shop" + std::to_string(i)));
  }
  options.gateway_timeout = "3";
  options.reconcile_interval = "3600";
  std::vector<std::unique_ptr<Sequence>> sequences(kSequences);
  Server calm(url(), options);
  std::vector<std::future<void>> threads;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    threads.push_back(std::async(std::launch::async, [&, thread] {
      for (std::size_t i = thread; i < kSequences; i += kThreads) {
        sequences[i] =
            std::make_unique<Sequence>(calm.shop(), "shop" + std::to_string(i), seed + i);
        sequences[i]->run(kSteps);
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  if (HasFailure()) return;
  EXPECT_EQ(calm.process().terminate(), 0);

  options.reconcile_interval = "0.1";
  Server server(url(), options);
  std::set<std::string> hopeless;
  std::map<std::string, int> counts;
  for (const auto& sequence : sequences) {
    hopeless.insert(sequence->hopeless().begin(), sequence->hopeless().end());
    for (const auto& [what, count] : sequence->counts()) counts[what] += count;
  }
  for (const auto& [what, count] : counts) std::cout << count << " x " << what << "; ";
  std::cout << std::endl;
  std::string last;
  wait_until("the reconciler has found out what can be", [&] {
    for (const auto& payment : server.shop().unresolved()) {
      for (const auto& it : payment.payment().open_transactions()) {
        last = it.ShortDebugString();
        if (it.status() == kUnknown && !hopeless.contains(it.transaction_id())) return false;
      }
    }
    return true;
  });
  if (HasFailure()) std::cout << last << std::endl;
  for (const auto& sequence : sequences) sequence->finish(server.shop());
  EXPECT_EQ(server.process().terminate(), 0);
  check_database(url());
}

}  // namespace
}  // namespace orderd::test
