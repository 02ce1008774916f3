#pragma once

#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/orders/payments.h"
#include "server/payments/sandbox.h"
#include "storage/wall_clock.h"
#include "tests/engine/raw_database.h"
#include "tests/rpc/rpc_fixture.h"

// What the tests of payments share.

namespace orderd::test {

/// A kind, a status and an amount.
MATCHER_P3(IsTransaction, kind, status, amount_minor, "") {
  *result_listener << arg.ShortDebugString();
  return arg.kind() == kind && arg.status() == status &&
         arg.amount().amount_minor() == amount_minor;
}

/// The sums of a payment.
MATCHER_P4(HasMoney, authorized, captured, refunded, voided, "") {
  *result_listener << arg.ShortDebugString();
  return arg.authorized().amount_minor() == authorized &&
         arg.captured().amount_minor() == captured && arg.refunded().amount_minor() == refunded &&
         arg.voided().amount_minor() == voided;
}

inline const pb::Payment& payment_of(const pb::Order& order, int index = 0) {
  EXPECT_LT(index, order.payments_size());
  return index < order.payments_size() ? order.payments(index) : pb::Payment::default_instance();
}

inline pb::AvailableAction payment_action(const pb::Order& order, pb::ActionKind kind) {
  for (const auto& action : order.available_actions()) {
    if (action.kind() == kind) return action;
  }
  ADD_FAILURE() << "no action " << pb::ActionKind_Name(kind);
  return {};
}

/// A server with the account "shop", which is a sandbox that the test can reach into.
class PaymentsRpcTest : public RpcTest {
 protected:
  static constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
  static constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
  static constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
  static constexpr auto kAuthorization = pb::TRANSACTION_KIND_AUTHORIZATION;
  static constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
  static constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
  static constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;
  static constexpr auto kPending = pb::TRANSACTION_STATUS_PENDING;

  using Sandbox = payments::Sandbox;
  using Operation = Sandbox::Operation;
  using FaultKind = Sandbox::Fault::Kind;

  /// A payment of an order.
  struct Paid {
    std::string order_id;
    std::string payment_id;
    /// At the gateway.
    std::string reference;
  };

  PaymentsRpcTest() {
    std::string name = "/tmp/orderd-payments-XXXXXX";
    directory_ = mkdtemp(name.data());
    // An answer has this long to arrive, also on a machine that is busy.
    processor_options_.answer_margin = std::chrono::seconds(2);
  }
  void TearDown() override {
    EXPECT_THAT(ledger().violations(), testing::IsEmpty());
    sandbox_->clear_faults();  // nobody is held up any more
    RpcTest::TearDown();
    std::filesystem::remove_all(directory_);
  }
  void add_accounts(payments::Accounts& accounts) override {
    auto sandbox = std::make_unique<Sandbox>(directory_ + "/ledger", wall_clock);
    sandbox_ = sandbox.get();
    accounts.add("shop", std::move(sandbox));
  }

  payments::SandboxLedger& ledger() { return sandbox_->ledger(); }
  /// Holds up every call of the operation until the faults are cleared.
  void hold(Operation operation) {
    sandbox_->add_fault(
        operation,
        {.kind = FaultKind::kDelay, .delay = std::chrono::minutes(10), .times = std::nullopt});
  }
  void wait_until_held(int calls = 1) {
    EXPECT_TRUE(sandbox_->wait_until_held(
        calls, std::chrono::steady_clock::now() + std::chrono::seconds(60)));
  }

