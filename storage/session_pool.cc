#include "storage/session_pool.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace orderd::storage {
Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      role_(other.role_),
      session_(std::move(other.session_)) {}

Lease::~Lease() {
  if (pool_ != nullptr) pool_->give_back(std::move(session_), role_);
}

Lease SessionPool::lease(Role role, Clock::time_point deadline) {
  std::unique_ptr<Session> session;
  Clock::time_point since;
  {
    std::unique_lock lock(mutex_);
    ++waiting_;
    const bool free = changed_.wait_until(lock, deadline, [&] {
      return leased_ < max_sessions_ && (role == Role::kRead || writers_ < max_writers_);
    });
    --waiting_;
    if (!free) {
      ++missed_;
      throw Error(Error::Kind::kUnavailable, "no database session became free in time");
    }
    ++leased_;
    if (role == Role::kWrite) ++writers_;
    session = take_idle(role, since);
  }
  // From here on the lease's destructor frees the place.
  Lease lease(*this, role);
  if (session != nullptr) session = ready(std::move(session), since);
  if (session == nullptr) session = open();
  lease.session_ = std::move(session);
  lease->set_role(role);
  return lease;
}

std::unique_ptr<Session> SessionPool::open() {
  try {
    auto session = std::make_unique<Session>(database_, listener_);
    ++opened_;
    return session;
  } catch (const std::exception&) {
    ++refused_;
    throw;
  }
}

Sessions SessionPool::sessions() const {
  Sessions sessions;
  sessions.opened = opened_;
  sessions.refused = refused_;
  sessions.discarded = discarded_;
  sessions.missed = missed_;
  std::lock_guard lock(mutex_);
  sessions.in_use = leased_;
  sessions.idle = static_cast<int>(idle_.size());
  sessions.most = max_sessions_;
  sessions.waiting = waiting_;
  return sessions;
}

std::unique_ptr<Session> SessionPool::take_idle(Role role, Clock::time_point& since) {
  if (idle_.empty()) return nullptr;
  // The one used last among those of the role: the others may grow old and be closed by the server.
  auto it = std::find_if(idle_.rbegin(), idle_.rend(),
                         [&](const Idle& idle) { return idle.session->role() == role; });
  // Another role's costs a statement more, a new session costs many, but one may be opened while
  // there is room for it.
  if (it == idle_.rend()) {
    if (leased_ + static_cast<int>(idle_.size()) <= max_sessions_) return nullptr;
    it = idle_.rbegin();
  }
  since = it->since;
  std::unique_ptr<Session> session = std::move(it->session);
  idle_.erase(std::next(it).base());
  return session;
}

std::unique_ptr<Session> SessionPool::ready(std::unique_ptr<Session> session,
                                            Clock::time_point since) {
  if (Clock::now() - since < trust_) return session;
  try {
    Rows rows = session->query(Sql(session->dialect(), "SELECT 1"), 1);
    if (rows.next()) return session;
  } catch (const Error&) {
    ++discarded_;
    spdlog::info("an idle database session was lost; a new one is opened");
  }
  return nullptr;
}

void SessionPool::give_back(std::unique_ptr<Session> session, Role role) noexcept {
  if (session != nullptr && !session->doubtful() && session->in_transaction()) {
    try {
      session->rollback();
    } catch (const std::exception&) {
      session.reset();
    }
  }
  const bool doubtful = session != nullptr && session->doubtful();
  if (doubtful) {
    ++discarded_;
    spdlog::warn("a database session is discarded after an error");
    session.reset();
  }
  std::vector<Idle> suspects;  // closed without the mutex
  {
    std::lock_guard lock(mutex_);
    --leased_;
    if (role == Role::kWrite) --writers_;
    if (session != nullptr) idle_.push_back({std::move(session), Clock::now()});
    // What ended this one may have ended the others. Asking each whether it lives could take as
    // long as a dead server is waited for; new ones are opened in milliseconds.
    if (doubtful) suspects.swap(idle_);
  }
  discarded_ += suspects.size();
  // Those who wait want different things.
  changed_.notify_all();
}

}  // namespace orderd::storage
