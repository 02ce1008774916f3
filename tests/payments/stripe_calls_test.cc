#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/payments/stripe_fixture.h"

namespace orderd::payments {
namespace {

using Kind = CallResult::Kind;
using testing::HasSubstr;

TEST_F(StripeTest, RequestsAreCheckedAgainstTheDescription) {
  if (test::FakeStripe::description().empty()) {
    GTEST_SKIP() << "Stripe's OpenAPI description is not at hand (ORDERD_STRIPE_DESCRIPTION)";
  }
  violations_expected_ = true;
  const auto payment = create({{"amount", 1000}});
  HttpClient http({});
  const auto send = [&](HttpRequest::Method method, const std::string& path,
                        const std::string& form) {
    HttpRequest request;
    request.method = method;
    request.url = fake_.url() + path;
    request.headers = {std::string("Authorization: Bearer ") + kTestKey,
                       "Stripe-Version: 2025-03-31.basil", "Idempotency-Key: " + path + form};
    if (method == HttpRequest::Method::kPost) {
      request.body = form;
    } else {
      request.url += "?" + form;
    }
    request.deadline = soon();
    return std::get<HttpAnswer>(http.send(request)).status;
  };
  const auto post = HttpRequest::Method::kPost;
  const std::string intent = "/v1/payment_intents/" + payment.gateway_reference;
  for (const auto* form :
       {"amount=1", "amount_to_capture=1.5", "amount_to_capture=", "amount_to_capture[a]=1",
        "final_capture=yes", "expand=latest_charge", "metadata[a]=1&multicapture=true",
        "metadata[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]=1"}) {
    EXPECT_EQ(send(post, intent + "/capture", form), 400) << form;
  }
  EXPECT_EQ(send(post, intent + "/cancel", "metadata[a]=b"), 400);
  EXPECT_EQ(send(post, intent + "/cancel", "cancellation_reason=bored"), 400);
  EXPECT_EQ(send(post, "/v1/refunds", "payment_intent=a&amount=x"), 400);
  EXPECT_EQ(send(post, "/v1/payouts", "amount=1"), 404);
  EXPECT_EQ(send(post, "/v1/payment_intents", "amount=1000"), 400);  // no currency
  EXPECT_EQ(send(post, "/v1/payment_intents", "amount=1000&currency=usd&orderd=1"), 400);
  EXPECT_EQ(send(HttpRequest::Method::kGet, "/v1/refunds", "payment=x"), 400);
  EXPECT_EQ(send(HttpRequest::Method::kGet, "/v1/charges", "limit=ten"), 400);
  const auto violations = fake_.control("violations");
  EXPECT_EQ(violations.size(), 16);
  EXPECT_THAT(violations.dump(), HasSubstr("parameter_unknown"));
  EXPECT_THAT(violations.dump(), HasSubstr("parameter_missing"));
  EXPECT_EQ(
      send(post, intent + "/capture", "amount_to_capture=1&metadata[a]=b&expand[]=latest_charge"),
      200);
}

TEST_F(StripeTest, CapturesWithItsAttemptAndKey) {
  const auto payment = create({{"amount", 1000}});
  fake_.control("forget_requests");
  const auto captured = stripe_->capture(payment, attempt("a1", 1000), soon());
  EXPECT_EQ(captured.kind, Kind::kSucceeded) << captured.reason;
  EXPECT_THAT(captured.gateway_transaction_id, testing::EndsWith("/a1"));
  EXPECT_TRUE(captured.time.has_value());

  const auto requests = fake_.requests();
  ASSERT_EQ(requests.size(), 1);
  EXPECT_EQ(requests[0]["key"], "key-a1");
  const nlohmann::json expected = {
      {"amount_to_capture", "1000"},
      {"metadata", {{"orderd_attempt", "a1"}, {"orderd_amount", "1000"}}},
      {"expand", {"latest_charge.balance_transaction"}}};
  EXPECT_EQ(requests[0]["parameters"], expected);
}

TEST_F(StripeTest, TellsStripeWhetherTheRestStaysOnlyWhereItMay) {
  const auto payment = create({{"amount", 1000}, {"multicapture", true}});
  Attempt first = attempt("a1", 300);
  first.multi_capture = true;
  EXPECT_EQ(stripe_->capture(payment, first, soon()).kind, Kind::kSucceeded);
  EXPECT_EQ(read(payment).status, pb::PAYMENT_STATUS_PARTLY_CAPTURED);
  Attempt last = attempt("a2", 200);
  last.multi_capture = true;
  last.final_capture = true;
  const auto captured = stripe_->capture(payment, last, soon());
  EXPECT_EQ(captured.kind, Kind::kSucceeded);
  EXPECT_EQ(read(payment).voided_minor, 500);

  // Not silently final: without multicapture the parameter is refused.
  const auto single = create({{"amount", 1000}});
  Attempt part = attempt("a3", 300);
  part.multi_capture = true;
  EXPECT_EQ(stripe_->capture(single, part, soon()).kind, Kind::kRefused);
  EXPECT_EQ(read(single).captured_minor, 0);
}

TEST_F(StripeTest, ARepeatedCallIsOneCall) {
  const auto payment = create({{"amount", 1000}});
  ASSERT_EQ(stripe_->capture(payment, attempt("a1", 1000), soon()).kind, Kind::kSucceeded);
  const auto first = stripe_->refund(payment, attempt("r1", 400), soon());
  const auto again = stripe_->refund(payment, attempt("r1", 400), soon());
  EXPECT_EQ(first.kind, Kind::kSucceeded);
  EXPECT_EQ(again.gateway_transaction_id, first.gateway_transaction_id);
  EXPECT_EQ(read(payment).refunded_minor, 400);

  const auto other = stripe_->refund(payment, attempt("r1", 500), soon());
  EXPECT_EQ(other.kind, Kind::kUnknown);
  EXPECT_EQ(other.reason, "KEY_REUSED");
}

TEST_F(StripeTest, VoidsWhatIsAuthorizedAndWhatIsOpen) {
  for (const auto* status : {"requires_capture", "requires_payment_method"}) {
    const auto payment = create({{"amount", 1000}, {"status", status}});
    const auto voided =
        stripe_->void_remainder(payment, attempt(std::string("v-") + status, 1000), soon());
    EXPECT_EQ(voided.kind, Kind::kSucceeded) << voided.reason;
    const auto reading = read(payment);
    EXPECT_EQ(reading.status, pb::PAYMENT_STATUS_VOIDED);
    const auto* movement = find(reading, pb::TRANSACTION_KIND_VOID);
    ASSERT_NE(movement, nullptr);
    EXPECT_EQ(movement->gateway_transaction_id, voided.gateway_transaction_id);
    EXPECT_EQ(movement->attempt_id, std::string("v-") + status);
    EXPECT_EQ(movement->time, voided.time);
    EXPECT_EQ(
        stripe_->void_remainder(payment, attempt(std::string("w-") + status, 1000), soon()).kind,
        Kind::kStateConflict);
  }
}

TEST_F(StripeTest, AVoidWhoseTagFailsReleasesNothing) {
  const auto payment = create({{"amount", 1000}});
  fault({{"kind", "500"}});
  EXPECT_EQ(stripe_->void_remainder(payment, attempt("v1", 1000), soon()).kind, Kind::kNotExecuted);
  EXPECT_EQ(read(payment).status, pb::PAYMENT_STATUS_AUTHORIZED);
  // Stripe repeats a 5xx for its key; the tag must not be stuck with it.
  EXPECT_EQ(stripe_->void_remainder(payment, attempt("v1", 1000), soon()).kind, Kind::kSucceeded);

  const auto other = create({{"amount", 1000}});
  fault({{"kind", "garbage"}, {"text", "{}"}});
  EXPECT_EQ(stripe_->void_remainder(other, attempt("v2", 1000), soon()).kind, Kind::kNotExecuted);
  EXPECT_EQ(read(other).status, pb::PAYMENT_STATUS_AUTHORIZED);
}

TEST_F(StripeTest, TheRestOfAPartialCaptureIsReleasedByACaptureOfNothing) {
  const auto payment = create({{"amount", 1000}, {"multicapture", true}});
  Attempt part = attempt("a1", 400);
  part.multi_capture = true;
  ASSERT_EQ(stripe_->capture(payment, part, soon()).kind, Kind::kSucceeded);
  // The answer is lost: the same attempt again is the same release.
  fault({{"kind", "drop_after"}, {"times", 2}, {"path", "/capture"}});
  EXPECT_EQ(stripe_->void_remainder(payment, attempt("v1", 600), soon()).kind, Kind::kUnknown);
  fake_.control("clear");
  const auto voided = stripe_->void_remainder(payment, attempt("v1", 600), soon());
  EXPECT_EQ(voided.kind, Kind::kSucceeded) << voided.reason;
  const auto reading = read(payment);
  EXPECT_EQ(reading.captured_minor, 400);
  EXPECT_EQ(reading.voided_minor, 600);
  ASSERT_NE(find(reading, pb::TRANSACTION_KIND_VOID), nullptr);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->attempt_id, "v1");
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_VOID)->gateway_transaction_id,
            voided.gateway_transaction_id);
  EXPECT_EQ(find(reading, pb::TRANSACTION_KIND_CAPTURE)->attempt_id, "a1");
}

