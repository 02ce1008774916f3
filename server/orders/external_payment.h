#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "server/orders/rule.h"

namespace orderd::rules {

/// What a caller says that became of money which is handled elsewhere.
struct ExternalSums {
  std::int64_t authorized = 0;
  std::int64_t captured = 0;
  std::int64_t refunded = 0;
  std::int64_t voided = 0;
};

/// Of every payment of the account "external": all that a person can do with money. There are no
/// readings, and no keys.
pb::GatewayCapabilities external_capabilities();

/// Gives a payment of the account "external" its capabilities, sums and status, and adds to
/// `transactions` what they say: AUTHORIZATION, CAPTURE, REFUND and VOID, each unless it is 0, all
/// at `complete_time`. Without a currency there are no amounts. The sums keep the invariant.
void set_external_sums(const ExternalSums& sums, std::string_view currency_code,
                       Micros complete_time, const Context& context, pb::Payment& payment,
                       std::vector<pb::PaymentTransaction>& transactions);

}  // namespace orderd::rules
