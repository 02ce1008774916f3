#include <rapidcheck.h>

#include <iostream>

#include "tests/unit/cancellation_fixture.h"

// Random lives of a cancellation: payments in random conditions at gateways of random capabilities,
// calls that are refused, lost, answered late or accepted for later, and people who work at the
// gateways' dashboards between any two steps. When the faults have ended, so does the cancellation.
// RapidCheck prints the seed and the shortest life that fails; RC_PARAMS repeats it.

namespace orderd::rules {
namespace {

using Fault = Bank::Fault;

struct Counts {
  int completed = 0, failed = 0, abandoned = 0, legs = 0, passes = 0, emails = 0;
};

class Life {
 public:
  explicit Life(Counts& counts) : counts_(counts), world_(settings_) {
    const int payments = range(1, 4);
    for (int i = 0; i < payments; ++i) attach(static_cast<char>('a' + i));
    world_.fault = [this](const auto&) { return fault(); };
  }

  void run() {
    pb::CancelOrderRequest request;
    request.set_notify_customer(chance(2));
    request.set_reason("why");
    notify_ = request.notify_customer();
    if (chance(2)) sync_some();
    world_.begin(request);
    check();
    for (int round = 0;; ++round) {
      if (round == 400) RC_FAIL("it goes on and on: " + world_.order.DebugString());
      world_.now += kMinutes;
      const auto status = world_.status();
      if (status == pb::CANCELLATION_STATUS_COMPLETED) return finish();
      if (status == pb::CANCELLATION_STATUS_NONE) {
        ++counts_.abandoned;
        return;
      }
      if (status == pb::CANCELLATION_STATUS_FAILED) {
        if (!decide(request)) return;
        continue;
      }
      const bool moved = step();
      if (!moved && !moved_since_reading_ && !go_on()) {
        RC_FAIL("it neither ends nor waits for anybody: " + world_.order.DebugString());
      }
    }
  }

 private:
  /// The same for lives of every length.
  static int range(int low, int high) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(low, high + 1));
  }
  static bool chance(int n) { return range(1, n) == 1; }

  void attach(char name) {
    const std::string id(1, name);
    const int due = range(1, 4) * 10;
    if (chance(4)) {
      world_.add_external(id, due, range(0, due));
      return;
    }
    Bank& bank = world_.add_open(id, due);
    bank.can.set_multi_capture(!chance(3));
    bank.can.set_void_after_capture(bank.can.multi_capture() && !chance(4));
    bank.can.set_refund_before_final_capture(bank.can.multi_capture() && !chance(4));
    bank.can.set_concurrent_operations(!chance(2));
    if (chance(4)) {
      if (chance(2)) bank.stage = Bank::Stage::kProcessing;
      return;
    }
    bank.pay();
    if (chance(2)) bank.move(kCapture, chance(2) ? due : range(1, due));
    if (chance(3)) bank.move(kRefund, range(1, due), "", chance(2));
    if (chance(5)) bank.move(kVoid, 0);
  }

  /// Faults end at some time, and so does the work of others.
  Fault fault() {
    if (faults_ == 0) return Fault::kNone;
    --faults_;
    return static_cast<Fault>(range(0, 5));
  }

  void interfere() {
    if (interferences_ == 0 || world_.banks.empty() || !chance(4)) return;
    --interferences_;
    auto it = world_.banks.begin();
    std::advance(it, range(0, static_cast<int>(world_.banks.size()) - 1));
    Bank& bank = it->second;
    moved_since_reading_ = true;
    switch (range(0, 5)) {
      case 0:
        bank.pay();
        break;
      case 1:
        bank.move(kCapture, range(1, 20));
        break;
      case 2:
        bank.move(kRefund, range(1, 20), "", chance(2));
        break;
      case 3:
        bank.move(kVoid, 0);
        break;
      case 4:
        bank.end_refund(chance(2));
        break;
      default:
        if (bank.capturable() > 0) {
          bank.movements.push_back({"x" + std::to_string(bank.movements.size()), kExpiry,
                                    kSucceeded, bank.capturable(), kNow, "", ""});
        }
    }
  }

  void sync_some() {
    for (const auto& [id, bank] : world_.banks) {
      if (chance(2)) world_.sync(id);
    }
  }

  /// One round of the driver's. Whether anything happened.
  bool step() {
    interfere();
    moved_since_reading_ = false;
    const auto readings = world_.read();
    interfere();
    bool moved = world_.apply(world_.try_advance(readings));
    check();
    // Between readings a void may have released less than it was booked with.
    for (const auto& payment : world_.order.payments()) RC_ASSERT(!payment.discrepancy());
    const pb::Order before = world_.order;
    for (const auto& payment : before.payments()) {
      for (const auto& attempt : to_send_again(before, payment, settings_, world_.now)) {
        if (chance(5) && faults_ > 0) {
          --faults_;  // the server dies
          moved = true;
          continue;
        }
        interfere();
        world_.send(attempt);
        moved = true;
        check();
        if (chance(4)) sync_some();
        check();
      }
    }
    return moved;
  }

