#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <iostream>
#include <random>
#include <thread>

#include "server/payments/sandbox_ledger.h"
#include "storage/wall_clock.h"
#include "tests/money/money.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kClients = 32;

/// Two servers on one MariaDB, and one book.
class Race : public testing::Test {
 protected:
  Server start(const std::vector<std::string>& accounts, const std::string& timeout = "8",
               const std::string& interval = "0.1") {
    Server::Options options;
    for (const std::string& account : accounts) {
      options.gateways.push_back(account + "=sandbox:" + folder_.book("shop"));
    }
    options.gateway_timeout = timeout;
    options.reconcile_interval = interval;
    return Server(database_.url(), options);
  }

  const Folder folder_;
  const TestDatabase database_ = TestDatabase::mariadb();
};

class CaptureRace : public Race {
 protected:
  /// Each client captures random parts, through one server or the other, until nothing is left; and
  /// then each refunds random parts likewise.
  void run(const pb::GatewayCapabilities& capabilities) {
    constexpr std::int64_t kAuthorized = 100'000;
    const std::uint64_t seed = test_seed();
    Server first = start({"shop"}), second = start({"shop"});
    const Shop* servers[] = {&first.shop(), &second.shop()};
    const Paid paid = make_paid_order(first.shop(), "shop", kAuthorized, capabilities);

    std::atomic<std::int64_t> captured = 0, refunded = 0;
    std::atomic<int> busy = 0, refused = 0, moved = 0;
    const auto work = [&](int client, bool refund) {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(client) + (refund ? 1000 : 0));
      std::int64_t most = 6'000;
      for (;;) {
        const Shop& shop = *servers[random() % 2];
        const auto amount =
            1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
        Try attempt{refund ? Operation::kRefund : Operation::kCapture, paid, new_uuid(), amount};
        auto answer = perform(shop, attempt);
        while (answer.reason == "PAYMENT_BUSY") {
          ++busy;
          EXPECT_EQ(answer.code, grpc::StatusCode::ABORTED);
          EXPECT_TRUE(answer.has_retry) << answer;
          std::this_thread::sleep_for(milliseconds(1 + random() % 10));
          answer = perform(shop, attempt);
        }
        if (answer.ok()) {
          ASSERT_EQ(answer->transaction.status(), pb::TRANSACTION_STATUS_SUCCEEDED) << answer;
          EXPECT_EQ(answer->transaction.amount().amount_minor(), amount);
          EXPECT_FALSE(answer->replayed);
          (refund ? refunded : captured) += amount;
          ++moved;
          continue;
        }
        ++refused;
        ASSERT_EQ(answer.code, grpc::StatusCode::FAILED_PRECONDITION) << answer;
        const std::int64_t left =
            answer.number(refund ? "max_refundable_minor" : "max_capturable_minor");
        if (answer.reason == (refund ? "PAYMENT_NOT_REFUNDABLE" : "PAYMENT_NOT_CAPTURABLE")) {
          EXPECT_EQ(left, 0) << answer;
          return;
        }
        ASSERT_EQ(answer.reason, "AMOUNT_TOO_LARGE") << answer;
        ASSERT_GT(left, 0) << answer;
        ASSERT_LT(left, amount) << answer;
        most = left;
      }
    };
    at_once(kClients, [&](int client) { work(client, false); });
    EXPECT_EQ(captured, kAuthorized);
    EXPECT_EQ(first.shop().ledger("shop", paid.reference).captured_minor(), captured);
    expect_equal_books(first.shop(), paid);
    at_once(kClients, [&](int client) { work(client, true); });
    EXPECT_EQ(refunded, kAuthorized);
    EXPECT_EQ(second.shop().ledger("shop", paid.reference).refunded_minor(), refunded);
    for (const Shop* shop : servers) {
      shop->wait_until_settled();
      expect_equal_books(*shop, paid);
      expect_invariant(payment_of(shop->get(paid.order_id)));
    }
    std::cout << moved << " moved, " << refused << " refused, " << busy << " met a busy payment"
              << std::endl;
    EXPECT_GT(refused, 0);
    if (!capabilities.concurrent_operations()) {
      EXPECT_GT(busy, 0);
    }
    EXPECT_EQ(first.process().terminate(), 0);
    EXPECT_EQ(second.process().terminate(), 0);
    check_database(database_.url());
  }
};

TEST_F(CaptureRace, ManyClientsNeverMoveMoreThanThereIs) { run(all_capabilities()); }

TEST_F(CaptureRace, OneOperationAtATimeWhereTheGatewayWantsIt) {
  auto capabilities = all_capabilities();
  capabilities.set_concurrent_operations(false);
  run(capabilities);
}

