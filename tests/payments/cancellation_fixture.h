#pragma once

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/orders/cancellation.h"
#include "server/payments/reconciler.h"
#include "server/payments/sender.h"
#include "tests/payments/payments_fixture.h"

// What the tests of cancellations share: orders whose money is at the fake gateway, the call, the
// single steps of a cancellation as a server that dies after them leaves them, and visits of the
// reconciler's.

namespace orderd::test {

inline constexpr auto kCapture = pb::TRANSACTION_KIND_CAPTURE;
inline constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
inline constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
inline constexpr auto kInProgress = pb::CANCELLATION_STATUS_IN_PROGRESS;
inline constexpr auto kFailed = pb::CANCELLATION_STATUS_FAILED;
inline constexpr auto kCompleted = pb::CANCELLATION_STATUS_COMPLETED;

inline pb::CancelOrderRequest cancel_request(const Uuid& order,
                                             const std::string& request_id = {}) {
  pb::CancelOrderRequest request;
  request.set_order_id(order.to_string());
  request.set_request_id(request_id);
  request.set_reason("changed my mind");
  return request;
}

/// `wait`: how much longer than the gateway may take an attempt belongs to its sender.
inline payments::Processor::Options with_mail(
    std::chrono::milliseconds wait = std::chrono::seconds(5)) {
  payments::Processor::Options options;
  options.lease_margin = wait;
  options.mailing = {.configured = true, .domain = "shop.example"};
  return options;
}

/// No attempt belongs to its sender for any time: its sender died long ago.
inline payments::Processor::Options without_lease() {
  return with_mail(-payments::Processor::Options().call_timeout);
}

/// The circuit breaker is a subject of accounts_test.
inline payments::Accounts::Limits patient() { return {.failures = 1'000'000}; }

/// A gate that does not stay shut when a test fails.
class ScopedGate {
 public:
  ~ScopedGate() { gate_->open(); }
  const std::shared_ptr<Gate>& operator*() const { return gate_; }
  Gate* operator->() const { return gate_.get(); }

 private:
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

template <class Base>
class CancellationTestOn : public OnDatabase<Base> {
 protected:
  /// An order, its payments and where they are at the gateway.
  struct Paid {
    Uuid order;
    std::vector<std::string> payments;
    std::vector<std::string> references;
  };
  /// What the customer has paid: authorized, and captured of it.
  struct Money {
    std::int64_t authorized = 1000;
    std::int64_t captured = 0;
  };

  std::unique_ptr<MoneyServer> serve(const payments::Processor::Options& options = with_mail(),
                                     const payments::Accounts::Limits& limits = patient()) {
    return std::make_unique<MoneyServer>(storage_, gateway_, options, limits);
  }

  /// An order with payments that have been synced.
  Paid pay(MoneyServer& node, const std::vector<Money>& payments = {Money{}}) {
    Paid paid = attach(node, payments);
    const AnswerOr synced = node.sync(paid.order);
    EXPECT_TRUE(synced.ok()) << synced.status();
    return paid;
  }
  /// An order with payments of which nobody has asked the gateway.
  Paid attach(MoneyServer& node, const std::vector<Money>& payments = {Money{}}) {
    pb::CreateOrderRequest request = new_order();
    request.mutable_order()->mutable_customer()->set_email("jane@example.com");
    const AnswerOr created = node.server.call(create(request));
    EXPECT_TRUE(created.ok()) << created.status();
    Paid paid;
    paid.order = created->order_id;
    for (const Money& money : payments) {
      paid.references.push_back("ref-" + std::to_string(++references_));
      gateway_->authorize(paid.references.back(), money.authorized);
      if (money.captured > 0) gateway_->move(paid.references.back(), kCapture, money.captured);
      paid.payments.push_back(node.add_payment(paid.order, paid.references.back()));
    }
    return paid;
  }

  static Command cancel_command(MoneyServer& node, const pb::CancelOrderRequest& request) {
    Command command = command_for("CancelOrder", request);
    command.keep_request = true;
    command.validate_only = request.validate_only();
    command.rule = [request, ids = Uuid::generate(), &node](const rules::Target& target,
                                                            const rules::Context& context) {
      return rules::begin_cancellation(request,
                                       {.ids = ids,
                                        .request_id = request.request_id(),
                                        .lease = node.processor.lease(),
                                        .gateways = &node.accounts,
                                        .mailing = &node.processor.mailing()},
                                       target, context);
    };
    return command;
  }
  static std::future<AnswerOr> send_cancel(MoneyServer& node, const pb::CancelOrderRequest& request,
                                           payments::Deadline deadline = in(kPatience)) {
    Command command = cancel_command(node, request);
    std::future<AnswerOr> answer = Server::expect(command);
    node.processor.cancel(std::move(command), deadline);
    return answer;
  }
  static AnswerOr cancel(MoneyServer& node, const pb::CancelOrderRequest& request,
                         payments::Deadline deadline = in(kPatience)) {
    return get(send_cancel(node, request, deadline));
  }

  // The steps of a cancellation, one by one: a server that dies does nothing after one of them.

