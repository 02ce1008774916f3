#pragma once

#include <google/protobuf/arena.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/orders/cancellation.h"
#include "server/orders/create.h"
#include "server/orders/delivery_states.h"
#include "server/orders/emails.h"
#include "server/orders/erase.h"
#include "server/orders/errors.h"
#include "server/orders/import.h"
#include "server/orders/invoice.h"
#include "server/orders/methods.h"
#include "server/orders/notes.h"
#include "server/orders/payments.h"
#include "server/orders/reads.h"
#include "server/orders/shipments.h"
#include "server/orders/states.h"
#include "server/orders/status.h"
#include "server/orders/update.h"
#include "server/orders/watch.h"
#include "server/payments/sandbox_requests.h"
#include "server/rpc/wire.h"

// The guard around every call: who calls, until when, whether the request is valid, how errors and
// exceptions reach the client, one line in the log, one report to the metrics.

namespace orderd::rpc {

struct Caller {
  std::string identity;
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  virtual absl::StatusOr<Caller> identify(const grpc::CallbackServerContext& context) const = 0;
};

/// Everybody is "local"; for a server that listens on loopback only.
class LocalAuthenticator : public Authenticator {
 public:
  absl::StatusOr<Caller> identify(const grpc::CallbackServerContext& context) const override;
};

struct CallReport {
  std::string_view method;
  absl::StatusCode code{};
  std::chrono::nanoseconds duration{};
};
/// Hears of every call when it ends. Thread-safe, must not block.
using CallObserver = std::function<void(const CallReport&)>;

/// Counts the calls that run, so that a server can end when the last one has. Thread-safe.
class RunningCalls {
 public:
  void begin();
  void end();
  bool draining() const { return draining_; }

  /// From here on new calls are refused. Returns when none runs, or when the time is over.
  void drain(std::chrono::milliseconds at_most);

 private:
  std::atomic<bool> draining_ = false;
  std::mutex mutex_;
  std::condition_variable none_;
  int count_ = 0;
};

/// What all calls share. Outlives them.
struct Guard {
  std::unique_ptr<const Authenticator> authenticator = std::make_unique<LocalAuthenticator>();
  CallObserver observer;
  /// For unary calls without a deadline of their own.
  std::chrono::milliseconds default_deadline{30'000};
  mutable RunningCalls running;
};

enum class Kind { kRead, kMutation };

struct Method {
  std::string_view name;
  Kind kind{};
};

/// One call, from its begin to its end: the part of the guard that does not depend on the messages.
class CallRecord {
 public:
  CallRecord(const Guard& guard, Method method);
  CallRecord(const CallRecord&) = delete;
  CallRecord& operator=(const CallRecord&) = delete;
  ~CallRecord();

  /// Finds out who calls and until when. `default_deadline`: for calls that name none.
  absl::Status admit(const grpc::CallbackServerContext& context,
                     std::chrono::milliseconds default_deadline);

  std::string_view method() const { return method_.name; }
  const std::string& actor() const { return caller_.identity; }
  /// Whether the caller has gone. It may outlive the call.
  std::function<bool()> abandoned() const;
  void cancel() { life_->canceled = true; }
  /// When the caller stops waiting, or the default.
  std::chrono::steady_clock::time_point deadline() const { return life_->deadline; }
  /// Kept for the log if they are UUIDs, so that nobody writes lines of their own into it.
  void identify_subject(std::string_view order_id, std::string_view request_id);

  /// Writes the log line and the report; returns what the client is told: that its deadline is over
  /// if that is why a call was dropped.
  absl::Status end(absl::Status status) const;

 private:
  struct Life {
    std::atomic<bool> canceled = false;
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();

    bool expired() const { return std::chrono::steady_clock::now() >= deadline; }
  };

  const Guard& guard_;
  const Method method_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  const std::shared_ptr<Life> life_ = std::make_shared<Life>();
  Caller caller_;
  std::string order_id_;
  std::string request_id_;
};

/// A unary call. It owns itself: whoever works on it calls `finish` or `answer` exactly once and
/// does not touch it, its request or its response afterwards. Until then it stays.
template <class Request, class Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  UnaryCall(const Guard& guard, Method method, grpc::ByteBuffer* out)
      : record_(guard, method), out_(out) {}

  const Request& request() const { return *request_; }
  const std::string& actor() const { return record_.actor(); }
  std::string_view method() const { return record_.method(); }
  std::function<bool()> abandoned() const { return record_.abandoned(); }
  std::chrono::steady_clock::time_point deadline() const { return record_.deadline(); }

  /// Runs `fill(response)`, which returns absl::Status, and ends the call with what it says.
  template <class Fill>
  void answer(Fill&& fill) {
    absl::Status status;
    try {
      status = fill(*response_);
      if (status.ok()) status = serialize(*response_, *out_);
    } catch (const std::exception&) {
      status = errors::internal();
    }
    finish(std::move(status));
  }

  void finish(absl::Status status) {
    if (!finished_.exchange(true)) Finish(to_grpc(record_.end(std::move(status))));
  }

  /// Admits the call and passes it to `body`, whose exceptions end it.
  template <class Body>
  void start(const grpc::CallbackServerContext& context, const Guard& guard,
             const grpc::ByteBuffer& in, const Body& body) {
    try {
      absl::Status status = record_.admit(context, guard.default_deadline);
      if (status.ok()) status = parse(in, *request_);
      if (status.ok()) status = rules::validate(std::as_const(*request_));
      if (status.ok()) {
        identify_subject();
        body(this);
      } else {
        finish(std::move(status));
      }
    } catch (const std::exception&) {
      finish(errors::internal());
    }
  }

 private:
  void identify_subject() {
    std::string_view order_id;
    std::string_view request_id;
    if constexpr (requires { request_->order_id(); }) order_id = request_->order_id();
    if constexpr (requires { request_->request_id(); }) request_id = request_->request_id();
    record_.identify_subject(order_id, request_id);
  }

  void OnCancel() override { record_.cancel(); }
  void OnDone() override { delete this; }

  CallRecord record_;
  grpc::ByteBuffer* const out_;
  google::protobuf::Arena arena_;
  Request* const request_ = google::protobuf::Arena::CreateMessage<Request>(&arena_);
  Response* const response_ = google::protobuf::Arena::CreateMessage<Response>(&arena_);
  std::atomic<bool> finished_ = false;
};

/// Makes a unary method of the service out of `body(UnaryCall<Request, Response>*)`.
template <class Request, class Response, class Body>
grpc::ServerUnaryReactor* run(const Guard& guard, Method method,
                              const grpc::CallbackServerContext* context,
                              const grpc::ByteBuffer* in, grpc::ByteBuffer* out, const Body& body) {
  auto* call = new UnaryCall<Request, Response>(guard, method, out);
  call->start(*context, guard, *in, body);
  return call;
}

}  // namespace orderd::rpc
