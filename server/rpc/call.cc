#include "server/rpc/call.h"

#include <spdlog/spdlog.h>

#include <array>

#include "server/access/roles.h"
#include "storage/uuid.h"

namespace orderd::rpc {
namespace {

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
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return spdlog::level::warn;
    default:
      return spdlog::level::info;
  }
}

}  // namespace

access::Identified LocalAuthenticator::identify(const grpc::CallbackServerContext&) const {
  return {Caller{std::string(access::kLocal), pb::ROLE_ADMIN}, {}};
}

void RunningCalls::begin() {
  std::lock_guard lock(mutex_);
  ++count_;
}

void RunningCalls::end() {
  std::lock_guard lock(mutex_);
  if (--count_ == 0) none_.notify_all();
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
  if (guard_.running.draining()) return errors::shutting_down();
  const auto deadline = context.deadline();
  const auto now = std::chrono::system_clock::now();
  if (deadline < now + std::chrono::hours(24)) {
    life_->deadline = begin_ + (deadline - now);
  } else if (default_deadline < default_deadline.max()) {
    life_->deadline = begin_ + default_deadline;
  }
  if (guard_.audit) peer_ = context.peer();
  auto caller = authorize(context);
  if (!caller.ok()) return caller.status();
  caller_ = *std::move(caller);
  if (default_deadline == default_deadline.max()) audit(std::nullopt);
  return life_->expired() ? errors::deadline_exceeded() : absl::OkStatus();
}

absl::StatusOr<Caller> CallRecord::authorize(const grpc::CallbackServerContext& context) {
  judged_ = true;
  auto identified = guard_.authenticator->identify(context);
  if (!identified.caller) {
    denied_ = true;
    why_not_ = identified.why_not;
    peer_ = context.peer();
    return errors::unauthenticated();
  }
  const pb::Role needed = required_role(method_.name);
  // Nobody may call what has no entry.
  if (needed == pb::ROLE_UNSPECIFIED || identified.caller->role < needed) {
    // For the log: this call has no other caller yet.
    if (caller_.identity.empty()) caller_ = *std::move(identified.caller);
    return deny(context, needed == pb::ROLE_UNSPECIFIED ? pb::ROLE_ADMIN : needed);
  }
  return *std::move(identified.caller);
}

absl::Status CallRecord::admit_again(const grpc::CallbackServerContext& context) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_admission_) return absl::OkStatus();
  next_admission_ = now + kAdmissionInterval;
  return authorize(context).status();
}

absl::Status CallRecord::permit(const grpc::CallbackServerContext& context, pb::Role role) {
  return caller_.role >= role ? absl::OkStatus() : deny(context, role);
}

absl::Status CallRecord::deny(const grpc::CallbackServerContext& context, pb::Role role) {
  denied_ = true;
  peer_ = context.peer();
  return errors::permission_denied(access::role_name(role));
}

void CallRecord::audit(std::optional<absl::StatusCode> code) const {
  if (!guard_.audit || !judged_) return;
  guard_.audit({!denied_, code, caller_, method_.name, why_not_, order_id_, request_id_, peer_});
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
  audit(status.code());
  if (guard_.observer) guard_.observer({method_.name, status.code(), duration});
  if (const auto level = level_of(status.code(), method_.kind); spdlog::should_log(level)) {
    std::string line = fmt::format("{} {} {:.3f} ms", method_.name, code_name(status.code()),
                                   std::chrono::duration<double, std::milli>(duration).count());
    const auto field = [&line](std::string_view name, std::string_view value) {
      if (!value.empty()) line.append(" ").append(name).append("=").append(value);
    };
    field("reason", errors::reason(status));
    field("why", why_not_);
    field("actor", caller_.identity);
    field("order", order_id_);
    field("request", request_id_);
    if (denied_) field("peer", peer_);
    spdlog::log(level, line);
  }
  return status;
}

}  // namespace orderd::rpc
