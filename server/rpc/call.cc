#include "server/rpc/call.h"

#include <spdlog/spdlog.h>

#include <array>

#include "storage/uuid.h"

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
    case absl::StatusCode::kResourceExhausted:
      return spdlog::level::warn;
    default:
      return spdlog::level::info;
  }
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

void RunningCalls::wait(std::chrono::milliseconds at_most) {
  std::unique_lock lock(mutex_);
  none_.wait_for(lock, at_most, [this] { return count_ == 0; });
}

CallRecord::CallRecord(const Guard& guard, Method method) : guard_(guard), method_(method) {
  guard_.running.begin();
}

CallRecord::~CallRecord() { guard_.running.end(); }

absl::Status CallRecord::admit(const grpc::CallbackServerContext& context,
                               std::chrono::milliseconds default_deadline) {
  if (guard_.running.draining()) return errors::shutting_down();
  if (!guard_.ready) return errors::database_unavailable(kNotReadyDelay);
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
    std::string line = fmt::format("{} {} {:.3f} ms", method_.name, code_name(status.code()),
                                   std::chrono::duration<double, std::milli>(duration).count());
    const auto field = [&line](std::string_view name, std::string_view value) {
      if (!value.empty()) line.append(" ").append(name).append("=").append(value);
    };
    field("reason", errors::reason(status));
    field("actor", caller_.identity);
    field("order", order_id_);
    field("request", request_id_);
    spdlog::log(level, line);
  }
  return status;
}

}  // namespace orderd::rpc
