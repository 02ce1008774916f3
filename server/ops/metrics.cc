#include "server/ops/metrics.h"

#include <google/protobuf/descriptor.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <unordered_map>
#include <utility>

#include "orders/v1/order.pb.h"

namespace orderd::ops {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Labels;
using Buckets = Histogram::BucketBoundaries;

/// Seconds.
const Buckets kCallBuckets = {.0005, .001, .0025, .005, .01, .025, .05, .1,
                              .25,   .5,   1,     2.5,  5,   10,   30};
const Buckets kBatchBuckets = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};
const Buckets kGatewayBuckets = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60};
/// Commands.
const Buckets kSizeBuckets = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};

constexpr const char* kServices[] = {"orders.v1.OrderService", "orders.v1.OrderSettingsService",
                                     "orders.v1.AccessService", "orders.sandbox.v1.SandboxService"};
/// Of a method that is in none of them.
constexpr std::string_view kOther = "other";
constexpr std::size_t kCodes = 17;

double to_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

enum Statement : std::size_t { kSelect, kInsert, kUpdate, kDelete, kCommit, kOtherStatement };
constexpr std::array kStatements = {"select", "insert", "update", "delete", "commit", "other"};

Statement statement_of(std::string_view sql) {
  if (sql.starts_with("SELECT")) return kSelect;
  if (sql.starts_with("INSERT") || sql.starts_with("REPLACE")) return kInsert;
  if (sql.starts_with("UPDATE")) return kUpdate;
  if (sql.starts_with("DELETE")) return kDelete;
  if (sql.starts_with("COMMIT")) return kCommit;
  return kOtherStatement;
}

}  // namespace

struct Metrics::Families : public prometheus::Collectable {
  /// The histograms of a method by code, made when they are needed first.
  using Row = std::array<std::atomic<Histogram*>, kCodes>;

  Families() {
    rows[kOther];
    const auto* pool = pb::Order::descriptor()->file()->pool();
    for (const char* name : kServices) {
      const auto* service = pool->FindServiceByName(name);
      for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
        rows[service->method(i)->name()];
      }
    }
    for (std::size_t i = 0; i < statements.size(); ++i) {
      statements[i] = &statement_family.Add({{"kind", kStatements[i]}});
    }
  }

  std::vector<prometheus::MetricFamily> Collect() const override { return registry.Collect(); }

  Histogram& call(std::string_view method, absl::StatusCode code) {
    auto row = rows.find(method);
    if (row == rows.end()) row = rows.find(kOther);
    auto index = static_cast<std::size_t>(code);
    if (index >= kCodes) index = static_cast<std::size_t>(absl::StatusCode::kUnknown);
    std::atomic<Histogram*>& place = row->second[index];
    Histogram* histogram = place.load(std::memory_order_acquire);
    if (histogram == nullptr) {
      // Two threads that are here at once get the same one.
      histogram = &call_family.Add(
          {{"method", std::string(row->first)},
           {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(index))}},
          kCallBuckets);
      place.store(histogram, std::memory_order_release);
    }
    return *histogram;
  }

  Family<Histogram>& histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }

  prometheus::Registry registry;
  Family<Histogram>& call_family = histograms("orderd_rpc_duration_seconds",
                                              "Duration of calls, from their begin to the answer");
  /// Not changed after construction, but for the pointers. The names are those of descriptors.
  std::unordered_map<std::string_view, Row> rows;
  Histogram& batch_commands =
      histograms("orderd_batch_commands", "Commands of a committed batch").Add({}, kSizeBuckets);
  Histogram& batch_duration =
      histograms("orderd_batch_duration_seconds", "Duration of a committed batch")
          .Add({}, kBatchBuckets);
  Histogram& batch_wait =
      histograms("orderd_batch_wait_seconds", "Wait of the command of a batch that waited longest")
          .Add({}, kBatchBuckets);
  Family<Histogram>& gateway_family =
      histograms("orderd_gateway_call_duration_seconds", "Duration of calls to payment gateways");
  Family<Counter>& statement_family = prometheus::BuildCounter()
                                          .Name("orderd_sql_statements_total")
                                          .Help("SQL statements that were sent")
                                          .Register(registry);
  std::array<Counter*, kStatements.size()> statements{};
};

Metrics::Metrics() : families_(std::make_shared<Families>()) {}

Metrics::~Metrics() = default;

void Metrics::call(std::string_view method, absl::StatusCode code,
                   std::chrono::nanoseconds duration) {
  families_->call(method, code).Observe(to_seconds(duration));
}

void Metrics::batch(const engine::BatchReport& report) {
  families_->batch_commands.Observe(static_cast<double>(report.commands));
  families_->batch_duration.Observe(to_seconds(report.duration));
  families_->batch_wait.Observe(to_seconds(report.waited));
}

void Metrics::gateway_call(const payments::GatewayReport& report) {
  families_->gateway_family
      .Add({{"account", std::string(report.account)},
            {"operation", std::string(report.operation)},
            {"outcome", std::string(report.outcome)}},
           kGatewayBuckets)
      .Observe(to_seconds(report.duration));
}

void Metrics::statement(std::string_view sql) {
  families_->statements[statement_of(sql)]->Increment();
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const { return families_; }

}  // namespace orderd::ops
