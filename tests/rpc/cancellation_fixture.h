#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/payments/reconciler.h"
#include "tests/rpc/payments_fixture.h"

// What the tests of cancellations and of the e-mails that they write share.

namespace orderd::test {

/// The sums of a report.
MATCHER_P4(HasSums, refunded, reversed, pending, outstanding, "") {
  *result_listener << arg.ShortDebugString();
  return arg.refunded().amount_minor() == refunded && arg.reversed().amount_minor() == reversed &&
         arg.pending().amount_minor() == pending && arg.outstanding().amount_minor() == outstanding;
}

inline std::vector<pb::CancellationLeg> legs_of(const pb::CancellationReport& report) {
  std::vector<pb::CancellationLeg> legs;
  for (const auto& payment : report.payments()) {
    legs.insert(legs.end(), payment.legs().begin(), payment.legs().end());
  }
  return legs;
}

/// As `payment_action`; for CHANGE_STATE that of the state.
inline pb::AvailableAction action_of(const pb::Order& order, pb::ActionKind kind,
                                     const std::string& state_id = "") {
  for (const auto& action : order.available_actions()) {
    if (action.kind() == kind && action.state_id() == state_id) return action;
  }
  ADD_FAILURE() << "no action " << pb::ActionKind_Name(kind) << " " << state_id;
  return {};
}

/// A server with the accounts "shop" and "other", both sandboxes, that sends e-mails.
class CancellationRpcTest : public PaymentsRpcTest {
 protected:
  static constexpr auto kInProgress = pb::CANCELLATION_STATUS_IN_PROGRESS;
  static constexpr auto kCompleted = pb::CANCELLATION_STATUS_COMPLETED;
  static constexpr auto kCancellationFailed = pb::CANCELLATION_STATUS_FAILED;
  static constexpr auto kNone = pb::CANCELLATION_STATUS_NONE;

  CancellationRpcTest() {
    processor_options_.mailing = {.configured = true, .domain = "shop.example"};
    // An attempt without an answer is its sender's for so long, and then the reconciler's.
    processor_options_.call_timeout = std::chrono::seconds(3);
    processor_options_.lease_margin = std::chrono::milliseconds(0);
  }
  void TearDown() override {
    other_->clear_faults();
    EXPECT_THAT(other_->ledger().violations(), testing::IsEmpty());
    PaymentsRpcTest::TearDown();
  }
  void add_accounts(payments::Accounts& accounts) override {
    PaymentsRpcTest::add_accounts(accounts);
    auto sandbox = std::make_unique<Sandbox>(directory_ + "/other", wall_clock);
    other_ = sandbox.get();
    accounts.add("other", std::move(sandbox));
  }

  static pb::CancelOrderRequest cancellation(const std::string& order_id) {
    pb::CancelOrderRequest request;
    request.set_order_id(order_id);
    request.set_reason("changed their mind");
    return request;
  }
  pb::CancelOrderResponse cancel(const std::string& order_id) {
    return cancel(cancellation(order_id));
  }
  pb::CancelOrderResponse cancel(const pb::CancelOrderRequest& request) {
    const auto response = call(&Orders::CancelOrder, request);
    EXPECT_EQ(response.report().status(), response.order().cancellation().status());
    return response;
  }
  /// From a caller who waits for so long.
  pb::CancelOrderResponse cancel_within(const pb::CancelOrderRequest& request,
                                        std::chrono::milliseconds time) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + time);
    pb::CancelOrderResponse response;
    const grpc::Status status = orders_->CancelOrder(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static pb::AbandonCancellationRequest abandonment(const std::string& order_id) {
    pb::AbandonCancellationRequest request;
    request.set_order_id(order_id);
    request.set_reason("the customer wants it after all");
    return request;
  }

  /// A payment of "other", authorized.
  Paid attach_other(const std::string& order_id, std::int64_t amount_minor) {
    const auto reference =
        other_->ledger().authorize({.currency_code = "EUR", .amount_minor = amount_minor});
    const Paid paid = attach(order_id, new_payment(reference.value_or(""), "other"));
    call(&Orders::SyncPayments, sync(paid));
    return paid;
  }
  static pb::NewPayment cash(const std::string& reference, std::int64_t captured_minor) {
    pb::NewPayment payment = new_payment(reference, "external");
    *payment.mutable_captured() = eur(captured_minor);
    return payment;
  }

  /// From now on, or for `times` calls, this befalls every call of the operation to "shop".
  void fault(Operation operation, FaultKind kind, const std::string& reason = "",
             std::optional<int> times = std::nullopt) {
    sandbox_->add_fault(operation, {.kind = kind, .reason = reason, .times = times});
  }
  void gateway_goes_down() {
    for (const auto operation : {Operation::kFetch, Operation::kVoid, Operation::kRefund}) {
      fault(operation, FaultKind::kNotExecuted);
    }
  }

  /// What the reconciler does in a while, with nobody asking for it: until the cancellation has
  /// come to an end of some kind.
  pb::Order reconcile(const std::string& order_id) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    pb::Order order = get(order_id);
    while (order.cancellation().status() == kInProgress &&
           std::chrono::steady_clock::now() < give_up) {
      RawDatabase raw(url());
      raw.session().execute(raw.session().sql() << "UPDATE payment_schedule SET next_check = 1");
      payments::Reconciler reconciler(*storage_, parts_->processor, {});
      reconciler.pass();
      reconciler.stop();
      order = get(order_id);
    }
    EXPECT_NE(order.cancellation().status(), kInProgress) << order.cancellation().DebugString();
    return order;
  }

  /// Of what the cancellation says about itself, in the order in which it did.
  std::vector<pb::CancellationStatus> steps(const std::string& order_id) {
    std::vector<pb::CancellationStatus> steps;
    for (const auto& event : events({order_id, "", ""})) {
      if (!event.has_cancellation_changed()) continue;
      const auto status = event.cancellation_changed().after().status();
      if (steps.empty() || steps.back() != status) steps.push_back(status);
    }
    return steps;
  }

  std::vector<pb::Email> emails(const std::string& order_id) {
    pb::ListEmailsRequest request;
    request.set_order_id(order_id);
    const auto listed = call(&Orders::ListEmails, request);
    EXPECT_EQ(listed.next_page_token(), "");
    return {listed.emails().begin(), listed.emails().end()};
  }

  Sandbox* other_ = nullptr;
};

}  // namespace orderd::test
