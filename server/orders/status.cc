#include "server/orders/status.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "absl/strings/ascii.h"
#include "server/orders/fields.h"
#include "server/orders/payments.h"
#include "server/orders/shipment_draft.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr int kMaxUpdates = 1000;

/// OrderStatusUpdate and UpdateOrderStatusRequest have the same fields.
template <class Update>
void check_update(const Update& update, const std::string& prefix, errors::Violations& violations) {
  check_id(update.order_id(), prefix + "order_id", violations);
  check_etag(update.etag(), prefix + "etag", violations);
  check_id(update.state_id(), prefix + "state_id", violations);
  check_text(update.reason(), 0, kMaxReason, prefix + "reason", violations);
  if (update.force() && trimmed(update.reason()).empty()) {
    violations.add(prefix + "reason", "must be given with force");
  }
}

bool is_canceled(const pb::OrderState& state) {
  return state.category() == pb::STATE_CATEGORY_CANCELED;
}

absl::Status check_stays_canceled(const pb::Order& order, const pb::OrderState& state) {
  const bool leaves =
      order.cancellation().status() == pb::CANCELLATION_STATUS_COMPLETED && !is_canceled(state);
  return leaves ? errors::cancellation_completed() : absl::OkStatus();
}

absl::Status check_configuration(const pb::Order& order, const pb::OrderState& state,
                                 const Settings& settings) {
  const auto* current = settings.any_state(order.state_id());
  if (current && current->final()) return errors::state_final(order.state_id());
  if (state.has_enterable_from()) {
    const auto& from = state.enterable_from().state_ids();
    if (std::find(from.begin(), from.end(), order.state_id()) == from.end()) {
      return errors::state_not_enterable(order.state_id(), state.state_id());
    }
  }
  return absl::OkStatus();
}

absl::Status check_money_returned(const pb::Order& order, const pb::OrderState& state) {
  if (!is_canceled(state)) return absl::OkStatus();
  const int open = open_payments(order);
  return open > 0 ? errors::cancel_required(state.state_id(), open) : absl::OkStatus();
}

/// As `may_enter`, for `force`.
absl::Status may_be_forced(const pb::Order& order, const pb::OrderState& state) {
  absl::Status refusal = check_no_cancellation_running(order);
  if (refusal.ok()) refusal = check_stays_canceled(order, state);
  if (refusal.ok()) refusal = check_money_returned(order, state);
  return refusal;
}

}  // namespace

absl::Status validate(const pb::UpdateOrderStatusRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  check_update(request, "", violations);
  return violations.status();
}

absl::Status validate(const pb::BatchUpdateOrderStatusRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  const int count = request.updates_size();
  if (count < 1 || count > kMaxUpdates) {
    violations.add("updates", fmt::format("must be 1 to {} updates, not {}", kMaxUpdates, count));
    return violations.status();
  }
  // An id is the same in upper and in lower case.
  std::unordered_map<std::string, int> orders;
  for (int i = 0; i < count; ++i) {
    const auto& update = request.updates(i);
    const std::string prefix = fmt::format("updates[{}].", i);
    check_update(update, prefix, violations);
    const auto [first, is_new] = orders.emplace(absl::AsciiStrToLower(update.order_id()), i);
    if (!is_new && !update.order_id().empty()) {
      violations.add(prefix + "order_id",
                     fmt::format("must differ from that of updates[{}]", first->second));
    }
  }
  return violations.status();
}

pb::OrderStatusUpdate status_update(const pb::UpdateOrderStatusRequest& request) {
  pb::OrderStatusUpdate update;
  update.set_order_id(request.order_id());
  update.set_etag(request.etag());
  update.set_state_id(request.state_id());
  update.set_reason(request.reason());
  update.set_force(request.force());
  return update;
}

absl::Status may_enter(const pb::Order& order, const pb::OrderState& state,
                       const Settings& settings) {
  absl::Status refusal = check_no_cancellation_running(order);
  if (refusal.ok()) refusal = check_configuration(order, state, settings);
  if (refusal.ok()) refusal = check_stays_canceled(order, state);
  if (refusal.ok()) refusal = check_money_returned(order, state);
  return refusal;
}

absl::Status check_no_cancellation_running(const pb::Order& order) {
  const auto status = order.cancellation().status();
  const bool running =
      status == pb::CANCELLATION_STATUS_IN_PROGRESS || status == pb::CANCELLATION_STATUS_FAILED;
  return running ? errors::cancellation_in_progress() : absl::OkStatus();
}

int open_payments(const pb::Order& order) {
  return static_cast<int>(
      std::count_if(order.payments().begin(), order.payments().end(), has_open_money));
}

void enter_state(const pb::OrderState& state, const std::string& reason, bool forced,
                 const Context& context, Change& change) {
  pb::Order& order = *change.after;
  const std::string left = order.state_id();
  order.set_state_id(state.state_id());
  const bool enters_cancellation =
      is_canceled(state) && order.cancellation().status() != pb::CANCELLATION_STATUS_COMPLETED;
  if (enters_cancellation) {
    auto& cancellation = *order.mutable_cancellation();
    cancellation.set_status(pb::CANCELLATION_STATUS_COMPLETED);
    cancellation.set_reason(reason);
    *cancellation.mutable_complete_time() = to_timestamp(context.now);
  }
  if (left != state.state_id()) {
    auto& event = *change.events.emplace_back().mutable_state_changed();
    event.set_before_state_id(left);
    event.set_after_state_id(state.state_id());
    event.set_reason(reason);
    event.set_forced(forced);
  }
  if (enters_cancellation) {
    const pb::Order before = order;
    cancel_unshipped(order, context.now, *context.settings);
    record_shipments(before, change);
  }
}

Result update_status(const pb::OrderStatusUpdate& update, const Target& target,
                     const Context& context) {
  const pb::Order& before = *target.order;
  Change change;
  if (update.state_id() == before.state_id()) return change;
  const auto* state = context.settings->live_state(update.state_id());
  if (!state) return errors::state_unknown(update.state_id());

  absl::Status refusal = may_enter(before, *state, *context.settings);
  const bool forced = update.force() && !refusal.ok();
  if (forced) refusal = may_be_forced(before, *state);
  if (!refusal.ok()) return refusal;

  change.after = before;
  enter_state(*state, update.reason(), forced, context, change);
  return change;
}

}  // namespace orderd::rules
