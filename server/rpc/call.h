#pragma once

#include <boost/intrusive/list.hpp>

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
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/access/requests.h"
#include "server/engine/trace_context.h"
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
#include "server/rpc/admission.h"
#include "server/rpc/limits.h"
#include "server/rpc/permissions.h"
#include "server/rpc/rate_limit.h"
#include "server/rpc/wire.h"

// The guard around every call: who calls, until when, whether the request is valid, how errors and
// exceptions reach the client, one line in the log, one report to the metrics.

namespace orderd::rpc {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  virtual access::Identified identify(const grpc::CallbackServerContext& context) const = 0;
};

/// Everybody is "local", an admin; for a server that only its own machine can reach.
class LocalAuthenticator : public Authenticator {
 public:
  access::Identified identify(const grpc::CallbackServerContext& context) const override;
};

/// Whether a call was let in, and what came of it.
struct AuditRecord {
  bool allowed = false;
  /// Of a stream that has been let in and goes on: nothing.
  std::optional<absl::StatusCode> code;
  Caller caller;
  std::string_view method;
  /// Why there is no caller; empty if there is one.
  std::string_view why_not;
  std::string_view order_id;
  std::string_view request_id;
  std::string_view peer;
};
/// Hears of each call when it ends, and of a stream also when it begins. Thread-safe.
using Audit = std::function<void(const AuditRecord&)>;

struct CallReport {
  std::string_view method;
  absl::StatusCode code{};
  std::chrono::nanoseconds duration{};
};
/// Hears of every call when it ends. Thread-safe, must not block.
using CallObserver = std::function<void(const CallReport&)>;

class CallRecord;

/// The calls that run, so that a server can end when the last one has. Thread-safe.
class RunningCalls {
 public:
  RunningCalls();
  ~RunningCalls();

  void begin(CallRecord& call);
  void end(CallRecord& call);
  bool draining() const { return draining_; }
  int count() const;

  /// From here on.
  void refuse_new() { draining_ = true; }
  /// Returns when none runs, or when the time is over.
  void wait(std::chrono::milliseconds at_most);

  /// Cuts the calls whose caller has not read what it was sent for so long. Not on a thread of
  /// gRPC's.
  void cut_unread(std::chrono::milliseconds for_so_long);

 private:
  struct Calls;

  std::atomic<bool> draining_ = false;
  mutable std::mutex mutex_;
  std::condition_variable none_;
  const std::unique_ptr<Calls> calls_;
};

/// What all calls share. Outlives them.
struct Guard {
  explicit Guard(const Limits& of = {})
      : limits(of), calls(of.calls), imports(of.imports), rate(of.rate) {}

  std::unique_ptr<const Authenticator> authenticator = std::make_unique<LocalAuthenticator>();
  CallObserver observer;
  const Limits limits;
  /// Taken by calls from their begin to their end, which is when their answer is on its way.
  mutable Slots calls;
  mutable Slots imports;
  mutable RateLimit rate;
  mutable Refusals refusals;
  Audit audit;
  mutable RunningCalls running;

  /// Turns a call away for which there is no room, at the lowest cost.
  grpc::Status refuse(std::string_view method) const;
  /// Whether the database can be used. If not, calls are refused before they cost anything.
  std::atomic<bool> ready = true;
};

enum class Kind { kRead, kMutation };

struct Method {
  std::string_view name;
  Kind kind{};
};

/// One call, from its begin to its end: the part of the guard that does not depend on the messages.
class CallRecord : public boost::intrusive::list_base_hook<> {
 public:
  CallRecord(const Guard& guard, Method method);
  CallRecord(const CallRecord&) = delete;
  CallRecord& operator=(const CallRecord&) = delete;
  ~CallRecord();

  enum class Length { kUnary, kStream };
  /// Finds out who calls, whether they may, and until when. A stream may go on for as long as the
  /// caller wants.
  absl::Status admit(const grpc::CallbackServerContext& context, Length length);
  /// For streams, which can outlive a credential: whether the caller would still be let in. Looks
  /// twice a second at most.
  absl::Status admit_again(const grpc::CallbackServerContext& context);
  /// PERMISSION_DENIED unless the caller has this role.
  absl::Status permit(pb::Role role);

  std::string_view method() const { return method_.name; }
  const std::string& actor() const { return caller_.identity; }
  const engine::TraceContext& trace() const { return trace_; }
  /// Whether the caller has gone. It may outlive the call.
  std::function<bool()> abandoned() const;
  void cancel() { life_->canceled = true; }
  /// When the caller stops waiting, or the limit.
  std::chrono::steady_clock::time_point deadline() const { return life_->deadline; }
  /// Kept for the log if they are UUIDs, so that nobody writes lines of their own into it.
  void identify_subject(std::string_view order_id, std::string_view request_id);

