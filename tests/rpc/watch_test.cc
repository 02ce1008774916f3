#include "tests/rpc/watch_fixture.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "storage/wall_clock.h"

// WatchOrders over a real channel, on both databases.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

ORDERD_ON_BOTH_DATABASES(WatchTest);

TEST_P(WatchTest, BeginsNowAndHearsOfEveryChangeWithItsEvents) {
  const pb::Order before = create(new_order());
  const auto watcher = watch();
  move(before.order_id(), "processing");
  const pb::Order after = create(new_order());
  const auto changes = watcher->changes(2);
  ASSERT_THAT(changes, SizeIs(2));
  EXPECT_EQ(changes[0].order_id(), before.order_id());
  EXPECT_EQ(changes[0].etag(), "2");
  ASSERT_THAT(changes[0].events(), SizeIs(1));
  const pb::OrderEvent& event = changes[0].events(0);
  EXPECT_EQ(event.order_id(), before.order_id());
  EXPECT_EQ(event.etag(), "2");
  EXPECT_EQ(event.actor(), "local");
  EXPECT_EQ(event.state_changed().before_state_id(), "new");
  EXPECT_EQ(event.state_changed().after_state_id(), "processing");
  EXPECT_EQ(changes[1].order_id(), after.order_id());
  EXPECT_EQ(changes[1].events(0).order_created().order().order_number(), after.order_number());
  EXPECT_FALSE(changes[1].left_filter());
}

TEST_P(WatchTest, GoesOnWithATokenWithoutGapOrRepeat) {
  const pb::Order order = create(new_order());
  auto watcher = watch();
  set_invoice(order.order_id(), "A-2");
  EXPECT_THAT(etags(watcher->changes(1)), ElementsAre("2"));
  const std::string token = watcher->token();
  watcher.reset();
  // While nobody watches.
  for (int i = 3; i <= 1200; ++i) set_invoice(order.order_id(), "A-" + std::to_string(i));
  for (int round = 0; round < 2; ++round) {
    Watch resumed(*orders_, from(token));
    int expected = 3;
    for (const auto& change : resumed.changes(1198 + static_cast<std::size_t>(round))) {
      ASSERT_EQ(change.etag(), std::to_string(expected++));
    }
    set_invoice(order.order_id(), "B-" + std::to_string(round));
    EXPECT_EQ(resumed.changes(1).at(0).etag(), std::to_string(expected));
    EXPECT_EQ(resumed.unread(), 0u);
  }
}

TEST_P(WatchTest, GoesOnAfterARestart) {
  const pb::Order order = create(new_order());
  auto watcher = watch();
  set_invoice(order.order_id(), "A-2");
  watcher->changes(1);
  const std::string token = watcher->token();
  watcher.reset();
  set_invoice(order.order_id(), "A-3");
  stop();
  start();
  set_invoice(order.order_id(), "A-4");
  Watch resumed(*orders_, from(token));
  EXPECT_THAT(etags(resumed.changes(2)), ElementsAre("3", "4"));
}

TEST_P(WatchTest, FiltersByStateAndSaysWhenAnOrderLeaves) {
  const pb::Order order = create(new_order());
  pb::WatchOrdersRequest request;
  request.mutable_filter()->add_state_ids("processing");
  const auto watcher = watch(request);
  add_note(order.order_id());
  move(order.order_id(), "processing");
  add_note(order.order_id());
  move(order.order_id(), "completed");
  add_note(order.order_id());
  const auto changes = watcher->changes(3);
  EXPECT_THAT(etags(changes), ElementsAre("3", "4", "5"));
  EXPECT_FALSE(changes[0].left_filter()) << "it has come";
  EXPECT_FALSE(changes[1].left_filter());
  EXPECT_TRUE(changes[2].left_filter());
  EXPECT_EQ(changes[2].events(0).state_changed().after_state_id(), "completed");
}

TEST_P(WatchTest, FiltersByLabelAsItWasAndAsItIs) {
  pb::NewOrder labelled = new_order();
  (*labelled.mutable_labels())["shop"] = "berlin";
  const pb::Order order = create(labelled);
  pb::WatchOrdersRequest request;
  (*request.mutable_filter()->mutable_labels())["shop"] = "berlin";
  const auto watcher = watch(request);
  create(new_order());
  add_note(order.order_id());
  pb::UpdateOrderRequest update;
  update.set_order_id(order.order_id());
  (*update.mutable_labels())["shop"] = "paris";
  update.mutable_update_mask()->add_paths("labels");
  call(&Orders::UpdateOrder, update);
  add_note(order.order_id());
  create(labelled);
  const auto changes = watcher->changes(3);
  EXPECT_THAT(etags(changes), ElementsAre("2", "3", "1"));
  EXPECT_TRUE(changes[1].left_filter());
}

