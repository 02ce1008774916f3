#include <gtest/gtest.h>
#include <signal.h>

#include <optional>

#include "tests/money/cancel.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

constexpr char kNever[] = "3600";

/// E-mails about cancellations, from a server to a real mail server.
class CancelEmail : public DatabaseTest {
 protected:
  Server start(const MailServer& mail, const std::string& interval,
               const std::string& failpoint = "") {
    Server::Options options;
    options.gateways = {folder_.gateway("shop")};
    options.failpoint = failpoint;
    options.more_arguments = mail_arguments(mail.url(), interval);
    return Server(url(), options);
  }

  static Purchase canceled(const Shop& shop, bool notify = true) {
    Purchase purchase = make_purchase(shop, Shape::kAuthorized, "shop");
    const auto answer = cancel(shop, cancel_request(purchase, notify));
    EXPECT_TRUE(answer.ok()) << answer;
    EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
    EXPECT_EQ(answer->report().notifies_customer(), notify);
    return purchase;
  }

  static pb::Email email_of(const Shop& shop, const Purchase& purchase) {
    const auto emails = emails_of(shop, purchase.order_id);
    EXPECT_EQ(emails.size(), 1U);
    return emails.empty() ? pb::Email() : emails.front();
  }

  static pb::Email wait_for_try(const Shop& shop, const Purchase& purchase, int tries) {
    wait_until("the e-mail has been tried",
               [&] { return email_of(shop, purchase).tries() >= tries; });
    return email_of(shop, purchase);
  }

  static Reply<pb::RetryEmailResponse> retry(const Shop& shop, const pb::Email& email,
                                             const std::string& recipient = "") {
    pb::RetryEmailRequest request;
    request.set_request_id(new_uuid());
    request.set_order_id(email.order_id());
    request.set_email_id(email.email_id());
    request.set_recipient(recipient);
    return shop.send(&Orders::RetryEmail, request);
  }

  const Folder folder_;
};
ORDERD_ON_BOTH_DATABASES(CancelEmail);

/// Whatever a server dies of, each customer gets his e-mail, and all copies are the same.
TEST_P(CancelEmail, AServerThatDiesLosesNone) {
  const MailServer mail;
  std::vector<Purchase> purchases, silent;
  {
    const Server server = start(mail, kNever);
    for (int i = 0; i < 8; ++i) purchases.push_back(canceled(server.shop()));
    for (int i = 0; i < 2; ++i) silent.push_back(canceled(server.shop(), false));
  }
  // How many the mail server has in the end.
  std::size_t accepted = 0, recorded = 0;
  const auto expect = [&](std::size_t messages, std::size_t sent) {
    EXPECT_EQ(mail.messages().size(), messages);
    const Server server = start(mail, kNever);
    std::size_t count = 0;
    for (const Purchase& purchase : purchases) {
      count += email_of(server.shop(), purchase).status() == pb::EMAIL_STATUS_SENT;
    }
    EXPECT_EQ(count, sent);
    accepted = messages;
    recorded = sent;
  };
  struct Death {
    const char* failpoint;
    std::size_t accepts, records;
  };
  for (const Death& death :
       {Death{"email_before_send", 0, 0}, Death{"email_after_send", 1, 0},
        Death{"email_before_send:2", 1, 1}, Death{"email_after_send:2", 2, 1}}) {
    SCOPED_TRACE(death.failpoint);
    Server server = start(mail, "0.1", death.failpoint);
    EXPECT_EQ(server.process().wait(), -SIGKILL);
    expect(accepted + death.accepts, recorded + death.records);
    // Until then the dead server's claim keeps others away.
    let_emails_fall_due(url());
  }
  Server server = start(mail, "0.1");
  wait_until_mailed(server.shop());
  const Mailboxes boxes = mailboxes_of(mail);
  EXPECT_EQ(boxes.size(), purchases.size());
  // Two died between sending and recording.
  EXPECT_EQ(mail.messages().size(), purchases.size() + 2);
  for (const Purchase& purchase : purchases) {
    expect_mailed(server.shop(), boxes, purchase, true, 3);
    expect_canceled(server.shop(), purchase, true);
    EXPECT_EQ(retry(server.shop(), email_of(server.shop(), purchase)).reason, "EMAIL_SENT");
  }
  for (const Purchase& purchase : silent) {
    expect_mailed(server.shop(), boxes, purchase, false);
    expect_canceled(server.shop(), purchase, false);
  }
  EXPECT_EQ(server.process().terminate(), 0);
  check_database(url());
}

/// A claim that its server left behind need not be waited for.
TEST_P(CancelEmail, ARetryByHandTakesOverFromADeadServer) {
  const MailServer mail;
  std::optional<Purchase> purchase;
  {
    const Server server = start(mail, kNever);
    purchase = canceled(server.shop());
  }
  {
    Server server = start(mail, "0.1", "email_after_send");
    EXPECT_EQ(server.process().wait(), -SIGKILL);
  }
  const Server server = start(mail, "0.1");
  const auto retried = retry(server.shop(), email_of(server.shop(), *purchase));
  EXPECT_TRUE(retried.ok()) << retried;
  EXPECT_TRUE(retried->changed()) << retried;
  wait_until_mailed(server.shop());
  EXPECT_EQ(mail.messages().size(), 2U);
  expect_mailed(server.shop(), mailboxes_of(mail), *purchase, true, 2);
}

