#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/client/orderctl_fixture.h"

// orderctl pay, and what get and list show of payments.

namespace orderd::cli {
namespace {

using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

constexpr char kRequestId[] = "0190c2a0-0000-7000-8000-000000000042";

/// An order of 59.90 EUR with one payment "p1", authorized.
class OrderctlPayTest : public OrderctlTest {
 protected:
  OrderctlPayTest() {
    order_.set_order_number("1001");
    order_.set_state_id("processing");
    order_.set_currency_code("EUR");
    set(order_.mutable_totals()->mutable_total(), "EUR", 5990);
    add_payment("p1", "sandbox", "pay-1", pb::PAYMENT_STATUS_AUTHORIZED);
    set_amounts(*order_.mutable_payments(0), 5990, 0, 0);
    allow(pb::ACTION_KIND_CAPTURE, "p1", 5990);
    allow(pb::ACTION_KIND_VOID, "p1", 5990);
    refuse(pb::ACTION_KIND_REFUND, "p1", "PAYMENT_NOT_REFUNDABLE");
    server_.on_capture = [this](const auto& request, auto& response) { answer(request, response); };
    server_.on_refund = [this](const auto& request, auto& response) { answer(request, response); };
    server_.on_void = [this](const auto& request, auto& response) { answer(request, response); };
    transaction_.set_transaction_id("t1");
    transaction_.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
    set(transaction_.mutable_amount(), "EUR", 5990);
  }

  pb::Payment& add_payment(const std::string& id, const std::string& account,
                           const std::string& reference, pb::PaymentStatus status) {
    auto& payment = *order_.add_payments();
    payment.set_payment_id(id);
    payment.set_gateway_account(account);
    payment.set_gateway_reference(reference);
    payment.set_status(status);
    return payment;
  }
  static void set_amounts(pb::Payment& payment, std::int64_t authorized, std::int64_t captured,
                          std::int64_t refunded) {
    set(payment.mutable_authorized(), "EUR", authorized);
    set(payment.mutable_captured(), "EUR", captured);
    set(payment.mutable_refunded(), "EUR", refunded);
    set(payment.mutable_voided(), "EUR", 0);
    set(payment.mutable_capturable(), "EUR", authorized - captured);
    set(payment.mutable_refundable(), "EUR", captured - refunded);
  }
  void allow(pb::ActionKind kind, const std::string& payment, std::int64_t most) {
    auto& action = *order_.add_available_actions();
    action.set_kind(kind);
    action.set_payment_id(payment);
    action.set_allowed(true);
    set(action.mutable_max_amount(), "EUR", most);
  }
  void refuse(pb::ActionKind kind, const std::string& payment, const std::string& reason) {
    auto& action = *order_.add_available_actions();
    action.set_kind(kind);
    action.set_payment_id(payment);
    action.set_reason(reason);
  }
  template <class Request, class Response>
  void answer(const Request& request, Response& response) {
    *response.mutable_order() = order_;
    *response.mutable_transaction() = transaction_;
    response.mutable_transaction()->set_payment_id(request.payment_id());
    if (request.validate_only()) response.mutable_transaction()->clear_transaction_id();
  }
  /// The number of calls that would move money.
  int money_calls() const {
    int count = 0;
    for (const auto& call : server_.calls()) {
      count += call.method == "CapturePayment" || call.method == "RefundPayment" ||
               call.method == "VoidPayment";
    }
    return count;
  }

  pb::PaymentTransaction transaction_;
};

pb::PaymentTransaction history(const std::string& id, pb::TransactionKind kind,
                               pb::TransactionStatus status, std::int64_t minor) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(id);
  transaction.set_payment_id("p1");
  transaction.set_kind(kind);
  transaction.set_status(status);
  transaction.mutable_amount()->set_currency_code("EUR");
  transaction.mutable_amount()->set_amount_minor(minor);
  transaction.mutable_create_time()->set_seconds(1'800'000'000);
  return transaction;
}

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
