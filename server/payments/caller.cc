#include "server/payments/caller.h"

#include <vector>

#include "server/orders/errors.h"

namespace orderd::payments {

void Callers::add(const std::shared_ptr<Caller>& caller) {
  std::lock_guard lock(mutex_);
  callers_.emplace(caller.get(), caller);
}

void Callers::remove(const Caller* caller) {
  std::lock_guard lock(mutex_);
  callers_.erase(caller);
}

void Callers::answer_all() {
  std::vector<std::shared_ptr<Caller>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, weak] : callers_) {
      if (auto caller = weak.lock()) all.push_back(std::move(caller));
    }
  }
  for (const auto& caller : all) caller->answer_now(errors::shutting_down());
}

std::shared_ptr<Caller> Caller::make(boost::asio::io_context& timers,
                                     const std::shared_ptr<Callers>& all, Deadline answer_by,
                                     Done done) {
  std::shared_ptr<Caller> caller(new Caller(timers, all, answer_by, std::move(done)));
  all->add(caller);
  caller->timer_.expires_at(answer_by);
  caller->timer_.async_wait(
      [weak = caller->weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->answer_now(errors::deadline_exceeded());
      });
  return caller;
}

Caller::~Caller() {
  all_->remove(this);
  if (!done_) return;
  if (attempt_) {
    done_(std::move(*attempt_));
  } else {
    done_(errors::shutting_down());
  }
}

bool Caller::begin_command() {
  std::lock_guard lock(mutex_);
  if (!done_) return false;
  in_command_ = true;
  return true;
}

void Caller::go_on() {
  std::unique_lock lock(mutex_);
  in_command_ = false;
  if (late_) finish(std::move(lock), *late_);
}

void Caller::committed(Answer attempt) {
  std::unique_lock lock(mutex_);
  in_command_ = false;
  attempt_ = std::move(attempt);
  if (late_) finish(std::move(lock), *attempt_);
}

void Caller::answer(absl::StatusOr<Answer> answer) {
  finish(std::unique_lock(mutex_), std::move(answer));
}

void Caller::answer_now(absl::Status error) {
  std::unique_lock lock(mutex_);
  if (in_command_) {
    late_ = std::move(error);
  } else if (attempt_) {
    finish(std::move(lock), *attempt_);
  } else {
    finish(std::move(lock), std::move(error));
  }
}

void Caller::finish(std::unique_lock<std::mutex> lock, absl::StatusOr<Answer> answer) {
  const Done done = std::exchange(done_, nullptr);
  lock.unlock();
  if (done) done(std::move(answer));
}

}  // namespace orderd::payments