TEST_P(WatchTest, FiltersByTypeAndOrder) {
  const pb::Order one = create(new_order());
  const pb::Order two = create(new_order());
  pb::WatchOrdersRequest request;
  request.mutable_filter()->add_event_types(pb::ORDER_EVENT_TYPE_NOTE_ADDED);
  request.mutable_filter()->add_order_ids(two.order_id());
  const auto watcher = watch(request);
  add_note(one.order_id());
  set_invoice(two.order_id(), "A-1");
  add_note(two.order_id());
  const auto changes = watcher->changes(1);
  EXPECT_EQ(changes[0].order_id(), two.order_id());
  EXPECT_EQ(changes[0].etag(), "3");
  EXPECT_TRUE(changes[0].events(0).has_note_added());
}

TEST_P(WatchTest, ASnapshotShowsWhatMatchesThenTheChanges) {
  std::set<std::string> expected;
  for (int i = 0; i < 5; ++i) expected.insert(create(new_order()).order_id());
  const pb::Order other = create(new_order());
  move(other.order_id(), "processing");
  pb::WatchOrdersRequest request = snapshot_request();
  request.mutable_filter()->add_state_ids("new");
  Watch watcher(*orders_, request);
  std::set<std::string> seen;
  std::string last;
  for (const pb::Order& order : watcher.snapshot()) {
    EXPECT_LT(last, order.order_id()) << "by id";
    last = order.order_id();
    seen.insert(last);
    EXPECT_THAT(order.items(), SizeIs(2)) << "whole";
  }
  EXPECT_EQ(seen, expected);
  move(last, "processing");
  const auto changes = watcher.changes(1);
  EXPECT_EQ(changes[0].order_id(), last);
  EXPECT_TRUE(changes[0].left_filter());
}

TEST_P(WatchTest, ASnapshotOfNamedOrders) {
  const pb::Order one = create(new_order());
  create(new_order());
  const pb::Order three = create(new_order());
  pb::WatchOrdersRequest request = snapshot_request();
  for (const std::string& id :
       {three.order_id(), one.order_id(), std::string(kUnknownId), std::string("no id at all")}) {
    request.mutable_filter()->add_order_ids(id);
  }
  Watch watcher(*orders_, request);
  std::vector<std::string> ids;
  for (const pb::Order& order : watcher.snapshot()) ids.push_back(order.order_id());
  EXPECT_THAT(ids, ElementsAre(one.order_id(), three.order_id()));
}

/// What a client knows: orders as the snapshot showed them and changes brought them.
using Picture = std::map<std::string, std::string>;

TEST_P(WatchTest, ASnapshotAmidChangesThatIsBrokenOffAgainAndAgainMissesNothing) {
  // More than fit into one step, so that the picture is taken piece by piece.
  std::vector<pb::ImportOrdersRequest> imports(2500);
  for (std::size_t i = 0; i < imports.size(); ++i) {
    *imports[i].mutable_order() = new_order("S-" + std::to_string(i));
  }
  std::vector<std::string> ids;
  for (const auto& response : import(imports)) ids.push_back(response.order_id());

  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::size_t i = 0; !stop; ++i) add_note(ids[(i * 7919) % ids.size()]);
  });
  Picture picture;
  const auto apply = [&](const pb::WatchOrdersResponse& message) {
    for (const auto& change : message.changes()) {
      // Each change of an order exactly once, and only after its picture.
      std::string& etag = picture[change.order_id()];
      ASSERT_EQ(std::to_string(std::stoll(etag.empty() ? "0" : etag) + 1), change.etag());
      etag = change.etag();
    }
    for (const auto& order : message.snapshot_orders()) {
      ASSERT_TRUE(picture.emplace(order.order_id(), order.etag()).second) << "shown twice";
    }
  };
  pb::WatchOrdersRequest request = snapshot_request();
  bool complete = false;
  while (!complete && !HasFatalFailure()) {
    Watch watcher(*orders_, request);
    // Two messages per connection: the greeting, and one with something in it.
    for (int i = 0; i < 2 && !complete; ++i) {
      const auto message = watcher.next();
      ASSERT_TRUE(message);
      apply(*message);
      complete = message->snapshot_complete();
    }
    request = from(watcher.token());
  }
  stop = true;
  writer.join();
  ASSERT_THAT(picture, SizeIs(ids.size()));
  const std::string mark = create(new_order()).order_id();
  Watch watcher(*orders_, request);
  while (!picture.contains(mark) && !HasFatalFailure()) {
    const auto message = watcher.next();
    ASSERT_TRUE(message);
    apply(*message);
  }
  for (const auto& [id, etag] : picture) ASSERT_EQ(get(id).etag(), etag);
}

