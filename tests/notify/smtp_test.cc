// Sending, to a real SMTP server on loopback.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "server/notify/mailer.h"
#include "tests/notify/mail_server.h"
#include "tests/support/certificate.h"

namespace orderd::notify {
namespace {

using nlohmann::json;
using rules::SendResult;
using test::Certificate;
using test::MailServer;
using Tls = SmtpOptions::Tls;

// Long enough for any test; those that wait for it take less.
constexpr std::chrono::milliseconds kPatience{60'000};
constexpr std::chrono::milliseconds kShort{700};

const std::string kMessage =
    "From: shop@example.com\r\nTo: a@example.org\r\nSubject: "
    "S\r\n\r\nline\r\n.dot\r\n..\r\nend\r\n";

SmtpOptions plain(const std::string& url, std::chrono::milliseconds timeout = kPatience) {
  SmtpOptions options;
  options.url = url;
  options.tls = Tls::kNever;
  options.timeout = timeout;
  options.from = "Shop <shop@example.com>";
  return options;
}

SendResult send(const SmtpOptions& options, const std::string& recipient = "a@example.org") {
  return Smtp(options).send(recipient, kMessage);
}

/// What became of a try against a server that answers a stage so.
SendResult answered(const std::string& stage, const std::string& answer) {
  const MailServer server({"--answer", stage, answer});
  const auto result = send(plain(server.url()));
  EXPECT_EQ(server.messages().size(), result.sent ? 1u : 0u);
  return result;
}

void expect(const SendResult& result, bool for_good, const std::string& error, int code) {
  EXPECT_FALSE(result.sent);
  EXPECT_EQ(result.refused_for_good, for_good);
  EXPECT_EQ(result.error, error);
  EXPECT_EQ(result.code, code);
}
#define EXPECT_LATER(result, error, code) \
  {                                       \
    SCOPED_TRACE(#result);                \
    expect(result, false, error, code);   \
  }
#define EXPECT_NEVER(result, error, code) \
  {                                       \
    SCOPED_TRACE(#result);                \
    expect(result, true, error, code);    \
  }

/// A listener on 127.0.0.1 that greets each connection so, and says nothing more. Without a
/// greeting it does not even accept.
class Listener {
 public:
  explicit Listener(const std::string& greeting) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(socket_, 5) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no socket");
    }
    port_ = ntohs(address.sin_port);
    if (greeting.empty()) return;
    thread_ = std::thread([this, greeting] {
      const int connection = ::accept(socket_, nullptr, nullptr);
      if (connection < 0) return;
      EXPECT_EQ(::write(connection, greeting.data(), greeting.size()),
                static_cast<ssize_t>(greeting.size()));
      char c = 0;
      while (::read(connection, &c, 1) > 0) {
      }
      ::close(connection);
    });
  }
  ~Listener() {
    ::shutdown(socket_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(socket_);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::string url() const { return "smtp://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1;
  int port_ = 0;
  std::thread thread_;
};

TEST(Smtp, AMessageArrivesAsItIs) {
  const MailServer server;
  const auto result = send(plain(server.url()));
  EXPECT_TRUE(result.sent) << result.error;
  EXPECT_EQ(result.code, 250);
  EXPECT_EQ(result.error, "");
  ASSERT_EQ(server.messages().size(), 1u);
  const json mail = server.messages()[0];
  EXPECT_EQ(mail["sender"], "shop@example.com");
  EXPECT_EQ(mail["recipients"], json({"a@example.org"}));
  EXPECT_EQ(mail["raw"], kMessage);
  EXPECT_EQ(mail["tls"], false);
}

TEST(Smtp, RefusalsOfTheRecipientAndTheMessageAreForGood) {
  EXPECT_NEVER(answered("RCPT", "550 no such user here"), "RECIPIENT_REFUSED", 550);
  EXPECT_NEVER(answered("RCPT", "553 bad name"), "RECIPIENT_REFUSED", 553);
  EXPECT_NEVER(answered("DATA", "554 spam"), "MESSAGE_REFUSED", 554);
  EXPECT_NEVER(answered("MAIL", "552 too big"), "MESSAGE_REFUSED", 552);
}

TEST(Smtp, WhatMayPassIsTriedLater) {
  EXPECT_LATER(answered("RCPT", "451 greylisted"), "GREYLISTED", 451);
  EXPECT_LATER(answered("RCPT", "450 greylisted"), "GREYLISTED", 450);
  EXPECT_LATER(answered("RCPT", "452 full"), "SERVER_BUSY", 452);
  EXPECT_LATER(answered("MAIL", "421 busy"), "SERVER_BUSY", 421);
  EXPECT_LATER(answered("DATA", "451 greylisted"), "GREYLISTED", 451);
  EXPECT_LATER(answered("DATA", "452 full"), "SERVER_BUSY", 452);
}

TEST(Smtp, WhatIsOursToMendIsTriedLater) {
  EXPECT_LATER(answered("MAIL", "550 not you"), "SENDER_REFUSED", 550);
  EXPECT_LATER(answered("MAIL", "530 log in first"), "AUTHENTICATION_FAILED", 530);
  EXPECT_LATER(answered("RCPT", "530 log in first"), "AUTHENTICATION_FAILED", 530);
  const Listener closed("554 no service here\r\n");
  EXPECT_LATER(send(plain(closed.url())), "SERVER_REFUSED", 554);
}

TEST(Smtp, ALostConnectionHasNoCode) {
  for (const char* stage : {"MAIL", "RCPT", "DATA"}) {
    EXPECT_LATER(answered(stage, "drop"), "CONNECTION_LOST", 0);
  }
}

TEST(Smtp, AServerThatIsNotThere) {
  std::string dead;
  {
    const Listener listener("");
    dead = listener.url();
  }
  EXPECT_LATER(send(plain(dead)), "SERVER_UNREACHABLE", 0);
  EXPECT_LATER(send(plain("smtp://nonexistent.invalid")), "SERVER_UNREACHABLE", 0);
  EXPECT_LATER(send(plain("http://127.0.0.1")), "SEND_FAILED", 0);
}

TEST(Smtp, AServerThatHangsIsGivenUp) {
  const Listener silent("");
  EXPECT_LATER(send(plain(silent.url(), kShort)), "SERVER_TIMED_OUT", 0);
  for (const char* stage : {"MAIL", "RCPT", "DATA"}) {
    const MailServer server({"--answer", stage, "hang"});
    EXPECT_LATER(send(plain(server.url(), kShort)), "SERVER_TIMED_OUT", 0);
  }
}

TEST(Smtp, AServerThatHangsAfterItHasAcceptedHasAccepted) {
  const MailServer server({"--answer", "QUIT", "hang"});
  const auto result = send(plain(server.url(), std::chrono::milliseconds(2000)));
  EXPECT_TRUE(result.sent) << result.error;
  EXPECT_EQ(result.code, 250);
  EXPECT_EQ(server.messages().size(), 1u);
}

TEST(Smtp, StartTlsAndAuthentication) {
  const Certificate certificate("IP:127.0.0.1");
  const MailServer server({"--tls", certificate.certificate_file(), certificate.key_file(),
                           "--auth", "shop", "s3cret \u00fc"});
  SmtpOptions options = plain(server.url());
  options.tls = Tls::kRequired;
  options.ca_file = certificate.certificate_file();
  options.user = "shop";
  options.password = "s3cret \u00fc";
  EXPECT_TRUE(send(options).sent);
  options.tls = Tls::kIfOffered;
  EXPECT_TRUE(send(options).sent);
  ASSERT_EQ(server.messages().size(), 2u);
  for (const json& mail : server.messages()) {
    EXPECT_EQ(mail["tls"], true);
    EXPECT_EQ(mail["user"], "shop");
    EXPECT_EQ(mail["raw"], kMessage);
  }

  options.password = "wrong";
  EXPECT_LATER(send(options), "AUTHENTICATION_FAILED", 535);
  options.user.clear();
  EXPECT_LATER(send(options), "AUTHENTICATION_FAILED", 530);
  options.tls = Tls::kNever;
  EXPECT_LATER(send(options), "AUTHENTICATION_FAILED", 530);  // "must issue STARTTLS first"
  EXPECT_EQ(server.messages().size(), 2u);
}

TEST(Smtp, TlsFromTheStart) {
  const Certificate certificate("IP:127.0.0.1");
  const MailServer server(
      {"--smtps", "--tls", certificate.certificate_file(), certificate.key_file()});
  SmtpOptions options = plain(server.url("smtps"));
  options.ca_file = certificate.certificate_file();
  EXPECT_TRUE(send(options).sent);
  ASSERT_EQ(server.messages().size(), 1u);
  EXPECT_EQ(server.messages()[0]["tls"], true);
}

TEST(Smtp, WithoutTrustNothingIsSent) {
  const Certificate good("IP:127.0.0.1");
  const Certificate other("IP:127.0.0.1");
  const Certificate elsewhere("DNS:mail.example.com");
  const MailServer server({"--tls", good.certificate_file(), good.key_file()});
  const MailServer impostor({"--tls", elsewhere.certificate_file(), elsewhere.key_file()});
  const MailServer bare;
  for (const Tls tls : {Tls::kRequired, Tls::kIfOffered}) {
    SmtpOptions options = plain(server.url());
    options.tls = tls;
    EXPECT_LATER(send(options), "TLS_FAILED", 0);
    options.ca_file = other.certificate_file();
    EXPECT_LATER(send(options), "TLS_FAILED", 0);
    options.url = impostor.url();
    options.ca_file = elsewhere.certificate_file();
    EXPECT_LATER(send(options), "TLS_FAILED", 0);
  }
  SmtpOptions options = plain(bare.url());
  options.tls = Tls::kRequired;
  EXPECT_LATER(send(options), "TLS_FAILED", 0);
  options.tls = Tls::kIfOffered;
  EXPECT_TRUE(send(options).sent);
  EXPECT_TRUE(server.messages().empty());
  EXPECT_TRUE(impostor.messages().empty());
}

TEST(Smtp, ARecipientCanNotAddCommands) {
  const MailServer server;
  for (const std::string recipient :
       {"a@example.org>\r\nRCPT TO:<b@example.org", "a@example.org\nb", "a b@example.org",
        "<a@example.org>", "nobody", "@example.org", "a@", "", "\xff@example.org"}) {
    EXPECT_NEVER(send(plain(server.url()), recipient), "RECIPIENT_NOT_AN_ADDRESS", 0);
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(Smtp, AddressesMayBeInternational) {
  const MailServer server;
  EXPECT_TRUE(send(plain(server.url()), "j\u00f6rg@example.org").sent);
  EXPECT_TRUE(send(plain(server.url()), "a@b\u00fccher.example").sent);
  ASSERT_EQ(server.messages().size(), 2u);
  EXPECT_EQ(server.messages()[0]["recipients"], json({"j\u00f6rg@example.org"}));
  EXPECT_EQ(server.messages()[1]["recipients"], json({"a@xn--bcher-kva.example"}));
}

}  // namespace
}  // namespace orderd::notify
