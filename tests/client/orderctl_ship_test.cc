#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "tests/client/orderctl_fixture.h"

// orderctl ship, and what get and list show of shipments.

namespace orderd::cli {
namespace {

using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;

constexpr char kId[] = "01890000-0000-7000-8000-000000000000";

/// An order of two mugs and, as two items, six teas, in two shipments.
class OrderctlShipTest : public OrderctlTest {
 protected:
  OrderctlShipTest() {
    order_.set_order_number("1001");
    order_.set_state_id("processing");
    order_.set_etag("5");
    add_item("1", "MUG", "Mug", 2);
    add_item("2", "TEA", "Tea, green", 5);
    add_item("3", "TEA", "Tea, black", 1);
    auto& first = add_shipment("s1", "standard");
    track(first, "JJD01", "https://post.example/t?n=JJD01");
    track(first, "JJD0000002", "");
    add_line(first, "l1", "1", 2, "confirmed");
    add_line(first, "l2", "2", 3, "pending");
    auto& second = add_shipment("s2", "express");
    add_line(second, "l3", "2", 2, "shipped");
    add_line(second, "l4", "3", 1, "pending");

    server_.on_update_shipments = [this](const pb::UpdateShipmentsRequest& request,
                                         pb::UpdateShipmentsResponse& response) {
      *response.mutable_order() = order_;
      for (int i = 0; i < request.changes_size(); ++i) response.add_results()->set_changed(true);
    };
  }

  void add_item(const std::string& id, const std::string& sku, const std::string& name,
                std::int64_t quantity) {
    auto& item = *order_.add_items();
    item.set_item_id(id);
    item.set_sku(sku);
    item.set_name(name);
    item.set_quantity(quantity);
  }
  pb::Shipment& add_shipment(const std::string& id, const std::string& method) {
    auto& shipment = *order_.add_shipments();
    shipment.set_shipment_id(id);
    shipment.set_method_id(method);
    return shipment;
  }
  static void track(pb::Shipment& shipment, const std::string& number, const std::string& url) {
    auto& tracked = *shipment.add_tracking_numbers();
    tracked.set_number(number);
    tracked.set_url(url);
  }
  static void add_line(pb::Shipment& shipment, const std::string& id, const std::string& item,
                       std::int64_t quantity, const std::string& state) {
    auto& line = *shipment.add_lines();
    line.set_line_id(id);
    line.set_item_id(item);
    line.set_quantity(quantity);
    line.set_delivery_state_id(state);
    line.mutable_delivery_state_time()->set_seconds(1'800'000'000);
  }

  /// The one change that the command sends, as text.
  std::string change_of(const std::string& command) {
    const auto before = server_.calls().size();
    const Result result = run(command);
    EXPECT_EQ(result.code, 0) << command << ": " << result.err;
    if (server_.calls().size() == before) return "no call";
    EXPECT_EQ(server_.calls().back().method, "UpdateShipments");
    const auto request = last_request<pb::UpdateShipmentsRequest>();
    EXPECT_EQ(request.order_id(), "id-of-1001");
    EXPECT_EQ(request.changes_size(), 1);
    return request.changes(0).ShortDebugString();
  }
};

TEST_F(OrderctlShipTest, ShowsEachShipmentWithItsTrackingNumbersAndLines) {
  auto& action = *order_.add_available_actions();
  action.set_kind(pb::ACTION_KIND_UPDATE_SHIPMENTS);
  action.set_reason("SHIPMENT_UPDATE_NOT_ALLOWED");

  const Result show = run("ship show 1001");
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_EQ(show.out,
            "order 1001 (id-of-1001): state processing, 2 confirmed, 4 pending, 2 shipped\n"
            "shipments can't be updated: SHIPMENT_UPDATE_NOT_ALLOWED\n"
            "\n"
            "shipment s1: standard\n"
            "  tracking  JJD01       https://post.example/t?n=JJD01\n"
            "            JJD0000002\n"
            "  QUANTITY  SKU  NAME        DELIVERY STATE  SINCE                 ITEM  LINE\n"
            "         2  MUG  Mug         confirmed       2027-01-15T08:00:00Z  1     l1\n"
            "         3  TEA  Tea, green  pending         2027-01-15T08:00:00Z  2     l2\n"
            "\n"
            "shipment s2: express\n"
            "  QUANTITY  SKU  NAME        DELIVERY STATE  SINCE                 ITEM  LINE\n"
            "         2  TEA  Tea, green  shipped         2027-01-15T08:00:00Z  2     l3\n"
            "         1  TEA  Tea, black  pending         2027-01-15T08:00:00Z  3     l4\n");
  EXPECT_EQ(last_request<pb::GetOrderRequest>().view(), pb::ORDER_VIEW_FULL);

  const Result get = run("get 1001");
  EXPECT_THAT(get.out, HasSubstr(show.out.substr(show.out.find("\nshipment s1"))));
  EXPECT_THAT(get.out, AllOf(HasSubstr("2 confirmed, 4 pending, 2 shipped"),
                             HasSubstr("can't be updated: SHIPMENT_UPDATE_NOT_ALLOWED")));

  const Result json = run("ship show 1001 --json");
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2);
  EXPECT_THAT(json.out, StartsWith("{\"shipment_id\":\"s1\",\"method_id\":\"standard\","));

