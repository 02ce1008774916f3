#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/client/orderctl_pay_fixture.h"

// orderctl cancel: what is asked, what is sent, and what is said of how it ended.

namespace orderd::cli {
namespace {

using orderd::testing::kRequestId;
using orderd::testing::OrderctlPayTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;

constexpr auto kVoid = pb::TRANSACTION_KIND_VOID;
constexpr auto kRefund = pb::TRANSACTION_KIND_REFUND;
constexpr auto kSucceeded = pb::TRANSACTION_STATUS_SUCCEEDED;
constexpr auto kFailed = pb::TRANSACTION_STATUS_FAILED;
constexpr auto kUnknown = pb::TRANSACTION_STATUS_UNKNOWN;

/// A server that plans to release 34.40 EUR and to refund 25.50 EUR of "p1", then answers with
/// `cancellation_` and `legs_`.
class OrderctlCancelTest : public OrderctlPayTest {
 protected:
  OrderctlCancelTest() {
    order_.set_etag("7");
    order_.mutable_customer()->set_email("zoe@example.com");
    plan_ = {leg(kVoid, 3440), leg(kRefund, 2550)};
    server_.on_cancel = [this](const pb::CancelOrderRequest& request,
                               pb::CancelOrderResponse& response) { cancel(request, response); };
  }

  static pb::CancellationLeg leg(pb::TransactionKind kind, std::int64_t minor,
                                 pb::TransactionStatus status = pb::TRANSACTION_STATUS_UNSPECIFIED,
                                 const std::string& reason = "") {
    pb::CancellationLeg leg;
    leg.set_payment_id("p1");
    leg.set_kind(kind);
    set(leg.mutable_amount(), "EUR", minor);
    leg.set_status(status);
    leg.set_reason(reason);
    if (status != pb::TRANSACTION_STATUS_UNSPECIFIED) {
      leg.set_transaction_id(kind == kVoid ? "t-void" : "t-refund");
      leg.set_pass(1);
    }
    return leg;
  }

  void cancel(const pb::CancelOrderRequest& request, pb::CancelOrderResponse& response) {
    const bool plans = request.validate_only() && changed_;
    *response.mutable_order() = order_;
    response.mutable_order()->set_order_id(request.order_id());
    response.set_etag("7");
    response.set_changed(changed_);
    auto& report = *response.mutable_report();
    report.set_status(plans ? pb::CANCELLATION_STATUS_IN_PROGRESS : status_);
    report.set_notifies_customer(request.notify_customer());
    report.set_provisional(provisional_ && plans);
    if (!plans) {
      response.mutable_order()->mutable_cancellation()->set_status(status_);
      response.mutable_order()->mutable_cancellation()->set_pass(1);
      if (status_ == pb::CANCELLATION_STATUS_COMPLETED) {
        response.mutable_order()->set_state_id("canceled");
      }
    }
    std::int64_t refunded = 0, reversed = 0, pending = 0, outstanding = 0;
    for (const auto& each : plans ? plan_ : legs_) {
      if (report.payments().empty()) report.add_payments()->set_payment_id("p1");
      *report.mutable_payments(0)->add_legs() = each;
      const auto minor = each.amount().amount_minor();
      if (each.status() == kFailed) continue;
      (each.status() != kSucceeded ? each.initiated() ? pending : outstanding
       : each.kind() == kVoid      ? reversed
                                   : refunded) += minor;
    }
    set(report.mutable_refunded(), "EUR", refunded);
    set(report.mutable_reversed(), "EUR", reversed);
    set(report.mutable_pending(), "EUR", pending);
    set(report.mutable_outstanding(), "EUR", outstanding);
  }

  std::vector<pb::CancelOrderRequest> cancel_calls() const {
    std::vector<pb::CancelOrderRequest> requests;
    for (const auto& call : server_.calls()) {
      if (call.method != "CancelOrder") continue;
      EXPECT_TRUE(requests.emplace_back().ParseFromString(call.request));
    }
    return requests;
  }

