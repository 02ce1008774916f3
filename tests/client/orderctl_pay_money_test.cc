#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/orderctl_pay_fixture.h"

// orderctl pay capture, refund and void: what is sent, and what is said of how it ended.

namespace orderd::cli {
namespace {

using orderd::testing::kRequestId;
using orderd::testing::OrderctlPayTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;

TEST_F(OrderctlPayTest, CapturesAllOrAPart) {
  const Result all = run("pay capture 1001");
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_EQ(all.out,
            "captured 59.90 EUR of sandbox pay-1 (transaction t1)\n"
            "payment p1: authorized, captured 0.00 EUR, refunded 0.00 EUR, capturable 59.90 EUR, "
            "refundable 0.00 EUR\n");
  EXPECT_EQ(all.err, "");
  auto request = last_request<pb::CapturePaymentRequest>();
  EXPECT_EQ(request.request_id().size(), 36u);
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.payment_id(), "p1");
  EXPECT_FALSE(request.has_amount());
  EXPECT_FALSE(request.final_capture() || request.validate_only());

  EXPECT_EQ(run("pay capture 1001 25.5 --final --reason 'sold out' --etag '\"7\"' --request-id " +
                std::string(kRequestId))
                .code,
            0);
  request = last_request<pb::CapturePaymentRequest>();
  EXPECT_EQ(request.request_id(), kRequestId);
  EXPECT_EQ(request.amount().ShortDebugString(), "currency_code: \"EUR\" amount_minor: 2550");
  EXPECT_TRUE(request.final_capture());
  EXPECT_EQ(request.reason(), "sold out");
  EXPECT_EQ(request.etag(), "\"7\"");
}

TEST_F(OrderctlPayTest, RefundsAndVoids) {
  EXPECT_THAT(run("pay refund 1001 0.05 --confirm --reason r").out,
              StartsWith("refunded 59.90 EUR of sandbox pay-1"));
  const auto refund = last_request<pb::RefundPaymentRequest>();
  EXPECT_EQ(refund.amount().amount_minor(), 5);
  EXPECT_TRUE(refund.confirm_external());
  EXPECT_EQ(refund.reason(), "r");
  EXPECT_THAT(run("pay void 1001 --reason v").out, StartsWith("voided 59.90 EUR of sandbox pay-1"));
  EXPECT_EQ(last_request<pb::VoidPaymentRequest>().reason(), "v");
  EXPECT_EQ(run("pay void 1001 5.00").code, 2);
}

TEST_F(OrderctlPayTest, ADryRunSaysWhatWouldHappen) {
  transaction_.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  transaction_.set_final_capture(true);
  const Result result = run("pay capture 1001 59.90 --final --dry-run");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "would capture 59.90 EUR of sandbox pay-1, and release the rest\n");
  EXPECT_TRUE(last_request<pb::CapturePaymentRequest>().validate_only());
}

TEST_F(OrderctlPayTest, WhatIsNotKnownIsSaid) {
  transaction_.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  const std::string with_id = std::string(" --request-id ") + kRequestId;
  Result result = run("pay capture 1001" + with_id);
  EXPECT_EQ(result.code, 11);
  EXPECT_EQ(result.out,
            "unknown: the capture of 59.90 EUR of sandbox pay-1 is under way, without an answer of "
            "the gateway so far (transaction t1)\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("orderctl pay show 1001"),
                                HasSubstr("--payment p1 --request-id " + std::string(kRequestId))));

  transaction_.set_status(pb::TRANSACTION_STATUS_PENDING);
  result = run("pay refund 1001");
  EXPECT_EQ(result.code, 11);
  EXPECT_EQ(result.out,
            "pending: the gateway has accepted the refund of 59.90 EUR of sandbox pay-1, but it is "
            "not final (transaction t1)\n");
  EXPECT_THAT(result.err, HasSubstr("orderctl pay show 1001"));

  transaction_.set_reason("MANUAL");
  result = run("pay refund 1001");
  EXPECT_EQ(result.code, 11);
  EXPECT_THAT(result.out, StartsWith("pending: the refund of 59.90 EUR of sandbox pay-1 has to be "
                                     "made by hand"));
  EXPECT_THAT(result.err, HasSubstr("orderctl pay resolve 1001 t1 succeeded --reason TEXT"));

  result = run("pay refund 1001 --json");
  EXPECT_EQ(result.code, 11);
  EXPECT_THAT(result.out, HasSubstr("\"status\":\"TRANSACTION_STATUS_PENDING\""));
}

