#include "server/orders/emails.h"

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;

constexpr Micros kMinute = 60'000'000;
constexpr Micros kHour = 60 * kMinute;

class Emails : public RulesTest {
 protected:
  Emails() { email_ = cancellation_email(order_, uuid(9), {true, "shop.example"}, kNow); }

  Result record(const SendResult& result) {
    return finish([&](const Target& t, const Context& c) { return record_send(result, t, c); });
  }
  Result retry(const std::string& recipient = "") {
    pb::RetryEmailRequest request;
    request.set_recipient(recipient);
    return finish([&](const Target& t, const Context& c) { return retry_email(request, t, c); });
  }
  /// Runs the rule and keeps the e-mail that it leaves.
  template <class Rule>
  Result finish(Rule rule) {
    Target target;
    target.order = &order_;
    target.email = &email_;
    auto result = rule(target, Context{now_, &kActor, &settings_});
    if (result.ok() && result->after) {
      const auto& event = result->events.at(0).email_changed();
      EXPECT_EQ(event.before().SerializeAsString(), email_.SerializeAsString());
      EXPECT_EQ(event.after().SerializeAsString(), result->email_updated->SerializeAsString());
      EXPECT_EQ(result->outcome.email_id(), email_.email_id());
      email_ = *result->email_updated;
    }
    return result;
  }
  static SendResult failure(bool for_good, int code, const std::string& error) {
    return {.sent = false, .refused_for_good = for_good, .code = code, .error = error};
  }

  pb::Email email_;
  Micros now_ = kNow;
};

TEST_F(Emails, StartOutDue) {
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email_.kind(), pb::EMAIL_KIND_ORDER_CANCELED);
  EXPECT_EQ(email_.order_id(), order_.order_id());
  EXPECT_EQ(email_.recipient(), "ann@example.com");
  EXPECT_EQ(email_.message_id(), "<" + uuid(9).to_string() + "@shop.example>");
  EXPECT_EQ(to_micros(email_.create_time()), kNow);
  EXPECT_EQ(to_micros(email_.next_time()), kNow);
  EXPECT_EQ(email_.tries(), 0);
}

TEST_F(Emails, NeedAUsableAddress) {
  EXPECT_TRUE(has_usable_email(order_));
  for (const auto* bad :
       {"", "ann", "ann@", "@example.com", "a b@example.com", "a@b\r\nBcc: c@d"}) {
    order_.mutable_customer()->set_email(bad);
    EXPECT_FALSE(has_usable_email(order_)) << bad;
    const auto dead = cancellation_email(order_, uuid(9), {true, "shop.example"}, kNow);
    EXPECT_EQ(dead.status(), pb::EMAIL_STATUS_DEAD);
    EXPECT_EQ(dead.last_error(), "CUSTOMER_EMAIL_MISSING");
    EXPECT_FALSE(dead.has_next_time());
  }
}

TEST_F(Emails, SentOnesAreOver) {
  EXPECT_TRUE(record(failure(false, 451, "GREYLISTED")).ok());
  now_ += kMinute;
  ASSERT_TRUE(record({.sent = true, .refused_for_good = false, .code = 250, .error = ""})->after);
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(email_.tries(), 2);
  EXPECT_EQ(email_.last_code(), 250);
  EXPECT_EQ(email_.last_error(), "");
  EXPECT_EQ(to_micros(email_.send_time()), now_);
  EXPECT_FALSE(email_.has_next_time());
  EXPECT_FALSE(record(failure(true, 550, "RECIPIENT_REFUSED"))->after);
  EXPECT_REFUSED(retry(), "EMAIL_SENT");
}

TEST_F(Emails, RefusedOnesAreDead) {
  EXPECT_TRUE(record(failure(true, 550, "RECIPIENT_REFUSED")).ok());
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(email_.last_code(), 550);
  EXPECT_EQ(email_.last_error(), "RECIPIENT_REFUSED");
  EXPECT_FALSE(email_.has_next_time());
  EXPECT_FALSE(record({.sent = true, .refused_for_good = false, .code = 250, .error = ""})->after);
}

