#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "orders/v1/order_service.pb.h"
#include "server/orders/fields.h"

// A model of the shipments of an order that knows only pieces. It takes the changes of
// UpdateShipments as the contract has them, with the settings that a new server has.

namespace orderd::rules::model {

inline const std::vector<std::string> kStates = {"pending",   "confirmed", "shipped",
                                                 "delivered", "returned",  "canceled"};
inline const std::vector<std::string> kEnabledMethods = {"standard", "express", "pickup"};

inline bool leads_to(const std::string& from, const std::string& to) {
  static const std::set<std::pair<std::string, std::string>> kPairs = {
      {"pending", "confirmed"}, {"pending", "shipped"},    {"pending", "canceled"},
      {"confirmed", "shipped"}, {"confirmed", "canceled"}, {"shipped", "delivered"},
      {"shipped", "returned"},  {"delivered", "returned"},
  };
  return kPairs.contains({from, to});
}

inline bool is_open(const std::string& state) { return state == "pending" || state == "confirmed"; }

struct Piece {
  std::string item, line, shipment, state;
  Micros time = 0;
};

/// Where every piece of an order is. Names that start with "~" are of lines and shipments that the
/// list of changes has made; they sort behind all ids.
class Model {
 public:
  Model(const pb::Order& order, Micros now) : now_(now) {
    for (const auto& shipment : order.shipments()) {
      before_.insert(shipment.shipment_id());
      method[shipment.shipment_id()] = shipment.method_id();
      for (const auto& number : shipment.tracking_numbers()) {
        numbers[shipment.shipment_id()].push_back(number.number());
      }
      for (const auto& line : shipment.lines()) {
        pieces.insert(pieces.end(), static_cast<std::size_t>(line.quantity()),
                      {line.item_id(), line.line_id(), shipment.shipment_id(),
                       line.delivery_state_id(), to_micros(line.delivery_state_time())});
      }
    }
  }

  std::vector<Piece> pieces;
  std::map<std::string, std::string> method;
  std::map<std::string, std::vector<std::string>> numbers;
  /// What the callers' names stand for.
  std::map<std::string, std::string> refs;

  /// Whether the change is accepted, and whether it then changes anything.
  struct Verdict {
    bool accepted = false;
    bool changed = false;
  };
  Verdict apply(const pb::ShipmentChange& change) {
    if (change.has_set_method()) return apply(change.set_method());
    if (change.has_set_tracking_numbers()) return apply(change.set_tracking_numbers());
    return apply(change.set_delivery_state());
  }

