#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <future>
#include <set>

#include "tests/money/money.h"

namespace orderd::test {
namespace {

using google::protobuf::util::TimeUtil;

/// A way for the gateway to fail, and what a caller may be told.
struct Misbehaviour {
  const char* name;
  sandbox::FaultKind kind;
  milliseconds delay{0};
  /// 0: until it is cleared.
  int times = 1;
  /// The answer to a caller with time to wait, and to one without.
  pb::TransactionStatus patient, hurried;
  /// How the attempt ends once the gateway is well again.
  pb::TransactionStatus end;
};

constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;

// The server gives a gateway 4 seconds; the callers have 60, or 2.
constexpr char kGatewayTimeout[] = "4";
constexpr milliseconds kHurry{2'000};

const Misbehaviour kMisbehaviours[] = {
    {"refuse", sandbox::FAULT_KIND_REFUSE, {}, 1, kFailed, kFailed, kFailed},
    {"delay", sandbox::FAULT_KIND_DELAY, milliseconds(3'000), 1, kSucceeded, kUnknown, kSucceeded},
    {"delay-beyond-the-timeout", sandbox::FAULT_KIND_DELAY, milliseconds(6'000), 1, kUnknown,
     kUnknown, kSucceeded},
    {"drop-answer", sandbox::FAULT_KIND_DROP_ANSWER, {}, 1, kUnknown, kUnknown, kSucceeded},
    {"not-executed", sandbox::FAULT_KIND_NOT_EXECUTED, {}, 0, kUnknown, kUnknown, kSucceeded},
    // The key's answer stays a 5xx, so nothing becomes known before the key is too old.
    {"server-error", sandbox::FAULT_KIND_SERVER_ERROR, {}, 1, kUnknown, kUnknown, kUnknown},
    {"server-error-applied",
     sandbox::FAULT_KIND_SERVER_ERROR_APPLIED,
     {},
     1,
     kUnknown,
     kUnknown,
     kSucceeded},
    {"hang", sandbox::FAULT_KIND_HANG, {}, 1, kUnknown, kUnknown, kSucceeded},
};

class FaultMatrix : public DatabaseTest {
 protected:
  static std::string account_of(const Misbehaviour& how, Operation operation) {
    return std::string(how.name) + "-" + name_of(operation);
  }

  /// Each cell has an account of its own, so that they run side by side.
  Server start() {
    Server::Options options;
    options.gateway_timeout = kGatewayTimeout;
    for (const Misbehaviour& how : kMisbehaviours) {
      for (const Operation operation : kOperations) {
        options.gateways.push_back(folder_.gateway(account_of(how, operation)));
      }
    }
    options.gateways.push_back(folder_.gateway("pending"));
    return Server(url(), options);
  }

  static sandbox::Fault fault(const Misbehaviour& how, Operation operation) {
    sandbox::Fault fault;
    fault.set_operation(at_gateway(operation));
    fault.set_kind(how.kind);
    fault.set_times(how.times);
    if (how.kind == sandbox::FAULT_KIND_REFUSE) fault.set_reason("CARD_DECLINED");
    if (how.delay.count() > 0) {
      *fault.mutable_delay() = TimeUtil::MillisecondsToDuration(how.delay.count());
    }
    return fault;
  }

  static const sandbox::LedgerMovement* movement_of(const sandbox::LedgerPayment& book,
                                                    const std::string& attempt_id) {
    for (const auto& movement : book.movements()) {
      if (movement.attempt_id() == attempt_id) return &movement;
    }
    return nullptr;
  }

  /// No answer claims more than the gateway's book confirms at this moment, or denies what it has.
  static void expect_honest(const Shop& shop, const Try& attempt,
                            const pb::PaymentTransaction& transaction) {
    const auto book = shop.ledger(attempt.paid.account, attempt.paid.reference);
    const auto* movement = movement_of(book, transaction.transaction_id());
    if (transaction.status() == kSucceeded) {
      ASSERT_NE(movement, nullptr);
      EXPECT_EQ(movement->status(), kSucceeded);
      EXPECT_EQ(movement->amount_minor(), transaction.amount().amount_minor());
    }
    if (transaction.status() == kFailed) {
      EXPECT_TRUE(movement == nullptr || movement->status() == kFailed);
      EXPECT_FALSE(transaction.reason().empty());
    }
  }

  void run_cell(const Shop& shop, const Misbehaviour& how, Operation operation, bool hurried) {
    SCOPED_TRACE(account_of(how, operation) + (hurried ? ", hurried" : ", patient"));
    const Try attempt = prepare(shop, account_of(how, operation), operation);
    const Paid& paid = attempt.paid;
    shop.fault(paid.account, fault(how, operation));
    const auto answer = perform(shop, attempt, hurried ? kHurry : kPatience);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_FALSE(answer->replayed);
    EXPECT_TRUE(answer->changed);
    EXPECT_EQ(answer->transaction.status(), hurried ? how.hurried : how.patient) << answer;
    EXPECT_EQ(answer->transaction.amount().amount_minor(), attempt.amount);
    if (how.kind == sandbox::FAULT_KIND_REFUSE) {
      EXPECT_EQ(answer->transaction.reason(), "CARD_DECLINED");
    }
    expect_honest(shop, attempt, answer->transaction);
    expect_invariant(payment_of(answer->order));
    const std::string id = answer->transaction.transaction_id();

    // The replay, perhaps while the first call still runs: the same attempt, as it is by now.
    const auto replay = perform(shop, attempt, kHurry);
    ASSERT_TRUE(replay.ok()) << replay;
    EXPECT_TRUE(replay->replayed);
    EXPECT_EQ(replay->transaction.transaction_id(), id);
    expect_honest(shop, attempt, replay->transaction);

    if (how.times == 0) shop.clear_faults(paid.account);
    if (how.end == kUnknown) return check_undecided(shop, attempt, id);
    shop.wait_until_settled(paid.account);
    const auto end = perform(shop, attempt);
    ASSERT_TRUE(end.ok()) << end;
    EXPECT_EQ(end->transaction.transaction_id(), id);
    EXPECT_EQ(end->transaction.status(), how.end) << end;
    EXPECT_EQ(perform(shop, attempt)->transaction.SerializeAsString(),
              end->transaction.SerializeAsString());
    expect_equal_books(shop, paid);
    if (how.end == kFailed) {
      // What was reserved is free, and a new request is a new attempt.
      Try again = attempt;
      again.request_id = new_uuid();
      const auto moved = perform(shop, again);
      ASSERT_TRUE(moved.ok()) << moved;
      EXPECT_EQ(moved->transaction.status(), kSucceeded) << moved;
      EXPECT_NE(moved->transaction.transaction_id(), id);
      expect_equal_books(shop, paid);
    }
  }

  /// The gateway has nothing and says 5xx for the key, which is no information: the attempt stays
  /// open, is said to be, holds what it reserved, and nobody may decide about it by hand.
  static void check_undecided(const Shop& shop, const Try& attempt, const std::string& id) {
    const Paid& paid = attempt.paid;
    // Until the reconciler has sent the key again at least once: it got the recorded answer.
    const auto synced = shop.send(&Orders::SyncPayments, sync_request(paid));
    EXPECT_TRUE(synced.ok()) << synced;
    expect_equal_books(shop, paid, true);
    const pb::Payment payment = payment_of(shop.get(paid.order_id));
    expect_invariant(payment);
    ASSERT_EQ(payment.open_transactions_size(), 1) << payment.ShortDebugString();
    EXPECT_EQ(payment.open_transactions(0).transaction_id(), id);
    EXPECT_EQ(payment.open_transactions(0).status(), kUnknown);
    bool listed = false;
    for (const auto& unresolved : shop.unresolved(paid.account)) {
      if (unresolved.payment().payment_id() != paid.payment_id) continue;
      listed = true;
      EXPECT_EQ(unresolved.order_id(), paid.order_id);
      EXPECT_TRUE(unresolved.has_since_time());
      EXPECT_TRUE(unresolved.has_next_check_time());
    }
    EXPECT_TRUE(listed);
    pb::ResolveTransactionRequest resolve;
    resolve.set_order_id(paid.order_id);
    resolve.set_transaction_id(id);
    resolve.set_status(kSucceeded);
    resolve.set_reason("somebody guesses");
    const auto resolved = shop.send(&Orders::ResolveTransaction, resolve);
    EXPECT_EQ(resolved.code, grpc::StatusCode::FAILED_PRECONDITION) << resolved;
    EXPECT_EQ(resolved.reason, "GATEWAY_CAN_TELL") << resolved;
  }

  const Folder folder_;
};
ORDERD_ON_BOTH_DATABASES(FaultMatrix);

TEST_P(FaultMatrix, EveryAnswerIsHonestAndTheBooksAgreeInTheEnd) {
  Server server = start();
  const Shop& shop = server.shop();
  std::vector<std::future<void>> cells;
  for (const Misbehaviour& how : kMisbehaviours) {
    for (const Operation operation : kOperations) {
      cells.push_back(std::async(std::launch::async, [&, operation] {
        run_cell(shop, how, operation, true);
        run_cell(shop, how, operation, false);
      }));
    }
  }
  for (auto& cell : cells) cell.get();
  EXPECT_EQ(server.process().terminate(), 0);
}

/// Accepted, and failed afterwards: said at once to be pending, then known with the next reading;
/// somebody is called, and the money can be refunded again.
TEST_P(FaultMatrix, ARefundThatFailsLaterCanBeMadeAgain) {
  const Server server = start();
  const Shop& shop = server.shop();
  for (const bool hurried : {true, false}) {
    SCOPED_TRACE(hurried ? "hurried" : "patient");
    const Try attempt = prepare(shop, "pending", Operation::kRefund);
    const Paid& paid = attempt.paid;
    sandbox::Fault fault;
    fault.set_operation(sandbox::OPERATION_REFUND);
    fault.set_kind(sandbox::FAULT_KIND_PENDING_REFUND);
    fault.set_times(1);
    shop.fault(paid.account, fault);
    const auto answer = perform(shop, attempt, hurried ? kHurry : kPatience);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_EQ(answer->transaction.status(), pb::TRANSACTION_STATUS_PENDING) << answer;
    EXPECT_FALSE(answer->transaction.gateway_transaction_id().empty());
    expect_invariant(payment_of(answer->order));
    expect_equal_books(shop, paid);
    // It holds what it asks for.
    const auto more = shop.send(&Orders::RefundPayment, refund_request(paid, 3'501));
    EXPECT_EQ(more.reason, "AMOUNT_TOO_LARGE") << more;
    EXPECT_EQ(more.number("max_refundable_minor"), 3'500) << more;

    sandbox::PaymentEvent event;
    auto* settle = event.mutable_settle_refund();
    settle->set_gateway_transaction_id(answer->transaction.gateway_transaction_id());
    settle->set_fail_reason("ACCOUNT_CLOSED");
    EXPECT_TRUE(shop.simulate(paid.account, paid.reference, event).ok());
    const auto synced = shop.call(&Orders::SyncPayments, sync_request(paid));
    EXPECT_TRUE(synced.changed());
    const auto end = perform(shop, attempt);
    EXPECT_EQ(end->transaction.status(), kFailed) << end;
    EXPECT_EQ(end->transaction.reason(), "ACCOUNT_CLOSED") << end;
    EXPECT_EQ(end->transaction.transaction_id(), answer->transaction.transaction_id());
    EXPECT_TRUE(payment_of(end->order).attention()) << end->order.ShortDebugString();
    EXPECT_EQ(payment_of(end->order).refundable().amount_minor(), 6'000);
    std::set<std::string> unresolved;
    for (const auto& it : shop.unresolved("pending")) unresolved.insert(it.order_id());
    EXPECT_TRUE(unresolved.contains(paid.order_id)) << "nobody would look at it";
    expect_equal_books(shop, paid);

    Try again = attempt;
    again.request_id = new_uuid();
    const auto refunded = perform(shop, again);
    ASSERT_TRUE(refunded.ok()) << refunded;
    EXPECT_EQ(refunded->transaction.status(), kSucceeded) << refunded;
    expect_equal_books(shop, paid);
  }
}

/// As above, but final when the order has booked it as done.
TEST_P(FaultMatrix, ARefundThatIsPendingSucceedsWithTheNextReading) {
  const Server server = start();
  const Shop& shop = server.shop();
  const Try attempt = prepare(shop, "pending", Operation::kRefund);
  sandbox::Fault fault;
  fault.set_operation(sandbox::OPERATION_REFUND);
  fault.set_kind(sandbox::FAULT_KIND_PENDING_REFUND);
  fault.set_times(1);
  shop.fault("pending", fault);
  const auto answer = perform(shop, attempt);
  ASSERT_EQ(answer->transaction.status(), pb::TRANSACTION_STATUS_PENDING) << answer;
  sandbox::PaymentEvent event;
  event.mutable_settle_refund()->set_gateway_transaction_id(
      answer->transaction.gateway_transaction_id());
  EXPECT_TRUE(shop.simulate("pending", attempt.paid.reference, event).ok());
  shop.call(&Orders::SyncPayments, sync_request(attempt.paid));
  const auto end = perform(shop, attempt);
  EXPECT_EQ(end->transaction.status(), kSucceeded) << end;
  EXPECT_EQ(payment_of(end->order).refunded().amount_minor(), 2'500);
  EXPECT_FALSE(payment_of(end->order).attention());
  expect_equal_books(shop, attempt.paid);
  shop.wait_until_settled("pending");
}

/// A gateway that can't be read fails the sync, and nothing is written.
TEST_P(FaultMatrix, ASyncWithoutAReadingChangesNothing) {
  const Server server = start();
  const Shop& shop = server.shop();
  const Paid paid = make_paid_order(shop, "pending", 10'000);
  sandbox::PaymentEvent event;
  event.mutable_capture()->set_amount_minor(1'000);
  ASSERT_TRUE(shop.simulate(paid.account, paid.reference, event).ok());
  const std::string before = shop.get(paid.order_id).SerializeAsString();
  for (const auto kind : {sandbox::FAULT_KIND_REFUSE, sandbox::FAULT_KIND_DROP_ANSWER,
                          sandbox::FAULT_KIND_NOT_EXECUTED, sandbox::FAULT_KIND_SERVER_ERROR}) {
    SCOPED_TRACE(sandbox::FaultKind_Name(kind));
    sandbox::Fault fault;
    fault.set_operation(sandbox::OPERATION_FETCH);
    fault.set_kind(kind);
    if (kind == sandbox::FAULT_KIND_REFUSE) fault.set_reason("FORBIDDEN");
    fault.set_times(0);
    shop.fault(paid.account, fault);
    const auto synced = shop.send(&Orders::SyncPayments, sync_request(paid));
    EXPECT_EQ(synced.code, grpc::StatusCode::UNAVAILABLE) << synced;
    EXPECT_EQ(synced.reason, "GATEWAY_UNAVAILABLE") << synced;
    EXPECT_EQ(shop.get(paid.order_id).SerializeAsString(), before);
    shop.clear_faults(paid.account);
  }
  const auto synced = shop.call(&Orders::SyncPayments, sync_request(paid));
  EXPECT_TRUE(synced.changed());
  ASSERT_EQ(synced.differences_size(), 1);
  ASSERT_EQ(synced.differences(0).transactions_size(), 1);
  EXPECT_TRUE(synced.differences(0).transactions(0).foreign());
  EXPECT_FALSE(shop.call(&Orders::SyncPayments, sync_request(paid)).changed());
  expect_equal_books(shop, paid);
}

}  // namespace
}  // namespace orderd::test
