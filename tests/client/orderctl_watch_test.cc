#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/client/orderctl_fixture.h"

// orderctl history, watch

namespace orderd::cli {
namespace {

using orderd::testing::FakeServer;
using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace pb = ::orders::v1;

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

pb::OrderEvent event(const std::string& order_id, const std::string& etag) {
  pb::OrderEvent event;
  event.set_order_id(order_id);
  event.set_etag(etag);
  event.set_actor("zoe");
  event.mutable_event_time()->set_seconds(1'800'000'000);
  return event;
}

pb::OrderEvent state_event(const std::string& order_id, const std::string& etag) {
  pb::OrderEvent result = event(order_id, etag);
  result.mutable_state_changed()->set_before_state_id("new");
  result.mutable_state_changed()->set_after_state_id("processing");
  result.mutable_state_changed()->set_reason("paid");
  return result;
}

class HistoryTest : public OrderctlTest {
 protected:
  HistoryTest() {
    server_.on_list_events = [this](const pb::ListOrderEventsRequest&,
                                    pb::ListOrderEventsResponse& response) {
      for (const auto& each : events_) *response.add_events() = each;
    };
  }

  pb::OrderEvent& add() { return events_.emplace_back(event("o", "7")); }

  std::vector<pb::OrderEvent> events_;
};

TEST_F(HistoryTest, SaysWhatItWasAndWhatItIs) {
  events_.push_back(state_event("o", "2"));
  add().mutable_invoice_number_changed()->set_after("INV-1");
  auto& updated = *add().mutable_order_updated();
  updated.mutable_before()->mutable_customer()->set_email("a@example.com");
  updated.mutable_after()->mutable_customer()->set_email("b@example.com");
  updated.mutable_after()->mutable_shipping_address()->set_city("Köln");
  (*updated.mutable_before()->mutable_labels())["channel"] = "web";
  (*updated.mutable_after()->mutable_labels())["vip"] = "";
  updated.set_reason("moved");
  auto& note = *add().mutable_note_updated();
  note.mutable_before()->set_body("ring\nonce");
  note.mutable_after()->set_body("ring twice");
  note.mutable_after()->set_visibility(pb::NOTE_VISIBILITY_CUSTOMER);
  auto& shipments = *add().mutable_shipments_changed();
  auto& before = *shipments.add_before();
  before.set_shipment_id("s1");
  before.set_method_id("standard");
  before.add_lines()->set_delivery_state_id("pending");
  before.mutable_lines(0)->set_quantity(5);
  auto& after = *shipments.add_after();
  after = before;
  after.mutable_lines(0)->set_delivery_state_id("shipped");
  after.add_tracking_numbers()->set_number("T-1");
  auto& added = *shipments.add_after();
  added.set_shipment_id("s2");
  added.set_method_id("express");
  auto& payment = *add().mutable_payment_changed();
  payment.mutable_before()->set_status(pb::PAYMENT_STATUS_AUTHORIZED);
  payment.mutable_after()->set_status(pb::PAYMENT_STATUS_CAPTURED);
  payment.mutable_after()->set_gateway_account("sandbox");
  payment.mutable_after()->set_gateway_reference("R1");
  set(payment.mutable_after()->mutable_captured(), "EUR", 1250);
  auto& transaction = *payment.add_transactions();
  transaction.set_kind(pb::TRANSACTION_KIND_CAPTURE);
  transaction.set_status(pb::TRANSACTION_STATUS_SUCCEEDED);
  set(transaction.mutable_amount(), "EUR", 1250);
  auto& canceled = *add().mutable_cancellation_changed();
  canceled.mutable_after()->set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  canceled.mutable_after()->set_reason("changed their mind");
  auto& email = *add().mutable_email_changed();
  email.mutable_before()->set_status(pb::EMAIL_STATUS_PENDING);
  email.mutable_after()->set_status(pb::EMAIL_STATUS_DEAD);
  email.mutable_after()->set_kind(pb::EMAIL_KIND_ORDER_CANCELED);
  email.mutable_after()->set_recipient("b@example.com");
  email.mutable_after()->set_last_error("RECIPIENT_REFUSED");

  const Result result = run("history 1001");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(
      lines(result.out),
      ElementsAre(
          "TIME                  ETAG  WHAT                    BY   DETAILS",
          "2027-01-15T08:00:00Z  2     state changed           zoe  new -> processing; reason "
          "\"paid\"",
          "2027-01-15T08:00:00Z  7     invoice number changed  zoe  - -> INV-1",
          "2027-01-15T08:00:00Z  7     order updated           zoe  customer.email a@example.com "
          "-> b@example.com; shipping_address.city - -> Köln; label channel web -> -; label vip "
          "added; reason \"moved\"",
          "2027-01-15T08:00:00Z  7     note updated            zoe  \"ring once\" -> \"ring "
          "twice\"; for internal -> customer",
          "2027-01-15T08:00:00Z  7     shipments changed       zoe  shipment s1: tracking - -> "
          "T-1, pieces 5 pending -> 5 shipped; new shipment s2: method - -> express",
          "2027-01-15T08:00:00Z  7     payment changed         zoe  sandbox R1: authorized -> "
          "captured; captured - -> 12.50 EUR; capture of 12.50 EUR is succeeded",
          "2027-01-15T08:00:00Z  7     cancellation changed    zoe  - -> in progress; reason "
          "\"changed their mind\"",
          "2027-01-15T08:00:00Z  7     email changed           zoe  order canceled, to "
          "b@example.com: pending -> dead; to - -> b@example.com; last failure "
          "RECIPIENT_REFUSED"));
  EXPECT_EQ(last_request<pb::ListOrderEventsRequest>().order_id(), "id-of-1001");
}

TEST_F(HistoryTest, EveryTypeHasWords) {
  const auto* payload = pb::OrderEvent::descriptor()->FindOneofByName("payload");
  for (int i = 0; i < payload->field_count(); ++i) {
    auto& each = add();
    each.GetReflection()->MutableMessage(&each, payload->field(i));
  }
  events_.push_back(event("o", "8"));  // of a type that this program does not know
  const Result result = run("history 1001");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(lines(result.out).size(), static_cast<std::size_t>(payload->field_count()) + 2);
}

TEST_F(HistoryTest, ClipsLongTexts) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "山";
  add().mutable_note_added()->mutable_note()->set_body(text);
  const std::string out = run("history 1001").out;
  EXPECT_THAT(out, AllOf(HasSubstr("山…\""), HasSubstr("for internal")));
  EXPECT_LT(out.size(), 400u);
}

TEST_F(HistoryTest, FiltersAndLimits) {
  events_ = {state_event("o", "2"), state_event("o", "3")};
  Result result = run("history 1001 --type state_changed --type note_added --limit 1");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(lines(result.out).size(), 2u);
  EXPECT_THAT(result.err, HasSubstr("the first 1"));
  const auto request = last_request<pb::ListOrderEventsRequest>();
  EXPECT_THAT(request.event_types(),
              ElementsAre(pb::ORDER_EVENT_TYPE_STATE_CHANGED, pb::ORDER_EVENT_TYPE_NOTE_ADDED));
  EXPECT_EQ(request.page_size(), 2);

  result = run("history 1001 --json");
  EXPECT_EQ(result.err, "");
  const auto printed = lines(result.out);
  ASSERT_EQ(printed.size(), 2u);
  EXPECT_EQ(nlohmann::json::parse(printed[1])["etag"], "3");

  events_.clear();
  result = run("history 1001");
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "there are no such events\n");
  EXPECT_EQ(run("history 1001 --type moved").code, 2);
  EXPECT_EQ(run("history 4711").code, 3);
}

class WatchCommandTest : public OrderctlTest {
 protected:
  /// Each stream sends the messages behind the one that it resumes, as many as `serve` says, and
  /// ends. The first message is empty, as the server's is.
  void serve(std::vector<std::size_t> up_to,
             const grpc::Status& end = grpc::Status(grpc::UNAVAILABLE, "away")) {
    server_.on_watch = [this, up_to = std::move(up_to), end](int attempt, grpc::ServerContext&,
                                                             const pb::WatchOrdersRequest& request,
                                                             FakeServer::WatchWriter& writer) {
      std::size_t at = 0;
      if (!request.resume_token().empty()) {
        at = static_cast<std::size_t>(std::stoi(request.resume_token().substr(1)));
      }
      const auto index = static_cast<std::size_t>(attempt);
      const std::size_t last = index < up_to.size() ? up_to[index] : messages_.size();
      while (at < last) writer.Write(messages_[at++]);
      return end;
    };
  }

