#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace orderd::ops {

/// Runs a task that may block on a thread of its own: first after `interval`, or at once, then
/// `interval` after the last run has ended.
class Background {
 public:
  /// A long run ends early when it sees `stopping`.
  using Task = std::function<void(const std::atomic<bool>& stopping)>;

  Background(std::chrono::milliseconds interval, Task task, bool at_once = false)
      : task_(std::move(task)), thread_([=, this] { work(interval, at_once); }) {}
  ~Background() { stop(); }

  /// Returns when the run that is under way has ended; there is no other.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void work(std::chrono::milliseconds interval, bool at_once) {
    std::unique_lock lock(mutex_);
    auto wait = at_once ? std::chrono::milliseconds(0) : interval;
    while (!wake_.wait_for(lock, wait, [this] { return stopping_.load(); })) {
      lock.unlock();
      task_(stopping_);
      lock.lock();
      wait = interval;
    }
  }

  const Task task_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace orderd::ops
