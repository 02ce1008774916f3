#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// The outbox: e-mails as rows of their orders, each with what it tells of. A claim moves the time
// of the next try behind the end of its lease.

namespace orderd::storage {

/// Inserts `created`, overwrites `updated` but for their snapshots.
void write_emails(Session& session, std::span<const EmailRow> created,
                  std::span<const EmailRow> updated);
/// All of the orders, without snapshots: by order, then oldest first.
std::vector<EmailRow> read_emails_of(Session& session, std::span<const Uuid> order_ids);
std::map<EmailKey, pb::Email> read_emails(Session& session, std::span<const EmailKey> keys);
std::vector<pb::Email> read_email_page(Session& session, const std::optional<Uuid>& order_id,
                                       std::optional<pb::EmailStatus> status,
                                       const std::optional<Uuid>& after, int limit);
Backlog read_email_backlog(Session& session, pb::EmailStatus status, int most);

/// In a write transaction. Waits for nobody.
std::vector<EmailRow> claim_emails(Session& session, Micros now, Micros lease_until, int limit);

}  // namespace orderd::storage
