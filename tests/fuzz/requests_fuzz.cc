#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/watch.pb.h"
#include "storage/uuid.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

// Any bytes to any method of a new server, one call after the other: each is answered as promised,
// and after each that was accepted every order makes sense (invariants.h).

namespace orderd::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

/// More make no new case, only slower ones.
constexpr std::size_t kMaxCalls = 16;
constexpr std::size_t kMaxOrders = 6;

bool flag(const Message& message, const std::string& name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  return field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL &&
         message.GetReflection()->GetBool(message, field);
}

std::string text(const Message& message, const std::string& name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return {};
  return message.GetReflection()->GetString(message, field);
}

/// The sandbox would make the caller wait.
bool waits(const Message& message) {
  const auto* request = dynamic_cast<const sandbox::AddFaultRequest*>(&message);
  return request != nullptr && (request->fault().kind() == sandbox::FAULT_KIND_DELAY ||
                                request->fault().kind() == sandbox::FAULT_KIND_HANG);
}

/// A watch has no end: its first message is all that certainly comes, and those of its snapshot.
bool is_last(const MethodDescriptor& method, const std::vector<std::string>& requests,
             const std::string& answer) {
  if (method.name() != "WatchOrders") return false;
  pb::WatchOrdersRequest request;
  pb::WatchOrdersResponse response;
  request.ParseFromString(requests.front());
  response.ParseFromString(answer);
  return !request.from_snapshot() || response.snapshot_complete();
}

/// For somebody who looks at one input.
bool tracing() {
  static const bool wanted = std::getenv("ORDERD_FUZZ_TRACE") != nullptr;
  return wanted;
}

std::string reason_of(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  if (!details.ParseFromString(status.error_details()) || details.message().empty()) return {};
  for (const auto& detail : details.details()) {
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return {};
}

void check_error(const grpc::Status& status, const MethodDescriptor& method) {
  const auto code = status.error_code();
  if (code == grpc::StatusCode::CANCELLED) return;  // by ourselves: a stream without an end
  const std::string reason = reason_of(status);
  require(!reason.empty(), "an error has details with a reason");
  // The sandbox can be told to be away.
  require(code != grpc::StatusCode::INTERNAL && code != grpc::StatusCode::UNKNOWN &&
              code != grpc::StatusCode::UNIMPLEMENTED &&
              (code != grpc::StatusCode::UNAVAILABLE || reason == "GATEWAY_UNAVAILABLE"),
          method.name() + " failed: " + std::to_string(code) + " " + status.error_message());
}

class Session {
 public:
  Session() { world_.reset(); }

  void run(std::span<const Call> calls) {
    const MethodDescriptor* method = find_method(calls.front().method);
    std::vector<std::string> requests;
    std::unique_ptr<Message> request;
    for (const Call& call : calls) {
      request = new_message(method->input_type());
      if (request->ParseFromString(call.message)) {
        if (waits(*request)) return;
        seen_.resolve(*request);
        requests.push_back(request->SerializeAsString());
      } else {
        request.reset();
        requests.push_back(call.message);
      }
    }
    const auto answers = send(*method, requests);
    if (answers.empty()) return;
    if (request != nullptr && flag(*answers.front(), "changed") &&
        Uuid::parse(text(*request, "request_id")) && !flag(*request, "validate_only")) {
      const auto again = send(*method, requests);
      require(again.size() == 1 && flag(*again.front(), "replayed"),
              "a call is recognized when it comes again");
    }
    auto orders = seen_.values("order_id");
    if (orders.size() > kMaxOrders) orders.resize(kMaxOrders);
    for (const auto& order : orders) {
      if (Uuid::parse(order)) world_.check_order(order);
    }
  }
  void end() { world_.check_gateway(); }

 private:
  std::vector<std::unique_ptr<Message>> send(const MethodDescriptor& method,
                                             const std::vector<std::string>& requests) {
    std::vector<std::string> bytes;
    const grpc::Status status = world_.call(
        method, requests,
        [&](const std::string& answer) { return is_last(method, requests, answer); }, bytes);
    if (tracing()) {
      std::fprintf(stderr, "%s: %d %s\n", method.name().c_str(), status.error_code(),
                   status.error_message().c_str());
    }
    if (!status.ok()) check_error(status, method);
    std::vector<std::unique_ptr<Message>> answers;
    for (const auto& each : bytes) {
      answers.push_back(new_message(method.output_type()));
      require(answers.back()->ParseFromString(each), "an answer can be read");
      seen_.add(*answers.back());
    }
    return answers;
  }

  World& world_ = World::get();
  Seen seen_;
};

std::string mutate_any_calls(const std::string& input, std::uint64_t seed) {
  return mutate_calls(input, methods(), seed);
}

}  // namespace

FUZZ_TARGET_WITH(requests, mutate_any_calls) {
  const auto calls = read_calls(input, kMaxCalls);
  Session session;
  for (std::span<const Call> rest(calls); !rest.empty();) {
    // What goes to a stream one after the other goes to one stream.
    std::size_t count = 1;
    if (find_method(rest[0].method)->client_streaming()) {
      while (count < rest.size() && rest[count].method == rest[0].method) ++count;
    }
    session.run(rest.first(count));
    rest = rest.subspan(count);
  }
  session.end();
}

}  // namespace orderd::fuzz
