#pragma once

#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "orders/v1/order_service.grpc.pb.h"
#include "orders/v1/settings_service.grpc.pb.h"
#include "server/ops/gateways.h"
#include "server/payments/accounts.h"
#include "server/payments/processor.h"
#include "server/rpc/server.h"
#include "storage/wall_clock.h"
#include "tests/support/test_database.h"

// A server in this process, and the generated stubs on a real channel to it.

namespace orderd::test {

using Orders = pb::OrderService::Stub;
using States = pb::OrderSettingsService::Stub;

/// An error as a client sees it.
struct Failure {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason;
  std::string message;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> fields;
  bool has_resource = false;
  bool has_precondition = false;
  bool has_retry = false;
};

inline Failure failure_of(const google::rpc::Status& status) {
  Failure failure;
  failure.code = static_cast<grpc::StatusCode>(status.code());
  failure.message = status.message();
  for (const auto& detail : status.details()) {
    if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
      EXPECT_EQ(info.domain(), "orders.v1");
      failure.reason = info.reason();
      failure.metadata = {info.metadata().begin(), info.metadata().end()};
    }
    if (google::rpc::BadRequest bad; detail.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        failure.fields.push_back(violation.field());
      }
    }
    failure.has_resource |= detail.Is<google::rpc::ResourceInfo>();
    failure.has_precondition |= detail.Is<google::rpc::PreconditionFailure>();
    failure.has_retry |= detail.Is<google::rpc::RetryInfo>();
  }
  return failure;
}

inline Failure failure_of(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  if (!status.error_details().empty()) {
    EXPECT_EQ(details.code(), status.error_code());
  }
  details.set_code(status.error_code());
  return failure_of(details);
}

class RpcTest : public DatabaseTest {
 protected:
  static void SetUpTestSuite() {
    spdlog::set_level(spdlog::level::warn);
    google::protobuf::SetLogHandler(nullptr);  // it reports the invalid UTF-8 that tests send
  }
  void SetUp() override { start(); }
  void TearDown() override { stop(); }

  void start() {
    storage_ = storage::open(url(), {});
    parts_ = make_parts(*storage_);
    server_ = std::make_unique<rpc::Server>(
        "127.0.0.1:0", parts_->backend(storage_->secret()),
        [this](const rpc::CallReport& report) {
          std::lock_guard lock(reports_mutex_);
          ++reports_[{std::string(report.method), report.code}];
          reported_.notify_all();
        },
        rpc_limits_, entrance());
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    orders_ = pb::OrderService::NewStub(channel_);
    states_ = pb::OrderSettingsService::NewStub(channel_);
  }

  void stop() {
    orders_.reset();
    states_.reset();
    channel_.reset();
    server_.reset();
    parts_.reset();
    storage_.reset();
  }

  Orders& stub(const Orders*) { return *orders_; }
  States& stub(const States*) { return *states_; }

  /// More than any call takes; only a hang reaches it.
  static void set_deadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  template <class Stub, class Request, class Response>
  grpc::Status send(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    set_deadline(context);
    return (stub(static_cast<Stub*>(nullptr)).*method)(&context, request, &response);
  }

  template <class Stub, class Request, class Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    Response response;
    const grpc::Status status = send(method, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message() << "\n" << request.ShortDebugString();
    return response;
  }

  template <class Stub, class Request, class Response>
  Failure refusal(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request) {
    Response response;
    return failure_of(send(method, request, response));
  }

  pb::Order create(const pb::NewOrder& order) {
    pb::CreateOrderRequest request;
    *request.mutable_order() = order;
    return call(&Orders::CreateOrder, request).order();
  }

  pb::Order get(const std::string& order_id) {
    pb::GetOrderRequest request;
    request.set_order_id(order_id);
    return call(&Orders::GetOrder, request).order();
  }

  pb::UpdateOrderStatusResponse move(const std::string& order_id, const std::string& state_id) {
    pb::UpdateOrderStatusRequest request;
    request.set_order_id(order_id);
    request.set_state_id(state_id);
    return call(&Orders::UpdateOrderStatus, request);
  }

  std::vector<pb::ImportOrdersResponse> import(const std::vector<pb::ImportOrdersRequest>& requests,
                                               grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    set_deadline(context);
    const auto stream = orders_->ImportOrders(&context);
    std::thread writer([&] {
      for (const auto& request : requests) {
        if (!stream->Write(request)) break;
      }
      stream->WritesDone();
    });
    std::vector<pb::ImportOrdersResponse> responses;
    for (pb::ImportOrdersResponse response; stream->Read(&response);) responses.push_back(response);
    writer.join();
    const grpc::Status end = stream->Finish();
    if (status != nullptr) {
      *status = end;
    } else {
      EXPECT_TRUE(end.ok()) << end.error_message();
    }
    return responses;
  }

