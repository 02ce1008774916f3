#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>

namespace orderd::ops {

/// Runs a task on the io_context every `interval`, from one interval after its making on.
class Periodic {
 public:
  Periodic(boost::asio::io_context& io, std::chrono::milliseconds interval,
           std::function<void()> task)
      : timer_(io), interval_(interval), task_(std::move(task)) {
    schedule();
  }

 private:
  void schedule() {
    timer_.expires_after(interval_);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      task_();
      schedule();
    });
  }

  boost::asio::steady_timer timer_;
  const std::chrono::milliseconds interval_;
  const std::function<void()> task_;
};

}  // namespace orderd::ops
