#include "server/rpc/call.h"

#include <array>
#include <vector>

#include "server/log_line.h"
#include "storage/uuid.h"

namespace orderd::rpc {
namespace {

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
    case absl::StatusCode::kResourceExhausted:
      return spdlog::level::warn;
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

void RunningCalls::begin() {
  std::lock_guard lock(mutex_);
  ++count_;
}

void RunningCalls::end() {
  std::lock_guard lock(mutex_);
  if (--count_ == 0) none_.notify_all();
}

int RunningCalls::count() const {
  std::lock_guard lock(mutex_);
  return count_;
}

void RunningCalls::drain(std::chrono::milliseconds at_most) {
  draining_ = true;
  std::unique_lock lock(mutex_);
  none_.wait_for(lock, at_most, [this] { return count_ == 0; });
}

CallRecord::CallRecord(const Guard& guard, Method method) : guard_(guard), method_(method) {
  guard_.running.begin();
}

CallRecord::~CallRecord() { guard_.running.end(); }

absl::Status CallRecord::admit(const grpc::CallbackServerContext& context,
                               std::chrono::milliseconds default_deadline) {
  context_ = &context;
  trace_ = trace_of(context);
  if (guard_.running.draining()) return errors::shutting_down();
  const auto deadline = context.deadline();
  const auto now = std::chrono::system_clock::now();
  if (deadline < now + std::chrono::hours(24)) {
    life_->deadline = begin_ + (deadline - now);
  } else if (default_deadline < default_deadline.max()) {
    life_->deadline = begin_ + default_deadline;
  }
  auto caller = guard_.authenticator->identify(context);
  if (!caller.ok()) return caller.status();
  caller_ = *std::move(caller);
  return life_->expired() ? errors::deadline_exceeded() : absl::OkStatus();
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
    if (context_ != nullptr) line.field("peer", context_->peer());
    line.write(level);
  }
  return status;
}

}  // namespace orderd::rpc
