#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "server/notify/mailer.h"
#include "server/ops/logging.h"

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

struct MetricsConfig {
  /// HOST:PORT. Empty: there are none.
  std::string listen;
};

/// What the server takes at most; as in rpc::Limits and watch::Feed::Options.
struct LimitsConfig {
  std::size_t calls = 512;
  std::size_t connections = 10'000;
  std::size_t streams = 1000;
  std::size_t watchers = 1000;
  std::size_t imports = 32;
  double rate = 0;
  double burst = 0;
  std::chrono::milliseconds default_deadline{30'000};
  std::chrono::milliseconds max_deadline{300'000};
  std::size_t memory_mb = 1024;
};

/// One option as it is in force.
struct Setting {
  /// Without dashes.
  std::string name;
  /// Several values with ';' between them. May hold a secret, see `shown`.
  std::string value;
  /// "flag", "environment", "file" or "default".
  std::string source;

  bool operator==(const Setting&) const = default;
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

/// What the operator says on the command line, in the environment and in a file.
struct Config {
  /// Every option that can be in the file, as it is in force.
  std::vector<Setting> settings;
  /// To be checked and printed, not used.
  bool check = false;
  std::string listen = "127.0.0.1:50051";
  std::string database = "sqlite:orderd.db";
  /// The file, or env:VARIABLE. Empty: the password is in the URL, or there is none.
  std::string database_password_file;
  int lanes = 1;
  std::size_t cache_mb = 128;
  /// Beside "external".
  std::vector<GatewayAccount> gateways;
  std::string stripe_url = "https://api.stripe.com";
  std::chrono::milliseconds gateway_timeout{15'000};
  std::chrono::milliseconds reconcile_interval{5'000};
  std::chrono::milliseconds reconcile_delay{60'000};
  /// For how long watches can be resumed.
  std::chrono::milliseconds feed_retention{std::chrono::hours(7 * 24)};
  MailConfig mail;
  LogConfig log;
  MetricsConfig metrics;
  LimitsConfig limits;
  /// How long the end may take.
  std::chrono::milliseconds drain_timeout{10'000};
  AccessConfig access;
  TlsConfig tls;
};

/// Reads the configuration. The command line wins over the environment, the environment over the
/// file. Nothing if the program is done: help or version were asked for, or there is an error,
/// which has been printed; `exit_code` is set then.
std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code);
/// The same while the program runs. Nothing if there is a mistake.
std::optional<Config> parse_config_again(int argc, const char* const* argv, std::string& mistake);

/// Whether it is HOST:PORT.
bool is_address(const std::string& address);

/// Whether HOST:PORT can be reached from this machine only.
bool is_loopback(const std::string& address);

/// HOST of HOST:PORT ("[::1]" of "[::1]:50051").
std::string host_of(const std::string& address);

/// A database URL as it may be shown: without its password.
std::string without_password(const std::string& url);
/// The value as it may be shown.
std::string shown(const Setting& setting);

/// The secret in a file, or in the environment if it is `env:VARIABLE`, without the end of the line
/// that editors leave. Empty if there is none. Does not say why: the name may be the secret itself,
/// by mistake.
std::string read_secret(const std::string& file);
/// The database's URL with the password from its file. Throws std::runtime_error.
std::string database_url(const Config& config);

}  // namespace orderd::ops
