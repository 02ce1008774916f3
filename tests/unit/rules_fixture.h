#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/orders/money.h"
#include "server/orders/rule.h"

// What the tests of the rules share.

namespace orderd::rules {

inline constexpr Micros kNow = 1'795'000'000'123'456;
inline const std::string kActor = "alice";
inline const std::string kUuid = "018f0000-0000-7000-8000-000000000001";

inline Uuid uuid(int n) {
  Uuid id;
  id.bytes[14] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

inline std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

/// Four bytes, one character.
inline const std::string kClef = "\xF0\x9D\x84\x9E";

/// The violations of a refused request, by field; empty if it was not refused so.
inline std::multimap<std::string, std::string> violations_of(const absl::Status& status) {
  std::multimap<std::string, std::string> found;
  const auto proto = errors::to_proto(status);
  for (const auto& detail : proto.details()) {
    google::rpc::BadRequest bad_request;
    if (!detail.UnpackTo(&bad_request)) continue;
    for (const auto& violation : bad_request.field_violations()) {
      found.emplace(violation.field(), violation.description());
    }
  }
  return found;
}

inline std::vector<std::string> fields_of(const absl::Status& status) {
  std::vector<std::string> fields;
  for (const auto& [field, description] : violations_of(status)) fields.push_back(field);
  return fields;
}

inline google::rpc::ErrorInfo info_of(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  const auto proto = errors::to_proto(status);
  for (const auto& detail : proto.details()) {
    if (detail.UnpackTo(&info)) break;
  }
  return info;
}

inline std::string metadata_of(const absl::Status& status, const std::string& key) {
  const auto info = info_of(status);
  auto it = info.metadata().find(key);
  return it == info.metadata().end() ? "" : it->second;
}

/// Exactly this field is wrong with the request, and nothing else.
#define EXPECT_ONLY_VIOLATION(status_, field)                           \
  do {                                                                  \
    const absl::Status only_status = (status_);                         \
    EXPECT_EQ(errors::reason(only_status), "INVALID_REQUEST");          \
    EXPECT_THAT(fields_of(only_status), ::testing::ElementsAre(field)); \
  } while (false)

#define EXPECT_REFUSED(result, reason_)                          \
  do {                                                           \
    const auto& refused_result = (result);                       \
    ASSERT_FALSE(refused_result.ok());                           \
    EXPECT_EQ(errors::reason(refused_result.status()), reason_); \
  } while (false)

/// A target of which the holders of claims are known.
inline Target holding(std::vector<std::optional<ClaimHolder>> holders) {
  Target target;
  target.holders = std::move(holders);
  return target;
}

inline pb::OrderState make_state(const std::string& id, pb::StateCategory category, int position) {
  pb::OrderState state;
  state.set_state_id(id);
  state.set_display_name(id);
  state.set_category(category);
  state.set_position(position);
  return state;
}

template <class State>
void enterable_from(State& state, const std::vector<std::string>& ids) {
  auto& from = *state.mutable_enterable_from();
  from.clear_state_ids();
  for (const auto& id : ids) from.add_state_ids(id);
}

inline pb::DeliveryState make_delivery_state(const std::string& id, pb::DeliveryCategory category,
                                             int position) {
  pb::DeliveryState state;
  state.set_delivery_state_id(id);
  state.set_display_name(id);
  state.set_category(category);
  state.set_position(position);
  return state;
}

inline pb::ShipmentMethod make_method(const std::string& id, int position, bool enabled = true) {
  pb::ShipmentMethod method;
  method.set_method_id(id);
  method.set_display_name(id);
  method.set_enabled(enabled);
  method.set_position(position);
  return method;
}

/// The delivery states that a new server has.
inline void add_delivery_states(Settings& settings) {
  auto add = [&](const std::string& id, pb::DeliveryCategory category, int position,
                 const std::vector<std::string>& from, bool tracking) {
    auto state = make_delivery_state(id, category, position);
    state.set_initial(id == "pending");
    state.set_allows_tracking(tracking);
    enterable_from(state, from);
    settings.delivery_states[id] = std::move(state);
  };
  add("pending", pb::DELIVERY_CATEGORY_OPEN, 10, {}, false);
  add("confirmed", pb::DELIVERY_CATEGORY_OPEN, 20, {"pending"}, true);
  add("shipped", pb::DELIVERY_CATEGORY_SHIPPED, 30, {"pending", "confirmed"}, true);
  add("delivered", pb::DELIVERY_CATEGORY_DELIVERED, 40, {"shipped"}, true);
  add("returned", pb::DELIVERY_CATEGORY_RETURNED, 50, {"shipped", "delivered"}, true);
  add("canceled", pb::DELIVERY_CATEGORY_CANCELED, 60, {"pending", "confirmed"}, false);
}

/// The states that a new server has, and some methods.
inline Settings default_settings() {
  Settings settings;
  settings.version = 1;
  add_delivery_states(settings);
  for (auto method : {make_method("standard", 10), make_method("express", 20),
                      make_method("pickup", 30), make_method("old", 5, false)}) {
    settings.methods[method.method_id()] = method;
  }
  auto put = [&](pb::OrderState state) { settings.states[state.state_id()] = std::move(state); };
  auto fresh = make_state("new", pb::STATE_CATEGORY_OPEN, 10);
  fresh.set_initial(true);
  put(fresh);
  put(make_state("processing", pb::STATE_CATEGORY_OPEN, 20));
  for (const auto* id : {"new", "processing"}) {
    settings.states.at(id).set_allows_shipment_update(true);
  }
  put(make_state("completed", pb::STATE_CATEGORY_COMPLETED, 30));
  put(make_state("fraud", pb::STATE_CATEGORY_HELD, 40));
  auto suspended = make_state("suspended", pb::STATE_CATEGORY_HELD, 50);
  enterable_from(suspended, {"processing", "fraud"});
  put(suspended);
  auto canceled = make_state("canceled", pb::STATE_CATEGORY_CANCELED, 60);
  canceled.set_final(true);
  put(canceled);
  return settings;
}

inline void delete_state_in(Settings& settings, const std::string& id) {
  *settings.states.at(id).mutable_delete_time() = to_timestamp(kNow);
}

inline pb::Order stored_order(const std::string& state_id = "new") {
  pb::Order order;
  order.set_order_id(uuid(1).to_string());
  order.set_order_number("N-1");
  order.set_etag("7");
  order.set_state_id(state_id);
  order.set_currency_code("EUR");
  order.mutable_customer()->set_name("Ann");
  order.mutable_customer()->set_email("ann@example.com");
  (*order.mutable_labels())["channel"] = "web";
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_NONE);
  order.set_note_count(2);
  return order;
}

inline void add_item(pb::Order& order, const std::string& id, std::int64_t quantity,
                     const std::string& method = "") {
  auto& item = *order.add_items();
  item.set_item_id(id);
  item.set_sku("sku-" + id);
  item.set_quantity(quantity);
  item.set_shipment_method_id(method);
  order.set_item_count(order.items_size());
}

inline pb::Shipment& add_shipment(pb::Order& order, const std::string& id,
                                  const std::string& method,
                                  const std::vector<std::string>& tracking_numbers = {}) {
  auto& shipment = *order.add_shipments();
  shipment.set_shipment_id(id);
  shipment.set_method_id(method);
  for (const auto& number : tracking_numbers) shipment.add_tracking_numbers()->set_number(number);
  return shipment;
}

inline void add_line(pb::Shipment& shipment, const std::string& id, const std::string& item,
                     std::int64_t quantity, const std::string& state, Micros time = kNow) {
  auto& line = *shipment.add_lines();
  line.set_line_id(id);
  line.set_item_id(item);
  line.set_quantity(quantity);
  line.set_delivery_state_id(state);
  *line.mutable_delivery_state_time() = to_timestamp(time);
}

/// What must hold of the shipments of every order; says what does not.
inline std::string broken_shipments(const pb::Order& order) {
  std::map<std::string, std::int64_t> pieces;
  std::map<std::string, int> position;
  for (const auto& item : order.items()) {
    position.emplace(item.item_id(), static_cast<int>(position.size()));
  }
  std::set<std::string> ids, numbers;
  std::string last_shipment;
  for (const auto& shipment : order.shipments()) {
    // As they are read from the database.
    if (shipment.shipment_id() <= last_shipment) return "out of order: " + shipment.shipment_id();
    last_shipment = shipment.shipment_id();
    if (!ids.insert(shipment.shipment_id()).second) return "an id twice";
    if (shipment.lines().empty()) return "no lines: " + shipment.shipment_id();
    for (const auto& number : shipment.tracking_numbers()) {
      if (!numbers.insert(number.number()).second) return "twice: " + number.number();
    }
    std::set<std::string> keys;
    std::pair<int, std::string> last{-1, ""};
    for (const auto& line : shipment.lines()) {
      if (!ids.insert(line.line_id()).second) return "an id twice";
      if (line.quantity() < 1) return "no pieces: " + line.line_id();
      if (!position.contains(line.item_id())) return "no item: " + line.line_id();
      pieces[line.item_id()] += line.quantity();
      const auto key = line.item_id() + "|" + line.delivery_state_id() + "|" +
                       std::to_string(to_micros(line.delivery_state_time()));
      if (!keys.insert(key).second) return "not merged: " + key;
      const std::pair at{position.at(line.item_id()), line.line_id()};
      if (at <= last) return "out of order: " + line.line_id();
      last = at;
    }
  }
  for (const auto& item : order.items()) {
    if (pieces[item.item_id()] != item.quantity()) return "pieces of " + item.item_id();
  }
  return "";
}

/// A context over settings, and a check that a rule leaves its input alone.
class RulesTest : public ::testing::Test {
 protected:
  Context context() const { return Context{kNow, &kActor, &settings_}; }

  /// Runs a rule on `order_` and expects that neither order, note nor settings change.
  template <class Rule>
  Result run(Rule rule, Target target = {}) {
    target.order = &order_;
    const std::string order_before = order_.SerializeAsString();
    const std::string note_before = target.note ? target.note->SerializeAsString() : "";
    auto result = rule(target, context());
    EXPECT_EQ(order_before, order_.SerializeAsString()) << "the rule altered the order";
    EXPECT_EQ(note_before, target.note ? target.note->SerializeAsString() : "")
        << "the rule altered the note";
    return result;
  }

  Settings settings_ = default_settings();
  pb::Order order_ = stored_order();
};

/// A seed for a random test, printed; ORDERD_TEST_SEED repeats one.
inline std::uint64_t random_seed() {
  const char* given = std::getenv("ORDERD_TEST_SEED");
  const std::uint64_t seed =
      given ? std::strtoull(given, nullptr, 10) : std::uint64_t{std::random_device{}()};
  std::cout << "ORDERD_TEST_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace orderd::rules
