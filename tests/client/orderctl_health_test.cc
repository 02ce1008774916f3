#include "tests/client/orderctl_fixture.h"

namespace orderd::testing {
namespace {

class HealthCommand : public OrderctlTest {
 protected:
  void expect(const std::string& arguments, int code, const std::string& out) {
    const Result result = run(arguments);
    EXPECT_EQ(result.code, code) << arguments << ": " << result.err;
    EXPECT_EQ(result.out, out) << arguments;
  }
};

TEST_F(HealthCommand, IsWhatTheServerSays) {
  expect("health", 0, "SERVING\n");
  expect("health --json", 0, "{\"status\":\"SERVING\"}\n");
  server_.say_serving(false);
  expect("health", 7, "NOT_SERVING\n");
  expect("health --service orders.v1.OrderService --json", 7, "{\"status\":\"NOT_SERVING\"}\n");
  expect("health --service ''", 0, "SERVING\n");
  expect("health --service orders.v1.Nothing", 3, "");
  EXPECT_TRUE(server_.calls().empty()) << "health is no call of the service";
}

TEST_F(HealthCommand, NobodyThereIsUnhealthy) {
  // Nobody listens on port 1.
  expect("--server 127.0.0.1:1 health", 7, "");
}

}  // namespace
}  // namespace orderd::testing
