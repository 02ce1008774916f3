#include "server/ops/config.h"

#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace orderd::ops {
namespace {

constexpr int kExitUsage = 2;

constexpr const char* kAbout =
    "orderd keeps orders and serves them over gRPC (orders.v1), on SQLite or MySQL/MariaDB.\n";

constexpr const char* kExamples =
    R"(
Examples:
  orderd
      Listens on 127.0.0.1:50051 and keeps its orders in ./orderd.db.
  orderd --listen 127.0.0.1:0 --database sqlite:/var/lib/orderd/orders.db
      Picks a free port, which it prints once it serves.
  ORDERD_DATABASE='mysql://orderd:secret@db.example:3306/orders' orderd
      MySQL or MariaDB. In the environment the password does not show in the list of processes.
  orderd --database 'mysql://orderd@localhost/orders?socket=/run/mysqld/mysqld.sock'
  orderd --gateway shop=stripe:/etc/orderd/stripe.key --gateway test=sandbox:/var/lib/orderd/sandbox.db
      Payments of the accounts "shop", at Stripe, and "test", at the built-in gateway without real
      money, whose book is a file of its own. The key is read from its file, and again when it changes.

Then try:
  orderctl --server 127.0.0.1:50051 list

SIGTERM and SIGINT end it cleanly: calls that run are finished first.
)";

std::string check_address(const std::string& address) {
  const auto colon = address.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon > 0) {
    const char* end = address.data() + address.size();
    const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, port);
    if (error != std::errc() || rest != end) port = -1;
  }
  if (port < 0 || port > 65535) return "must be HOST:PORT, e.g. 127.0.0.1:50051";
  if (!is_loopback(address)) {
    return "must be a loopback address (127.0.0.1, [::1] or localhost): without access keys "
           "everybody who reaches the server may change every order";
  }
  return {};
}

std::string check_database(const std::string& url) {
  if (url.rfind("sqlite:", 0) == 0 || url.rfind("mysql://", 0) == 0) return {};
  // The URL itself may hold a password.
  return "must be sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]";
}

constexpr const char* kGatewayForm =
    "must be NAME=sandbox:PATH, NAME=stripe:KEYFILE or NAME=stripe:env:VARIABLE";

bool is_account_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