TEST_F(Emails, OthersAreTriedEverMoreSlowlyForThreeDays) {
  std::vector<Micros> delays;
  Micros total = 0;
  while (email_.status() == pb::EMAIL_STATUS_PENDING) {
    ASSERT_LT(delays.size(), 100u);
    EXPECT_TRUE(record(failure(false, 0, "SERVER_UNREACHABLE")).ok());
    if (!email_.has_next_time()) break;
    delays.push_back((to_micros(email_.next_time()) - now_) / kMinute);
    total += delays.back() * kMinute;
    now_ = to_micros(email_.next_time());
  }
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_DEAD);
  ASSERT_GE(delays.size(), 12u);
  delays.resize(12);
  EXPECT_THAT(delays, ElementsAre(1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360));
  EXPECT_GT(total, 72 * kHour - 6 * kHour);
  EXPECT_LE(total, 72 * kHour);
}

TEST_F(Emails, DeadOnesCanBeTriedAgain) {
  EXPECT_TRUE(record(failure(true, 550, "RECIPIENT_REFUSED")).ok());
  const std::string message_id = email_.message_id();
  now_ += 10 * 24 * kHour;
  ASSERT_TRUE(retry("ann@example.org")->after);
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email_.recipient(), "ann@example.org");
  EXPECT_EQ(email_.message_id(), message_id);
  EXPECT_EQ(to_micros(email_.next_time()), now_);
  // With all of its tries before it.
  EXPECT_TRUE(record(failure(false, 451, "GREYLISTED")).ok());
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(to_micros(email_.next_time()), now_ + kMinute);
}

TEST_F(Emails, PendingOnesCanBeHastened) {
  EXPECT_FALSE(retry()->after) << "it is due";
  EXPECT_TRUE(record(failure(false, 451, "GREYLISTED")).ok());
  ASSERT_TRUE(retry()->after);
  EXPECT_EQ(to_micros(email_.next_time()), now_);
  EXPECT_EQ(email_.tries(), 1);
  EXPECT_FALSE(retry()->after);
  EXPECT_TRUE(retry("other@example.com")->after);
}

TEST_F(Emails, WithoutAnAddressOneMustBeGiven) {
  order_.mutable_customer()->clear_email();
  email_ = cancellation_email(order_, uuid(9), {true, "shop.example"}, kNow);
  EXPECT_REFUSED(retry(), "CUSTOMER_EMAIL_MISSING");
  EXPECT_TRUE(retry("ann@example.com")->after);
  EXPECT_EQ(email_.status(), pb::EMAIL_STATUS_PENDING);
}

TEST_F(Emails, MustExist) {
  Target target;
  target.order = &order_;
  pb::RetryEmailRequest request;
  request.set_email_id("nothing");
  const auto refused = retry_email(request, target, context());
  EXPECT_REFUSED(refused, "EMAIL_NOT_FOUND");
  EXPECT_EQ(metadata_of(refused.status(), "email_id"), "nothing");
  EXPECT_REFUSED(record_send({}, target, context()), "EMAIL_NOT_FOUND");
}

TEST(EmailRequests, AreChecked) {
  pb::ListEmailsRequest list;
  EXPECT_TRUE(validate(list).ok());
  list.set_page_size(-1);
  EXPECT_ONLY_VIOLATION(validate(list), "page_size");
  list.set_page_size(0);
  list.set_status(static_cast<pb::EmailStatus>(77));
  EXPECT_ONLY_VIOLATION(validate(list), "status");
  list.set_status(pb::EMAIL_STATUS_DEAD);
  list.set_order_id(repeated("x", 65));
  EXPECT_ONLY_VIOLATION(validate(list), "order_id");

  pb::RetryEmailRequest retry;
  retry.set_order_id(kUuid);
  retry.set_email_id(kUuid);
  EXPECT_TRUE(validate(retry).ok());
  retry.set_recipient("a@b\r\nBcc: c@d");
  EXPECT_ONLY_VIOLATION(validate(retry), "recipient");
  retry.set_recipient("");
  retry.set_email_id("");
  EXPECT_ONLY_VIOLATION(validate(retry), "email_id");
}

}  // namespace
}  // namespace orderd::rules
