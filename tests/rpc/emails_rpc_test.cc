#include <atomic>

#include "server/notify/dispatcher.h"
#include "server/notify/mailer.h"
#include "tests/notify/mail_server.h"
#include "tests/rpc/cancellation_fixture.h"

// The e-mails that cancellations write, from the call that asks for one to the mail server.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class EmailsRpcTest : public CancellationRpcTest {
 protected:
  static pb::CancelOrderRequest notifying(const std::string& order_id) {
    auto request = cancellation(order_id);
    request.set_notify_customer(true);
    return request;
  }
  /// An order of which a customer has been promised an e-mail.
  std::string canceled(const pb::NewOrder& order = new_order()) {
    const std::string order_id = create(order).order_id();
    const auto response = cancel(notifying(order_id));
    EXPECT_EQ(response.report().status(), kCompleted);
    EXPECT_TRUE(response.report().notifies_customer());
    return order_id;
  }
  pb::Email email_of(const std::string& order_id) {
    const auto all = emails(order_id);
    EXPECT_THAT(all, SizeIs(1));
    return all.empty() ? pb::Email() : all[0];
  }
  static pb::RetryEmailRequest retry(const pb::Email& email) {
    pb::RetryEmailRequest request;
    request.set_order_id(email.order_id());
    request.set_email_id(email.email_id());
    return request;
  }

  static std::string message_id(const nlohmann::json& message) {
    for (const auto& header : message["headers"]) {
      if (header[0] == "Message-Id") return header[1];
    }
    return "";
  }

  /// One pass of a dispatcher.
  int dispatch(const MailServer& server) {
    notify::SmtpOptions options;
    options.url = server.url();
    options.tls = notify::SmtpOptions::Tls::kNever;
    options.from = "Shop <shop@shop.example>";
    const notify::Templates templates("");
    const notify::Smtp smtp(options);
    notify::Dispatcher dispatcher(*storage_, parts_->engine, templates, smtp, options.from, {});
    const std::atomic<bool> stopping = false;
    return dispatcher.pass(stopping);
  }
};
ORDERD_ON_BOTH_DATABASES(EmailsRpcTest);

TEST_P(EmailsRpcTest, WhoAsksForAnEmailGetsOne) {
  const MailServer server;
  pb::NewOrder order = new_order();
  order.mutable_customer()->set_name("Zoë Müller");
  const Paid paid = attach(create(order).order_id(), new_payment(authorize(5000)));
  auto request = notifying(paid.order_id);
  request.set_request_id(new_request_id());
  const auto response = cancel(request);
  EXPECT_TRUE(response.report().notifies_customer());
  pb::Email email = email_of(paid.order_id);
  EXPECT_EQ(email.order_id(), paid.order_id);
  EXPECT_EQ(email.kind(), pb::EMAIL_KIND_ORDER_CANCELED);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email.recipient(), "ada@example.com");
  EXPECT_THAT(email.message_id(), testing::MatchesRegex("<.+@shop.example>"));
  EXPECT_TRUE(email.has_create_time());
  EXPECT_TRUE(email.has_next_time());
  EXPECT_EQ(email.tries(), 0);
  // Neither a retry nor another call writes one more.
  EXPECT_TRUE(cancel(request).replayed());
  EXPECT_FALSE(cancel(notifying(paid.order_id)).changed());
  EXPECT_THAT(emails(paid.order_id), SizeIs(1));

  EXPECT_EQ(dispatch(server), 1);
  const auto messages = server.messages();
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_EQ(messages[0]["recipients"], nlohmann::json({"ada@example.com"}));
  EXPECT_EQ(messages[0]["sender"], "shop@shop.example");
  EXPECT_EQ(messages[0]["to"], nlohmann::json({"Zoë Müller", "ada@example.com"}));
  EXPECT_EQ(message_id(messages[0]), email.message_id());
  EXPECT_NE(messages[0]["subject"].get<std::string>().find(response.order().order_number()),
            std::string::npos);
  email = email_of(paid.order_id);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(email.tries(), 1);
  EXPECT_TRUE(email.has_send_time());
  EXPECT_FALSE(email.has_next_time());
  EXPECT_EQ(email.last_error(), "");

  EXPECT_EQ(dispatch(server), 0);
  EXPECT_EQ(server.connections(), 1);
  const Failure failure = refusal(&Orders::RetryEmail, retry(email));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "EMAIL_SENT");

  // Its fate is in the order's history.
  std::vector<pb::EmailStatus> fate;
  for (const auto& event : events(paid)) {
    if (!event.has_email_changed()) continue;
    EXPECT_EQ(event.email_changed().has_before(), !fate.empty());
    EXPECT_EQ(event.email_changed().after().message_id(), email.message_id());
    fate.push_back(event.email_changed().after().status());
  }
  EXPECT_THAT(fate, ElementsAre(pb::EMAIL_STATUS_PENDING, pb::EMAIL_STATUS_SENT));
}