TEST_F(StripeTest, RefundsEndAsStripeSays) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  const std::vector<std::tuple<std::string, Kind, std::string>> cases = {
      {"succeeded", Kind::kSucceeded, ""},
      {"pending", Kind::kPending, ""},
      {"requires_action", Kind::kPending, ""},
      {"canceled", Kind::kRefused, "CANCELED"},
      {"failed", Kind::kRefused, "CARD_EXPIRED_OR_CANCELED"},
      {"unheard_of", Kind::kUnknown, "UNREADABLE_ANSWER"},
  };
  for (const auto& [status, kind, reason] : cases) {
    fault({{"kind", "change"},
           {"members", {{"status", status}, {"failure_reason", "expired_or_canceled_card"}}}});
    const auto refund = stripe_->refund(payment, attempt("r-" + status, 10), soon());
    EXPECT_EQ(refund.kind, kind) << status;
    EXPECT_EQ(refund.reason, reason) << status;
    EXPECT_EQ(refund.gateway_transaction_id.empty(), kind == Kind::kUnknown) << status;
  }
}

TEST_F(StripeTest, RefusalsOfStripesRules) {
  const auto open = create({{"amount", 1000}, {"status", "requires_payment_method"}});
  EXPECT_EQ(stripe_->capture(open, attempt("a1", 1000), soon()).kind, Kind::kStateConflict);
  const auto payment = create({{"amount", 1000}});
  const auto large = stripe_->capture(payment, attempt("a2", 1001), soon());
  EXPECT_EQ(large.kind, Kind::kRefused);
  EXPECT_EQ(large.reason, "AMOUNT_TOO_LARGE");
  ASSERT_EQ(stripe_->capture(payment, attempt("a3", 1000), soon()).kind, Kind::kSucceeded);
  ASSERT_EQ(stripe_->refund(payment, attempt("r1", 1000), soon()).kind, Kind::kSucceeded);
  const auto again = stripe_->refund(payment, attempt("r2", 1), soon());
  EXPECT_EQ(again.kind, Kind::kStateConflict);
  EXPECT_EQ(again.reason, "ALREADY_REFUNDED");
  const auto missing = stripe_->refund({"pi_none", "USD"}, attempt("r3", 1), soon());
  EXPECT_EQ(missing.kind, Kind::kRefused);
  EXPECT_EQ(missing.reason, "PAYMENT_NOT_FOUND");
}

