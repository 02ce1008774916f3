#include <thread>

#include "tests/rpc/rpc_fixture.h"

namespace orderd::test {
namespace {

class ImportTest : public RpcTest {
 protected:
  static std::vector<pb::ImportResult> results(
      const std::vector<pb::ImportOrdersResponse>& responses) {
    std::vector<pb::ImportResult> all;
    for (const auto& response : responses) all.push_back(response.result());
    return all;
  }
};
ORDERD_ON_BOTH_DATABASES(ImportTest);

constexpr auto kCreated = pb::IMPORT_RESULT_CREATED;
constexpr auto kUnchanged = pb::IMPORT_RESULT_UNCHANGED;
constexpr auto kConflict = pb::IMPORT_RESULT_CONFLICT;
constexpr auto kRefused = pb::IMPORT_RESULT_REFUSED;

TEST_P(ImportTest, OrdersComeWithTheirHistory) {
  pb::ImportOrdersRequest request = new_import(" N-1 ");
  request.set_state_id("canceled");
  request.set_invoice_number("I-1");
  request.mutable_order()->mutable_order_time()->set_seconds(86400);
  auto& note = *request.add_notes();
  note.set_author("clerk");
  note.set_body("from the old shop");
  note.mutable_create_time()->set_seconds(90000);
  auto& payment = *request.add_payments();
  payment.set_gateway_account("external");
  payment.set_gateway_reference("P-1");
  *payment.mutable_captured() = eur(500);
  const auto answers = import({request});
  ASSERT_EQ(results(answers), std::vector{kCreated});
  EXPECT_EQ(answers[0].order_number(), "N-1");
  const pb::Order order = get(answers[0].order_id());
  EXPECT_EQ(order.state_id(), "canceled");
  EXPECT_EQ(order.invoice_number(), "I-1");
  EXPECT_EQ(order.order_time().seconds(), 86400);
  EXPECT_EQ(order.note_count(), 1);
  EXPECT_EQ(order.payments(0).captured().amount_minor(), 500);
  pb::ListNotesRequest notes;
  notes.set_order_id(order.order_id());
  EXPECT_EQ(call(&Orders::ListNotes, notes).notes(0).author(), "clerk");

  // Again, also after the order went on.
  pb::AddNoteRequest add;
  add.set_order_id(order.order_id());
  add.set_body("another");
  call(&Orders::AddNote, add);
  const std::string before = content();
  const auto again = import({request});
  EXPECT_EQ(results(again), std::vector{kUnchanged});
  EXPECT_EQ(again[0].order_id(), order.order_id());
  request.mutable_order()->mutable_customer()->set_name("Eve");
  const auto other = import({request});
  EXPECT_EQ(results(other), std::vector{kConflict});
  EXPECT_EQ(other[0].order_id(), order.order_id());
  EXPECT_EQ(failure_of(other[0].error()).reason, "IMPORT_CONFLICT");
  EXPECT_EQ(content(), before);
}

TEST_P(ImportTest, BrokenOrdersDoNotDisturbTheOthers) {
  const std::string taken = create(new_order("taken")).order_id();
  std::vector<pb::ImportOrdersRequest> requests;
  for (int i = 0; i < 10; ++i) requests.push_back(new_import("N-" + std::to_string(i)));
  requests[1].mutable_order()->mutable_items(0)->set_quantity(0);
  requests[1].mutable_order()->mutable_items(1)->clear_sku();
  requests[2].mutable_order()->mutable_customer()->set_name("\xff");
  requests[3].set_state_id("no-such-state");
  requests[4].mutable_order()->set_order_number("taken");
  requests[5].mutable_order()->mutable_customer()->set_name(std::string(5 << 20, 'x'));
  requests[6].clear_order();
  requests[0].set_invoice_number("I-1");
  requests[7].set_invoice_number("I-1");
  requests[7].set_state_id("gone");
  const auto answers = import(requests);
  EXPECT_EQ(results(answers), (std::vector{kCreated, kRefused, kRefused, kRefused, kRefused,
                                           kRefused, kRefused, kRefused, kCreated, kCreated}));
  const auto failure = [&](int i) {
    return failure_of(answers[static_cast<std::size_t>(i)].error());
  };
  EXPECT_THAT(failure(1).fields,
              testing::UnorderedElementsAre("order.items[0].quantity", "order.items[1].sku"));
  EXPECT_EQ(answers[1].order_number(), "N-1");
  EXPECT_THAT(failure(2).fields, testing::ElementsAre("order.customer.name"));
  EXPECT_EQ(answers[2].order_number(), "N-2");
  EXPECT_EQ(failure(3).reason, "STATE_UNKNOWN");
  EXPECT_EQ(failure(4).reason, "ORDER_NUMBER_IN_USE");
  EXPECT_EQ(failure(4).metadata.at("order_id"), taken);
  EXPECT_EQ(failure(5).reason, "INVALID_REQUEST");
  EXPECT_THAT(failure(6).fields, testing::Contains("order.order_number"));
  EXPECT_THAT(failure(7).fields, testing::ElementsAre("state_id", "invoice_number"));
  for (const auto& answer : answers) {
    EXPECT_EQ(answer.order_id().empty(), answer.result() == kRefused);
  }
  pb::ListOrdersRequest list;
  EXPECT_EQ(call(&Orders::ListOrders, list).orders_size(), 4);
}

TEST_P(ImportTest, TheOrderOfTheStreamDecidesWhoGetsANumber) {
  std::vector<pb::ImportOrdersRequest> requests;
  std::vector<pb::ImportResult> expected;
  for (int i = 0; i < 300; ++i) {
    const std::string number = "N-" + std::to_string(i);
    requests.push_back(new_import(number));
    expected.push_back(kCreated);
    requests.push_back(requests.back());
    expected.push_back(kUnchanged);
    requests.push_back(requests.back());
    requests.back().mutable_order()->mutable_customer()->set_name("Eve");
    expected.push_back(kConflict);
    requests.push_back(new_import(number + "b"));
    requests.back().set_invoice_number("shared");
    expected.push_back(i == 0 ? kCreated : kRefused);
  }
  const auto answers = import(requests);
  EXPECT_EQ(results(answers), expected);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].order_number(), requests[i].order().order_number());
  }
  const std::string before = settings_etag();
  expected[0] = kUnchanged;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == kCreated) expected[i] = kUnchanged;
  }
  EXPECT_EQ(results(import(requests)), expected);
}