  /// The lines of an item; all with "".
  std::set<std::string> lines(const std::string& item = "") const {
    std::set<std::string> lines;
    for (const auto& piece : pieces) {
      if (item.empty() || piece.item == item) lines.insert(piece.line);
    }
    return lines;
  }
  const Piece& one_of(const std::string& line) const {
    return *std::find_if(pieces.begin(), pieces.end(),
                         [&](const Piece& piece) { return piece.line == line; });
  }
  std::int64_t size(const std::string& line) const {
    return std::count_if(pieces.begin(), pieces.end(),
                         [&](const Piece& piece) { return piece.line == line; });
  }
  bool may_have_numbers(const std::string& shipment) const {
    return std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
      return piece.shipment == shipment && piece.state != "pending" && piece.state != "canceled";
    });
  }
  std::string shipment_of(const std::string& number) const {
    for (const auto& [shipment, list] : numbers) {
      if (std::find(list.begin(), list.end(), number) != list.end()) return shipment;
    }
    return "";
  }

 private:
  static constexpr Verdict kRefused{false, false};
  enum class Can { kChange, kHolds, kNot };

  std::string resolve(const std::string& name) const {
    const auto ref = refs.find(name);
    const std::string shipment = ref == refs.end() ? name : ref->second;
    return method.contains(shipment) ? shipment : "";
  }

  std::string fresh() { return "~" + std::to_string(1'000'000 + ++made_); }

  /// The pieces that are to change, or nothing if the selection is refused.
  template <class Judge>
  std::optional<std::vector<Piece*>> select(const pb::LineSelection& selection, Judge judge) {
    // The lines that each selector is about, and of how many pieces each.
    std::vector<std::pair<std::string, std::int64_t>> chosen;
    std::set<std::string> seen;
    for (const auto& line : selection.all() ? lines() : std::set<std::string>()) {
      if (judge(one_of(line)) == Can::kChange) chosen.emplace_back(line, size(line));
    }
    for (const auto& selector : selection.lines()) {
      std::set<std::string> candidates;
      if (selector.item_id().empty()) {
        if (!lines().contains(selector.line_id())) return {};
        candidates.insert(selector.line_id());
      } else {
        candidates = lines(selector.item_id());
      }
      std::set<std::string> change, hold;
      for (const auto& line : candidates) {
        const Can can = judge(one_of(line));
        if (can == Can::kChange) change.insert(line);
        if (can == Can::kHolds) hold.insert(line);
      }
      if (change.empty() && hold.empty()) return {};
      if (selector.has_quantity()) {
        const auto& meant = change.empty() ? hold : change;
        if (meant.size() > 1 || size(*meant.begin()) < selector.quantity()) return {};
        if (!change.empty()) hold.clear();
      }
      for (const auto& line : change) {
        if (!seen.insert(line).second) return {};
        chosen.emplace_back(line, selector.has_quantity() ? selector.quantity() : size(line));
      }
      for (const auto& line : hold) {
        if (!seen.insert(line).second) return {};
      }
    }
    std::vector<Piece*> selected;
    for (const auto& [line, quantity] : chosen) {
      const std::string part = quantity < size(line) ? fresh() : line;
      auto left = quantity;
      for (auto& piece : pieces) {
        if (piece.line != line || left == 0) continue;
        --left;
        selected.push_back(&piece);
      }
      for (auto* piece : selected) {
        if (piece->line == line) piece->line = part;
      }
    }
    return selected;
  }

  /// Equal lines become one, shipments without pieces go.
  void tidy() {
    std::map<std::tuple<std::string, std::string, std::string, Micros>, std::string> oldest;
    std::set<std::string> used;
    const auto key = [](const Piece& piece) {
      return std::tuple(piece.item, piece.shipment, piece.state, piece.time);
    };
    for (const auto& piece : pieces) {
      const auto [it, is_new] = oldest.emplace(key(piece), piece.line);
      if (!is_new) it->second = std::min(it->second, piece.line);
      used.insert(piece.shipment);
    }
    for (auto& piece : pieces) piece.line = oldest.at(key(piece));
    std::erase_if(method, [&](const auto& entry) { return !used.contains(entry.first); });
    std::erase_if(numbers, [&](const auto& entry) { return !used.contains(entry.first); });
  }

  Verdict apply(const pb::SetShipmentMethod& change) {
    const auto& enabled = kEnabledMethods;
    if (std::find(enabled.begin(), enabled.end(), change.method_id()) == enabled.end()) {
      return kRefused;
    }
    if (before_.contains(change.client_ref())) return kRefused;
    std::string target;
    if (!change.into_shipment_id().empty()) {
      target = resolve(change.into_shipment_id());
      if (target.empty() || method.at(target) != change.method_id()) return kRefused;
    }
    const auto selected = select(change.selection(), [&](const Piece& piece) {
      if (piece.shipment == target) return Can::kHolds;
      return is_open(piece.state) ? Can::kChange : Can::kNot;
    });
    if (!selected) return kRefused;
    bool changed = !selected->empty();
    if (target.empty() && changed) {
      const std::string shipment = selected->front()->shipment;
      const bool whole =
          std::all_of(selected->begin(), selected->end(),
                      [&](const Piece* piece) { return piece->shipment == shipment; }) &&
          std::count_if(pieces.begin(), pieces.end(), [&](const Piece& piece) {
            return piece.shipment == shipment;
          }) == static_cast<std::int64_t>(selected->size());
      target = whole ? shipment : fresh();
      if (whole) {
        changed = method.at(target) != change.method_id();
        if (changed) numbers.erase(target);
      }
      method[target] = change.method_id();
    }
    for (auto* piece : *selected) piece->shipment = target;
    tidy();
    if (!change.client_ref().empty() && !target.empty()) refs[change.client_ref()] = target;
    return {true, changed};
  }

  Verdict apply(const pb::SetTrackingNumbers& change) {
    const std::string shipment = resolve(change.shipment_id());
    if (shipment.empty()) return kRefused;
    const std::vector<std::string> wanted(change.tracking_numbers().begin(),
                                          change.tracking_numbers().end());
    if (numbers[shipment] == wanted) return {true, false};
    if (!wanted.empty() && !may_have_numbers(shipment)) return kRefused;
    for (const auto& number : wanted) {
      const auto other = shipment_of(number);
      if (!other.empty() && other != shipment) return kRefused;
    }
    numbers[shipment] = wanted;
    return {true, true};
  }

  Verdict apply(const pb::SetDeliveryState& change) {
    const auto& to = change.delivery_state_id();
    if (std::find(kStates.begin(), kStates.end(), to) == kStates.end()) return kRefused;
    Micros time = now_;
    if (change.has_delivery_state_time()) time = to_micros(change.delivery_state_time());
    if (time > now_ + 60'000'000) return kRefused;
    const auto selected = select(change.selection(), [&](const Piece& piece) {
      if (piece.state == to) return Can::kHolds;
      return leads_to(piece.state, to) ? Can::kChange : Can::kNot;
    });
    if (!selected) return kRefused;
    for (auto* piece : *selected) {
      piece->state = to;
      piece->time = time;
    }
    tidy();
    return {true, !selected->empty()};
  }

  Micros now_;
  std::set<std::string> before_;
  int made_ = 0;
};

