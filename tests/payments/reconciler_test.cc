#include "server/payments/reconciler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "storage/wall_clock.h"
#include "tests/payments/payments_fixture.h"

// What becomes of attempts and payments when nobody waits for them. Time is moved by moving what is
// due: `make_due`.

namespace orderd::test {
namespace {

using payments::FetchError;
using payments::Reconciler;
using Kind = payments::CallResult::Kind;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;

/// No attempt belongs to its sender for any time: a server that died long ago.
payments::Processor::Options without_lease() {
  payments::Processor::Options options;
  options.lease_margin = -options.call_timeout;
  return options;
}

class ReconcilerTest : public OnDatabase<DatabaseTest> {
 protected:
  struct Paid {
    Uuid order;
    std::string payment;
    std::string reference;
  };

  std::unique_ptr<MoneyServer> serve(const payments::Accounts::Limits& limits = {}) {
    return std::make_unique<MoneyServer>(storage_, gateway_, without_lease(), limits);
  }

  Paid pay(MoneyServer& node, const std::string& account = kAccount) {
    Paid paid;
    paid.reference = "ref-" + std::to_string(++references_);
    gateway_->authorize(paid.reference, 1000);
    paid.order = make_order(node.server);
    paid.payment = node.add_payment(paid.order, paid.reference, account);
    if (account == kAccount) {
      EXPECT_TRUE(node.sync(paid.order).ok());
    }
    return paid;
  }

  /// Transaction one, and then nothing: as after a crash.
  std::string abandon_capture(MoneyServer& node, const Paid& paid, std::int64_t minor = 300) {
    const AnswerOr answer = node.server.call(
        node.command(request_for<pb::CapturePaymentRequest>(paid.order, paid.payment, minor)));
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->outcome.transaction_id() : "";
  }

  void make_due() {
    raw().session().execute(raw().session().sql() << "UPDATE payment_schedule SET next_check = 1");
  }
  /// When the payment is to be visited; absent: never.
  std::optional<Micros> next_check(const Paid& paid) {
    auto& session = raw().session();
    auto rows = session.query(
        session.sql() << "SELECT next_check FROM payment_schedule WHERE order_id = " << paid.order,
        1);
    if (!rows.next()) return std::nullopt;
    const Micros time = rows.number(0);
    return time == INT64_MAX ? std::nullopt : std::optional(time);
  }

  /// One pass with all that it starts; how many payments it took.
  int pass(MoneyServer& node, const Reconciler::Options& options = {}) {
    Reconciler reconciler(*storage_, node.processor, options);
    const int taken = reconciler.pass();
    reconciler.stop();
    return taken;
  }

  std::shared_ptr<storage::Storage> storage_ = open();
  std::shared_ptr<FakeGateway> gateway_ = std::make_shared<FakeGateway>();
  int references_ = 0;
};
ORDERD_ON_BOTH_DATABASES(ReconcilerTest);

TEST_P(ReconcilerTest, AnAttemptThatTheGatewayDoesNotKnowIsSentAgainWithItsKey) {
  const auto node = serve();
  const Paid paid = pay(*node);
  const std::string attempt = abandon_capture(*node, paid);
  make_due();
  EXPECT_EQ(pass(*node), 1);
  const auto calls = gateway_->calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].attempt.idempotency_key, attempt);
  EXPECT_EQ(calls[0].attempt.amount_minor, 300);
  EXPECT_EQ(node->attempts(paid.order).at(0).status(), kSucceeded);
  EXPECT_EQ(node->payment(paid.order).captured().amount_minor(), 300);
  EXPECT_GT(next_check(paid), wall_clock());
  EXPECT_EQ(pass(*node), 0);
}

TEST_P(ReconcilerTest, AnAttemptThatTheGatewayKnowsIsSettledWithoutACall) {
  const auto node = serve();
  MoneyServer sender(storage_, gateway_);
  const Paid paid = pay(*node);
  gateway_->script({.applies = true, .answer = result(Kind::kUnknown, "TIMEOUT")});
  const AnswerOr lost =
      sender.call(request_for<pb::CapturePaymentRequest>(paid.order, paid.payment, 300));
  ASSERT_TRUE(lost.ok()) << lost.status();
  EXPECT_EQ(lost->transaction->status(), kUnknown);
  make_due();
  EXPECT_EQ(pass(*node), 1);
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
  EXPECT_EQ(node->attempts(paid.order).at(0).status(), kSucceeded);
  EXPECT_THAT(node->ledger(paid.order), SizeIs(2)) << "the authorization and the capture";
}

