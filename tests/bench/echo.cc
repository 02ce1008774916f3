#include "tests/bench/echo.h"

#include <grpcpp/server_builder.h>

#include <csignal>
#include <cstdio>

#include "orders/v1/order_service.grpc.pb.h"

namespace orderd::bench {
namespace {

/// What is sent does not matter, so any method serves.
class Echo final : public ::orders::v1::OrderService::WithRawCallbackMethod_GetOrder<
                       ::orders::v1::OrderService::Service> {
 public:
  grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    *response = *request;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

const std::string kEchoMethod = "/orders.v1.OrderService/GetOrder";

void serve_echo() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  Echo echo;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  const auto server = builder.BuildAndStart();
  std::printf("echo listening on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown();
}

}  // namespace orderd::bench
