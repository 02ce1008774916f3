#include "client/orderctl/stop_on_signal.h"

#include <cerrno>
#include <csignal>

namespace orderd::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

void handle(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

}  // namespace

sem_t StopOnSignal::signaled_;

StopOnSignal::StopOnSignal() {
  sem_init(&signaled_, 0, 0);
  thread_ = std::thread([this] {
    while (sem_wait(&signaled_) != 0 && errno == EINTR) {
    }
    source_.request_stop();
  });
  handle([](int) {
    const int before = errno;
    sem_post(&signaled_);
    errno = before;
  });
}

StopOnSignal::~StopOnSignal() {
  handle(SIG_DFL);
  sem_post(&signaled_);
  thread_.join();
  // Not destroyed: a handler may be running on another thread.
}

}  // namespace orderd::cli