TEST_P(ReconcilerTest, WhatTellsNothingNewWaitsLongerEachTime) {
  const auto node = serve({.failures = 1'000'000});
  const Paid paid = pay(*node);
  abandon_capture(*node, paid);
  gateway_->fail_fetch(paid.reference, FetchError{});
  Reconciler::Options options;
  options.first_delay = minutes(1);
  options.longest_delay = minutes(10);
  const std::string etag = node->server.stored(paid.order)->order->etag();
  for (const int expected : {1, 2, 4, 8, 10, 10}) {
    make_due();
    const Micros before = wall_clock();
    ASSERT_EQ(pass(*node, options), 1);
    const Micros delay = microseconds(minutes(expected)).count();
    const auto next = next_check(paid);
    ASSERT_TRUE(next);
    EXPECT_GE(*next, before + delay * 4 / 5) << expected;
    EXPECT_LE(*next, wall_clock() + delay * 6 / 5) << expected;
  }
  EXPECT_EQ(node->server.stored(paid.order)->order->etag(), etag);

  // News begins a new series.
  gateway_->fail_fetch(paid.reference, std::nullopt);
  make_due();
  ASSERT_EQ(pass(*node, options), 1);
  EXPECT_EQ(node->attempts(paid.order).at(0).status(), kSucceeded);
}

TEST_P(ReconcilerTest, ASendThatStaysUnknownIsNoNews) {
  const auto node = serve({.failures = 1'000'000});
  const Paid paid = pay(*node);
  abandon_capture(*node, paid);
  std::string etag;
  for (int i = 1; i <= 4; ++i) {
    // Neither the same answer nor another of its kind.
    const auto* reason = i % 2 == 0 ? "RATE_LIMITED" : "NO_CONNECTION";
    gateway_->script({.applies = false, .answer = result(Kind::kNotExecuted, reason)});
    make_due();
    ASSERT_EQ(pass(*node), 1);
    EXPECT_THAT(gateway_->calls(), SizeIs(i));
    const std::string now_is = node->server.stored(paid.order)->order->etag();
    if (i > 1) {
      EXPECT_EQ(now_is, etag) << "that there is no answer is written once";
    }
    etag = now_is;
  }
  // The fourth in a row, of which the first was news.
  EXPECT_GE(next_check(paid), wall_clock() + microseconds(minutes(3)).count());
}

TEST_P(ReconcilerTest, AGatewayThatAsksForTimeGetsIt) {
  const auto node = serve({.failures = 1'000'000});
  const Paid paid = pay(*node);
  gateway_->fail_fetch(paid.reference, FetchError{.kind = FetchError::Kind::kUnavailable,
                                                  .reason = "RATE_LIMITED",
                                                  .retry_after = minutes(40)});
  make_due();
  const Micros before = wall_clock();
  ASSERT_EQ(pass(*node), 1);
  EXPECT_GE(next_check(paid), before + microseconds(minutes(40)).count());
}

TEST_P(ReconcilerTest, AQuietPaymentIsVisitedDailyAndASettledOneNoMore) {
  const auto node = serve();
  const Paid paid = pay(*node);
  for (int visits = 0; visits < 3; ++visits) {
    make_due();
    ASSERT_EQ(pass(*node), 1);
    EXPECT_GT(next_check(paid), wall_clock() + microseconds(std::chrono::hours(20)).count());
  }

  MoneyServer sender(storage_, gateway_);
  ASSERT_TRUE(sender.call(request_for<pb::CapturePaymentRequest>(paid.order, paid.payment)).ok());
  EXPECT_FALSE(next_check(paid));
  raw().session().execute(raw().session().sql()
                          << "INSERT INTO payment_schedule (order_id, payment_id, gateway_account,"
                             " next_check, tries, unresolved_since) VALUES ("
                          << paid.order << ", " << storage::Blob{paid.payment} << ", "
                          << storage::Blob{kAccount} << ", 1, 0, " << wall_clock() << ")");
  ASSERT_EQ(pass(*node), 1);
  EXPECT_FALSE(next_check(paid)) << "a visit of no use is the last";
}

