#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/orderctl_pay_fixture.h"

// orderctl pay, and what get and list show of payments.

namespace orderd::cli {
namespace {

using orderd::testing::history;
using orderd::testing::kRequestId;
using orderd::testing::OrderctlPayTest;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

TEST_F(OrderctlPayTest, ShowsPaymentsAndTheirHistory) {
  auto& payment = *order_.mutable_payments(0);
  payment.set_status(pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  payment.set_description("card");
  set_amounts(payment, 5990, 2550, 500);
  payment.mutable_expire_time()->set_seconds(1'800'086'400);
  payment.set_attention(true);
  auto refund = history("t4", pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_UNKNOWN, 250);
  refund.set_reason("GATEWAY_UNREACHABLE");
  refund.set_description("late");
  *payment.add_open_transactions() = refund;
  order_.clear_available_actions();
  refuse(pb::ACTION_KIND_CAPTURE, "p1", "CAPTURE_NOT_ALLOWED");

  server_.on_list_transactions = [&](const pb::ListTransactionsRequest& request,
                                     pb::ListTransactionsResponse& response) {
    EXPECT_EQ(request.order_id(), "id-of-1001");
    if (request.page_token().empty()) {
      auto capture =
          history("t1", pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_SUCCEEDED, 2550);
      capture.set_final_capture(true);
      capture.set_actor("ana");
      *response.add_transactions() = capture;
      response.set_next_page_token("more");
      return;
    }
    auto adjustment =
        history("t2", pb::TRANSACTION_KIND_ADJUSTMENT, pb::TRANSACTION_STATUS_SUCCEEDED, -5);
    adjustment.set_reason("CAPTURED");
    *response.add_transactions() = adjustment;
    // Found by a sync after the capture, and older than it.
    auto first =
        history("t3", pb::TRANSACTION_KIND_AUTHORIZATION, pb::TRANSACTION_STATUS_SUCCEEDED, 5990);
    first.set_foreign(true);
    first.set_gateway_transaction_id("ch_1");
    first.mutable_complete_time()->set_seconds(1'799'999'940);
    *response.add_transactions() = first;
    *response.add_transactions() = refund;
  };

  const std::string payments =
      "\npayment p1: sandbox pay-1 (card)\n"
      "  STATUS           AUTHORIZED   CAPTURED  REFUNDED    VOIDED  CAPTURABLE  REFUNDABLE  "
      "EXPIRES               ATTENTION\n"
      "  partly captured   59.90 EUR  25.50 EUR  5.00 EUR  0.00 EUR   34.40 EUR   20.50 EUR  "
      "2027-01-16T08:00:00Z  ATTENTION\n"
      "  refund of 2.50 EUR is unknown: GATEWAY_UNREACHABLE\n"
      "  can't be captured: CAPTURE_NOT_ALLOWED\n";
  const Result show = run("pay show 1001");
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_EQ(
      show.out,
      "order 1001 (id-of-1001): state processing, total 59.90 EUR\n" + payments +
          "\n"
          "TIME                  KIND                AMOUNT  STATUS     WHY                        "
          "BY         AT GATEWAY  TRANSACTION\n"
          "2027-01-15T07:59:00Z  authorization    59.90 EUR  succeeded  -                          "
          "elsewhere  ch_1        t3\n"
          "2027-01-15T08:00:00Z  capture (final)  25.50 EUR  succeeded  -                          "
          "ana        -           t1\n"
          "2027-01-15T08:00:00Z  adjustment       -0.05 EUR  succeeded  CAPTURED                   "
          "-          -           t2\n"
          "2027-01-15T08:00:00Z  refund            2.50 EUR  unknown    GATEWAY_UNREACHABLE: late  "
          "-          -           t4\n");
  EXPECT_THAT(run("get 1001").out, HasSubstr(payments));

  const Result json = run("pay show 1001 --json");
  EXPECT_THAT(json.out, AllOf(StartsWith("{\"payments\":[{\"payment_id\":\"p1\","),
                              HasSubstr("],\"transactions\":[{\"transaction_id\":\"t1\","),
                              HasSubstr("},{\"transaction_id\":\"t3\","), EndsWith("}]}\n")));

  add_payment("p2", "external", "till", pb::PAYMENT_STATUS_UNSYNCED).set_discrepancy(true);
  EXPECT_THAT(run("pay show 1001").out,
              AllOf(HasSubstr("  unsynced           -         -         -       -           -      "
                              "     -  -        DISCREPANCY\n"),
                    HasSubstr("BY         PAYMENT  AT GATEWAY  TRANSACTION\n"),
                    HasSubstr("elsewhere  p1       ch_1        t3\n")));
}

TEST_F(OrderctlPayTest, ShowsThatThereAreNone) {
  order_.clear_payments();
  EXPECT_EQ(run("pay show 1001").out,
            "order 1001 (id-of-1001): state processing, total 59.90 EUR, no payments\n");
  EXPECT_EQ(run("pay show 1001 --json").out, "{\"payments\":[],\"transactions\":[]}\n");
  EXPECT_EQ(run("pay show 4711").code, 3);
}

TEST_F(OrderctlPayTest, WhatIsShownCannotControlTheTerminal) {
  auto& payment = *order_.mutable_payments(0);
  payment.set_gateway_reference("a\x1b[2J");
  payment.set_description("b\x1b[2J");
  auto open = history("t\x1b", pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 1);
  open.set_reason("c\x1b[2J");
  open.set_description("d\u202e");
  open.set_actor("e\x1b");
  *payment.add_open_transactions() = open;
  server_.on_list_transactions = [&](const auto&, auto& response) {
    *response.add_transactions() = open;
  };
  server_.on_list_unresolved = [&](const auto&, auto& response) {
    auto& unresolved = *response.add_payments();
    unresolved.set_order_number("f\x1b");
    *unresolved.mutable_payment() = payment;
  };
  transaction_.set_reason("g\x1b");
  transaction_.set_status(pb::TRANSACTION_STATUS_FAILED);
  for (const char* command : {"pay show 1001", "pay unresolved", "pay capture 1001"}) {
    const Result result = run(command);
    EXPECT_THAT(result.out + result.err, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\u202e"))))
        << command;
  }
}

TEST_F(OrderctlPayTest, AddsAPayment) {
  server_.on_add_payment = [](const pb::AddPaymentRequest& request,
                              pb::AddPaymentResponse& response) {
    response.mutable_order()->set_order_number("1001");
    auto& payment = *response.mutable_payment();
    payment.set_payment_id("p9");
    payment.set_gateway_account(request.payment().gateway_account());
    payment.set_gateway_reference(request.payment().gateway_reference());
    payment.set_status(request.payment().has_captured() ? pb::PAYMENT_STATUS_CAPTURED
                                                        : pb::PAYMENT_STATUS_UNSYNCED);
  };
  Result result = run("pay add 1001 --account stripe --reference pi_3 --description card");
  EXPECT_EQ(result.out, "added: payment p9 of order 1001: stripe pi_3, unsynced\n");
  EXPECT_THAT(result.err, HasSubstr("orderctl pay sync 1001"));
  EXPECT_EQ(last_request<pb::AddPaymentRequest>().payment().ShortDebugString(),
            "gateway_account: \"stripe\" gateway_reference: \"pi_3\" description: \"card\"");

  result = run("pay add 1001 --account external --reference till --captured 12");
  EXPECT_EQ(result.out, "added: payment p9 of order 1001: external till, captured\n");
  EXPECT_EQ(last_request<pb::AddPaymentRequest>().payment().captured().amount_minor(), 1200);

  server_.on_authorize = [](const sandbox::AuthorizeRequest& request,
                            sandbox::AuthorizeResponse& response) {
    EXPECT_EQ(request.ShortDebugString(),
              "gateway_account: \"sandbox\" amount { currency_code: \"EUR\" amount_minor: 5990 }");
    response.mutable_payment()->set_gateway_reference("pay_chosen");
  };
  result = run("pay add 1001 --account sandbox --authorize 59.90");
  EXPECT_EQ(result.out, "added: payment p9 of order 1001: sandbox pay_chosen, unsynced\n");

  const auto calls = server_.calls().size();
  EXPECT_EQ(run("pay add 1001 --account stripe").code, 2);
  EXPECT_EQ(run("pay add 1001 --account stripe --reference ''").code, 2);
  EXPECT_EQ(run("pay add 1001 --account a --reference b --captured 1 --authorize 2").code, 2);
  EXPECT_EQ(
      run("pay add 1001 --account a --authorize 2 --request-id " + std::string(kRequestId)).code,
      1);
  EXPECT_EQ(server_.calls().size(), calls);
}

TEST_F(OrderctlPayTest, SyncSaysWhatWasDifferent) {
  EXPECT_EQ(run("pay sync 1001").out, "no differences: the order has what the gateways say\n");
  EXPECT_EQ(last_request<pb::SyncPaymentsRequest>().payment_id(), "");
  server_.on_sync = [this](const auto&, pb::SyncPaymentsResponse& response) {
    *response.mutable_order() = order_;
    auto& difference = *response.add_differences();
    difference.set_payment_id("p1");
    difference.set_before_status(pb::PAYMENT_STATUS_UNSYNCED);
    difference.set_after_status(pb::PAYMENT_STATUS_AUTHORIZED);
    *difference.add_transactions() =
        history("t1", pb::TRANSACTION_KIND_AUTHORIZATION, pb::TRANSACTION_STATUS_SUCCEEDED, 5990);
  };
  EXPECT_EQ(run("pay sync 1001 --payment pay-1").out,
            "payment p1 (sandbox pay-1): unsynced -> authorized\n"
            "  TIME                  KIND              AMOUNT  STATUS     WHY  BY  AT GATEWAY  "
            "TRANSACTION\n"
            "  2027-01-15T08:00:00Z  authorization  59.90 EUR  succeeded  -    -   -           "
            "t1\n");
  EXPECT_EQ(last_request<pb::SyncPaymentsRequest>().payment_id(), "p1");
  EXPECT_THAT(run("pay sync 1001 --dry-run").out,
              StartsWith("payment p1 (sandbox pay-1) would change: unsynced -> authorized\n"));
  EXPECT_TRUE(last_request<pb::SyncPaymentsRequest>().validate_only());
}

TEST_F(OrderctlPayTest, UnresolvedListsOpenTransactionsAndPaymentsThatNeedAttention) {
  Result result = run("pay unresolved");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "nothing is unresolved\n");

  server_.on_list_unresolved = [this](const pb::ListUnresolvedTransactionsRequest& request,
                                      pb::ListUnresolvedTransactionsResponse& response) {
    EXPECT_EQ(request.gateway_account(), "sandbox");
    auto& unresolved = *response.add_payments();
    unresolved.set_order_number(request.page_token().empty() ? "1001" : "1002");
    *unresolved.mutable_payment() = order_.payments(0);
    unresolved.mutable_since_time()->set_seconds(1'800'000'000);
    if (!request.page_token().empty()) {
      unresolved.mutable_payment()->set_attention(true);
      return;
    }
    response.set_next_page_token("more");
    unresolved.mutable_next_check_time()->set_seconds(1'800'000'060);
    *unresolved.mutable_payment()->add_open_transactions() =
        history("t1", pb::TRANSACTION_KIND_CAPTURE, pb::TRANSACTION_STATUS_UNKNOWN, 2550);
    *unresolved.mutable_payment()->add_open_transactions() =
        history("t2", pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 100);
  };
  EXPECT_EQ(
      run("pay unresolved --account sandbox").out,
      "ORDER  SINCE                 ACCOUNT  REFERENCE  WHAT        AMOUNT  IS          WHY     "
      "   NEXT CHECK            TRANSACTION\n"
      "1001   2027-01-15T08:00:00Z  sandbox  pay-1      capture  25.50 EUR  unknown     -       "
      "   2027-01-15T08:01:00Z  t1\n"
      "1001   2027-01-15T08:00:00Z  sandbox  pay-1      refund    1.00 EUR  pending     -       "
      "   2027-01-15T08:01:00Z  t2\n"
      "1002   2027-01-15T08:00:00Z  sandbox  pay-1      payment          -  authorized  "
      "ATTENTION  never by itself       -\n");
  result = run("pay unresolved --account sandbox --json");
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 2);
}

TEST_F(OrderctlPayTest, ResolvesATransaction) {
  server_.on_resolve = [this](const pb::ResolveTransactionRequest& request,
                              pb::ResolveTransactionResponse& response) {
    *response.mutable_order() = order_;
    response.set_changed(true);
    *response.mutable_transaction() =
        history(request.transaction_id(), pb::TRANSACTION_KIND_REFUND, request.status(), 100);
  };
  EXPECT_EQ(run("pay resolve 1001 t7 succeeded --reason 'slip 88'").out,
            "the refund of 1.00 EUR of sandbox pay-1 is succeeded (transaction t7)\n");
  const auto request = last_request<pb::ResolveTransactionRequest>();
  EXPECT_EQ(request.transaction_id(), "t7");
  EXPECT_EQ(request.reason(), "slip 88");
  EXPECT_THAT(run("pay resolve 1001 t7 failed --reason r").out, HasSubstr("is failed"));
  EXPECT_EQ(last_request<pb::ResolveTransactionRequest>().status(), pb::TRANSACTION_STATUS_FAILED);
  EXPECT_EQ(run("pay resolve 1001 t7 unknown --reason r").code, 2);
  EXPECT_EQ(run("pay resolve 1001 t7 failed").code, 2);
}

TEST_F(OrderctlPayTest, ListFiltersByPayments) {
  EXPECT_EQ(run("list --payment authorized --attention --expires-before 2026-12-01").code, 0);
  const auto filter = last_request<pb::ListOrdersRequest>().filter();
  EXPECT_THAT(filter.payment_statuses(), ElementsAre(pb::PAYMENT_STATUS_AUTHORIZED));
  EXPECT_TRUE(filter.needs_attention());
  EXPECT_EQ(filter.authorization_expires_before().seconds(), 1'796'083'200);
  EXPECT_EQ(run("list").code, 0);
  EXPECT_FALSE(last_request<pb::ListOrdersRequest>().filter().needs_attention());
  EXPECT_FALSE(last_request<pb::ListOrdersRequest>().filter().has_authorization_expires_before());
  EXPECT_EQ(run("list --expires-before soon").code, 1);
}

}  // namespace
}  // namespace orderd::cli
