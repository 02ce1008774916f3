#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// The reconciler's queue: at most one row per payment, with the time at which its gateway is to be
// asked next. A claim moves that time behind the end of its lease.

namespace orderd::storage {

/// Writes or removes rows. What is written has not been tried yet.
void write_schedule(Session& session, std::span<const ScheduleRow> rows);

/// In a write transaction. Waits for nobody.
std::vector<DueCheck> claim_due(Session& session, std::span<const std::string> accounts, Micros now,
                                Micros lease_until, int limit);
void postpone(Session& session, std::span<const Postponement> postponements);

std::vector<UnresolvedRow> read_unresolved_page(Session& session, std::string_view gateway_account,
                                                const std::optional<UnresolvedRow::Keyset>& after,
                                                int limit);
Backlog read_unresolved_backlog(Session& session, std::string_view gateway_account, int most);

}  // namespace orderd::storage