  /// orderctl at a terminal of its own, where somebody types `input`.
  Result run_at_terminal(const std::string& arguments, const std::string& input) {
    int terminal = -1;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
      const std::string command =
          "ORDERCTL_SERVER=" + server_.address() + " exec " ORDERCTL " " + arguments;
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
    // The terminal keeps what is typed ahead.
    EXPECT_EQ(::write(terminal, input.data(), input.size()), static_cast<ssize_t>(input.size()));
    Result result;
    char buffer[4096];
    // Ends with an error when the other side has closed it.
    for (ssize_t size; (size = ::read(terminal, buffer, sizeof buffer)) > 0;) {
      result.out.append(buffer, static_cast<std::size_t>(size));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(terminal);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
  }

  bool changed_ = true;
  bool provisional_ = false;
  pb::CancellationStatus status_ = pb::CANCELLATION_STATUS_COMPLETED;
  std::vector<pb::CancellationLeg> plan_;
  std::vector<pb::CancellationLeg> legs_ = {leg(kVoid, 3440, kSucceeded),
                                            leg(kRefund, 2550, kSucceeded)};
};

TEST_F(OrderctlCancelTest, ADryRunShowsThePlan) {
  const Result result = run("cancel 1001 --dry-run --notify");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(
      result.out,
      "canceling order 1001 (id-of-1001, state processing) would refund 25.50 EUR and release "
      "34.40 EUR\n"
      "  PAYMENT  ACCOUNT  REFERENCE  LEG        AMOUNT\n"
      "  p1       sandbox  pay-1      void    34.40 EUR\n"
      "  p1       sandbox  pay-1      refund  25.50 EUR\n"
      "an e-mail would go to zoe@example.com\n");
  EXPECT_EQ(result.err, "");
  ASSERT_EQ(cancel_calls().size(), 1u);
  EXPECT_TRUE(cancel_calls()[0].validate_only());

  const Result json = run("cancel 1001 --dry-run --json");
  EXPECT_EQ(json.code, 0);
  EXPECT_THAT(json.out, HasSubstr("\"kind\":\"TRANSACTION_KIND_VOID\""));
  for (const auto& request : cancel_calls()) EXPECT_TRUE(request.validate_only());
}

TEST_F(OrderctlCancelTest, APlanSaysWhatItCannotKnow) {
  provisional_ = true;
  plan_ = {leg(kVoid, 0)};
  auto& other = add_payment("p2", "spare", "pay-2", pb::PAYMENT_STATUS_AUTHORIZED);
  auto& open = *other.add_open_transactions();
  open.set_kind(pb::TRANSACTION_KIND_CAPTURE);
  open.set_status(kUnknown);
  add_payment("p3", "spare", "pay-3", pb::PAYMENT_STATUS_CAPTURED).set_discrepancy(true);
  const Result result = run("cancel 1001 --dry-run");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("would return no money\n"), HasSubstr("void (close)  0.00 EUR"),
                    HasSubstr("spare pay-2: a capture has no answer so far"),
                    HasSubstr("spare pay-3: its amounts contradict each other"),
                    HasSubstr("no e-mail would go to the customer\n"), HasSubstr("provisional: ")));
}

TEST_F(OrderctlCancelTest, WithoutATerminalNothingIsSentUnlessYesIsSaid) {
  Result result = run("cancel 1001 --reason r", "y\n");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("no terminal"), HasSubstr("--yes"), HasSubstr("--dry-run")));
  result = run("cancel 1001 --reason r --json", "y\n");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--json"), HasSubstr("--yes")));
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(OrderctlCancelTest, OptionsThatContradictEachOtherAreRefused) {
  for (const auto* arguments :
       {"cancel", "cancel 1001", "cancel 1001 --yes", "cancel 1001 --reason '' --yes",
        "cancel 1001 --dry-run --yes", "cancel 1001 --dry-run --wait", "cancel 1001 --abandon",
        "cancel 1001 --abandon --dry-run", "cancel 1001 --abandon --reason r --notify",
        "cancel 1001 --abandon --reason r --wait",
        "cancel 1001 --abandon --reason r --state canceled",
        "cancel 1001 --abandon --reason r --include-shipped"}) {
    EXPECT_EQ(run(arguments).code, 2) << arguments;
  }
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(OrderctlCancelTest, YesCancelsAtOnce) {
  const Result result = run(
      "cancel 1001 --yes --reason 'sold out' --notify --include-shipped --state returned --etag "
      "5 --request-id " +
      std::string(kRequestId));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(StartsWith("canceled: order 1001 (id-of-1001) is in state canceled; refunded "
                               "25.50 EUR, released 34.40 EUR\n"),
                    HasSubstr("succeeded"), HasSubstr("t-refund"),
                    HasSubstr("an e-mail to the customer is in the outbox\n")));
  EXPECT_THAT(result.err, HasSubstr("orderctl emails list --order 1001"));
  ASSERT_EQ(cancel_calls().size(), 1u);
  const auto request = cancel_calls()[0];
  EXPECT_EQ(request.request_id(), kRequestId);
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.reason(), "sold out");
  EXPECT_EQ(request.target_state_id(), "returned");
  EXPECT_EQ(request.etag(), "5");
  EXPECT_TRUE(request.notify_customer());
  EXPECT_TRUE(request.include_shipped());
  EXPECT_FALSE(request.validate_only());
}

