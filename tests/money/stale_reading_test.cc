#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/money/money.h"

namespace orderd::test {
namespace {

using google::protobuf::util::TimeUtil;

/// Readings and attempts that overtake each other.
class StaleReading : public DatabaseTest {
 protected:
  StaleReading() {
    Server::Options options;
    options.gateways = {folder_.gateway("shop")};
    // Nothing runs into it: what is held up is let go.
    options.gateway_timeout = "50";
    options.reconcile_interval = "3600";
    server_ = std::make_unique<Server>(url(), options);
  }
  const Shop& shop() const { return server_->shop(); }

  static sandbox::Fault hold(sandbox::Operation operation) {
    sandbox::Fault fault;
    fault.set_operation(operation);
    fault.set_kind(sandbox::FAULT_KIND_DELAY);
    *fault.mutable_delay() = TimeUtil::SecondsToDuration(40);
    fault.set_times(1);
    return fault;
  }

  /// Returns when the call has come that the fault of `hold` meets: then the fault is no longer in
  /// force. It is asked by adding another one, behind it, which makes no difference.
  void wait_until_held(sandbox::Operation operation) {
    wait_until("the gateway has been called", [&] {
      sandbox::AddFaultRequest request;
      request.set_gateway_account("shop");
      auto* harmless = request.mutable_fault();
      harmless->set_operation(operation);
      harmless->set_kind(sandbox::FAULT_KIND_DELAY);
      *harmless->mutable_delay() = TimeUtil::MicrosecondsToDuration(1);
      harmless->set_times(1);
      const auto added = shop().call(&Gateways::AddFault, request);
      return added.faults_size() > 0 && added.faults(0).delay().seconds() == 0;
    });
  }

  /// Lets what is held up go on.
  void let_go(sandbox::Operation operation) {
    sandbox::ClearFaultsRequest request;
    request.set_gateway_account("shop");
    request.set_operation(operation);
    shop().call(&Gateways::ClearFaults, request);
  }

  std::future<Reply<pb::SyncPaymentsResponse>> sync(const Paid& paid, bool validate_only = false) {
    return std::async(std::launch::async, [this, paid, validate_only] {
      auto request = sync_request(paid);
      request.set_validate_only(validate_only);
      return shop().send(&Orders::SyncPayments, request);
    });
  }

  /// How many transactions of a kind the order has.
  int count(const Paid& paid, pb::TransactionKind kind) {
    int found = 0;
    for (const auto& it : shop().transactions(paid.order_id)) found += it.kind() == kind;
    return found;
  }

