#include "tests/bench/watch.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <soci/soci.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "storage/wall_clock.h"
#include "tests/bench/database_limit.h"
#include "tests/bench/process.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr int kCallers = 64;
constexpr int kRate = 1000;
constexpr int kChannels = 4;

/// Watchers of everything, a thread each, over several connections.
class Watchers {
 public:
  /// `timed`: latencies are kept.
  Watchers(const std::string& server, int count, bool timed = false)
      : connections_(server, std::min(count, 16)), timed_(timed) {
    for (int i = 0; i < count; ++i) {
      contexts_.push_back(std::make_unique<grpc::ClientContext>());
      threads_.emplace_back([this, i] { watch(i); });
    }
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, seconds(60), [&] { return begun_ == count; })) {
      throw std::runtime_error("the watches do not begin");
    }
  }
  ~Watchers() {
    for (const auto& context : contexts_) context->TryCancel();
    for (std::thread& thread : threads_) thread.join();
  }

  std::uint64_t heard() const { return heard_; }
  /// Between an event's time, which is before its commit, and its receipt.
  std::vector<std::uint32_t> take_latencies() {
    std::lock_guard lock(mutex_);
    return std::exchange(latencies_, {});
  }

 private:
  void watch(int index) {
    const auto stream =
        connections_.stub(index).WatchOrders(contexts_[static_cast<std::size_t>(index)].get(), {});
    bool begun = false;
    for (pb::WatchOrdersResponse message; stream->Read(&message);) {
      const std::int64_t now = wall_clock();
      heard_ += static_cast<std::uint64_t>(message.changes_size());
      if (begun && !timed_) continue;
      std::lock_guard lock(mutex_);
      if (!std::exchange(begun, true)) {
        ++begun_;
        changed_.notify_all();
      }
      for (const pb::OrderChange& change : message.changes()) {
        const auto& time = change.events(0).event_time();
        const std::int64_t then = time.seconds() * 1'000'000 + time.nanos() / 1000;
        latencies_.push_back(static_cast<std::uint32_t>(std::max<std::int64_t>(0, now - then)));
      }
    }
    stream->Finish();
  }

  Connections connections_;
  const bool timed_;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<std::thread> threads_;
  std::atomic<std::uint64_t> heard_ = 0;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  int begun_ = 0;
  std::vector<std::uint32_t> latencies_;
};

/// The same as cheap as it can be, so that it is the server that is measured: what it reads is
/// counted, not parsed.
class CheapWatchers {
 public:
  CheapWatchers(const std::string& server, int count) {
    for (int i = 0; i < count; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt("bench.watcher", i);  // equal arguments would share one connection
      watches_.push_back(std::make_unique<Watch>(
          grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments)));
    }
    for (const auto& watch : watches_) watch->wait_begun();
  }

  std::uint64_t heard() const {
    std::uint64_t sum = 0;
    for (const auto& watch : watches_) sum += watch->heard();
    return sum;
  }

 private:
  class Watch final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
   public:
    explicit Watch(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
      stub_.PrepareBidiStreamingCall(&context_, "/orders.v1.OrderService/WatchOrders", {}, this);
      request_ = grpc::ByteBuffer(&empty_, 1);
      StartWriteLast(&request_, {});
      StartRead(&message_);
      StartCall();
    }
    ~Watch() override {
      context_.TryCancel();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return done_; });
    }
    void wait_begun() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return begun_ || done_; });
      if (!begun_) throw std::runtime_error("a watch does not begin");
    }
    std::uint64_t heard() const { return heard_; }

   private:
    void OnReadDone(bool ok) override {
      if (!ok) return;
      grpc::ProtoBufferReader reader(&message_);
      google::protobuf::io::CodedInputStream in(&reader);
      using google::protobuf::internal::WireFormatLite;
      while (const std::uint32_t tag = in.ReadTag()) {
        heard_ +=
            WireFormatLite::GetTagFieldNumber(tag) == pb::WatchOrdersResponse::kChangesFieldNumber;
        WireFormatLite::SkipField(&in, tag);
      }
      if (!begun_.exchange(true)) {
        std::lock_guard lock(mutex_);
        changed_.notify_all();
      }
      StartRead(&message_);
    }
    void OnDone(const grpc::Status&) override {
      std::lock_guard lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }

    grpc::GenericStub stub_;
    grpc::ClientContext context_;
    const grpc::Slice empty_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer message_;
    std::atomic<std::uint64_t> heard_ = 0;
    std::atomic<bool> begun_ = false;
    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    bool done_ = false;
  };

  std::vector<std::unique_ptr<Watch>> watches_;
};

/// UpdateInvoice; numbers are never the same twice.
class Writer {
 public:
  Writer(const std::string& server, const std::vector<std::string>& ids)
      : connections_(server, kChannels), ids_(ids) {}

  Figures at_full_speed(milliseconds duration) {
    std::vector<Call> calls(kCallers);
    return run_load(kCallers, duration,
                    [&](int caller, std::uint64_t, std::function<void(bool)> done) {
                      start(calls[static_cast<std::size_t>(caller)], caller, std::move(done));
                      return true;
                    });
  }

