#include "server/rpc/call.h"

#include <algorithm>
#include <array>
#include <vector>

#include "server/access/roles.h"
#include "server/log_line.h"
#include "storage/uuid.h"

namespace orderd::rpc {
namespace {

/// For callers of a server that is not ready: it looks for its database a few times a second.
constexpr std::chrono::milliseconds kNotReadyDelay{500};
constexpr std::chrono::milliseconds kAdmissionInterval{500};

std::string_view code_name(absl::StatusCode code) {
  static const auto* names = [] {
    auto* all = new std::array<std::string, 17>;
    for (std::size_t i = 0; i < all->size(); ++i) {
      (*all)[i] = absl::StatusCodeToString(static_cast<absl::StatusCode>(i));
    }
    return all;
  }();
  const auto index = static_cast<std::size_t>(code);
  return index < names->size() ? std::string_view((*names)[index]) : "UNKNOWN";
}

spdlog::level::level_enum level_of(absl::StatusCode code, Kind kind) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kind == Kind::kRead ? spdlog::level::debug : spdlog::level::info;
    case absl::StatusCode::kInternal:
      return spdlog::level::err;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return spdlog::level::warn;
    case absl::StatusCode::kResourceExhausted:
      return spdlog::level::debug;  // there may be very many; Refusals has a line for all
    default:
      return spdlog::level::info;
  }
}

engine::TraceContext trace_of(const grpc::CallbackServerContext& context) {
  const auto values = [&](const char* name) {
    std::vector<std::string_view> found;
    const auto [first, last] = context.client_metadata().equal_range(name);
    for (auto it = first; it != last; ++it) {
      found.emplace_back(it->second.data(), it->second.size());
    }
    return found;
  };
  const auto parents = values("traceparent");
  if (parents.empty()) return {};
  return engine::read_trace_context(parents, values("tracestate"));
}

}  // namespace

access::Identified LocalAuthenticator::identify(const grpc::CallbackServerContext&) const {
  return {Caller{std::string(access::kLocal), pb::ROLE_ADMIN}, {}};
}

struct RunningCalls::Calls {
  boost::intrusive::list<CallRecord> list;
};

RunningCalls::RunningCalls() : calls_(std::make_unique<Calls>()) {}

RunningCalls::~RunningCalls() = default;

void RunningCalls::begin(CallRecord& call) {
  std::lock_guard lock(mutex_);
  calls_->list.push_back(call);
}

void RunningCalls::end(CallRecord& call) {
  std::lock_guard lock(mutex_);
  calls_->list.erase(calls_->list.iterator_to(call));
  if (calls_->list.empty()) none_.notify_all();
}

int RunningCalls::count() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(calls_->list.size());
}

void RunningCalls::wait(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  none_.wait_for(lock, at_most, [this] { return calls_->list.empty(); });
}

void RunningCalls::cut_unread(std::chrono::milliseconds for_so_long) {
  const auto since = std::chrono::steady_clock::now() - for_so_long;
  // Under the mutex they stay. What gRPC calls because of it comes on threads of its own.
  std::lock_guard lock(mutex_);
  for (const CallRecord& call : calls_->list) call.cut_if_unread_since(since);
}

grpc::Status Guard::refuse(std::string_view method) const {
  if (observer) observer({method, absl::StatusCode::kResourceExhausted, {}});
  return running.draining() ? to_grpc(errors::shutting_down()) : refusals.overloaded();
}

CallRecord::CallRecord(const Guard& guard, Method method) : guard_(guard), method_(method) {
  guard_.running.begin(*this);
}

CallRecord::~CallRecord() { guard_.running.end(*this); }

absl::Status CallRecord::admit(const grpc::CallbackServerContext& context, Length length) {
  context_ = &context;
  trace_ = trace_of(context);
  if (guard_.running.draining()) return errors::shutting_down();
  if (!guard_.ready) return errors::database_unavailable(kNotReadyDelay);
  auto caller = authorize(context);
  if (!caller.ok()) return caller.status();
  caller_ = *std::move(caller);
  if (const auto wait = guard_.rate.take(caller_.identity); wait > wait.zero()) {
    return errors::rate_limited(std::chrono::ceil<std::chrono::milliseconds>(wait));
  }
  limit_time(context, length);
  if (length == Length::kStream) audit(std::nullopt);
  return life_->expired() ? errors::deadline_exceeded() : absl::OkStatus();
}

