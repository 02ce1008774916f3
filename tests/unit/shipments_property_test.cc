#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <tuple>

#include "tests/unit/shipments_fixture.h"

// Random lists of changes against a model that knows only pieces: where each one is. RapidCheck
// prints the seed and the shortest lists that fail; RC_PARAMS repeats them.

namespace orderd::rules {
namespace {

const std::vector<std::string> kStates = {"pending",   "confirmed", "shipped",
                                          "delivered", "returned",  "canceled"};
const std::vector<std::string> kEnabledMethods = {"standard", "express", "pickup"};

bool leads_to(const std::string& from, const std::string& to) {
  static const std::set<std::pair<std::string, std::string>> kPairs = {
      {"pending", "confirmed"}, {"pending", "shipped"},    {"pending", "canceled"},
      {"confirmed", "shipped"}, {"confirmed", "canceled"}, {"shipped", "delivered"},
      {"shipped", "returned"},  {"delivered", "returned"},
  };
  return kPairs.contains({from, to});
}

bool is_open(const std::string& state) { return state == "pending" || state == "confirmed"; }

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

Picture picture(const Model& model) {
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

Picture picture(const pb::Order& order, const pb::Order& before) {
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

/// Random numbers that become a change which suits the order as it is.
struct Dice {
  std::array<int, 8> rolls;
};

std::ostream& operator<<(std::ostream& out, const Dice& dice) {
  for (const int roll : dice.rolls) out << roll << " ";
  return out;
}

rc::Gen<Dice> any_dice() {
  const auto roll = rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, 1000));
  return rc::gen::map(rc::gen::container<std::array<int, 8>>(roll),
                      [](const std::array<int, 8>& rolls) { return Dice{rolls}; });
}

class Roller {
 public:
  Roller(const Dice& dice, const Model& model, int index)
      : dice_(dice), model_(model), index_(index) {}

  pb::ShipmentChange change() {
    const int kind = roll() % 10;
    if (kind < 4) return method_change();
    if (kind < 6) return tracking_change();
    return state_change();
  }

 private:
  int roll() { return dice_.rolls[next_++ % dice_.rolls.size()]; }
  bool rarely() { return roll() % 12 == 11; }
  template <class Values>
  auto pick(const Values& values) {
    return *std::next(values.begin(), roll() % static_cast<int>(values.size()));
  }

  /// What callers can name: what was there before the list.
  static bool has_id(const std::string& name) { return name[0] != '~'; }

  template <class Accepts>
  pb::LineSelection selection(Accepts accepts) {
    std::vector<std::string> known, right;
    std::map<std::string, int> right_of_item;
    for (const auto& line : model_.lines()) {
      const bool is_right = accepts(model_.one_of(line));
      if (is_right) ++right_of_item[model_.one_of(line).item];
      if (!has_id(line)) continue;
      known.push_back(line);
      if (is_right) right.push_back(line);
    }
    const int kind = roll() % 8;
    if (kind == 0 || known.empty() || right_of_item.empty()) return all();
    const int share = roll();
    const auto part = [&](std::int64_t size) -> std::optional<std::int64_t> {
      if (share % 3 == 0) return {};
      return share % 40 == 1 ? size + 1 : 1 + share % size;
    };
    if (kind < 5) {
      const auto id = right.empty() || rarely() ? pick(known) : pick(right);
      auto selected = lines({line(id, part(model_.size(id)))});
      if (kind == 1 && !right.empty()) {
        const auto other = pick(right);
        if (other != id) *selected.add_lines() = line(other);
      }
      return selected;
    }
    const auto [id, count] = pick(right_of_item);
    if (count > 1 && !rarely()) return lines({item(id)});
    for (const auto& one : model_.lines(id)) {
      if (accepts(model_.one_of(one))) return lines({item(id, part(model_.size(one)))});
    }
    return all();
  }

  pb::ShipmentChange method_change() {
    const auto method = rarely() ? "old" : pick(kEnabledMethods);
    std::vector<std::string> targets;
    for (const auto& [shipment, of] : model_.method) {
      if (has_id(shipment) && (of == method || rarely())) targets.push_back(shipment);
    }
    for (const auto& [ref, shipment] : model_.refs) {
      const auto of = model_.method.find(shipment);
      if ((of != model_.method.end() && of->second == method) || rarely()) targets.push_back(ref);
    }
    const auto into = targets.empty() || roll() % 2 == 0 ? "" : pick(targets);
    auto ref = roll() % 2 == 0 ? "" : "box" + std::to_string(index_);
    // The id of a shipment that was there before; once only, or the request is not valid.
    if (index_ == 0 && rarely()) ref = model_.method.begin()->first;
    return set_method(selection([](const Piece& piece) { return is_open(piece.state); }), method,
                      into, ref);
  }

