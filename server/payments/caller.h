#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <mutex>
#include <optional>

#include "server/engine/command.h"
#include "server/payments/gateway.h"

namespace orderd::payments {

/// Somebody who waits for an answer. He gets exactly one: what his call came to; or at `answer_by`
/// what is known by then; or, when nobody is at work for him any more (the last pointer goes), what
/// was known last. An error is answered only while nothing has been written for him. Thread-safe.
class Caller : public std::enable_shared_from_this<Caller> {
 public:
  using Answer = engine::Answer;
  using Done = engine::Command::Done;

  static std::shared_ptr<Caller> make(boost::asio::io_context& timers, Deadline answer_by,
                                      Done done);
  ~Caller();

  Deadline answer_by() const { return answer_by_; }

  /// Before a command of his is submitted: false if he has been answered, so that nothing may be
  /// written for him. Until `committed`, `answer` or `go_on` the time does not answer him.
  bool begin_command();
  /// The command ended without writing anything; there is more to do.
  void go_on();
  /// An attempt of his is committed: from here on the time answers with it.
  void committed(Answer attempt);

  void answer(absl::StatusOr<Answer> answer);

 private:
  Caller(boost::asio::io_context& timers, Deadline answer_by, Done done)
      : answer_by_(answer_by), done_(std::move(done)), timer_(timers) {}
  void on_time();
  /// With the mutex held, which is released to call.
  void finish(std::unique_lock<std::mutex> lock, absl::StatusOr<Answer> answer);

  const Deadline answer_by_;
  std::mutex mutex_;  // guards what follows
  Done done_;         // null: answered
  bool in_command_ = false;
  bool late_ = false;
  std::optional<Answer> attempt_;

  boost::asio::steady_timer timer_;
};

}  // namespace orderd::payments