TEST_P(CancelEmail, AMailServerThatIsDownAtFirstGetsItLater) {
  std::string port;
  {
    const MailServer early;
    port = early.url().substr(early.url().rfind(':') + 1);
  }
  const auto options = [&] {
    Server::Options it;
    it.gateways = {folder_.gateway("shop")};
    it.more_arguments = mail_arguments("smtp://127.0.0.1:" + port);
    return it;
  }();
  Server server(url(), options);
  const Purchase purchase = canceled(server.shop());
  const pb::Email tried = wait_for_try(server.shop(), purchase, 1);
  EXPECT_EQ(tried.status(), pb::EMAIL_STATUS_PENDING) << tried.ShortDebugString();
  EXPECT_EQ(tried.last_error(), "SERVER_UNREACHABLE");
  EXPECT_EQ(tried.last_code(), 0);
  EXPECT_GT(tried.next_time().seconds(), tried.create_time().seconds() + 30) << "no backoff";

  const MailServer late({"--port", port});
  let_emails_fall_due(url());
  wait_until_mailed(server.shop());
  expect_mailed(server.shop(), mailboxes_of(late), purchase, true);
  const pb::Email sent = email_of(server.shop(), purchase);
  EXPECT_EQ(sent.tries(), 2);
  EXPECT_EQ(sent.message_id(), tried.message_id());
  EXPECT_EQ(sent.last_error(), "");
  EXPECT_EQ(server.process().terminate(), 0);
}

TEST_P(CancelEmail, AMailServerThatGreylistsGetsItLater) {
  const MailServer mail({"--answer", "RCPT", "451 4.7.1 try again later", "2"});
  Server server = start(mail, "0.1");
  const Purchase purchase = canceled(server.shop());
  for (const int tries : {1, 2}) {
    const pb::Email tried = wait_for_try(server.shop(), purchase, tries);
    EXPECT_EQ(tried.tries(), tries) << "tried again at once";
    EXPECT_EQ(tried.status(), pb::EMAIL_STATUS_PENDING) << tried.ShortDebugString();
    EXPECT_EQ(tried.last_code(), 451) << tried.ShortDebugString();
    EXPECT_FALSE(tried.last_error().empty());
    EXPECT_TRUE(mail.messages().empty());
    if (tries == 1) {
      EXPECT_TRUE(retry(server.shop(), tried).ok());
    } else {
      let_emails_fall_due(url());
    }
  }
  wait_until_mailed(server.shop());
  expect_mailed(server.shop(), mailboxes_of(mail), purchase, true);
  EXPECT_EQ(email_of(server.shop(), purchase).tries(), 3);
  EXPECT_EQ(server.process().terminate(), 0);
}

TEST_P(CancelEmail, ARecipientWhoIsRefusedIsGivenUpUntilSomebodyKnowsBetter) {
  const MailServer mail({"--answer", "RCPT", "550 5.1.1 no such user", "2"});
  Server server = start(mail, "0.1");
  const Purchase purchase = canceled(server.shop());
  wait_until_mailed(server.shop());
  const pb::Email dead = email_of(server.shop(), purchase);
  EXPECT_EQ(dead.status(), pb::EMAIL_STATUS_DEAD) << dead.ShortDebugString();
  EXPECT_EQ(dead.last_code(), 550) << dead.ShortDebugString();
  EXPECT_EQ(dead.last_error(), "RECIPIENT_REFUSED");
  EXPECT_EQ(dead.tries(), 1);
  EXPECT_FALSE(dead.has_next_time());
  // The order is canceled all the same.
  expect_canceled(server.shop(), purchase, true);
  pb::ListEmailsRequest list;
  list.set_status(pb::EMAIL_STATUS_DEAD);
  const auto letters = server.shop().call(&Orders::ListEmails, list);
  ASSERT_EQ(letters.emails_size(), 1);
  EXPECT_EQ(letters.emails(0).SerializeAsString(), dead.SerializeAsString());

  // Once more in vain, then to another address.
  ASSERT_TRUE(retry(server.shop(), dead).ok());
  wait_until_mailed(server.shop());
  EXPECT_EQ(email_of(server.shop(), purchase).status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_TRUE(mail.messages().empty());
  const std::string elsewhere = new_uuid() + "@elsewhere.test";
  const auto retried = retry(server.shop(), dead, elsewhere);
  ASSERT_TRUE(retried.ok()) << retried;
  EXPECT_EQ(retried->email().status(), pb::EMAIL_STATUS_PENDING);
  wait_until_mailed(server.shop());
  const pb::Email sent = email_of(server.shop(), purchase);
  EXPECT_EQ(sent.status(), pb::EMAIL_STATUS_SENT) << sent.ShortDebugString();
  EXPECT_EQ(sent.message_id(), dead.message_id());
  EXPECT_EQ(sent.recipient(), elsewhere);
  Mailboxes boxes = mailboxes_of(mail);
  ASSERT_EQ(boxes.size(), 1U);
  ASSERT_EQ(boxes[elsewhere].size(), 1U);
  EXPECT_EQ(boxes[elsewhere].begin()->first, sent.message_id());
  EXPECT_EQ(server.process().terminate(), 0);
}

}  // namespace
}  // namespace orderd::test
