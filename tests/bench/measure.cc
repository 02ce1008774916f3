#include "tests/bench/measure.h"

#include <soci/soci.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <thread>

#include "tests/bench/database_limit.h"
#include "tests/bench/echo.h"
#include "tests/bench/process.h"
#include "tests/bench/seed.h"
#include "tests/bench/workload.h"

namespace orderd::bench {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr int kThreads[] = {1, 2, 4, 8, 16, 32, 64};
constexpr int kCallers[] = {1, 8, 64, 256};
constexpr int kChannels = 4;
constexpr int kPayments = 512;
constexpr int kCancellations = 1000;

json to_json(const Figures& figures) {
  return {{"per_second", figures.per_second},
          {"p50_ms", figures.p50_ms},
          {"p99_ms", figures.p99_ms},
          {"p999_ms", figures.p999_ms},
          {"errors", figures.errors}};
}

void print(const std::string& what, int concurrency, const Figures& figures) {
  std::fprintf(stderr, "%-40s %4d %9.0f/s  p50 %8.2f  p99 %8.2f ms", what.c_str(), concurrency,
               figures.per_second, figures.p50_ms, figures.p99_ms);
  if (figures.errors > 0) {
    std::fprintf(stderr, "  %llu errors", static_cast<unsigned long long>(figures.errors));
  }
  std::fputc('\n', stderr);
}

/// Something that can be run for a while.
struct Load {
  std::string name;
  int concurrency = 0;
  std::function<Figures(int concurrency, milliseconds duration)> run;
};

class Measurement {
 public:
  explicit Measurement(const MeasureSetup& setup)
      : setup_(setup),
        ids_(seed(setup.server, static_cast<std::uint64_t>(setup.orders))),
        writes_(setup.limit_database, source_of(setup.database), setup.directory),
        reads_(setup.database, ids_),
        inserts_(setup.insert_database, source_of(setup.database),
                 std::min(setup.orders, setup.quick ? 3000 : 10'000)),
        server_({setup.server, ids_, kPayments, setup.quick ? 0 : 8 * kCancellations}),
        cold_server_({setup.cold_server, ids_}),
        sqlite_ids_(seed(setup.sqlite_server, static_cast<std::uint64_t>(setup.orders))),
        sqlite_writes_(setup.sqlite_limit_database, path_of(setup.sqlite_database), ""),
        sqlite_server_({setup.sqlite_server, sqlite_ids_, setup.quick ? 0 : kPayments,
                        setup.quick ? 0 : 4 * kCancellations}),
        echo_(setup.echo, kChannels, 256) {}

  json run() {
    report_["orders"] = setup_.orders;
    report_["rounds"] = setup_.rounds;
    report_["seconds"] = std::chrono::duration<double>(setup_.duration).count();
    report_["limits"]["syncs_per_second"] = syncs_per_second(setup_.directory);
    measure_writes();
    measure_reads();
    if (wanted("import_vs_multirow_insert")) measure_import();
    if (!setup_.quick) measure_single_caller();
    if (!setup_.quick && setup_.only.empty()) {
      measure_all("mysql", server_, setup_.server_process, true);
      measure_all("sqlite", sqlite_server_, setup_.sqlite_process, false);
    }
    report_["memory"]["resident_mb_after_all"] = usage_of(setup_.server_process).resident_mb;
    if (setup_.idle_mb > 0) {
      report_["memory"]["idle_resident_mb"] = setup_.idle_mb;
      report_["memory"]["idle_cpu_percent"] = setup_.idle_percent;
    }
    return std::move(report_);
  }

 private:
  static std::string source_of(const std::string& url) {
    const auto name = url.substr(0, url.find('?'));
    return name.substr(name.rfind('/') + 1);
  }
  static std::string path_of(const std::string& url) { return url.substr(url.find(':') + 1); }

  bool wanted(const std::string& name) const {
    return setup_.only.empty() ||
           std::any_of(setup_.only.begin(), setup_.only.end(),
                       [&](const std::string& begin) { return name.rfind(begin, 0) == 0; });
  }

  /// The number of threads at which a limit does most. All figures go into the report.
  int best_threads(const std::string& dialect, const std::string& command,
                   const std::function<Figures(int, milliseconds)>& run) {
    int best = 1;
    double most = 0;
    json& report = report_["limits"][dialect][command];
    const milliseconds duration = std::max(setup_.duration / 3, milliseconds(300));
    for (const int threads : kThreads) {
      const Figures figures = run(threads, duration);
      print(dialect + " alone, " + command, threads, figures);
      report["threads"][std::to_string(threads)] = to_json(figures);
      if (figures.per_second > most) {
        most = figures.per_second;
        best = threads;
      }
    }
    report["best_threads"] = best;
    return best;
  }

  enum class Figure { kThroughput, kMedianLatency };

  /// Limit and server in turn; the ratio of each round, and the median of them.
  void compare(const std::string& name, const Load& limit, const Load& server,
               Figure figure = Figure::kThroughput) {
    std::vector<double> ratios;
    json& report = report_["comparisons"][name];
    report["limit"] = limit.name;
    report["server"] = server.name;
    for (int round = 0; round < setup_.rounds; ++round) {
      const Figures theirs = limit.run(limit.concurrency, setup_.duration);
      print(limit.name, limit.concurrency, theirs);
      const Figures ours = server.run(server.concurrency, setup_.duration);
      print(server.name, server.concurrency, ours);
      ratios.push_back(figure == Figure::kThroughput ? ours.per_second / theirs.per_second
                                                     : ours.p50_ms / theirs.p50_ms);
      report["rounds"].push_back(
          {{"limit", to_json(theirs)}, {"server", to_json(ours)}, {"ratio", ratios.back()}});
    }
    const double ratio = median(ratios);
    report_["ratios"][name] = ratio;
    std::fprintf(stderr, "%s: %.2f\n\n", name.c_str(), ratio);
  }

  Load load(Workload& server, const std::string& operation, int callers) {
    return {"orderd, " + operation, callers,
            [&server, operation](int count, milliseconds duration) {
              return server.run(operation, count, duration);
            }};
  }

  Load limit(WriteLimit& writes, const std::string& command, int threads) {
    return {"database alone, " + command, threads,
            [&writes, command](int count, milliseconds duration) {
              return writes.run(command, count, duration);
            }};
  }

  void measure_writes() {
    for (const std::string& command : WriteLimit::commands()) {
      const bool money = command == "capture";
      const bool more = !money && (!setup_.quick || command == "update_invoice");
      compare_writes("mysql", command, writes_, server_,
                     more ? std::vector{64, 256} : std::vector{64});
      if (more) compare_writes("sqlite", command, sqlite_writes_, sqlite_server_, {64});
    }
  }

  void compare_writes(const std::string& dialect, const std::string& command, WriteLimit& writes,
                      Workload& server, const std::vector<int>& callers) {
    const std::string prefix = (dialect == "mysql" ? "" : dialect + "_") + command;
    if (!wanted(prefix)) return;
    const int threads = best_threads(dialect, command, [&](int count, milliseconds duration) {
      return writes.run(command, count, duration);
    });
    for (const int count : callers) {
      compare(prefix + "_" + std::to_string(count) + "_vs_db", limit(writes, command, threads),
              load(server, command, count));
    }
  }

  Load echo(std::size_t size) {
    return {"gRPC alone, " + std::to_string(size) + " bytes", 64,
            [this, size](int callers, milliseconds duration) {
              const std::string request(size, 'x');
              return run_load(callers, duration,
                              [&](int caller, std::uint64_t, std::function<void(bool)> done) {
                                echo_.start(caller, kEchoMethod, request, std::move(done));
                                return true;
                              });
            }};
  }

  void measure_reads() {
    const Load warm = load(server_, "get_order", 64);
    if (wanted("get_order")) warm.run(64, setup_.duration);  // fills the cache
    compare_with_echo("get_order", warm);
    compare_reads("get_order", "get_order_cold_64_vs_db", cold_server_);
    compare_reads("list_orders", "list_orders_64_vs_db", server_);
    if (!setup_.quick) {
      compare_reads("list_orders_distinct", "list_orders_distinct_64_vs_db", server_);
    }
    if (!setup_.quick) {
      compare_with_echo("list_orders_full", load(server_, "list_orders_full", 64));
    }
  }

  void compare_with_echo(const std::string& operation, const Load& server) {
    const std::string name = operation + "_64_vs_echo";
    if (!wanted(name)) return;
    const std::size_t size = server_.answer_size(operation);
    report_["answer_bytes"][operation] = size;
    compare(name, echo(size), server);
  }

  void compare_reads(const std::string& operation, const std::string& name, Workload& server) {
    if (!wanted(name)) return;
    const int threads = best_threads("mysql", operation, [&](int count, milliseconds duration) {
      return reads_.run(operation, count, duration);
    });
    const Load alone{"database alone, " + operation, threads,
                     [this, operation](int count, milliseconds duration) {
                       return reads_.run(operation, count, duration);
                     }};
    compare(name, alone, load(server, operation, 64));
  }

  /// At one caller: how long a write takes.
  void measure_single_caller() {
    for (const std::string& command : WriteLimit::commands()) {
      const std::string name = command + "_1_p50_vs_db";
      if (command == "capture" || !wanted(name)) continue;
      compare(name, limit(writes_, command, 1), load(server_, command, 1), Figure::kMedianLatency);
    }
  }

  void measure_import() {
    std::vector<double> ratios;
    json& report = report_["comparisons"]["import_vs_multirow_insert"];
    report["limit"] = "multi-row INSERTs, " + std::to_string(InsertLimit::kOrdersPerTransaction) +
                      " orders a transaction";
    report["server"] = "orderd, ImportOrders";
    int best = 1;
    double most = 0;
    for (const int threads : {1, 2, 4}) {
      const double rate = inserts_.run(threads);
      report["threads"][std::to_string(threads)] = rate;
      std::fprintf(stderr, "multi-row INSERTs, %d connections: %.0f orders/s\n", threads, rate);
      if (rate > most) {
        most = rate;
        best = threads;
      }
    }
    for (int round = 0; round < setup_.rounds; ++round) {
      const double theirs = inserts_.run(best);
      const double ours = import_rate();
      ratios.push_back(ours / theirs);
      report["rounds"].push_back({{"limit", {{"per_second", theirs}}},
                                  {"server", {{"per_second", ours}}},
                                  {"ratio", ratios.back()}});
      std::fprintf(stderr, "multi-row INSERTs %.0f, ImportOrders %.0f orders/s\n", theirs, ours);
    }
    report_["ratios"]["import_vs_multirow_insert"] = median(ratios);
    std::fprintf(stderr, "import_vs_multirow_insert: %.2f\n\n", median(ratios));
  }

  double import_rate() {
    const std::uint64_t count = setup_.quick ? 3000 : 10'000;
    const auto begin = std::chrono::steady_clock::now();
    seed(setup_.server, count, imported_);
    imported_ += count;
    return static_cast<double>(count) /
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  struct DatabaseCounters {
    double statements = 0;
    double commits = 0;
    double syncs = 0;
  };
  DatabaseCounters database_counters() {
    DatabaseCounters counters;
    if (!status_) status_ = writing_session(setup_.database);
    soci::rowset<soci::row> rows =
        (status_->prepare << "SHOW GLOBAL STATUS WHERE variable_name IN ('Questions', 'Com_commit',"
                             " 'Innodb_os_log_fsyncs')");
    for (const soci::row& row : rows) {
      const double value = std::stod(row.get<std::string>(1));
      const auto name = row.get<std::string>(0);
      (name == "Questions"    ? counters.statements
       : name == "Com_commit" ? counters.commits
                              : counters.syncs) = value;
    }
    return counters;
  }

  /// Every operation at every number of callers, with what it costs.
  void measure_all(const std::string& dialect, Workload& server, int process, bool mysql) {
    for (const std::string& operation : Workload::operations()) {
      for (const int callers : kCallers) {
        const Usage server_before = usage_of(process);
        const Usage client_before = usage_of(getpid());
        const double database_before = usage_of(setup_.database_process).cpu_seconds;
        const DatabaseCounters before = mysql ? database_counters() : DatabaseCounters();
        const auto begin = std::chrono::steady_clock::now();
        const Figures figures = server.run(operation, callers, setup_.duration / 2);
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        print(dialect + ", " + operation, callers, figures);
        json entry = to_json(figures);
        const Usage after = usage_of(process);
        entry["server_cpu"] = (after.cpu_seconds - server_before.cpu_seconds) / seconds;
        entry["client_cpu"] =
            (usage_of(getpid()).cpu_seconds - client_before.cpu_seconds) / seconds;
        entry["resident_mb"] = after.resident_mb;
        // Over the whole run, of which a tenth is not in the figures.
        const double commands = figures.per_second * seconds;
        if (mysql && commands > 0) {
          const DatabaseCounters now = database_counters();
          entry["database_cpu"] =
              (usage_of(setup_.database_process).cpu_seconds - database_before) / seconds;
          entry["statements_per_command"] = (now.statements - before.statements) / commands;
          entry["commits_per_command"] = (now.commits - before.commits) / commands;
          entry["log_syncs_per_command"] = (now.syncs - before.syncs) / commands;
        }
        report_["loads"][dialect][operation][std::to_string(callers)] = std::move(entry);
      }
    }
  }

  const MeasureSetup& setup_;
  json report_;
  std::unique_ptr<soci::session> status_;
  const std::vector<std::string> ids_;
  WriteLimit writes_;
  ReadLimit reads_;
  InsertLimit inserts_;
  Workload server_;
  Workload cold_server_;
  const std::vector<std::string> sqlite_ids_;
  WriteLimit sqlite_writes_;
  Workload sqlite_server_;
  RawCalls echo_;
  std::uint64_t imported_ = 1'000'000'000;
};

}  // namespace

json measure(const MeasureSetup& setup) { return Measurement(setup).run(); }

}  // namespace orderd::bench
