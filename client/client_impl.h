#pragma once

#include <memory>

#include "client/client.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "orders/v1/access_service.grpc.pb.h"
#include "orders/v1/order_service.grpc.pb.h"
#include "orders/v1/settings_service.grpc.pb.h"

namespace orderd::client {

/// Immutable after construction, and so shared between threads without a lock.
struct Client::Impl {
  /// `own_channel`: it was made here, so another one like it can be made.
  Impl(std::shared_ptr<grpc::Channel> channel, Options options_given, bool own_channel);

  /// The same over a new connection, which nobody shares. Null if the channel is the caller's: only
  /// they can make another one.
  std::shared_ptr<Impl> over_new_connection() const;

  /// As the caller gave them, with the key from its file.
  const Options given;
  const bool owns_channel;
  /// With all set.
  const Options options;
  const std::unique_ptr<pb::OrderService::Stub> orders;
  const std::unique_ptr<pb::OrderSettingsService::Stub> settings;
  const std::unique_ptr<pb::AccessService::Stub> access;
  const std::unique_ptr<sandbox::SandboxService::Stub> gateway;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health;
};

}  // namespace orderd::client
