// No key, card number or text of the gateway gets into a log line or an error, whatever goes wrong.

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/payments/stripe_fixture.h"

namespace orderd::payments {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What must not be seen. fake_stripe.py puts SECRET and a card number into every error, and parts
/// of a card and a client secret into every payment; the key is the fixture's.
constexpr const char* kSecrets[] = {
    "PLANTEDKEY",      "SECRET", "Bearer",  "4242",          "key-",      "amount_to_capture",
    "CARDFINGERPRINT", "last4",  "message", "Authorization", "metadata[", "client_secret"};

class StripeSecrets : public StripeTest {
 protected:
  StripeSecrets() : before_(spdlog::default_logger()) {
    const auto logger = std::make_shared<spdlog::logger>(
        "captured", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_));
    logger->set_level(spdlog::level::trace);
    spdlog::set_default_logger(logger);
  }
  ~StripeSecrets() override { spdlog::set_default_logger(before_); }

  void TearDown() override {
    StripeTest::TearDown();
    EXPECT_THAT(log_.str(), HasSubstr("ended with"));
    const std::string all = log_.str() + said_;
    for (const auto* secret : kSecrets) EXPECT_THAT(all, Not(HasSubstr(secret))) << secret;
  }

  void note(const CallResult& result) {
    said_ += result.reason + ' ' + result.gateway_transaction_id + '\n';
  }
  void note(const std::variant<Reading, FetchError>& fetched) {
    if (const auto* error = std::get_if<FetchError>(&fetched)) {
      said_ += error->reason + '\n';
      return;
    }
    for (const auto& movement : std::get<Reading>(fetched).movements) {
      said_ += movement.gateway_transaction_id + ' ' + movement.attempt_id + ' ' + movement.reason +
               '\n';
    }
  }

  /// Every operation, each meeting the fault.
  void call_all(Stripe& stripe, const nlohmann::json& trouble = nullptr,
                std::chrono::milliseconds time = std::chrono::seconds(60)) {
    const auto authorized = create({{"amount", 1000}});
    const auto captured = create({{"amount", 1000}, {"status", "succeeded"}});
    const auto arm = [&] {
      if (!trouble.is_null()) fault(trouble);
    };
    const auto next = [&](std::int64_t amount) {
      return attempt("attempt" + std::to_string(++attempts_), amount);
    };
    arm();
    note(stripe.capture(authorized, next(600), soon(time)));
    fake_.control("clear");
    arm();
    note(stripe.void_remainder(authorized, next(400), soon(time)));
    fake_.control("clear");
    arm();
    note(stripe.refund(captured, next(10), soon(time)));
    fake_.control("clear");
    arm();
    note(stripe.fetch(captured, soon(time)));
    fake_.control("clear");
  }

  std::ostringstream log_;
  /// All that results, readings and errors say.
  std::string said_;
  int attempts_ = 0;

 private:
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(StripeSecrets, OfErrorsThatStripeGives) {
  for (const auto& [status, type, code] : std::vector<std::tuple<int, std::string, std::string>>{
           {402, "card_error", "card_declined"},
           {402, "card_error", "code_SECRET"},
           {400, "invalid_request_error", "code_SECRET"},
           {400, "invalid_request_error", "charge_already_captured"},
           {400, "invalid_request_error", "payment_intent_unexpected_state"},
           {400, "idempotency_error", "code_SECRET"},
           {400, "type_SECRET", "code_SECRET"},
           {401, "type_SECRET", "code_SECRET"},
           {403, "type_SECRET", "code_SECRET"},
           {404, "invalid_request_error", "resource_missing"},
           {409, "type_SECRET", "idempotency_key_in_use"},
           {429, "type_SECRET", "code_SECRET"},
           {500, "api_error", "code_SECRET"},
           {503, "api_error", "code_SECRET"}}) {
    call_all(*stripe_, {{"kind", "error"}, {"status", status}, {"type", type}, {"code", code}});
  }
}

TEST_F(StripeSecrets, OfAnswersThatMakeNoSense) {
  for (const auto* text :
       {"{\"id\": \"SECRET", "<html>SECRET 4242424242424242</html>", "[\"SECRET\"]", "\"SECRET\"",
        R"({"id": "re_1 SECRET", "status": "succeeded"})",
        R"({"id": "re_1", "status": "SECRET", "failure_reason": "SECRET"})",
        R"({"id": "re_1", "status": "failed", "failure_reason": "SECRET"})",
        R"({"amount_received": "SECRET", "latest_charge": "SECRET"})",
        R"({"amount_received": 1000, "latest_charge": "ch 4242 SECRET"})",
        R"({"data": [{"id": "SECRET!", "status": "failed"}], "has_more": false})"}) {
    for (const int status : {200, 302, 400, 404, 500}) {
      call_all(*stripe_, {{"kind", "garbage"}, {"text", text}, {"status", status}});
    }
  }
}

TEST_F(StripeSecrets, OfObjectsWithStrangeMembers) {
  for (const auto& members : std::vector<nlohmann::json>{
           {{"status", "SECRET"}},
           {{"status", "failed"}, {"failure_reason", "SECRET"}},
           {{"amount_received", "SECRET"}},
           {{"currency", "SECRET"}},
           {{"data", {{{"id", "SECRET 4242"}}}}},
           {{"cancellation_reason", "SECRET"}, {"metadata", {{"orderd_attempt", "a SECRET"}}}}}) {
    call_all(*stripe_, {{"kind", "change"}, {"members", members}, {"times", 8}});
  }
}

TEST_F(StripeSecrets, OfConnectionsThatBreak) {
  call_all(*stripe_, {{"kind", "drop_before"}, {"times", 8}});
  call_all(*stripe_, {{"kind", "drop_after"}, {"times", 8}});
  call_all(*stripe_, {{"kind", "429"}, {"times", 8}, {"retry_after", 3}});
  call_all(*stripe_, {{"kind", "500"}, {"apply", true}});
  call_all(*stripe_, {{"kind", "hang"}}, std::chrono::milliseconds(200));
  std::string url;
  {
    test::FakeStripe gone({});
    url = gone.url();
  }
  Stripe nowhere(ApiKey::from_environment("ORDERD_TEST_STRIPE_KEY"),
                 {.base_url = url, .ca_file = {}});
  call_all(nowhere);
}

TEST_F(StripeSecrets, OfKeysThatAreRefused) {
  fake_.control("key", {{"key", "another"}});
  call_all(*stripe_);
  Stripe keyless(ApiKey::from_file("/dev/null"), {.base_url = fake_.url(), .ca_file = {}});
  call_all(keyless);
  // A reference that is a client secret, pasted by mistake.
  note(stripe_->capture({"pi_1_secret_SECRET", "USD"}, attempt("a", 1), soon()));
  note(stripe_->fetch({"pi_1_secret_SECRET", "USD"}, soon()));
}

TEST_F(StripeSecrets, OfWhatGoesWell) {
  fault({{"kind", "500"}});  // for a line in the log
  call_all(*stripe_);
}

}  // namespace
}  // namespace orderd::payments
