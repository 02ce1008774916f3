#include "server/ops/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "server/ops/gateways.h"
#include "server/ops/mail.h"

namespace orderd::ops {
namespace {

std::optional<Config> parse(std::vector<const char*> arguments, int& exit_code) {
  arguments.insert(arguments.begin(), "orderd");
  return parse_config(static_cast<int>(arguments.size()), arguments.data(), exit_code);
}

TEST(ConfigTest, TheCommandLineWinsOverTheEnvironment) {
  int exit_code = -1;
  ::setenv("ORDERD_DATABASE", "sqlite:from-environment", 1);
  ::setenv("ORDERD_LANES", "3", 1);
  const auto config = parse({"--database", "sqlite:from-command-line"}, exit_code);
  ::unsetenv("ORDERD_DATABASE");
  ::unsetenv("ORDERD_LANES");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->database, "sqlite:from-command-line");
  EXPECT_EQ(config->lanes, 3);
  EXPECT_EQ(config->listen, "127.0.0.1:50051");
}

TEST(ConfigTest, HelpAndVersionEndWell) {
  for (const char* option : {"--help", "--version"}) {
    int exit_code = -1;
    testing::internal::CaptureStdout();
    EXPECT_FALSE(parse({option}, exit_code));
    EXPECT_NE(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(exit_code, 0);
  }
}

TEST(ConfigTest, MistakesAreExplainedWithoutPasswords) {
  const std::vector<std::vector<const char*>> mistakes = {{"--listen", "50051"},
                                                          {"--listen", "127.0.0.1:x"},
                                                          {"--listen", "127.0.0.1:65536"},
                                                          {"--listen", ":1"},
                                                          {"--database", "postgres://u:secret@h/d"},
                                                          {"--lanes", "0"},
                                                          {"--log-level", "loud"},
                                                          {"--log-format", "xml"},
                                                          {"--metrics", "9464"},
                                                          {"--metrics", "127.0.0.1:http"},
                                                          {"--tls-cert", "cert"},
                                                          {"--tls-key", "key"},
                                                          {"--tls-client-ca", "ca"},
                                                          {"--tls-client-roles", "roles"},
                                                          {"--tls-client-crl", "crl"},
                                                          {"--no-such-option"}};
  for (const auto& mistake : mistakes) {
    int exit_code = -1;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse(mistake, exit_code)) << mistake.back();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text, "");
    EXPECT_EQ(text.find("secret"), text.npos) << text;
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(ConfigTest, Limits) {
  int exit_code = -1;
  const auto config = parse(
      {"--max-calls", "10", "--rate-limit", "2.5", "--max-deadline", "60", "--memory-mb", "64"},
      exit_code);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->limits.calls, 10u);
  EXPECT_EQ(config->limits.rate, 2.5);
  EXPECT_EQ(config->limits.burst, 2.5);
  EXPECT_EQ(config->limits.max_deadline, std::chrono::seconds(60));
  EXPECT_EQ(config->limits.memory_mb, 64u);
  const std::vector<std::vector<const char*>> mistakes = {
      {"--max-calls", "0"},
      {"--rate-burst", "5"},
      {"--rate-limit", "-1"},
      {"--max-deadline", "10", "--default-deadline", "20"}};
  for (const auto& mistake : mistakes) {
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse(mistake, exit_code)) << mistake.front();
    EXPECT_NE(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(ConfigTest, GatewaysAndTheirTimes) {
  using Kind = GatewayAccount::Kind;
  int exit_code = -1;
  const auto config =
      parse({"--gateway", "shop_1=stripe:/etc/key=1", "--gateway=b-2=stripe:env:KEY", "--gateway",
             "c=sandbox:a:b", "--gateway-timeout", "0.5", "--reconcile-interval", "0.25"},
            exit_code);
  ASSERT_TRUE(config);
  ASSERT_EQ(config->gateways.size(), 3u);
  const auto is = [&](std::size_t i, const char* name, Kind kind, const char* location) {
    EXPECT_EQ(config->gateways[i].name, name);
    EXPECT_EQ(config->gateways[i].kind, kind);
    EXPECT_EQ(config->gateways[i].location, location);
  };
  is(0, "shop_1", Kind::kStripeKeyFile, "/etc/key=1");
  is(1, "b-2", Kind::kStripeKeyVariable, "KEY");
  is(2, "c", Kind::kSandbox, "a:b");
  EXPECT_EQ(config->gateway_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(config->reconcile_interval, std::chrono::milliseconds(250));
  EXPECT_EQ(config->reconcile_delay, std::chrono::seconds(60));
  EXPECT_EQ(config->stripe_url, "https://api.stripe.com");
}

TEST(ConfigTest, MistakesAboutGatewaysAreExplainedWithoutKeys) {
  const std::string long_name(64, 'a');
  const std::vector<std::vector<std::string>> mistakes = {
      {"--gateway", "shop"},
      {"--gateway", "=sandbox:x"},
      {"--gateway", "Shop=sandbox:x"},
      {"--gateway", long_name + "=sandbox:x"},
      {"--gateway", "external=sandbox:x"},
      {"--gateway", "shop=sandbox:"},
      {"--gateway", "shop=sandbox"},
      {"--gateway", "shop=paypal:rk_secret"},
      {"--gateway", "shop=stripe:env:"},
      {"--gateway", "shop=stripe:sk_live_secret"},
      {"--gateway", "shop=stripe:env:rk_live_secret"},
      {"--gateway", "a=sandbox:x", "--gateway", "a=sandbox:y"},
      {"--gateway", "a=sandbox:x", "b=sandbox:y"},
      {"--gateway-timeout", "0"},
      {"--reconcile-interval", "soon"},
      {"--reconcile-delay", "-1"}};
  for (const auto& mistake : mistakes) {
    std::vector<const char*> arguments;
    for (const auto& argument : mistake) arguments.push_back(argument.c_str());
    int exit_code = -1;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse(arguments, exit_code)) << mistake.back();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text, "");
    EXPECT_EQ(text.find("secret"), text.npos) << text;
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(ConfigTest, AccountsThatCannotBeUsedAreExplained) {
  const auto why = [](GatewayAccount::Kind kind, const char* location,
                      const char* url = "https://api.stripe.com") -> std::string {
    Config config;
    config.stripe_url = url;
    config.gateways.push_back({"shop", kind, location});
    payments::Accounts accounts({});
    try {
      open_gateways(config, accounts);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  using Kind = GatewayAccount::Kind;
  EXPECT_NE(why(Kind::kSandbox, "/no/such/directory/ledger"), "");
  EXPECT_NE(why(Kind::kStripeKeyFile, "/no/such/file"), "");
  EXPECT_NE(why(Kind::kStripeKeyFile, "/dev/null"), "");
  EXPECT_NE(why(Kind::kStripeKeyVariable, "ORDERD_NO_SUCH_VARIABLE"), "");
  ::setenv("ORDERD_TEST_KEY", "sk_test_secret", 1);
  EXPECT_EQ(why(Kind::kStripeKeyVariable, "ORDERD_TEST_KEY"), "");
  const std::string clear = why(Kind::kStripeKeyVariable, "ORDERD_TEST_KEY", "http://example.com");
  ::unsetenv("ORDERD_TEST_KEY");
  EXPECT_NE(clear, "");
  EXPECT_EQ(clear.find("secret"), clear.npos) << clear;
}

TEST(ConfigTest, Mail) {
  using Tls = notify::SmtpOptions::Tls;
  int exit_code = -1;
  auto config = parse({}, exit_code);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->mail.smtp_url, "");
  EXPECT_FALSE(Mail(config->mail).mailing().configured);

  config = parse(
      {"--smtp", "smtp://mail.example.com:587", "--email-from", "The Shop <shop@shop.example>",
       "--smtp-user", "shop", "--smtp-password-file", "/etc/orderd/smtp.pw", "--smtp-ca-file",
       "/etc/ca.pem", "--email-templates", "/t", "--email-interval", "0.5"},
      exit_code);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->mail.smtp_url, "smtp://mail.example.com:587");
  EXPECT_EQ(config->mail.from, "The Shop <shop@shop.example>");
  EXPECT_EQ(config->mail.user, "shop");
  EXPECT_EQ(config->mail.password_file, "/etc/orderd/smtp.pw");
  EXPECT_EQ(config->mail.tls, Tls::kRequired);
  EXPECT_EQ(config->mail.ca_file, "/etc/ca.pem");
  EXPECT_EQ(config->mail.templates, "/t");
  EXPECT_EQ(config->mail.interval, std::chrono::milliseconds(500));

  ::setenv("ORDERD_SMTP", "smtps://[2001:db8::1]", 1);
  ::setenv("ORDERD_EMAIL_FROM", "shop@shop.example", 1);
  config = parse({"--smtp-tls", "if-offered"}, exit_code);
  ::unsetenv("ORDERD_SMTP");
  ::unsetenv("ORDERD_EMAIL_FROM");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->mail.smtp_url, "smtps://[2001:db8::1]");
  EXPECT_EQ(config->mail.tls, Tls::kIfOffered);
  EXPECT_EQ(config->mail.interval, std::chrono::seconds(5));
  const Mail mail(config->mail);
  EXPECT_TRUE(mail.mailing().configured);
  EXPECT_EQ(mail.mailing().domain, "shop.example");

  for (const char* url : {"smtp://127.0.0.1:25", "smtp://localhost", "smtp://[::1]:25"}) {
    config = parse({"--smtp", url, "--email-from", "a@b.example", "--smtp-user", "u",
                    "--smtp-password-file", "f", "--smtp-tls", "never"},
                   exit_code);
    ASSERT_TRUE(config) << url;
    EXPECT_EQ(config->mail.tls, Tls::kNever);
  }
}

TEST(ConfigTest, MistakesAboutMailAreExplainedWithoutPasswords) {
  const std::vector<const char*> good = {"--smtp", "smtp://mail.example.com", "--email-from",
                                         "shop@example.com"};
  const auto with_good = [&](std::vector<const char*> more) {
    more.insert(more.begin(), good.begin(), good.end());
    return more;
  };
  const std::vector<std::pair<std::vector<const char*>, const char*>> mistakes = {
      {{"--smtp", "smtp://mail.example.com"}, "--email-from"},
      {{"--email-from", "shop@example.com"}, "--smtp"},
      {{"--smtp-user", "u"}, "--smtp"},
      {{"--smtp", "mail.example.com:25", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "http://mail.example.com", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "smtp://", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "smtp://h:x", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "smtp://h:70000", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "smtp://h/path", "--email-from", "a@b.example"}, "smtp://HOST"},
      {{"--smtp", "smtp://u:secret@h", "--email-from", "a@b.example"}, "--smtp-password-file"},
      {{"--smtp", "smtp://h", "--email-from", "shop"}, "shop@example.com"},
      {{"--smtp", "smtp://h", "--email-from", "a@b.example\r\nBcc: c@d.example"},
       "shop@example.com"},
      {with_good({"--smtp-user", "u"}), "--smtp-password-file"},
      {with_good({"--smtp-password-file", "f"}), "--smtp-user"},
      {with_good({"--smtp-tls", "maybe"}), "--smtp-tls"},
      {with_good({"--smtp-user", "u", "--smtp-password-file", "f", "--smtp-tls", "never"}),
       "--smtp-tls"},
      {with_good({"--smtp-user", "u", "--smtp-password-file", "f", "--smtp-tls", "if-offered"}),
       "--smtp-tls"},
      {with_good({"--email-interval", "0"}), "--email-interval"}};
  for (const auto& [arguments, hint] : mistakes) {
    int exit_code = -1;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse(arguments, exit_code)) << arguments.back();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find(hint), text.npos) << text;
    EXPECT_EQ(text.find("secret"), text.npos) << text;
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(ConfigTest, PasswordsAndTemplatesThatCannotBeUsedAreExplained) {
  const auto why = [](const char* password_file, const char* templates = "") -> std::string {
    MailConfig config;
    config.smtp_url = "smtp://mail.example.com";
    config.from = "shop@example.com";
    config.user = "shop";
    config.password_file = password_file;
    config.templates = templates;
    try {
      Mail mail(config);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* file : {"/no/such/secret", "/dev/null", "env:ORDERD_NO_SUCH_VARIABLE"}) {
    const std::string text = why(file);
    EXPECT_NE(text.find("--smtp-password-file"), text.npos) << text;
    EXPECT_EQ(text.find("secret"), text.npos) << text;
  }
  ::setenv("ORDERD_TEST_PASSWORD", "a secret", 1);
  EXPECT_EQ(why("env:ORDERD_TEST_PASSWORD"), "");
  EXPECT_NE(why("env:ORDERD_TEST_PASSWORD", "/no/such/directory"), "");
  ::unsetenv("ORDERD_TEST_PASSWORD");
}

TEST(ConfigTest, Loopback) {
  for (const char* address : {"127.0.0.1:0", "127.8.8.8:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(is_loopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "10.0.0.1:1", "example.com:1", "[::]:1", "*:1"}) {
    EXPECT_FALSE(is_loopback(address)) << address;
  }
  EXPECT_EQ(host_of("[::1]:50051"), "[::1]");
}

TEST(ConfigTest, UrlsAreShownWithoutTheirPassword) {
  EXPECT_EQ(without_password("mysql://u:s:e@c@h:1/d"), "mysql://u:***@h:1/d");
  EXPECT_EQ(without_password("mysql://u@h:1/d"), "mysql://u@h:1/d");
  EXPECT_EQ(without_password("sqlite:a.db"), "sqlite:a.db");
  EXPECT_EQ(without_password("sqlite:/a:b@c.db"), "sqlite:/a:b@c.db");
  EXPECT_EQ(without_password("mysql:/u:secret@h:1/d"), "mysql:***@h:1/d");
  EXPECT_EQ(without_password("u:secret@h/d://"), "u:***@h/d://");
  EXPECT_EQ(without_password("mysql:/h/d"), "mysql:/h/d");
}

}  // namespace
}  // namespace orderd::ops
