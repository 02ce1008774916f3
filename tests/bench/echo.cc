#include "tests/bench/echo.h"

#include <grpcpp/server_builder.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <map>
#include <mutex>
#include <vector>

#include "orders/v1/order_service.grpc.pb.h"

namespace orderd::bench {
namespace {

/// No caller and no server has to know the answers: any method serves.
class Echo final : public ::orders::v1::OrderService::WithRawCallbackMethod_GetOrder<
                       ::orders::v1::OrderService::Service> {
 public:
  grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    *response = answer(*request);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  grpc::ByteBuffer answer(const grpc::ByteBuffer& request) {
    std::vector<grpc::Slice> slices;
    std::string digits;
    if (!request.Dump(&slices).ok()) return {};
    for (const grpc::Slice& slice : slices) {
      digits.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    std::size_t size = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), size);
    std::lock_guard lock(mutex_);
    grpc::Slice& made = answers_[size];
    if (made.size() != size) made = grpc::Slice(std::string(size, 'x'));
    return {&made, 1};
  }

  std::mutex mutex_;
  std::map<std::size_t, grpc::Slice> answers_;
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
