#include "server/orders/shipments.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "server/orders/delivery_states.h"
#include "server/orders/fields.h"
#include "server/orders/lookup.h"
#include "server/orders/methods.h"
#include "server/orders/refusals.h"
#include "server/orders/shipment_draft.h"
#include "server/orders/status.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr Micros kClockTolerance = 60'000'000;

/// Where the refusals of one change go.
class Faults {
 public:
  Faults(Refusals& refusals, int change_index, std::string field)
      : refusals_(refusals), change_index_(change_index), field_(std::move(field)) {}

  void add(std::string_view part, absl::Status error) {
    found_ = true;
    refusals_.add(fmt::format("{}.{}", field_, part),
                  errors::in_change(std::move(error), change_index_));
  }
  void add_if(std::string_view part, absl::Status error) {
    if (!error.ok()) add(part, std::move(error));
  }
  /// A fault that is a consequence of an earlier change's.
  void add_silently() { found_ = true; }
  bool found() const { return found_; }

 private:
  Refusals& refusals_;
  const int change_index_;
  const std::string field_;
  bool found_ = false;
};

/// Some pieces of a line, or all of them.
struct Pieces {
  int line;
  std::int64_t quantity;
};

/// What a change means for a line: it can be made, it holds already, or it is refused.
struct Verdict {
  bool holds = false;
  absl::Status refusal;
};

struct Selection {
  std::vector<Pieces> pieces;
  /// Lines for which the change holds already.
  std::vector<int> holding;
  /// With `all`: lines that the change can't be made to.
  std::vector<int> skipped;
};

/// Applies changes to a draft, each to what the ones before it left. A change that is refused
/// leaves the draft alone.
class Updater {
 public:
  Updater(const pb::Order& order, const Uuid& ids, const Context& context)
      : order_(order), context_(context), draft_(order, ids) {}

  pb::ShipmentChangeResult apply(const pb::ShipmentChange& change, int change_index) {
    const std::string field = fmt::format("changes[{}]", change_index);
    switch (change.change_case()) {
      case pb::ShipmentChange::kSetMethod: {
        Faults faults(refusals_, change_index, field + ".set_method");
        return set_method(change.set_method(), faults);
      }
      case pb::ShipmentChange::kSetTrackingNumbers: {
        Faults faults(refusals_, change_index, field + ".set_tracking_numbers");
        return set_tracking_numbers(change.set_tracking_numbers(), faults);
      }
      case pb::ShipmentChange::kSetDeliveryState: {
        Faults faults(refusals_, change_index, field + ".set_delivery_state");
        return set_delivery_state(change.set_delivery_state(), faults);
      }
      case pb::ShipmentChange::CHANGE_NOT_SET:
        break;
    }
    return {};
  }

  const Refusals& refusals() const { return refusals_; }
  const ShipmentDraft& draft() const { return draft_; }

 private:
  /// In `shipments_by_ref_`: the change that should have made the shipment was refused.
  static constexpr int kRefused = -2;

  pb::ShipmentChangeResult set_method(const pb::SetShipmentMethod& change, Faults& faults);
  pb::ShipmentChangeResult set_tracking_numbers(const pb::SetTrackingNumbers& change,
                                                Faults& faults);
  pb::ShipmentChangeResult set_delivery_state(const pb::SetDeliveryState& change, Faults& faults);

  int find_shipment(const std::string& id_or_ref, std::string_view part, Faults& faults) const;
  bool is_whole_shipment(const std::vector<Pieces>& pieces) const;
  absl::Status may_enter(const ShipmentDraft::Line& line, const pb::DeliveryState& state) const;

  template <class Judge>
  Selection select(const pb::LineSelection& selection, Judge judge, Faults& faults) const;
  template <class Judge>
  void select_line(const pb::LineSelector& selector, const std::string& part, Judge judge,
                   Selection& selected, Faults& faults) const;
  template <class Judge>
  void select_item(const pb::LineSelector& selector, const std::string& part, Judge judge,
                   Selection& selected, Faults& faults) const;
  /// The lines with exactly these pieces, split off where need be.
  std::vector<int> take(const std::vector<Pieces>& pieces);
  void report(const Selection& selected, const std::vector<int>& touched,
              pb::ShipmentChangeResult& result) const;

  const pb::Order& order_;
  const Context& context_;
  ShipmentDraft draft_;
  Refusals refusals_;
  std::unordered_map<std::string, int> shipments_by_ref_;
};