  /// What it waits for happens. False if it waits for nothing.
  bool go_on() {
    bool found = false;
    for (auto& [id, bank] : world_.banks) {
      if (bank.stage == Bank::Stage::kProcessing) {
        bank.pay();
        found = true;
      }
      // What the gateway releases by itself.
      const bool stuck = bank.sum(kCapture) > 0 && bank.capturable() > 0 &&
                         !bank.can.multi_capture() && !bank.can.void_after_capture();
      if (stuck) {
        bank.movements.push_back({"r" + std::to_string(bank.movements.size()), kVoid, kSucceeded,
                                  bank.capturable(), kNow, "", ""});
        found = true;
      }
    }
    const pb::Order before = world_.order;
    for (const auto& payment : before.payments()) {
      for (const auto& open : payment.open_transactions()) {
        if (open.reason() != "MANUAL") continue;
        world_.resolve(open.transaction_id(), !chance(4));
        check();
        found = true;
      }
    }
    return found;
  }

  /// After a failure. False: it stays.
  bool decide(const pb::CancelOrderRequest& request) {
    RC_ASSERT(world_.emails.empty());
    RC_ASSERT(world_.order.state_id() == "new");
    const auto& legs = world_.order.cancellation().legs();
    const int choice = range(0, 3);
    if (choice == 0) {
      const auto result = world_.try_abandon();
      const bool moved = std::any_of(legs.begin(), legs.end(),
                                     [](const auto& leg) { return leg.status() != kFailed; });
      RC_ASSERT(result.ok() == !moved);
      if (result.ok()) return world_.apply(result);
    }
    if (choice == 1 && overrule()) return true;
    if (choice == 2) interfere();
    if (++passes_ > 4) {
      ++counts_.failed;
      return false;
    }
    world_.begin(request);
    ++counts_.passes;
    check();
    return true;
  }

  /// Somebody says that a leg that failed has been done. False if none can have been.
  bool overrule() {
    const pb::Cancellation before = world_.order.cancellation();
    for (const auto& leg : before.legs()) {
      if (leg.status() != kFailed) continue;
      const auto result = world_.try_resolve(leg.transaction_id(), true);
      if (!result.ok()) continue;
      world_.apply(result);
      check();
      overruled_ = true;
      return true;
    }
    return false;
  }

  void finish() {
    ++counts_.completed;
    counts_.legs += world_.order.cancellation().legs_size();
    RC_ASSERT(world_.order.state_id() == "canceled");
    RC_ASSERT(world_.emails.size() == (notify_ ? 1u : 0u));
    counts_.emails += static_cast<int>(world_.emails.size());
    RC_ASSERT(!world_.advance());
    RC_ASSERT(!world_.begin({}));
    RC_ASSERT(world_.emails.size() == (notify_ ? 1u : 0u));
    if (overruled_) return;
    for (const auto& payment : world_.order.payments()) {
      RC_ASSERT(payment.capturable().amount_minor() == 0);
      RC_ASSERT(payment.refundable().amount_minor() == 0);
      RC_ASSERT(payment.status() != pb::PAYMENT_STATUS_OPEN);
      std::int64_t initiated = 0;
      for (const auto& open : payment.open_transactions()) {
        RC_ASSERT(open.kind() == kRefund);
        RC_ASSERT(!open.gateway_transaction_id().empty());
        initiated += open.amount().amount_minor();
      }
      RC_ASSERT(payment.captured().amount_minor() == payment.refunded().amount_minor() + initiated);
    }
    if (moved_since_reading_) return;
    for (const auto& [id, bank] : world_.banks) {
      RC_ASSERT(bank.capturable() == 0);
      RC_ASSERT(bank.refundable() == 0);
      RC_ASSERT(!bank.payable());
    }
  }

  void check() {
    if (!world_.broken.empty()) RC_LOG(world_.broken + "\n" + world_.order.DebugString());
    RC_ASSERT(world_.broken.empty());
    // No leg is in doubt twice.
    for (const auto& payment : world_.order.payments()) {
      int refunds = 0;
      for (const auto& open : payment.open_transactions()) {
        refunds += open.kind() == kRefund && open.status() == kUnknown;
      }
      RC_ASSERT(refunds <= 1);
    }
  }

  Counts& counts_;
  Settings settings_ = default_settings();
  CancellationWorld world_;
  int faults_ = range(0, 8);
  int interferences_ = range(0, 6);
  int passes_ = 0;
  bool notify_ = false;
  bool overruled_ = false;
  bool moved_since_reading_ = false;
};

TEST(CancellationProperty, ReturnsAllMoneyOnceWhateverHappens) {
  Counts counts;
  const bool holds = rc::check([&] { Life(counts).run(); });
  std::cout << counts.completed << " completed, " << counts.failed << " failed, "
            << counts.abandoned << " given up, " << counts.legs << " legs, " << counts.passes
            << " further passes, " << counts.emails << " e-mails" << std::endl;
  EXPECT_TRUE(holds);
  EXPECT_GT(counts.completed, 0);
}

}  // namespace
}  // namespace orderd::rules
