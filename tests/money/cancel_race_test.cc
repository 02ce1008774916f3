#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <random>
#include <thread>

#include "tests/money/cancel.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

/// Two servers on one MariaDB, two accounts, and a mail server.
class CancelRace : public testing::Test {
 protected:
  Server start(const std::string& gateway_timeout = "10") {
    Server::Options options;
    options.gateways = {folder_.gateway("shop"), folder_.gateway("bank")};
    options.gateway_timeout = gateway_timeout;
    options.more_arguments = mail_arguments(mail_.url());
    return Server(database_.url(), options);
  }
  void end(Server& first, Server& second) {
    EXPECT_EQ(first.process().terminate(), 0);
    EXPECT_EQ(second.process().terminate(), 0);
    check_database(database_.url());
  }

  /// Clients capture through the second server, and with `dashboard` somebody at the gateway does
  /// too, while the order is canceled through the first.
  void race_with_captures(const pb::GatewayCapabilities& capabilities, bool dashboard);

  const Folder folder_;
  const MailServer mail_;
  const TestDatabase database_ = TestDatabase::mariadb();
};

void CancelRace::race_with_captures(const pb::GatewayCapabilities& capabilities, bool dashboard) {
  constexpr int kOrders = 24, kCapturers = 3;
  const std::uint64_t seed = test_seed();
  Server first = start(), second = start();
  std::vector<Purchase> purchases(kOrders);
  at_once(8, [&](int thread) {
    for (int i = thread; i < kOrders; i += 8) {
      purchases[static_cast<std::size_t>(i)] =
          make_purchase(first.shop(), Shape::kAuthorized, "shop", "", capabilities);
    }
  });
  std::atomic<int> captures = 0, refused = 0;
  const auto race = [&](int number) {
    Purchase& purchase = purchases[static_cast<std::size_t>(number)];
    const Paid& paid = purchase.payments[0];
    std::atomic<std::int64_t> captured = 0;
    std::atomic<int> made = 0, ended = 0;
    at_once(kCapturers + 1 + dashboard, [&](int client) {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(10 * number + client));
      if (client == 0) {
        // In the middle of it: after so many captures, or at once.
        const int after = number % 4;
        wait_until("some have been captured", [&] { return made >= after || ended > 0; });
        const auto answer = cancel(first.shop(), cancel_request(purchase, number % 2 == 0));
        ASSERT_TRUE(answer.ok()) << answer;
        EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
        // From now on nobody captures.
        const auto late = second.shop().send(&Orders::CapturePayment, capture_request(paid, 1));
        EXPECT_EQ(late.code, grpc::StatusCode::FAILED_PRECONDITION) << late;
        return;
      }
      for (;;) {
        const auto amount = static_cast<std::int64_t>(1 + random() % 200);
        if (client > kCapturers) {
          sandbox::PaymentEvent event;
          event.mutable_capture()->set_amount_minor(amount);
          if (!second.shop().simulate("shop", paid.reference, event).ok()) break;
          captured += amount;
          continue;
        }
        const auto answer =
            second.shop().send(&Orders::CapturePayment, capture_request(paid, amount));
        if (answer.reason == "PAYMENT_BUSY") {
          EXPECT_EQ(answer.code, grpc::StatusCode::ABORTED);
          std::this_thread::sleep_for(milliseconds(1 + random() % 5));
          continue;
        }
        if (!answer.ok()) {
          // Of somebody at the dashboard we have not heard.
          EXPECT_EQ(answer.code, grpc::StatusCode::FAILED_PRECONDITION) << answer;
          ++refused;
          break;
        }
        const auto& transaction = answer->transaction();
        if (transaction.status() == pb::TRANSACTION_STATUS_FAILED && dashboard) break;
        EXPECT_EQ(transaction.status(), pb::TRANSACTION_STATUS_SUCCEEDED) << answer;
        captured += amount;
        ++captures;
        ++made;
      }
      ++ended;
    });
    purchase.to_refund = captured;
    purchase.to_reverse = paid.authorized - captured;
  };
  at_once(kOrders, race);
  // What somebody else does at the same time asks for attention, and that stays.
  if (dashboard) {
    wait_until_canceled(first.shop(), purchases);
  } else {
    first.shop().wait_until_settled();
  }
  wait_until_mailed(first.shop());
  const Mailboxes boxes = mailboxes_of(mail_);
  for (int i = 0; i < kOrders; ++i) {
    SCOPED_TRACE(i);
    const Purchase& purchase = purchases[static_cast<std::size_t>(i)];
    const Paid& paid = purchase.payments[0];
    const Shop& shop = (i % 2 == 0 ? first : second).shop();
    expect_mailed(shop, boxes, purchase, i % 2 == 0);
    const auto book = shop.ledger(paid.account, paid.reference);
    bool returning = false;
    for (const auto& movement : book.movements()) {
      returning |= movement.kind() == pb::TRANSACTION_KIND_VOID ||
                   movement.kind() == pb::TRANSACTION_KIND_REFUND;
      const bool late = returning && movement.kind() == pb::TRANSACTION_KIND_CAPTURE;
      EXPECT_FALSE(late) << "a capture slipped through: " << book.DebugString();
    }
    if (!dashboard) {
      expect_canceled(shop, purchase, i % 2 == 0);
      continue;
    }
    // What was released in fact is corrected by readings, and may take more than one refund.
    expect_equal_books(shop, paid);
    EXPECT_EQ(status_of(shop.get(purchase.order_id)), pb::CANCELLATION_STATUS_COMPLETED);
    EXPECT_EQ(book.captured_minor(), purchase.to_refund);
    EXPECT_EQ(book.refunded_minor(), purchase.to_refund) << book.DebugString();
    EXPECT_EQ(book.voided_minor(), purchase.to_reverse);
    const auto report = cancel(shop, cancel_request(purchase, false))->report();
    EXPECT_EQ(report.refunded().amount_minor(), book.refunded_minor()) << report.DebugString();
    EXPECT_EQ(report.reversed().amount_minor(), book.voided_minor()) << report.DebugString();
  }
  std::cout << captures << " captures before, " << refused << " clients refused" << std::endl;
  EXPECT_GT(captures, 0);
  EXPECT_GT(refused, 0);
  end(first, second);
}

