#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
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

}  // namespace

Server::Server(const std::string& address, Backend backend, CallObserver observer,
               Entrance entrance)
    : backend_(std::move(backend)),
      orders_(guard_, backend_),
      settings_(guard_, backend_),
      access_(guard_, backend_),
      credentials_(entrance.credentials != nullptr ? std::move(entrance.credentials)
                                                   : grpc::InsecureServerCredentials()) {
  guard_.observer = std::move(observer);
  if (entrance.authenticator != nullptr) guard_.authenticator = std::move(entrance.authenticator);
  guard_.audit = std::move(entrance.audit);
  enable_health_and_reflection();
  grpc::ServerBuilder builder;
  // Otherwise a second server could share the port, and the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.AddListeningPort(address, credentials_, &port_);
  builder.RegisterService(&orders_);
  builder.RegisterService(&settings_);
  builder.RegisterService(&access_);
  if (SandboxService::wanted(backend_.processor.accounts())) {
    sandbox_.emplace(guard_, backend_);
    builder.RegisterService(&*sandbox_);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    throw std::runtime_error("can't listen on " + address + "; is the port taken?");
  }
  auto* health = server_->GetHealthCheckService();
  health->SetServingStatus(pb::OrderService::service_full_name(), true);
  health->SetServingStatus(pb::OrderSettingsService::service_full_name(), true);
  health->SetServingStatus(pb::AccessService::service_full_name(), true);
}

Server::~Server() { shutdown(std::chrono::milliseconds(0)); }

void Server::shutdown(std::chrono::milliseconds drain) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->Shutdown();
  backend_.feed.stop();
  // gRPC waits until the clients have closed their connections, and idle ones take their time; a
  // call that arrives while it waits it cancels without a word. So the waiting is done here.
  guard_.running.drain(drain);
  // What waits for a gateway's threads could wait for long; it is answered with what is known.
  backend_.processor.drop_waiting();
  server_->Shutdown(std::chrono::system_clock::now() + std::min(drain, kLastAnswers));
  server_->Wait();
  server_.reset();
}

}  // namespace orderd::rpc
