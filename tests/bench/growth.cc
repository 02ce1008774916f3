#include "tests/bench/growth.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <random>

#include "tests/bench/seed.h"
#include "tests/bench/workload.h"

namespace orderd::bench {
namespace {

using nlohmann::json;

constexpr int kCallers = 64;
constexpr std::size_t kWorkingSet = 10'000;

struct Part {
  std::string name;
  std::unique_ptr<Workload> working_set;
  std::unique_ptr<Workload> all;
};

}  // namespace

json measure_growth(const GrowthSetup& setup) {
  json report;
  std::vector<Part> parts;
  for (const GrowthSetup::Server& server : setup.servers) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::string> ids = seed(server.address, server.orders, 0, server.items);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    report["growth"]["seeding"][server.name] = {
        {"orders", server.orders}, {"items", server.items}, {"seconds", seconds}};
    std::fprintf(stderr, "%s: %llu orders of %d items in %.0f s\n", server.name.c_str(),
                 static_cast<unsigned long long>(server.orders), server.items, seconds);
    Part part;
    part.name = server.name;
    std::shuffle(ids.begin(), ids.end(), std::mt19937_64(1));
    part.all = std::make_unique<Workload>(Workload::Setup{server.address, ids});
    ids.resize(std::min(ids.size(), kWorkingSet));
    part.working_set = std::make_unique<Workload>(Workload::Setup{server.address, ids});
    parts.push_back(std::move(part));
  }
  for (const std::string operation : {"get_order", "list_orders_distinct", "update_invoice",
                                      "update_status", "add_note", "update_shipments"}) {
    for (const bool uniform : {false, true}) {
      if (uniform && operation != "get_order") continue;
      const std::string name = operation + (uniform ? "_uniform" : "");
      std::map<std::string, std::vector<double>> ratios;
      for (Part& part : parts) {  // caches
        (uniform ? part.all : part.working_set)->run(operation, kCallers, setup.duration);
      }
      for (int round = 0; round < setup.rounds; ++round) {
        double first = 0;
        for (Part& part : parts) {
          const Figures figures =
              (uniform ? part.all : part.working_set)->run(operation, kCallers, setup.duration);
          if (first == 0) first = figures.per_second;
          ratios[part.name].push_back(figures.per_second / first);
          report["growth"]["rounds"][name][part.name].push_back(figures.per_second);
          std::fprintf(stderr, "%s, %s: %.0f/s  p50 %.2f ms\n", name.c_str(), part.name.c_str(),
                       figures.per_second, figures.p50_ms);
        }
      }
      for (std::size_t i = 1; i < parts.size(); ++i) {
        report["ratios"][name + "_" + parts[i].name + "_vs_" + parts[0].name] =
            median(ratios[parts[i].name]);
      }
    }
  }
  return report;
}

}  // namespace orderd::bench
