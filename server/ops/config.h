#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "server/notify/mailer.h"

namespace orderd::ops {

/// An account at a payment gateway: NAME=sandbox:PATH, NAME=stripe:KEYFILE or
/// NAME=stripe:env:VARIABLE.
struct GatewayAccount {
  enum class Kind { kSandbox, kStripeKeyFile, kStripeKeyVariable };
  std::string name;
  Kind kind{};
  /// The path or the variable.
  std::string location;
};

/// How e-mails reach customers.
struct MailConfig {
  /// As in notify::SmtpOptions. Empty: this server sends none.
  std::string smtp_url;
  std::string user;
  /// The file, or env:VARIABLE.
  std::string password_file;
  notify::SmtpOptions::Tls tls = notify::SmtpOptions::Tls::kRequired;
  std::string ca_file;
  std::string from;
  /// As of notify::Templates.
  std::string templates;
  std::chrono::milliseconds interval{5'000};
};

/// Who may call, beside the keys in the database.
struct AccessConfig {
  /// The file, or env:VARIABLE.
  std::string admin_key_file;
  std::string audit_log;
};

/// Files, in PEM unless said otherwise.
struct TlsConfig {
  std::string certificate;
  std::string key;
  std::string client_ca;
  /// As of access::ClientCertificates.
  std::string client_roles;
  std::string client_crl;
};

/// What the operator says on the command line and in the environment.
struct Config {
  std::string listen = "127.0.0.1:50051";
  std::string database = "sqlite:orderd.db";
  int lanes = 1;
  std::size_t cache_mb = 256;
  std::string log_level = "info";
  /// Beside "external".
  std::vector<GatewayAccount> gateways;
  std::string stripe_url = "https://api.stripe.com";
  std::chrono::milliseconds gateway_timeout{15'000};
  std::chrono::milliseconds reconcile_interval{5'000};
  std::chrono::milliseconds reconcile_delay{60'000};
  /// For how long watches can be resumed.
  std::chrono::milliseconds feed_retention{std::chrono::hours(7 * 24)};
  MailConfig mail;
  AccessConfig access;
  TlsConfig tls;
};

/// Reads the configuration; the command line wins over the environment. Nothing if the program is
/// done: help or version were asked for, or there is an error, which has been printed; `exit_code`
/// is set then.
std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code);

/// Whether HOST:PORT can be reached from this machine only.
bool is_loopback(const std::string& address);

/// HOST of HOST:PORT ("[::1]" of "[::1]:50051").
std::string host_of(const std::string& address);

/// A database URL as it may be shown: without its password.
std::string without_password(const std::string& url);

}  // namespace orderd::ops
