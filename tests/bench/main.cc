// Measures a running orderd against what its database does alone. Started by scripts/bench.

#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "tests/bench/database_limit.h"
#include "tests/bench/load.h"
#include "tests/bench/overload.h"
#include "tests/bench/seed.h"
#include "tests/bench/watch.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr int kChannels = 4;

json to_json(const Figures& figures) {
  return {{"per_second", figures.per_second},
          {"p50_ms", figures.p50_ms},
          {"p99_ms", figures.p99_ms},
          {"p999_ms", figures.p999_ms},
          {"errors", figures.errors}};
}

void print(const std::string& what, int concurrency, const Figures& figures) {
  std::printf("%-34s %5d %10.0f/s %9.2f ms %9.2f ms %6llu errors\n", what.c_str(), concurrency,
              figures.per_second, figures.p50_ms, figures.p99_ms,
              static_cast<unsigned long long>(figures.errors));
  std::fflush(stdout);
}

/// UpdateInvoice by `callers` callers, each on orders of its own.
Figures update_invoice(Connections& connections, const std::vector<std::string>& ids, int callers,
                       milliseconds duration, int round) {
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    pb::UpdateInvoiceRequest request;
    pb::UpdateInvoiceResponse response;
  };
  std::vector<Call> calls(static_cast<std::size_t>(callers));
  const std::size_t own = ids.size() / static_cast<std::size_t>(callers);
  return run_load(
      callers, duration, [&](int caller, std::uint64_t n, std::function<void(bool)> done) {
        Call& call = calls[static_cast<std::size_t>(caller)];
        call.context = std::make_unique<grpc::ClientContext>();
        call.request.set_order_id(ids[static_cast<std::size_t>(caller) * own + n % own]);
        call.request.set_invoice_number("S" + std::to_string(round) + "-" + std::to_string(caller) +
                                        "-" + std::to_string(n));
        connections.stub(caller).async()->UpdateInvoice(
            call.context.get(), &call.request, &call.response,
            [done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
      });
}

/// The database's limit at its best number of threads, then orderd, in turn.
json measure_writes(Connections& connections, const std::vector<std::string>& ids,
                    DatabaseLimit& database, const std::vector<int>& concurrency, int rounds,
                    milliseconds duration) {
  json report;
  int best_threads = 1;
  double best = 0;
  for (const int threads : {1, 2, 4, 8, 16, 32, 64}) {
    const Figures figures = database.update_invoice(threads, duration);
    print("database alone, UpdateInvoice", threads, figures);
    report["database"]["threads"][std::to_string(threads)] = to_json(figures);
    if (figures.per_second > best) {
      best = figures.per_second;
      best_threads = threads;
    }
  }
  report["database"]["best_threads"] = best_threads;

  for (const int callers : concurrency) {
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
      const Figures limit = database.update_invoice(best_threads, duration);
      print("database alone, UpdateInvoice", best_threads, limit);
      const Figures ours =
          update_invoice(connections, ids, callers, duration, callers * 100 + round);
      print("orderd, UpdateInvoice", callers, ours);
      ratios.push_back(ours.per_second / limit.per_second);
      report["rounds"][std::to_string(callers)].push_back(
          {{"database", to_json(limit)}, {"orderd", to_json(ours)}, {"ratio", ratios.back()}});
    }
    const std::string name = "update_invoice_" + std::to_string(callers) + "_vs_db";
    report["ratios"][name] = median(ratios);
    std::printf("%s: %.2f (median of %d rounds)\n\n", name.c_str(), median(ratios), rounds);
  }
  return report;
}

