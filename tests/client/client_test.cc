#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <ranges>
#include <stdexcept>
#include <thread>

#include "tests/client/fake_server.h"
#include "tests/client/fake_time.h"

namespace orderd::client {
namespace {

using orderd::testing::FakeServer;
using orderd::testing::FakeTime;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::StartsWith;

static_assert(std::ranges::input_range<PagedRange<pb::Order>>);

class ClientTest : public ::testing::Test {
 protected:
  FakeServer server_;
  FakeTime time_;
  Client client_{time_.options(server_.address())};
};

TEST_F(ClientTest, EachMethodIsItsRpcAndMutationsHaveARequestId) {
  const std::vector<std::pair<std::string, std::function<absl::Status()>>> mutations = {
      {"CreateOrder", [&] { return client_.create_order({}).status(); }},
      {"UpdateOrder", [&] { return client_.update_order({}).status(); }},
      {"UpdateOrderStatus", [&] { return client_.update_order_status({}).status(); }},
      {"BatchUpdateOrderStatus", [&] { return client_.batch_update_order_status({}).status(); }},
      {"UpdateInvoice", [&] { return client_.update_invoice({}).status(); }},
      {"UpdateShipments", [&] { return client_.update_shipments({}).status(); }},
      {"AddPayment", [&] { return client_.add_payment({}).status(); }},
      {"CapturePayment", [&] { return client_.capture_payment({}).status(); }},
      {"VoidPayment", [&] { return client_.void_payment({}).status(); }},
      {"RefundPayment", [&] { return client_.refund_payment({}).status(); }},
      {"SyncPayments", [&] { return client_.sync_payments({}).status(); }},
      {"ResolveTransaction", [&] { return client_.resolve_transaction({}).status(); }},
      {"CancelOrder", [&] { return client_.cancel_order({}).status(); }},
      {"AbandonCancellation", [&] { return client_.abandon_cancellation({}).status(); }},
      {"RetryEmail", [&] { return client_.retry_email({}).status(); }},
      {"AddNote", [&] { return client_.add_note({}).status(); }},
      {"UpdateNote", [&] { return client_.update_note({}).status(); }},
      {"DeleteNote", [&] { return client_.delete_note({}).status(); }},
      {"CreateOrderState", [&] { return client_.create_order_state({}).status(); }},
      {"UpdateOrderState", [&] { return client_.update_order_state({}).status(); }},
      {"DeleteOrderState", [&] { return client_.delete_order_state({}).status(); }},
      {"CreateDeliveryState", [&] { return client_.create_delivery_state({}).status(); }},
      {"UpdateDeliveryState", [&] { return client_.update_delivery_state({}).status(); }},
      {"DeleteDeliveryState", [&] { return client_.delete_delivery_state({}).status(); }},
      {"CreateShipmentMethod", [&] { return client_.create_shipment_method({}).status(); }},
      {"UpdateShipmentMethod", [&] { return client_.update_shipment_method({}).status(); }},
      {"DeleteShipmentMethod", [&] { return client_.delete_shipment_method({}).status(); }},
      {"CreateApiKey", [&] { return client_.create_api_key({}).status(); }},
      {"RevokeApiKey", [&] { return client_.revoke_api_key({}).status(); }}};
  for (const auto& [method, call] : mutations) {
    EXPECT_EQ(call(), absl::OkStatus()) << method;
    EXPECT_EQ(server_.calls().back().method, method);
    EXPECT_EQ(server_.calls().back().request_id.size(), 36u) << method;
  }
  const std::vector<std::pair<std::string, std::function<absl::Status()>>> reads = {
      {"GetOrder", [&] { return client_.get_order({}).status(); }},
      {"BatchGetOrders", [&] { return client_.batch_get_orders({}).status(); }},
      {"ListOrders", [&] { return client_.list_orders_page({}).status(); }},
      {"ListNotes", [&] { return client_.list_notes_page({}).status(); }},
      {"ListTransactions", [&] { return client_.list_transactions_page({}).status(); }},
      {"ListUnresolvedTransactions",
       [&] { return client_.list_unresolved_transactions_page({}).status(); }},
      {"ListEmails", [&] { return client_.list_emails_page({}).status(); }},
      {"ListOrderEvents", [&] { return client_.list_order_events_page({}).status(); }},
      {"Authorize", [&] { return client_.authorize_at_sandbox({}).status(); }},
      {"GetOrderState", [&] { return client_.get_order_state({}).status(); }},
      {"ListOrderStates", [&] { return client_.list_order_states({}).status(); }},
      {"GetDeliveryState", [&] { return client_.get_delivery_state({}).status(); }},
      {"ListDeliveryStates", [&] { return client_.list_delivery_states({}).status(); }},
      {"GetShipmentMethod", [&] { return client_.get_shipment_method({}).status(); }},
      {"ListShipmentMethods", [&] { return client_.list_shipment_methods({}).status(); }},
      {"ListApiKeys", [&] { return client_.list_api_keys_page({}).status(); }}};
  for (const auto& [method, call] : reads) {
    EXPECT_EQ(call(), absl::OkStatus()) << method;
    EXPECT_EQ(server_.calls().back().method, method);
  }
}

TEST_F(ClientTest, SaysWhoItIs) {
  Options options = time_.options(server_.address());
  options.user_agent = "warehouse/3";
  EXPECT_TRUE(Client(options).get_order({}).ok());
  EXPECT_THAT(server_.calls().back().user_agent, StartsWith("warehouse/3 "));
}

TEST_F(ClientTest, SendsItsKeyWithEveryCall) {
  EXPECT_TRUE(client_.get_order({}).ok());
  EXPECT_EQ(server_.calls().back().authorization, "");

  const std::string file = ::testing::TempDir() + "/key-of-client-test";
  std::ofstream(file) << " ord_from_file\n";
  Options options = time_.options(server_.address());
  options.api_key_file = file;
  const Client from_file(options);
  std::remove(file.c_str());
  EXPECT_TRUE(from_file.get_order({}).ok());
  EXPECT_EQ(server_.calls().back().authorization, "Bearer ord_from_file");
  EXPECT_THROW(Client{options}, std::runtime_error);

  options.api_key = "ord_given";
  const Client client(options);
  EXPECT_TRUE(client.update_invoice({}).ok());
  EXPECT_EQ(server_.calls().back().authorization, "Bearer ord_given");
  server_.on_watch = [](int, grpc::ServerContext&, const pb::WatchOrdersRequest&,
                        FakeServer::WatchWriter&) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "");
  };
  EXPECT_EQ(client.watch_orders({}, [](const auto&) { return true; }).code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(server_.calls().back().method, "WatchOrders");
  EXPECT_EQ(server_.calls().back().authorization, "Bearer ord_given");
  server_.on_import = [](int, grpc::ServerContext&, FakeServer::ImportStream&) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "");
  };
  EXPECT_EQ(client
                .import_orders([] { return std::optional(pb::ImportOrdersRequest()); },
                               [](const ImportAnswer&) {})
                .code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(server_.calls().back().method, "ImportOrders");
  EXPECT_EQ(server_.calls().back().authorization, "Bearer ord_given");

  options.tls.emplace().ca_file = "/no/such/file";
  EXPECT_THROW(Client{options}, std::runtime_error);
}

