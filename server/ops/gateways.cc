#include "server/ops/gateways.h"

#include <memory>
#include <stdexcept>
#include <utility>

#include "server/ops/check_config.h"
#include "server/payments/external.h"
#include "server/payments/sandbox.h"
#include "server/payments/stripe.h"
#include "storage/wall_clock.h"

namespace orderd::ops {
namespace {

using Kind = GatewayAccount::Kind;

std::unique_ptr<payments::Gateway> open(const GatewayAccount& account,
                                        const std::string& stripe_url) {
  if (account.kind == Kind::kSandbox) {
    return std::make_unique<payments::Sandbox>(account.location, wall_clock);
  }
  const bool in_file = account.kind == Kind::kStripeKeyFile;
  auto key = in_file ? payments::ApiKey::from_file(account.location)
                     : payments::ApiKey::from_environment(account.location);
  if (!key.get()) {
    throw std::runtime_error(in_file ? "its key file can't be read or holds no key; put the secret "
                                       "key into it, and nothing else, readable by orderd"
                                     : "the environment variable with its key is not set");
  }
  return std::make_unique<payments::Stripe>(
      std::move(key), payments::Stripe::Options{.base_url = stripe_url, .ca_file = {}});
}

std::runtime_error unusable(const GatewayAccount& account, const std::exception& error) {
  return std::runtime_error("can't use the gateway account " + account.name + ": " + error.what());
}

}  // namespace

void open_gateways(const Config& config, payments::Accounts& accounts) {
  accounts.add(std::string(rules::kExternal), std::make_unique<payments::External>(wall_clock));
  for (const GatewayAccount& account : config.gateways) {
    try {
      accounts.add(account.name, open(account, config.stripe_url));
    } catch (const std::exception& error) {
      throw unusable(account, error);
    }
  }
}

void check_gateway(const Config& config, const GatewayAccount& account) {
  try {
    if (account.kind == Kind::kSandbox) {
      check_file_place(account.location);
    } else {
      open(account, config.stripe_url);
    }
  } catch (const std::exception& error) {
    throw unusable(account, error);
  }
}

}  // namespace orderd::ops
