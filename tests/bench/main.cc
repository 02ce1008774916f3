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

#include "absl/synchronization/mutex.h"
#include "tests/bench/echo.h"
#include "tests/bench/growth.h"
#include "tests/bench/load.h"
#include "tests/bench/measure.h"
#include "tests/bench/overload.h"
#include "tests/bench/seed.h"
#include "tests/bench/watch.h"
#include "tests/bench/workload.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;
using nlohmann::json;
using std::chrono::milliseconds;

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

std::vector<GrowthSetup::Server> growth_servers(const std::vector<std::string>& described) {
  std::vector<GrowthSetup::Server> servers;
  for (const std::string& text : described) {
    const std::vector<std::string> parts = CLI::detail::split(text, ',');
    if (parts.size() != 4) throw std::runtime_error("not NAME,ADDRESS,ORDERS,ITEMS: " + text);
    servers.push_back({parts[0], parts[1], std::stoull(parts[2]), std::stoi(parts[3])});
  }
  return servers;
}

int run(int argc, char** argv) {
  std::string server;
  std::string json_path;
  std::uint64_t orders = 10'000;
  int rounds = 5;
  double seconds = 2;
  int pages = 1000;
  MeasureSetup setup;
  CLI::App app{"Measures orderd against its limits. scripts/bench starts it."};
  app.add_option("--server", server, "orderd's address");
  app.add_option("--orders", orders, "Orders to seed");
  app.add_option("--rounds", rounds, "Rounds in which limit and server alternate");
  app.add_option("--seconds", seconds, "Seconds of each measurement")
      ->take_last();  // scripts/bench has a default of its own
  app.add_option("--json", json_path, "Where the report goes as JSON");
  app.add_option("--only", setup.only, "Only comparisons whose names begin so; between commas")
      ->delimiter(',');
  app.add_subcommand("echo", "Serves what gRPC alone is measured with");
  auto* measuring = app.add_subcommand("measure", "Everything against its limits");
  measuring->add_flag("--quick", setup.quick, "Only what the ratios need");
  measuring->add_option("--cold-server", setup.cold_server, "An orderd without a cache")
      ->required();
  measuring->add_option("--sqlite-server", setup.sqlite_server, "An orderd on SQLite")->required();
  measuring->add_option("--echo", setup.echo, "The echo's address")->required();
  measuring->add_option("--database", setup.database, "orderd's")->required();
  measuring->add_option("--limit-database", setup.limit_database, "An empty one")->required();
  measuring->add_option("--insert-database", setup.insert_database, "An empty one")->required();
  measuring->add_option("--sqlite-database", setup.sqlite_database, "orderd's")->required();
  measuring->add_option("--sqlite-limit-database", setup.sqlite_limit_database, "A new one")
      ->required();
  measuring->add_option("--server-process", setup.server_process, "orderd's id")->required();
  measuring->add_option("--sqlite-process", setup.sqlite_process, "orderd's on SQLite")->required();
  measuring->add_option("--database-process", setup.database_process, "MariaDB's")->required();
  measuring->add_option("--idle-mb", setup.idle_mb, "The server's memory before anything");
  measuring->add_option("--idle-percent", setup.idle_percent, "Its CPU then");
  measuring->add_option("--directory", setup.directory, "On the databases' disk")->required();
  std::vector<std::string> sizes;
  auto* growing = app.add_subcommand("growth", "More orders, and larger ones");
  growing
      ->add_option("servers", sizes,
                   "NAME,ADDRESS,ORDERS,ITEMS of each; the first is compared with")
      ->required();
  std::string operation;
  int callers = 64;
  auto* loading = app.add_subcommand("load", "One operation, for a profile of the server");
  loading->add_option("operation", operation, "Such as update_invoice")->required();
  loading->add_option("--callers", callers, "Concurrent callers");
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

  if (app.got_subcommand("echo")) {
    serve_echo();
    return 0;
  }
  const milliseconds duration(static_cast<int>(seconds * 1000));
  json report;
  if (*measuring) {
    setup.server = server;
    setup.orders = static_cast<int>(orders);
    setup.rounds = rounds;
    setup.duration = duration;
    report = measure(setup);
  } else if (*watching) {
    watch_setup.server = server;
    watch_setup.order_ids = seed(server, orders);
    watch_setup.rounds = rounds;
    watch_setup.duration = duration;
    report = measure_watch(watch_setup);
  } else if (*overload) {
    overload_setup.server = server;
    overload_setup.order_ids = seed(server, orders);
    overload_setup.rounds = rounds;
    overload_setup.duration = duration;
    report = measure_overload(overload_setup);
  } else if (*growing) {
    report = measure_growth({growth_servers(sizes), rounds, duration});
  } else if (*loading) {
    const bool money = operation == "capture" || operation == "cancel";
    Workload load({server, seed(server, orders), money ? 512 : 0, money ? 4000 : 0});
    const Figures figures = load.run(operation, callers, duration);
    report = {{"per_second", figures.per_second}, {"p50_ms", figures.p50_ms}};
    std::printf("%s, %d callers: %.0f/s, p50 %.2f ms, p99 %.2f ms\n", operation.c_str(), callers,
                figures.per_second, figures.p50_ms, figures.p99_ms);
  } else {
    seed(server, orders);
    Connections connections(server, 1);
    report = measure_lists(connections, pages);
  }
  if (!json_path.empty()) std::ofstream(json_path) << report.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace orderd::bench

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as in orderd
  try {
    return orderd::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 1;
  }
}
