#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "server/engine/engine.h"
#include "server/engine/eraser.h"
#include "server/engine/order_cache.h"
#include "server/engine/reader.h"
#include "server/engine/settings_cache.h"
#include "server/engine/settings_editor.h"
#include "server/ops/background.h"
#include "server/ops/config.h"
#include "server/ops/gateways.h"
#include "server/ops/logging.h"
#include "server/ops/mail.h"
#include "server/ops/periodic.h"
#include "server/payments/accounts.h"
#include "server/payments/processor.h"
#include "server/payments/reconciler.h"
#include "server/rpc/server.h"
#include "server/watch/feed.h"
#include "storage/storage.h"
#include "storage/wall_clock.h"

// The composition root: reads the configuration, wires the parts, runs them, and ends them in
// order.

namespace orderd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kExitDatabase = 3;
constexpr int kExitListen = 4;
constexpr int kExitGateway = 5;
constexpr int kExitMail = 6;
constexpr milliseconds kSettingsRefresh{500};
constexpr std::chrono::minutes kSweep{10};
constexpr hours kRequestLife{48};
constexpr int kSweepStep = 1000;
constexpr std::chrono::minutes kTrim{5};
constexpr seconds kDrain{10};

/// Keeps the settings that reads use at most about half a second behind. Ticks on the io thread,
/// reads on a reader thread.
class SettingsRefresh {
 public:
  SettingsRefresh(engine::Reader& reader, engine::SettingsCache& settings)
      : reader_(reader), settings_(settings) {}

  void tick() {
    if (running_.exchange(true)) return;
    reader_.run([] { return false; },
                [this](storage::ReadTransaction& tx) {
                  tx.snapshot();
                  settings_.refresh(tx);
                  if (failing_.exchange(false)) spdlog::info("the database answers again");
                  running_ = false;
                },
                [this](const absl::Status& status) {
                  if (!failing_.exchange(true)) {
                    spdlog::warn("the settings can't be read: {}", std::string(status.message()));
                  }
                  running_ = false;
                });
  }

 private:
  engine::Reader& reader_;
  engine::SettingsCache& settings_;
  std::atomic<bool> running_ = false;
  std::atomic<bool> failing_ = false;
};

/// Deletes old request rows, in steps that hold nobody up.
void sweep(storage::Storage& storage, const std::atomic<bool>& stopping) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const Micros before =
      std::chrono::duration_cast<std::chrono::microseconds>(now - kRequestLife).count();
  try {
    while (!stopping && storage.sweep(before, kSweepStep) == kSweepStep) {
    }
  } catch (const storage::Error& error) {
    spdlog::warn("sweeping old requests failed and will be tried again: {}", error.what());
  }
}

/// Lets go of changes that no watcher can go on from any more.
void trim(storage::Storage& storage, milliseconds retention, const std::atomic<bool>& stopping) {
  const Micros now = wall_clock();
  const auto kept = std::chrono::duration_cast<std::chrono::microseconds>(retention).count();
  try {
    while (!stopping && storage.trim_feed(now, now - kept, kept / 100)) {
    }
  } catch (const storage::Error& error) {
    spdlog::warn("trimming the feed failed and will be tried again: {}", error.what());
  }
}

/// Takes up the payments whose gateway has to be asked. What it starts goes on by itself.
void reconcile(payments::Reconciler& reconciler) {
  try {
    reconciler.pass();
  } catch (const storage::Error& error) {
    spdlog::warn("looking for payments to reconcile failed and will be tried again: {}",
                 error.what());
  }
}

/// An attempt belongs to its sender for a third longer than the gateway may take, at most 5 s
/// longer.
payments::Processor::Options processor_options(const ops::Config& config,
                                               const rules::Mailing& mailing) {
  payments::Processor::Options options;
  options.call_timeout = config.gateway_timeout;
  options.lease_margin = std::min(options.lease_margin, config.gateway_timeout / 3);
  options.first_check = config.reconcile_delay;
  options.mailing = mailing;
  return options;
}

payments::Reconciler::Options reconciler_options(const ops::Config& config) {
  payments::Reconciler::Options options;
  options.first_delay = config.reconcile_delay;
  options.claim = 4 * config.gateway_timeout;
  return options;
}