  /// A new message, whose token is t1, t2, …
  pb::WatchOrdersResponse& add() {
    auto& message = messages_.emplace_back();
    message.set_resume_token("t" + std::to_string(messages_.size()));
    return message;
  }
  void add_change(pb::WatchOrdersResponse& message, const std::string& order_id,
                  const std::string& etag) {
    auto& change = *message.add_changes();
    change.set_order_id(order_id);
    change.set_etag(etag);
    *change.add_events() = state_event(order_id, etag);
  }

  std::vector<pb::WatchOrdersResponse> messages_;
};

TEST_F(WatchCommandTest, PrintsALinePerEventAndGoesOnByItself) {
  add();
  auto& snapshot = add();
  auto& order = *snapshot.add_snapshot_orders();
  order.set_order_id("o1");
  order.set_order_number("1001");
  order.set_state_id("new");
  snapshot.set_snapshot_complete(true);
  auto& changes = add();
  add_change(changes, "o1", "2");
  changes.mutable_changes(0)->set_left_filter(true);
  auto& both = add();
  add_change(both, "o2", "1");
  auto& created = *both.add_changes();
  created.set_order_id("o3");
  *created.add_events() = event("o3", "1");
  created.mutable_events(0)->mutable_order_created()->mutable_order()->set_order_number("1003");
  serve({3});

  const Result result = run("watch --from-snapshot --count 3");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(
      lines(result.out),
      ElementsAre("TIME                  ORDER     WHAT                    BY  DETAILS",
                  "-                     1001      as it is                -   1001, new",
                  "2027-01-15T08:00:00Z  1001      state changed           zoe  new -> processing; "
                  "reason \"paid\"; does not match any more",
                  "2027-01-15T08:00:00Z  o2        state changed           zoe  new -> processing; "
                  "reason \"paid\"",
                  "2027-01-15T08:00:00Z  1003      order created           zoe  1003"));
  EXPECT_THAT(
      lines(result.err),
      ElementsAre("watching; Ctrl-C ends it", "these were the orders as they are; changes follow",
                  "connection lost, trying again: UNAVAILABLE: away", "resumed"));
  const auto request = last_request<pb::WatchOrdersRequest>();
  EXPECT_EQ(request.resume_token(), "t3");
  EXPECT_EQ(request.heartbeat_interval().seconds(), 15);
}

TEST_F(WatchCommandTest, JsonHasTheTokenOnTheLastLineOfAMessage) {
  add();
  auto& snapshot = add();
  snapshot.add_snapshot_orders()->set_order_id("o1");
  snapshot.add_snapshot_orders()->set_order_id("o2");
  add().set_snapshot_complete(true);
  auto& changes = add();
  add_change(changes, "o1", "2");
  add_change(changes, "o2", "3");
  serve({});
  // The changes of a message stay together.
  const Result result = run("watch --json --from-snapshot --count 1");
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<std::string> seen;
  for (const auto& line : lines(result.out)) {
    const auto json = nlohmann::json::parse(line);
    const std::string kind = json["kind"];
    seen.push_back(kind + " " + (json.contains(kind) ? json[kind].value("order_id", "") : "") +
                   " " + json.value("resume_token", ""));
  }
  EXPECT_THAT(seen, ElementsAre("order o1 ", "order o2 t2", "snapshot_complete  t3", "change o1 ",
                                "change o2 t4"));
}

TEST_F(WatchCommandTest, SendsItsFilter) {
  add();
  add_change(add(), "o1", "2");
  serve({});
  const std::string id = "01890000-0000-7000-8000-000000000000";
  const Result result =
      run("watch --state new --state fraud --type note_added --order 1001 --order " + id +
          " --label a=b --label c= --heartbeat 2 --resume t1 --count 1");
  EXPECT_EQ(result.code, 0) << result.err;
  const auto request = last_request<pb::WatchOrdersRequest>();
  EXPECT_THAT(request.filter().state_ids(), ElementsAre("new", "fraud"));
  EXPECT_THAT(request.filter().event_types(), ElementsAre(pb::ORDER_EVENT_TYPE_NOTE_ADDED));
  EXPECT_THAT(request.filter().order_ids(), ElementsAre("id-of-1001", id));
  EXPECT_EQ(request.filter().labels_size(), 2);
  EXPECT_EQ(request.filter().labels().at("a"), "b");
  EXPECT_EQ(request.heartbeat_interval().seconds(), 2);
  EXPECT_EQ(request.resume_token(), "t1");
  EXPECT_FALSE(request.from_snapshot());

  EXPECT_EQ(run("watch --label x").code, 1);
  EXPECT_EQ(run("watch --order 4711").code, 3);
  EXPECT_EQ(run("watch --type moved").code, 2);
  EXPECT_EQ(run("watch --heartbeat 0").code, 2);
  EXPECT_EQ(run("watch --count 0").code, 2);
  EXPECT_EQ(run("watch --resume ''").code, 2);
  EXPECT_EQ(run("watch --resume t1 --from-snapshot").code, 2);
  EXPECT_EQ(run("watch --resume t1 --token-file f").code, 2);
}

TEST_F(WatchCommandTest, ATokenFileGoesOnWhereTheLastRunEnded) {
  const auto file = directory_ / "token";
  add();
  add_change(add(), "o1", "1");
  add_change(add(), "o1", "2");
  serve({});
  const std::string command =
      "watch --from-snapshot --json --count 1 --token-file " + file.string();
  EXPECT_THAT(run(command).out, HasSubstr("\"resume_token\":\"t2\""));
  EXPECT_TRUE(last_request<pb::WatchOrdersRequest>().from_snapshot());
  EXPECT_EQ(read(file), "t2\n");
  const Result second = run(command);
  EXPECT_THAT(second.out, AllOf(HasSubstr("\"etag\":\"2\""), Not(HasSubstr("\"etag\":\"1\""))));
  EXPECT_FALSE(last_request<pb::WatchOrdersRequest>().from_snapshot());
  EXPECT_EQ(read(file), "t3\n");
  EXPECT_THAT(second.err, Not(HasSubstr("go on with")));

  // Without a token it must not begin from now: what has happened since would be missed.
  write(file, "\n");
  EXPECT_EQ(run(command).code, 1);
  EXPECT_EQ(run("watch --count 1 --token-file /nonexistent/token").code, 1);
}

TEST_F(WatchCommandTest, SaysWhatToDoWhenItEndsWithAnError) {
  add();
  server_.fail_next(to_grpc(rich_error(grpc::OUT_OF_RANGE, "WATCH_TOKEN_EXPIRED")));
  Result result = run("watch --resume t1");
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, AllOf(HasSubstr("WATCH_TOKEN_EXPIRED"), HasSubstr("--from-snapshot"),
                                Not(HasSubstr("go on with"))));

  serve({}, to_grpc(rich_error(grpc::PERMISSION_DENIED, "NO")));
  result = run("watch");
  EXPECT_EQ(result.code, 8);
  EXPECT_THAT(result.err, HasSubstr("go on with: orderctl watch --resume t1\n"));

  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"), 6);
  result = run("watch");
  EXPECT_EQ(result.code, 7);
  EXPECT_THAT(result.err, HasSubstr("given up after 6 tries"));
}

TEST_F(WatchCommandTest, AFullDiskEndsItBeforeTheTokenIsWritten) {
  const auto file = directory_ / "token";
  add_change(add(), "o1", "1");
  serve({});
  const std::string command = "ORDERCTL_SERVER=" + server_.address() +
                              " " ORDERCTL " watch --count 1 --token-file " + file.string() +
                              " >/dev/full 2>/dev/null";
  const int status = std::system(command.c_str());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace orderd::cli
