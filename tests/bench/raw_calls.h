#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace orderd::bench {

/// Unary calls of bytes to one server over a few connections that all callers share: as cheap as
/// gRPC allows, so that it is the server that is measured. Answers are counted, not parsed.
class RawCalls {
 public:
  RawCalls(const std::string& server, int channels, int callers);

  /// Starts a call of a caller, which may have one at a time. `done` is told whether it was OK.
  void start(int caller, const std::string& method, const std::string& request,
             std::function<void(bool ok)> done);

  /// One call and its answer; throws std::runtime_error if it fails.
  std::string call(const std::string& method, const std::string& request);

 private:
  struct Call {
    std::optional<grpc::ClientContext> context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::vector<Call> calls_;
};

}  // namespace orderd::bench
