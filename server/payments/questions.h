#pragma once

#include <functional>
#include <vector>

#include "server/engine/trace_context.h"
#include "server/orders/readings.h"
#include "server/payments/accounts.h"
#include "server/payments/sender.h"

namespace orderd::payments {

/// Whether there is anybody to ask about the payment.
inline bool has_gateway(const pb::Payment& payment) {
  return payment.gateway_account() != rules::kExternal;
}

/// What the gateways of an order say.
struct Said {
  std::vector<rules::PaymentReading> readings;
  /// Whether all that this server has could be asked.
  bool complete = true;
};

/// Asks all gateways of an order at once. `then` runs on the last one's thread, or is destroyed if
/// that is stopped. `trace` is what the gateways are told; accounts and sender must live as long as
/// what it holds.
void ask_gateways(Accounts& accounts, Sender& sender, const OrderPtr& order,
                  Accounts::Priority priority, Deadline deadline, const engine::TraceContext& trace,
                  std::function<void(Said)> then);

}  // namespace orderd::payments