TEST_F(StripeTest, ErrorsAreTheSixResults) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  struct Case {
    int status;
    std::string type;
    std::string code;
    Kind kind;
    std::string reason;
  };
  const std::vector<Case> cases = {
      {402, "card_error", "card_declined", Kind::kRefused, "CARD_DECLINED"},
      {402, "card_error", "something_new", Kind::kRefused, "CARD_DECLINED"},
      {402, "card_error", "capture_charge_authorization_expired", Kind::kStateConflict,
       "AUTHORIZATION_EXPIRED"},
      {400, "invalid_request_error", "charge_expired_for_capture", Kind::kStateConflict,
       "AUTHORIZATION_EXPIRED"},
      {400, "invalid_request_error", "charge_disputed", Kind::kStateConflict, "DISPUTED"},
      {400, "invalid_request_error", "something_new", Kind::kRefused, "REQUEST_REFUSED"},
      {400, "idempotency_error", "", Kind::kUnknown, "KEY_REUSED"},
      {400, "something_new", "", Kind::kUnknown, "GATEWAY_ERROR"},
      {401, "invalid_request_error", "", Kind::kNotExecuted, "CREDENTIALS_REFUSED"},
      {403, "invalid_request_error", "", Kind::kNotExecuted, "PERMISSION_DENIED"},
      {409, "invalid_request_error", "idempotency_key_in_use", Kind::kNotExecuted, "KEY_IN_USE"},
      {409, "idempotency_error", "", Kind::kNotExecuted, "KEY_IN_USE"},
      {409, "invalid_request_error", "lock_timeout", Kind::kNotExecuted, "GATEWAY_BUSY"},
      {409, "invalid_request_error", "charge_disputed", Kind::kNotExecuted, "KEY_IN_USE"},
      {429, "invalid_request_error", "lock_timeout", Kind::kNotExecuted, "GATEWAY_BUSY"},
      {429, "card_error", "card_declined", Kind::kNotExecuted, "RATE_LIMITED"},
      {400, "invalid_request_error", "charge_already_captured", Kind::kStateConflict,
       "ALREADY_CAPTURED"},
      {400, "invalid_request_error", "payment_intent_unexpected_state", Kind::kStateConflict,
       "UNEXPECTED_STATE"},
      {404, "", "", Kind::kUnknown, "UNREADABLE_ANSWER"},
      {424, "api_error", "", Kind::kUnknown, "GATEWAY_ERROR"},
      {500, "api_error", "", Kind::kUnknown, "GATEWAY_ERROR"},
      {503, "invalid_request_error", "charge_disputed", Kind::kUnknown, "GATEWAY_ERROR"},
  };
  int n = 0;
  for (const auto& c : cases) {
    fault({{"kind", "error"}, {"status", c.status}, {"type", c.type}, {"code", c.code}});
    const auto result = stripe_->refund(payment, attempt("r" + std::to_string(n++), 10), soon());
    EXPECT_EQ(result.kind, c.kind) << c.status << " " << c.code;
    EXPECT_EQ(result.reason, c.reason) << c.status << " " << c.code;
  }
  EXPECT_EQ(read(payment).refunded_minor, 0);
}

