#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/client/orderctl_fixture.h"

// orderctl methods, orderctl delivery-states.

namespace orderd::cli {
namespace {

using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

namespace pb = ::orders::v1;

constexpr char kId[] = "01890000-0000-7000-8000-000000000000";

TEST_F(OrderctlTest, MethodsAreCreatedChangedAndDeleted) {
  ASSERT_EQ(run("methods create van --name Van").code, 0);
  const auto plain = last_request<pb::CreateShipmentMethodRequest>();
  EXPECT_EQ(plain.method().ShortDebugString(),
            "method_id: \"van\" display_name: \"Van\" enabled: true");
  EXPECT_FALSE(plain.validate_only());
  run("methods create van --name Van --carrier Own --no-enabled --position 7 --validate-only "
      "--tracking-url 'https://van.example/{tracking_number}' --request-id " +
      std::string(kId));
  const auto created = last_request<pb::CreateShipmentMethodRequest>();
  EXPECT_EQ(created.method().ShortDebugString(),
            "method_id: \"van\" display_name: \"Van\" carrier: \"Own\" tracking_url_template: "
            "\"https://van.example/{tracking_number}\" position: 7");
  EXPECT_TRUE(created.validate_only());
  EXPECT_EQ(created.request_id(), kId);

  EXPECT_EQ(run("methods update van --carrier '' --enabled").out, "updated: shipment method van\n");
  const auto updated = last_request<pb::UpdateShipmentMethodRequest>();
  EXPECT_EQ(updated.method().ShortDebugString(), "method_id: \"van\" enabled: true");
  EXPECT_THAT(updated.update_mask().paths(), ElementsAre("carrier", "enabled"));
  EXPECT_EQ(run("methods update van").code, 1);

  EXPECT_EQ(run("methods delete van --dry-run --etag 3").out,
            "would be deleted: shipment method van\n");
  const auto deleted = last_request<pb::DeleteShipmentMethodRequest>();
  EXPECT_EQ(deleted.method_id(), "van");
  EXPECT_TRUE(deleted.validate_only());
  EXPECT_EQ(deleted.settings_etag(), "3");
  server_.fail_next(to_grpc(rich_error(grpc::FAILED_PRECONDITION, "SHIPMENT_METHOD_IN_USE")));
  const Result refusal = run("methods delete van");
  EXPECT_EQ(refusal.code, 6);
  EXPECT_THAT(refusal.err, HasSubstr("--no-enabled"));
}

TEST_F(OrderctlTest, MethodsAreShown) {
  const auto fill = [](pb::ShipmentMethod& method) {
    method.set_method_id("van");
    method.set_display_name("Van");
    method.set_enabled(true);
    method.set_tracking_url_template("https://van.example/{tracking_number}");
  };
  server_.on_list_methods = [&](const pb::ListShipmentMethodsRequest& request,
                                pb::ListShipmentMethodsResponse& response) {
    fill(*response.add_methods());
    fill(*response.add_methods());
    response.mutable_methods(1)->set_enabled(false);
    if (!request.include_deleted()) return;
    fill(*response.add_methods());
    response.mutable_methods(2)->mutable_delete_time()->set_seconds(1);
  };
  server_.on_get_method = [&](const pb::GetShipmentMethodRequest& request,
                              pb::GetShipmentMethodResponse& response) {
    fill(*response.mutable_method());
    response.mutable_method()->set_method_id(request.method_id());
  };
  const std::string heading = "METHOD  NAME  CARRIER  POSITION  STATUS    TRACKING URL\n";
  EXPECT_EQ(
      run("methods list").out,
      heading +
          "van     Van   -               0  enabled   https://van.example/{tracking_number}\n"
          "van     Van   -               0  disabled  https://van.example/{tracking_number}\n");
  EXPECT_THAT(run("methods list --deleted").out, HasSubstr("DELETED"));
  const Result json = run("methods list --json");
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2);
  EXPECT_EQ(run("methods get truck").out,
            "METHOD  NAME  CARRIER  POSITION  STATUS   TRACKING URL\n"
            "truck   Van   -               0  enabled  https://van.example/{tracking_number}\n");
  EXPECT_THAT(run("methods get truck --json").out, StartsWith("{\"method_id\":\"truck\","));
  server_.fail_next(to_grpc(rich_error(grpc::NOT_FOUND, "SHIPMENT_METHOD_NOT_FOUND")));
  EXPECT_EQ(run("methods get truck").code, 3);
}

TEST_F(OrderctlTest, DeliveryStatesAreCreatedChangedAndDeleted) {
  ASSERT_EQ(run("delivery-states create customs --name 'In customs' --category shipped --from "
                "shipped --from returned --allow-tracking --position 35")
                .code,
            0);
  EXPECT_EQ(last_request<pb::CreateDeliveryStateRequest>().state().ShortDebugString(),
            "delivery_state_id: \"customs\" display_name: \"In customs\" category: "
            "DELIVERY_CATEGORY_SHIPPED allows_tracking: true enterable_from { state_ids: "
            "\"shipped\" state_ids: \"returned\" } position: 35");
  EXPECT_EQ(run("delivery-states create customs --name X --category held").code, 2);
  EXPECT_EQ(run("delivery-states create customs --category open").code, 2);

  run("delivery-states update customs --from-none --no-tracking --no-initial --final --name Y "
      "--validate-only");
  const auto updated = last_request<pb::UpdateDeliveryStateRequest>();
  EXPECT_EQ(updated.state().ShortDebugString(),
            "delivery_state_id: \"customs\" display_name: \"Y\" final: true enterable_from { }");
  EXPECT_THAT(updated.update_mask().paths(),
              UnorderedElementsAre("initial", "final", "allows_tracking", "display_name",
                                   "enterable_from"));
  EXPECT_TRUE(updated.validate_only());
  run("delivery-states update customs --from-any");
  EXPECT_FALSE(last_request<pb::UpdateDeliveryStateRequest>().state().has_enterable_from());

  run("delivery-states delete customs");
  EXPECT_EQ(last_request<pb::DeleteDeliveryStateRequest>().delivery_state_id(), "customs");
  run("delivery-states get customs");
  EXPECT_EQ(last_request<pb::GetDeliveryStateRequest>().delivery_state_id(), "customs");
}

TEST_F(OrderctlTest, DeliveryStatesAreListed) {
  server_.on_list_delivery_states = [](const pb::ListDeliveryStatesRequest&,
                                       pb::ListDeliveryStatesResponse& response) {
    auto& state = *response.add_states();
    state.set_delivery_state_id("delivered");
    state.set_display_name("Delivered");
    state.set_category(pb::DELIVERY_CATEGORY_DELIVERED);
    state.set_allows_tracking(true);
    state.set_position(40);
    state.mutable_enterable_from()->add_state_ids("shipped");
  };
  EXPECT_EQ(run("delivery-states list").out,
            "STATE      NAME       CATEGORY   POSITION  FLAGS     ENTERABLE FROM\n"
            "delivered  Delivered  delivered        40  tracking  shipped\n");
  EXPECT_EQ(last_request<pb::ListDeliveryStatesRequest>().include_deleted(), false);
}

}  // namespace
}  // namespace orderd::cli