TEST_F(OrderctlCancelTest, AtATerminalThePlanIsConfirmed) {
  const Result no = run_at_terminal("cancel 1001 --reason r", "n\n");
  EXPECT_EQ(no.code, 1);
  EXPECT_THAT(no.out, AllOf(HasSubstr("void    34.40 EUR"),
                            HasSubstr("cancel order 1001 and refund 25.50 EUR and release 34.40 "
                                      "EUR? [y/N]"),
                            HasSubstr("nothing was changed")));
  ASSERT_EQ(cancel_calls().size(), 1u);
  EXPECT_TRUE(cancel_calls()[0].validate_only());

  // Enter, and the end of the input, are no yes.
  EXPECT_EQ(run_at_terminal("cancel 1001 --reason r", "\n").code, 1);
  EXPECT_EQ(run_at_terminal("cancel 1001 --reason r", "\x04").code, 1);
  ASSERT_EQ(cancel_calls().size(), 3u);

  const Result yes = run_at_terminal("cancel 1001 --reason r", "y\n");
  EXPECT_EQ(yes.code, 0) << yes.out;
  EXPECT_THAT(yes.out, HasSubstr("canceled: order 1001"));
  ASSERT_EQ(cancel_calls().size(), 5u);
  EXPECT_TRUE(cancel_calls()[3].validate_only());
  EXPECT_EQ(cancel_calls()[3].etag(), "");
  EXPECT_FALSE(cancel_calls()[4].validate_only());
  EXPECT_EQ(cancel_calls()[4].etag(), "7") << "what was confirmed is what was shown";
}

TEST_F(OrderctlCancelTest, WhatIsCanceledAlreadyIsNotAskedFor) {
  changed_ = false;
  const Result result = run_at_terminal("cancel 1001 --reason r", "");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out,
              AllOf(StartsWith("no change: canceled: order 1001"), Not(HasSubstr("[y/N]"))));
  ASSERT_EQ(cancel_calls().size(), 1u);
  EXPECT_TRUE(cancel_calls()[0].validate_only());
}

TEST_F(OrderctlCancelTest, WhatIsNotFinishedIsSaid) {
  status_ = pb::CANCELLATION_STATUS_IN_PROGRESS;
  legs_ = {leg(kVoid, 3440, kUnknown, "GATEWAY_UNREACHABLE"), leg(kRefund, 2550)};
  Result result = run("cancel 1001 --reason r --yes");
  EXPECT_EQ(result.code, 11);
  EXPECT_THAT(result.out,
              AllOf(StartsWith("in progress: order 1001 (id-of-1001) is being canceled; "
                               "not returned yet 59.90 EUR\n"),
                    HasSubstr("unknown"), HasSubstr("GATEWAY_UNREACHABLE"), HasSubstr("planned")));
  EXPECT_THAT(result.err, AllOf(HasSubstr("the server goes on by itself"),
                                HasSubstr("orderctl get 1001"), Not(HasSubstr("by hand"))));
  EXPECT_EQ(run("cancel 1001 --reason r --yes --json").code, 11);
  // That it runs is no failure of the question.
  changed_ = false;
  result = run("cancel 1001 --dry-run");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, StartsWith("no change: "));
}

TEST_F(OrderctlCancelTest, WhatAPersonHasToDoIsSaid) {
  status_ = pb::CANCELLATION_STATUS_IN_PROGRESS;
  auto& open = *order_.mutable_payments(0)->add_open_transactions();
  open.set_transaction_id("t-refund");
  open.set_payment_id("p1");
  open.set_kind(kRefund);
  open.set_status(pb::TRANSACTION_STATUS_PENDING);
  open.set_reason("MANUAL");
  set(open.mutable_amount(), "EUR", 2550);
  legs_ = {leg(kRefund, 2550, pb::TRANSACTION_STATUS_PENDING, "MANUAL")};
  // Waiting would have no end.
  const Result result = run("cancel 1001 --reason r --yes --wait");
  EXPECT_EQ(result.code, 11);
  EXPECT_THAT(result.err,
              HasSubstr("the refund of 25.50 EUR of sandbox pay-1 has to be made by hand. "
                        "When it has been made:\n"
                        "  orderctl pay resolve 1001 t-refund succeeded --reason TEXT"));
}