TEST_F(StripeTest, ARateLimitSaysWhenToTryAgain) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  fault({{"kind", "429"}, {"retry_after", 7}});
  const auto limited = stripe_->refund(payment, attempt("r1", 10), soon());
  EXPECT_EQ(limited.kind, Kind::kNotExecuted);
  EXPECT_EQ(limited.reason, "RATE_LIMITED");
  EXPECT_EQ(limited.retry_after, std::chrono::seconds(7));
  EXPECT_EQ(stripe_->refund(payment, attempt("r1", 10), soon()).kind, Kind::kSucceeded);

  fault({{"kind", "429"}, {"retry_after", 9}});
  const auto error = read_error(payment);
  EXPECT_EQ(error.kind, FetchError::Kind::kUnavailable);
  EXPECT_EQ(error.retry_after, std::chrono::seconds(9));

  fault({{"kind", "429"}, {"retry_after", 86'400}});
  EXPECT_EQ(read_error(payment).retry_after, std::chrono::hours(1));
}

TEST_F(StripeTest, WhatWasSentWithoutAnAnswerIsUnknown) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  // A kept connection may be dead: libcurl sends once more, with the same key. So twice.
  fault({{"kind", "drop_after"}, {"times", 2}, {"path", "/v1/refunds"}});
  const auto dropped = stripe_->refund(payment, attempt("r1", 10), soon());
  EXPECT_EQ(dropped.kind, Kind::kUnknown);
  EXPECT_EQ(dropped.reason, "NO_ANSWER");
  fake_.control("clear");
  const auto found = read(payment);
  EXPECT_EQ(found.refunded_minor, 10);
  EXPECT_EQ(find(found, pb::TRANSACTION_KIND_REFUND)->attempt_id, "r1");
  EXPECT_EQ(stripe_->refund(payment, attempt("r1", 10), soon()).kind, Kind::kSucceeded);
  EXPECT_EQ(read(payment).refunded_minor, 10);

  for (const bool apply : {false, true}) {
    fault({{"kind", "hang"}, {"apply", apply}, {"path", "/v1/refunds"}});
    const auto late = stripe_->refund(payment, attempt(apply ? "r3" : "r2", 10),
                                      soon(std::chrono::milliseconds(300)));
    EXPECT_EQ(late.kind, Kind::kUnknown);
    fake_.control("clear");
    EXPECT_EQ(read(payment).refunded_minor, apply ? 20 : 10);
  }
  // A 5xx may hide a success, and comes again for its key.
  fault({{"kind", "500"}, {"apply", true}});
  EXPECT_EQ(stripe_->refund(payment, attempt("r4", 10), soon()).kind, Kind::kUnknown);
  EXPECT_EQ(stripe_->refund(payment, attempt("r4", 10), soon()).kind, Kind::kUnknown);
  EXPECT_EQ(read(payment).refunded_minor, 30);
}

TEST_F(StripeTest, AnswersThatMakeNoSenseAreUnknown) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  const auto refund = [&](const std::string& id) {
    return stripe_->refund(payment, attempt(id, 10), soon());
  };
  for (const auto* text : {"", "{", "[]", "\"x\"", "{\"id\":7}", "{\"id\":\"re_1\"}", "null"}) {
    fault({{"kind", "garbage"}, {"text", text}});
    EXPECT_EQ(refund("r1").kind, Kind::kUnknown) << text;
    fault({{"kind", "garbage"}, {"text", text}, {"status", 400}});
    EXPECT_EQ(refund("r1").kind, Kind::kUnknown) << text;
    fault({{"kind", "garbage"}, {"text", text}});
    EXPECT_NE(read_error(payment).reason, "") << text;
  }
  fault({{"kind", "big"}, {"bytes", 9 << 20}});
  EXPECT_EQ(refund("r1").kind, Kind::kUnknown);
  fault({{"kind", "garbage"}, {"text", std::string(1 << 20, '[')}});
  EXPECT_EQ(refund("r1").kind, Kind::kUnknown);
  EXPECT_EQ(read(payment).refunded_minor, 0);
}

