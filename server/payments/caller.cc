#include "server/payments/caller.h"

#include "server/orders/errors.h"

namespace orderd::payments {

std::shared_ptr<Caller> Caller::make(boost::asio::io_context& timers, Deadline answer_by,
                                     Done done) {
  std::shared_ptr<Caller> caller(new Caller(timers, answer_by, std::move(done)));
  caller->timer_.expires_at(answer_by);
  caller->timer_.async_wait(
      [weak = caller->weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->on_time();
      });
  return caller;
}

Caller::~Caller() {
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
  if (late_) finish(std::move(lock), errors::deadline_exceeded());
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

void Caller::on_time() {
  std::unique_lock lock(mutex_);
  if (in_command_) {
    late_ = true;
  } else if (attempt_) {
    finish(std::move(lock), *attempt_);
  } else {
    finish(std::move(lock), errors::deadline_exceeded());
  }
}

void Caller::finish(std::unique_lock<std::mutex> lock, absl::StatusOr<Answer> answer) {
  const Done done = std::exchange(done_, nullptr);
  lock.unlock();
  if (done) done(std::move(answer));
}

}  // namespace orderd::payments
