#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <set>

#include "tests/money/cancel.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

using google::protobuf::util::TimeUtil;
using Status = std::optional<pb::CancellationStatus>;

constexpr auto kInProgress = pb::CANCELLATION_STATUS_IN_PROGRESS;
constexpr auto kFailed = pb::CANCELLATION_STATUS_FAILED;
constexpr auto kCompleted = pb::CANCELLATION_STATUS_COMPLETED;
/// Of a fault after which the end may come early or late.
constexpr Status kAny = std::nullopt;

// The server gives a gateway 4 seconds; the callers have 60, or 2.
constexpr char kGatewayTimeout[] = "4";
constexpr milliseconds kHurry{2'000};

/// A way for the gateway to fail in a leg, and what a caller may be told.
struct Misbehaviour {
  const char* name;
  sandbox::FaultKind kind;
  milliseconds delay{0};
  /// 0: until it is cleared.
  int times = 1;
  /// The answer to a caller with time to wait, and to one without.
  Status patient, hurried;
};

const Misbehaviour kMisbehaviours[] = {
    {"refuse", sandbox::FAULT_KIND_REFUSE, {}, 0, kFailed, kFailed},
    {"delay", sandbox::FAULT_KIND_DELAY, milliseconds(3'000), 1, kCompleted, kInProgress},
    {"delay-beyond-the-timeout", sandbox::FAULT_KIND_DELAY, milliseconds(6'000), 1, kAny,
     kInProgress},
    {"drop-answer", sandbox::FAULT_KIND_DROP_ANSWER, {}, 1, kAny, kAny},
    {"not-executed", sandbox::FAULT_KIND_NOT_EXECUTED, {}, 0, kInProgress, kInProgress},
    // The key's answer stays a 5xx, so nothing becomes known before the key is too old.
    {"server-error", sandbox::FAULT_KIND_SERVER_ERROR, {}, 1, kInProgress, kInProgress},
    {"server-error-applied", sandbox::FAULT_KIND_SERVER_ERROR_APPLIED, {}, 1, kAny, kAny},
    {"hang", sandbox::FAULT_KIND_HANG, {}, 1, kAny, kInProgress},
};
constexpr sandbox::Operation kLegs[] = {sandbox::OPERATION_VOID, sandbox::OPERATION_REFUND};

class CancelFaults : public DatabaseTest {
 protected:
  static std::string account_of(const Misbehaviour& how, sandbox::Operation leg) {
    return std::string(how.name) + (leg == sandbox::OPERATION_VOID ? "-void" : "-refund");
  }

  /// Each cell has an account of its own, so that they run side by side.
  Server start() {
    Server::Options options;
    options.gateway_timeout = kGatewayTimeout;
    for (const Misbehaviour& how : kMisbehaviours) {
      for (const auto leg : kLegs) {
        options.gateways.push_back(folder_.gateway(account_of(how, leg)));
      }
    }
    options.gateways.push_back(folder_.gateway("pending"));
    options.more_arguments = mail_arguments(mail_.url());
    return Server(url(), options);
  }

  static sandbox::Fault fault(const Misbehaviour& how, sandbox::Operation leg) {
    sandbox::Fault fault;
    fault.set_operation(leg);
    fault.set_kind(how.kind);
    fault.set_times(how.times);
    if (how.kind == sandbox::FAULT_KIND_REFUSE) fault.set_reason("CARD_DECLINED");
    if (how.delay.count() > 0) {
      *fault.mutable_delay() = TimeUtil::MillisecondsToDuration(how.delay.count());
    }
    return fault;
  }

  static Shape shape_of(sandbox::Operation leg) {
    return leg == sandbox::OPERATION_VOID ? Shape::kAuthorized : Shape::kPartlyCaptured;
  }

  void run_cell(const Shop& shop, const Misbehaviour& how, sandbox::Operation leg, bool hurried) {
    const std::string account = account_of(how, leg);
    SCOPED_TRACE(account + (hurried ? ", hurried" : ", patient"));
    const Purchase purchase = make_purchase(shop, shape_of(leg), account);
    shop.fault(account, fault(how, leg));
    const bool notify = hurried;
    const pb::CancelOrderRequest request = cancel_request(purchase, notify);
    const auto answer = cancel(shop, request, hurried ? kHurry : kPatience);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->changed());
    EXPECT_FALSE(answer->replayed());
    const Status expected = hurried ? how.hurried : how.patient;
    if (expected) {
      EXPECT_EQ(answer->report().status(), *expected) << answer;
      if (*expected != kCompleted) {
        EXPECT_TRUE(emails_of(shop, purchase.order_id).empty()) << "told too early";
      }
    }
    expect_honest(shop, purchase, answer.response);

    // The replay, perhaps while the first call is still at work.
    const auto replay = cancel(shop, request, kHurry);
    ASSERT_TRUE(replay.ok()) << replay;
    EXPECT_TRUE(replay->replayed());
    expect_honest(shop, purchase, replay.response);

    if (how.kind == sandbox::FAULT_KIND_SERVER_ERROR) return check_undecided(shop, purchase, leg);
    if (how.kind == sandbox::FAULT_KIND_REFUSE) {
      retry_refused(shop, purchase, notify);
    } else if (how.times == 0) {
      shop.clear_faults(account);
    }
    wait_until_canceled(shop, {purchase});
    shop.wait_until_settled(account);
    expect_canceled(shop, purchase, notify);
    const auto end = cancel(shop, request);
    ASSERT_TRUE(end.ok()) << end;
    EXPECT_TRUE(end->replayed());
    EXPECT_EQ(end->report().status(), kCompleted) << end;
    expect_honest(shop, purchase, end.response);
    wait_until("the e-mail is sent", [&] {
      const auto emails = emails_of(shop, purchase.order_id);
      return emails.empty() || emails[0].status() != pb::EMAIL_STATUS_PENDING;
    });
    expect_mailed(shop, mailboxes_of(mail_), purchase, notify);
  }

  /// Refused for good: somebody has to decide, and may try again.
  static void retry_refused(const Shop& shop, const Purchase& purchase, bool notify) {
    const auto& account = purchase.payments[0].account;
    const pb::Order failed = shop.get(purchase.order_id);
    EXPECT_EQ(failed.state_id(), "new");
    EXPECT_EQ(failed.cancellation().pass(), 1);
    const auto& leg = *failed.cancellation().legs().rbegin();
    EXPECT_EQ(leg.status(), pb::TRANSACTION_STATUS_FAILED);
    EXPECT_EQ(leg.reason(), "CARD_DECLINED");
    EXPECT_EQ(shop.send(&Orders::CapturePayment, capture_request(purchase.payments[0], 1)).reason,
              "CANCELLATION_IN_PROGRESS");
    EXPECT_TRUE(emails_of(shop, purchase.order_id).empty());

    // What the first call wanted stands.
    const auto vain = cancel(shop, cancel_request(purchase, !notify));
    ASSERT_TRUE(vain.ok()) << vain;
    EXPECT_TRUE(vain->changed());
    EXPECT_EQ(vain->report().status(), kFailed) << vain;
    EXPECT_EQ(vain->order().cancellation().pass(), 2);
    expect_honest(shop, purchase, vain.response);
    shop.clear_faults(account);
    // FAILED is an end: nothing is sent for as long as nobody asks.
    EXPECT_EQ(status_of(shop.get(purchase.order_id)), kFailed);
    const auto again = cancel(shop, cancel_request(purchase, !notify));
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_TRUE(again->changed());
    EXPECT_EQ(again->report().status(), kCompleted) << again;
    EXPECT_EQ(again->order().cancellation().pass(), 3);
    EXPECT_EQ(again->report().notifies_customer(), notify);
    expect_honest(shop, purchase, again.response);
  }

  /// The gateway has nothing and says 5xx for the key, which is no information: the cancellation
  /// stays as it is, holds the order, and nobody may decide about it by hand.
  static void check_undecided(const Shop& shop, const Purchase& purchase, sandbox::Operation leg) {
    const Paid& paid = purchase.payments[0];
    // Until the reconciler has been there after the lease.
    wait_until("the key has been sent again", [&] {
      const auto book = shop.ledger(paid.account, paid.reference);
      return !book.answers().empty();
    });
    EXPECT_TRUE(shop.send(&Orders::SyncPayments, sync_request(paid)).ok());
    expect_equal_books(shop, paid, true);
    const auto answer = cancel(shop, cancel_request(purchase, true));
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_FALSE(answer->changed());
    EXPECT_EQ(answer->report().status(), kInProgress);
    expect_honest(shop, purchase, answer.response);
    EXPECT_EQ(answer->report().outstanding().amount_minor(),
              leg == sandbox::OPERATION_VOID ? purchase.to_reverse : purchase.to_refund);
    const auto& legs = answer->order().cancellation().legs();
    ASSERT_FALSE(legs.empty());
    EXPECT_EQ(legs.rbegin()->status(), pb::TRANSACTION_STATUS_UNKNOWN);

    pb::AbandonCancellationRequest abandon;
    abandon.set_order_id(purchase.order_id);
    abandon.set_reason("somebody loses patience");
    EXPECT_EQ(shop.send(&Orders::AbandonCancellation, abandon).reason,
              "CANCELLATION_HAS_MOVED_MONEY");
    pb::ResolveTransactionRequest resolve;
    resolve.set_order_id(purchase.order_id);
    resolve.set_transaction_id(legs.rbegin()->transaction_id());
    resolve.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    resolve.set_reason("somebody guesses");
    EXPECT_EQ(shop.send(&Orders::ResolveTransaction, resolve).reason, "GATEWAY_CAN_TELL");
    EXPECT_TRUE(emails_of(shop, purchase.order_id).empty());
    std::set<std::string> unresolved;
    for (const auto& it : shop.unresolved(paid.account)) unresolved.insert(it.order_id());
    EXPECT_TRUE(unresolved.contains(purchase.order_id)) << "nobody would look at it";
  }

  const Folder folder_;
  const MailServer mail_;
};
ORDERD_ON_BOTH_DATABASES(CancelFaults);

TEST_P(CancelFaults, EveryAnswerIsHonestAndTheOrderIsCanceledInTheEnd) {
  Server server = start();
  const Shop& shop = server.shop();
  std::vector<std::future<void>> cells;
  for (const Misbehaviour& how : kMisbehaviours) {
    for (const auto leg : kLegs) {
      cells.push_back(std::async(std::launch::async, [&, leg] {
        run_cell(shop, how, leg, true);
        run_cell(shop, how, leg, false);
      }));
    }
  }
  for (auto& cell : cells) cell.get();
  EXPECT_EQ(server.process().terminate(), 0);
  check_database(url());
}

/// What is to be returned is decided by readings, so without them nothing is.
TEST_P(CancelFaults, NothingIsReturnedWhileTheGatewayCannotBeRead) {
  const Server server = start();
  const Shop& shop = server.shop();
  constexpr sandbox::FaultKind kKinds[] = {
      sandbox::FAULT_KIND_REFUSE, sandbox::FAULT_KIND_DROP_ANSWER, sandbox::FAULT_KIND_NOT_EXECUTED,
      sandbox::FAULT_KIND_SERVER_ERROR, sandbox::FAULT_KIND_HANG};
  at_once(std::size(kKinds), [&](int i) {
    const sandbox::FaultKind kind = kKinds[i];
    SCOPED_TRACE(sandbox::FaultKind_Name(kind));
    const std::string account = account_of(kMisbehaviours[i], sandbox::OPERATION_VOID);
    const Purchase purchase = make_purchase(shop, Shape::kPartlyCaptured, account);
    sandbox::Fault fault;
    fault.set_operation(sandbox::OPERATION_FETCH);
    fault.set_kind(kind);
    if (kind == sandbox::FAULT_KIND_REFUSE) fault.set_reason("FORBIDDEN");
    shop.fault(account, fault);
    const auto before = shop.ledger(account, purchase.payments[0].reference);
    const auto answer = cancel(shop, cancel_request(purchase, true), kHurry);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_EQ(answer->report().status(), kInProgress) << answer;
    EXPECT_EQ(answer->report().outstanding().amount_minor(),
              purchase.to_refund + purchase.to_reverse);
    EXPECT_TRUE(answer->order().cancellation().legs().empty());
    expect_honest(shop, purchase, answer.response);
    const auto after = shop.ledger(account, purchase.payments[0].reference);
    EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
    EXPECT_TRUE(emails_of(shop, purchase.order_id).empty());
    shop.clear_faults(account);
    wait_until_canceled(shop, {purchase});
    shop.wait_until_settled(account);
    expect_canceled(shop, purchase, true);
  });
}

/// Accepted is as good as done; what comes of it afterwards does not undo the cancellation.
TEST_P(CancelFaults, ARefundThatIsPendingCompletesAndMayFailLater) {
  const Server server = start();
  const Shop& shop = server.shop();
  for (const bool fails : {false, true}) {
    SCOPED_TRACE(fails ? "fails" : "succeeds");
    const Purchase purchase = make_purchase(shop, Shape::kPartlyCaptured, "pending");
    const Paid& paid = purchase.payments[0];
    sandbox::Fault fault;
    fault.set_operation(sandbox::OPERATION_REFUND);
    fault.set_kind(sandbox::FAULT_KIND_PENDING_REFUND);
    fault.set_times(1);
    shop.fault("pending", fault);
    const auto answer = cancel(shop, cancel_request(purchase, true), fails ? kHurry : kPatience);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_EQ(answer->report().status(), kCompleted) << answer;
    EXPECT_EQ(answer->report().pending().amount_minor(), purchase.to_refund);
    EXPECT_EQ(answer->report().refunded().amount_minor(), 0);
    EXPECT_EQ(answer->report().reversed().amount_minor(), purchase.to_reverse);
    expect_honest(shop, purchase, answer.response);
    expect_equal_books(shop, paid);
    ASSERT_EQ(answer->order().cancellation().legs_size(), 2);
    const auto& leg = answer->order().cancellation().legs(1);
    EXPECT_EQ(leg.status(), pb::TRANSACTION_STATUS_PENDING);
    EXPECT_TRUE(leg.initiated());
    wait_until_mailed(shop);
    expect_mailed(shop, mailboxes_of(mail_), purchase, true);

    sandbox::PaymentEvent event;
    auto* settle = event.mutable_settle_refund();
    const auto transactions = shop.transactions(purchase.order_id, paid.payment_id);
    for (const auto& it : transactions) {
      if (it.transaction_id() == leg.transaction_id()) {
        settle->set_gateway_transaction_id(it.gateway_transaction_id());
      }
    }
    if (fails) settle->set_fail_reason("ACCOUNT_CLOSED");
    ASSERT_TRUE(shop.simulate("pending", paid.reference, event).ok());
    // The reconciler will ask in an hour; somebody is quicker.
    bool listed = false;
    for (const auto& it : shop.unresolved("pending")) {
      listed |= it.order_id() == purchase.order_id && it.has_next_check_time();
    }
    EXPECT_TRUE(listed) << "nobody would look at it";
    EXPECT_TRUE(shop.call(&Orders::SyncPayments, sync_request(paid)).changed());
    expect_equal_books(shop, paid);
    if (fails) {
      const pb::Order order = shop.get(purchase.order_id);
      EXPECT_EQ(order.state_id(), "canceled");
      EXPECT_EQ(status_of(order), kCompleted);
      EXPECT_EQ(order.cancellation().legs(1).status(), pb::TRANSACTION_STATUS_FAILED);
      EXPECT_TRUE(payment_of(order).attention());
      std::set<std::string> unresolved;
      for (const auto& it : shop.unresolved("pending")) unresolved.insert(it.order_id());
      EXPECT_TRUE(unresolved.contains(purchase.order_id)) << "nobody would look at it";
      const auto refunded =
          shop.send(&Orders::RefundPayment, refund_request(paid, purchase.to_refund));
      ASSERT_TRUE(refunded.ok()) << refunded;
      EXPECT_EQ(refunded->transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED) << refunded;
      expect_equal_books(shop, paid);
      EXPECT_EQ(emails_of(shop, purchase.order_id).size(), 1U);
    } else {
      expect_canceled(shop, purchase, true);
    }
  }
}

}  // namespace
}  // namespace orderd::test
