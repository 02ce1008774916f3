#include "server/orders/shipment_draft.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/orders/delivery_states.h"
#include "server/orders/fields.h"
#include "server/orders/methods.h"

namespace orderd::rules {
namespace {

int found_in(const std::unordered_map<std::string, int>& map, const std::string& key) {
  auto it = map.find(key);
  return it == map.end() ? ShipmentDraft::kNone : it->second;
}

std::size_t index(int number) { return static_cast<std::size_t>(number); }

}  // namespace

ShipmentDraft::ShipmentDraft(const pb::Order& order, const Uuid& ids) : ids_(ids) {
  for (const auto& item : order.items()) {
    item_by_id_.emplace(item.item_id(), static_cast<int>(item_ids_.size()));
    item_ids_.push_back(item.item_id());
  }
  lines_of_item_.resize(item_ids_.size());
  for (const auto& shipment : order.shipments()) {
    const int number = static_cast<int>(shipments_.size());
    shipment_by_id_.emplace(shipment.shipment_id(), number);
    auto& added = shipments_.emplace_back();
    added.id = shipment.shipment_id();
    added.method_id = shipment.method_id();
    for (const auto& tracking : shipment.tracking_numbers()) {
      tracking_.emplace(tracking.number(), number);
      added.tracking_numbers.push_back(tracking.number());
    }
    for (const auto& line : shipment.lines()) {
      put({line.line_id(), find_item(line.item_id()), line.quantity(), number,
           line.delivery_state_id(), to_micros(line.delivery_state_time())});
    }
  }
}

int ShipmentDraft::put(Line line) {
  const int number = static_cast<int>(lines_.size());
  line_by_id_.emplace(line.id, number);
  lines_of_item_.at(index(line.item)).push_back(number);
  ++shipments_[index(line.shipment)].line_count;
  ++line_count_;
  lines_.push_back(std::move(line));
  return number;
}

std::vector<int> ShipmentDraft::all_lines() const {
  std::vector<int> all;
  for (auto lines : lines_of_item_) {
    std::sort(lines.begin(), lines.end(), [&](int a, int b) { return line(a).id < line(b).id; });
    all.insert(all.end(), lines.begin(), lines.end());
  }
  return all;
}

int ShipmentDraft::find_line(const std::string& id) const {
  const int found = found_in(line_by_id_, id);
  return found != kNone && line(found).quantity > 0 ? found : kNone;
}

int ShipmentDraft::find_shipment(const std::string& id) const {
  const int found = found_in(shipment_by_id_, id);
  return found != kNone && shipment(found).line_count > 0 ? found : kNone;
}

int ShipmentDraft::find_item(const std::string& id) const { return found_in(item_by_id_, id); }

int ShipmentDraft::find_tracking_number(const std::string& number) const {
  return found_in(tracking_, number);
}

int ShipmentDraft::add_shipment(std::string method_id) {
  auto& added = shipments_.emplace_back();
  added.id = next_id();
  added.method_id = std::move(method_id);
  const int number = static_cast<int>(shipments_.size()) - 1;
  shipment_by_id_.emplace(added.id, number);
  return number;
}

int ShipmentDraft::add_line(int shipment, int item, std::int64_t quantity, std::string state_id,
                            Micros time) {
  return put({next_id(), item, quantity, shipment, std::move(state_id), time});
}

int ShipmentDraft::split(int number, std::int64_t quantity) {
  Line part = line(number);
  part.id = next_id();
  part.quantity = quantity;
  lines_[index(number)].quantity -= quantity;
  return put(std::move(part));
}

void ShipmentDraft::move(int number, int shipment) {
  auto& line = lines_[index(number)];
  auto& left = shipments_[index(line.shipment)];
  ++shipments_[index(shipment)].line_count;
  line.shipment = shipment;
  if (--left.line_count > 0) return;
  for (const auto& tracking : left.tracking_numbers) tracking_.erase(tracking);
  left.tracking_numbers.clear();
}

void ShipmentDraft::set_state(int line, const std::string& state_id, Micros time) {
  lines_[index(line)].state_id = state_id;
  lines_[index(line)].time = time;
}

void ShipmentDraft::set_method(int shipment, const std::string& method_id) {
  shipments_[index(shipment)].method_id = method_id;
}

void ShipmentDraft::set_tracking_numbers(int shipment, std::vector<std::string> numbers) {
  auto& current = shipments_[index(shipment)].tracking_numbers;
  for (const auto& number : current) tracking_.erase(number);
  for (const auto& number : numbers) tracking_.emplace(number, shipment);
  current = std::move(numbers);
}

void ShipmentDraft::merge(const std::vector<int>& touched) {
  const auto key = [this](int number) {
    const auto& at = line(number);
    return std::tie(at.shipment, at.time, at.state_id);
  };
  for (const int number : touched) {
    if (line(number).quantity == 0) continue;
    auto& lines = lines_of_item_[index(line(number).item)];
    int kept = number;
    for (const int other : lines) {
      if (key(other) == key(number) && line(other).id < line(kept).id) kept = other;
    }
    std::erase_if(lines, [&](int other) {
      if (other == kept || key(other) != key(kept)) return false;
      auto& gone = lines_[index(other)];
      lines_[index(kept)].quantity += std::exchange(gone.quantity, 0);
      merged_[other] = kept;
      --shipments_[index(gone.shipment)].line_count;
      --line_count_;
      return true;
    });
  }
}

int ShipmentDraft::merged_into(int line) const {
  for (auto it = merged_.find(line); it != merged_.end(); it = merged_.find(line)) {
    line = it->second;
  }
  return line;
}

void ShipmentDraft::write(pb::Order& order) const {
  std::vector<pb::Shipment> written(shipments_.size());
  for (std::size_t i = 0; i < written.size(); ++i) {
    written[i].set_shipment_id(shipments_[i].id);
    written[i].set_method_id(shipments_[i].method_id);
    for (const auto& number : shipments_[i].tracking_numbers) {
      written[i].add_tracking_numbers()->set_number(number);
    }
  }
  for (const int number : all_lines()) {
    const auto& from = line(number);
    auto& to = *written[index(from.shipment)].add_lines();
    to.set_line_id(from.id);
    to.set_item_id(item_ids_[index(from.item)]);
    to.set_quantity(from.quantity);
    to.set_delivery_state_id(from.state_id);
    *to.mutable_delivery_state_time() = to_timestamp(from.time);
  }
  // As they are read from the database. Ids are made when a call comes in, so what a later change
  // has made may have the smaller one.
  std::sort(written.begin(), written.end(),
            [](const auto& a, const auto& b) { return a.shipment_id() < b.shipment_id(); });
  order.clear_shipments();
  for (auto& shipment : written) {
    if (shipment.lines_size() > 0) *order.add_shipments() = std::move(shipment);
  }
}

void add_remaining(ShipmentDraft& draft, const pb::Order& order, Micros now,
                   const Settings& settings) {
  const auto* state = initial_delivery_state(settings);
  const auto* fallback = default_method(settings);
  std::unordered_map<std::string, int> shipments;
  for (int i = 0; i < order.items_size(); ++i) {
    const auto& item = order.items(i);
    std::int64_t remaining = item.quantity();
    for (const int line : draft.lines_of(i)) remaining -= draft.line(line).quantity;
    if (remaining <= 0) continue;
    std::string method = item.shipment_method_id();
    if (method.empty() && fallback) method = fallback->method_id();
    auto [it, is_new] = shipments.try_emplace(method);
    if (is_new) it->second = draft.add_shipment(method);
    draft.add_line(it->second, i, remaining, state ? state->delivery_state_id() : "", now);
  }
}

void cancel_unshipped(pb::Order& order, Micros now, const Settings& settings) {
  const auto* canceled = canceled_delivery_state(settings);
  if (!canceled) return;
  ShipmentDraft draft(order, Uuid());
  std::vector<int> touched;
  for (const int line : draft.all_lines()) {
    if (delivery_category(draft.line(line).state_id, settings) != pb::DELIVERY_CATEGORY_OPEN) {
      continue;
    }
    draft.set_state(line, canceled->delivery_state_id(), now);
    touched.push_back(line);
  }
  draft.merge(touched);
  draft.write(order);
}

void record_shipments(const pb::Order& before, Change& change) {
  const auto by_id = [](const pb::Order& order) {
    std::unordered_map<std::string_view, std::string> bytes;
    for (const auto& shipment : order.shipments()) {
      bytes.emplace(shipment.shipment_id(), shipment.SerializeAsString());
    }
    return bytes;
  };
  const auto was = by_id(before), is = by_id(*change.after);
  pb::ShipmentsChanged event;
  for (const auto& shipment : before.shipments()) {
    auto it = is.find(shipment.shipment_id());
    if (it == is.end() || it->second != was.at(shipment.shipment_id())) {
      *event.add_before() = shipment;
    }
  }
  for (const auto& shipment : change.after->shipments()) {
    auto it = was.find(shipment.shipment_id());
    if (it == was.end() || it->second != is.at(shipment.shipment_id())) {
      *event.add_after() = shipment;
    }
  }
  if (event.before_size() == 0 && event.after_size() == 0) return;
  change.shipments_changed = true;
  *change.events.emplace_back().mutable_shipments_changed() = std::move(event);
}

}  // namespace orderd::rules
