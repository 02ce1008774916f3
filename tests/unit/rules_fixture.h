#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
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

inline pb::OrderState make_state(const std::string& id, pb::StateCategory category, int position) {
  pb::OrderState state;
  state.set_state_id(id);
  state.set_display_name(id);
  state.set_category(category);
  state.set_position(position);
  return state;
}

inline void enterable_from(pb::OrderState& state, const std::vector<std::string>& ids) {
  auto& from = *state.mutable_enterable_from();
  from.clear_state_ids();
  for (const auto& id : ids) from.add_state_ids(id);
}

/// The states that a new server has.
inline Settings default_settings() {
  Settings settings;
  settings.version = 1;
  auto put = [&](pb::OrderState state) { settings.states[state.state_id()] = std::move(state); };
  auto fresh = make_state("new", pb::STATE_CATEGORY_OPEN, 10);
  fresh.set_initial(true);
  put(fresh);
  put(make_state("processing", pb::STATE_CATEGORY_OPEN, 20));
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