  order_.clear_shipments();
  EXPECT_THAT(run("ship show 1001").out, StartsWith("order 1001 (id-of-1001): state processing, no "
                                                    "shipments\n"));
  EXPECT_EQ(run("ship show 4711").code, 3);
}

TEST_F(OrderctlShipTest, WhatIsShownCannotControlTheTerminal) {
  order_.mutable_items(0)->set_name("a\x1b[2Jb");
  order_.mutable_shipments(0)->set_method_id("c\x1b[2J");
  order_.mutable_shipments(0)->mutable_tracking_numbers(0)->set_number("d\x1b[2J");
  order_.mutable_shipments(0)->mutable_tracking_numbers(0)->set_url("e\u202e");
  const Result result = run("ship show 1001");
  EXPECT_THAT(result.out, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\u202e"))));
}

TEST_F(OrderctlShipTest, SelectsByItemSkuLineShipmentOrAll) {
  EXPECT_EQ(change_of("ship state 1001 shipped --all"),
            "set_delivery_state { selection { all: true } delivery_state_id: \"shipped\" }");
  EXPECT_EQ(
      change_of("ship state 1001 shipped --item 1 --item 2=3 --line l4=1"),
      "set_delivery_state { selection { lines { item_id: \"1\" } lines { item_id: \"2\" "
      "quantity: 3 } lines { line_id: \"l4\" quantity: 1 } } delivery_state_id: \"shipped\" }");
  EXPECT_EQ(
      change_of("ship method 1001 letter --sku MUG=1 --sku TEA --into s2"),
      "set_method { selection { lines { item_id: \"1\" quantity: 1 } lines { item_id: \"2\" } "
      "lines { item_id: \"3\" } } method_id: \"letter\" into_shipment_id: \"s2\" }");
  EXPECT_EQ(change_of("ship method 1001 letter --shipment s1 --item 3"),
            "set_method { selection { lines { item_id: \"3\" } lines { line_id: \"l1\" } lines { "
            "line_id: \"l2\" } } method_id: \"letter\" }");
  // Quantities that can't be are the server's to refuse; "=" can be part of an id.
  EXPECT_THAT(change_of("ship state 1001 shipped --item 1=-1 --item a=b"),
              HasSubstr("lines { item_id: \"1\" quantity: -1 } lines { item_id: \"a=b\" }"));
  order_.mutable_items(0)->set_sku("MUG=2");
  EXPECT_THAT(change_of("ship state 1001 shipped --sku MUG=2"),
              HasSubstr("lines { item_id: \"1\" }"));
  EXPECT_THAT(change_of("ship state 1001 shipped --sku MUG=2=1"),
              HasSubstr("lines { item_id: \"1\" quantity: 1 }"));
}

TEST_F(OrderctlShipTest, ASelectionThatCannotBeIsRefused) {
  for (const char* command : {"ship state 1001 shipped", "ship method 1001 letter --into s1",
                              "ship state 1001 --all", "ship state 1001 shipped --all --item 1",
                              "ship method 1001 letter --all --shipment s1", "ship", "ship show"}) {
    EXPECT_EQ(run(command).code, 2) << command;
  }
  EXPECT_TRUE(server_.calls().empty());
  EXPECT_THAT(run("ship state 1001 shipped").err,
              HasSubstr("give --all, --item, --sku, --line or --shipment"));

  const Result unknown = run("ship state 1001 shipped --sku POT");
  EXPECT_EQ(unknown.code, 4);
  EXPECT_THAT(unknown.err, HasSubstr("no item of the sku \"POT\"; it has: MUG, TEA"));
  const Result several = run("ship state 1001 shipped --sku TEA=2");
  EXPECT_EQ(several.code, 4);
  EXPECT_THAT(several.err, HasSubstr("\"TEA\": 2, 3; say of which item with --item ID=2"));
  const Result shipment = run("ship state 1001 shipped --shipment s3");
  EXPECT_EQ(shipment.code, 4);
  EXPECT_THAT(shipment.err, HasSubstr("no shipment \"s3\"; it has: s1, s2"));
  const Result huge = run("ship state 1001 shipped --item 1=99999999999999999999");
  EXPECT_EQ(huge.code, 1);
  EXPECT_THAT(huge.err, HasSubstr("no such quantity"));
  for (const auto& call : server_.calls()) EXPECT_NE(call.method, "UpdateShipments");
}

TEST_F(OrderctlShipTest, StateTakesTheTimeItHappened) {
  EXPECT_EQ(change_of("ship state 1001 delivered --item 1 --time 2027-01-15T09:00:00+01:00"),
            "set_delivery_state { selection { lines { item_id: \"1\" } } delivery_state_id: "
            "\"delivered\" delivery_state_time { seconds: 1800000000 } }");
  EXPECT_EQ(run("ship state 1001 delivered --all --time yesterday").code, 1);
}

TEST_F(OrderctlShipTest, TrackSetsAddsAndRemovesNumbers) {
  EXPECT_EQ(change_of("ship track 1001 s1 A B"),
            "set_tracking_numbers { shipment_id: \"s1\" tracking_numbers: \"A\" tracking_numbers: "
            "\"B\" }");
  EXPECT_EQ(last_request<pb::UpdateShipmentsRequest>().etag(), "");
  EXPECT_EQ(change_of("ship track 1001 s1 --clear"),
            "set_tracking_numbers { shipment_id: \"s1\" }");
  EXPECT_EQ(change_of("ship track 1001 s1 JJD0000002 A --add"),
            "set_tracking_numbers { shipment_id: \"s1\" tracking_numbers: \"JJD01\" "
            "tracking_numbers: \"JJD0000002\" tracking_numbers: \"A\" }");
  EXPECT_EQ(last_request<pb::UpdateShipmentsRequest>().etag(), "5");
  EXPECT_EQ(change_of("ship track 1001 s1 --remove JJD01 A"),
            "set_tracking_numbers { shipment_id: \"s1\" tracking_numbers: \"JJD0000002\" }");
  for (const char* command :
       {"ship track 1001 s1", "ship track 1001 s1 --add", "ship track 1001 s1 A --clear",
        "ship track 1001 s1 A --add --remove", "ship track 1001 s1 --add --clear"}) {
    EXPECT_EQ(run(command).code, 2) << command;
  }
  EXPECT_EQ(run("ship track 1001 s3 A --add").code, 4);
}

TEST_F(OrderctlShipTest, CombineMovesAllLinesOfTheOthersIntoTheFirst) {
  add_line(add_shipment("s3", ""), "l5", "1", 1, "pending");
  EXPECT_EQ(change_of("ship combine 1001 s1 s2 s3"),
            "set_method { selection { lines { line_id: \"l3\" } lines { line_id: \"l4\" } lines { "
            "line_id: \"l5\" } } method_id: \"standard\" into_shipment_id: \"s1\" }");
  EXPECT_EQ(last_request<pb::UpdateShipmentsRequest>().etag(), "5");
  EXPECT_EQ(run("ship combine 1001 s1").code, 2);
  EXPECT_EQ(run("ship combine 1001 s4 s1").code, 4);
  EXPECT_EQ(run("ship combine 1001 s1 s4").code, 4);
}

TEST_F(OrderctlShipTest, WhatDependsOnTheOrderIsMadeAnewIfSomebodyWasFaster) {
  for (const char* command : {"ship track 1001 s1 --add A", "ship combine 1001 s1 s2",
                              "ship state 1001 shipped --shipment s1"}) {
    const auto mismatch = to_grpc(rich_error(grpc::ABORTED, "ETAG_MISMATCH"));
    const auto before = server_.calls().size();
    server_.fail_next(grpc::Status::OK, 2);  // look-up, read
    server_.fail_next(mismatch);
    EXPECT_EQ(run(command).code, 0) << command;
    ASSERT_EQ(server_.calls().size(), before + 5) << command;
    EXPECT_EQ(server_.calls()[before + 3].method, "GetOrder");

    server_.fail_next(grpc::Status::OK, 2);
    server_.fail_next(mismatch);
    EXPECT_EQ(run(std::string(command) + " --etag 4").code, 5) << command;
    EXPECT_EQ(last_request<pb::UpdateShipmentsRequest>().etag(), "4");

    const Result repeatable = run(std::string(command) + " --request-id " + kId);
    EXPECT_EQ(repeatable.code, 1) << command;
    EXPECT_THAT(repeatable.err, HasSubstr("--request-id does not go with"));
  }
  server_.fail_next(grpc::Status::OK);
  server_.fail_next(to_grpc(rich_error(grpc::ABORTED, "ETAG_MISMATCH")));
  EXPECT_EQ(run("ship state 1001 shipped --all --etag 4").code, 5);
}

TEST_F(OrderctlShipTest, RequestIdAndEtagGoWithTheChange) {
  for (const char* command : {"state 1001 shipped --sku MUG", "method 1001 letter --all",
                              "track 1001 s1 A", "apply 1001 -"}) {
    EXPECT_EQ(
        run(std::string("ship ") + command + " --etag 4 --request-id " + kId, "{\"changes\": [{}]}")
            .code,
        0);
    const auto request = last_request<pb::UpdateShipmentsRequest>();
    EXPECT_EQ(request.request_id(), kId) << command;
    EXPECT_EQ(request.etag(), "4") << command;
  }
}

TEST_F(OrderctlShipTest, SaysWhatBecameOfEachChange) {
  server_.on_update_shipments = [this](const pb::UpdateShipmentsRequest& request,
                                       pb::UpdateShipmentsResponse& response) {
    *response.mutable_order() = order_;
    response.mutable_order()->set_order_id(request.order_id());
    auto& moved = *response.add_results();
    moved.set_changed(true);
    moved.set_shipment_id("s2");
    moved.add_line_ids("l2");
    moved.add_line_ids("l4");
    moved.add_skipped_line_ids("l3");
    if (request.changes_size() > 1) response.add_results()->add_line_ids("l1");
  };
  EXPECT_EQ(run("ship method 1001 express --all").out,
            "order 1001 (id-of-1001): state processing, invoice -, etag 5\n"
            "  shipment s2, 2 lines\n"
            "  skipped line l3: 2 x TEA, shipped\n");
  EXPECT_EQ(run("ship apply 1001 -", "{\"changes\": [{}, {}]}").out,
            "order 1001 (id-of-1001): state processing, invoice -, etag 5\n"
            "  change 0: shipment s2, 2 lines\n"
            "  skipped line l3: 2 x TEA, shipped\n"
            "  change 1: no change, 1 line\n");
  const Result json = run("ship method 1001 express --all --json");
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 1);
  EXPECT_THAT(json.out,
              AllOf(HasSubstr("\"changed\":true"), HasSubstr("\"skipped_line_ids\":[\"l3\"]")));
}

TEST_F(OrderctlShipTest, ApplySendsTheRequestAsItIs) {
  const std::string change =
      "{\"set_method\": {\"method_id\": \"express\", \"client_ref\": \"a\", \"selection\": "
      "{\"lines\": [{\"item_id\": \"2\", \"quantity\": \"1\"}]}}}";
  ASSERT_EQ(run("ship apply 1001 -", "{\"etag\": \"4\", \"request_id\": \"" + std::string(kId) +
                                         "\", \"changes\": [" + change + "]}")
                .code,
            0);
  const auto request = last_request<pb::UpdateShipmentsRequest>();
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.etag(), "4");
  EXPECT_EQ(request.request_id(), kId);
  EXPECT_EQ(request.changes(0).ShortDebugString(),
            "set_method { selection { lines { item_id: \"2\" quantity: 1 } } method_id: "
            "\"express\" client_ref: \"a\" }");