TEST_P(EmailsRpcTest, WhoDoesNotAskGetsNone) {
  const MailServer server;
  const std::string order_id = create(new_order()).order_id();
  EXPECT_FALSE(cancel(order_id).report().notifies_customer());
  // It is too late to ask.
  EXPECT_FALSE(cancel(notifying(order_id)).report().notifies_customer());
  const std::string moved = create(new_order()).order_id();
  move(moved, "canceled");
  EXPECT_THAT(emails(order_id), IsEmpty());
  EXPECT_THAT(emails(moved), IsEmpty());
  EXPECT_EQ(dispatch(server), 0);
  EXPECT_EQ(server.connections(), 0);
}

TEST_P(EmailsRpcTest, WithoutAnAddressNothingBegins) {
  pb::NewOrder order = new_order();
  order.mutable_customer()->clear_email();
  const Paid paid = attach(create(order).order_id(), new_payment(authorize(5000)));
  call(&Orders::SyncPayments, sync(paid));
  const std::string before = content();
  auto request = notifying(paid.order_id);
  for (const bool validate_only : {true, false}) {
    request.set_validate_only(validate_only);
    const Failure failure = refusal(&Orders::CancelOrder, request);
    EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(failure.reason, "CUSTOMER_EMAIL_MISSING");
  }
  EXPECT_EQ(content(), before);
  EXPECT_THAT(payment(paid), HasMoney(5000, 0, 0, 0));
  EXPECT_EQ(history(paid).size(), 1u);
  EXPECT_EQ(cancel(paid.order_id).report().status(), kCompleted);
  EXPECT_THAT(emails(paid.order_id), IsEmpty());
}

TEST_P(EmailsRpcTest, AServerThatSendsNoneSaysSo) {
  stop();
  processor_options_.mailing = {};
  start();
  const std::string order_id = create(new_order()).order_id();
  const std::string before = content();
  const Failure failure = refusal(&Orders::CancelOrder, notifying(order_id));
  EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "EMAIL_NOT_CONFIGURED");
  EXPECT_EQ(content(), before);
  EXPECT_EQ(cancel(order_id).report().status(), kCompleted);
}

TEST_P(EmailsRpcTest, ItIsWrittenWhenAllIsDone) {
  const Paid paid = captured(5000);
  fault(Operation::kRefund, FaultKind::kRefuse, "CARD_DECLINED", 1);
  auto response = cancel(notifying(paid.order_id));
  EXPECT_EQ(response.report().status(), kCancellationFailed);
  EXPECT_TRUE(response.report().notifies_customer());
  EXPECT_THAT(emails(paid.order_id), IsEmpty());
  // To the address that the customer has by then.
  pb::UpdateOrderRequest update;
  update.set_order_id(paid.order_id);
  update.mutable_customer()->set_email("lovelace@example.com");
  update.mutable_update_mask()->add_paths("customer.email");
  call(&Orders::UpdateOrder, update);
  // The first call's word stands.
  response = cancel(paid.order_id);
  EXPECT_EQ(response.report().status(), kCompleted);
  EXPECT_TRUE(response.report().notifies_customer());
  EXPECT_EQ(email_of(paid.order_id).recipient(), "lovelace@example.com");
}