TEST_F(StripeTest, WithoutAConnectionOrTimeNothingIsSent) {
  const auto payment = create({{"amount", 1000}, {"status", "succeeded"}});
  fake_.control("forget_requests");
  const auto late = stripe_->refund(payment, attempt("r1", 10), std::chrono::steady_clock::now());
  EXPECT_EQ(late.kind, Kind::kNotExecuted);
  EXPECT_EQ(fake_.requests().size(), 0);

  std::string url;
  {
    test::FakeStripe gone({});
    url = gone.url();
  }
  Stripe nowhere(ApiKey::from_environment("ORDERD_TEST_STRIPE_KEY"),
                 {.base_url = url, .ca_file = {}});
  EXPECT_EQ(nowhere.capture(payment, attempt("a1", 10), soon()).reason, "NO_CONNECTION");
  EXPECT_EQ(nowhere.capture(payment, attempt("a1", 10), soon()).kind, Kind::kNotExecuted);
}

TEST_F(StripeTest, AmountsThatCannotBeSaidAreNotSent) {
  const auto payment = create({{"amount", 5000}, {"currency", "kwd"}}, "KWD");
  fake_.control("forget_requests");
  EXPECT_EQ(stripe_->capture(payment, attempt("a1", 5), soon()).reason, "AMOUNT_NOT_REPRESENTABLE");
  EXPECT_EQ(stripe_->refund(payment, attempt("a1", 5), soon()).kind, Kind::kRefused);
  EXPECT_EQ(fake_.requests().size(), 0);
  pb::Money money;
  money.set_currency_code("KWD");
  money.set_amount_minor(5);
  EXPECT_EQ(stripe_->representable(money), Representable::kNo);
  money.set_amount_minor(50);
  EXPECT_EQ(stripe_->representable(money), Representable::kYes);
}

