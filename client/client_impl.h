#pragma once

#include <memory>

#include "client/client.h"
#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "orders/v1/order_service.grpc.pb.h"
#include "orders/v1/settings_service.grpc.pb.h"

namespace orderd::client {

/// Immutable after construction, and so shared between threads without a lock.
struct Client::Impl {
  Impl(std::shared_ptr<grpc::Channel> channel, Options with_all_set);

  const Options options;
  const std::unique_ptr<pb::OrderService::Stub> orders;
  const std::unique_ptr<pb::OrderSettingsService::Stub> settings;
  const std::unique_ptr<sandbox::SandboxService::Stub> gateway;
};

}  // namespace orderd::client