TEST_F(ClientTest, WorksOverAChannelOfTheCallers) {
  const Client client(grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials()));
  EXPECT_TRUE(client.get_order({}).ok());
}

TEST_F(ClientTest, SharesOneClientBetweenThreads) {
  std::atomic<int> ok = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, client = client_] {
      for (int n = 0; n < 50; ++n) ok += client.update_invoice({}).ok() ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ok, 400);
  std::set<std::string> ids;
  for (const auto& call : server_.calls()) ids.insert(call.request_id);
  EXPECT_EQ(ids.size(), 400u);
}

TEST_F(ClientTest, DecodesTheDetailsOfAnError) {
  google::rpc::Status rich = rich_error(grpc::INVALID_ARGUMENT, "INVALID_REQUEST", 2345);
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("order.items[0].quantity");
  violation->set_description("must be at least 1");
  bad.add_field_violations()->set_field("order.order_number");
  rich.add_details()->PackFrom(bad);
  google::rpc::ResourceInfo resource;
  resource.set_resource_type("order");
  resource.set_resource_name("42");
  rich.add_details()->PackFrom(resource);
  server_.fail_next(to_grpc(rich));

  const auto response = client_.create_order({});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument);
  for (const auto& status : {response.status(), to_status(rich)}) {
    const ErrorDetails error = details(status);
    EXPECT_EQ(error.reason, "INVALID_REQUEST");
    EXPECT_EQ(error.domain, "orders.v1");
    EXPECT_THAT(error.metadata, ElementsAre(Pair("current_etag", "7")));
    ASSERT_EQ(error.field_violations.size(), 2u);
    EXPECT_EQ(error.field_violations[0].field, "order.items[0].quantity");
    EXPECT_EQ(error.field_violations[0].description, "must be at least 1");
    EXPECT_EQ(error.field_violations[1].field, "order.order_number");
    EXPECT_EQ(error.resource_type, "order");
    EXPECT_EQ(error.resource_name, "42");
    EXPECT_EQ(error.retry_delay, std::chrono::milliseconds(2345));
  }
}

