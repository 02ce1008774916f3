#include "server/ops/config.h"

#include <utility>

#include <CLI/CLI.hpp>
#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "server/ops/options.h"
#include "server/payments/http.h"

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

The command line wins over the environment, the environment over the file, the file over the defaults.

SIGTERM and SIGINT end it cleanly: calls that run are finished first. SIGHUP reads the configuration
again. More: docs/operations.md
)";

std::string check_address(const std::string& address) {
  if (!is_address(address)) return "must be HOST:PORT, e.g. 127.0.0.1:50051";
  return {};
}

std::string check_database(const std::string& url) {
  if (url.rfind("sqlite:", 0) == 0 || url.rfind("mysql://", 0) == 0) return {};
  // The URL itself may hold a password.
  return "must be sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]";
}

/// Whether the option is among the arguments.
bool given(const std::vector<std::string>& arguments, const std::string& option) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
    return argument == option || argument.rfind(option + "=", 0) == 0;
  });
}

const char* environment_of(const CLI::Option& option) {
  const char* value =
      option.get_envname().empty() ? nullptr : std::getenv(option.get_envname().c_str());
  return value == nullptr || *value == '\0' ? nullptr : value;
}

std::string joined(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ";") + value;
  return text;
}

}  // namespace

/// The file, as CLI11 reads it; but the environment wins over it, mistakes are told with their
/// line, and nothing in it is skipped.
class CommandLine::File : public CLI::ConfigBase {
 public:
  explicit File(CommandLine& owner) : owner_(owner) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const std::string text(std::istreambuf_iterator<char>(input), {});
    check_comments(text);
    std::istringstream again(text);
    std::vector<CLI::ConfigItem> taken;
    for (CLI::ConfigItem& item : ConfigBase::from_config(again)) {
      const CLI::Option* option = owner_.app_.get_option_no_throw("--" + item.name);
      if (!item.parents.empty() || item.name == "++" || item.name == "--") {
        fail(line_of(text, "["), "there are no sections: every option stands by itself");
      }
      if (option == nullptr || !option->get_configurable()) {
        fail(line_of(text, item.name),
             "there is no option \"" + item.name + "\"; orderd --help names those that there are");
      }
      if (environment_of(*option) != nullptr) continue;
      owner_.from_file_.insert(item.name);
      const auto same = std::find_if(taken.begin(), taken.end(),
                                     [&](const auto& other) { return other.name == item.name; });
      if (same == taken.end()) {
        taken.push_back(std::move(item));
      } else if (option->get_items_expected_max() > 1) {
        same->inputs.insert(same->inputs.end(), item.inputs.begin(), item.inputs.end());
      } else {
        fail(line_of(text, item.name), "\"" + item.name + "\" is given twice");
      }
    }
    return taken;
  }

 private:
  [[noreturn]] void fail(int line, const std::string& mistake) const {
    throw CLI::ConfigError("--config: line " + std::to_string(line) + " of " +
                           owner_.app_.get_config_ptr()->as<std::string>() + ": " + mistake);
  }

  /// CLI11 takes every # for the begin of a comment, and would cut a value short without a word.
  void check_comments(const std::string& text) const {
    std::istringstream lines(text);
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const auto end = line.find('#');
      if (end == line.npos || line.find_first_not_of(" \t") == end) continue;
      const auto quotes = std::count(line.begin(), line.begin() + static_cast<long>(end), '"');
      if (quotes % 2 != 0) fail(number, "a value can't hold a # (in a URL: %23)");
    }
  }

  static int line_of(const std::string& text, const std::string& begin) {
    std::istringstream lines(text);
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const auto first = line.find_first_not_of(" \t\"'");
      if (first != line.npos && line.compare(first, begin.size(), begin) == 0) return number;
    }
    return number;
  }

  CommandLine& owner_;
};

CommandLine::CommandLine() : app_(kAbout, "orderd") {
  app_.footer(kExamples);
  app_.get_formatter()->column_width(30);
  app_.config_formatter(std::make_shared<File>(*this));
  add_process_options();
  const LogOptions log(app_, config_.log);
  const MetricsOptions metrics(app_, config_.metrics);
  group("The process");
  add_server_options();
  group("Orders");
  gateways_.emplace(app_, config_);
  group("Payments");
  mail_.emplace(app_, config_);
  group("E-mail");
  limits_.emplace(app_, config_.limits);
  group("Limits");
  access_.emplace(app_, config_);
  tls_.emplace(app_, config_);
  group("Access");
}

void CommandLine::group(const std::string& name) {
  for (CLI::Option* option : app_.get_options()) {
    if (option->get_group() == "Options") option->group(name);
  }
}

void CommandLine::add_process_options() {
  app_.set_version_flag("--version", "orderd " ORDERD_VERSION)->configurable(false);
  app_.get_help_ptr()->configurable(false);
  app_.set_config(
          "--config", "",
          "A file with what is not said here or in the environment: lines like lanes = 2 or "
          "listen = \"127.0.0.1:50051\"; see docs/orderd.example.toml")
      ->envname("ORDERD_CONFIG")
      ->configurable(false);
  app_.add_flag("--check-config", config_.check,
                "Prints what is in force and where it comes from, checks what can be checked "
                "without connecting to anything, and ends: with 0, or with 2 if something is wrong")
      ->configurable(false);
  add_seconds(app_, "--drain-timeout", "ORDERD_DRAIN_TIMEOUT",
              "Seconds that the end may take after SIGTERM: calls that run are finished, then it "
              "ends in any case",
              0.1, 3600, config_.drain_timeout);
}

