#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/model.h"

// A rule is a pure function of an order, a request and a context. It knows neither gRPC, SQL nor
// the clock, returns a change or a refusal (errors.h), and never alters its input; so the engine
// may run it again as often as it needs to.

namespace orderd::rules {

/// What a rule sees of the world.
struct Context {
  Micros now = 0;
  /// The caller's identity.
  const std::string* actor = nullptr;
  const Settings* settings = nullptr;
};

/// What a rule sees of the order. Everything is current: locked, or made by an earlier command of
/// the same batch.
struct Target {
  /// Null if the command creates the order.
  const pb::Order* order = nullptr;
  /// The note that the command names; null if the order has no such note.
  const pb::Note* note = nullptr;
  /// Who holds the claims that the command named, in the order in which it named them.
  std::vector<std::optional<ClaimHolder>> holders;
  /// The transaction that the command names; null if the order has no such transaction.
  const pb::PaymentTransaction* transaction = nullptr;
  /// All transactions of the order, oldest first, if the command asked for them.
  std::vector<pb::PaymentTransaction> ledger;
  /// The e-mail that the command names; null if the order has no such e-mail.
  const pb::Email* email = nullptr;
  /// All that is kept of the order beside, if the command asked for it, each oldest first.
  std::vector<pb::OrderEvent> history;
  std::vector<pb::Note> notes;
  std::vector<pb::Email> emails;
};

/// What a rule wants done.
struct Change {
  /// The order afterwards. Absent: what was asked for holds already, nothing is written. The engine
  /// sets etag and update_time, and derives from it which claims are taken and released.
  OrderBox after;
  /// Whether customer and addresses, or labels, differ from before.
  bool customer_changed = false;
  bool labels_changed = false;
  /// Whether shipments, their tracking numbers or lines differ from before.
  bool shipments_changed = false;
  /// Whether payments differ from before.
  bool payments_changed = false;
  /// New transactions, and transactions that exist and differ from before.
  std::vector<pb::PaymentTransaction> transactions_created;
  std::vector<pb::PaymentTransaction> transactions_updated;
  /// For each payment that differs from before: when its gateway is to be asked next.
  std::vector<PaymentSchedule> schedule;
  /// New e-mails, which tell of the order as it is in `after`, and one that changed.
  std::vector<pb::Email> emails_created;
  std::optional<pb::Email> email_updated;
  /// Notes to write. `note_id` decides whether each is new: an id that the target does not have.
  std::vector<pb::Note> notes_created;
  std::optional<pb::Note> note_updated;
  std::optional<std::string> note_deleted;
  /// Erasures: which erasure it is, and what it makes of records that exist: events, by their
  /// places in the target's history; notes; e-mails, which also lose what they tell of.
  std::optional<Uuid> erasure_id;
  std::map<std::size_t, pb::OrderEvent> history_erased;
  std::vector<pb::Note> notes_erased;
  std::vector<pb::Email> emails_erased;
  /// Only the payload is set; the engine fills in the rest.
  std::vector<pb::OrderEvent> events;
  /// Kept for a replay.
  internal::Outcome outcome;
  /// Imports only.
  std::string import_digest;
  /// Imports only: the order that the same import made before. `after` is absent then.
  std::optional<Uuid> imported_before;
};

using Result = absl::StatusOr<Change>;
using Rule = std::function<Result(const Target&, const Context&)>;

}  // namespace orderd::rules