TEST_F(CancelRace, CapturesFromTheOtherServerNeverSlipThrough) {
  race_with_captures(all_capabilities(), false);
}

TEST_F(CancelRace, CapturesNeverSlipThroughWhereTheGatewayTakesOneAtATime) {
  auto capabilities = all_capabilities();
  capabilities.set_concurrent_operations(false);
  race_with_captures(capabilities, false);
}

TEST_F(CancelRace, CapturesAtTheGatewayItselfAreRefundedToo) {
  race_with_captures(all_capabilities(), true);
}

TEST_F(CancelRace, TwoCallsAtOnceAreOneCancellation) {
  constexpr int kOrders = 24;
  Server first = start(), second = start();
  const Shop* servers[] = {&first.shop(), &second.shop()};
  std::vector<Purchase> purchases(kOrders);
  std::vector<char> notify(kOrders);
  at_once(kOrders, [&](int number) {
    const auto i = static_cast<std::size_t>(number);
    constexpr Shape kShapes[] = {Shape::kAuthorized, Shape::kPartlyCaptured, Shape::kCaptured,
                                 Shape::kTwoAccounts};
    const Purchase& purchase = purchases[i] =
        make_purchase(*servers[i % 2], kShapes[i % 4], "shop", "bank");
    // Half of the pairs are one client that asks twice.
    const bool same = i % 8 >= 4;
    pb::CancelOrderRequest requests[] = {cancel_request(purchase, true),
                                         cancel_request(purchase, false)};
    if (same) requests[1] = requests[0];
    Reply<pb::CancelOrderResponse> answers[2];
    at_once(2, [&](int k) { answers[k] = cancel(*servers[k], requests[k]); });
    int changed = 0, fresh = 0;
    for (int k = 0; k < 2; ++k) {
      const auto& answer = answers[k];
      ASSERT_TRUE(answer.ok()) << answer;
      expect_honest(*servers[k], purchase, answer.response);
      EXPECT_EQ(answer->order().cancellation().pass(), 1);
      changed += answer->changed();
      fresh += answer->changed() && !answer->replayed();
      if (answer->changed() && !answer->replayed()) {
        notify[i] = requests[k].notify_customer();
        EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
      }
    }
    EXPECT_EQ(fresh, 1);
    EXPECT_EQ(changed, same ? 2 : 1);
    for (const auto& answer : answers) {
      EXPECT_EQ(answer->report().notifies_customer(), notify[i] != 0);
    }
  });
  wait_until_canceled(first.shop(), purchases);
  first.shop().wait_until_settled();
  wait_until_mailed(first.shop());
  const Mailboxes boxes = mailboxes_of(mail_);
  int notified = 0;
  for (std::size_t i = 0; i < purchases.size(); ++i) {
    SCOPED_TRACE(i);
    expect_canceled(*servers[i % 2], purchases[i], notify[i] != 0);
    expect_mailed(*servers[i % 2], boxes, purchases[i], notify[i] != 0);
    notified += notify[i];
  }
  std::cout << notified << " of " << kOrders << " were notified" << std::endl;
  end(first, second);
}

