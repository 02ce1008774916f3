#include <atomic>
#include <random>
#include <thread>

#include "tests/rpc/shipments_fixture.h"

// What UpdateShipments does when all is well, and with many callers at once.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

class ShipmentsTest : public ShipmentsRpcTest {};
ORDERD_ON_BOTH_DATABASES(ShipmentsTest);

TEST_P(ShipmentsTest, TheWalkOfThePortalGuide) {
  const pb::Order created = create(order_of({1, 2, 1, 3}));
  const std::string& id = created.order_id();
  EXPECT_EQ(created.state_id(), "new");
  expect_whole(created);
  ASSERT_EQ(created.shipments_size(), 1);
  const pb::Shipment& first = created.shipments(0);
  EXPECT_EQ(first.method_id(), "standard");
  EXPECT_TRUE(shipment_action(created).allowed());
  for (const auto& line : first.lines()) EXPECT_EQ(line.delivery_state_id(), "pending");

  // The delivery state of two of them.
  auto answer = change(id, {set_state(items({"1", "2"}), "confirmed", 1'700'000'000)});
  EXPECT_TRUE(answer.results(0).changed());
  EXPECT_EQ(answer.results(0).shipment_id(), "");
  EXPECT_THAT(answer.results(0).line_ids(),
              ElementsAre(first.lines(0).line_id(), first.lines(1).line_id()));
  for (const char* item : {"1", "2", "3", "4"}) {
    const auto lines = lines_of(answer.order(), item);
    ASSERT_EQ(lines.size(), 1u);
    const bool moved = item < std::string("3");
    EXPECT_EQ(lines[0].delivery_state_id(), moved ? "confirmed" : "pending");
    EXPECT_EQ(lines[0].delivery_state_time().seconds() == 1'700'000'000, moved);
  }

  // A tracking number.
  answer = change(id, {set_tracking(first.shipment_id(), {" T-0 "})});
  EXPECT_EQ(answer.results(0).shipment_id(), first.shipment_id());
  ASSERT_EQ(answer.order().shipments(0).tracking_numbers_size(), 1);
  EXPECT_EQ(answer.order().shipments(0).tracking_numbers(0).number(), "T-0");
  EXPECT_EQ(answer.order().shipments(0).tracking_numbers(0).url(), "");
  no_change(id, {set_tracking(first.shipment_id(), {"T-0"})});

  // The method of selected items: the tracking number stays with the others.
  answer = change(id, {set_method(items({"1", "3"}), "express")});
  ASSERT_EQ(answer.order().shipments_size(), 2);
  EXPECT_EQ(answer.order().shipments(0).shipment_id(), first.shipment_id());
  EXPECT_EQ(answer.order().shipments(0).tracking_numbers_size(), 1);
  EXPECT_EQ(answer.order().shipments(1).shipment_id(), answer.results(0).shipment_id());
  EXPECT_EQ(answer.order().shipments(1).method_id(), "express");
  EXPECT_EQ(answer.order().shipments(1).tracking_numbers_size(), 0);
  EXPECT_EQ(shipment_of(answer.order(), "3").shipment_id(), answer.results(0).shipment_id());

  // Of all: one shipment, without tracking numbers.
  answer = change(id, {set_method(all_lines(), "courier")});
  ASSERT_EQ(answer.order().shipments_size(), 1);
  EXPECT_EQ(answer.order().shipments(0).method_id(), "courier");
  EXPECT_EQ(answer.order().shipments(0).tracking_numbers_size(), 0);
  EXPECT_THAT(answer.results(0).skipped_line_ids(), IsEmpty());
  no_change(id, {set_method(all_lines(), "courier")});

  // A method and a tracking number of its own for each.
  change(id, {set_method(items({"1"}), "standard")});
  change(id, {set_method(items({"2"}), "express")});
  change(id, {set_method(items({"3"}), "pickup")});
  no_change(id, {set_method(items({"4"}), "courier")});
  const std::string fourth = shipment_of(get(id), "4").shipment_id();
  EXPECT_EQ(refused(id, {set_tracking(fourth, {"T-4"})}).reason, "TRACKING_NOT_ALLOWED");
  answer = change(id, {set_state(all_lines(), "confirmed", 1'700'000'001)});
  EXPECT_EQ(answer.results(0).line_ids_size(), 4);
  EXPECT_EQ(lines_of(answer.order(), "1")[0].delivery_state_time().seconds(), 1'700'000'000);
  const std::map<std::string, std::string> methods = {
      {"1", "standard"}, {"2", "express"}, {"3", "pickup"}, {"4", "courier"}};
  for (const auto& [item, method] : methods) {
    const auto& shipment = shipment_of(answer.order(), item);
    EXPECT_EQ(shipment.method_id(), method);
    EXPECT_EQ(shipment.lines_size(), 1);
    change(id, {set_tracking(shipment.shipment_id(), {"T " + item + "/ä"})});
  }
  const pb::Order done = get(id);
  const std::map<std::string, std::string> urls = {
      {"1", ""},
      {"2", "https://express.example/t/T%202%2F%C3%A4?lang=en"},
      {"3", ""},
      {"4", "http://courier.example/?n=T%204%2F%C3%A4"}};
  for (const auto& [item, url] : urls) {
    EXPECT_EQ(shipment_of(done, item).tracking_numbers(0).number(), "T " + item + "/ä");
    EXPECT_EQ(shipment_of(done, item).tracking_numbers(0).url(), url);
  }

  // Completed: nothing goes any more.
  const pb::Order completed = move(id, "completed").order();
  EXPECT_FALSE(shipment_action(completed).allowed());
  EXPECT_EQ(shipment_action(completed).reason(), "SHIPMENT_UPDATE_NOT_ALLOWED");
  const std::string line_id = lines_of(completed, "1")[0].line_id();
  for (const auto& wish :
       {set_method(all_lines(), "courier"), set_method(items({"1"}), "standard"),
        set_state(all_lines(), "shipped"), set_state(line(line_id), "confirmed"),
        set_tracking(fourth, {}), set_tracking(fourth, {"T-5"}), set_tracking("nonsense", {})}) {
    const Failure failure = refused(id, {wish});
    EXPECT_EQ(failure.reason, "SHIPMENT_UPDATE_NOT_ALLOWED") << wish.ShortDebugString();
    EXPECT_EQ(failure.code, grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(failure.metadata.at("state_id"), "completed");
    EXPECT_TRUE(failure.has_precondition);
  }
  EXPECT_EQ(get(id).ShortDebugString(), completed.ShortDebugString());
}

TEST_P(ShipmentsTest, AnItemOfFiveIsSplitAndMergedBack) {
  const pb::Order created = create(order_of({5, 1}));
  const std::string& id = created.order_id();
  const std::string whole = lines_of(created, "1")[0].line_id();
  const std::string home = created.shipments(0).shipment_id();

  auto answer = change(id, {set_method(pieces("1", 2), "express")});
  const std::string express = answer.results(0).shipment_id();
  const std::string express_line = answer.results(0).line_ids(0);
  EXPECT_NE(express_line, whole);
  answer = change(id, {set_method(line(whole, 2), "courier")});
  const std::string courier_line = answer.results(0).line_ids(0);
  std::map<std::string, std::int64_t> quantities;
  for (const auto& part : lines_of(answer.order(), "1")) {
    quantities[part.line_id()] = part.quantity();
  }
  EXPECT_THAT(quantities,
              testing::UnorderedElementsAre(testing::Pair(whole, 1), testing::Pair(express_line, 2),
                                            testing::Pair(courier_line, 2)));

  const Failure beyond = refused(id, {set_method(line(whole, 2), "pickup")});
  EXPECT_EQ(beyond.code, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(beyond.reason, "QUANTITY_TOO_LARGE");
  EXPECT_EQ(beyond.metadata.at("requested"), "2");
  EXPECT_EQ(beyond.metadata.at("available"), "1");
  EXPECT_EQ(beyond.metadata.at("change_index"), "0");
  EXPECT_THAT(beyond.fields, ElementsAre("changes[0].set_method.selection.lines[0].quantity"));
  const Failure item_beyond = refused(id, {set_method(pieces("1", 6), "pickup")});
  EXPECT_EQ(item_beyond.reason, "QUANTITY_TOO_LARGE");
  EXPECT_EQ(item_beyond.metadata.at("requested"), "6");
  EXPECT_EQ(item_beyond.metadata.at("available"), "5");
  const Failure ambiguous = refused(id, {set_method(pieces("1", 2), "pickup")});
  EXPECT_EQ(ambiguous.reason, "ITEM_AMBIGUOUS");
  EXPECT_EQ(ambiguous.metadata.at("line_count"), "3");
  const Failure mismatch = refused(id, {set_method(line(express_line), "pickup", home)});
  EXPECT_EQ(mismatch.reason, "SHIPMENT_METHOD_MISMATCH");

  // Back: the older line keeps its id, shipments without lines are gone.
  answer = change(id, {set_method(line(express_line), "standard", home)});
  EXPECT_THAT(answer.results(0).line_ids(), ElementsAre(whole));
  EXPECT_EQ(answer.order().shipments_size(), 2);
  EXPECT_EQ(refused(id, {set_tracking(express, {})}).reason, "SHIPMENT_UNKNOWN");
  EXPECT_EQ(refused(id, {set_state(line(express_line), "shipped")}).reason, "LINE_UNKNOWN");
  answer = change(id, {set_method(all_lines(), "standard", home)});
  ASSERT_EQ(answer.order().shipments_size(), 1);
  ASSERT_EQ(lines_of(answer.order(), "1").size(), 1u);
  EXPECT_EQ(answer.order().shipments(0).ShortDebugString(),
            created.shipments(0).ShortDebugString());
}

TEST_P(ShipmentsTest, SplitsByDeliveryStateMergeIfTheirTimesAreEqual) {
  const std::string id = create(order_of({5})).order_id();
  change(id, {set_state(pieces("1", 2), "shipped", 1'700'000'000)});
  auto answer = change(id, {set_state(pieces("1", 1), "shipped", 1'700'000'000)});
  EXPECT_EQ(lines_of(answer.order(), "1").size(), 2u);
  answer = change(id, {set_state(pieces("1", 1), "shipped", 1'700'000'060)});
  EXPECT_EQ(lines_of(answer.order(), "1").size(), 3u);
  // What has been shipped stays where it is.
  const auto lines = lines_of(answer.order(), "1");
  std::vector<std::string> shipped;
  for (const auto& part : lines) {
    if (part.delivery_state_id() == "shipped") shipped.push_back(part.line_id());
  }
  ASSERT_EQ(shipped.size(), 2u);
  EXPECT_EQ(refused(id, {set_method(line(shipped[0]), "express")}).reason, "LINE_NOT_MOVABLE");
  answer = change(id, {set_method(all_lines(), "express")});
  EXPECT_THAT(answer.results(0).skipped_line_ids(), UnorderedElementsAreArray(shipped));
  EXPECT_EQ(answer.results(0).line_ids_size(), 1);
  EXPECT_EQ(answer.order().shipments_size(), 2);
}

TEST_P(ShipmentsTest, ChangesBuildOnTheOnesBefore) {
  const std::string id = create(order_of({5, 4})).order_id();
  const std::string home = get(id).shipments(0).shipment_id();
  const auto answer =
      change(id, {set_method(pieces("1", 2), "express", "", "second box"),
                  set_method(pieces("2", 1), "express", "second box"),
                  set_state(all_lines(), "confirmed", 1'700'000'000),
                  set_tracking("second box", {"T-1", "T-2"}), set_tracking(home, {"T-3"}),
                  set_tracking(home, {}), set_state(items({"1"}), "confirmed")});
  ASSERT_EQ(answer.order().shipments_size(), 2);
  const pb::Shipment& box = answer.order().shipments(1);
  EXPECT_EQ(box.lines_size(), 2);
  EXPECT_EQ(box.tracking_numbers_size(), 2);
  EXPECT_EQ(box.tracking_numbers(1).url(), "https://express.example/t/T-2?lang=en");
  for (const int i : {0, 1, 3}) EXPECT_EQ(answer.results(i).shipment_id(), box.shipment_id());
  EXPECT_EQ(answer.results(2).line_ids_size(), 4);
  EXPECT_EQ(answer.order().shipments(0).tracking_numbers_size(), 0);
  EXPECT_FALSE(answer.results(6).changed());
  // A request whose changes undo each other is no change.
  const auto undone = call(&Orders::UpdateShipments,
                           ship(id, {set_tracking(home, {"T-9"}), set_tracking(home, {})}));
  EXPECT_FALSE(undone.changed());
  EXPECT_EQ(undone.etag(), answer.etag());
  EXPECT_EQ(undone.results_size(), 2);
}

TEST_P(ShipmentsTest, AReplayAnswersTheSameResults) {
  const std::string id = create(order_of({5, 1})).order_id();
  auto request =
      ship(id, {set_method(pieces("1", 2), "express"), set_state(all_lines(), "confirmed")});
  request.set_request_id(new_request_id());
  request.set_etag(get(id).etag());
  const auto first = change(request);
  const auto later = change(id, {set_method(all_lines(), "courier")});
  stop();
  start();
  const auto again = call(&Orders::UpdateShipments, request);  // its etag is stale by now
  EXPECT_TRUE(again.replayed());
  EXPECT_TRUE(again.changed());
  EXPECT_EQ(again.etag(), first.etag());
  EXPECT_EQ(again.order().ShortDebugString(), later.order().ShortDebugString());
  ASSERT_EQ(again.results_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(again.results(i).ShortDebugString(), first.results(i).ShortDebugString());
  }
  EXPECT_EQ(get(id).etag(), later.etag());

  auto other = request;
  other.mutable_changes(0)->mutable_set_method()->set_method_id("courier");
  EXPECT_EQ(refused(other).reason, "REQUEST_ID_REUSED");
  auto stale = ship(id, {set_state(all_lines(), "shipped")});
  stale.set_etag(first.etag());
  const Failure failure = refused(stale);
  EXPECT_EQ(failure.code, grpc::StatusCode::ABORTED);
  EXPECT_EQ(failure.reason, "ETAG_MISMATCH");
  EXPECT_EQ(failure.metadata.at("current_etag"), later.etag());
  // What was refused, or no change, is not recorded.
  auto reused = ship(id, {set_method(all_lines(), "old")});
  reused.set_request_id(new_request_id());
  EXPECT_EQ(refused(reused).reason, "SHIPMENT_METHOD_DISABLED");
  reused.mutable_changes(0)->mutable_set_method()->set_method_id("courier");
  EXPECT_FALSE(call(&Orders::UpdateShipments, reused).changed());
  reused.mutable_changes(0)->mutable_set_method()->set_method_id("express");
  change(reused);
}

/// Two servers on MariaDB. SQLite has one process; there it is two servers on one storage.
class TwoServersTest : public ShipmentsRpcTest {
 protected:
  void SetUp() override {
    ShipmentsRpcTest::SetUp();
    if (backend() == Backend::kMariadb) other_storage_ = storage::open(url(), {});
    storage::Storage& storage = other_storage_ ? *other_storage_ : *storage_;
    other_parts_ = make_parts(storage);
    other_server_ =
        std::make_unique<rpc::Server>("127.0.0.1:0", other_parts_->backend(storage.secret()));
    other_orders_ = pb::OrderService::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(other_server_->port()), grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    other_orders_.reset();
    other_server_.reset();
    other_parts_.reset();
    other_storage_.reset();
    ShipmentsRpcTest::TearDown();
  }

  grpc::Status update(int server, const pb::UpdateShipmentsRequest& request,
                      pb::UpdateShipmentsResponse& response) {
    grpc::ClientContext context;
    set_deadline(context);
    return (server == 0 ? orders_ : other_orders_)->UpdateShipments(&context, request, &response);
  }

  std::unique_ptr<storage::Storage> other_storage_;
  std::unique_ptr<Parts> other_parts_;
  std::unique_ptr<rpc::Server> other_server_;
  std::unique_ptr<Orders> other_orders_;
};
ORDERD_ON_BOTH_DATABASES(TwoServersTest);

TEST_P(TwoServersTest, SplittingOneItemNeverExceedsItsQuantity) {
  constexpr std::int64_t kPieces = 100;
  constexpr int kClients = 6;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const pb::Order created = create(order_of({kPieces}));
  const std::string line_id = lines_of(created, "1")[0].line_id();
  std::atomic<std::int64_t> taken = 0;
  std::vector<std::thread> clients;
  for (int n = 0; n < kClients; ++n) {
    clients.emplace_back([&, n] {
      std::mt19937 random(seed + static_cast<unsigned>(n));
      // Until the line has too few pieces left.
      for (bool enough = true; enough;) {
        const std::int64_t quantity = std::uniform_int_distribution<std::int64_t>(2, 5)(random);
        pb::UpdateShipmentsResponse response;
        const grpc::Status status =
            update(n % 2, ship(created.order_id(), {set_state(line(line_id, quantity), "shipped")}),
                   response);
        if (status.ok()) {
          // All that was left has been shipped if nothing changes any more.
          enough = response.changed();
          if (response.changed()) taken += quantity;
          expect_whole(response.order());
        } else {
          Failure failure = failure_of(status);
          EXPECT_EQ(failure.reason, "QUANTITY_TOO_LARGE") << failure.message;
          EXPECT_LT(std::stoll(failure.metadata["available"]), quantity);
          enough = false;
        }
      }
    });
  }
  for (auto& client : clients) client.join();
  const pb::Order order = get(created.order_id());
  expect_whole(order);
  std::int64_t shipped = 0;
  for (const auto& part : lines_of(order, "1")) {
    if (part.delivery_state_id() == "shipped") shipped += part.quantity();
  }
  EXPECT_EQ(shipped, taken);
  EXPECT_GT(shipped, kPieces - 5);
}

TEST_P(TwoServersTest, ATrackingNumberGoesToOneShipment) {
  for (int round = 0; round < 10; ++round) {
    const pb::Order created = create(order_of({1, 1}));
    change(created.order_id(),
           {set_state(all_lines(), "confirmed"), set_method(items({"2"}), "express")});
    const pb::Order order = get(created.order_id());
    std::vector<grpc::Status> results(2);
    std::vector<std::thread> clients;
    for (int n = 0; n < 2; ++n) {
      clients.emplace_back([&, n] {
        pb::UpdateShipmentsResponse response;
        results[static_cast<std::size_t>(n)] = update(
            n, ship(order.order_id(), {set_tracking(order.shipments(n).shipment_id(), {"T-1"})}),
            response);
      });
    }
    for (auto& client : clients) client.join();
    ASSERT_NE(results[0].ok(), results[1].ok());
    EXPECT_EQ(failure_of(results[0].ok() ? results[1] : results[0]).reason,
              "TRACKING_NUMBER_IN_USE");
    expect_whole(get(order.order_id()));
  }
}

}  // namespace
}  // namespace orderd::test