/// A server died with a thousand calls on their way; of half of them the gateway has heard. Two
/// others find out and send the rest, each attempt once, and nobody has to wait for that.
TEST_F(Race, TwoServersSettleAThousandAttemptsOnceEach) {
  constexpr int kOrders = 1000, kThreads = 16;
  std::vector<std::string> accounts;
  for (int i = 0; i < 8; ++i) accounts.push_back("shop" + std::to_string(i));
  Server first = start(accounts), second = start(accounts);
  const Server* servers[] = {&first, &second};
  // A fault that only counts: how many of so many calls are left.
  constexpr int kMany = 1'000'000;
  const auto count = [&](const Server& server, const std::string& account,
                         sandbox::Operation operation) {
    sandbox::AddFaultRequest request;
    request.set_gateway_account(account);
    auto* fault = request.mutable_fault();
    fault->set_operation(operation);
    fault->set_kind(sandbox::FAULT_KIND_DELAY);
    *fault->mutable_delay() = TimeUtil::MicrosecondsToDuration(1);
    fault->set_times(kMany);
    return kMany - server.shop().call(&Gateways::AddFault, request).faults(0).times();
  };
  // From before there is anything to settle.
  for (const Server* server : servers) {
    for (const std::string& account : accounts) {
      count(*server, account, sandbox::OPERATION_CAPTURE);
      count(*server, account, sandbox::OPERATION_FETCH);
    }
  }

  std::vector<Paid> orders(kOrders);
  pb::Order bystander;
  std::map<std::string, std::string> attempts;  // order id -> attempt id
  {
    // Its attempts are its own for as long as the gateway may take, and some seconds.
    Server dying = start(accounts, "8", "3600");
    at_once(kThreads, [&](int thread) {
      for (int i = thread; i < kOrders; i += kThreads) {
        orders[static_cast<std::size_t>(i)] = make_paid_order(
            dying.shop(), accounts[static_cast<std::size_t>(i) % accounts.size()], 1'000);
      }
    });
    pb::CreateOrderRequest create;
    create.mutable_order();
    bystander = dying.shop().call(&Orders::CreateOrder, create).order();
    for (const std::string& account : accounts) {
      sandbox::Fault hang;
      hang.set_operation(sandbox::OPERATION_CAPTURE);
      hang.set_kind(sandbox::FAULT_KIND_HANG);
      dying.shop().fault(account, hang);
    }
    // Each call waits for a gateway that does not answer, so they are made side by side.
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<pb::CapturePaymentRequest> requests;
    std::vector<pb::CapturePaymentResponse> responses(kOrders);
    std::vector<std::shared_ptr<Orders>> stubs;
    for (int i = 0; i < 20; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs.push_back(pb::OrderService::NewStub(grpc::CreateCustomChannel(
          dying.process().address(), grpc::InsecureChannelCredentials(), arguments)));
    }
    std::atomic<int> ended = 0;
    for (const Paid& paid : orders) requests.push_back(capture_request(paid, 700));
    for (std::size_t i = 0; i < orders.size(); ++i) {
      contexts.push_back(std::make_unique<grpc::ClientContext>());
      stubs[i % stubs.size()]->async()->CapturePayment(
          contexts[i].get(), &requests[i], &responses[i], [&](const grpc::Status&) { ++ended; });
    }
    std::vector<pb::UnresolvedPayment> unresolved;
    wait_until("all attempts are written", [&] {
      unresolved = dying.shop().unresolved();
      return unresolved.size() >= kOrders;
    });
    dying.process().kill();
    wait_until("all calls have ended", [&] { return ended == kOrders; });
    ASSERT_EQ(unresolved.size(), std::size_t{kOrders});
    for (const auto& it : unresolved) {
      ASSERT_EQ(it.payment().open_transactions_size(), 1) << it.ShortDebugString();
      attempts[it.order_id()] = it.payment().open_transactions(0).transaction_id();
    }
    ASSERT_EQ(attempts.size(), std::size_t{kOrders});
  }
  {
    // What was on the wire when the server died arrives.
    payments::SandboxLedger book(folder_.book("shop"), wall_clock);
    for (std::size_t i = 0; i < orders.size(); i += 2) {
      const std::string& id = attempts[orders[i].order_id];
      payments::SandboxLedger::Request request;
      request.operation = payments::MoneyOperation::kCapture;
      request.payment = {orders[i].reference, "USD"};
      request.attempt.attempt_id = id;
      request.attempt.idempotency_key = id;
      request.attempt.amount_minor = 700;
      EXPECT_EQ(book.execute(request).kind, payments::CallResult::Kind::kSucceeded);
    }
  }

  std::atomic<bool> settled = false;
  int updates = 0;
  auto other_work = std::async(std::launch::async, [&] {
    while (!settled) {
      pb::UpdateInvoiceRequest update;
      update.set_order_id(bystander.order_id());
      update.set_invoice_number("R-" + std::to_string(++updates));
      const auto answer = servers[updates % 2]->shop().send(&Orders::UpdateInvoice, update);
      EXPECT_TRUE(answer.ok()) << answer;
      std::this_thread::sleep_for(milliseconds(3));
    }
  });
  first.shop().wait_until_settled();
  settled = true;
  other_work.get();

  int calls[2] = {}, fetches[2] = {};
  for (int i = 0; i < 2; ++i) {
    for (const std::string& account : accounts) {
      calls[i] += count(*servers[i], account, sandbox::OPERATION_CAPTURE);
      fetches[i] += count(*servers[i], account, sandbox::OPERATION_FETCH);
    }
  }
  std::cout << "captures sent: " << calls[0] << " and " << calls[1] << "; readings: " << fetches[0]
            << " and " << fetches[1] << "; meanwhile " << updates << " invoices" << std::endl;
  EXPECT_EQ(calls[0] + calls[1], kOrders / 2);
  EXPECT_GT(updates, 0);
  at_once(kThreads, [&](int thread) {
    for (int i = thread; i < kOrders; i += kThreads) {
      const Paid& paid = orders[static_cast<std::size_t>(i)];
      const Shop& shop = servers[i % 2]->shop();
      expect_equal_books(shop, paid);
      EXPECT_EQ(payment_of(shop.get(paid.order_id)).captured().amount_minor(), 700);
      // Created, synced, tried, settled: these tests know that an etag is the number of versions.
      EXPECT_EQ(shop.get(paid.order_id).etag(), "4");
      int captures = 0;
      for (const auto& it : shop.transactions(paid.order_id)) {
        captures += it.kind() == pb::TRANSACTION_KIND_CAPTURE;
      }
      EXPECT_EQ(captures, 1);
    }
  });
  EXPECT_EQ(first.process().terminate(), 0);
  EXPECT_EQ(second.process().terminate(), 0);
  check_database(database_.url());
}

}  // namespace
}  // namespace orderd::test
