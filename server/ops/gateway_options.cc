#include <utility>

#include <algorithm>
#include <string_view>

#include "server/ops/options.h"

namespace orderd::ops {
namespace {

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

}  // namespace

GatewayOptions::GatewayOptions(CLI::App& app, Config& config) : config_(config) {
  app.add_option(
         "--gateway", accounts_,
         "NAME=sandbox:PATH, NAME=stripe:KEYFILE or NAME=stripe:env:VARIABLE: an account at a "
         "payment gateway, by the name that payments call it; may be given again, or several with "
         "';' "
         "between them")
      ->envname("ORDERD_GATEWAY")
      ->delimiter(';')
      ->allow_extra_args(false);
  app.add_option("--stripe-url", config.stripe_url,
                 "Where Stripe's API is; http only on this machine, for tests")
      ->envname("ORDERD_STRIPE_URL")
      ->capture_default_str();
  add_seconds(app, "--gateway-timeout", "ORDERD_GATEWAY_TIMEOUT",
              "Seconds that a gateway has to answer before the answer is found out later", 0.05,
              300, config.gateway_timeout);
  add_seconds(app, "--reconcile-interval", "ORDERD_RECONCILE_INTERVAL",
              "Seconds between looks for payments whose gateway has to be asked", 0.05, 3600,
              config.reconcile_interval);
  add_seconds(app, "--reconcile-delay", "ORDERD_RECONCILE_DELAY",
              "Seconds before a gateway that could not tell is asked again; doubled each time",
              0.05, 21600, config.reconcile_delay);
}

void GatewayOptions::apply() {
  for (const std::string& account : accounts_) {
    const std::string mistake = add_gateway(account, config_.gateways);
    if (!mistake.empty()) throw CLI::ValidationError("--gateway", mistake);
  }
}

}  // namespace orderd::ops
