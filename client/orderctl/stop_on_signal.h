#pragma once

#include <semaphore.h>

#include <stop_token>
#include <thread>

namespace orderd::cli {

/// As long as it lives, the first Ctrl-C or SIGTERM asks for a stop instead of ending the program;
/// a second one ends it. There can be one at a time.
class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  // A handler may only post to a semaphore; the thread does what it must not.
  static sem_t signaled_;
  std::stop_source source_;
  std::thread thread_;
};

}  // namespace orderd::cli
