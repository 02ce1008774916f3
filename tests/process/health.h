#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace orderd::test {

/// What a server says to those who ask whether it lives, or serves.
class Health {
 public:
  explicit Health(const std::string& address)
      : stub_(grpc::health::v1::Health::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {}

  /// Of the process, whatever its database does.
  bool lives() const { return serving(""); }
  bool serves() const { return serving("orders.v1.OrderService"); }
  /// Returns when it does, or does not. Fails the test if that takes too long.
  void wait_until_it_serves(bool wanted = true) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("orders.v1.OrderService");
    const auto stream = stub_->Watch(&context, request);
    grpc::health::v1::HealthCheckResponse response;
    while (stream->Read(&response)) {
      const bool serves = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
      if (serves != wanted) continue;
      context.TryCancel();
      return;
    }
    ADD_FAILURE() << (wanted ? "it does not serve" : "it serves still");
  }

 private:
  bool serving(const std::string& service) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const auto status = stub_->Check(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  }

  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
};

}  // namespace orderd::test
