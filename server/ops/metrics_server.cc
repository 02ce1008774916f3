#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <stdexcept>
#include <vector>

#include "server/ops/config.h"
#include "server/ops/logging.h"
#include "server/ops/metrics.h"
#include "server/ops/process.h"
#include "storage/wall_clock.h"

namespace orderd::ops {
namespace {

using boost::asio::ip::tcp;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr std::chrono::seconds kInterval{5};
constexpr std::chrono::seconds kSessionWait{2};
/// What waits is counted up to here: counting takes time too.
constexpr int kMostCounted = 10'000;

/// As a resolver takes it: an IPv6 address without its brackets.
std::string plain_host(const std::string& address) {
  const std::string host = host_of(address);
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

double to_seconds(Micros time) { return static_cast<double>(time) / 1e6; }

/// Gathers samples, those of one name one after the other.
class Samples {
 public:
  void gauge(const char* name, const char* help, auto value, Labels labels = {}) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = static_cast<double>(value);
  }
  void counter(const char* name, const char* help, auto value, Labels labels = {}) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value =
        static_cast<double>(value);
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  ClientMetric& add(const char* name, const char* help, MetricType type, Labels labels) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({name, help, type, {}});
    }
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }

  std::vector<MetricFamily> families_;
};

}  // namespace

/// Everything that is read rather than heard of.
class MetricsServer::Snapshot : public prometheus::Collectable {
 public:
  explicit Snapshot(const Sources& sources) : sources_(sources), started_(wall_clock()) {}

  void read_backlogs() {
    Backlogs read;
    try {
      const auto tx = sources_.storage.begin_read(storage::Clock::now() + kSessionWait);
      for (const std::string& account : sources_.accounts.names()) {
        read.payments[account] = tx->unresolved_backlog(account, kMostCounted);
      }
      read.pending = tx->email_backlog(pb::EMAIL_STATUS_PENDING, kMostCounted);
      read.dead = tx->email_backlog(pb::EMAIL_STATUS_DEAD, kMostCounted);
      read.feed_position = tx->feed_position();
    } catch (const storage::Error& error) {
      if (!failing_.exchange(true)) {
        spdlog::warn("what waits can't be read for the metrics: {}", error.what());
      }
      return;
    }
    failing_ = false;
    // Asked second: what is committed in between does not count.
    const auto feed = sources_.feed.state();
    if (feed.watchers > 0) {
      read.feed_lag = std::max<std::int64_t>(0, read.feed_position - feed.position);
    }
    read.time = wall_clock();
    std::lock_guard lock(mutex_);
    backlogs_ = std::move(read);
  }

  std::vector<MetricFamily> Collect() const override {
    Samples samples;
    samples.gauge("orderd_build_info", "1, with the version as a label", 1,
                  {{"version", ORDERD_VERSION}});
    samples.gauge("orderd_rpcs_running", "Calls that run", sources_.running_calls());
    add_engine(samples);
    add_storage(samples);
    add_payments(samples);
    add_feed(samples);
    add_backlogs(samples);
    add_process(samples);
    return samples.take();
  }

 private:
  /// What waits in the database, as of `time`.
  struct Backlogs {
    std::map<std::string, storage::Backlog> payments;
    storage::Backlog pending;
    storage::Backlog dead;
    std::int64_t feed_position = 0;
    std::int64_t feed_lag = 0;
    Micros time = 0;
  };

  void add_engine(Samples& samples) const {
    const auto waiting = sources_.engine.waiting();
    samples.gauge("orderd_commands_waiting", "Commands that wait for a lane", waiting.commands);
    samples.gauge("orderd_commands_waiting_bytes", "Bytes that those hold", waiting.bytes);
    const auto engine = sources_.engine.counters();
    samples.counter("orderd_commands_total", "Commands that a batch has executed", engine.commands);
    samples.counter("orderd_batch_reruns_total", "Batches that ran again", engine.reruns);
    samples.counter("orderd_batch_splits_total", "Batches that were split after many failures",
                    engine.splits);
    samples.counter("orderd_lost_commits_total", "COMMITs whose lost answer was found out",
                    engine.settled_commits);
    const auto reader = sources_.reader.counters();
    samples.gauge("orderd_reads_waiting", "Reads that wait for a thread", reader.waiting);
    samples.counter("orderd_reads_total", "Reads that were taken up", reader.reads);
    samples.counter("orderd_read_batches_total", "Sessions that those have shared", reader.batches);
    const auto cache = sources_.cache.counters();
    samples.gauge("orderd_cache_bytes", "Memory of the order cache, about", cache.bytes);
    samples.gauge("orderd_cache_orders", "Orders in the cache", cache.orders);
    samples.counter("orderd_cache_hits_total", "Orders that the cache had", cache.hits);
    samples.counter("orderd_cache_misses_total", "Orders that it did not have at their version",
                    cache.misses);
    samples.counter("orderd_cache_evictions_total", "Orders removed to make room", cache.evictions);
  }

  void add_storage(Samples& samples) const {
    const auto sessions = sources_.storage.sessions();
    constexpr auto kSessions = "orderd_db_sessions";
    constexpr auto kHelp = "Sessions with the database";
    samples.gauge(kSessions, kHelp, sessions.in_use, {{"state", "in_use"}});
    samples.gauge(kSessions, kHelp, sessions.idle, {{"state", "idle"}});
    samples.gauge("orderd_db_sessions_max", "Sessions that may be in use at once", sessions.most);
    samples.gauge("orderd_db_sessions_waiting", "Threads that wait for a session",
                  sessions.waiting);
    samples.counter("orderd_db_sessions_opened_total", "Sessions that were opened",
                    sessions.opened);
    constexpr auto kFailures = "orderd_db_session_failures_total";
    constexpr auto kFailuresHelp = "Sessions that could not be opened, were not free, or were lost";
    samples.counter(kFailures, kFailuresHelp, sessions.refused, {{"reason", "open"}});
    samples.counter(kFailures, kFailuresHelp, sessions.missed, {{"reason", "busy"}});
    samples.counter(kFailures, kFailuresHelp, sessions.discarded, {{"reason", "lost"}});
  }

