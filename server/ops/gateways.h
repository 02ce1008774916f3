#pragma once

#include "server/ops/config.h"
#include "server/payments/accounts.h"

namespace orderd::ops {

/// Adds "external" and the accounts of the configuration. Throws std::runtime_error, which says
/// what to do, if one can't be used.
void open_gateways(const Config& config, payments::Accounts& accounts);

/// Whether an account can be used, as far as that can be told without making or asking anything.
/// Throws like `open_gateways`.
void check_gateway(const Config& config, const GatewayAccount& account);

}  // namespace orderd::ops