  std::string settings_etag() { return call(&States::ListOrderStates, {}).settings_etag(); }

  /// All that a client can see of the database: every order, its notes, the settings.
  std::string content() {
    std::string all = settings_etag();
    pb::ListOrdersRequest request;
    request.set_page_size(1000);
    request.set_view(pb::ORDER_VIEW_FULL);
    const auto page = call(&Orders::ListOrders, request);
    for (const auto& order : page.orders()) {
      all += order.ShortDebugString();
      pb::ListNotesRequest notes;
      notes.set_order_id(order.order_id());
      all += call(&Orders::ListNotes, notes).ShortDebugString();
    }
    return all;
  }

  int reports(const std::string& method, absl::StatusCode code) {
    std::lock_guard lock(reports_mutex_);
    const auto it = reports_.find({method, code});
    return it == reports_.end() ? 0 : it->second;
  }

  void wait_for_report(const std::string& method, absl::StatusCode code) {
    std::unique_lock lock(reports_mutex_);
    EXPECT_TRUE(reported_.wait_for(lock, std::chrono::seconds(60), [&] {
      return reports_.contains({method, code});
    }));
  }

  /// What stands behind a server.
  struct Parts {
    Parts(storage::Storage& storage, const engine::Limits& limits,
          const payments::Processor::Options& options, const watch::Feed::Options& feed_options,
          bool keys_may_be_missing)
        : cache(64u << 20),
          settings(std::make_shared<const Settings>(
              storage.begin_read(storage::Clock::now() + std::chrono::seconds(30))
                  ->load_settings())),
          feed(storage, feed_options),
          engine(storage, cache, settings, limits, &feed),
          reader(storage, cache, {}),
          editor(storage, settings),
          keyring(keys_may_be_missing, wall_clock),
          keys(storage, keyring, wall_clock),
          eraser(storage, engine),
          accounts({}),
          processor(engine, reader, accounts, io, options) {
      eraser.set_secret(storage.secret());
    }
    ~Parts() {
      processor.stop();
      io.stop();
      timers.join();
    }

    rpc::Backend backend(std::string secret) {
      return {engine, reader, settings, editor, eraser, processor, feed, keys, std::move(secret)};
    }

    engine::OrderCache cache;
    engine::SettingsCache settings;
    watch::Feed feed;
    engine::Engine engine;
    engine::Reader reader;
    engine::SettingsEditor editor;
    access::Keyring keyring;
    access::KeyEditor keys;
    engine::Eraser eraser;
    boost::asio::io_context io;
    payments::Accounts accounts;
    payments::Processor processor;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
        io.get_executor()};
    std::thread timers{[this] { io.run(); }};
  };

  std::unique_ptr<Parts> make_parts(storage::Storage& storage) {
    auto parts = std::make_unique<Parts>(storage, limits_, processor_options_, feed_options_,
                                         keys_may_be_missing_);
    ops::open_gateways({}, parts->accounts);
    add_accounts(parts->accounts);
    return parts;
  }
  /// Everybody is let in.
  virtual rpc::Entrance entrance() { return {}; }
  /// Beside "external".
  virtual void add_accounts(payments::Accounts&) {}

  engine::Limits limits_;
  rpc::Limits rpc_limits_;
  payments::Processor::Options processor_options_;
  watch::Feed::Options feed_options_;
  /// As of access::Keyring.
  bool keys_may_be_missing_ = true;
  std::unique_ptr<storage::Storage> storage_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Orders> orders_;
  std::unique_ptr<States> states_;
  std::mutex reports_mutex_;  // guards what follows
  std::condition_variable reported_;
  std::map<std::pair<std::string, absl::StatusCode>, int> reports_;
};

inline constexpr const char* kUnknownId = "01890000-0000-7000-8000-000000000000";

inline std::string new_request_id() { return Uuid::generate().to_string(); }

inline pb::Money eur(std::int64_t minor) {
  pb::Money money;
  money.set_currency_code("EUR");
  money.set_amount_minor(minor);
  return money;
}

/// 2 x 10.00 + 1 x 0 EUR.
inline pb::NewOrder new_order(const std::string& number = "") {
  pb::NewOrder order;
  order.set_order_number(number);
  order.mutable_customer()->set_name("Ada");
  order.mutable_customer()->set_email("ada@example.com");
  auto* cup = order.add_items();
  cup->set_sku("CUP");
  cup->set_quantity(2);
  *cup->mutable_unit_price() = eur(1000);
  auto* sample = order.add_items();
  sample->set_sku("CUP");
  sample->set_quantity(1);
  *sample->mutable_unit_price() = eur(0);
  (*order.mutable_labels())["channel"] = "web";
  return order;
}

inline pb::ImportOrdersRequest new_import(const std::string& number) {
  pb::ImportOrdersRequest request;
  *request.mutable_order() = new_order(number);
  return request;
}

inline std::string repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace orderd::test