void CommandLine::add_server_options() {
  app_.add_option("--listen", config_.listen, "HOST:PORT to serve on; port 0 picks a free one")
      ->envname("ORDERD_LISTEN")
      ->check(CLI::Validator(check_address, ""))
      ->capture_default_str();
  app_.add_option(
          "--database", config_.database,
          "sqlite:PATH or mysql://USER[:PASSWORD]@HOST[:PORT]/DB[?socket=PATH]; the schema is "
          "created or brought up to date. A password only in the environment or the file")
      ->envname("ORDERD_DATABASE")
      ->check(CLI::Validator(check_database, ""))
      ->capture_default_str();
  app_.add_option("--database-password-file", config_.database_password_file,
                  "A file with the password of the database's user, or env:VARIABLE")
      ->envname("ORDERD_DATABASE_PASSWORD_FILE");
  app_.add_option("--lanes", config_.lanes,
                  "Threads that write; more than one pays only where many orders are slow to write "
                  "(SQLite: always one)")
      ->envname("ORDERD_LANES")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  app_.add_option("--cache-mb", config_.cache_mb, "Memory for orders used last, in MiB; 0 for none")
      ->envname("ORDERD_CACHE_MB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  add_seconds(app_, "--feed-retention", "ORDERD_FEED_RETENTION",
              "Seconds for which a watch of orders can go on with its token", 1, 315'360'000,
              config_.feed_retention);
}

Config CommandLine::parse(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  // CLI11 looks into the environment for it when it has read the file already.
  const char* file = environment_of(*app_.get_config_ptr());
  if (file != nullptr && !given(arguments, "--config")) {
    arguments.push_back(std::string("--config=") + file);
  }
  // It takes them from the end.
  app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  if (given(arguments, "--database") && without_password(config_.database) != config_.database) {
    throw CLI::ValidationError(
        "--database",
        "must not hold a password on the command line, where everybody on this machine can read "
        "it; use --database-password-file, or the environment (ORDERD_DATABASE)");
  }
  if (!config_.database_password_file.empty() &&
      (config_.database.rfind("mysql://", 0) != 0 ||
       without_password(config_.database) != config_.database)) {
    throw CLI::ValidationError(
        "--database-password-file",
        "needs a --database that is mysql://USER@HOST/DB without a password");
  }
  gateways_->apply();
  mail_->apply();
  limits_->apply();
  tls_->apply();
  config_.settings = settings(arguments);
  return config_;
}

std::vector<Setting> CommandLine::settings(const std::vector<std::string>& arguments) const {
  std::vector<Setting> all;
  for (const CLI::Option* option : app_.get_options()) {
    if (!option->get_configurable()) continue;
    Setting setting;
    setting.name = option->get_single_name();
    setting.value = option->count() > 0 ? joined(option->results()) : option->get_default_str();
    setting.source = given(arguments, "--" + setting.name) ? "flag"
                     : environment_of(*option) != nullptr  ? "environment"
                     : from_file_.count(setting.name) > 0  ? "file"
                                                           : "default";
    all.push_back(std::move(setting));
  }
  return all;
}

std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code) {
  CommandLine line;
  try {
    return line.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = line.app().exit(error) == 0 ? 0 : kExitUsage;
    return std::nullopt;
  }
}

std::optional<Config> parse_config_again(int argc, const char* const* argv, std::string& mistake) {
  CommandLine line;
  try {
    return line.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    mistake = error.what();
    return std::nullopt;
  }
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

bool is_address(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  int port = -1;
  const char* end = address.data() + address.size();
  const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, port);
  return error == std::errc() && rest == end && port >= 0 && port <= 65535;
}

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
  const auto at = url.rfind('@');
  if (at == std::string::npos) return url;
  const auto scheme = url.find("://");
  const bool has_scheme = scheme < at;
  if (!has_scheme && url.starts_with("sqlite:")) return url;
  // Also of what is no URL, as with a slash too few: it is shown where that is said.
  const auto colon = url.find(':', has_scheme ? scheme + 3 : 0);
  if (colon == std::string::npos || colon > at) return url;
  return url.substr(0, colon) + ":***" + url.substr(at);
}

std::string shown(const Setting& setting) {
  return setting.name == "database" ? without_password(setting.value) : setting.value;
}

std::string read_secret(const std::string& file) {
  constexpr std::string_view kVariable = "env:";
  std::string secret;
  if (file.rfind(kVariable, 0) == 0) {
    const char* value = std::getenv(file.substr(kVariable.size()).c_str());
    if (value != nullptr) secret = value;
  } else {
    std::ifstream in(file, std::ios::binary);
    secret.assign(std::istreambuf_iterator<char>(in), {});
  }
  secret.erase(secret.find_last_not_of("\r\n") + 1);
  return secret;
}

std::string database_url(const Config& config) {
  if (config.database_password_file.empty()) return config.database;
  const std::string password = read_secret(config.database_password_file);
  if (password.empty()) {
    throw std::runtime_error(
        "the file or the environment variable of --database-password-file can't be read or is "
        "empty; put the password into it, and nothing else");
  }
  std::string url = config.database;
  url.insert(url.rfind('@'), ":" + payments::percent_encode(password));
  return url;
}

}  // namespace orderd::ops
