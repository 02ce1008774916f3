#include "server/ops/config.h"

#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/ip/address.hpp>

#include <charconv>
#include <cmath>
#include <sstream>

#include "server/ops/options.h"

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
  orderd --smtp smtp://mail.example.com:587 --smtp-user shop --smtp-password-file /etc/orderd/smtp.pw \
         --email-from 'Shop <shop@example.com>'
      Customers get the e-mails that callers ask for. Without --smtp none is sent.
  orderd --listen 0.0.0.0:50051 --tls-cert /etc/orderd/tls.crt --tls-key /etc/orderd/tls.key \
         --admin-key-file /etc/orderd/admin.key
      Other machines can call, with keys that `orderctl keys create` makes, over TLS.

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
  return {};
}

std::string check_database(const std::string& url) {
  if (url.rfind("sqlite:", 0) == 0 || url.rfind("mysql://", 0) == 0) return {};
  // The URL itself may hold a password.
  return "must be sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]";
}

}  // namespace

std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code) {
  Config config;
  CLI::App app{kAbout};
  app.footer(kExamples);
  app.set_version_flag("--version", "orderd " ORDERD_VERSION);
  app.get_formatter()->column_width(30);
  app.add_option(
         "--listen", config.listen,
         "HOST:PORT to serve on; port 0 picks a free one. Any but this machine's own address "
         "(127.0.0.1) needs credentials of callers: keys or certificates")
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
  add_seconds(app, "--feed-retention", "ORDERD_FEED_RETENTION",
              "Seconds for which a watch of orders can go on with its token", 1, 315'360'000,
              config.feed_retention);
  GatewayOptions gateways(app, config);
  MailOptions mail(app, config);
  AccessOptions access(app, config);
  TlsOptions tls(app, config);
  try {
    app.parse(argc, argv);
    gateways.apply();
    mail.apply();
    tls.apply();
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : kExitUsage;
    return std::nullopt;
  }
  return config;
}

void add_seconds(CLI::App& app, const std::string& name, const std::string& variable,
                 const std::string& description, double least, double most,
                 std::chrono::milliseconds& time) {
  const auto take = [&time](double seconds) {
    time = std::chrono::milliseconds(std::llround(seconds * 1000));
  };
  std::ostringstream as_text;
  as_text << std::chrono::duration<double>(time).count();
  app.add_option_function<double>(name, take, description)
      ->envname(variable)
      ->check(CLI::Range(least, most))
      ->default_str(as_text.str());
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