TEST_F(OrderctlPayTest, AFailedAttemptIsAnError) {
  transaction_.set_status(pb::TRANSACTION_STATUS_FAILED);
  transaction_.set_reason("CARD_DECLINED");
  const Result result = run("pay capture 1001");
  EXPECT_EQ(result.code, 6);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err,
              AllOf(StartsWith("error: the capture of 59.90 EUR of sandbox pay-1 failed"),
                    HasSubstr("reason: CARD_DECLINED"), HasSubstr("no money moved")));
  const Result json = run("pay capture 1001 --json");
  EXPECT_EQ(json.code, 6);
  EXPECT_THAT(json.out, HasSubstr("CARD_DECLINED"));
}

TEST_F(OrderctlPayTest, AReplayIsSaid) {
  server_.on_capture = [this](const auto& request, auto& response) {
    answer(request, response);
    response.set_replayed(true);
  };
  EXPECT_THAT(run("pay capture 1001").out, StartsWith("done before: captured 59.90 EUR"));
}

TEST_F(OrderctlPayTest, ALostAnswerIsTriedAgainWithTheSameRequestId) {
  server_.on_get_order = [this](const pb::GetOrderRequest&, pb::GetOrderResponse& response) {
    *response.mutable_order() = order_;
    // The next call is the one that moves money.
    server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "connection lost"), 2);
  };
  EXPECT_EQ(run("pay capture 1001").code, 0);
  std::vector<std::string> ids;
  for (const auto& call : server_.calls()) {
    if (call.method == "CapturePayment") ids.push_back(call.request_id);
  }
  EXPECT_THAT(ids, ElementsAre(ids[0], ids[0], ids[0]));
}

TEST_F(OrderctlPayTest, AnErrorThatLeavesOpenWhatHappenedSaysHowToFindOut) {
  grpc::Status failure(grpc::UNAVAILABLE, "connection lost");
  server_.on_get_order = [&](const pb::GetOrderRequest&, pb::GetOrderResponse& response) {
    *response.mutable_order() = order_;
    server_.fail_next(failure, 6);
  };
  const Result lost = run("pay capture 1001 5.00");
  EXPECT_EQ(lost.code, 7);
  EXPECT_THAT(lost.err, AllOf(HasSubstr("the server may have begun it"),
                              HasSubstr("--payment p1 --request-id " +
                                        last_request<pb::CapturePaymentRequest>().request_id())));

  failure = to_grpc(rich_error(grpc::UNAVAILABLE, "GATEWAY_UNAVAILABLE"));
  EXPECT_THAT(run("pay capture 1001 5.00").err,
              AllOf(Not(HasSubstr("may have begun")), HasSubstr("nothing was changed")));
}

TEST_F(OrderctlPayTest, ARefusalSaysHowMuchIsPossible) {
  google::rpc::Status rich = rich_error(grpc::FAILED_PRECONDITION, "AMOUNT_TOO_LARGE");
  google::rpc::ErrorInfo info;
  info.set_reason("AMOUNT_TOO_LARGE");
  (*info.mutable_metadata())["max_capturable_minor"] = "2000";
  rich.mutable_details(0)->PackFrom(info);
  server_.on_get_order = [&](const pb::GetOrderRequest&, pb::GetOrderResponse& response) {
    *response.mutable_order() = order_;
    server_.fail_next(to_grpc(rich));
  };
  const Result result = run("pay capture 1001 60");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.err, AllOf(HasSubstr("reason: AMOUNT_TOO_LARGE"),
                                HasSubstr("hint: 20.00 EUR can be captured at most")));

  info.set_reason("FINAL_CAPTURE_REQUIRED");
  info.clear_metadata();
  (*info.mutable_metadata())["released_minor"] = "990";
  rich.mutable_details(0)->PackFrom(info);
  EXPECT_THAT(run("pay capture 1001 50").err,
              HasSubstr("--final captures it and releases the rest, 9.90 EUR"));
}

