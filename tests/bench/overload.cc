#include "tests/bench/overload.h"

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fstream>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

#include "client/error_details.h"
#include "client/retry.h"
#include "tests/bench/load.h"
#include "tests/bench/process.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;
using Clock = std::chrono::steady_clock;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr int kTimes = 8;
constexpr int kClientsPerConnection = 256;
/// Of the time after the overload.
constexpr milliseconds kSlice{100};
constexpr int kSlices = 40;
/// What is as it was before.
constexpr double kNormal = 0.9;

/// Counts times of up to an hour, to 5 % exactly. Thread-safe.
class Histogram {
 public:
  void add(Clock::duration time) {
    const double micros = std::chrono::duration<double, std::micro>(time).count();
    const auto at = static_cast<std::size_t>(std::log(std::max(1.0, micros)) / std::log(kStep));
    ++counts_[std::min(at, counts_.size() - 1)];
  }
  std::uint64_t count() const {
    std::uint64_t sum = 0;
    for (const auto& count : counts_) sum += count;
    return sum;
  }
  double quantile_ms(double q) const {
    auto left = static_cast<std::int64_t>(q * static_cast<double>(count()));
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      left -= static_cast<std::int64_t>(counts_[i]);
      if (left < 0) return std::pow(kStep, static_cast<double>(i) + 0.5) / 1000;
    }
    return 0;
  }

 private:
  static constexpr double kStep = 1.05;
  std::array<std::atomic<std::uint64_t>, 460> counts_{};
};

struct Record {
  Histogram served;
  Histogram refused;
  std::atomic<std::uint64_t> failed = 0;
};

/// Clients that call again when they are answered. Those that are refused wait first, as the client
/// library does, or do not.
class Crowd {
 public:
  Crowd(const OverloadSetup& setup, int size)
      : ids_(setup.order_ids),
        connections_(setup.server, std::max(4, size / kClientsPerConnection)),
        clients_(static_cast<std::size_t>(size)),
        options_(client::internal::with_defaults({})) {}
  ~Crowd() { set(0, true); }

  /// From now on this many call.
  void set(int active, bool heed) {
    heed_ = heed;
    std::unique_lock lock(mutex_);
    active_ = active;
    for (int i = 0; i < active; ++i) {
      Client& client = clients_[static_cast<std::size_t>(i)];
      if (std::exchange(client.runs, true)) continue;
      ++running_;
      lock.unlock();
      next(i);
      lock.lock();
    }
    if (active == 0) all_done_.wait(lock, [this] { return running_ == 0; });
  }

  /// Where the calls go that end from now on.
  const Record& begin_record() {
    record_ = &records_.emplace_back();
    return *record_;
  }
  void end_record() { record_ = nullptr; }

 private:
  struct Client {
    bool runs = false;
    std::uint64_t calls = 0;
    Clock::time_point began;
    std::unique_ptr<grpc::ClientContext> context;
    pb::UpdateInvoiceRequest invoice;
    pb::UpdateInvoiceResponse updated;
    pb::GetOrderRequest get;
    pb::GetOrderResponse got;
    std::optional<client::internal::Backoff> backoff;
    std::unique_ptr<grpc::Alarm> alarm;
  };

  void next(int index) {
    Client& client = clients_[static_cast<std::size_t>(index)];
    if (std::lock_guard lock(mutex_); index >= active_) {
      client.runs = false;
      if (--running_ == 0) all_done_.notify_all();
      return;
    }
    client.began = Clock::now();
    client.context = std::make_unique<grpc::ClientContext>();
    const std::uint64_t call = client.calls++;
    const std::string& id = ids_[(static_cast<std::size_t>(index) * 31 + call) % ids_.size()];
    auto done = [this, index](const grpc::Status& status) { ended(index, status); };
    auto* stub = connections_.stub(index).async();
    if (call % 2 == 0) {
      client.get.set_order_id(id);
      stub->GetOrder(client.context.get(), &client.get, &client.got, std::move(done));
    } else {
      client.invoice.set_order_id(id);
      client.invoice.set_invoice_number("O" + std::to_string(index) + "-" + std::to_string(call) +
                                        "-" + std::to_string(run_));
      stub->UpdateInvoice(client.context.get(), &client.invoice, &client.updated, std::move(done));
    }
  }

  void ended(int index, const grpc::Status& status) {
    Client& client = clients_[static_cast<std::size_t>(index)];
    Record* record = record_;
    const auto time = Clock::now() - client.began;
    if (status.ok()) {
      if (record != nullptr) record->served.add(time);
      client.backoff.reset();
      return next(index);
    }
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
      if (record != nullptr && record->failed++ == 0) {
        std::fprintf(stderr, "a call failed: %s\n", status.error_message().c_str());
      }
    } else if (record != nullptr) {
      record->refused.add(time);
    }
    if (!heed_) return next(index);
    if (!client.backoff) client.backoff.emplace(options_);
    const auto wait = client.backoff->next(client::internal::to_status(status));
    client.alarm = std::make_unique<grpc::Alarm>();
    client.alarm->Set(std::chrono::system_clock::now() + wait,
                      [this, index](bool) { next(index); });
  }

  const std::vector<std::string>& ids_;
  /// Invoice numbers are never the same twice.
  const std::int64_t run_ = Clock::now().time_since_epoch().count();
  Connections connections_;
  std::vector<Client> clients_;
  const client::Options options_;
  std::atomic<Record*> record_ = nullptr;
  std::atomic<bool> heed_ = true;
  std::mutex mutex_;  // guards what follows, and Client::runs
  std::condition_variable all_done_;
  int active_ = 0;
  int running_ = 0;
  /// A call may end after its record is over.
  std::deque<Record> records_;
};

