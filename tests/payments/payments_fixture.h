#pragma once

#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/payments/external.h"
#include "server/payments/processor.h"
#include "tests/engine/engine_fixture.h"
#include "tests/payments/fake_gateway.h"

// A server without its RPC layer that moves money at a gateway that does what the test says, and
// the commands that the RPC layer would hand to it.

namespace orderd::test {

inline const std::string kAccount = "acme";

inline pb::Money euro(std::int64_t minor) {
  pb::Money money;
  money.set_currency_code("EUR");
  money.set_amount_minor(minor);
  return money;
}

inline payments::Deadline in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

/// Several on one database and one gateway are several servers.
struct MoneyServer {
  MoneyServer(std::shared_ptr<storage::Storage> storage, std::shared_ptr<FakeGateway> gateway,
              const payments::Processor::Options& options = {},
              const payments::Accounts::Limits& limits = {})
      : server(std::move(storage)),
        reader(*server.storage, server.cache, {}),
        accounts(limits),
        processor(server.engine, reader, accounts, timers, options) {
    accounts.add(kAccount, std::make_unique<FakeGatewayDoor>(std::move(gateway)));
    accounts.add("external",
                 std::make_unique<payments::External>([] { return 1'790'000'000'000'000; }));
  }
  ~MoneyServer() {
    processor.stop();
    timers.stop();
    timer_thread.join();
  }

  /// The payment's id.
  std::string add_payment(const Uuid& order, const std::string& reference,
                          const std::string& account = kAccount) {
    const auto answer = server.call(add_payment_command(order, reference, account));
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->outcome.payment_id() : "";
  }
  Command add_payment_command(const Uuid& order, const std::string& reference,
                              const std::string& account = kAccount) {
    pb::AddPaymentRequest request;
    request.set_order_id(order.to_string());
    request.mutable_payment()->set_gateway_account(account);
    request.mutable_payment()->set_gateway_reference(reference);
    if (account == "external") *request.mutable_payment()->mutable_authorized() = euro(1000);
    Command command = command_for("AddPayment", request);
    command.claims = rules::payment_claims(request.payment());
    command.rule = [request, id = Uuid::generate(), this](const rules::Target& target,
                                                          const rules::Context& context) {
      return rules::add_payment(request, id, accounts, target, context);
    };
    return command;
  }

  template <typename Request, typename Rule>
  Command attempt_command(std::string_view method, const Request& request, Rule rule) {
    Command command = command_for(method, request);
    command.keep_request = true;
    command.validate_only = request.validate_only();
    command.rule = [request, rule, id = Uuid::generate(), lease = processor.lease(), this](
                       const rules::Target& target, const rules::Context& context) {
      return rule(request, {id, request.request_id(), lease, &accounts}, target, context);
    };
    return command;
  }
  Command command(const pb::CapturePaymentRequest& request) {
    return attempt_command("CapturePayment", request, rules::capture_payment);
  }
  Command command(const pb::VoidPaymentRequest& request) {
    return attempt_command("VoidPayment", request, rules::void_payment);
  }
  Command command(const pb::RefundPaymentRequest& request) {
    return attempt_command("RefundPayment", request, rules::refund_payment);
  }

  template <typename Request>
  std::future<AnswerOr> send(const Request& request, payments::Deadline deadline = in(kPatience)) {
    Command sent = command(request);
    std::future<AnswerOr> answer = Server::expect(sent);
    processor.attempt(std::move(sent), request.payment_id(), deadline);
    return answer;
  }
  template <typename Request>
  AnswerOr call(const Request& request, payments::Deadline deadline = in(kPatience)) {
    return get(send(request, deadline));
  }

  std::future<AnswerOr> send_sync(const pb::SyncPaymentsRequest& request,
                                  payments::Deadline deadline = in(kPatience)) {
    Command sent = command_for("SyncPayments", request);
    sent.validate_only = request.validate_only();
    std::future<AnswerOr> answer = Server::expect(sent);
    processor.sync(std::move(sent), request.payment_id(), deadline);
    return answer;
  }
  AnswerOr sync(const Uuid& order) {
    pb::SyncPaymentsRequest request;
    request.set_order_id(order.to_string());
    return get(send_sync(request));
  }

  pb::Payment payment(const Uuid& order, int n = 0) {
    return server.stored(order)->order->payments(n);
  }
  std::vector<pb::PaymentTransaction> ledger(const Uuid& order) {
    return server.storage->begin_read(storage::Clock::now() + kPatience)
        ->list_transactions(order, "", std::nullopt, 1000);
  }
  /// Those of the ledger that this service tried.
  std::vector<pb::PaymentTransaction> attempts(const Uuid& order) {
    std::vector<pb::PaymentTransaction> own;
    for (auto& transaction : ledger(order)) {
      if (!transaction.foreign() && transaction.released_by().empty()) own.push_back(transaction);
    }
    return own;
  }

  Server server;
  engine::Reader reader;
  boost::asio::io_context timers;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      timers.get_executor()};
  payments::Accounts accounts;
  payments::Processor processor;
  std::thread timer_thread{[this] { timers.run(); }};
};

template <typename Request>
Request request_for(const Uuid& order, const std::string& payment_id, std::int64_t minor = 0,
                    const std::string& request_id = {}) {
  Request request;
  request.set_order_id(order.to_string());
  request.set_payment_id(payment_id);
  request.set_request_id(request_id);
  if constexpr (requires { request.mutable_amount(); }) {
    if (minor > 0) *request.mutable_amount() = euro(minor);
  }
  return request;
}

inline payments::CallResult result(payments::CallResult::Kind kind, const std::string& reason = {},
                                   const std::string& gateway_id = {}) {
  payments::CallResult result;
  result.kind = kind;
  result.reason = reason;
  result.gateway_transaction_id = gateway_id;
  return result;
}

inline std::string new_request_id() { return Uuid::generate().to_string(); }

/// One server on SQLite.
class ProcessorTest : public testing::Test {
 protected:
  struct Paid {
    Uuid order;
    std::string payment;
    std::string reference;
  };

  explicit ProcessorTest(const payments::Accounts::Limits& limits = {}) {
    // Failures are a subject of most tests; the circuit breaker is one of accounts_test.
    payments::Accounts::Limits patient = limits;
    patient.failures = 1'000'000;
    node_ =
        std::make_unique<MoneyServer>(storage_, gateway_, payments::Processor::Options{}, patient);
  }

  /// An order with a payment that is authorized at the gateway and has not been read.
  Paid pay(std::int64_t authorized = 1000, std::int64_t captured = 0) {
    Paid paid;
    paid.reference = "ref-" + std::to_string(++references_);
    gateway_->authorize(paid.reference, authorized);
    if (captured > 0) gateway_->move(paid.reference, pb::TRANSACTION_KIND_CAPTURE, captured);
    paid.order = make_order(node_->server);
    paid.payment = node_->add_payment(paid.order, paid.reference);
    return paid;
  }

  static pb::CapturePaymentRequest capture(const Paid& paid, std::int64_t minor = 0,
                                           const std::string& request_id = {}) {
    return request_for<pb::CapturePaymentRequest>(paid.order, paid.payment, minor, request_id);
  }

  AnswerOr operate(pb::TransactionKind kind, const Paid& paid) {
    switch (kind) {
      case pb::TRANSACTION_KIND_CAPTURE:
        return node_->call(capture(paid, 300));
      case pb::TRANSACTION_KIND_VOID:
        return node_->call(request_for<pb::VoidPaymentRequest>(paid.order, paid.payment));
      default:
        return node_->call(request_for<pb::RefundPaymentRequest>(paid.order, paid.payment, 100));
    }
  }

  TestDatabase database_ = TestDatabase::sqlite();
  std::shared_ptr<storage::Storage> storage_ = storage::open(database_.url(), {});
  std::shared_ptr<FakeGateway> gateway_ = std::make_shared<FakeGateway>();
  std::unique_ptr<MoneyServer> node_;
  int references_ = 0;
};

}  // namespace orderd::test