  const auto calls = server_.calls().size();
  EXPECT_THAT(run("ship apply 1001 -", "{\"changes\": {").err, HasSubstr("line 1, column 14"));
  EXPECT_THAT(run("ship apply 1001 -", "{\"changez\": []}").err, HasSubstr("changez"));
  EXPECT_EQ(run("ship apply 1001 /nonexistent.json").code, 1);
  EXPECT_EQ(server_.calls().size(), calls);
  const Result other = run("ship apply 1001 -", "{\"order_id\": \"another\"}");
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("it is for the order another, not id-of-1001"));
}

TEST_F(OrderctlShipTest, RefusalsSayWhatToDo) {
  const std::pair<const char*, const char*> hints[] = {
      {"SHIPMENT_UPDATE_NOT_ALLOWED", "orderctl states list"},
      {"LINE_UNKNOWN", "orderctl ship show"},
      {"ITEM_AMBIGUOUS", "--line ID=QUANTITY"},
      {"LINE_NOT_MOVABLE", "--all skips it"},
      {"TRACKING_NOT_ALLOWED", "must be confirmed first"},
      {"SHIPMENT_METHOD_DISABLED", "orderctl methods list"},
      {"DELIVERY_STATE_NOT_ENTERABLE", "orderctl delivery-states list"}};
  for (const auto& [reason, hint] : hints) {
    server_.fail_next(grpc::Status::OK);  // look-up
    server_.fail_next(to_grpc(rich_error(grpc::FAILED_PRECONDITION, reason)));
    const Result result = run("ship state 1001 shipped --all");
    EXPECT_EQ(result.code, 6) << reason;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(HasSubstr(std::string("reason: ") + reason), HasSubstr("hint: "),
                                  HasSubstr(hint)));
  }
}

