#pragma once

#include "storage/session.h"
#include "storage/storage.h"

// The statements of `Reads`, on any session.

namespace orderd::storage {

std::vector<OrderVersion> read_versions(Session& session, std::span<const Uuid> ids);
std::vector<OrderPtr> read_orders(Session& session, std::span<const Uuid> ids);
std::map<NoteKey, pb::Note> read_notes(Session& session, std::span<const NoteKey> keys);
/// All of the orders: by order, then oldest first.
std::vector<NoteRow> read_notes_of(Session& session, std::span<const Uuid> order_ids);
std::vector<RequestRecord> read_requests(Session& session, std::span<const RequestKey> keys);
std::map<Claim, ClaimHolder> read_claims(Session& session, std::span<const Claim> claims);
std::vector<pb::Note> read_note_page(Session& session, const Uuid& order_id,
                                     const std::optional<Uuid>& after, int limit);
std::int64_t read_count(Session& session, std::string_view state_id);
std::vector<Uuid> read_ids_in_state(Session& session, std::string_view state_id, int limit);

/// A condition on the rows of an order's things, at least one; `second` is the member of a key that
/// `column` holds. Not a list of pairs: SQLite would read the whole table for it.
template <typename Key, typename Id>
Sql& append_keys(Sql& sql, std::span<const Key> keys, Fixed order_column, Fixed column,
                 Id Key::*second) {
  bool first = true;
  for (const Key& key : keys) {
    sql << (first ? Fixed("(") : Fixed(" OR (")) << order_column << " = " << key.order_id << " AND "
        << column << " = ";
    first = false;
    if constexpr (std::is_same_v<Id, Uuid>) {
      sql << key.*second << ")";
    } else {
      sql << Blob{key.*second} << ")";
    }
  }
  return sql;
}

/// In `requests.create_time`, of records that are kept for ever: behind all times, so that a sweep
/// of what is older than some time never meets it, whichever server runs it.
inline constexpr Micros kKeptForEver = INT64_MAX;

/// The table of a kind of claim.
Fixed claim_table(ClaimKind kind);

/// Examines at most `budget` rows, or one per state.
ListPage read_order_page(Session& session, const ListQuery& query, int budget = kScanBudget);

/// Index hints: SQLite's stands behind the table's name as MySQL's does.
inline Sql& use_primary(Sql& sql) { return sql.either("", " FORCE INDEX (PRIMARY)"); }

}  // namespace orderd::storage