TEST_F(OrderctlCancelTest, AFailedCancellationSaysWhatCanBeDone) {
  status_ = pb::CANCELLATION_STATUS_FAILED;
  legs_ = {leg(kRefund, 2550, kFailed, "CARD_CLOSED")};
  Result result = run("cancel 1001 --reason r --yes");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err,
              AllOf(StartsWith("error: the cancellation of order 1001 (id-of-1001) has failed; no "
                               "money returned\n"),
                    HasSubstr("the refund of 25.50 EUR of sandbox pay-1 was refused: CARD_CLOSED "
                              "(transaction t-refund)"),
                    HasSubstr("orderctl cancel 1001 --reason TEXT"),
                    HasSubstr("orderctl pay resolve 1001 TRANSACTION succeeded --reason TEXT"),
                    HasSubstr("orderctl cancel 1001 --abandon --reason TEXT")));
  EXPECT_EQ(run("cancel 1001 --reason r --yes --json").code, 6);

  // Once money has moved there is no way back.
  legs_ = {leg(kVoid, 3440, kSucceeded), leg(kRefund, 2550, kFailed, "CARD_CLOSED")};
  result = run("cancel 1001 --reason r --yes");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, AllOf(HasSubstr("released 34.40 EUR"), Not(HasSubstr("--abandon"))));
}

TEST_F(OrderctlCancelTest, ARefundThatIsOnItsWayIsNotCalledRefunded) {
  auto refund = leg(kRefund, 2550, pb::TRANSACTION_STATUS_PENDING);
  refund.set_initiated(true);
  legs_ = {refund};
  const Result result = run("cancel 1001 --reason r --yes");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("; refund initiated 25.50 EUR\n"),
                                Not(HasSubstr("refunded")), HasSubstr(" initiated ")));
  legs_ = {leg(kRefund, 2550, kFailed, "CARD_CLOSED")};
  const Result failed = run("cancel 1001 --reason r --yes");
  EXPECT_EQ(failed.code, 0);
  EXPECT_THAT(failed.err, HasSubstr("warning: the refund of 25.50 EUR of sandbox pay-1 has failed: "
                                    "CARD_CLOSED"));
}

TEST_F(OrderctlCancelTest, WaitsForTheEnd) {
  status_ = pb::CANCELLATION_STATUS_IN_PROGRESS;
  int looks = 0;
  server_.on_get_order = [&](const pb::GetOrderRequest&, pb::GetOrderResponse& response) {
    if (++looks == 2) status_ = pb::CANCELLATION_STATUS_COMPLETED;
    *response.mutable_order() = order_;
    response.mutable_order()->mutable_cancellation()->set_status(status_);
  };
  const Result result = run("cancel 1001 --reason r --yes --wait");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("canceled: order 1001"));
  EXPECT_EQ(looks, 2);
  ASSERT_EQ(cancel_calls().size(), 2u);
  EXPECT_EQ(cancel_calls()[0].SerializeAsString(), cancel_calls()[1].SerializeAsString())
      << "the retry of the same call";
}

TEST_F(OrderctlCancelTest, WaitingForTheCancellationOfAnotherBeginsNoOther) {
  changed_ = false;
  status_ = pb::CANCELLATION_STATUS_IN_PROGRESS;
  server_.on_get_order = [&](const pb::GetOrderRequest&, pb::GetOrderResponse& response) {
    status_ = pb::CANCELLATION_STATUS_FAILED;
    legs_ = {leg(kRefund, 2550, kFailed, "CARD_CLOSED")};
    *response.mutable_order() = order_;
    response.mutable_order()->mutable_cancellation()->set_status(status_);
  };
  const Result result = run("cancel 1001 --reason r --yes --wait");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, HasSubstr("was refused: CARD_CLOSED"));
  ASSERT_EQ(cancel_calls().size(), 2u);
  EXPECT_FALSE(cancel_calls()[0].validate_only());
  EXPECT_TRUE(cancel_calls()[1].validate_only());
}