  /// kRate changes a second, whatever the answers do.
  void at_rate(milliseconds duration) {
    std::mutex mutex;
    std::condition_variable answered;
    int open = 0;
    const auto begin = Clock::now();
    const auto count = static_cast<int>(duration.count() * kRate / 1000);
    for (int i = 0; i < count; ++i) {
      std::this_thread::sleep_until(begin + seconds(1) * i / kRate);
      auto call = std::make_shared<Call>();
      {
        std::lock_guard lock(mutex);
        ++open;
      }
      start(*call, i, [&, call](bool) {
        std::lock_guard lock(mutex);
        if (--open == 0) answered.notify_all();
      });
    }
    std::unique_lock lock(mutex);
    answered.wait(lock, [&] { return open == 0; });
  }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    pb::UpdateInvoiceRequest request;
    pb::UpdateInvoiceResponse response;
  };

  void start(Call& call, int caller, std::function<void(bool)> done) {
    static std::atomic<std::uint64_t> count = 0;
    const std::uint64_t n = ++count;
    call.context = std::make_unique<grpc::ClientContext>();
    call.request.set_order_id(ids_[n % ids_.size()]);
    call.request.set_invoice_number("W" + std::to_string(wall_clock()) + "-" + std::to_string(n));
    connections_.stub(caller).async()->UpdateInvoice(
        call.context.get(), &call.request, &call.response,
        [done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
  }

  Connections connections_;
  const std::vector<std::string>& ids_;
};

std::uint64_t statements_of(soci::session& database) {
  std::string name;
  std::string value;
  database << "SHOW GLOBAL STATUS LIKE 'Questions'", soci::into(name), soci::into(value);
  return std::stoull(value);
}

json measure_throughput(const WatchSetup& setup) {
  json report;
  std::vector<double> ratios;
  Writer writer(setup.server, setup.order_ids);
  for (int round = 0; round < setup.rounds; ++round) {
    const Figures without = writer.at_full_speed(setup.duration);
    Figures with;
    std::uint64_t heard = 0;
    {
      CheapWatchers watchers(setup.server, 10);
      with = writer.at_full_speed(setup.duration);
      heard = watchers.heard();
    }
    ratios.push_back(with.per_second / without.per_second);
    std::printf(
        "UpdateInvoice, %d callers: %.0f/s; with ten watchers %.0f/s (they heard of %llu): "
        "%.2f\n",
        kCallers, without.per_second, with.per_second, static_cast<unsigned long long>(heard),
        ratios.back());
    report["rounds"].push_back({{"without", without.per_second}, {"with", with.per_second}});
  }
  report["ratio"] = median(ratios);
  std::printf("with ten watchers: %.2f of the throughput without (median of %d rounds)\n",
              median(ratios), setup.rounds);
  return report;
}

json measure_latency(const WatchSetup& setup, const std::string& writes_at, const char* where) {
  Writer writer(writes_at, setup.order_ids);
  Watchers watchers(setup.server, 10, /*timed=*/true);
  writer.at_rate(seconds(1));
  watchers.take_latencies();
  const double seconds_of_run = static_cast<double>(setup.duration.count()) / 1000;
  writer.at_rate(setup.duration);
  const Figures figures = figures_of(watchers.take_latencies(), seconds_of_run, 0);
  std::printf(
      "%d changes/s at %s: heard of after p50 %.2f ms, p99 %.2f ms (from before the "
      "commit; ten watchers)\n",
      kRate, where, figures.p50_ms, figures.p99_ms);
  return {{"p50_ms", figures.p50_ms}, {"p99_ms", figures.p99_ms}};
}

json measure_database(const WatchSetup& setup) {
  json report;
  const auto session = writing_session(setup.database_url);
  soci::session& database = *session;
  for (const int count : {1, 500}) {
    Watchers watchers(setup.server, count);
    for (const bool busy : {false, true}) {
      Writer writer(setup.server, setup.order_ids);
      const std::uint64_t before = statements_of(database);
      const auto begin = Clock::now();
      if (busy) {
        writer.at_rate(setup.duration);
      } else {
        std::this_thread::sleep_for(setup.duration);
      }
      const double time = std::chrono::duration<double>(Clock::now() - begin).count();
      const double rate = static_cast<double>(statements_of(database) - before) / time;
      std::printf("%3d watchers, %s: %.0f statements/s at the database\n", count,
                  busy ? "1000 changes/s" : "idle", rate);
      report[std::to_string(count)][busy ? "busy" : "idle"] = rate;
    }
  }
  return report;
}

json measure_idle(const WatchSetup& setup) {
  Watchers watchers(setup.server, 100);
  const double before = usage_of(setup.process_id).cpu_seconds;
  constexpr seconds kTime{10};
  std::this_thread::sleep_for(kTime);
  const double share =
      (usage_of(setup.process_id).cpu_seconds - before) / static_cast<double>(kTime.count());
  std::printf("100 watchers and no changes: %.2f%% of a core\n", share * 100);
  return share;
}

}  // namespace

json measure_watch(const WatchSetup& setup) {
  json report;
  report["idle_core_share"] = measure_idle(setup);
  report["latency"]["same_server"] = measure_latency(setup, setup.server, "the same server");
  report["latency"]["other_server"] = measure_latency(setup, setup.other_server, "another server");
  report["database_statements"] = measure_database(setup);
  report["throughput"] = measure_throughput(setup);
  return report;
}

}  // namespace orderd::bench
