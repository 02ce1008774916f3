// The outbox, on both databases, with real SMTP servers.

#include "server/notify/dispatcher.h"

#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <string>

#include "server/orders/emails.h"
#include "tests/engine/engine_fixture.h"
#include "tests/notify/mail_server.h"

namespace orderd::notify {
namespace {

using nlohmann::json;
using test::MailServer;
using test::Server;

class DispatcherTest : public test::EngineTest {
 protected:
  static SmtpOptions options(const std::string& url) {
    SmtpOptions options;
    options.url = url;
    options.tls = SmtpOptions::Tls::kNever;
    options.timeout = test::kPatience;
    options.from = "Shop <shop@example.com>";
    return options;
  }

  int pass(Server& server, const SmtpOptions& smtp_options,
           const Dispatcher::Options& dispatcher_options = {}) {
    const Smtp smtp(smtp_options);
    Dispatcher dispatcher(*server.storage, server.engine, templates_, smtp, smtp_options.from,
                          dispatcher_options);
    return dispatcher.pass(running_);
  }
  int pass(Server& server, const MailServer& mail) { return pass(server, options(mail.url())); }

  /// An order whose customer is to get an e-mail.
  static Uuid order_with_email(Server& server, const std::string& recipient = "ada@example.org") {
    auto request = test::new_order();
    request.mutable_order()->mutable_customer()->set_name("Zo\u00eb, \"Z\"");
    request.mutable_order()->mutable_customer()->set_email(recipient);
    const auto created = server.call(test::create(request));
    EXPECT_TRUE(created.ok()) << created.status();
    test::Command command = own_command(created->order_id);
    command.rule = [id = Uuid::generate()](const rules::Target& target,
                                           const rules::Context& context) -> rules::Result {
      rules::Change change;
      change.after = *target.order;
      change.emails_created.push_back(rules::cancellation_email(
          *target.order, id, {.configured = true, .domain = "example.com"}, context.now));
      return change;
    };
    EXPECT_TRUE(server.call(std::move(command)).ok());
    return created->order_id;
  }

  static test::Command own_command(const Uuid& order_id) {
    test::Command command;
    command.actor = "tester";
    command.order_id = order_id;
    command.order_id_text = order_id.to_string();
    return command;
  }

  static std::vector<pb::Email> emails(Server& server) {
    return server.storage->begin_read(storage::Clock::now() + test::kPatience)
        ->list_emails(std::nullopt, std::nullopt, std::nullopt, 100);
  }
  static pb::Email email_of(Server& server, const Uuid& order_id) {
    const auto found = server.storage->begin_read(storage::Clock::now() + test::kPatience)
                           ->list_emails(order_id, std::nullopt, std::nullopt, 100);
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? pb::Email() : found.front();
  }

  /// As if the time had come to try it again.
  static void make_due(Server& server, const Uuid& order_id) {
    test::Command command = own_command(order_id);
    command.email_id = Uuid::parse(email_of(server, order_id).email_id());
    command.rule = [](const rules::Target& target, const rules::Context&) -> rules::Result {
      rules::Change change;
      change.after = *target.order;
      change.email_updated = *target.email;
      change.email_updated->mutable_next_time()->set_seconds(1);
      return change;
    };
    EXPECT_TRUE(server.call(std::move(command)).ok());
  }