TEST(ErrorDetails, AreEmptyWhereThereAreNone) {
  for (const auto& status : {absl::OkStatus(), absl::NotFoundError("no such file")}) {
    const ErrorDetails error = details(status);
    EXPECT_EQ(error.reason, "");
    EXPECT_TRUE(error.metadata.empty());
    EXPECT_TRUE(error.field_violations.empty());
    EXPECT_FALSE(error.retry_delay);
  }
}

TEST_F(ClientTest, ARetriedCaptureIsTheSameCapture) {
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "connection lost"), 2);
  server_.fail_next(to_grpc(rich_error(grpc::ABORTED, "PAYMENT_BUSY", 20)));
  EXPECT_TRUE(client_.capture_payment({}).ok());
  std::set<std::string> ids;
  for (const auto& call : server_.calls()) ids.insert(call.request_id);
  EXPECT_EQ(server_.calls().size(), 4u);
  EXPECT_EQ(ids.size(), 1u);
}

TEST_F(ClientTest, ARetriedCancellationIsTheSameCancellation) {
  pb::CancelOrderRequest request;
  request.set_reason("why");
  request.set_notify_customer(true);
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "connection lost"), 2);
  EXPECT_TRUE(client_.cancel_order(request).ok());
  std::set<std::string> sent;
  for (const auto& call : server_.calls()) sent.insert(call.request);
  EXPECT_EQ(server_.calls().size(), 3u);
  EXPECT_EQ(sent.size(), 1u);
}

TEST_F(ClientTest, AnAuthorizationAtTheSandboxIsTriedOnce) {
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "connection lost"));
  EXPECT_EQ(client_.authorize_at_sandbox({}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_.calls().size(), 1u);
}

class PagingTest : public ClientTest {
 protected:
  PagingTest() {
    server_.on_list_orders = [this](const pb::ListOrdersRequest& request,
                                    pb::ListOrdersResponse& response) {
      const auto& page = pages_.at(request.page_token());
      for (const auto& id : page.ids) response.add_orders()->set_order_id(id);
      response.set_next_page_token(page.next);
    };
  }

  std::vector<std::string> list(const pb::ListOrdersRequest& request = {}) {
    std::vector<std::string> seen;
    for (const auto& order : client_.list_orders(request)) {
      seen.push_back(order.ok() ? order->order_id()
                                : "error " + std::string(order.status().message()));
    }
    return seen;
  }

  struct FakePage {
    std::vector<std::string> ids;
    std::string next;
  };
  std::map<std::string, FakePage> pages_ = {
      {"", {{"a", "b"}, "t1"}}, {"t1", {{}, "t2"}}, {"t2", {{"c"}, "t3"}}, {"t3", {{}, ""}}};
};

TEST_F(PagingTest, WalksAllPagesAlsoEmptyOnes) {
  pb::ListOrdersRequest request;
  request.set_page_size(2);
  request.mutable_filter()->set_open_only(true);
  EXPECT_THAT(list(request), ElementsAre("a", "b", "c"));
  const auto calls = server_.calls();
  ASSERT_EQ(calls.size(), 4u);
  for (const auto& call : calls) {
    pb::ListOrdersRequest sent;
    ASSERT_TRUE(sent.ParseFromString(call.request));
    EXPECT_EQ(sent.page_size(), 2);
    EXPECT_TRUE(sent.filter().open_only());
  }
}

TEST_F(PagingTest, FetchesAPageOnlyWhenItIsNeeded) {
  auto orders = client_.list_orders({});
  EXPECT_EQ(server_.calls().size(), 0u);
  auto order = orders.begin();
  EXPECT_EQ((*order)->order_id(), "a");
  ++order;
  EXPECT_EQ((*order)->order_id(), "b");
  EXPECT_EQ(server_.calls().size(), 1u);
  ++order;
  EXPECT_EQ((*order)->order_id(), "c");
  EXPECT_EQ(server_.calls().size(), 3u);
}

