#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/trace_context.h"
#include "server/orders/rule.h"
#include "storage/model.h"

namespace orderd::engine {

/// What a command that was not refused did.
struct Answer {
  /// The order as it is now (in a replay: not as it was then). Null for an import that found its
  /// order, which `order_id` names.
  OrderPtr order;
  Uuid order_id;
  /// The etag that the call produced.
  std::string etag;
  internal::Outcome outcome;
  /// The note that the command added or changed, if it still exists.
  std::optional<pb::Note> note;
  /// The transaction that the command made or changed, as it is now.
  std::optional<pb::PaymentTransaction> transaction;
  /// The e-mail that the command changed, as it is now.
  std::optional<pb::Email> email;
  bool changed = false;
  bool replayed = false;
  bool imported_before = false;
};

/// One mutating call on one order, on its way through a write lane.
struct Command {
  using Done = std::function<void(absl::StatusOr<Answer>)>;

  /// The caller's identity.
  std::string actor;
  /// The caller's `request_id`, for the history; `request` is its key and `body_hash` the SHA-256
  /// of all other fields (engine/request_hash.h).
  std::string request_id;
  std::optional<RequestKey> request;
  std::string body_hash;

  /// The order, or with `creates` the id that it will have.
  Uuid order_id;
  bool creates = false;
  /// Empty: not checked.
  std::string expected_etag;
  /// The values whose holders the rule wants to see.
  std::vector<Claim> claims;
  /// The note that the rule wants to see.
  std::optional<Uuid> note_id;
  /// The transaction that the rule wants to see.
  std::optional<Uuid> transaction_id;
  /// The e-mail that the rule wants to see.
  std::optional<Uuid> email_id;
  /// The rule wants to see all transactions of the order.
  bool wants_ledger = false;
  /// The rule wants to see the history, the notes and the e-mails of the order.
  bool wants_records = false;
  /// What the call did is kept for its retries for ever, not for two days.
  bool keep_request = false;
  /// Nothing is written; the answer says what would have been: `changed`, `outcome`, `transaction`.
  /// The order is as it is.
  bool validate_only = false;

  /// Rows loaded and written, about.
  int cost = 8;
  /// Bytes that it holds while it waits, about.
  std::size_t bytes = 512;
  /// The error if the order does not exist.
  std::string order_id_text;

  /// Of the call; for what is sent to others because of it.
  TraceContext trace;

  rules::Rule rule;
  /// Whether the caller has gone (canceled, or past its deadline). Asked before the batch and
  /// before each rerun. Thread-safe, must not block.
  std::function<bool()> abandoned;
  /// Called exactly once, on a thread of the engine's that may not be blocked for long.
  Done done;
};

}  // namespace orderd::engine