/// Adds the account, or says what is wrong with it. What is said never repeats the location: it may
/// be a key, by mistake.
std::string add_gateway(std::string_view text, std::vector<GatewayAccount>& accounts) {
  using Kind = GatewayAccount::Kind;
  const auto equals = text.find('=');
  if (equals == text.npos) return kGatewayForm;
  GatewayAccount account;
  account.name = text.substr(0, equals);
  if (!is_account_name(account.name)) {
    return "must start with a name of 1 to 63 characters of a-z, 0-9, - and _ before the =";
  }
  if (account.name == "external") {
    return "can't be about \"external\": that account, for money handled elsewhere, is always "
           "there";
  }
  if (std::any_of(accounts.begin(), accounts.end(),
                  [&](const auto& other) { return other.name == account.name; })) {
    return "names the account \"" + account.name + "\" twice; give each a name of its own";
  }
  text.remove_prefix(equals + 1);
  constexpr std::pair<std::string_view, Kind> kKinds[] = {{"sandbox:", Kind::kSandbox},
                                                          {"stripe:env:", Kind::kStripeKeyVariable},
                                                          {"stripe:", Kind::kStripeKeyFile}};
  for (const auto& [prefix, kind] : kKinds) {
    if (text.substr(0, prefix.size()) != prefix) continue;
    account.kind = kind;
    account.location = text.substr(prefix.size());
    if (account.location.empty()) return kGatewayForm;
    if (kind != Kind::kSandbox &&
        (account.location.rfind("sk_", 0) == 0 || account.location.rfind("rk_", 0) == 0)) {
      return "must name the file or the environment variable that holds the key, not the key "
             "itself: the command line shows in the list of processes";
    }
    accounts.push_back(std::move(account));
    return {};
  }
  return kGatewayForm;
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(std::llround(seconds * 1000));
}

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code) {
  Config config;
  CLI::App app{kAbout};
  app.footer(kExamples);
  app.set_version_flag("--version", "orderd " ORDERD_VERSION);
  app.get_formatter()->column_width(30);
  app.add_option("--listen", config.listen, "HOST:PORT to serve on; port 0 picks a free one")
      ->envname("ORDERD_LISTEN")
      ->check(CLI::Validator(check_address, ""))
      ->capture_default_str();
  app.add_option(
         "--database", config.database,
         "sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]; the schema is "
         "created or brought up to date")
      ->envname("ORDERD_DATABASE")
      ->check(CLI::Validator(check_database, ""))
      ->capture_default_str();
  app.add_option("--lanes", config.lanes,
                 "Threads that write; more than one pays only where many orders are slow to write "
                 "(SQLite: always one)")
      ->envname("ORDERD_LANES")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  app.add_option("--cache-mb", config.cache_mb, "Memory for orders used last, in MiB; 0 for none")
      ->envname("ORDERD_CACHE_MB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--log-level", config.log_level,
                 "What goes to standard error: debug adds each read, warn leaves out each change")
      ->envname("ORDERD_LOG_LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  std::vector<std::string> gateways;
  app.add_option(
         "--gateway", gateways,
         "NAME=sandbox:PATH, NAME=stripe:KEYFILE or NAME=stripe:env:VARIABLE: an account at a "
         "payment gateway, by the name that payments call it; may be given again")
      ->allow_extra_args(false);
  app.add_option("--stripe-url", config.stripe_url,
                 "Where Stripe's API is; http only on this machine, for tests")
      ->envname("ORDERD_STRIPE_URL")
      ->capture_default_str();
  double gateway_timeout = seconds(config.gateway_timeout);
  double reconcile_interval = seconds(config.reconcile_interval);
  double reconcile_delay = seconds(config.reconcile_delay);
  app.add_option("--gateway-timeout", gateway_timeout,
                 "Seconds that a gateway has to answer before the answer is found out later")
      ->envname("ORDERD_GATEWAY_TIMEOUT")
      ->check(CLI::Range(0.05, 300.0))
      ->capture_default_str();
  app.add_option("--reconcile-interval", reconcile_interval,
                 "Seconds between looks for payments whose gateway has to be asked")
      ->envname("ORDERD_RECONCILE_INTERVAL")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
  app.add_option("--reconcile-delay", reconcile_delay,
                 "Seconds before a gateway that could not tell is asked again; doubled each time")
      ->envname("ORDERD_RECONCILE_DELAY")
      ->check(CLI::Range(0.05, 21600.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
    for (const std::string& gateway : gateways) {
      const std::string mistake = add_gateway(gateway, config.gateways);
      if (!mistake.empty()) throw CLI::ValidationError("--gateway", mistake);
    }
    config.gateway_timeout = milliseconds(gateway_timeout);
    config.reconcile_interval = milliseconds(reconcile_interval);
    config.reconcile_delay = milliseconds(reconcile_delay);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : kExitUsage;
    return std::nullopt;
  }
  return config;
}

std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

bool is_loopback(const std::string& address) {
  std::string host = host_of(address);
  if (host == "localhost") return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  boost::system::error_code error;
  const auto ip = boost::asio::ip::make_address(host, error);
  return !error && ip.is_loopback();
}

std::string without_password(const std::string& url) {
  const auto scheme = url.find("://");
  const auto at = url.rfind('@');
  if (scheme == std::string::npos || at == std::string::npos) return url;
  const auto colon = url.find(':', scheme + 3);
  if (colon == std::string::npos || colon > at) return url;
  return url.substr(0, colon) + ":***" + url.substr(at);
}

}  // namespace orderd::ops