TEST_F(StripeTest, ReferencesDoNotLeaveThePath) {
  fake_.control("forget_requests");
  for (const auto* id :
       {"", "..", "pi_1/capture", "pi_1?a=b", "pi_1#", "pi%2f", "pi 1", "ch_1", "pi_1_secret_2"}) {
    EXPECT_EQ(read_error({id, "USD"}).kind, FetchError::Kind::kNotFound) << id;
    EXPECT_EQ(stripe_->capture({id, "USD"}, attempt("a", 1), soon()).kind, Kind::kRefused) << id;
    EXPECT_EQ(stripe_->void_remainder({id, "USD"}, attempt("a", 1), soon()).kind, Kind::kRefused);
  }
  EXPECT_EQ(fake_.requests().size(), 0);
}

TEST_F(StripeTest, ConnectionsAreKept) {
  const auto payment = create({{"amount", 1000}});
  read(payment);
  fake_.control("forget_requests");
  read(payment);
  read(payment);
  for (const auto& request : fake_.requests()) {
    EXPECT_EQ(request["connection"], fake_.requests()[0]["connection"]);
  }
}

TEST_F(StripeTest, CallsFromManyThreads) {
  std::vector<PaymentRef> payments;
  for (int i = 0; i < 8; ++i) payments.push_back(create({{"amount", 1000 + i}}));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < payments.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(read(payments[i]).authorized_minor, 1000 + static_cast<std::int64_t>(i));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(StripeTest, ANewKeyInTheFileIsTaken) {
  const auto payment = create({{"amount", 1000}});
  std::string folder = (std::filesystem::temp_directory_path() / "orderd-key-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string file = folder + "/key";
  const auto write = [&](const std::string& text) {
    std::ofstream(file + ".new") << text;
    std::filesystem::rename(file + ".new", file);
  };
  Stripe stripe(ApiKey::from_file(file), {.base_url = fake_.url(), .ca_file = {}});
  const auto reason = [&] {
    const auto reading = stripe.fetch(payment, soon());
    const auto* error = std::get_if<FetchError>(&reading);
    return error == nullptr ? std::string() : error->reason;
  };
  fake_.control("forget_requests");
  EXPECT_EQ(reason(), "CREDENTIALS_REFUSED");  // no file
  EXPECT_EQ(fake_.requests().size(), 0);
  write(std::string("  ") + kTestKey + "\n");
  EXPECT_EQ(reason(), "");
  fake_.control("key", {{"key", "sk_test_ROTATED"}});
  EXPECT_EQ(reason(), "CREDENTIALS_REFUSED");
  write("sk_test_ROTATED\n");
  EXPECT_EQ(reason(), "");
  write("two words\n");  // no key: the one before stays
  EXPECT_EQ(reason(), "");
  std::filesystem::remove(file);
  EXPECT_EQ(reason(), "");
  std::filesystem::remove_all(folder);
}

TEST(StripeOptions, TheKeyIsNeverSentInTheClear) {
  for (const auto* url : {"http://api.stripe.com", "http://127.0.0.1.example.com",
                          "http://127.0.0.1:80@example.com", "ftp://localhost", ""}) {
    EXPECT_THROW(Stripe(ApiKey::from_environment("X"), {.base_url = url, .ca_file = {}}),
                 std::invalid_argument)
        << url;
  }
}

}  // namespace
}  // namespace orderd::payments