template <class Judge>
Selection Updater::select(const pb::LineSelection& selection, Judge judge, Faults& faults) const {
  Selection selected;
  if (selection.all()) {
    for (const int line : draft_.all_lines()) {
      const Verdict verdict = judge(draft_.line(line));
      if (verdict.holds) {
        selected.holding.push_back(line);
      } else if (verdict.refusal.ok()) {
        selected.pieces.push_back({line, draft_.line(line).quantity});
      } else {
        selected.skipped.push_back(line);
      }
    }
    return selected;
  }
  std::unordered_set<int> seen;
  for (int i = 0; i < selection.lines_size(); ++i) {
    const auto& selector = selection.lines(i);
    const std::string part = fmt::format("selection.lines[{}]", i);
    const std::size_t pieces = selected.pieces.size(), holding = selected.holding.size();
    if (selector.line_id().empty()) {
      select_item(selector, part, judge, selected, faults);
    } else {
      select_line(selector, part, judge, selected, faults);
    }
    auto check = [&](int line) {
      if (!seen.insert(line).second) {
        faults.add(part, errors::line_selected_twice(draft_.line(line).id));
      }
    };
    for (std::size_t n = pieces; n < selected.pieces.size(); ++n) check(selected.pieces[n].line);
    for (std::size_t n = holding; n < selected.holding.size(); ++n) check(selected.holding[n]);
  }
  const auto splits = std::count_if(
      selected.pieces.begin(), selected.pieces.end(),
      [&](const Pieces& part) { return part.quantity < draft_.line(part.line).quantity; });
  if (splits > 0 && draft_.line_count() + splits > kMaxLines) {
    faults.add("selection", errors::too_many_lines(kMaxLines));
  }
  return selected;
}

template <class Judge>
void Updater::select_line(const pb::LineSelector& selector, const std::string& part, Judge judge,
                          Selection& selected, Faults& faults) const {
  const int number = draft_.find_line(selector.line_id());
  if (number == ShipmentDraft::kNone) {
    faults.add(part + ".line_id", errors::line_unknown(selector.line_id()));
    return;
  }
  const auto& line = draft_.line(number);
  const std::int64_t quantity = selector.has_quantity() ? selector.quantity() : line.quantity;
  Verdict verdict = judge(line);
  if (!verdict.refusal.ok()) {
    faults.add(part, std::move(verdict.refusal));
  } else if (quantity > line.quantity) {
    faults.add(part + ".quantity",
               errors::quantity_too_large(quantity, line.quantity, "shipment_lines/" + line.id));
  } else if (verdict.holds) {
    selected.holding.push_back(number);
  } else {
    selected.pieces.push_back({number, quantity});
  }
}

template <class Judge>
void Updater::select_item(const pb::LineSelector& selector, const std::string& part, Judge judge,
                          Selection& selected, Faults& faults) const {
  const int item = draft_.find_item(selector.item_id());
  if (item == ShipmentDraft::kNone) {
    faults.add(part + ".item_id", errors::item_unknown(selector.item_id()));
    return;
  }
  std::vector<int> changing, holding;
  absl::Status refusal;
  for (const int line : draft_.lines_of(item)) {
    Verdict verdict = judge(draft_.line(line));
    if (verdict.holds) {
      holding.push_back(line);
    } else if (verdict.refusal.ok()) {
      changing.push_back(line);
    } else if (refusal.ok()) {
      refusal = std::move(verdict.refusal);
    }
  }
  if (changing.empty() && holding.empty()) {
    faults.add_if(part, std::move(refusal));
    return;
  }
  if (!selector.has_quantity()) {
    for (const int line : changing) selected.pieces.push_back({line, draft_.line(line).quantity});
    selected.holding.insert(selected.holding.end(), holding.begin(), holding.end());
    return;
  }
  const auto& candidates = changing.empty() ? holding : changing;
  std::int64_t available = 0;
  for (const int line : candidates) available += draft_.line(line).quantity;
  if (selector.quantity() > available) {
    faults.add(part + ".quantity", errors::quantity_too_large(selector.quantity(), available,
                                                              "items/" + selector.item_id()));
  } else if (candidates.size() > 1) {
    faults.add(part, errors::item_ambiguous(selector.item_id(), candidates.size()));
  } else if (changing.empty()) {
    selected.holding.push_back(holding.front());
  } else {
    selected.pieces.push_back({changing.front(), selector.quantity()});
  }
}

std::vector<int> Updater::take(const std::vector<Pieces>& pieces) {
  std::vector<int> lines;
  for (const auto& [line, quantity] : pieces) {
    lines.push_back(quantity < draft_.line(line).quantity ? draft_.split(line, quantity) : line);
  }
  return lines;
}

