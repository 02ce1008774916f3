#pragma once

#include <vector>

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::UpdateInvoiceRequest& request);

/// The invoice number, trimmed, unless it is empty.
std::vector<Claim> invoice_claims(const pb::UpdateInvoiceRequest& request);

/// The target's holders are those of `invoice_claims`.
Result update_invoice(const pb::UpdateInvoiceRequest& request, const Target& target,
                      const Context& context);

}  // namespace orderd::rules
