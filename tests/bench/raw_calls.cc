#include "tests/bench/raw_calls.h"

#include <grpcpp/create_channel.h>

#include <atomic>
#include <cstdio>
#include <future>
#include <stdexcept>
#include <utility>

namespace orderd::bench {
namespace {

grpc::ByteBuffer to_buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

/// What goes wrong is said once; the rest is counted.
void complain_once(const std::string& method, const grpc::Status& status) {
  static std::atomic<bool> said = false;
  if (said.exchange(true)) return;
  std::fprintf(stderr, "%s failed: %s\n", method.c_str(), status.error_message().c_str());
}

}  // namespace

RawCalls::RawCalls(const std::string& server, int channels, int callers)
    : calls_(static_cast<std::size_t>(callers)) {
  for (int i = 0; i < channels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("bench.channel", i);  // equal arguments would share one connection
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    stubs_.push_back(std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments)));
  }
}

void RawCalls::start(int caller, const std::string& method, const std::string& request,
                     std::function<void(bool)> done) {
  Call& call = calls_[static_cast<std::size_t>(caller)];
  call.context.emplace();
  call.request = to_buffer(request);
  stubs_[static_cast<std::size_t>(caller) % stubs_.size()]->UnaryCall(
      &*call.context, method, {}, &call.request, &call.response,
      [&method, done = std::move(done)](const grpc::Status& status) {
        if (!status.ok()) complain_once(method, status);
        done(status.ok());
      });
}

std::string RawCalls::call(const std::string& method, const std::string& request) {
  grpc::ClientContext context;
  const grpc::ByteBuffer bytes = to_buffer(request);
  grpc::ByteBuffer answer;
  std::promise<grpc::Status> ended;
  stubs_.front()->UnaryCall(&context, method, {}, &bytes, &answer,
                            [&](const grpc::Status& status) { ended.set_value(status); });
  const grpc::Status status = ended.get_future().get();
  if (!status.ok()) throw std::runtime_error(method + " failed: " + status.error_message());
  std::vector<grpc::Slice> slices;
  if (!answer.Dump(&slices).ok()) throw std::runtime_error(method + ": no answer");
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

}  // namespace orderd::bench