struct Part {
  double served_per_second = 0;
  double refused_per_second = 0;
  double served_p50_ms = 0;
  double served_p99_ms = 0;
  double refused_p50_ms = 0;
  double refused_p99_ms = 0;
  std::uint64_t failed = 0;
  std::uint64_t memory_mb = 0;  // the highest
};

Part measure(Crowd& crowd, int process_id, milliseconds duration) {
  Part part;
  const Record& record = crowd.begin_record();
  const auto begin = Clock::now();
  while (Clock::now() < begin + duration) {
    std::this_thread::sleep_for(kSlice);
    part.memory_mb =
        std::max(part.memory_mb, static_cast<std::uint64_t>(usage_of(process_id).resident_mb));
  }
  crowd.end_record();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  part.served_per_second = static_cast<double>(record.served.count()) / seconds;
  part.refused_per_second = static_cast<double>(record.refused.count()) / seconds;
  part.served_p50_ms = record.served.quantile_ms(0.5);
  part.served_p99_ms = record.served.quantile_ms(0.99);
  part.refused_p50_ms = record.refused.quantile_ms(0.5);
  part.refused_p99_ms = record.refused.quantile_ms(0.99);
  part.failed = record.failed;
  return part;
}

/// After how long there is no refusal any more, and as much is served as before.
double normal_after(Crowd& crowd, double before_per_second, json& slices) {
  std::vector<double> served;
  std::vector<std::uint64_t> refused;
  for (int i = 0; i < kSlices; ++i) {
    const auto begin = Clock::now();
    const Record& record = crowd.begin_record();
    std::this_thread::sleep_for(kSlice);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    served.push_back(static_cast<double>(record.served.count()) / seconds);
    refused.push_back(record.refused.count());
    slices.push_back(
        {{"served_per_second", std::round(served.back())}, {"refused", refused.back()}});
  }
  crowd.end_record();
  // Half a second is needed for an average that means something.
  constexpr int kAverage = 5;
  for (int i = 0; i + kAverage <= kSlices; ++i) {
    double sum = 0;
    std::uint64_t refusals = 0;
    for (int k = i; k < i + kAverage; ++k) {
      sum += served[static_cast<std::size_t>(k)];
      refusals += refused[static_cast<std::size_t>(k)];
    }
    if (sum / kAverage >= kNormal * before_per_second && refusals == 0) {
      return i * std::chrono::duration<double>(kSlice).count();
    }
  }
  return -1;
}

json to_json(const Part& part) {
  return {{"served_per_second", std::round(part.served_per_second)},
          {"refused_per_second", std::round(part.refused_per_second)},
          {"served_p50_ms", part.served_p50_ms},
          {"served_p99_ms", part.served_p99_ms},
          {"refused_p50_ms", part.refused_p50_ms},
          {"refused_p99_ms", part.refused_p99_ms},
          {"failed", part.failed},
          {"memory_mb", part.memory_mb}};
}

void print(const std::string& what, int clients, const Part& part) {
  std::printf("%-28s %6d %8.0f/s %9.1f %9.1f ms %9.0f/s %8.1f %8.1f ms %6llu MB %4llu\n",
              what.c_str(), clients, part.served_per_second, part.served_p50_ms, part.served_p99_ms,
              part.refused_per_second, part.refused_p50_ms, part.refused_p99_ms,
              static_cast<unsigned long long>(part.memory_mb),
              static_cast<unsigned long long>(part.failed));
  std::fflush(stdout);
}

}  // namespace

json measure_overload(const OverloadSetup& setup) {
  json report;
  std::printf("%-28s %6s %10s %9s %12s %11s %8s %11s %9s %s\n", "", "clients", "served", "p50",
              "p99", "refused", "p50", "p99", "memory", "failed");
  for (int round = 0; round < setup.rounds; ++round) {
    json& here = report["rounds"].emplace_back();
    Crowd crowd(setup, kTimes * setup.clients);
    // At the limit itself a client may call again before the slot of its last call is free.
    const int usual_clients = setup.clients / 2;
    Part usual;
    double peak = 0;
    for (int clients = 32; clients <= usual_clients; clients *= 2) {
      crowd.set(clients, true);
      std::this_thread::sleep_for(setup.duration / 4);
      usual = measure(crowd, setup.process_id, setup.duration);
      print("served", clients, usual);
      here["served"][std::to_string(clients)] = to_json(usual);
      peak = std::max(peak, usual.served_per_second);
    }
    here["peak_per_second"] = std::round(peak);
    for (const bool heed : {true, false}) {
      const std::string name = heed ? "eight_times" : "eight_times_at_once";
      crowd.set(kTimes * setup.clients, heed);
      std::this_thread::sleep_for(setup.duration / 4);
      const Part part = measure(crowd, setup.process_id, setup.duration);
      const double ratio = part.served_per_second / peak;
      print(heed ? "8 x, wait as told" : "8 x, try again at once", kTimes * setup.clients, part);
      json slices = json::array();
      crowd.set(usual_clients, true);
      const double seconds = normal_after(crowd, usual.served_per_second, slices);
      const Part after = measure(crowd, setup.process_id, setup.duration);
      print("afterwards", usual_clients, after);
      std::printf("  %.2f of the peak; back to normal after %.1f s\n", ratio, seconds);
      here[name] = to_json(part);
      here[name]["of_peak"] = ratio;
      here[name]["normal_after_s"] = seconds;
      here[name]["after"] = to_json(after);
      here[name]["slices"] = std::move(slices);
    }
  }
  return report;
}

}  // namespace orderd::bench
