#include <fmt/core.h>

#include <memory>
#include <string>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "grpc/health/v1/health.pb.h"

// health

namespace orderd::cli {
namespace {

int health(Session& session, const std::string& service) {
  const auto serving = session.client.is_serving(service);
  if (!serving.ok()) return fail(serving.status());
  using grpc::health::v1::HealthCheckResponse;
  if (session.json) {
    HealthCheckResponse response;
    response.set_status(*serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
    print_json(response);
  } else {
    fmt::print("{}\n", *serving ? "SERVING" : "NOT_SERVING");
  }
  return *serving ? kOk : kUnavailable;
}

}  // namespace

void add_health_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("health", "Whether the server can answer calls now");
  auto service = std::make_shared<std::string>("orders.v1.OrderService");
  command->add_option("--service", *service, "Of this gRPC service; '' for the process as a whole")
      ->capture_default_str();
  command->footer(
      "For probes and scripts: it asks once, by gRPC's health protocol, and ends with 0 (SERVING)\n"
      "or 7 (NOT_SERVING: the server is going, or can't reach its database; or nobody answers).\n"
      "Examples:\n"
      "  orderctl health\n"
      "  orderctl --timeout 2 health --service ''");
  command->callback([service, &action] {
    action = [service](Session& session) { return health(session, *service); };
  });
}

}  // namespace orderd::cli
