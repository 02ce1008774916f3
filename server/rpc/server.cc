#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "grpc/health/v1/health.pb.h"

namespace orderd::rpc {
namespace {

/// gRPC refuses larger messages by itself, and ends the call.
constexpr int kMaxReceiveBytes = 16 << 20;
/// Of one call; what credentials and trace context need is far below it.
constexpr int kMaxMetadataBytes = 8 << 10;
/// Clients may ask this often whether the server is there.
constexpr int kMinClientPingMs = 10'000;
/// For answers that are still on their way to the socket.
constexpr std::chrono::milliseconds kLastAnswers{100};

void enable_health_and_reflection() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // gRPC's health service has no descriptors of its own for reflection to find.
    grpc::health::v1::HealthCheckRequest::descriptor();
  });
}

int to_ms(std::chrono::milliseconds time) { return static_cast<int>(time.count()); }

void set_limits(const Limits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("orderd").Resize(limits.memory_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, to_ms(limits.handshake));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, to_ms(limits.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, to_ms(limits.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinClientPingMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, to_ms(limits.idle));
}

}  // namespace

Server::Server(const std::string& address, Backend backend, CallObserver observer,
               const Limits& limits, Entrance entrance)
    : backend_(std::move(backend)),
      guard_(limits),
      orders_(guard_, backend_),
      settings_(guard_, backend_),
      access_(guard_, backend_),
      credentials_(entrance.credentials != nullptr ? std::move(entrance.credentials)
                                                   : grpc::InsecureServerCredentials()),
      listener_(address, limits.connections) {
  guard_.observer = std::move(observer);
  if (entrance.authenticator != nullptr) guard_.authenticator = std::move(entrance.authenticator);
  guard_.audit = std::move(entrance.audit);
  guard_.ready = !backend_.secret.empty();
  enable_health_and_reflection();
  grpc::ServerBuilder builder;
  set_limits(limits, builder);
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials_);
  builder.RegisterService(&orders_);
  builder.RegisterService(&settings_);
  builder.RegisterService(&access_);
  if (SandboxService::wanted(backend_.processor.accounts())) {
    sandbox_.emplace(guard_, backend_);
    builder.RegisterService(&*sandbox_);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) throw std::runtime_error("gRPC can't serve");
  set_ready(guard_.ready);
  listener_.start(std::move(acceptor), [this] { guard_.running.cut_unread(guard_.limits.unread); });
}

void Server::begin(std::string secret) {
  orders_.set_secret(secret);
  access_.set_secret(secret);
  if (sandbox_) sandbox_->set_secret(std::move(secret));
  set_ready(true);
}

void Server::set_ready(bool ready) {
  guard_.ready = ready;
  // The server as a whole (the empty name) serves also without its database: it lives, and there is
  // nothing that a restart could help.
  auto* health = server_->GetHealthCheckService();
  health->SetServingStatus(pb::OrderService::service_full_name(), ready);
  health->SetServingStatus(pb::OrderSettingsService::service_full_name(), ready);
  health->SetServingStatus(pb::AccessService::service_full_name(), ready);
}

Server::~Server() { shutdown(std::chrono::milliseconds(0)); }

void Server::shutdown(std::chrono::milliseconds drain) {
  if (server_ == nullptr || std::exchange(shut_down_, true)) return;
  server_->GetHealthCheckService()->Shutdown();
  guard_.running.refuse_new();
  backend_.feed.end_watchers();
  // gRPC waits until the clients have closed their connections, and idle ones take their time; a
  // call that arrives while it waits it cancels without a word. So the waiting is done here.
  guard_.running.wait(drain);
  // A gateway can take long, so who waits for one is answered with what is known.
  backend_.processor.drop_waiting();
  listener_.stop();
  server_->Shutdown(std::chrono::system_clock::now() + std::min(drain, kLastAnswers));
  server_->Wait();
}

}  // namespace orderd::rpc