  pb::ShipmentChange tracking_change() {
    std::vector<std::string> names;
    for (const auto& [shipment, method] : model_.method) {
      if (has_id(shipment) && (model_.may_have_numbers(shipment) || rarely())) {
        names.push_back(shipment);
      }
    }
    for (const auto& [ref, shipment] : model_.refs) {
      if (model_.may_have_numbers(shipment) || rarely()) names.push_back(ref);
    }
    if (names.empty()) return state_change();
    const auto name = pick(names);
    std::vector<std::string> numbers;
    for (int count = roll() % 4; count > 0; --count) {
      const auto number = "T" + std::to_string(roll() % 12);
      const auto ref = model_.refs.find(name);
      const auto holder = model_.shipment_of(number);
      const bool is_free =
          holder.empty() || holder == (ref == model_.refs.end() ? name : ref->second);
      const bool is_new = std::find(numbers.begin(), numbers.end(), number) == numbers.end();
      if (is_new && (is_free || rarely())) numbers.push_back(number);
    }
    return set_tracking(name, numbers);
  }

  pb::ShipmentChange state_change() {
    const auto to = pick(kStates);
    std::optional<Micros> time;
    const int when = roll() % 40;
    if (when >= 20) time = kNow - when / 10 * 1'000'000;
    if (when == 0) time = kNow + 3'600'000'000;
    return set_state(selection([&](const Piece& piece) { return leads_to(piece.state, to); }), to,
                     time);
  }

  const Dice& dice_;
  const Model& model_;
  const int index_;
  std::size_t next_ = 0;
};

pb::Order first_order() {
  pb::Order order = stored_order();
  add_item(order, "a", 20);
  add_item(order, "b", 5);
  add_item(order, "c", 1);
  ship_remaining(order, new_ids(), kNow, default_settings());
  return order;
}

/// How many lists were tried, were accepted, and changed something.
struct Tally {
  int tried = 0, accepted = 0, changed = 0;
};

void check_random_lists(Tally& tally) {
  const Settings settings = default_settings();
  pb::Order order = first_order();
  const int list_count = *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(1, 20));
  for (int n = 1; n <= list_count; ++n) {
    const Context context{kNow + n * 1'000'000, &kActor, &settings};
    Model model(order, context.now);
    const Picture before = picture(model);
    const int change_count = *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(1, 7));
    const auto dice =
        *rc::gen::container<std::vector<Dice>>(static_cast<std::size_t>(change_count), any_dice());
    pb::UpdateShipmentsRequest request = request_of({});
    std::vector<Model::Verdict> verdicts;
    int first_refused = -1;
    for (int i = 0; i < change_count; ++i) {
      const auto change = Roller(dice[static_cast<std::size_t>(i)], model, i).change();
      *request.add_changes() = change;
      Model tried = model;
      verdicts.push_back(tried.apply(change));
      if (verdicts.back().accepted) {
        model = std::move(tried);
      } else if (first_refused < 0) {
        first_refused = i;
      }
    }
    RC_LOG() << "order: " << rc::toString(before) << "\nlist " << n << ": "
             << request.ShortDebugString() << std::endl;
    const auto valid = validate(request);
    RC_LOG() << valid.message() << std::endl;
    RC_ASSERT(valid.ok());

    const std::string order_before = order.SerializeAsString();
    const auto result = update_shipments(request, new_ids(n), Target{&order, nullptr, {}}, context);
    RC_ASSERT(order.SerializeAsString() == order_before);
    ++tally.tried;
    if (!result.ok()) {
      RC_LOG() << "refused: " << result.status().message() << std::endl;
      RC_ASSERT(metadata_of(result.status(), "change_index") == std::to_string(first_refused));
      continue;
    }
    ++tally.accepted;
    RC_ASSERT(first_refused == -1);
    for (int i = 0; i < change_count; ++i) {
      RC_ASSERT(result->outcome.shipment_results(i).changed() ==
                verdicts[static_cast<std::size_t>(i)].changed);
    }
    RC_ASSERT(result->after.has_value() == (picture(model) != before));
    if (!result->after) continue;
    ++tally.changed;
    RC_ASSERT(broken_shipments(*result->after) == "");
    RC_ASSERT(picture(*result->after, order) == picture(model));
    order = *result->after;
  }
}

TEST(ShipmentsProperty, EveryPieceIsWhereTheModelHasIt) {
  Tally tally;
  ASSERT_TRUE(rc::check([&] { check_random_lists(tally); }));
  std::cout << tally.tried << " lists, " << tally.accepted << " accepted, " << tally.changed
            << " changed something" << std::endl;
  // The lists are worth trying; where RC_PARAMS asks for a few only, that can't be told.
  if (tally.tried < 500) return;
  EXPECT_GT(tally.changed, tally.tried * 4 / 10);
  EXPECT_GT(tally.tried - tally.accepted, tally.tried / 10);
}

}  // namespace
}  // namespace orderd::rules