TEST_F(OrderctlCancelTest, RefusalsSayWhatCanBeDone) {
  const auto refused = [&](const std::string& reason, const std::string& arguments) {
    server_.fail_next(to_grpc(rich_error(grpc::FAILED_PRECONDITION, reason)));
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 6) << reason;
    EXPECT_EQ(result.out, "") << reason;
    return result.err;
  };
  const std::string id = "01890000-0000-7000-8000-000000000000";
  const std::string cancel = "cancel " + id + " --reason r --yes";
  EXPECT_THAT(refused("CANCEL_REQUIRED", "status " + id + " canceled"),
              HasSubstr("`orderctl cancel ORDER --reason TEXT`"));
  EXPECT_THAT(refused("ORDER_SHIPPED", cancel), HasSubstr("--include-shipped"));
  EXPECT_THAT(refused("EMAIL_NOT_CONFIGURED", cancel + " --notify"),
              HasSubstr("leave --notify out"));
  EXPECT_THAT(refused("CUSTOMER_EMAIL_MISSING", cancel + " --notify"),
              HasSubstr("--set customer.email=ADDRESS"));
  EXPECT_THAT(refused("CANCELLATION_IN_PROGRESS", "status " + id + " processing"),
              HasSubstr("--abandon"));
  EXPECT_THAT(refused("CANCEL_NOT_ALLOWED", "cancel " + id + " --dry-run"),
              HasSubstr("orderctl states list"));
}

TEST_F(OrderctlCancelTest, WhatMayHaveBegunIsSaid) {
  const std::string id = "01890000-0000-7000-8000-000000000000";
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"), 6);
  const Result result = run("cancel " + id + " --reason r --yes");
  EXPECT_EQ(result.code, 7);
  EXPECT_THAT(result.err, AllOf(HasSubstr("may have begun"), HasSubstr("orderctl get " + id)));
  // A plan begins nothing.
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"), 6);
  EXPECT_THAT(run("cancel " + id + " --dry-run").err, Not(HasSubstr("may have begun")));
}

TEST_F(OrderctlCancelTest, GivesUp) {
  server_.on_abandon = [this](const pb::AbandonCancellationRequest&,
                              pb::AbandonCancellationResponse& response) {
    *response.mutable_order() = order_;
  };
  const Result result = run("cancel 1001 --abandon --reason 'found one more' --etag 8");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("given up: order 1001"));
  const auto request = last_request<pb::AbandonCancellationRequest>();
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.reason(), "found one more");
  EXPECT_EQ(request.etag(), "8");
  EXPECT_TRUE(cancel_calls().empty());
  EXPECT_EQ(run("cancel 1001 --abandon --reason r --json").code, 0);

  server_.fail_next(grpc::Status::OK);  // the look-up of the number
  server_.fail_next(to_grpc(rich_error(grpc::FAILED_PRECONDITION, "CANCELLATION_HAS_MOVED_MONEY")));
  EXPECT_EQ(run("cancel 1001 --abandon --reason r").code, 6);
}

TEST_F(OrderctlCancelTest, AnOrderShowsItsCancellation) {
  EXPECT_THAT(run("get 1001").out, Not(HasSubstr("cancellation")));
  auto& cancellation = *order_.mutable_cancellation();
  cancellation.set_status(pb::CANCELLATION_STATUS_FAILED);
  cancellation.set_reason("sold\nout");
  cancellation.set_target_state_id("canceled");
  cancellation.set_notify_customer(true);
  cancellation.mutable_start_time()->set_seconds(1'800'000'000);
  cancellation.set_pass(2);
  *cancellation.add_legs() = leg(kVoid, 3440, kSucceeded);
  *cancellation.add_legs() = leg(kRefund, 2550, kFailed, "CARD_CLOSED");
  cancellation.mutable_legs(1)->set_pass(2);
  auto& action = *order_.add_available_actions();
  action.set_kind(pb::ACTION_KIND_CANCEL);
  action.set_reason("CANCEL_NOT_ALLOWED");
  const std::string out = run("get 1001").out;
  EXPECT_THAT(out, HasSubstr("\ncancellation: failed, asked for at 2027-01-15T08:00:00Z, to go to "
                             "state canceled, with an e-mail to the customer\n"
                             "  reason: sold out\n"));
  EXPECT_THAT(out, HasSubstr("void    34.40 EUR  succeeded  -               1  t-void\n"));
  EXPECT_THAT(out, HasSubstr("refund  25.50 EUR  failed     CARD_CLOSED     2  t-refund\n"));
  EXPECT_THAT(out, HasSubstr("not possible: CANCEL_NOT_ALLOWED"));
}

}  // namespace
}  // namespace orderd::cli