  void add_payments(Samples& samples) const {
    const auto names = sources_.accounts.names();
    for (const std::string& account : names) {
      samples.gauge("orderd_gateway_calls_waiting", "Calls to a gateway that wait for a thread",
                    sources_.accounts.state(account).waiting, {{"account", account}});
    }
    for (const std::string& account : names) {
      samples.gauge("orderd_gateway_circuit_open",
                    "1: the gateway did not answer and is left alone for a while",
                    sources_.accounts.state(account).open, {{"account", account}});
    }
  }

  void add_feed(Samples& samples) const {
    const auto feed = sources_.feed.state();
    samples.gauge("orderd_feed_watchers", "WatchOrders streams", feed.watchers);
    samples.gauge("orderd_feed_watcher_lag_changes",
                  "Changes by which the slowest watcher is behind the feed", feed.behind);
    samples.gauge("orderd_feed_changes", "Changes that the feed keeps in memory", feed.changes);
    samples.gauge("orderd_feed_bytes", "Bytes of those, about", feed.bytes);
  }

  void add_backlogs(Samples& samples) const {
    std::lock_guard lock(mutex_);
    if (!backlogs_) return;
    const Backlogs& read = *backlogs_;
    for (const auto& [account, backlog] : read.payments) {
      samples.gauge("orderd_unresolved_payments", "Payments that are not settled", backlog.count,
                    {{"account", account}});
    }
    for (const auto& [account, backlog] : read.payments) {
      samples.gauge("orderd_unresolved_payments_oldest_age_seconds", "Age of the oldest of those",
                    age(backlog), {{"account", account}});
    }
    constexpr auto kEmails = "orderd_emails";
    constexpr auto kEmailsHelp = "E-mails that wait to be sent, or were given up";
    samples.gauge(kEmails, kEmailsHelp, read.pending.count, {{"status", "pending"}});
    samples.gauge(kEmails, kEmailsHelp, read.dead.count, {{"status", "dead"}});
    constexpr auto kAge = "orderd_emails_oldest_age_seconds";
    samples.gauge(kAge, "Age of the oldest of those", age(read.pending), {{"status", "pending"}});
    samples.gauge(kAge, "Age of the oldest of those", age(read.dead), {{"status", "dead"}});
    samples.gauge("orderd_feed_position", "Position of the last change in the database",
                  read.feed_position);
    samples.gauge(
        "orderd_feed_lag_changes",
        "Changes in the database that this server's feed did not have; 0 without watchers",
        read.feed_lag);
    samples.gauge("orderd_backlogs_read_timestamp_seconds",
                  "When unresolved payments, e-mails and the feed's position were read last",
                  to_seconds(read.time));
  }

  void add_process(Samples& samples) const {
    samples.counter("orderd_log_lines_dropped_total", "Lines of the log that could not be written",
                    dropped_log_lines());
    const ProcessState process = read_process();
    samples.counter("process_cpu_seconds_total", "CPU time", process.cpu_seconds);
    samples.gauge("process_resident_memory_bytes", "Memory in RAM", process.resident_bytes);
    samples.gauge("process_virtual_memory_bytes", "Address space", process.virtual_bytes);
    samples.gauge("process_threads", "Threads", process.threads);
    samples.gauge("process_open_fds", "Open files and sockets", process.open_files);
    samples.gauge("process_max_fds", "How many may be open", process.most_files);
    samples.gauge("process_start_time_seconds", "When the process started", to_seconds(started_));
  }

  /// 0: there is none.
  static double age(const storage::Backlog& backlog) {
    return backlog.oldest ? std::max(0.0, to_seconds(wall_clock() - *backlog.oldest)) : 0;
  }

  const Sources sources_;
  const Micros started_;
  std::atomic<bool> failing_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::optional<Backlogs> backlogs_;
};

MetricsServer::MetricsServer(const std::string& address, const Metrics& metrics,
                             const Sources& sources)
    : host_(plain_host(address)),
      heard_(metrics.collectable()),
      snapshot_(std::make_shared<Snapshot>(sources)),
      reading_(kInterval, [this](const auto&) { read_backlogs(); }) {
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception&) {
    throw std::runtime_error("can't serve metrics on " + address + "; is the port taken?");
  }
  port_ = exposer_->GetListeningPorts().front();
  exposer_->RegisterCollectable(heard_);
  exposer_->RegisterCollectable(snapshot_);
}

MetricsServer::~MetricsServer() {
  reading_.stop();
  if (exposer_ != nullptr) close();
}

void MetricsServer::close() {
  // The thread that listens sees the end only every two seconds, or when somebody connects.
  auto closed = std::async(std::launch::async, [this] { exposer_.reset(); });
  boost::asio::io_context io;
  boost::system::error_code ignored;
  const auto ends = tcp::resolver(io).resolve(host_, std::to_string(port_), ignored);
  while (closed.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
    tcp::socket socket(io);
    boost::asio::connect(socket, ends, ignored);
  }
}

void MetricsServer::read_backlogs() { snapshot_->read_backlogs(); }

}  // namespace orderd::ops
