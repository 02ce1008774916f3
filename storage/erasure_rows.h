#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// What an erasure of personal data reads and writes beside the orders themselves, and its records.

namespace orderd::storage {

OrderRecords read_records(Session& session, std::span<const Uuid> order_ids);

/// Overwrites events that exist.
void overwrite_events(Session& session, std::span<const EventRow> events);
/// Empties what the e-mails tell of.
void erase_snapshots(Session& session, std::span<const EmailKey> emails);
/// An order that was erased counts as that, whether the same erasure skipped it before or after.
void write_erased_orders(Session& session, std::span<const ErasedOrder> erased);
void write_skipped_orders(Session& session, std::span<const ErasedOrder> skipped);

/// Inserts the record unless there is one of that id.
void insert_erasure(Session& session, const ErasureRow& row);
void complete_erasure(Session& session, const Uuid& erasure_id, Micros time);
/// With its counts; nothing if there is none.
std::optional<ErasureRow> read_erasure(Session& session, const Uuid& erasure_id);
/// See `ReadTransaction::list_erasures`.
std::vector<pb::Erasure> read_erasure_page(Session& session, std::string_view pseudonym,
                                           const std::optional<ListQuery::Keyset>& after,
                                           int limit);

/// See `ReadTransaction::list_customer_orders`.
std::vector<ListQuery::Keyset> read_customer_orders(Session& session,
                                                    const CustomerSelector& customer,
                                                    const std::optional<ListQuery::Keyset>& after,
                                                    int limit);

}  // namespace orderd::storage
