#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "storage/child_rows.h"
#include "storage/session.h"
#include "storage/storage.h"

// Payments as rows of their orders, and the ledger of their transactions.

namespace orderd::storage {

/// Inserts the payments of `created`, and writes those rows of `updated` that differ.
void write_payments(Session& session, std::span<const StoredOrder* const> created,
                    std::span<const ChangeSet::BeforeAfter> updated);
/// Adds each payment to its order.
void read_payments(Session& session, const ById& orders);

/// Inserts `created`, overwrites `updated`.
void write_transactions(Session& session, std::span<const TransactionRow> created,
                        std::span<const TransactionRow> updated);
std::map<TransactionKey, pb::PaymentTransaction> read_transactions(
    Session& session, std::span<const TransactionKey> keys);
std::vector<TransactionRow> read_ledgers(Session& session, std::span<const Uuid> order_ids);
std::vector<pb::PaymentTransaction> read_transaction_page(Session& session, const Uuid& order_id,
                                                          std::string_view payment_id,
                                                          const std::optional<Uuid>& after,
                                                          int limit);

}  // namespace orderd::storage
