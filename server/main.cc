#include <utility>

#include <boost/asio/io_context.hpp>

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "server/engine/engine.h"
#include "server/engine/eraser.h"
#include "server/engine/order_cache.h"
#include "server/engine/reader.h"
#include "server/engine/settings_cache.h"
#include "server/engine/settings_editor.h"
#include "server/ops/access.h"
#include "server/ops/check_config.h"
#include "server/ops/config.h"
#include "server/ops/database_watch.h"
#include "server/ops/file_limit.h"
#include "server/ops/gateways.h"
#include "server/ops/housekeeping.h"
#include "server/ops/logging.h"
#include "server/ops/mail.h"
#include "server/ops/metrics.h"
#include "server/ops/reloader.h"
#include "server/ops/signals.h"
#include "server/payments/accounts.h"
#include "server/payments/processor.h"
#include "server/payments/reconciler.h"
#include "server/rpc/server.h"
#include "server/watch/feed.h"
#include "storage/storage.h"

// The composition root: reads the configuration, wires the parts, runs them, and ends them in
// order.

namespace orderd {
namespace {

using std::chrono::milliseconds;

constexpr int kExitDatabase = 3;
constexpr int kExitListen = 4;
constexpr int kExitGateway = 5;
constexpr int kExitMail = 6;
constexpr int kExitAccess = 7;
/// Of the time for the end, what is left when calls have had theirs: a fifth, at most this.
constexpr milliseconds kAfterCalls{1'000};
/// Sessions beside those of the lanes.
constexpr int kSessions = 15;

/// An attempt belongs to its sender for a third longer than the gateway may take, at most 5 s
/// longer.
payments::Processor::Options processor_options(const ops::Config& config,
                                               const rules::Mailing& mailing,
                                               ops::Metrics* metrics) {
  payments::Processor::Options options;
  options.call_timeout = config.gateway_timeout;
  options.lease_margin = std::min(options.lease_margin, config.gateway_timeout / 3);
  options.first_check = config.reconcile_delay;
  options.mailing = mailing;
  if (metrics != nullptr) {
    options.observer = [metrics](const auto& report) { metrics->gateway_call(report); };
  }
  return options;
}

payments::Reconciler::Options reconciler_options(const ops::Config& config) {
  payments::Reconciler::Options options;
  options.first_delay = config.reconcile_delay;
  options.claim = 4 * config.gateway_timeout;
  return options;
}

/// Files that are no connections of callers': the database's, gRPC's own, and what is opened for a
/// moment.
constexpr std::size_t kOtherFiles = 256;

rpc::Limits rpc_limits(const ops::LimitsConfig& config) {
  rpc::Limits limits;
  limits.calls = config.calls;
  limits.imports = config.imports;
  limits.rate.per_second = config.rate;
  limits.rate.burst = config.burst;
  limits.default_deadline = config.default_deadline;
  limits.max_deadline = config.max_deadline;
  limits.streams = static_cast<int>(config.streams);
  limits.memory_bytes = config.memory_mb << 20;
  const std::size_t files = ops::raise_file_limit();
  limits.connections =
      std::min(config.connections, files > 2 * kOtherFiles ? files - kOtherFiles : files / 2);
  if (limits.connections < config.connections) {
    spdlog::warn("at most {} connections, not {}: the process may open only {} files",
                 limits.connections, config.connections, files);
  }
  return limits;
}

void log_of_grpc(gpr_log_func_args* args) {
  spdlog::log(args->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::warn : spdlog::level::debug,
              "gRPC: {}", args->message);
}

int complain(int exit_code, const std::string& text) {
  std::fprintf(stderr, "orderd: %s\n", text.c_str());
  return exit_code;
}

int serve(const ops::Config& config, ops::Reloader& reloader) {
  const std::string database = "the database " + ops::without_password(config.database);
  std::unique_ptr<storage::Storage> storage;
  std::unique_ptr<ops::Metrics> metrics;
  storage::Options storage_options;
  storage_options.max_sessions = config.lanes + kSessions;
  engine::BatchObserver batch_observer;
  rpc::CallObserver call_observer;
  if (!config.metrics.listen.empty()) {
    metrics = std::make_unique<ops::Metrics>();
    storage_options.on_statement = [&metrics](std::string_view sql) { metrics->statement(sql); };
    batch_observer = [&metrics](const auto& report) { metrics->batch(report); };
    call_observer = [&metrics](const auto& report) {
      metrics->call(report.method, report.code, report.duration);
    };
  }
  try {
    storage = storage::create(ops::database_url(config), storage_options);
  } catch (const std::runtime_error& error) {
    return complain(kExitDatabase, "can't use " + database + ": " + error.what());
  }

  boost::asio::io_context io;
  engine::OrderCache cache(config.cache_mb << 20);
  engine::SettingsCache settings(std::make_shared<const Settings>());
  engine::Limits limits;
  limits.lanes = config.lanes;
  watch::Feed::Options feed_options;
  feed_options.watchers = config.limits.watchers;
  watch::Feed feed(*storage, feed_options);
  engine::Engine engine(*storage, cache, settings, limits, &feed, std::move(batch_observer));
  engine::Reader reader(*storage, cache, {});
  engine::SettingsEditor editor(*storage, settings);
  engine::Eraser eraser(*storage, engine);
  payments::Accounts accounts({});
  try {
    ops::open_gateways(config, accounts);
  } catch (const std::runtime_error& error) {
    return complain(kExitGateway, error.what());
  }
  std::unique_ptr<ops::Mail> mail;
  try {
    mail = std::make_unique<ops::Mail>(config.mail);
  } catch (const std::runtime_error& error) {
    return complain(kExitMail, error.what());
  }
  std::unique_ptr<ops::Access> access;
  try {
    access = std::make_unique<ops::Access>(config, *storage);
  } catch (const std::runtime_error& error) {
    return complain(kExitAccess, error.what());
  }
  reloader.add({}, [&access](const auto&) { access->reload(); });
  payments::Processor processor(engine, reader, accounts, io,
                                processor_options(config, mail->mailing(), metrics.get()));
  payments::Reconciler reconciler(*storage, processor, reconciler_options(config));
  ops::Housekeeping housekeeping(config, *storage, reconciler);

  // Before anybody can know of the server: from here on it ends cleanly.
  ops::Signals signals([&reloader] { reloader.reload(); });
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<ops::MetricsServer> metrics_server;
  try {
    server = std::make_unique<rpc::Server>(
        config.listen,
        rpc::Backend{engine, reader, settings, editor, eraser, processor, feed, access->keys(), "",
                     config.feed_retention},
        std::move(call_observer), rpc_limits(config.limits), access->entrance());
    if (metrics) {
      metrics_server = std::make_unique<ops::MetricsServer>(
          config.metrics.listen, *metrics,
          ops::MetricsServer::Sources{*storage, engine, reader, cache, feed, accounts,
                                      [&server] { return server->running_calls(); }});
      spdlog::info("metrics at http://{}:{}/metrics", ops::host_of(config.metrics.listen),
                   metrics_server->port());
    }
  } catch (const std::runtime_error& error) {
    return complain(kExitListen, error.what());
  }

  ops::DatabaseWatch watch(
      *storage, io,
      {.read =
           [&](storage::ReadTransaction& tx) {
             settings.refresh(tx);
             access->refresh(tx);
           },
       .reached =
           [&](std::string secret) {
             if (const std::string no = access->objection(); !no.empty()) {
               signals.end(complain(kExitAccess, no));
               return false;
             }
             spdlog::info("{}; {}", database, access->summary());
             housekeeping.start();
             mail->start(*storage, engine);
             access->start();
             eraser.set_secret(secret);
             server->begin(std::move(secret));
             return true;
           },
       .refused =
           [&](const storage::Error& error) {
             signals.end(complain(kExitDatabase, "can't use " + database + ": " + error.what()));
           },
       .tried =
           [&] {
             std::printf("orderd listening on %s:%d\n", ops::host_of(config.listen).c_str(),
                         server->port());
             std::fflush(stdout);
           },
       .usable = [&](bool usable) { server->set_ready(usable); }});
  std::thread timers([&io] { io.run(); });

  const int exit_code = signals.wait();
  spdlog::info("shutting down");
  signals.limit(config.drain_timeout);
  // Each of these may still need what ends after it. Calls that wait for a gateway need the timers.
  server->shutdown(config.drain_timeout - std::min(kAfterCalls, config.drain_timeout / 5));
  watch.stop();
  mail->stop();
  housekeeping.stop_reconciling();
  processor.stop();
  reconciler.stop();
  io.stop();
  timers.join();
  housekeeping.stop();
  feed.stop();
  editor.stop();
  access->stop();
  eraser.stop();
  engine.stop();
  reader.stop();
  spdlog::info("done");
  return exit_code;
}

}  // namespace
}  // namespace orderd

int main(int argc, char** argv) {
  int exit_code = 0;
  const auto config = orderd::ops::parse_config(argc, argv, exit_code);
  if (!config) return exit_code;
  if (config->check) return orderd::ops::check_config(*config);
  // What callers send that does not parse is answered, not logged.
  google::protobuf::SetLogHandler(nullptr);
  orderd::ops::start_logging(config->log);
  gpr_set_log_function(orderd::log_of_grpc);
  // Debian's Abseil looks for deadlocks at each lock of gRPC's, at a twentieth of the server's
  // time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  orderd::ops::Reloader reloader(argc, argv, *config);
  reloader.add({"log-level"},
               [](const auto& fresh) { orderd::ops::set_log_level(fresh.log.level); });
  exit_code = orderd::serve(*config, reloader);
  orderd::ops::stop_logging();
  return exit_code;
}