TEST_P(EmailsRpcTest, ACustomerWhoseAddressIsGoneByThen) {
  const Paid paid = captured(5000);
  fault(Operation::kRefund, FaultKind::kRefuse, "CARD_DECLINED", 1);
  cancel(notifying(paid.order_id));
  pb::UpdateOrderRequest update;
  update.set_order_id(paid.order_id);
  update.mutable_update_mask()->add_paths("customer.email");
  call(&Orders::UpdateOrder, update);
  EXPECT_EQ(cancel(paid.order_id).report().status(), kCompleted);
  pb::Email email = email_of(paid.order_id);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(email.last_error(), "CUSTOMER_EMAIL_MISSING");
  EXPECT_EQ(refusal(&Orders::RetryEmail, retry(email)).reason, "CUSTOMER_EMAIL_MISSING");
  const MailServer server;
  EXPECT_EQ(dispatch(server), 0);

  auto request = retry(email);
  request.set_recipient("found@example.com");
  call(&Orders::RetryEmail, request);
  EXPECT_EQ(dispatch(server), 1);
  EXPECT_EQ(email_of(paid.order_id).status(), pb::EMAIL_STATUS_SENT);
  ASSERT_THAT(server.messages(), SizeIs(1));
  EXPECT_EQ(server.messages()[0]["recipients"], nlohmann::json({"found@example.com"}));
}