TEST_P(ReconcilerTest, AGatewayThatIsLeftAloneIsNotAsked) {
  const auto node = serve({.threads = 1, .failures = 1, .pause = std::chrono::hours(1)});
  std::vector<Paid> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(pay(*node));
    abandon_capture(*node, all.back());
  }
  const auto before = gateway_->fetches();
  for (const Paid& paid : all) gateway_->fail_fetch(paid.reference, FetchError{});
  make_due();
  ASSERT_EQ(pass(*node), 3);  // the first of which opens the circuit
  int asked = 0;
  for (const auto& [reference, count] : gateway_->fetches()) asked += count - before.at(reference);
  EXPECT_EQ(asked, 1);
  for (const Paid& paid : all) EXPECT_GT(next_check(paid), wall_clock());
  EXPECT_THAT(gateway_->calls(), IsEmpty());
  auto rows = raw().session().query(
      raw().session().sql() << "SELECT tries FROM payment_schedule ORDER BY tries", 1);
  for (const int tries : {0, 0, 1}) {
    ASSERT_TRUE(rows.next());
    EXPECT_EQ(rows.number(0), tries) << "only who was asked has had a try";
  }

  make_due();
  EXPECT_EQ(pass(*node), 0);
  EXPECT_EQ(next_check(all[0]), 1) << "due as before";
}

TEST_P(ReconcilerTest, AnExternalAttemptIsSimplyMadeAgain) {
  const auto node = serve();
  const Paid paid = pay(*node, "external");
  abandon_capture(*node, paid);
  make_due();
  EXPECT_EQ(pass(*node), 1);
  EXPECT_EQ(node->attempts(paid.order).back().status(), kSucceeded);
  EXPECT_EQ(node->payment(paid.order).captured().amount_minor(), 300);
  EXPECT_FALSE(next_check(paid));
}

TEST_P(ReconcilerTest, AnAttemptBelongsToItsSenderUntilItsLeaseEnds) {
  MoneyServer sender(storage_, gateway_);  // whose leases last 20 s
  const Paid paid = pay(sender);
  const auto gate = std::make_shared<Gate>();
  gateway_->script({.gate = gate});
  auto answer = sender.send(request_for<pb::CapturePaymentRequest>(paid.order, paid.payment, 300));
  gate->wait_entered();
  EXPECT_EQ(pass(sender), 0) << "it is not due";
  make_due();
  EXPECT_EQ(pass(sender), 1) << "but for another reason";
  EXPECT_THAT(gateway_->calls(), SizeIs(1));
  gate->open();
  const AnswerOr settled = get(std::move(answer));
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_EQ(settled->transaction->status(), kSucceeded);
}

TEST_P(ReconcilerTest, StoppingEndsAPassAndWhatItHeldComesDueAgain) {
  const auto node = serve({.threads = 1});
  std::vector<Paid> all;
  for (int i = 0; i < 5; ++i) all.push_back(pay(*node));
  make_due();
  const auto gate = std::make_shared<Gate>();
  for (const Paid& paid : all) {
    gateway_->on_fetch(paid.reference, [gate] { gate->pass(); });
  }
  const auto before = gateway_->fetches();
  Reconciler reconciler(*storage_, node->processor, {});
  EXPECT_EQ(reconciler.pass(), 5);
  gate->wait_entered();
  std::thread stopping([&] {
    node->processor.stop();
    reconciler.stop();
  });
  gate->open();
  stopping.join();
  int asked = 0;
  for (const auto& [reference, count] : gateway_->fetches()) asked += count - before.at(reference);
  EXPECT_GE(asked, 1);
  for (const Paid& paid : all) {
    const auto next = next_check(paid);
    ASSERT_TRUE(next);
    EXPECT_GT(*next, wall_clock());
  }
  EXPECT_EQ(reconciler.pass(), 0) << "none after the end";
}