/// An order and a model written so that they are equal if they are the same but for the names of
/// what is new: one text per shipment.
using Picture = std::multiset<std::string>;

inline Picture picture(const Model& model) {
  const auto id = [](const std::string& name) { return name[0] == '~' ? "+" : name; };
  std::map<std::string, std::map<std::string, std::int64_t>> lines;
  for (const auto& piece : model.pieces) {
    ++lines[piece.shipment][id(piece.line) + " " + piece.item + " " + piece.state + " " +
                            std::to_string(piece.time)];
  }
  Picture picture;
  for (const auto& [shipment, counts] : lines) {
    std::string text = id(shipment) + " " + model.method.at(shipment);
    const auto numbers = model.numbers.find(shipment);
    if (numbers != model.numbers.end()) {
      for (const auto& number : numbers->second) text += " #" + number;
    }
    for (const auto& [line, count] : counts) text += ", " + std::to_string(count) + " of " + line;
    picture.insert(text);
  }
  return picture;
}

inline Picture picture(const pb::Order& order, const pb::Order& before) {
  Model model(order, 0);
  const Model known(before, 0);
  std::map<std::string, std::string> names;
  const auto rename = [&](std::string& name, bool is_known) {
    if (!is_known) name = "~" + name;
  };
  const auto lines = known.lines();
  for (auto& piece : model.pieces) {
    rename(piece.line, lines.contains(piece.line));
    const bool is_known = known.method.contains(piece.shipment);
    if (!is_known) {
      model.method["~" + piece.shipment] = model.method.at(piece.shipment);
      model.numbers["~" + piece.shipment] = model.numbers[piece.shipment];
    }
    rename(piece.shipment, is_known);
  }
  return picture(model);
}

}  // namespace orderd::rules::model