  const Templates templates_{""};
  std::atomic<bool> running_{false};
  std::atomic<bool> stopped_{true};
};
ORDERD_ON_BOTH_DATABASES(DispatcherTest);

TEST_P(DispatcherTest, SendsWhatIsDueOnce) {
  Server server(open());
  const MailServer mail;
  EXPECT_EQ(pass(server, mail), 0);
  const Uuid order = order_with_email(server);
  EXPECT_EQ(pass(server, mail), 1);
  EXPECT_EQ(pass(server, mail), 0);

  const pb::Email email = email_of(server, order);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(email.tries(), 1);
  EXPECT_EQ(email.last_code(), 250);
  EXPECT_TRUE(email.has_send_time());
  ASSERT_EQ(mail.messages().size(), 1u);
  const json message = mail.messages()[0];
  const std::string number = server.stored(order)->order->order_number();
  EXPECT_EQ(message["recipients"], json({"ada@example.org"}));
  EXPECT_EQ(message["sender"], "shop@example.com");
  EXPECT_EQ(message["to"], json({"Zo\u00eb, \"Z\"", "ada@example.org"}));
  EXPECT_EQ(message["from"], json({"Shop", "shop@example.com"}));
  EXPECT_EQ(message["subject"], "Your order " + number + " has been canceled");
  ASSERT_EQ(message["parts"].size(), 2u);
  EXPECT_EQ(message["parts"][0]["type"], "text/plain");
  EXPECT_EQ(message["parts"][1]["type"], "text/html");
  EXPECT_THAT(message["parts"][0]["text"],
              testing::AllOf(testing::HasSubstr("Hello Zo\u00eb, \"Z\","),
                             testing::HasSubstr("2 x A thing: 21.00 EUR")));
  EXPECT_THAT(message["parts"][1]["text"], testing::HasSubstr("Zo\u00eb, &quot;Z&quot;"));
  bool found = false;
  for (const json& header : message["headers"]) {
    found = found || header == json({"Message-Id", email.message_id()});
  }
  EXPECT_TRUE(found) << message["headers"];
}

TEST_P(DispatcherTest, TellsOfTheOrderAsItWasThen) {
  Server server(open());
  const MailServer mail;
  const Uuid order = order_with_email(server);
  test::Command rename = own_command(order);
  rename.rule = [](const rules::Target& target, const rules::Context&) -> rules::Result {
    rules::Change change;
    change.after = *target.order;
    change.after->mutable_customer()->set_name("Somebody else");
    change.after->mutable_customer()->set_email("else@example.org");
    change.customer_changed = true;
    return change;
  };
  ASSERT_TRUE(server.call(std::move(rename)).ok());
  EXPECT_EQ(pass(server, mail), 1);
  ASSERT_EQ(mail.messages().size(), 1u);
  EXPECT_EQ(mail.messages()[0]["to"], json({"Zo\u00eb, \"Z\"", "ada@example.org"}));
}

TEST_P(DispatcherTest, ARefusedRecipientIsGivenUpAtOnce) {
  Server server(open());
  const Uuid order = order_with_email(server);
  {
    const MailServer mail({"--answer", "RCPT", "550 no such user"});
    EXPECT_EQ(pass(server, mail), 1);
  }
  pb::Email email = email_of(server, order);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(email.last_error(), "RECIPIENT_REFUSED");
  EXPECT_EQ(email.last_code(), 550);

  // RetryEmail, with a better address.
  const MailServer mail;
  EXPECT_EQ(pass(server, mail), 0);
  test::Command command = own_command(order);
  command.email_id = Uuid::parse(email.email_id());
  command.rule = [&](const rules::Target& target, const rules::Context& context) {
    pb::RetryEmailRequest request;
    request.set_order_id(order.to_string());
    request.set_email_id(email.email_id());
    request.set_recipient("right@example.org");
    return rules::retry_email(request, target, context);
  };
  ASSERT_TRUE(server.call(std::move(command)).ok());
  EXPECT_EQ(pass(server, mail), 1);
  EXPECT_EQ(email_of(server, order).status(), pb::EMAIL_STATUS_SENT);
  ASSERT_EQ(mail.messages().size(), 1u);
  EXPECT_EQ(mail.messages()[0]["recipients"], json({"right@example.org"}));
}

TEST_P(DispatcherTest, GreylistingIsOutlastedWithTheSameBytes) {
  Server server(open());
  const MailServer mail({"--answer", "DATA", "451 come back later", "2"});
  const Uuid order = order_with_email(server);
  const std::string message_id = email_of(server, order).message_id();
  for (int tries = 1; tries <= 2; ++tries) {
    EXPECT_EQ(pass(server, mail), 1);
    EXPECT_EQ(pass(server, mail), 0) << "it waits";
    const pb::Email email = email_of(server, order);
    EXPECT_EQ(email.status(), pb::EMAIL_STATUS_PENDING);
    EXPECT_EQ(email.last_error(), "GREYLISTED");
    EXPECT_EQ(email.last_code(), 451);
    EXPECT_EQ(email.tries(), tries);
    EXPECT_EQ(email.message_id(), message_id);
    make_due(server, order);
  }
  EXPECT_EQ(pass(server, mail), 1);
  EXPECT_EQ(email_of(server, order).status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(email_of(server, order).last_error(), "");
  EXPECT_EQ(mail.messages().size(), 1u);
}

TEST_P(DispatcherTest, ATryThatWasNotRecordedIsRepeatedByteForByte) {
  const MailServer mail;
  Uuid order;
  {
    Server first(open());
    order = order_with_email(first);
    // Sent, and then not recorded: the engine does not run any more.
    first.engine.stop();
    EXPECT_EQ(pass(first, mail), 1);
  }
  Server second(open());
  EXPECT_EQ(email_of(second, order).status(), pb::EMAIL_STATUS_PENDING);
  make_due(second, order);
  EXPECT_EQ(pass(second, mail), 1);
  EXPECT_EQ(email_of(second, order).status(), pb::EMAIL_STATUS_SENT);
  ASSERT_EQ(mail.messages().size(), 2u);
  EXPECT_EQ(mail.messages()[0]["raw"], mail.messages()[1]["raw"]);
}

TEST_P(DispatcherTest, WhatCanNotBeRecordedStopsThePass) {
  const MailServer mail;
  Server server(open());
  for (int i = 0; i < 5; ++i) order_with_email(server);
  server.engine.stop();
  EXPECT_EQ(pass(server, mail), 5);
  EXPECT_EQ(mail.messages().size(), 1u);
}

TEST_P(DispatcherTest, ADeadServerIsTriedAgain) {
  Server server(open());
  const Uuid order = order_with_email(server);
  std::string dead;
  {
    const MailServer gone;
    dead = gone.url();
  }
  EXPECT_EQ(pass(server, options(dead)), 1);
  const pb::Email email = email_of(server, order);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_PENDING);
  EXPECT_EQ(email.last_error(), "SERVER_UNREACHABLE");
  EXPECT_EQ(email.last_code(), 0);
  make_due(server, order);
  const MailServer mail;
  EXPECT_EQ(pass(server, mail), 1);
  EXPECT_EQ(mail.messages().size(), 1u);
}

TEST_P(DispatcherTest, SeveralServersNeverSendTheSame) {
  constexpr int kEmails = 30;
  const MailServer mail;
  Server one(open());
  // SQLite has one server only; then two threads of it.
  std::optional<Server> other_server;
  if (backend() == test::Backend::kMariadb) other_server.emplace(open());
  Server& two = other_server ? *other_server : one;
  std::set<std::string> ids;
  for (int i = 0; i < kEmails; ++i) {
    ids.insert(email_of(one, order_with_email(one)).message_id());
  }
  const auto drain = [&](Server& server) {
    int sum = 0;
    while (const int claimed = pass(server, options(mail.url()), {.batch = 4})) sum += claimed;
    return sum;
  };
  auto other = std::async(std::launch::async, [&] { return drain(two); });
  const int sum = drain(one) + other.get();
  EXPECT_EQ(sum, kEmails);
  EXPECT_EQ(mail.messages().size(), static_cast<std::size_t>(kEmails));
  for (const pb::Email& email : emails(one)) EXPECT_EQ(email.status(), pb::EMAIL_STATUS_SENT);
  for (const json& message : mail.messages()) {
    for (const json& header : message["headers"]) {
      if (header[0] == "Message-Id") {
        EXPECT_EQ(ids.erase(header[1]), 1u);
      }
    }
  }
  EXPECT_TRUE(ids.empty());
}

TEST_P(DispatcherTest, SendsNothingThatAnotherServerMightHaveClaimedMeanwhile) {
  const MailServer mail;
  Server server(open());
  order_with_email(server);
  EXPECT_EQ(pass(server, options(mail.url()), {.claim = std::chrono::microseconds(0)}), 1);
  EXPECT_TRUE(mail.messages().empty());
  EXPECT_EQ(pass(server, mail), 1);
  EXPECT_EQ(mail.messages().size(), 1u);
}

TEST_P(DispatcherTest, StopsWhenToldTo) {
  const MailServer mail;
  Server server(open());
  order_with_email(server);
  const SmtpOptions smtp_options = options(mail.url());
  const Smtp smtp(smtp_options);
  Dispatcher dispatcher(*server.storage, server.engine, templates_, smtp, smtp_options.from, {});
  EXPECT_EQ(dispatcher.pass(stopped_), 0);
  EXPECT_EQ(dispatcher.pass(running_), 1) << "nothing had been claimed";
  EXPECT_EQ(mail.messages().size(), 1u);
}

}  // namespace
}  // namespace orderd::notify