TEST_P(ImportTest, SeveralStreamsOfTheSameOrdersCreateEachOnce) {
  std::vector<pb::ImportOrdersRequest> requests;
  for (int i = 0; i < 200; ++i) requests.push_back(new_import("N-" + std::to_string(i)));
  std::atomic<int> created = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const auto result : results(import(requests))) {
        EXPECT_TRUE(result == kCreated || result == kUnchanged) << result;
        created += result == kCreated;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(created, 200);
}

TEST_P(ImportTest, WaitsForRoomInsteadOfRefusing) {
  stop();
  limits_.queue_commands = 3;
  start();
  std::vector<pb::ImportOrdersRequest> requests;
  for (int i = 0; i < 600; ++i) requests.push_back(new_import("N-" + std::to_string(i)));
  const auto answers = import(requests);
  EXPECT_EQ(results(answers), std::vector(600, kCreated));
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].order_number(), requests[i].order().order_number());
  }
}

TEST_P(ImportTest, ACallerThatGoesWhileItWaitsForRoomIsLetGo) {
  stop();
  limits_.queue_commands = 0;
  start();
  grpc::ClientContext context;
  set_deadline(context);
  const auto stream = orders_->ImportOrders(&context);
  ASSERT_TRUE(stream->Write(new_import("N-1")));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  stop();  // hangs if the stream is not let go
  start();
}

TEST_P(ImportTest, AnswersWhileTheStreamIsOpen) {
  grpc::ClientContext context;
  set_deadline(context);
  const auto stream = orders_->ImportOrders(&context);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(stream->Write(new_import("N-" + std::to_string(i))));
    pb::ImportOrdersResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.result(), kCreated);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_P(ImportTest, AnEmptyStreamAndACanceledOne) {
  EXPECT_TRUE(import({}).empty());
  EXPECT_EQ(reports("ImportOrders", absl::StatusCode::kOk), 1);
  grpc::ClientContext context;
  set_deadline(context);
  const auto stream = orders_->ImportOrders(&context);
  for (int i = 0; i < 100; ++i) stream->Write(new_import("N-" + std::to_string(i)));
  pb::ImportOrdersResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  while (stream->Read(&response)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // What was answered is there, and the rest can be sent again.
  std::vector<pb::ImportOrdersRequest> requests;
  for (int i = 0; i < 100; ++i) requests.push_back(new_import("N-" + std::to_string(i)));
  const auto again = results(import(requests));
  EXPECT_EQ(again[0], kUnchanged);
  EXPECT_THAT(again, testing::Each(testing::AnyOf(kCreated, kUnchanged)));
}

}  // namespace
}  // namespace orderd::test
