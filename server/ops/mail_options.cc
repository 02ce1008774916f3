#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "server/ops/options.h"

namespace orderd::ops {
namespace {

using Tls = notify::SmtpOptions::Tls;

constexpr std::string_view kPlain = "smtp://";
constexpr std::string_view kTls = "smtps://";

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

struct Server {
  std::string_view host;
  std::optional<std::string_view> port;
};

/// The URL begins with a scheme.
Server server_of(std::string_view url) {
  url.remove_prefix(url.find("://") + 3);
  const auto bracket = url.rfind(']');  // of an IPv6 address, which has colons of its own
  const auto colon = url.find(':', bracket == url.npos ? 0 : bracket);
  if (colon == url.npos) return {url, std::nullopt};
  return {url.substr(0, colon), url.substr(colon + 1)};
}

bool is_port(std::string_view text) {
  int port = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && rest == end && port >= 1 && port <= 65535;
}

/// What is said never repeats the URL: it may hold a password, by mistake.
std::string check_smtp(const std::string& url) {
  constexpr const char* kForm =
      "must be smtp://HOST[:PORT] or smtps://HOST[:PORT], e.g. smtp://mail.example.com:587";
  if (!starts_with(url, kPlain) && !starts_with(url, kTls)) return kForm;
  if (url.find('@') != url.npos) {
    return "must not hold a user or a password; use --smtp-user and --smtp-password-file";
  }
  const Server server = server_of(url);
  const bool has_host =
      !server.host.empty() && std::all_of(server.host.begin(), server.host.end(), [](char c) {
        return c > ' ' && c < '\x7f' && std::string_view("/?#\\").find(c) == std::string_view::npos;
      });
  return has_host && is_port(server.port.value_or("25")) ? "" : kForm;
}

std::string check_from(const std::string& from) {
  if (notify::domain_of(from).empty()) {
    return "must be an address, e.g. shop@example.com or 'Shop <shop@example.com>'";
  }
  return {};
}

[[noreturn]] void refuse(const std::string& option, const std::string& mistake) {
  throw CLI::ValidationError(option, mistake);
}

}  // namespace

MailOptions::MailOptions(CLI::App& app, Config& config) : mail_(config.mail) {
  app.add_option("--smtp", mail_.smtp_url,
                 "smtp://HOST[:PORT] or smtps://HOST[:PORT]: the server that takes the e-mails to "
                 "customers; none is sent without it")
      ->envname("ORDERD_SMTP")
      ->check(CLI::Validator(check_smtp, ""));
  app.add_option("--email-from", mail_.from,
                 "Whom e-mails come from: 'Shop <shop@example.com>'; needed with --smtp")
      ->envname("ORDERD_EMAIL_FROM")
      ->check(CLI::Validator(check_from, ""));
  app.add_option("--smtp-user", mail_.user, "The user to log in as; none: without")
      ->envname("ORDERD_SMTP_USER");
  app.add_option("--smtp-password-file", mail_.password_file,
                 "A file with the user's password, or env:VARIABLE")
      ->envname("ORDERD_SMTP_PASSWORD_FILE");
  app.add_option_function<std::string>(
         "--smtp-tls",
         [this](const std::string& text) {
           mail_.tls = text == "never"        ? Tls::kNever
                       : text == "if-offered" ? Tls::kIfOffered
                                              : Tls::kRequired;
         },
         "Of smtp://, whether the connection is encrypted (STARTTLS); smtps:// always is")
      ->envname("ORDERD_SMTP_TLS")
      ->check(CLI::IsMember({"required", "if-offered", "never"}))
      ->default_str("required");
  app.add_option("--smtp-ca-file", mail_.ca_file, "Certificates to trust in place of the system's")
      ->envname("ORDERD_SMTP_CA_FILE");
  app.add_option("--email-templates", mail_.templates,
                 "A directory of templates (ORDER_CANCELED.subject.mustache, .txt.mustache, "
                 ".html.mustache); those that are not there are the built-in ones")
      ->envname("ORDERD_EMAIL_TEMPLATES");
  add_seconds(app, "--email-interval", "ORDERD_EMAIL_INTERVAL",
              "Seconds between looks for e-mails to send", 0.05, 3600, mail_.interval);
}

void MailOptions::apply() const {
  if (mail_.smtp_url.empty()) {
    if (!mail_.from.empty()) {
      refuse("--email-from",
             "needs --smtp, the server that takes the e-mails, e.g. --smtp "
             "smtp://mail.example.com:587; leave out both to send none");
    }
    if (!mail_.user.empty() || !mail_.password_file.empty()) {
      refuse(mail_.user.empty() ? "--smtp-password-file" : "--smtp-user",
             "needs --smtp, the server to log in to");
    }
    return;
  }
  if (mail_.from.empty()) {
    refuse("--smtp",
           "needs --email-from, whom the e-mails come from, e.g. --email-from "
           "'Shop <shop@example.com>'");
  }
  if (mail_.user.empty() != mail_.password_file.empty()) {
    refuse(mail_.user.empty() ? "--smtp-password-file" : "--smtp-user",
           "needs the other of the two: --smtp-user and --smtp-password-file belong together");
  }
  const bool always_encrypted = starts_with(mail_.smtp_url, kTls) || mail_.tls == Tls::kRequired;
  const std::string host(server_of(mail_.smtp_url).host);
  if (!mail_.user.empty() && !always_encrypted && !is_loopback(host + ":")) {
    refuse("--smtp-tls",
           "must be required if there is a --smtp-user and the server is another machine: "
           "otherwise the password could be read on the way");
  }
}

}  // namespace orderd::ops