/// Walks a list and times each page.
json measure_list(Connections& connections, const std::string& what, pb::ListOrdersRequest request,
                  int pages) {
  std::vector<std::uint32_t> all;
  std::vector<std::uint32_t> first;
  std::vector<std::uint32_t> last;
  std::size_t orders = 0;
  for (int page = 1; page <= pages; ++page) {
    // The ends are measured several times, for a median.
    const int repeats = page == 1 || page == pages ? 21 : 1;
    pb::ListOrdersResponse response;
    for (int i = 0; i < repeats; ++i) {
      grpc::ClientContext context;
      const auto begin = std::chrono::steady_clock::now();
      const grpc::Status status = connections.stub(0).ListOrders(&context, request, &response);
      const auto time = std::chrono::duration_cast<std::chrono::microseconds>(
          std::chrono::steady_clock::now() - begin);
      if (!status.ok()) throw std::runtime_error(what + ": " + status.error_message());
      const auto micros = static_cast<std::uint32_t>(time.count());
      if (i == 0) all.push_back(micros);
      if (page == 1) first.push_back(micros);
      if (page == pages) last.push_back(micros);
    }
    orders += static_cast<std::size_t>(response.orders_size());
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  const Figures figures = figures_of(all, 1, 0);
  const Figures at_first = figures_of(first, 1, 0);
  json report = {{"pages", all.size()},
                 {"orders", orders},
                 {"p50_ms", figures.p50_ms},
                 {"p99_ms", figures.p99_ms},
                 {"page_1_ms", at_first.p50_ms}};
  std::printf("%-44s %5zu pages %7zu orders  p50 %6.2f  p99 %6.2f  page 1 %6.2f ms", what.c_str(),
              all.size(), orders, figures.p50_ms, figures.p99_ms, at_first.p50_ms);
  if (!last.empty()) {
    const Figures at_last = figures_of(last, 1, 0);
    report["last_page_ms"] = at_last.p50_ms;
    std::printf("  page %d %6.2f ms", pages, at_last.p50_ms);
  }
  std::printf("\n");
  std::fflush(stdout);
  return report;
}

json measure_lists(Connections& connections, int pages) {
  json report;
  const auto walk = [&](const std::string& what, const pb::ListOrdersRequest& request) {
    report[what] = measure_list(connections, what, request, pages);
  };
  pb::ListOrdersRequest request;
  request.set_page_size(50);
  walk("by create time", request);
  request.set_view(pb::ORDER_VIEW_FULL);
  walk("by create time, FULL", request);
  request.set_view(pb::ORDER_VIEW_SUMMARY);
  request.set_sort(pb::ORDER_SORT_UPDATE_TIME);
  request.set_direction(pb::SORT_DIRECTION_ASCENDING);
  walk("by update time, ascending", request);
  request.set_sort(pb::ORDER_SORT_ORDER_TIME);
  walk("by order time, ascending", request);
  request.Clear();
  request.set_page_size(50);
  request.mutable_filter()->add_state_ids("new");
  walk("state new", request);
  request.mutable_filter()->set_open_only(true);
  request.mutable_filter()->clear_state_ids();
  walk("open only", request);
  request.Clear();
  request.set_page_size(50);
  request.mutable_filter()->mutable_label()->set_key("channel");
  request.mutable_filter()->mutable_label()->set_value("app");
  walk("label channel=app", request);
  request.mutable_filter()->mutable_label()->set_value("none");
  walk("label channel=none (finds nothing)", request);
  request.Clear();
  request.set_page_size(50);
  request.mutable_filter()->set_customer_email("customer7@example.com");
  request.set_sort(pb::ORDER_SORT_TOTAL);
  walk("customer's e-mail, by total", request);
  return report;
}

int run(int argc, char** argv) {
  std::string server;
  std::string limit_url;
  std::string source;
  std::string json_path;
  std::uint64_t orders = 10'000;
  int rounds = 5;
  int seconds = 4;
  int pages = 1000;
  std::vector<int> callers = {64, 256};
  CLI::App app{"Measures orderd against its database. scripts/bench starts it."};
  app.add_option("--server", server, "orderd's address")->required();
  app.add_option("--orders", orders, "Orders to seed");
  app.add_option("--rounds", rounds, "Rounds in which limit and server alternate");
  app.add_option("--seconds", seconds, "Seconds of each measurement");
  app.add_option("--callers", callers, "Concurrent callers");
  app.add_option("--json", json_path, "Where the report goes as JSON");
  auto* writes = app.add_subcommand("writes", "UpdateInvoice against one transaction per command");
  writes->add_option("--limit-database", limit_url, "An empty database for the limit")->required();
  writes->add_option("--source", source, "The name of orderd's database")->required();
  auto* lists = app.add_subcommand("lists", "The time of list pages");
  lists->add_option("--pages", pages, "How many pages are walked");
  WatchSetup watch_setup;
  auto* watching = app.add_subcommand("watch", "The change feed: what it costs, how late it is");
  watching->add_option("--other-server", watch_setup.other_server, "Another server's address")
      ->required();
  watching->add_option("--process-id", watch_setup.process_id, "Of the server")->required();
  watching->add_option("--database", watch_setup.database_url, "Of both servers")->required();
  OverloadSetup overload_setup;
  auto* overload = app.add_subcommand("overload", "Eight times the clients that it can serve");
  overload->add_option("--process-id", overload_setup.process_id, "Of the server")->required();
  overload->add_option("--clients", overload_setup.clients, "That it can serve: its --max-calls")
      ->required();
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);

  const std::vector<std::string> ids = seed(server, orders);
  Connections connections(server, kChannels);
  json report;
  if (*writes) {
    DatabaseLimit database(limit_url, source);
    report =
        measure_writes(connections, ids, database, callers, rounds, milliseconds(seconds * 1000));
  } else if (*watching) {
    watch_setup.server = server;
    watch_setup.order_ids = ids;
    watch_setup.rounds = rounds;
    watch_setup.duration = milliseconds(seconds * 1000);
    report = measure_watch(watch_setup);
  } else if (*overload) {
    overload_setup.server = server;
    overload_setup.order_ids = ids;
    overload_setup.rounds = rounds;
    overload_setup.duration = milliseconds(seconds * 1000);
    report = measure_overload(overload_setup);
  } else {
    report = measure_lists(connections, pages);
  }
  if (!json_path.empty()) std::ofstream(json_path) << report.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace orderd::bench

int main(int argc, char** argv) {
  try {
    return orderd::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 1;
  }
}
