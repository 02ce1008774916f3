#include "server/watch/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace orderd::test {
namespace {

using testing::SizeIs;
using watch::Change;
using watch::Filter;

const Uuid kOrder = Uuid::parse("01890000-0000-7000-8000-000000000001").value();

/// A change that moved the order from one state to the next, with a note beside it.
Change moved(const std::string& from, const std::string& to) {
  storage::FeedChange row;
  row.position = 7;
  row.order_id = kOrder;
  row.version = 3;
  internal::ChangeFacts facts;
  facts.set_state_id(to);
  if (from.empty()) {
    facts.set_created(true);
  } else if (from != to) {
    facts.mutable_before()->set_state_id(from);
  }
  row.facts = facts.SerializeAsString();
  pb::OrderEvent event;
  event.mutable_state_changed()->set_after_state_id(to);
  row.events.push_back({pb::ORDER_EVENT_TYPE_STATE_CHANGED, event.SerializeAsString()});
  event.mutable_note_added()->mutable_note()->set_body("hello");
  row.events.push_back({pb::ORDER_EVENT_TYPE_NOTE_ADDED, event.SerializeAsString()});
  return Change(std::move(row));
}

std::optional<pb::OrderChange> pick(const pb::WatchFilter& filter, const Change& change) {
  std::string rewritten;
  const std::string* bytes = Filter(filter).pick(change, rewritten);
  if (bytes == nullptr) return std::nullopt;
  pb::OrderChange picked;
  EXPECT_TRUE(picked.ParseFromString(*bytes));
  EXPECT_EQ(picked.order_id(), kOrder.to_string());
  EXPECT_EQ(picked.etag(), "3");
  return picked;
}

TEST(WatchFilter, WithoutConditionsTakesAll) {
  const auto picked = pick({}, moved("new", "fraud"));
  ASSERT_TRUE(picked);
  EXPECT_THAT(picked->events(), SizeIs(2));
  EXPECT_FALSE(picked->left_filter());
}

TEST(WatchFilter, MatchesBeforeOrAfter) {
  pb::WatchFilter filter;
  filter.add_state_ids("processing");
  EXPECT_FALSE(pick(filter, moved("", "new")));
  EXPECT_FALSE(pick(filter, moved("new", "fraud")));
  EXPECT_FALSE(pick(filter, moved("new", "processing"))->left_filter());
  EXPECT_FALSE(pick(filter, moved("processing", "processing"))->left_filter());
  EXPECT_FALSE(pick(filter, moved("", "processing"))->left_filter());
  EXPECT_TRUE(pick(filter, moved("processing", "fraud"))->left_filter());
}

TEST(WatchFilter, TypesNarrowTheEvents) {
  pb::WatchFilter filter;
  filter.add_event_types(pb::ORDER_EVENT_TYPE_NOTE_ADDED);
  const auto picked = pick(filter, moved("new", "processing"));
  ASSERT_TRUE(picked);
  ASSERT_THAT(picked->events(), SizeIs(1));
  EXPECT_TRUE(picked->events(0).has_note_added());
  filter.set_event_types(0, pb::ORDER_EVENT_TYPE_EMAIL_CHANGED);
  EXPECT_FALSE(pick(filter, moved("new", "processing")));
}

TEST(WatchFilter, OrdersAreNamedByTheirIds) {
  pb::WatchFilter filter;
  filter.add_order_ids("anything");
  EXPECT_FALSE(pick(filter, moved("new", "new"))) << "no order has that id";
  filter.add_order_ids(kOrder.to_string());
  EXPECT_TRUE(pick(filter, moved("new", "new")));
}

TEST(WatchFilter, AChangeOfAnOlderServerIsNotKeptBack) {
  storage::FeedChange row;
  row.order_id = kOrder;
  row.version = 3;
  row.events.push_back({pb::ORDER_EVENT_TYPE_NOTE_ADDED, pb::OrderEvent().SerializeAsString()});
  pb::WatchFilter filter;
  filter.add_state_ids("processing");
  EXPECT_TRUE(pick(filter, Change(row)));
  filter.add_order_ids("another");
  EXPECT_FALSE(pick(filter, Change(row)));
}

TEST(WatchFilter, TheTypesAreTheFieldsOfThePayload) {
  const auto* payload = pb::OrderEvent::descriptor()->FindOneofByName("payload");
  const auto* types = pb::OrderEventType_descriptor();
  ASSERT_EQ(types->value_count(), payload->field_count() + 1);
  for (int i = 0; i < payload->field_count(); ++i) {
    const auto* type = types->FindValueByNumber(payload->field(i)->number());
    ASSERT_NE(type, nullptr) << payload->field(i)->name();
    std::string name = "ORDER_EVENT_TYPE_";
    for (const char c : payload->field(i)->name()) {
      name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    EXPECT_EQ(type->name(), name);
  }
}

}  // namespace
}  // namespace orderd::test
