#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "storage/wall_clock.h"
#include "tests/payments/cancellation_fixture.h"

// Cancellations whose server dies between any two steps, or is one of two: all money goes back, no
// key is sent twice without need, and the customer hears of it once.

namespace orderd::test {
namespace {

using Kind = payments::CallResult::Kind;
using testing::IsEmpty;
using testing::SizeIs;

class CancellationCrashTest : public CancellationTestOn<DatabaseTest> {
 protected:
  void SetUp() override {
    node_ = serve();
    successor_ = serve(without_lease());
    paid_ = pay(*node_, {{1000, 300}});
  }
  /// The successor finds the order as it is. `result`: what the visit says of the payment.
  void finish(Visit::Result result = Visit::Result::kNews) {
    EXPECT_EQ(visit(*successor_, paid_).result, result);
    expect_returned(*successor_, paid_);
    expect_nothing_sent_twice();
  }

  std::unique_ptr<MoneyServer> node_;
  std::unique_ptr<MoneyServer> successor_;
  Paid paid_;
};
ORDERD_ON_BOTH_DATABASES(CancellationCrashTest);

TEST_P(CancellationCrashTest, AfterItBegan) {
  begin(*node_, paid_);
  finish();
  EXPECT_THAT(gateway_->calls(), SizeIs(2));
}

TEST_P(CancellationCrashTest, AfterALegWasWritten) {
  begin(*node_, paid_);
  ASSERT_THAT(advance(*node_, paid_), SizeIs(1));
  EXPECT_THAT(gateway_->calls(), IsEmpty());
  finish();
  EXPECT_THAT(gateway_->calls(), SizeIs(2));
}

TEST_P(CancellationCrashTest, AfterTheGatewayDidALeg) {
  begin(*node_, paid_);
  const auto legs = advance(*node_, paid_);
  ASSERT_THAT(legs, SizeIs(1));
  EXPECT_EQ(call_gateway(paid_, legs[0]).kind, Kind::kSucceeded);
  finish();
}

TEST_P(CancellationCrashTest, AfterALegWasSettled) {
  begin(*node_, paid_);
  const auto legs = advance(*node_, paid_);
  ASSERT_THAT(legs, SizeIs(1));
  settle(*node_, paid_, legs[0], call_gateway(paid_, legs[0]));
  finish();
}

TEST_P(CancellationCrashTest, AfterTheLastLegWasSettled) {
  begin(*node_, paid_);
  for (int i = 0; i < 2; ++i) {
    const auto legs = advance(*node_, paid_);
    ASSERT_THAT(legs, SizeIs(1));
    settle(*node_, paid_, legs[0], call_gateway(paid_, legs[0]));
  }
  EXPECT_EQ(status(*node_, paid_), kInProgress);
  finish(Visit::Result::kNothing);
  EXPECT_THAT(gateway_->calls(), SizeIs(2));
}

TEST_P(CancellationCrashTest, AnAttemptOfALivingServerIsLeftToIt) {
  begin(*node_, paid_);
  ASSERT_THAT(advance(*node_, paid_), SizeIs(1));
  const auto other = serve();
  EXPECT_EQ(visit(*other, paid_).result, Visit::Result::kNothing);
  EXPECT_THAT(gateway_->calls(), IsEmpty());
}

TEST_P(CancellationCrashTest, EveryStepLeavesThePaymentInTheReconcilersQueue) {
  const auto due_in = [&]() -> std::optional<Micros> {
    auto& session = raw().session();
    auto rows = session.query(
        session.sql() << "SELECT MIN(next_check) FROM payment_schedule WHERE order_id = "
                      << paid_.order,
        1);
    if (!rows.next()) return std::nullopt;
    return rows.number(0) - wall_clock();
  };
  constexpr Micros kSoon = 61'000'000;
  begin(*node_, paid_);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(due_in());
    EXPECT_LE(*due_in(), kSoon) << "before leg " << i;
    const auto legs = advance(*node_, paid_);
    ASSERT_THAT(legs, SizeIs(1));
    EXPECT_LE(*due_in(), kSoon) << "leg " << i;
    settle(*node_, paid_, legs[0], call_gateway(paid_, legs[0]));
  }
  ASSERT_TRUE(due_in());
  EXPECT_LE(*due_in(), kSoon);
}

TEST_P(CancellationCrashTest, ServersThatEndAtAnyMomentFinishTogether) {
  const auto seed = std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  for (int life = 0; life < 15; ++life) {
    const Paid paid = pay(*node_, {{1000, 100 * up_to(10)}, {500, 100 * up_to(5)}});
    auto request = cancel_request(paid.order);
    request.set_notify_customer(true);
    // The server ends during one of its talks with the gateway.
    auto node = serve();
    std::atomic<int> left = up_to(4);
    std::promise<void> now;
    for (const std::string& reference : paid.references) {
      gateway_->on_fetch(reference, [&left, &now] {
        if (left-- == 0) now.set_value();
      });
    }
    auto answer = send_cancel(*node, request);
    std::thread stop([&] {
      if (now.get_future().wait_for(std::chrono::milliseconds(100)) == std::future_status::ready) {
        node->processor.stop();
      }
    });
    EXPECT_TRUE(get(std::move(answer)).ok());
    stop.join();
    node.reset();
    for (const std::string& reference : paid.references) gateway_->on_fetch(reference, [] {});
    if (status(*successor_, paid) == kInProgress) visit(*successor_, paid, up_to(1));
    expect_returned(*successor_, paid);
    EXPECT_THAT(emails(*successor_, paid), SizeIs(1));
  }
  expect_nothing_sent_twice();
}

using TwoServers = CancellationTestOn<testing::Test>;

TEST_F(TwoServers, MayDriveTheSameOrdersAtOnce) {
  constexpr int kOrders = 40;
  const auto one = serve();
  const auto two = serve();
  std::vector<Paid> all;
  for (int i = 0; i < kOrders; ++i) all.push_back(pay(*one, {{1000, 100 * (i % 11)}, {500, 500}}));
  for (const Paid& paid : all) begin(*one, paid);

  // A visit may find that the other one is at it, and leaves it alone then.
  for (int round = 0; round < 20; ++round) {
    std::vector<std::future<Visit>> visits;
    for (const Paid& paid : all) {
      if (status(*one, paid) != kInProgress) continue;
      for (auto* node : {one.get(), two.get()}) visits.push_back(send_visit(*node, paid, 0));
      for (auto* node : {one.get(), two.get()}) visits.push_back(send_visit(*node, paid, 1));
    }
    if (visits.empty()) break;
    for (auto& visit : visits) get(std::move(visit));
  }
  for (const Paid& paid : all) expect_returned(*one, paid);
  expect_nothing_sent_twice();
}

TEST_F(TwoServers, CallsAndVisitsMeet) {
  constexpr int kOrders = 40;
  const auto one = serve();
  const auto two = serve();
  std::vector<Paid> all;
  for (int i = 0; i < kOrders; ++i) all.push_back(pay(*one, {{1000, 100 * (i % 11)}}));
  std::vector<std::future<AnswerOr>> answers;
  std::vector<std::future<Visit>> visits;
  for (const Paid& paid : all) {
    auto request = cancel_request(paid.order);
    request.set_notify_customer(true);
    answers.push_back(send_cancel(*one, request));
    answers.push_back(send_cancel(*two, request));
    visits.push_back(send_visit(*two, paid));
    visits.push_back(send_visit(*one, paid));
  }
  for (auto& answer : answers) {
    const AnswerOr done = get(std::move(answer));
    ASSERT_TRUE(done.ok()) << done.status();
  }
  for (auto& visit : visits) get(std::move(visit));
  for (const Paid& paid : all) {
    wait_for(*one, paid, kCompleted);
    expect_returned(*one, paid);
    EXPECT_THAT(emails(*one, paid), SizeIs(1));
  }
  expect_nothing_sent_twice();
}

}  // namespace
}  // namespace orderd::test