TEST_F(CancelRace, TwoHundredAtOnceAllFinish) {
  constexpr int kOrders = 200, kThreads = 16;
  Server first = start(), second = start();
  const Shop* servers[] = {&first.shop(), &second.shop()};
  std::vector<Purchase> purchases(kOrders);
  at_once(kThreads, [&](int thread) {
    constexpr Shape kShapes[] = {Shape::kAuthorized, Shape::kPartlyCaptured, Shape::kCaptured,
                                 Shape::kTwoAccounts};
    for (int i = thread; i < kOrders; i += kThreads) {
      purchases[static_cast<std::size_t>(i)] =
          make_purchase(*servers[i % 2], kShapes[i % 4], "shop", "bank");
    }
  });
  const auto notifies = [](int i) { return i % 3 == 0; };
  const auto began = std::chrono::steady_clock::now();
  at_once(kOrders, [&](int i) {
    const Purchase& purchase = purchases[static_cast<std::size_t>(i)];
    // Not the server that it was made by, for some of them.
    const auto answer = cancel(*servers[i / 2 % 2], cancel_request(purchase, notifies(i)));
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->changed());
    EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
    expect_honest(*servers[i % 2], purchase, answer.response);
  });
  std::cout
      << kOrders << " cancellations took "
      << std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began).count()
      << " ms" << std::endl;
  wait_until_mailed(first.shop());
  const Mailboxes boxes = mailboxes_of(mail_);
  at_once(kThreads, [&](int thread) {
    for (int i = thread; i < kOrders; i += kThreads) {
      SCOPED_TRACE(i);
      const Purchase& purchase = purchases[static_cast<std::size_t>(i)];
      expect_canceled(*servers[i % 2], purchase, notifies(i));
      expect_mailed(*servers[i % 2], boxes, purchase, notifies(i));
    }
  });
  EXPECT_EQ(mail_.messages().size(), boxes.size());
  end(first, second);
}

/// Nothing of it can be reached, or nothing but readings: the call says what is left to do, and
/// when the gateway is back that is done without anyone asking.
TEST_F(CancelRace, AGatewayThatIsDownForTheWholeCallIsWaitedFor) {
  Server first = start("1"), second = start("1");
  const Server* servers[] = {&first, &second};
  constexpr Shape kShapes[] = {Shape::kAuthorized, Shape::kPartlyCaptured, Shape::kCaptured,
                               Shape::kTwoAccounts};
  for (const bool readable : {false, true}) {
    SCOPED_TRACE(readable ? "readings" : "nothing");
    std::vector<Purchase> purchases;
    for (const Shape shape : kShapes) {
      purchases.push_back(make_purchase(first.shop(), shape, "shop", "bank"));
    }
    for (const Server* server : servers) {
      for (const char* account : {"shop", "bank"}) {
        for (const auto operation :
             {sandbox::OPERATION_FETCH, sandbox::OPERATION_VOID, sandbox::OPERATION_REFUND}) {
          if (readable && operation == sandbox::OPERATION_FETCH) continue;
          sandbox::Fault down;
          down.set_operation(operation);
          down.set_kind(sandbox::FAULT_KIND_NOT_EXECUTED);
          server->shop().fault(account, down);
        }
      }
    }
    const std::size_t before = mail_.messages().size();
    std::vector<pb::CancelOrderRequest> requests;
    for (const Purchase& purchase : purchases) {
      requests.push_back(cancel_request(purchase, true));
      const auto answer = cancel(first.shop(), requests.back(), milliseconds(3'000));
      ASSERT_TRUE(answer.ok()) << answer;
      EXPECT_TRUE(answer->changed());
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_IN_PROGRESS) << answer;
      expect_honest(first.shop(), purchase, answer.response);
      EXPECT_EQ(answer->report().outstanding().amount_minor(),
                purchase.to_refund + purchase.to_reverse);
      EXPECT_GE(answer->report().payments_size(), 1) << "no legs to see";
      // The other server says the same.
      const auto other = cancel(second.shop(), cancel_request(purchase, false));
      ASSERT_TRUE(other.ok()) << other;
      EXPECT_FALSE(other->changed()) << other;
      EXPECT_EQ(other->report().status(), pb::CANCELLATION_STATUS_IN_PROGRESS) << other;
    }
    EXPECT_EQ(mail_.messages().size(), before);
    for (const Server* server : servers) {
      for (const char* account : {"shop", "bank"}) server->shop().clear_faults(account);
    }
    wait_until_canceled(second.shop(), purchases);
    second.shop().wait_until_settled();
    wait_until_mailed(second.shop());
    const Mailboxes boxes = mailboxes_of(mail_);
    for (std::size_t i = 0; i < purchases.size(); ++i) {
      SCOPED_TRACE(name_of(kShapes[i]));
      expect_canceled(second.shop(), purchases[i], true);
      expect_mailed(second.shop(), boxes, purchases[i], true);
      const auto answer = cancel(first.shop(), requests[i]);
      EXPECT_TRUE(answer.ok() && answer->replayed()) << answer;
      expect_honest(first.shop(), purchases[i], answer.response);
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
    }
  }
  end(first, second);
}

}  // namespace
}  // namespace orderd::test
