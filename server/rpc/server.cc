#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>

#include <mutex>
#include <stdexcept>
#include <utility>

#include "grpc/health/v1/health.pb.h"

namespace orderd::rpc {
namespace {

/// gRPC refuses larger messages by itself, and ends the call.
constexpr int kMaxReceiveBytes = 16 << 20;

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

Server::Server(const std::string& address, Backend backend, CallObserver observer)
    : backend_(std::move(backend)), orders_(guard_, backend_), settings_(guard_, backend_) {
  guard_.observer = std::move(observer);
  enable_health_and_reflection();
  grpc::ServerBuilder builder;
  // Otherwise a second server could share the port, and the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(&orders_);
  builder.RegisterService(&settings_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    throw std::runtime_error("can't listen on " + address + "; is the port taken?");
  }
  auto* health = server_->GetHealthCheckService();
  health->SetServingStatus(pb::OrderService::service_full_name(), true);
  health->SetServingStatus(pb::OrderSettingsService::service_full_name(), true);
}

Server::~Server() { shutdown(std::chrono::milliseconds(0)); }

void Server::shutdown(std::chrono::milliseconds drain) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->Shutdown();
  server_->Shutdown(std::chrono::system_clock::now() + drain);
  server_->Wait();
  server_.reset();
}

}  // namespace orderd::rpc
