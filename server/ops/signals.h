#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace orderd::ops {

/// What ends the process or has it read its configuration again: SIGTERM, SIGINT and SIGHUP, on a
/// thread of its own, for as long as it lives.
class Signals {
 public:
  /// `reload`: for each SIGHUP, on that thread.
  explicit Signals(std::function<void()> reload);
  ~Signals();

  /// Until the process is to end; its exit code.
  int wait();
  /// Says that it is; the first word counts.
  void end(int exit_code);

  /// The end may take that long. If it takes longer, or at a second SIGTERM or SIGINT, the process
  /// ends at once, with the same exit code, wherever its threads are: what was acknowledged is on
  /// disk, and what has begun is found out by the next start, as after a crash.
  void limit(std::chrono::milliseconds time);

 private:
  void listen();
  [[noreturn]] void quit(const char* why);

  const std::function<void()> reload_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_{io_, SIGTERM, SIGINT, SIGHUP};
  boost::asio::steady_timer limit_{io_};
  std::mutex mutex_;  // guards what follows
  bool ending_ = false;
  int exit_code_ = 0;
  std::promise<void> ended_;

  std::thread thread_;
};

}  // namespace orderd::ops