TEST_P(EmailsRpcTest, ARefusedRecipientIsForSomebodyToLookAt) {
  const std::string order_id = canceled();
  const MailServer refusing({"--answer", "RCPT", "550 5.1.1 no such user"});
  EXPECT_EQ(dispatch(refusing), 1);
  const pb::Email dead = email_of(order_id);
  EXPECT_EQ(dead.status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(dead.last_code(), 550);
  EXPECT_EQ(dead.last_error(), "RECIPIENT_REFUSED");
  EXPECT_FALSE(dead.has_next_time());
  EXPECT_EQ(dispatch(refusing), 0);
  pb::ListEmailsRequest list;
  list.set_status(pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(call(&Orders::ListEmails, list).emails_size(), 1);
  list.set_status(pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(call(&Orders::ListEmails, list).emails_size(), 0);

  auto request = retry(dead);
  request.set_request_id(new_request_id());
  request.set_recipient("ada@work.example");
  request.set_etag(get(order_id).etag());
  const auto retried = call(&Orders::RetryEmail, request);
  EXPECT_TRUE(retried.changed());
  EXPECT_EQ(retried.email().status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(retried.email().recipient(), "ada@work.example");
  EXPECT_EQ(retried.email().tries(), 0);
  EXPECT_EQ(retried.email().ShortDebugString(), email_of(order_id).ShortDebugString());
  EXPECT_EQ(retried.order().ShortDebugString(), get(order_id).ShortDebugString());

  const MailServer server;
  EXPECT_EQ(dispatch(server), 1);
  const auto messages = server.messages();
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_EQ(messages[0]["recipients"], nlohmann::json({"ada@work.example"}));
  EXPECT_EQ(message_id(messages[0]), dead.message_id());
  const auto replay = call(&Orders::RetryEmail, request);
  EXPECT_TRUE(replay.replayed());
  EXPECT_EQ(replay.email().status(), pb::EMAIL_STATUS_SENT);
}

TEST_P(EmailsRpcTest, AServerThatIsNotReadyIsTriedAgain) {
  const std::string order_id = canceled();
  const MailServer greylisting({"--answer", "RCPT", "451 4.7.1 later", "1"});
  EXPECT_EQ(dispatch(greylisting), 1);
  const pb::Email email = email_of(order_id);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email.last_code(), 451);
  EXPECT_NE(email.last_error(), "");
  EXPECT_EQ(email.tries(), 1);
  EXPECT_GT(email.next_time().seconds(), email.create_time().seconds());
  EXPECT_EQ(dispatch(greylisting), 0) << "it is not due";
  EXPECT_TRUE(call(&Orders::RetryEmail, retry(email)).changed());
  // Due already.
  EXPECT_FALSE(call(&Orders::RetryEmail, retry(email)).changed());
  EXPECT_EQ(dispatch(greylisting), 1);
  EXPECT_EQ(email_of(order_id).status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(email_of(order_id).tries(), 2);
  EXPECT_THAT(greylisting.messages(), SizeIs(1));
}

TEST_P(EmailsRpcTest, ListEmailsPages) {
  std::vector<std::string> expected;
  for (int i = 0; i < 5; ++i) expected.push_back(email_of(canceled()).email_id());
  pb::ListEmailsRequest request;
  request.set_page_size(2);
  std::vector<std::string> seen;
  std::vector<int> pages;
  do {
    const auto page = call(&Orders::ListEmails, request);
    pages.push_back(page.emails_size());
    for (const auto& email : page.emails()) seen.push_back(email.email_id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && pages.size() < 10);
  EXPECT_THAT(pages, ElementsAre(2, 2, 1));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_THAT(seen, testing::UnorderedElementsAreArray(expected));

  request.clear_page_token();
  const std::string token = call(&Orders::ListEmails, request).next_page_token();
  request.set_page_token(token);
  request.set_status(pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(refusal(&Orders::ListEmails, request).reason, "PAGE_TOKEN_INVALID");
  request.clear_status();
  request.set_order_id(create(new_order()).order_id());
  EXPECT_EQ(refusal(&Orders::ListEmails, request).reason, "PAGE_TOKEN_INVALID");
  request.clear_page_token();
  EXPECT_EQ(call(&Orders::ListEmails, request).emails_size(), 0);
  request.set_order_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::ListEmails, request).reason, "ORDER_NOT_FOUND");
  request.set_order_id("no-such-order");
  EXPECT_EQ(refusal(&Orders::ListEmails, request).reason, "ORDER_NOT_FOUND");
  request.set_page_size(-1);
  request.set_status(static_cast<pb::EmailStatus>(99));
  EXPECT_THAT(refusal(&Orders::ListEmails, request).fields,
              testing::UnorderedElementsAre("page_size", "status"));
}

TEST_P(EmailsRpcTest, MistakesAboutRetries) {
  const pb::Email email = email_of(canceled());
  const std::string other = canceled();
  const std::string before = content();
  auto request = retry(email);
  request.set_etag("1");
  EXPECT_EQ(refusal(&Orders::RetryEmail, request).reason, "ETAG_MISMATCH");
  request = retry(email);
  for (const char* id : {kUnknownId, "no-such-email"}) {
    request.set_email_id(id);
    const Failure failure = refusal(&Orders::RetryEmail, request);
    EXPECT_EQ(failure.code, grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(failure.reason, "EMAIL_NOT_FOUND");
    EXPECT_TRUE(failure.has_resource);
  }
  request = retry(email);
  request.set_order_id(other);
  EXPECT_EQ(refusal(&Orders::RetryEmail, request).reason, "EMAIL_NOT_FOUND");
  request.set_order_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::RetryEmail, request).reason, "ORDER_NOT_FOUND");
  request = retry(email);
  request.set_recipient("a@b.example\r\nBcc: c@d.example");
  EXPECT_THAT(refusal(&Orders::RetryEmail, request).fields, ElementsAre("recipient"));
  EXPECT_THAT(refusal(&Orders::RetryEmail, {}).fields,
              testing::UnorderedElementsAre("order_id", "email_id"));
  EXPECT_EQ(content(), before);
}

}  // namespace
}  // namespace orderd::test