TEST_F(OrderctlPayTest, AmountsAreOfTheOrdersCurrency) {
  EXPECT_EQ(run("pay capture 1001 12.345").code, 1);
  EXPECT_THAT(run("pay capture 1001 12.345").err, HasSubstr("has more than 2 decimals"));
  EXPECT_THAT(run("pay refund 1001 -5").err, HasSubstr("\"-5\" is not an amount"));
  EXPECT_EQ(run("pay capture 1001 ''").code, 2) << "an empty argument is not all the money";
  EXPECT_EQ(run("pay capture 1001 5.00 --payment ''").code, 2);
  order_.set_currency_code("JPY");
  EXPECT_EQ(run("pay capture 1001 12.3").code, 1);
  EXPECT_EQ(money_calls(), 0);
  EXPECT_EQ(run("pay capture 1001 12").code, 0);
  EXPECT_EQ(last_request<pb::CapturePaymentRequest>().amount().ShortDebugString(),
            "currency_code: \"JPY\" amount_minor: 12");
  order_.clear_currency_code();
  EXPECT_EQ(run("pay capture 1001 12").code, 1);
  EXPECT_EQ(money_calls(), 1);
}

TEST_F(OrderctlPayTest, ThePaymentIsChosenIfOnlyOneIsPossible) {
  const auto chosen = [&](const std::string& command) {
    const int before = money_calls();
    const Result result = run(command);
    return money_calls() == before ? std::to_string(result.code) + " " + result.err
                                   : last_request<pb::CapturePaymentRequest>().payment_id();
  };
  set_amounts(add_payment("p2", "external", "till", pb::PAYMENT_STATUS_CAPTURED), 700, 700, 0);
  refuse(pb::ACTION_KIND_CAPTURE, "p2", "PAYMENT_NOT_CAPTURABLE");
  allow(pb::ACTION_KIND_REFUND, "p2", 700);
  EXPECT_EQ(chosen("pay capture 1001"), "p1");
  EXPECT_EQ(chosen("pay refund 1001"), "p2");
  EXPECT_EQ(chosen("pay refund 1001 --payment p1"), "p1") << "the server judges";
  EXPECT_EQ(chosen("pay refund 1001 --payment pay-1"), "p1") << "by its reference";
  EXPECT_EQ(chosen("pay refund 1001 --payment other"), "other");
  // Which one is left may have changed when the command comes again.
  EXPECT_THAT(chosen(std::string("pay refund 1001 --request-id ") + kRequestId),
              StartsWith("4 error: --request-id needs --payment"));

  add_payment("p3", "sandbox", "pay-3", pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_THAT(chosen("pay capture 1001"),
              AllOf(StartsWith("4 error: several payments can be captured; say which with "
                               "--payment:"),
                    HasSubstr("p1 (sandbox pay-1, authorized, 59.90 EUR)"),
                    HasSubstr("p3 (sandbox pay-3, unsynced)"), Not(HasSubstr("p2"))));

  order_.mutable_payments()->RemoveLast();
  order_.clear_available_actions();
  refuse(pb::ACTION_KIND_VOID, "p1", "PAYMENT_BUSY");
  refuse(pb::ACTION_KIND_VOID, "p2", "PAYMENT_NOT_VOIDABLE");
  EXPECT_THAT(chosen("pay void 1001"),
              AllOf(StartsWith("6 error: none of the order's payments can be voided:"),
                    HasSubstr("pay-1, authorized: PAYMENT_BUSY)"),
                    HasSubstr("till, captured: PAYMENT_NOT_VOIDABLE)")));
  order_.clear_payments();
  EXPECT_THAT(chosen("pay void 1001"), StartsWith("6 error: the order has no payments"));
}

}  // namespace
}  // namespace orderd::cli