TEST_F(OrderctlShipTest, ListFiltersByShipment) {
  run("list --tracking 'JJD 1' --method express --delivery shipped --delivery delivered");
  const auto filter = last_request<pb::ListOrdersRequest>().filter();
  EXPECT_EQ(filter.tracking_number(), "JJD 1");
  EXPECT_EQ(filter.shipment_method_id(), "express");
  EXPECT_THAT(filter.delivery_state_ids(), ElementsAre("shipped", "delivered"));
  run("list");
  EXPECT_EQ(last_request<pb::ListOrdersRequest>().filter().ByteSizeLong(), 0u);
}

TEST_F(OrderctlShipTest, HelpTeachesEachCommand) {
  const Result group = run("ship --help");
  EXPECT_EQ(group.code, 0);
  EXPECT_THAT(group.out, HasSubstr("orderctl ship state 1001 confirmed --all"));
  for (const std::string command :
       {"ship show", "ship state", "ship track", "ship method", "ship combine", "ship apply"}) {
    EXPECT_THAT(group.out, HasSubstr("\n  " + command.substr(5) + " ")) << command;
    const Result help = run(command + " --help");
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.out, AllOf(HasSubstr("Example"), HasSubstr("orderctl " + command + " 1001")));
  }
  for (const std::string command : {"methods", "delivery-states"}) {
    for (const std::string verb : {"list", "get", "create", "update", "delete"}) {
      EXPECT_THAT(run(command + " " + verb + " --help").out,
                  HasSubstr("orderctl " + command + " " + verb));
    }
  }
}

TEST_F(OrderctlShipTest, CompletionKnowsTheCommandsOfShipments) {
  write(directory_ / "script", run("completion bash").out + R"(
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _orderctl; echo "${COMPREPLY[*]}"; }
complete_words orderctl sh
complete_words orderctl --json ship ""
complete_words orderctl ship track 1001 --re
complete_words orderctl ship state 1001 shipped --s
complete_words orderctl delivery-states ""
complete_words orderctl methods update van --no-e
complete_words orderctl list --deli
)");
  const auto output = directory_ / "words";
  ASSERT_EQ(
      std::system(("bash " + (directory_ / "script").string() + " >" + output.string()).c_str()),
      0);
  EXPECT_THAT(read(output), MatchesRegex("ship\n"
                                         "show state track method combine apply --server [^\n]*\n"
                                         "--request-id --remove\n"
                                         "--server --server-name --sku --shipment\n"
                                         "list get create update delete --server [^\n]*\n"
                                         "--no-enabled\n"
                                         "--delivery\n"));
}

}  // namespace
}  // namespace orderd::cli
