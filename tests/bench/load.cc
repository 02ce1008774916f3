#include "tests/bench/load.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace orderd::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::uint32_t micros(Clock::duration time) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

/// What one caller has measured; only its own calls touch it, one at a time.
struct Caller {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  Clock::time_point began;
  std::vector<std::uint32_t> latencies;
};

struct Window {
  Clock::time_point from;
  Clock::time_point to;
  double seconds() const { return std::chrono::duration<double>(to - from).count(); }
};

Window window_of(std::chrono::milliseconds duration) {
  const auto now = Clock::now();
  return {now + duration / 10, now + duration};
}

Figures sum_up(std::vector<Caller>& callers, double seconds) {
  std::vector<std::uint32_t> latencies;
  std::uint64_t errors = 0;
  for (Caller& caller : callers) {
    latencies.insert(latencies.end(), caller.latencies.begin(), caller.latencies.end());
    errors += caller.errors;
  }
  return figures_of(std::move(latencies), seconds, errors);
}

}  // namespace

Figures figures_of(std::vector<std::uint32_t> latencies, double seconds, std::uint64_t errors) {
  Figures figures;
  figures.errors = errors;
  if (latencies.empty()) return figures;
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double q) {
    const auto at = static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1));
    return latencies[at] / 1000.0;
  };
  figures.per_second = static_cast<double>(latencies.size()) / seconds;
  figures.p50_ms = quantile(0.5);
  figures.p99_ms = quantile(0.99);
  figures.p999_ms = quantile(0.999);
  return figures;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Connections::Connections(const std::string& server, int channels) {
  for (int i = 0; i < channels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("bench.channel", i);  // equal arguments would share one connection
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    stubs_.push_back(orders::v1::OrderService::NewStub(
        grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments)));
  }
}

Figures run_load(int callers, std::chrono::milliseconds duration, const StartCall& start) {
  std::vector<Caller> state(static_cast<std::size_t>(callers));
  const Window window = window_of(duration);
  std::mutex mutex;
  std::condition_variable all_done;
  int running = callers;

  std::function<void(int)> next = [&](int index) {
    Caller& caller = state[static_cast<std::size_t>(index)];
    caller.began = Clock::now();
    const auto done = [&, index](bool ok) {
      Caller& self = state[static_cast<std::size_t>(index)];
      const auto now = Clock::now();
      if (!ok) ++self.errors;
      if (ok && now >= window.from && now < window.to) {
        self.latencies.push_back(micros(now - self.began));
      }
      next(index);
    };
    if (caller.began < window.to && start(index, caller.calls++, done)) return;
    std::lock_guard lock(mutex);
    if (--running == 0) all_done.notify_one();
  };
  for (int i = 0; i < callers; ++i) next(i);
  std::unique_lock lock(mutex);
  all_done.wait(lock, [&] { return running == 0; });
  return sum_up(state, window.seconds());
}

Figures run_threads(int threads, std::chrono::milliseconds duration,
                    const std::function<void(int, std::uint64_t)>& call) {
  std::vector<Caller> state(static_cast<std::size_t>(threads));
  const Window window = window_of(duration);
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      Caller& caller = state[static_cast<std::size_t>(i)];
      while (true) {
        caller.began = Clock::now();
        if (caller.began >= window.to) return;
        call(i, caller.calls++);
        const auto now = Clock::now();
        if (now >= window.from && now < window.to) {
          caller.latencies.push_back(micros(now - caller.began));
        }
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  return sum_up(state, window.seconds());
}

}  // namespace orderd::bench
