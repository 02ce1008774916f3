#include "tests/rpc/watch_fixture.h"

// ListOrderEvents over a real channel, on both databases.

namespace orderd::test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class HistoryTest : public WatchTest {};
ORDERD_ON_BOTH_DATABASES(HistoryTest);

TEST_P(HistoryTest, ListsEveryChangeWithWhoWhatAndWhen) {
  const pb::Order order = create(new_order());
  pb::UpdateOrderStatusRequest moving;
  moving.set_order_id(order.order_id());
  moving.set_state_id("processing");
  moving.set_reason("paid");
  moving.set_request_id(new_request_id());
  call(&Orders::UpdateOrderStatus, moving);
  add_note(order.order_id());
  pb::ListOrderEventsRequest request;
  request.set_order_id(order.order_id());
  const auto all = call(&Orders::ListOrderEvents, request);
  ASSERT_THAT(all.events(), SizeIs(3));
  EXPECT_THAT(all.next_page_token(), IsEmpty());
  EXPECT_TRUE(all.events(0).has_order_created());
  EXPECT_EQ(all.events(1).request_id(), moving.request_id());
  EXPECT_EQ(all.events(1).state_changed().reason(), "paid");
  EXPECT_EQ(all.events(2).note_added().note().body(), "a note");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(all.events(i).order_id(), order.order_id());
    EXPECT_EQ(all.events(i).etag(), std::to_string(i + 1));
    EXPECT_EQ(all.events(i).actor(), "local");
    EXPECT_GT(all.events(i).event_time().seconds(), 1'700'000'000);
  }
  // A refused call and one that changes nothing leave no trace.
  call(&Orders::UpdateOrderStatus, moving);
  moving.clear_request_id();
  call(&Orders::UpdateOrderStatus, moving);
  moving.set_state_id("no-such-state");
  refusal(&Orders::UpdateOrderStatus, moving);
  EXPECT_THAT(call(&Orders::ListOrderEvents, request).events(), SizeIs(3));
}

TEST_P(HistoryTest, PagesAndFilters) {
  const pb::Order order = create(new_order());
  for (int i = 0; i < 7; ++i) {
    add_note(order.order_id());
    set_invoice(order.order_id(), "A-" + std::to_string(i));
  }
  pb::ListOrderEventsRequest request;
  request.set_order_id(order.order_id());
  request.set_page_size(4);
  std::vector<std::string> seen;
  while (true) {
    const auto page = call(&Orders::ListOrderEvents, request);
    for (const auto& event : page.events()) seen.push_back(event.etag());
    if (page.next_page_token().empty()) break;
    EXPECT_THAT(page.events(), SizeIs(4));
    request.set_page_token(page.next_page_token());
  }
  ASSERT_THAT(seen, SizeIs(15));
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], std::to_string(i + 1));

  request.add_event_types(pb::ORDER_EVENT_TYPE_NOTE_ADDED);
  EXPECT_EQ(refusal(&Orders::ListOrderEvents, request).reason, "PAGE_TOKEN_INVALID");
  request.clear_page_token();
  request.set_page_size(100);
  EXPECT_THAT(call(&Orders::ListOrderEvents, request).events(), SizeIs(7));
  request.set_order_id(kUnknownId);
  EXPECT_EQ(refusal(&Orders::ListOrderEvents, request).reason, "ORDER_NOT_FOUND");
}

}  // namespace
}  // namespace orderd::test