absl::StatusOr<Caller> CallRecord::authorize(const grpc::CallbackServerContext& context) {
  judged_ = true;
  auto identified = guard_.authenticator->identify(context);
  if (!identified.caller) {
    denied_ = true;
    why_not_ = identified.why_not;
    return errors::unauthenticated();
  }
  const pb::Role needed = required_role(method_.name);
  // Nobody may call what has no entry.
  if (needed == pb::ROLE_UNSPECIFIED || identified.caller->role < needed) {
    // For the log: this call has no other caller yet.
    if (caller_.identity.empty()) caller_ = *std::move(identified.caller);
    return deny(needed == pb::ROLE_UNSPECIFIED ? pb::ROLE_ADMIN : needed);
  }
  return *std::move(identified.caller);
}

absl::Status CallRecord::admit_again(const grpc::CallbackServerContext& context) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_admission_) return absl::OkStatus();
  next_admission_ = now + kAdmissionInterval;
  return authorize(context).status();
}

absl::Status CallRecord::permit(pb::Role role) {
  return caller_.role >= role ? absl::OkStatus() : deny(role);
}

absl::Status CallRecord::deny(pb::Role role) {
  denied_ = true;
  return errors::permission_denied(access::role_name(role));
}

void CallRecord::audit(std::optional<absl::StatusCode> code) const {
  if (!guard_.audit || !judged_) return;
  guard_.audit({!denied_, code, caller_, method_.name, why_not_, order_id_, request_id_, peer()});
}

std::string CallRecord::peer() const {
  const auto* context = context_.load();
  return context == nullptr ? std::string() : context->peer();
}

void CallRecord::limit_time(const grpc::CallbackServerContext& context, Length length) {
  const bool unary = length == Length::kUnary;
  const auto asked = context.deadline();
  if (asked == asked.max()) {
    if (unary) life_->deadline = begin_ + guard_.limits.default_deadline;
    return;
  }
  const auto left = asked - std::chrono::system_clock::now();
  if (unary) {
    life_->deadline = begin_ + std::min<std::chrono::nanoseconds>(left, guard_.limits.max_deadline);
  } else if (left < std::chrono::hours(24)) {
    life_->deadline = begin_ + left;
  }
}

void CallRecord::sending(bool is) {
  using Clock = std::chrono::steady_clock;
  sending_since_ = is ? Clock::now() : Clock::time_point::max();
}

void CallRecord::cut_if_unread_since(std::chrono::steady_clock::time_point then) const {
  const auto* context = context_.load();
  if (context != nullptr && sending_since_.load() < then) context->TryCancel();
}

std::function<bool()> CallRecord::abandoned() const {
  return [life = life_] { return life->canceled || life->expired(); };
}

void CallRecord::identify_subject(std::string_view order_id, std::string_view request_id) {
  if (Uuid::parse(order_id)) order_id_ = order_id;
  if (Uuid::parse(request_id)) request_id_ = request_id;
}

absl::Status CallRecord::end(absl::Status status) const {
  if (status.code() == absl::StatusCode::kCancelled && life_->expired()) {
    status = errors::deadline_exceeded();
  }
  const auto duration = std::chrono::steady_clock::now() - begin_;
  if (status.code() == absl::StatusCode::kResourceExhausted) guard_.refusals.count();
  audit(status.code());
  if (guard_.observer) guard_.observer({method_.name, status.code(), duration});
  if (const auto level = level_of(status.code(), method_.kind); spdlog::should_log(level)) {
    LogLine line("call");
    line.field("method", method_.name);
    line.field("code", code_name(status.code()));
    line.number("duration_ms", std::chrono::duration<double, std::milli>(duration).count());
    line.field("reason", errors::reason(status));
    line.field("why", why_not_);
    line.field("actor", caller_.identity);
    line.field("order_id", order_id_);
    line.field("request_id", request_id_);
    line.field("trace_id", trace_.trace_id);
    line.field("span_id", trace_.span_id);
    line.field("peer", peer());
    line.write(level);
  }
  return status;
}

}  // namespace orderd::rpc
