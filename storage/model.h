#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "orders/internal/v1/internal.pb.h"
#include "orders/v1/cancellation.pb.h"
#include "orders/v1/erasure.pb.h"
#include "orders/v1/event.pb.h"
#include "orders/v1/order.pb.h"
#include "orders/v1/settings.pb.h"
#include "storage/order_box.h"
#include "storage/uuid.h"

// The generated messages are the model; this file has what they do not say.

namespace orderd {

namespace pb = ::orders::v1;
namespace internal = ::orders::internal::v1;

/// Microseconds since 1970-01-01T00:00:00Z.
using Micros = std::int64_t;

/// An order as callers see it, on the wire: with what depends on the settings.
struct Rendering {
  std::int64_t settings_version = 0;
  std::string bytes;
};

/// Keeps one, for the next who wants it; shared between threads. A copy keeps nothing.
class KeptRendering {
 public:
  KeptRendering() = default;
  KeptRendering(const KeptRendering&) {}
  KeptRendering& operator=(const KeptRendering&) { return *this; }

  std::shared_ptr<const Rendering> get() const {
    std::lock_guard lock(mutex_);
    return rendering_;
  }
  void keep(std::shared_ptr<const Rendering> rendering) {
    std::lock_guard lock(mutex_);
    rendering_ = std::move(rendering);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Rendering> rendering_;
};

/// An order as stored: whole except `available_actions`, immutable, shared between threads.
struct StoredOrder {
  Uuid id;
  /// Raised by one with every change of the order or anything in it. `order.etag` is its text.
  std::int64_t version = 0;
  OrderBox order;
  mutable KeptRendering rendering;
};
using OrderPtr = std::shared_ptr<const StoredOrder>;

/// What the operator has configured, as of one version.
struct Settings {
  std::int64_t version = 0;
  /// By id, the deleted ones too.
  std::map<std::string, pb::OrderState, std::less<>> states;
  std::map<std::string, pb::DeliveryState, std::less<>> delivery_states;
  std::map<std::string, pb::ShipmentMethod, std::less<>> methods;

  /// The state, or null if there is none or it has been deleted.
  const pb::OrderState* live_state(std::string_view state_id) const {
    auto it = states.find(state_id);
    return it == states.end() || it->second.has_delete_time() ? nullptr : &it->second;
  }
  /// The state, deleted or not, or null.
  const pb::OrderState* any_state(std::string_view state_id) const {
    auto it = states.find(state_id);
    return it == states.end() ? nullptr : &it->second;
  }
};
using SettingsPtr = std::shared_ptr<const Settings>;

/// Things that are unique over all orders. Each kind has a table: value -> order.
enum class ClaimKind { kOrderNumber, kInvoiceNumber, kPaymentReference };

struct Claim {
  ClaimKind kind{};
  /// Compared bytewise. A payment reference is written by `payment_claim()`.
  std::string value;

  auto operator<=>(const Claim&) const = default;
};

inline std::string payment_claim(std::string_view account, std::string_view reference) {
  std::string value(account);
  value += '\n';  // neither part can contain a control character
  value += reference;
  return value;
}

struct ClaimHolder {
  Uuid order_id;
  /// Order numbers only: the digest of the import that made the order; empty if it was not
  /// imported.
  std::string import_digest;
};

/// Identifies a mutating call that may be retried: the caller's `request_id` (16 bytes, plus the
/// item's index in a batch) and a hash of its scope (identity and method).
struct RequestKey {
  std::array<std::uint8_t, 32> bytes{};

  auto operator<=>(const RequestKey&) const = default;
  std::string_view raw() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

/// What a call with a `request_id` did. Written in the transaction of the change.
struct RequestRecord {
  RequestKey key;
  /// SHA-256 of the call's fields.
  std::string body_hash;
  /// The order that was changed; all zero for settings calls.
  Uuid order_id;
  /// The version that the call produced (of the order, or of the settings).
  std::int64_t version = 0;
  internal::Outcome outcome;
  /// Never swept: calls that move money.
  bool kept_for_ever = false;
};

/// When the gateway of a payment is to be asked next, and since when it has been unresolved.
struct PaymentSchedule {
  std::string payment_id;
  /// Absent: not by the server itself.
  std::optional<Micros> next_check;
  /// Absent: nothing is open and nobody has to look.
  std::optional<Micros> unresolved_since;
  /// If an earlier `unresolved_since` is stored, it stays.
  bool keeps_since = false;
};

}  // namespace orderd
