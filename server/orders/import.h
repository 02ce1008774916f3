#pragma once

#include <span>
#include <string>
#include <vector>

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

/// All that can be said without the settings.
absl::Status validate(const pb::ImportOrdersRequest& request);

/// What the import wants to own: the order number first, then the invoice number if there is one,
/// then the payments' references in their order.
std::vector<Claim> import_claims(const pb::ImportOrdersRequest& request);

/// How many ids `import_order` needs: the order's, then one per note, then one per payment.
std::size_t import_ids(const pb::ImportOrdersRequest& request);

/// `digest` is the hash of the request. An order imported before with the same digest is UNCHANGED
/// (`Change::imported_before`), with another IMPORT_CONFLICT. Shipments and lines get ids of the
/// order's family. The target's holders are those of
/// `import_claims`.
Result import_order(const pb::ImportOrdersRequest& request, std::string_view digest,
                    std::span<const Uuid> ids, const Target& target, const Context& context);

}  // namespace orderd::rules
