#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/generic/generic_stub.h>

#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/rpc/payments_fixture.h"

// The server around the services: health, reflection, the guard, shutdown.

namespace orderd::test {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class ServerTest : public RpcTest {};
INSTANTIATE_TEST_SUITE_P(, ServerTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(ServerTest, Health) {
  const auto health = Health::NewStub(channel_);
  for (const char* service : {"", "orders.v1.OrderService", "orders.v1.OrderSettingsService"}) {
    grpc::ClientContext context;
    set_deadline(context);
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    ASSERT_TRUE(health->Check(&context, request, &response).ok()) << service;
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  grpc::ClientContext context;
  set_deadline(context);
  HealthCheckRequest request;
  request.set_service("no.such.Service");
  HealthCheckResponse response;
  EXPECT_EQ(health->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

/// Asks reflection with one field set and returns the raw answer; its messages are not generated.
std::string reflect(const std::shared_ptr<grpc::Channel>& channel, int field,
                    const std::string& value) {
  google::protobuf::UnknownFieldSet request;
  request.AddLengthDelimited(field, value);
  const std::string bytes = [&] {
    std::string text;
    request.SerializeToString(&text);
    return text;
  }();
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  EXPECT_TRUE(wait());
  grpc::Slice slice(bytes);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  EXPECT_TRUE(wait());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  EXPECT_TRUE(wait());
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(answer.Dump(&slices).ok());
  std::string flat;
  for (const auto& part : slices) {
    flat.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  call->WritesDone(nullptr);
  wait();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  return flat;
}

TEST_P(ServerTest, Reflection) {
  const std::string services = reflect(channel_, 7, "");
  for (const char* service :
       {"orders.v1.OrderService", "orders.v1.OrderSettingsService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, testing::HasSubstr(service));
    EXPECT_THAT(reflect(channel_, 4, service), testing::HasSubstr("proto3")) << service;
  }
  // Only where an account is a sandbox.
  EXPECT_THAT(services, testing::Not(testing::HasSubstr("orders.sandbox.v1.SandboxService")));
}

class SandboxReflectionTest : public PaymentsRpcTest {};
ORDERD_ON_BOTH_DATABASES(SandboxReflectionTest);

TEST_P(SandboxReflectionTest, ShowsTheServiceOfTheSandbox) {
  EXPECT_THAT(reflect(channel_, 7, ""), testing::HasSubstr("orders.sandbox.v1.SandboxService"));
}

TEST_P(ServerTest, EveryCallIsReportedOnce) {
  create(new_order());
  pb::GetOrderRequest request;
  refusal(&Orders::GetOrder, request);
  request.set_order_id(kUnknownId);
  refusal(&Orders::GetOrder, request);
  EXPECT_EQ(reports("CreateOrder", absl::StatusCode::kOk), 1);
  EXPECT_EQ(reports("GetOrder", absl::StatusCode::kInvalidArgument), 1);
  EXPECT_EQ(reports("GetOrder", absl::StatusCode::kNotFound), 1);
}

TEST_P(ServerTest, APortThatIsTakenIsAnError) {
  EXPECT_THROW(
      rpc::Server("127.0.0.1:" + std::to_string(server_->port()), parts_->backend("secret")),
      std::runtime_error);
}

TEST_P(ServerTest, ShutdownLetsCallsEnd) {
  // An import that is open and idle, and calls that run, while the server goes.
  grpc::ClientContext context;
  set_deadline(context);
  const auto stream = orders_->ImportOrders(&context);
  ASSERT_TRUE(stream->Write(new_import("N-1")));
  pb::ImportOrdersResponse response;
  ASSERT_TRUE(stream->Read(&response));
  std::atomic<bool> over = false;
  std::thread caller([&] {
    while (!over) {
      pb::CreateOrderRequest request;
      *request.mutable_order() = new_order();
      pb::CreateOrderResponse created;
      const grpc::Status status = send(&Orders::CreateOrder, request, created);
      EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                  status.error_code() == grpc::StatusCode::CANCELLED)
          << status.error_message();
    }
  });
  server_->shutdown(std::chrono::milliseconds(200));
  over = true;
  caller.join();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_P(ServerTest, AFullQueueIsOverloadedWithADelay) {
  const std::string id = create(new_order()).order_id();
  stop();
  limits_.queue_commands = 0;
  start();
  pb::AddNoteRequest note;
  note.set_order_id(id);
  note.set_body("too much");
  const Failure failure = refusal(&Orders::AddNote, note);
  EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(failure.reason, "OVERLOADED");
  EXPECT_TRUE(failure.has_retry);
  EXPECT_EQ(get(id).note_count(), 0);
}

TEST_P(ServerTest, ADeadlineEndsACallThatWaitsForTheDatabase) {
  const std::string id = create(new_order()).order_id();
  auto blocker = storage_->begin_write(storage::Clock::now() + std::chrono::seconds(30));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  pb::AddNoteRequest note;
  note.set_order_id(id);
  note.set_body("too late");
  pb::AddNoteResponse response;
  EXPECT_EQ(orders_->AddNote(&context, note, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // The engine, tired of waiting for a session, drops the command before it tries again.
  wait_for_report("AddNote", absl::StatusCode::kDeadlineExceeded);
  blocker.reset();
  EXPECT_EQ(get(id).note_count(), 0);
}

TEST_P(ServerTest, AStoppedEngineIsUnavailable) {
  const std::string id = create(new_order()).order_id();
  parts_->engine.stop();
  pb::AddNoteRequest note;
  note.set_order_id(id);
  note.set_body("late");
  const Failure failure = refusal(&Orders::AddNote, note);
  EXPECT_EQ(failure.code, grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(failure.has_retry);
  pb::BatchUpdateOrderStatusRequest batch;
  batch.add_updates()->set_order_id(id);
  batch.mutable_updates(0)->set_state_id("processing");
  EXPECT_EQ(refusal(&Orders::BatchUpdateOrderStatus, batch).code, grpc::StatusCode::UNAVAILABLE);
  grpc::Status status;
  EXPECT_TRUE(import({new_import("N-1"), new_import("N-2")}, &status).empty());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace orderd::test