void Updater::report(const Selection& selected, const std::vector<int>& touched,
                     pb::ShipmentChangeResult& result) const {
  result.set_changed(!touched.empty());
  std::vector<int> lines;
  for (const auto* part : {&touched, &selected.holding}) {
    for (const int line : *part) lines.push_back(draft_.merged_into(line));
  }
  std::sort(lines.begin(), lines.end(), [&](int a, int b) {
    return std::tie(draft_.line(a).item, draft_.line(a).id) <
           std::tie(draft_.line(b).item, draft_.line(b).id);
  });
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  for (const int line : lines) result.add_line_ids(draft_.line(line).id);
  for (const int line : selected.skipped) result.add_skipped_line_ids(draft_.line(line).id);
}

int Updater::find_shipment(const std::string& id_or_ref, std::string_view part,
                           Faults& faults) const {
  auto ref = shipments_by_ref_.find(id_or_ref);
  if (ref == shipments_by_ref_.end()) {
    const int found = draft_.find_shipment(id_or_ref);
    if (found == ShipmentDraft::kNone) faults.add(part, errors::shipment_unknown(id_or_ref));
    return found;
  }
  if (ref->second == kRefused) {
    faults.add_silently();
    return ShipmentDraft::kNone;
  }
  if (draft_.shipment(ref->second).line_count > 0) return ref->second;
  faults.add(part, errors::shipment_unknown(id_or_ref));
  return ShipmentDraft::kNone;
}

bool Updater::is_whole_shipment(const std::vector<Pieces>& pieces) const {
  const int shipment = draft_.line(pieces.front().line).shipment;
  return static_cast<int>(pieces.size()) == draft_.shipment(shipment).line_count &&
         std::all_of(pieces.begin(), pieces.end(), [&](const Pieces& part) {
           const auto& line = draft_.line(part.line);
           return line.shipment == shipment && line.quantity == part.quantity;
         });
}

pb::ShipmentChangeResult Updater::set_method(const pb::SetShipmentMethod& change, Faults& faults) {
  const std::string& method = change.method_id();
  const std::string& ref = change.client_ref();
  faults.add_if("method_id", check_method(method, true, *context_.settings));
  int shipment = ShipmentDraft::kNone;
  if (!change.into_shipment_id().empty()) {
    shipment = find_shipment(change.into_shipment_id(), "into_shipment_id", faults);
    if (shipment != ShipmentDraft::kNone && draft_.shipment(shipment).method_id != method) {
      faults.add("into_shipment_id",
                 errors::shipment_method_mismatch(draft_.shipment(shipment).id,
                                                  draft_.shipment(shipment).method_id));
    }
  }
  if (std::any_of(order_.shipments().begin(), order_.shipments().end(),
                  [&](const auto& existing) { return existing.shipment_id() == ref; })) {
    faults.add("client_ref", errors::client_ref_is_shipment(ref));
  }
  const auto judge = [&](const ShipmentDraft::Line& line) {
    Verdict verdict;
    verdict.holds = line.shipment == shipment;
    if (!verdict.holds &&
        delivery_category(line.state_id, *context_.settings) != pb::DELIVERY_CATEGORY_OPEN) {
      verdict.refusal = errors::line_not_movable(line.id, line.state_id);
    }
    return verdict;
  };
  const Selection selected = select(change.selection(), judge, faults);
  if (faults.found()) {
    if (!ref.empty()) shipments_by_ref_.emplace(ref, kRefused);
    return {};
  }

  pb::ShipmentChangeResult result;
  if (shipment == ShipmentDraft::kNone && !selected.pieces.empty() &&
      is_whole_shipment(selected.pieces)) {
    shipment = draft_.line(selected.pieces.front().line).shipment;
    report(selected, take(selected.pieces), result);
    result.set_changed(draft_.shipment(shipment).method_id != method);
    if (result.changed()) {
      draft_.set_method(shipment, method);
      draft_.set_tracking_numbers(shipment, {});
    }
  } else {
    if (shipment == ShipmentDraft::kNone && !selected.pieces.empty()) {
      shipment = draft_.add_shipment(method);
    }
    const auto lines = take(selected.pieces);
    for (const int line : lines) draft_.move(line, shipment);
    draft_.merge(lines);
    report(selected, lines, result);
  }
  if (shipment != ShipmentDraft::kNone) {
    result.set_shipment_id(draft_.shipment(shipment).id);
    if (!ref.empty()) shipments_by_ref_.emplace(ref, shipment);
  }
  return result;
}

