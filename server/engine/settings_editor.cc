#include "server/engine/settings_editor.h"

#include <algorithm>
#include <map>
#include <utility>

#include "server/engine/edit_lane.h"
#include "server/orders/errors.h"
#include "storage/wall_clock.h"

namespace orderd::engine {
namespace {

constexpr int kStrandedIds = 100;

std::string etag_of(const Settings& settings) { return std::to_string(settings.version); }

/// Deleted or not; null if it never existed.
template <typename Setting>
const Setting* find(const std::map<std::string, Setting, std::less<>>& all, const std::string& id) {
  const auto it = all.find(id);
  return it == all.end() ? nullptr : &it->second;
}

bool is_live(const auto* setting) { return setting != nullptr && !setting->has_delete_time(); }

bool exists(const SettingsEdit& edit, const Settings& settings) {
  switch (edit.kind) {
    case SettingsKind::kOrderState:
      return is_live(find(settings.states, edit.id));
    case SettingsKind::kDeliveryState:
      return is_live(find(settings.delivery_states, edit.id));
    case SettingsKind::kShipmentMethod:
      break;
  }
  return is_live(find(settings.methods, edit.id));
}

absl::Status not_found(const SettingsEdit& edit) {
  switch (edit.kind) {
    case SettingsKind::kOrderState:
      return errors::state_not_found(edit.id);
    case SettingsKind::kDeliveryState:
      return errors::state_not_found(edit.id, errors::StateKind::kDelivery);
    case SettingsKind::kShipmentMethod:
      break;
  }
  return errors::shipment_method_not_found(edit.id);
}

/// Refused if orders use it.
absl::Status check_unused(const SettingsEdit& edit, storage::ReadTransaction& tx) {
  std::int64_t count = 0;
  switch (edit.kind) {
    case SettingsKind::kOrderState:
      count = tx.count_orders(edit.id);
      return count == 0 ? absl::OkStatus() : errors::state_in_use(edit.id, count);
    case SettingsKind::kDeliveryState:
      count = tx.count_orders_with_delivery_state(edit.id);
      return count == 0 ? absl::OkStatus()
                        : errors::state_in_use(edit.id, count, errors::StateKind::kDelivery);
    case SettingsKind::kShipmentMethod:
      break;
  }
  count = tx.count_orders_with_method(edit.id);
  return count == 0 ? absl::OkStatus() : errors::shipment_method_in_use(edit.id, count);
}

bool is_used(const SettingsEdit& edit, storage::WriteTransaction& tx) {
  switch (edit.kind) {
    case SettingsKind::kOrderState:
      return tx.any_order_in(edit.id);
    case SettingsKind::kDeliveryState:
      return tx.any_order_with_delivery_state(edit.id);
    case SettingsKind::kShipmentMethod:
      break;
  }
  return tx.any_order_with_method(edit.id);
}

void save(const rules::SettingsChange& change, storage::WriteTransaction& tx) {
  for (const pb::OrderState& state : change.saved) tx.save_order_state(state);
  for (const pb::DeliveryState& state : change.saved_delivery_states) tx.save_delivery_state(state);
  for (const pb::ShipmentMethod& method : change.saved_methods) tx.save_shipment_method(method);
}

template <typename Setting>
std::optional<Setting> copy(const Setting* setting) {
  return setting == nullptr ? std::nullopt : std::optional(*setting);
}

}  // namespace

class SettingsEditor::Impl {
 public:
  Impl(storage::Storage& storage, SettingsCache& cache)
      : storage_(storage), cache_(cache), lane_(storage) {}

  void submit(SettingsEdit edit, Done done) {
    struct Work {
      SettingsEdit edit;
      absl::StatusOr<SettingsAnswer> answer;
    };
    const auto work = std::make_shared<Work>(Work{std::move(edit), absl::UnknownError("")});
    lane_.submit(
        [this, work]() -> std::optional<absl::Status> {
          auto answer = attempt(work->edit);
          if (!answer) return std::nullopt;
          work->answer = *std::move(answer);
          return work->answer.status();
        },
        work->edit.abandoned,
        [work, done = std::move(done)](const absl::Status& status) {
          if (status.ok()) {
            done(std::move(work->answer));
          } else {
            done(status);
          }
        });
  }

  void stop() { lane_.stop(); }

 private:
  /// What an edit would do to the settings as they were read.
  struct Plan {
    Settings before;
    Settings after;
    rules::SettingsChange change;
    std::vector<pb::StrandedOrders> stranded;
  };

  /// Nothing: to be run again.
  std::optional<absl::StatusOr<SettingsAnswer>> attempt(const SettingsEdit& edit);
  /// An answer, a refusal, or (in `plan`) what is to be written.
  std::optional<absl::StatusOr<SettingsAnswer>> judge(const SettingsEdit& edit, Micros now,
                                                      Plan& plan);
  bool write(const SettingsEdit& edit, Micros now, const Plan& plan);

