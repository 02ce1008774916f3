#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orders/v1/settings_service.pb.h"
#include "server/engine/settings_cache.h"
#include "server/orders/states.h"
#include "storage/storage.h"

namespace orderd::engine {

/// What can be edited: each kind has ids of its own.
enum class SettingsKind { kOrderState, kDeliveryState, kShipmentMethod };

/// One call that changes the settings.
struct SettingsEdit {
  /// As in Command.
  std::optional<RequestKey> request;
  std::string request_id;
  std::string body_hash;
  /// What the call is about.
  SettingsKind kind = SettingsKind::kOrderState;
  std::string id;
  /// It must exist: NOT_FOUND comes before the check of the etag.
  bool must_exist = true;
  /// The call deletes it: refused if an order is in the state, has a line in the delivery state or
  /// a shipment of the method.
  bool deletes = false;
  /// Empty: not checked.
  std::string expected_etag;
  bool validate_only = false;
  /// A pure function; it may be called again.
  std::function<absl::StatusOr<rules::SettingsChange>(const Settings&, Micros now)> rule;
  std::function<bool()> abandoned;
};

struct SettingsAnswer {
  /// What the call was about, as it is now: that of its kind; absent if it never existed.
  std::optional<pb::OrderState> state;
  std::optional<pb::DeliveryState> delivery_state;
  std::optional<pb::ShipmentMethod> method;
  std::string settings_etag;
  std::vector<pb::StrandedOrders> stranded;
  bool changed = false;
  bool replayed = false;
};

/// Executes changes of the settings, one at a time. They are rare, so each is one transaction.
///
/// A change is judged in a read transaction, where orders can be counted at leisure, and written
/// only if under the lock the settings are still those that it was judged by; else it is judged
/// again.
class SettingsEditor {
 public:
  using Done = std::function<void(absl::StatusOr<SettingsAnswer>)>;

  SettingsEditor(storage::Storage& storage, SettingsCache& cache);
  /// Stops as by `stop`.
  ~SettingsEditor();

  /// Never blocks; `done` is called exactly once, on the editor's thread or (refused) here.
  void submit(SettingsEdit edit, Done done);

  /// Refuses new edits and returns when all are answered.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::engine