  /// Writes the log line and the report; returns what the client is told: that its deadline is over
  /// if that is why a call was dropped.
  absl::Status end(absl::Status status) const;

  /// Something is on its way to the caller, from now on, or no more.
  void sending(bool is);
  /// Ends the call if that has been so since then.
  void cut_if_unread_since(std::chrono::steady_clock::time_point then) const;

 private:
  /// Who calls, if they may make this call.
  absl::StatusOr<Caller> authorize(const grpc::CallbackServerContext& context);
  absl::Status deny(pb::Role role);
  void audit(std::optional<absl::StatusCode> code) const;
  /// Whom the call comes from, until its end.
  std::string peer() const;

  struct Life {
    std::atomic<bool> canceled = false;
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();

    bool expired() const { return std::chrono::steady_clock::now() >= deadline; }
  };

  void limit_time(const grpc::CallbackServerContext& context, Length length);

  const Guard& guard_;
  const Method method_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  const std::shared_ptr<Life> life_ = std::make_shared<Life>();
  std::atomic<const grpc::CallbackServerContext*> context_ = nullptr;
  std::atomic<std::chrono::steady_clock::time_point> sending_since_ =
      std::chrono::steady_clock::time_point::max();
  Caller caller_;
  engine::TraceContext trace_;
  std::string order_id_;
  std::string request_id_;
  /// Whether it was looked at who calls; whether they were kept out, and if not known, why.
  bool judged_ = false;
  bool denied_ = false;
  std::string_view why_not_;
  std::chrono::steady_clock::time_point next_admission_;
};

/// A unary call. It owns itself: whoever works on it calls `finish` or `answer` exactly once and
/// does not touch it, its request or its response afterwards. Until then it stays.
template <class Request, class Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  /// A slot of `guard.calls` has been taken for it.
  UnaryCall(const Guard& guard, Method method, grpc::ByteBuffer* out)
      : guard_(guard), record_(guard, method), out_(out) {}
  ~UnaryCall() override { make_room(); }

  /// To be said before it waits for a gateway, which can take long: from here on it keeps nobody
  /// else out. How many may wait so is limited by payments::Accounts.
  void make_room() {
    if (std::exchange(has_slot_, false)) guard_.calls.release();
  }

  const Request& request() const { return *request_; }
  const std::string& actor() const { return record_.actor(); }
  const engine::TraceContext& trace() const { return record_.trace(); }
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
    if (finished_.exchange(true)) return;
    const grpc::Status result = to_grpc(record_.end(std::move(status)));
    record_.sending(true);
    Finish(result);
  }

  /// Admits the call and passes it to `body`, whose exceptions end it.
  template <class Body>
  void start(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& in,
             const Body& body) {
    try {
      absl::Status status = record_.admit(context, CallRecord::Length::kUnary);
      if (status.ok()) status = parse(in, *request_);
      if (status.ok()) {
        identify_subject();
        status = record_.permit(role_for_fields(std::as_const(*request_)));
      }
      if (status.ok()) status = rules::validate(std::as_const(*request_));
      if (status.ok()) {
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

  // It keeps its slot until what it has in a queue is dropped: slots bound the memory, too.
  void OnCancel() override { record_.cancel(); }
  void OnDone() override { delete this; }

  const Guard& guard_;
  CallRecord record_;
  grpc::ByteBuffer* const out_;
  google::protobuf::Arena arena_;
  Request* const request_ = google::protobuf::Arena::CreateMessage<Request>(&arena_);
  Response* const response_ = google::protobuf::Arena::CreateMessage<Response>(&arena_);
  std::atomic<bool> finished_ = false;
  bool has_slot_ = true;
};

/// Makes a unary method of the service out of `body(UnaryCall<Request, Response>*)`.
template <class Request, class Response, class Body>
grpc::ServerUnaryReactor* run(const Guard& guard, Method method,
                              grpc::CallbackServerContext* context, const grpc::ByteBuffer* in,
                              grpc::ByteBuffer* out, const Body& body) {
  if (!guard.calls.take()) {
    auto* refused = context->DefaultReactor();
    refused->Finish(guard.refuse(method.name));
    return refused;
  }
  auto* call = new UnaryCall<Request, Response>(guard, method, out);
  call->start(*context, *in, body);
  return call;
}

}  // namespace orderd::rpc