TEST_P(WatchTest, NoMessageIsTooLargeForAClientThatAsksForNothing) {
  // Each change has about a megabyte; four megabytes are what gRPC takes by default.
  const auto watcher = watch();
  const std::string before = watcher->token();
  std::vector<pb::ImportOrdersRequest> imports(6);
  for (std::size_t i = 0; i < imports.size(); ++i) {
    *imports[i].mutable_order() = new_order("L-" + std::to_string(i));
    for (int n = 0; n < 100; ++n) {
      auto& note = *imports[i].add_notes();
      note.set_body(std::string(9'900, 'x'));
      note.set_visibility(pb::NOTE_VISIBILITY_INTERNAL);
    }
  }
  import(imports);
  EXPECT_THAT(watcher->changes(6), SizeIs(6));
  Watch resumed(*orders_, from(before));
  EXPECT_THAT(resumed.changes(6), SizeIs(6));
}

TEST_P(WatchTest, HeartbeatsBringFreshTokens) {
  pb::WatchOrdersRequest request;
  request.mutable_filter()->add_state_ids("fraud");
  request.mutable_heartbeat_interval()->set_seconds(1);
  const auto watcher = watch(request);
  const std::string first = watcher->token();
  const pb::Order order = create(new_order());
  // The next heartbeat may have been due before; the one after it has the new position.
  for (int i = 0; i < 2; ++i) {
    const auto beat = watcher->next();
    ASSERT_TRUE(beat);
    EXPECT_THAT(beat->changes(), IsEmpty());
  }
  EXPECT_NE(watcher->token(), first);
  Watch resumed(*orders_, from(watcher->token()));
  add_note(order.order_id());
  EXPECT_THAT(etags(resumed.changes(1)), ElementsAre("2")) << "the creation is behind the token";
}

TEST_P(WatchTest, ATokenThatIsTooOldIsRefused) {
  const auto watcher = watch();
  const std::string old = watcher->token();
  const pb::Order order = create(new_order());
  const auto hear = [&] { watcher->changes(1); };
  hear();
  const std::string fresh = watcher->token();
  const Micros now = wall_clock();
  const Micros week = 7LL * 24 * 3600 * 1'000'000;
  // Eight days ago this position was reached; then the feed is trimmed.
  storage().trim_feed(now - week - week / 7, 0, 0);
  add_note(order.order_id());
  storage().trim_feed(now, now - week, 0);
  const Failure failure = refused(from(old));
  EXPECT_EQ(failure.code, grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(failure.reason, "WATCH_TOKEN_EXPIRED");
  Watch resumed(*orders_, from(fresh));
  EXPECT_THAT(etags(resumed.changes(1)), ElementsAre("2"));
}

TEST_P(WatchTest, TokensAreNotForForging) {
  pb::WatchOrdersRequest filtered = snapshot_request();
  filtered.mutable_filter()->add_state_ids("new");
  create(new_order());
  const auto watcher = watch(filtered);  // in the middle of its snapshot
  pb::WatchOrdersRequest other = from(watcher->token());
  other.mutable_filter()->add_state_ids("processing");
  EXPECT_EQ(refused(other).reason, "WATCH_TOKEN_INVALID") << "a snapshot with another filter";

  std::string forged = watcher->token();
  forged.back() = forged.back() == 'A' ? 'B' : 'A';
  for (const std::string& token : {forged, std::string("x"), std::string(200, 'A')}) {
    const Failure failure = refused(from(token));
    EXPECT_EQ(failure.code, grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(failure.reason, "WATCH_TOKEN_INVALID");
    EXPECT_THAT(failure.fields, ElementsAre("resume_token"));
  }
  pb::ListOrdersRequest list;
  list.set_page_size(1);
  create(new_order());
  const auto page = call(&Orders::ListOrders, list);
  EXPECT_EQ(refused(from(page.next_page_token())).reason, "WATCH_TOKEN_INVALID");
  list.set_page_token(watcher->token());
  EXPECT_EQ(refusal(&Orders::ListOrders, list).reason, "PAGE_TOKEN_INVALID");
}

TEST_P(WatchTest, BadRequestsNameTheirFields) {
  pb::WatchOrdersRequest request = from("x");
  request.set_from_snapshot(true);
  request.mutable_heartbeat_interval()->set_nanos(5);
  request.mutable_filter()->add_event_types(pb::ORDER_EVENT_TYPE_UNSPECIFIED);
  request.mutable_filter()->add_event_types(static_cast<pb::OrderEventType>(99));
  request.mutable_filter()->add_state_ids("");
  for (int i = 0; i < 1001; ++i) request.mutable_filter()->add_order_ids(kUnknownId);
  const Failure failure = refused(request);
  EXPECT_EQ(failure.reason, "INVALID_REQUEST");
  EXPECT_THAT(failure.fields,
              ElementsAre("filter.state_ids[0]", "filter.event_types[0]", "filter.event_types[1]",
                          "filter.order_ids", "from_snapshot", "heartbeat_interval"));
}

TEST_P(WatchTest, AShutdownHandsOutTheLastTokenAndSaysSo) {
  const pb::Order order = create(new_order());
  pb::WatchOrdersRequest request;
  request.mutable_filter()->add_state_ids("fraud");
  const auto watcher = watch(request);
  const std::string first = watcher->token();
  add_note(order.order_id());  // filtered out, but behind the last token
  std::thread ending([&] { server_->shutdown(std::chrono::seconds(30)); });
  const Failure failure = watcher->end();
  ending.join();
  EXPECT_EQ(failure.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "SHUTTING_DOWN");
  EXPECT_TRUE(failure.has_retry);
  EXPECT_NE(watcher->token(), first);
  stop();
  start();
  Watch resumed(*orders_, from(watcher->token()));
  add_note(order.order_id());
  EXPECT_THAT(etags(resumed.changes(1)), ElementsAre("3"));
}

TEST_P(WatchTest, ManyWatchersHearTheSame) {
  std::vector<std::unique_ptr<Watch>> watchers;
  for (int i = 0; i < 50; ++i) watchers.push_back(watch());
  const pb::Order order = create(new_order());
  for (int i = 0; i < 20; ++i) add_note(order.order_id());
  std::vector<std::string> expected;
  for (int i = 1; i <= 21; ++i) expected.push_back(std::to_string(i));
  for (const auto& watcher : watchers) EXPECT_EQ(etags(watcher->changes(21)), expected);
}

class SlowWatchTest : public WatchTest {
 protected:
  SlowWatchTest() { feed_options_.changes = 20; }
};
ORDERD_ON_BOTH_DATABASES(SlowWatchTest);

TEST_P(SlowWatchTest, WhoDoesNotKeepUpIsEndedAndLosesNothing) {
  const pb::Order order = create(new_order());
  const auto slow = watch();
  const auto fast = watch();
  // More than fits between the server and a client that does not read.
  constexpr int kNotes = 500;
  EXPECT_EQ(parts_->feed.state().watchers, 2u);
  std::int64_t behind = 0;
  for (int i = 0; i < kNotes; ++i) {
    pb::AddNoteRequest request;
    request.set_order_id(order.order_id());
    request.set_body(std::string(9'000, 'x'));
    request.set_visibility(pb::NOTE_VISIBILITY_INTERNAL);
    call(&Orders::AddNote, request);
    EXPECT_EQ(fast->changes(1).at(0).etag(), std::to_string(i + 2));
    behind = std::max(behind, parts_->feed.state().behind);
  }
  EXPECT_GE(behind, 10) << "the metrics must have shown it before it was ended";
  int expected = 2;
  while (const auto message = slow->next()) {
    for (const auto& change : message->changes()) {
      ASSERT_EQ(change.etag(), std::to_string(expected++));
    }
  }
  const std::string token = slow->token();
  const Failure failure = slow->end();
  EXPECT_EQ(failure.code, grpc::StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "WATCH_TOO_SLOW");
  EXPECT_LT(expected, kNotes);
  Watch resumed(*orders_, from(token));
  for (const auto& change : resumed.changes(static_cast<std::size_t>(kNotes + 2 - expected))) {
    ASSERT_EQ(change.etag(), std::to_string(expected++));
  }
}

TEST_P(SlowWatchTest, ThereIsALimitOfWatchers) {
  stop();
  feed_options_.watchers = 2;
  start();
  const auto one = watch();
  auto two = watch();
  const Failure failure = refused({});
  EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(failure.reason, "OVERLOADED");
  EXPECT_TRUE(failure.has_retry);
  two.reset();
  wait_for_report("WatchOrders", absl::StatusCode::kCancelled);
  // It makes room when gRPC is done with the call.
  Failure next;
  do {
    Watch three(*orders_, {});
    if (three.next()) break;
    next = three.end();
  } while (next.reason == "OVERLOADED");
}

}  // namespace
}  // namespace orderd::test
