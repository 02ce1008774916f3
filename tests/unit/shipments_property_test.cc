#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <iostream>

#include "tests/unit/shipments_fixture.h"
#include "tests/unit/shipments_model.h"

// Random lists of changes against a model that knows only pieces: where each one is. RapidCheck
// prints the seed and the shortest lists that fail; RC_PARAMS repeats them.

namespace orderd::rules {
namespace {

using model::is_open;
using model::kEnabledMethods;
using model::kStates;
using model::leads_to;
using model::Model;
using model::Picture;
using model::picture;
using model::Piece;

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
        if (other != id) {
          *selected.add_lines() = line(other);
        } else if (rarely()) {
          *selected.add_lines() = item(model_.one_of(id).item);
        }
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
    Target target;
    target.order = &order;
    const auto result = update_shipments(request, new_ids(n), target, context);
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
  EXPECT_GT(tally.changed, tally.tried * 3 / 10);
  EXPECT_GT(tally.tried - tally.accepted, tally.tried / 10);
}

}  // namespace
}  // namespace orderd::rules