void log_of_grpc(gpr_log_func_args* args) {
  spdlog::log(args->severity == GPR_LOG_SEVERITY_ERROR ? spdlog::level::warn : spdlog::level::debug,
              "gRPC: {}", args->message);
}

int serve(const ops::Config& config) {
  std::unique_ptr<storage::Storage> storage;
  SettingsPtr initial;
  std::string secret;
  try {
    storage = storage::open(config.database, {});
    const auto tx = storage->begin_read(storage::Clock::now() + seconds(10));
    tx->snapshot();
    initial = std::make_shared<const Settings>(tx->load_settings());
    secret = storage->secret();
  } catch (const storage::Error& error) {
    std::fprintf(stderr, "orderd: can't use the database %s: %s\n",
                 ops::without_password(config.database).c_str(), error.what());
    return kExitDatabase;
  }

  boost::asio::io_context io;
  engine::OrderCache cache(config.cache_mb << 20);
  engine::SettingsCache settings(std::move(initial));
  engine::Limits limits;
  limits.lanes = config.lanes;
  watch::Feed feed(*storage, {});
  engine::Engine engine(*storage, cache, settings, limits, &feed);
  engine::Reader reader(*storage, cache, {});
  engine::SettingsEditor editor(*storage, settings);
  engine::Eraser eraser(*storage, engine, secret);
  payments::Accounts accounts({});
  try {
    ops::open_gateways(config, accounts);
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "orderd: %s\n", error.what());
    return kExitGateway;
  }
  std::unique_ptr<ops::Mail> mail;
  try {
    mail = std::make_unique<ops::Mail>(config.mail);
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "orderd: %s\n", error.what());
    return kExitMail;
  }
  payments::Processor processor(engine, reader, accounts, io,
                                processor_options(config, mail->mailing()));
  payments::Reconciler reconciler(*storage, processor, reconciler_options(config));

  // Before anybody can know of the server: from here on it ends cleanly.
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  std::promise<void> signaled;
  signals.async_wait([&](const boost::system::error_code&, int) { signaled.set_value(); });
  std::unique_ptr<rpc::Server> server;
  try {
    server = std::make_unique<rpc::Server>(
        config.listen, rpc::Backend{engine, reader, settings, editor, eraser, processor, feed,
                                    std::move(secret), config.feed_retention});
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "orderd: %s\n", error.what());
    return kExitListen;
  }

  SettingsRefresh refresh(reader, settings);
  ops::Periodic refreshing(io, kSettingsRefresh, [&] { refresh.tick(); });
  ops::Background sweeping(kSweep, [&](const auto& stopping) { sweep(*storage, stopping); });
  ops::Background reconciling(config.reconcile_interval,
                              [&](const auto&) { reconcile(reconciler); });
  ops::Background trimming(
      std::min<milliseconds>(kTrim, config.feed_retention / 50),
      [&](const auto& stopping) { trim(*storage, config.feed_retention, stopping); });
  mail->start(*storage, engine);
  std::thread timers([&io] { io.run(); });
  spdlog::info("database {}; everybody on this machine may do everything, nobody else can connect",
               ops::without_password(config.database));
  std::printf("orderd listening on %s:%d\n", ops::host_of(config.listen).c_str(), server->port());
  std::fflush(stdout);

  signaled.get_future().wait();
  spdlog::info("shutting down");
  // Each of these may still need what ends after it. Calls that wait for a gateway need the timers.
  server->shutdown(kDrain);
  mail->stop();
  reconciling.stop();
  processor.stop();
  reconciler.stop();
  io.stop();
  timers.join();
  sweeping.stop();
  trimming.stop();
  editor.stop();
  eraser.stop();
  engine.stop();
  reader.stop();
  spdlog::info("done");
  return 0;
}

}  // namespace
}  // namespace orderd

int main(int argc, char** argv) {
  int exit_code = 0;
  const auto config = orderd::ops::parse_config(argc, argv, exit_code);
  if (!config) return exit_code;
  // What callers send that does not parse is answered, not logged.
  google::protobuf::SetLogHandler(nullptr);
  orderd::ops::start_logging(config->log_level);
  gpr_set_log_function(orderd::log_of_grpc);
  exit_code = orderd::serve(*config);
  orderd::ops::stop_logging();
  return exit_code;
}