  storage::Storage& storage_;
  SettingsCache& cache_;
  EditLane lane_;
};

namespace {

SettingsAnswer answer_of(const SettingsEdit& edit, const Settings& settings) {
  SettingsAnswer answer;
  switch (edit.kind) {
    case SettingsKind::kOrderState:
      answer.state = copy(find(settings.states, edit.id));
      break;
    case SettingsKind::kDeliveryState:
      answer.delivery_state = copy(find(settings.delivery_states, edit.id));
      break;
    case SettingsKind::kShipmentMethod:
      answer.method = copy(find(settings.methods, edit.id));
      break;
  }
  answer.settings_etag = etag_of(settings);
  return answer;
}

std::vector<pb::StrandedOrders> count_stranded(storage::ReadTransaction& tx, const Settings& before,
                                               const Settings& after) {
  std::vector<pb::StrandedOrders> all;
  for (const std::string& state_id : rules::stranding_states(before, after)) {
    pb::StrandedOrders stranded;
    stranded.set_order_count(tx.count_orders(state_id));
    if (stranded.order_count() == 0) continue;
    stranded.set_state_id(state_id);
    for (const Uuid& id : tx.orders_in_state(state_id, kStrandedIds)) {
      stranded.add_order_ids(id.to_string());
    }
    all.push_back(std::move(stranded));
  }
  return all;
}

}  // namespace

std::optional<absl::StatusOr<SettingsAnswer>> SettingsEditor::Impl::attempt(
    const SettingsEdit& edit) {
  const Micros now = wall_clock();
  Plan plan;
  if (auto answer = judge(edit, now, plan)) return answer;
  if (!write(edit, now, plan)) return std::nullopt;
  SettingsAnswer answer = answer_of(edit, plan.after);
  answer.changed = true;
  answer.stranded = std::move(plan.stranded);
  cache_.put(std::move(plan.after));
  return answer;
}

std::optional<absl::StatusOr<SettingsAnswer>> SettingsEditor::Impl::judge(const SettingsEdit& edit,
                                                                          Micros now, Plan& plan) {
  const auto tx = storage_.begin_read(EditLane::session_deadline());
  tx->snapshot();
  plan.before = tx->load_settings();
  if (edit.request) {
    const auto records = tx->find_requests({&*edit.request, 1});
    if (!records.empty()) {
      if (records[0].body_hash != edit.body_hash) return errors::request_id_reused(edit.request_id);
      SettingsAnswer answer = answer_of(edit, plan.before);
      answer.settings_etag = std::to_string(records[0].version);
      answer.changed = true;
      answer.replayed = true;
      return answer;
    }
  }
  if (edit.must_exist && !exists(edit, plan.before)) return not_found(edit);
  if (!edit.expected_etag.empty() && edit.expected_etag != etag_of(plan.before)) {
    return errors::etag_mismatch(etag_of(plan.before));
  }
  auto change = edit.rule(plan.before, now);
  if (!change.ok()) return change.status();
  if (change->empty()) return answer_of(edit, plan.before);
  if (edit.deletes) {
    const absl::Status unused = check_unused(edit, *tx);
    if (!unused.ok()) return unused;
  }
  plan.change = *std::move(change);
  plan.after = rules::apply(plan.before, plan.change);
  plan.after.version = plan.before.version + 1;
  plan.stranded = count_stranded(*tx, plan.before, plan.after);
  if (!edit.validate_only) return std::nullopt;
  SettingsAnswer answer = answer_of(edit, plan.after);
  answer.settings_etag = etag_of(plan.before);
  answer.stranded = plan.stranded;
  answer.changed = true;
  return answer;
}

bool SettingsEditor::Impl::write(const SettingsEdit& edit, Micros now, const Plan& plan) {
  auto tx = storage_.begin_write(EditLane::session_deadline());
  // Unchanged settings also mean that no other server has executed this request meanwhile.
  if (tx->lock_settings().version != plan.before.version) return false;
  if (edit.deletes && is_used(edit, *tx)) return false;
  save(plan.change, *tx);
  tx->set_settings_version(plan.after.version);
  std::vector<RequestRecord> records;
  if (edit.request) {
    RequestRecord record;
    record.key = *edit.request;
    record.body_hash = edit.body_hash;
    record.version = plan.after.version;
    record.outcome.set_state_id(edit.id);
    records.push_back(std::move(record));
  }
  return lane_.commit(std::move(tx), now, records, edit.abandoned);
}

SettingsEditor::SettingsEditor(storage::Storage& storage, SettingsCache& cache)
    : impl_(std::make_unique<Impl>(storage, cache)) {}

SettingsEditor::~SettingsEditor() { stop(); }

void SettingsEditor::submit(SettingsEdit edit, Done done) {
  impl_->submit(std::move(edit), std::move(done));
}

void SettingsEditor::stop() { impl_->stop(); }

}  // namespace orderd::engine
