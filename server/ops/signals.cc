#include "server/ops/signals.h"

#include <boost/asio/post.hpp>

#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>

namespace orderd::ops {
namespace {

/// For the log's thread to write the last line.
constexpr std::chrono::milliseconds kLastLine{50};

}  // namespace

Signals::Signals(std::function<void()> reload) : reload_(std::move(reload)) {
  listen();
  thread_ = std::thread([this] { io_.run(); });
}

Signals::~Signals() {
  io_.stop();
  thread_.join();
}

void Signals::listen() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    listen();
    if (signal == SIGHUP) return reload_();
    {
      std::unique_lock lock(mutex_);
      if (ending_) {
        lock.unlock();
        quit("a second signal: ends at once");
      }
    }
    end(0);
  });
}

int Signals::wait() {
  ended_.get_future().wait();
  std::lock_guard lock(mutex_);
  return exit_code_;
}

void Signals::end(int exit_code) {
  std::lock_guard lock(mutex_);
  if (std::exchange(ending_, true)) return;
  exit_code_ = exit_code;
  ended_.set_value();
}

void Signals::limit(std::chrono::milliseconds time) {
  boost::asio::post(io_, [this, time] {
    limit_.expires_after(time);
    limit_.async_wait([this](const boost::system::error_code& error) {
      if (!error) quit("the time to shut down is over: ends with work under way");
    });
  });
}

void Signals::quit(const char* why) {
  spdlog::warn(why);
  std::this_thread::sleep_for(kLastLine);
  std::_Exit(exit_code_);
}

}  // namespace orderd::ops