  const Folder folder_;
  std::unique_ptr<Server> server_;
};
ORDERD_ON_BOTH_DATABASES(StaleReading);

TEST_P(StaleReading, DoesNotTakeBackACaptureThatWasMadeMeanwhile) {
  const Paid paid = make_paid_order(shop(), "shop", 10'000);
  shop().fault("shop", hold(sandbox::OPERATION_FETCH));
  auto syncing = sync(paid);
  wait_until_held(sandbox::OPERATION_FETCH);
  const auto captured = shop().call(&Orders::CapturePayment, capture_request(paid, 4'000));
  EXPECT_EQ(captured.transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  let_go(sandbox::OPERATION_FETCH);
  const auto synced = syncing.get();
  ASSERT_TRUE(synced.ok()) << synced;
  // Read again, it told nothing new; at most the time or id of what is known.
  EXPECT_EQ(payment_of(synced->order()).captured().amount_minor(), 4'000) << synced;
  EXPECT_FALSE(payment_of(synced->order()).discrepancy());
  EXPECT_EQ(count(paid, pb::TRANSACTION_KIND_CAPTURE), 1);
  EXPECT_EQ(count(paid, pb::TRANSACTION_KIND_ADJUSTMENT), 0);
  expect_equal_books(shop(), paid);
  EXPECT_FALSE(shop().call(&Orders::SyncPayments, sync_request(paid)).changed());
}

/// The gateway has applied the capture, but its answer is held up while a sync reads it there.
TEST_P(StaleReading, OfACaptureUnderWaySettlesItAndItsAnswerCountsNothingMore) {
  for (const bool lookup : {true, false}) {
    SCOPED_TRACE(lookup ? "with attempt ids" : "without attempt ids");
    auto capabilities = all_capabilities();
    capabilities.set_lookup_by_attempt(lookup);
    const Paid paid = make_paid_order(shop(), "shop", 10'000, capabilities);
    sandbox::Fault drop;
    drop.set_operation(sandbox::OPERATION_CAPTURE);
    drop.set_kind(sandbox::FAULT_KIND_DROP_ANSWER);
    drop.set_times(1);
    shop().fault("shop", drop);
    auto request = capture_request(paid, 4'000);
    const auto captured = shop().call(&Orders::CapturePayment, request);
    EXPECT_EQ(captured.transaction().status(), pb::TRANSACTION_STATUS_UNKNOWN);

    // First only asked: nothing is written.
    const std::string before = shop().get(paid.order_id).SerializeAsString();
    const auto asked = sync(paid, true).get();
    ASSERT_TRUE(asked.ok()) << asked;
    ASSERT_EQ(asked->differences_size(), 1) << asked;
    EXPECT_EQ(shop().get(paid.order_id).SerializeAsString(), before);

    const auto synced = sync(paid).get();
    ASSERT_TRUE(synced.ok()) << synced;
    EXPECT_TRUE(synced->changed());
    ASSERT_EQ(synced->differences_size(), 1);
    ASSERT_EQ(synced->differences(0).transactions_size(), 1) << synced;
    const auto& settled = synced->differences(0).transactions(0);
    EXPECT_EQ(settled.transaction_id(), captured.transaction().transaction_id());
    EXPECT_EQ(settled.status(), pb::TRANSACTION_STATUS_SUCCEEDED);
    EXPECT_FALSE(settled.foreign());
    EXPECT_EQ(payment_of(synced->order()).captured().amount_minor(), 4'000);
    EXPECT_EQ(count(paid, pb::TRANSACTION_KIND_CAPTURE), 1);
    const auto replay = shop().call(&Orders::CapturePayment, request);
    EXPECT_TRUE(replay.replayed());
    EXPECT_EQ(replay.transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED);
    expect_equal_books(shop(), paid);
    EXPECT_FALSE(shop().call(&Orders::SyncPayments, sync_request(paid)).changed());
  }
}

/// A capture that has not reached the gateway yet is not taken for one that failed.
TEST_P(StaleReading, DoesNotEndACaptureThatIsStillOnItsWay) {
  const Paid paid = make_paid_order(shop(), "shop", 10'000);
  shop().fault("shop", hold(sandbox::OPERATION_CAPTURE));
  const auto request = capture_request(paid, 4'000);
  auto capturing =
      std::async(std::launch::async, [&] { return shop().send(&Orders::CapturePayment, request); });
  wait_until_held(sandbox::OPERATION_CAPTURE);
  // The replay does not wait for the first call and does not call the gateway.
  const auto replay = shop().call(&Orders::CapturePayment, request);
  EXPECT_TRUE(replay.replayed());
  EXPECT_EQ(replay.transaction().status(), pb::TRANSACTION_STATUS_UNKNOWN);
  const auto synced = sync(paid).get();
  ASSERT_TRUE(synced.ok()) << synced;
  EXPECT_EQ(payment_of(synced->order()).open_transactions_size(), 1);
  EXPECT_EQ(payment_of(synced->order()).capturable().amount_minor(), 6'000);
  let_go(sandbox::OPERATION_CAPTURE);
  const auto captured = capturing.get();
  ASSERT_TRUE(captured.ok()) << captured;
  EXPECT_EQ(captured->transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED) << captured;
  EXPECT_EQ(captured->transaction().transaction_id(), replay.transaction().transaction_id());
  expect_equal_books(shop(), paid);
}

/// The same request at the same moment is one attempt.
TEST_P(StaleReading, TheSameRequestManyTimesAtOnceIsOneAttempt) {
  const Paid paid = make_paid_order(shop(), "shop", 10'000);
  const auto request = capture_request(paid, 1'000);
  std::vector<std::future<Reply<pb::CapturePaymentResponse>>> calls;
  for (int i = 0; i < 16; ++i) {
    calls.push_back(std::async(std::launch::async,
                               [&] { return shop().send(&Orders::CapturePayment, request); }));
  }
  std::string id;
  int replayed = 0;
  for (auto& call : calls) {
    const auto answer = call.get();
    ASSERT_TRUE(answer.ok()) << answer;
    if (id.empty()) id = answer->transaction().transaction_id();
    EXPECT_EQ(answer->transaction().transaction_id(), id);
    replayed += answer->replayed();
  }
  EXPECT_EQ(replayed, 15);
  EXPECT_EQ(shop().ledger("shop", paid.reference).captured_minor(), 1'000);
  expect_equal_books(shop(), paid);
}

}  // namespace
}  // namespace orderd::test