  std::string authorize(std::int64_t amount_minor, const pb::GatewayCapabilities& capabilities =
                                                       payments::all_capabilities()) {
    const auto reference = ledger().authorize(
        {.currency_code = "EUR", .amount_minor = amount_minor, .capabilities = capabilities});
    EXPECT_TRUE(reference);
    return reference.value_or("");
  }
  static pb::NewPayment new_payment(const std::string& reference,
                                    const std::string& account = "shop") {
    pb::NewPayment payment;
    payment.set_gateway_account(account);
    payment.set_gateway_reference(reference);
    return payment;
  }
  Paid attach(const std::string& order_id, const pb::NewPayment& payment) {
    pb::AddPaymentRequest request;
    request.set_order_id(order_id);
    *request.mutable_payment() = payment;
    const auto added = call(&Orders::AddPayment, request);
    EXPECT_TRUE(added.changed());
    return {order_id, added.payment().payment_id(), payment.gateway_reference()};
  }
  /// A new order with an authorized payment that has been synced.
  Paid authorized(std::int64_t amount_minor,
                  const pb::GatewayCapabilities& capabilities = payments::all_capabilities()) {
    const Paid paid =
        attach(create(new_order()).order_id(), new_payment(authorize(amount_minor, capabilities)));
    call(&Orders::SyncPayments, sync(paid));
    return paid;
  }
  Paid captured(std::int64_t amount_minor,
                const pb::GatewayCapabilities& capabilities = payments::all_capabilities()) {
    const Paid paid = authorized(amount_minor, capabilities);
    call(&Orders::CapturePayment, capture(paid));
    return paid;
  }

  static pb::CapturePaymentRequest capture(const Paid& paid,
                                           std::optional<std::int64_t> amount_minor = {},
                                           bool final_capture = false) {
    auto request = about<pb::CapturePaymentRequest>(paid, amount_minor);
    request.set_final_capture(final_capture);
    return request;
  }
  static pb::RefundPaymentRequest refund(const Paid& paid,
                                         std::optional<std::int64_t> amount_minor = {}) {
    return about<pb::RefundPaymentRequest>(paid, amount_minor);
  }
  static pb::VoidPaymentRequest void_rest(const Paid& paid) {
    return about<pb::VoidPaymentRequest>(paid);
  }
  static pb::SyncPaymentsRequest sync(const Paid& paid) {
    return about<pb::SyncPaymentsRequest>(paid);
  }

  pb::Payment payment(const Paid& paid) {
    const pb::Order order = get(paid.order_id);
    const pb::Payment* found = rules::find_payment(order, paid.payment_id);
    EXPECT_NE(found, nullptr);
    return found == nullptr ? pb::Payment() : *found;
  }
  std::vector<pb::PaymentTransaction> history(const Paid& paid) {
    pb::ListTransactionsRequest request;
    request.set_order_id(paid.order_id);
    request.set_payment_id(paid.payment_id);
    const auto listed = call(&Orders::ListTransactions, request);
    EXPECT_EQ(listed.next_page_token(), "");
    return {listed.transactions().begin(), listed.transactions().end()};
  }
  /// What happened to the order, oldest first.
  std::vector<pb::OrderEvent> events(const Paid& paid) {
    std::vector<pb::OrderEvent> events;
    for (auto& row : RawDatabase(url()).events(Uuid::parse(paid.order_id).value())) {
      events.push_back(std::move(row.event));
    }
    return events;
  }
  /// The order's book of a payment without open transactions, and the gateway's, say the same.
  void expect_books_agree(const Paid& paid) {
    const auto at_gateway = ledger().read(paid.reference);
    ASSERT_TRUE(at_gateway);
    const pb::Payment here = payment(paid);
    EXPECT_THAT(here.open_transactions(), testing::IsEmpty());
    EXPECT_THAT(here, HasMoney(at_gateway->authorized(), at_gateway->captured(),
                               at_gateway->refunded(), at_gateway->voided()));
    EXPECT_EQ(here.status(), at_gateway->status());
  }

  /// Sends a call from another thread.
  template <class Request, class Response>
  std::future<Response> call_async(grpc::Status (Orders::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                                   const Request& request) {
    return std::async(std::launch::async,
                      [this, method, request] { return call(method, request); });
  }

  std::string directory_;
  Sandbox* sandbox_ = nullptr;

 private:
  template <class Request>
  static Request about(const Paid& paid, std::optional<std::int64_t> amount_minor = {}) {
    Request request;
    request.set_order_id(paid.order_id);
    request.set_payment_id(paid.payment_id);
    if constexpr (requires { request.mutable_amount(); }) {
      if (amount_minor) *request.mutable_amount() = eur(*amount_minor);
    }
    return request;
  }
};

}  // namespace orderd::test
