#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "server/engine/command.h"
#include "server/payments/gateway.h"

namespace orderd::payments {

class Caller;

/// Those who wait, so that they can be answered early when the server ends. Thread-safe.
class Callers {
 public:
  void add(const std::shared_ptr<Caller>& caller);
  void remove(const Caller* caller);
  /// Answers each of them now as his time would, or as soon as the command that runs for him ends.
  void answer_all();

 private:
  std::mutex mutex_;
  std::map<const Caller*, std::weak_ptr<Caller>> callers_;
};

/// Somebody who waits for an answer. He gets exactly one: what his call came to; or at `answer_by`
/// what is known by then; or, when nobody is at work for him any more (the last pointer goes), what
/// was known last. An error is answered only while nothing has been written for him. Thread-safe.
class Caller : public std::enable_shared_from_this<Caller> {
 public:
  using Answer = engine::Answer;
  using Done = engine::Command::Done;

  static std::shared_ptr<Caller> make(boost::asio::io_context& timers,
                                      const std::shared_ptr<Callers>& all, Deadline answer_by,
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
  /// The time is over: answers with what is known, or, if nothing has been written, with `error`.
  void answer_now(absl::Status error);

 private:
  Caller(boost::asio::io_context& timers, std::shared_ptr<Callers> all, Deadline answer_by,
         Done done)
      : all_(std::move(all)), answer_by_(answer_by), done_(std::move(done)), timer_(timers) {}
  /// With the mutex held, which is released to call.
  void finish(std::unique_lock<std::mutex> lock, absl::StatusOr<Answer> answer);

  const std::shared_ptr<Callers> all_;
  const Deadline answer_by_;
  std::mutex mutex_;  // guards what follows
  Done done_;         // null: answered
  bool in_command_ = false;
  /// Set when the time was over during a command.
  std::optional<absl::Status> late_;
  std::optional<Answer> attempt_;

  boost::asio::steady_timer timer_;
};

}  // namespace orderd::payments
