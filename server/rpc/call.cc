#include "server/rpc/call.h"

#include <algorithm>
#include <array>
#include <vector>

#include "server/log_line.h"
#include "storage/uuid.h"

namespace orderd::errors {
absl::Status rate_limited(std::chrono::milliseconds retry_delay);
}

namespace orderd::rpc {
namespace {

/// For callers of a server that is not ready: it looks for its database a few times a second.
constexpr std::chrono::milliseconds kNotReadyDelay{500};

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

absl::StatusOr<Caller> LocalAuthenticator::identify(const grpc::CallbackServerContext&) const {
  return Caller{"local"};
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
  auto caller = guard_.authenticator->identify(context);
  if (!caller.ok()) return caller.status();
  caller_ = *std::move(caller);
  if (const auto wait = guard_.rate.take(caller_.identity); wait > wait.zero()) {
    return errors::rate_limited(std::chrono::ceil<std::chrono::milliseconds>(wait));
  }
  limit_time(context, length);
  return life_->expired() ? errors::deadline_exceeded() : absl::OkStatus();
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
  if (guard_.observer) guard_.observer({method_.name, status.code(), duration});
  if (const auto level = level_of(status.code(), method_.kind); spdlog::should_log(level)) {
    LogLine line("call");
    line.field("method", method_.name);
    line.field("code", code_name(status.code()));
    line.number("duration_ms", std::chrono::duration<double, std::milli>(duration).count());
    line.field("reason", errors::reason(status));
    line.field("actor", caller_.identity);
    line.field("order_id", order_id_);
    line.field("request_id", request_id_);
    line.field("trace_id", trace_.trace_id);
    line.field("span_id", trace_.span_id);
    if (const auto* context = context_.load()) line.field("peer", context->peer());
    line.write(level);
  }
  return status;
}

}  // namespace orderd::rpc