TEST_P(ReconcilerTest, APaymentThatStaysUnresolvedForADayIsWarnedOfOnce) {
  Paid paid;
  {
    const auto before = serve();
    paid = pay(*before);
    abandon_capture(*before, paid);
  }
  // As if it had been two days ago.
  auto& session = raw().session();
  internal::PaymentDetails details;
  {
    auto rows = session.query(
        session.sql() << "SELECT details FROM order_payments WHERE order_id = " << paid.order, 1);
    ASSERT_TRUE(rows.next());
    ASSERT_TRUE(details.ParseFromString(rows.text(0)));
  }
  ASSERT_EQ(details.open_transactions_size(), 1);
  auto& created = *details.mutable_open_transactions(0)->mutable_create_time();
  created.set_seconds(created.seconds() - 2 * 24 * 3600);
  session.execute(session.sql() << "UPDATE order_payments SET details = "
                                << storage::Blob{details.SerializeAsString()}
                                << " WHERE order_id = " << paid.order);
  gateway_->fail_fetch(paid.reference, FetchError{});

  const auto sink = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(1000);
  const auto logger = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("captured", sink));
  const auto lines_with = [&](const std::string& text) {
    int count = 0;
    for (const std::string& line : sink->last_formatted()) {
      if (line.find(text) != std::string::npos) ++count;
    }
    return count;
  };
  const auto node = serve({.failures = 1'000'000});
  {
    Reconciler reconciler(*storage_, node->processor, {});
    for (int passes = 1; passes <= 3; ++passes) {
      make_due();
      EXPECT_EQ(reconciler.pass(), 1);
      while (lines_with("reconciled payments: 0 with news, 1 without") < passes) {
        std::this_thread::yield();
      }
    }
  }
  EXPECT_EQ(lines_with("payment " + paid.payment + " of order"), 4) << "3 readings, 1 warning";
  EXPECT_EQ(lines_with("unresolved for more than a day"), 1);
  spdlog::set_default_logger(logger);
}

TEST_P(ReconcilerTest, AThousandAttemptsAreSettledByTwoServersAndNoneTwice) {
  constexpr int kPayments = 1000;
  std::vector<std::unique_ptr<MoneyServer>> nodes;
  nodes.push_back(serve());
  // Of an SQLite database there is one server; two share its storage here.
  std::shared_ptr<storage::Storage> second = backend() == Backend::kSqlite ? storage_ : open();
  nodes.push_back(std::make_unique<MoneyServer>(second, gateway_, without_lease()));
  MoneyServer& first = *nodes[0];

  const std::vector<Uuid> orders = make_orders(first.server, kPayments);
  std::vector<Command> attach;
  for (int i = 0; i < kPayments; ++i) {
    const std::string reference = "many-" + std::to_string(i);
    gateway_->authorize(reference, 1000);
    attach.push_back(first.add_payment_command(orders[static_cast<std::size_t>(i)], reference));
  }
  std::vector<std::string> payments;
  for (const AnswerOr& answer : first.server.call(std::move(attach))) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    payments.push_back(answer->outcome.payment_id());
  }
  // Both reconcile at the same time until nothing is due.
  const auto reconcile_all = [&] {
    make_due();
    std::atomic<int> taken = 0;
    {
      std::vector<std::jthread> threads;
      for (auto& node : nodes) {
        threads.emplace_back([&] {
          Reconciler::Options options;
          options.batch = 50;
          // Nobody takes over what a slow machine is still at.
          options.claim = minutes(30);
          Reconciler reconciler(*node->server.storage, node->processor, options);
          while (taken < kPayments) {
            const int now_taken = reconciler.pass();
            taken += now_taken;
            if (now_taken == 0) std::this_thread::yield();
          }
          reconciler.stop();
        });
      }
    }
    EXPECT_EQ(taken, kPayments);
  };

  // First they are read, then captures that nobody has sent are found.
  reconcile_all();
  std::vector<Command> captures;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    captures.push_back(
        first.command(request_for<pb::CapturePaymentRequest>(orders[i], payments[i], 300)));
  }
  for (const AnswerOr& answer : first.server.call(std::move(captures))) {
    ASSERT_TRUE(answer.ok()) << answer.status();
  }
  reconcile_all();

  std::set<std::string> keys;
  for (const auto& call : gateway_->calls()) keys.insert(call.attempt.idempotency_key);
  EXPECT_THAT(keys, SizeIs(kPayments));
  EXPECT_THAT(gateway_->calls(), SizeIs(kPayments));
  for (const auto& [reference, count] : gateway_->fetches()) EXPECT_EQ(count, 2) << reference;
  for (const Uuid& order : orders) {
    const pb::Payment payment = first.payment(order);
    EXPECT_EQ(payment.captured().amount_minor(), 300);
    EXPECT_EQ(payment.open_transactions_size(), 0);
  }
  nodes.clear();
}

}  // namespace
}  // namespace orderd::test