TEST_F(PagingTest, BeginsBehindTheCallersToken) {
  pb::ListOrdersRequest request;
  request.set_page_token("t1");
  EXPECT_THAT(list(request), ElementsAre("c"));
}

TEST_F(PagingTest, AnEmptyListHasNoElements) {
  pages_ = {{"", {{}, ""}}};
  EXPECT_THAT(list(), ElementsAre());
}

TEST_F(PagingTest, AnErrorIsTheLastElement) {
  server_.fail_next(grpc::Status::OK);
  server_.fail_next(to_grpc(rich_error(grpc::INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")));
  EXPECT_THAT(list(), ElementsAre("a", "b", "error refused: PAGE_TOKEN_INVALID"));
}

TEST_F(PagingTest, RetriesEachPage) {
  server_.fail_next(grpc::Status::OK);
  server_.fail_next(grpc::Status(grpc::UNAVAILABLE, "away"), 2);
  EXPECT_THAT(list(), ElementsAre("a", "b", "c"));
}

TEST_F(PagingTest, DoesNotTurnInACircle) {
  pages_["t2"].next = "t2";
  EXPECT_THAT(list(), ElementsAre("a", "b", StartsWith("error the server answered a page")));
}

TEST_F(PagingTest, NotesAreARangeToo) {
  server_.on_list_notes = [](const pb::ListNotesRequest& request, pb::ListNotesResponse& response) {
    response.add_notes()->set_body(request.order_id() + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("next");
  };
  pb::ListNotesRequest request;
  request.set_order_id("o");
  std::vector<std::string> seen;
  for (const auto& note : client_.list_notes(request)) seen.push_back(note->body());
  EXPECT_THAT(seen, ElementsAre("o", "onext"));
}

TEST_F(PagingTest, TransactionsAreARangeToo) {
  server_.on_list_transactions = [](const pb::ListTransactionsRequest& request,
                                    pb::ListTransactionsResponse& response) {
    response.add_transactions()->set_transaction_id(request.order_id() + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("next");
  };
  server_.on_list_unresolved = [](const pb::ListUnresolvedTransactionsRequest& request,
                                  pb::ListUnresolvedTransactionsResponse& response) {
    response.add_payments()->set_order_id(request.gateway_account() + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("next");
  };
  std::vector<std::string> seen;
  pb::ListTransactionsRequest transactions;
  transactions.set_order_id("o");
  for (const auto& each : client_.list_transactions(transactions)) {
    seen.push_back(each->transaction_id());
  }
  pb::ListUnresolvedTransactionsRequest unresolved;
  unresolved.set_gateway_account("a");
  for (const auto& each : client_.list_unresolved_transactions(unresolved)) {
    seen.push_back(each->order_id());
  }
  EXPECT_THAT(seen, ElementsAre("o", "onext", "a", "anext"));
}

TEST_F(PagingTest, EmailsAreARangeToo) {
  server_.on_list_emails = [](const pb::ListEmailsRequest& request,
                              pb::ListEmailsResponse& response) {
    response.add_emails()->set_email_id(request.order_id() + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("next");
  };
  pb::ListEmailsRequest request;
  request.set_order_id("o");
  std::vector<std::string> seen;
  for (const auto& email : client_.list_emails(request)) seen.push_back(email->email_id());
  EXPECT_THAT(seen, ElementsAre("o", "onext"));
}

TEST_F(PagingTest, EventsAreARangeToo) {
  server_.on_list_events = [](const pb::ListOrderEventsRequest& request,
                              pb::ListOrderEventsResponse& response) {
    response.add_events()->set_etag(request.order_id() + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("next");
  };
  pb::ListOrderEventsRequest request;
  request.set_order_id("o");
  std::vector<std::string> seen;
  for (const auto& event : client_.list_order_events(request)) seen.push_back(event->etag());
  EXPECT_THAT(seen, ElementsAre("o", "onext"));
}

TEST_F(PagingTest, OutlivesTheClient) {
  auto orders = Client(time_.options(server_.address())).list_orders({});
  int count = 0;
  for (const auto& order : orders) count += order.ok() ? 1 : 0;
  EXPECT_EQ(count, 3);
}

}  // namespace
}  // namespace orderd::client