pb::ShipmentChangeResult Updater::set_tracking_numbers(const pb::SetTrackingNumbers& change,
                                                       Faults& faults) {
  const int shipment = find_shipment(change.shipment_id(), "shipment_id", faults);
  if (faults.found()) return {};
  std::vector<std::string> numbers;
  for (const auto& number : change.tracking_numbers()) numbers.emplace_back(trimmed(number));
  const auto& current = draft_.shipment(shipment);
  pb::ShipmentChangeResult result;
  result.set_shipment_id(current.id);
  if (numbers == current.tracking_numbers) return result;

  const auto& lines = draft_.lines();
  const bool allowed =
      std::any_of(lines.begin(), lines.end(), [&](const ShipmentDraft::Line& line) {
        const auto* state = any(context_.settings->delivery_states, line.state_id);
        return line.shipment == shipment && line.quantity > 0 && state && state->allows_tracking();
      });
  if (!allowed && !numbers.empty()) {
    faults.add("shipment_id", errors::tracking_not_allowed(current.id));
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const int other = draft_.find_tracking_number(numbers[i]);
    if (other == ShipmentDraft::kNone || other == shipment) continue;
    faults.add(fmt::format("tracking_numbers[{}]", i),
               errors::tracking_number_in_use(numbers[i], draft_.shipment(other).id));
  }
  if (faults.found()) return {};
  draft_.set_tracking_numbers(shipment, std::move(numbers));
  result.set_changed(true);
  return result;
}

absl::Status Updater::may_enter(const ShipmentDraft::Line& line,
                                const pb::DeliveryState& state) const {
  const auto* from = any(context_.settings->delivery_states, line.state_id);
  if (from && is_final(*from)) return errors::delivery_state_final(line.id, line.state_id);
  // No enterable_from can list a deleted state, and it must be possible to leave it.
  if (!from || from->has_delete_time() || !state.has_enterable_from()) return absl::OkStatus();
  const auto& ids = state.enterable_from().state_ids();
  if (std::find(ids.begin(), ids.end(), line.state_id) != ids.end()) return absl::OkStatus();
  return errors::delivery_state_not_enterable(line.id, line.state_id, state.delivery_state_id());
}

pb::ShipmentChangeResult Updater::set_delivery_state(const pb::SetDeliveryState& change,
                                                     Faults& faults) {
  const auto* state = live(context_.settings->delivery_states, change.delivery_state_id());
  if (!state) {
    faults.add("delivery_state_id", errors::delivery_state_unknown(change.delivery_state_id()));
  }
  Micros time = context_.now;
  if (change.has_delivery_state_time()) {
    time = to_micros(change.delivery_state_time());
    if (time > context_.now + kClockTolerance) {
      faults.add("delivery_state_time", errors::time_in_future());
    }
  }
  const auto judge = [&](const ShipmentDraft::Line& line) {
    Verdict verdict;
    verdict.holds = line.state_id == change.delivery_state_id();
    if (!verdict.holds && state) verdict.refusal = may_enter(line, *state);
    return verdict;
  };
  const Selection selected = select(change.selection(), judge, faults);
  if (faults.found()) return {};

  const auto lines = take(selected.pieces);
  for (const int line : lines) draft_.set_state(line, state->delivery_state_id(), time);
  draft_.merge(lines);
  pb::ShipmentChangeResult result;
  report(selected, lines, result);
  return result;
}

}  // namespace

absl::Status may_update_shipments(const pb::Order& order, const Settings& settings) {
  if (auto refusal = check_no_cancellation_running(order); !refusal.ok()) return refusal;
  const auto* state = settings.any_state(order.state_id());
  return state && state->allows_shipment_update()
             ? absl::OkStatus()
             : errors::shipment_update_not_allowed(order.state_id());
}

Result update_shipments(const pb::UpdateShipmentsRequest& request, const Uuid& ids,
                        const Target& target, const Context& context) {
  const pb::Order& before = *target.order;
  if (auto refusal = may_update_shipments(before, *context.settings); !refusal.ok()) return refusal;

  Updater updater(before, ids, context);
  Change change;
  bool changed = false;
  for (int i = 0; i < request.changes_size(); ++i) {
    auto& result = *change.outcome.add_shipment_results();
    result = updater.apply(request.changes(i), i);
    changed = changed || result.changed();
  }
  if (!updater.refusals().empty()) return updater.refusals().status();
  if (!changed) return change;

  updater.draft().write(change.after.emplace(before));
  record_shipments(before, change);
  // The changes may have undone each other.
  if (!change.shipments_changed) change.after.reset();
  return change;
}

void ship_remaining(pb::Order& order, const Uuid& ids, Micros now, const Settings& settings) {
  ShipmentDraft draft(order, ids);
  add_remaining(draft, order, now, settings);
  draft.write(order);
}

void add_tracking_urls(pb::Order& order, const Settings& settings) {
  for (auto& shipment : *order.mutable_shipments()) {
    const auto* method = any(settings.methods, shipment.method_id());
    for (auto& number : *shipment.mutable_tracking_numbers()) {
      number.set_url(method ? tracking_url(*method, number.number()) : "");
    }
  }
}

}  // namespace orderd::rules