  static void begin(MoneyServer& node, const Paid& paid) {
    const AnswerOr begun = node.server.call(cancel_command(node, cancel_request(paid.order)));
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_EQ(begun->order->order->cancellation().status(), kInProgress);
  }
  /// What it wrote: the legs.
  std::vector<pb::PaymentTransaction> advance(MoneyServer& node, const Paid& paid) {
    const pb::Order order = node.server.stored(paid.order)->order;
    std::vector<rules::PaymentReading> readings;
    for (const pb::Payment& payment : order.payments()) {
      const auto reading = gateway_->fetch({payment.gateway_reference(), "EUR"});
      readings.push_back(
          {payment.payment_id(), payment.revision(), std::get<payments::Reading>(reading)});
    }
    Command command = payments::own_command(paid.order);
    command.wants_ledger = true;
    command.rule = [readings, ids = Uuid::generate(), &node](const rules::Target& target,
                                                             const rules::Context& context) {
      return rules::advance_cancellation(readings,
                                         {.ids = ids,
                                          .request_id = {},
                                          .lease = node.processor.lease(),
                                          .gateways = &node.accounts,
                                          .mailing = &node.processor.mailing()},
                                         target, context);
    };
    const AnswerOr advanced = node.server.call(std::move(command));
    EXPECT_TRUE(advanced.ok()) << advanced.status();
    std::vector<pb::PaymentTransaction> legs;
    for (const pb::Payment& payment : advanced->order->order->payments()) {
      for (const auto& open : payment.open_transactions()) legs.push_back(open);
    }
    return legs;
  }
  /// The call of a leg.
  payments::CallResult call_gateway(const Paid& paid, const pb::PaymentTransaction& leg) {
    const auto n = std::find(paid.payments.begin(), paid.payments.end(), leg.payment_id()) -
                   paid.payments.begin();
    payments::Attempt attempt;
    attempt.attempt_id = attempt.idempotency_key = leg.transaction_id();
    attempt.amount_minor = leg.amount().amount_minor();
    return gateway_->call(leg.kind(), {paid.references.at(static_cast<std::size_t>(n)), "EUR"},
                          attempt);
  }
  static void settle(MoneyServer& node, const Paid& paid, const pb::PaymentTransaction& leg,
                     const payments::CallResult& result) {
    Command command = payments::own_command(paid.order);
    const Uuid id = Uuid::parse(leg.transaction_id()).value();
    command.transaction_id = id;
    command.rule = [=, payment = leg.payment_id()](const rules::Target& target,
                                                   const rules::Context& context) {
      return rules::settle(payment, id, result, target, context);
    };
    ASSERT_TRUE(node.server.call(std::move(command)).ok());
  }

  using Visit = payments::Processor::Visit;
  static std::future<Visit> send_visit(MoneyServer& node, const Paid& paid, int payment = 0) {
    const auto promise = std::make_shared<std::promise<Visit>>();
    node.processor.reconcile(paid.order, paid.payments.at(static_cast<std::size_t>(payment)),
                             in(kPatience), [promise](Visit visit) { promise->set_value(visit); });
    return promise->get_future();
  }
  static Visit visit(MoneyServer& node, const Paid& paid, int payment = 0) {
    return get(send_visit(node, paid, payment));
  }

  static pb::Order stored(MoneyServer& node, const Paid& paid) {
    return node.server.stored(paid.order)->order;
  }
  static pb::CancellationStatus status(MoneyServer& node, const Paid& paid) {
    return stored(node, paid).cancellation().status();
  }
  /// Until the order's cancellation is there; for what nobody answers.
  static void wait_for(MoneyServer& node, const Paid& paid, pb::CancellationStatus wanted) {
    const auto end = in(kPatience);
    while (status(node, paid) != wanted) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  std::vector<pb::Email> emails(MoneyServer& node, const Paid& paid) {
    return node.server.storage->begin_read(storage::Clock::now() + kPatience)
        ->list_emails(paid.order, std::nullopt, std::nullopt, 10);
  }

  std::map<std::string, int> calls_by_key() {
    std::map<std::string, int> counts;
    for (const auto& call : gateway_->calls()) ++counts[call.attempt.idempotency_key];
    return counts;
  }
  void expect_nothing_sent_twice() {
    for (const auto& [key, count] : calls_by_key()) EXPECT_EQ(count, 1) << key;
  }
  std::int64_t moved(const std::string& reference, pb::TransactionKind kind) {
    std::int64_t sum = 0;
    for (const auto& movement : gateway_->movements(reference)) {
      if (movement.kind == kind) sum += movement.amount_minor;
    }
    return sum;
  }
  /// The order is canceled, all of its money went back exactly once, and both books say so.
  void expect_returned(MoneyServer& node, const Paid& paid) {
    const pb::Order order = stored(node, paid);
    EXPECT_EQ(order.cancellation().status(), kCompleted);
    EXPECT_EQ(order.state_id(), "canceled");
    ASSERT_EQ(order.payments_size(), static_cast<int>(paid.references.size()));
    for (int i = 0; i < order.payments_size(); ++i) {
      const pb::Payment& payment = order.payments(i);
      const std::string& reference = payment.gateway_reference();
      SCOPED_TRACE(reference);
      EXPECT_EQ(payment.open_transactions_size(), 0);
      EXPECT_EQ(payment.captured().amount_minor(), moved(reference, kCapture));
      EXPECT_EQ(payment.refunded().amount_minor(), moved(reference, kRefund));
      EXPECT_EQ(payment.voided().amount_minor(), moved(reference, kVoid));
      EXPECT_EQ(payment.refunded().amount_minor(), payment.captured().amount_minor());
      EXPECT_EQ(payment.captured().amount_minor() + payment.voided().amount_minor(),
                payment.authorized().amount_minor());
    }
  }

  std::shared_ptr<storage::Storage> storage_ = this->open();
  std::shared_ptr<FakeGateway> gateway_ = std::make_shared<FakeGateway>();
  int references_ = 0;
};

/// One database is enough for most of it.
class OnSqlite : public testing::Test {
 protected:
  TestDatabase database_ = TestDatabase::sqlite();
};

}  // namespace orderd::test
