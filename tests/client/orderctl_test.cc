#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "tests/client/orderctl_fixture.h"

// orderctl as a program, against a server that answers what the test wants.

namespace orderd::cli {
namespace {

using orderd::testing::FakeServer;
using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace pb = ::orders::v1;

TEST_F(OrderctlTest, ExitCodeTellsTheKindOfError) {
  const std::pair<grpc::StatusCode, int> kinds[] = {
      {grpc::NOT_FOUND, 3},       {grpc::INVALID_ARGUMENT, 4},
      {grpc::OUT_OF_RANGE, 4},    {grpc::ALREADY_EXISTS, 5},
      {grpc::ABORTED, 5},         {grpc::FAILED_PRECONDITION, 6},
      {grpc::UNAVAILABLE, 7},     {grpc::RESOURCE_EXHAUSTED, 7},
      {grpc::CANCELLED, 7},       {grpc::PERMISSION_DENIED, 8},
      {grpc::UNAUTHENTICATED, 8}, {grpc::INTERNAL, 9},
      {grpc::UNIMPLEMENTED, 9},   {grpc::UNKNOWN, 9}};
  for (const auto& [code, exit_code] : kinds) {
    const bool retried = code == grpc::UNAVAILABLE || code == grpc::CANCELLED;
    server_.fail_next(to_grpc(rich_error(code, "WHY")), retried ? 6 : 1);
    const Result result = run("invoice 01890000-0000-7000-8000-000000000000 X");
    EXPECT_EQ(result.code, exit_code) << code;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(StartsWith("error: refused: WHY"), HasSubstr("reason: WHY"),
                                  HasSubstr("current_etag: 7")));
  }
  EXPECT_EQ(run("frobnicate").code, 2);
  EXPECT_THAT(run("frobnicate").err, HasSubstr("unknown command \"frobnicate\""));
  EXPECT_EQ(run("status 1001").code, 2);
  EXPECT_EQ(run("invoice 1001").code, 2);
  EXPECT_EQ(run("invoice 1001 X --clear").code, 2);
  EXPECT_EQ(run("list --limit 0").code, 2);
  EXPECT_EQ(run("list --sort size").code, 2);
  EXPECT_EQ(run("list --since yesterday").code, 1);
  EXPECT_EQ(run("create /nonexistent.json").code, 1);
  EXPECT_EQ(run("get 4711").code, 3);
  EXPECT_EQ(run("get ''").code, 4);
  EXPECT_EQ(run("--help").code, 0);
}

TEST_F(OrderctlTest, ErrorsNameEveryViolation) {
  google::rpc::Status rich = rich_error(grpc::INVALID_ARGUMENT, "INVALID_REQUEST");
  google::rpc::BadRequest bad;
  for (const auto* field : {"order.items[0].sku", "order.items[0].quantity"}) {
    bad.add_field_violations()->set_field(field);
    bad.mutable_field_violations()->rbegin()->set_description("is wrong");
  }
  rich.add_details()->PackFrom(bad);
  server_.fail_next(to_grpc(rich));
  const Result result = run("create -", "{}");
  EXPECT_THAT(result.err, AllOf(HasSubstr("field order.items[0].sku: is wrong"),
                                HasSubstr("field order.items[0].quantity: is wrong")));
}

TEST_F(OrderctlTest, JsonErrorsSayWhere) {
  const Result syntax = run("create -", "{\n \"items\": [,]\n}");
  EXPECT_EQ(syntax.code, 1);
  EXPECT_THAT(syntax.err, AllOf(HasSubstr("line 2, column 12"), HasSubstr("unexpected ','")));
  EXPECT_THAT(run("create -", "{\"itemz\": []}").err, HasSubstr("itemz"));
  EXPECT_THAT(run("create -", "[1]").err, HasSubstr("expected an object, found array"));
  EXPECT_THAT(run("create -", "{\"items\": [{\"quantity\": \"two\"}]}").err,
              AllOf(HasSubstr("items[0].quantity"), HasSubstr("two")));
  EXPECT_THAT(run("create -", "").err, HasSubstr("unexpected end of input"));
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(OrderctlTest, ShowsAnOrder) {
  order_.set_order_number("1001");
  order_.set_state_id("processing");
  order_.mutable_customer()->set_name("Zoë 山田");
  (*order_.mutable_labels())["channel"] = "web";
  order_.mutable_order_time()->set_seconds(1'800'000'000);
  auto& item = *order_.add_items();
  item.set_sku("MUG");
  item.set_quantity(2);
  set(item.mutable_unit_price(), "EUR", 1250);
  set(item.mutable_total(), "EUR", 2500);
  auto& totals = *order_.mutable_totals();
  set(totals.mutable_shipping(), "JPY", 1999);
  set(totals.mutable_shipping_tax(), "KWD", 50);
  auto& voucher = *totals.add_adjustments();
  voucher.set_label("voucher");
  set(voucher.mutable_amount(), "EUR", -5);
  set(totals.mutable_total(), "CLF", std::numeric_limits<std::int64_t>::min());
  auto& shipment = *order_.add_shipments();
  shipment.set_method_id("parcel");
  shipment.add_tracking_numbers()->set_number("JJD01");
  shipment.add_tracking_numbers()->set_number("JJD02");
  shipment.add_lines()->set_delivery_state_id("shipped");
  auto& action = *order_.add_available_actions();
  action.set_kind(pb::ACTION_KIND_CHANGE_STATE);
  action.set_state_id("canceled");
  action.set_reason("CANCEL_REQUIRED");

  const Result result = run("get 1001");
  EXPECT_EQ(result.code, 0) << result.err;
  for (const auto* text :
       {"order 1001 (id-of-1001)", "processing", "Zoë 山田", "channel=web", "2027-01-15T08:00:00Z",
        "12.50 EUR", "25.00 EUR", "1999 JPY", "0.050 KWD", "-0.05 EUR", "-922337203685477.5808 CLF",
        "parcel", "JJD01", "JJD02", "shipped", "canceled (CANCEL_REQUIRED)"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
  const Result json = run("get 1001 --json");
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"order_number\":\"1001\""), HasSubstr("\"state_id\"")));
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 1);
}

TEST_F(OrderctlTest, TextFromOrdersCannotControlTheTerminal) {
  order_.set_order_number("1001");
  order_.mutable_customer()->set_name("a\x1b[2Jb\nc\u202e");
  const Result result = run("get 1001");
  EXPECT_THAT(result.out, HasSubstr("a\uFFFD[2Jb c\uFFFD"));
}

TEST_F(OrderctlTest, TablesAreAligned) {
  server_.on_list_orders = [](const pb::ListOrdersRequest&, pb::ListOrdersResponse& response) {
    for (const auto* name : {"山田", "Zoë", "Ann-Kathrin"}) {
      auto& order = *response.add_orders();
      order.set_order_number("1");
      order.mutable_customer()->set_name(name);
      order.set_item_count(3);
    }
  };
  const Result result = run("list");
  EXPECT_THAT(result.out, HasSubstr("-        山田             3"));
  EXPECT_THAT(result.out, HasSubstr("-        Zoë              3"));
  EXPECT_THAT(result.out, HasSubstr("-        Ann-Kathrin      3"));
}

TEST_F(OrderctlTest, ListPassesEveryFilterOn) {
  const Result result =
      run("list --state new --state fraud --open --email a@b.c --invoice I --number N "
          "--since 2026-01-02 --until 2026-01-03T04:05:06Z --order-since 2026-02-01 "
          "--update-until 2026-03-01T00:00:00+01:00 --payment-status captured "
          "--payment-status partly-captured --label k=v=w --sort update --ascending --all --json "
          "--full");
  EXPECT_EQ(result.code, 0) << result.err;
  const auto request = last_request<pb::ListOrdersRequest>();
  const auto& filter = request.filter();
  EXPECT_THAT(filter.state_ids(), ::testing::ElementsAre("new", "fraud"));
  EXPECT_TRUE(filter.open_only());
  EXPECT_EQ(filter.customer_email(), "a@b.c");
  EXPECT_EQ(filter.invoice_number(), "I");
  EXPECT_EQ(filter.order_number(), "N");
  EXPECT_EQ(filter.create_time().start_time().seconds(), 1767312000);
  EXPECT_EQ(filter.create_time().end_time().seconds(), 1767413106);
  EXPECT_EQ(filter.order_time().start_time().seconds(), 1769904000);
  EXPECT_FALSE(filter.order_time().has_end_time());
  EXPECT_EQ(filter.update_time().end_time().seconds(), 1772319600);
  EXPECT_THAT(
      filter.payment_statuses(),
      ::testing::ElementsAre(pb::PAYMENT_STATUS_CAPTURED, pb::PAYMENT_STATUS_PARTLY_CAPTURED));
  EXPECT_EQ(filter.label().key(), "k");
  EXPECT_EQ(filter.label().value(), "v=w");
  EXPECT_EQ(request.sort(), pb::ORDER_SORT_UPDATE_TIME);
  EXPECT_EQ(request.direction(), pb::SORT_DIRECTION_ASCENDING);
  EXPECT_EQ(request.view(), pb::ORDER_VIEW_FULL);

  run("list --label k");
  EXPECT_FALSE(last_request<pb::ListOrdersRequest>().filter().label().has_value());
}

TEST_F(OrderctlTest, ListSaysThatThereIsMore) {
  server_.on_list_orders = [](const pb::ListOrdersRequest& request,
                              pb::ListOrdersResponse& response) {
    for (int i = 0; i < 3; ++i) response.add_orders()->set_order_number("n");
    if (request.page_token().empty()) response.set_next_page_token("2");
  };
  const auto rows = [](const Result& result) {
    return std::count(result.out.begin(), result.out.end(), '\n') - 1;
  };
  const Result some = run("list --limit 4");
  EXPECT_EQ(rows(some), 4);
  EXPECT_THAT(some.err, HasSubstr("the first 4"));
  const Result exact = run("list --limit 6");
  EXPECT_EQ(rows(exact), 6);
  EXPECT_EQ(exact.err, "");
  EXPECT_EQ(rows(run("list --all")), 6);
}

TEST_F(OrderctlTest, UpdateSendsAMaskAndMergesLabels) {
  (*order_.mutable_labels())["old"] = "1";
  (*order_.mutable_labels())["gone"] = "1";
  order_.set_etag("5");
  const Result result = run(
      "update 1001 --set customer.email=x=y --set shipping_address.city= --clear billing_address "
      "--label new=2 --remove-label gone --reason why");
  EXPECT_EQ(result.code, 0) << result.err;
  auto request = last_request<pb::UpdateOrderRequest>();
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.customer().email(), "x=y");
  EXPECT_EQ(request.reason(), "why");
  EXPECT_EQ(request.etag(), "5");
  EXPECT_EQ(request.labels().size(), 2u);
  EXPECT_EQ(request.labels().at("old"), "1");
  EXPECT_EQ(request.labels().at("new"), "2");
  EXPECT_THAT(request.update_mask().paths(),
              ::testing::ElementsAre("customer.email", "shipping_address.city", "billing_address",
                                     "labels"));
  EXPECT_EQ(run("update 1001").code, 1);
  EXPECT_THAT(run("update 1001 --set customer.mail=x").err, HasSubstr("customer_id, name, email"));
  EXPECT_EQ(run("update 1001 --set state=x").code, 1);
}

TEST_F(OrderctlTest, LabelsAreMergedAgainIfSomebodyWasFaster) {
  order_.set_etag("5");
  server_.fail_next(grpc::Status::OK, 2);  // look-up, read
  server_.fail_next(to_grpc(rich_error(grpc::ABORTED, "ETAG_MISMATCH")));
  EXPECT_EQ(run("update 1001 --label a=b").code, 0);
  EXPECT_EQ(server_.calls().size(), 5u);
  EXPECT_EQ(server_.calls()[2].request_id, server_.calls()[4].request_id);

  server_.fail_next(grpc::Status::OK, 2);
  server_.fail_next(to_grpc(rich_error(grpc::ABORTED, "ETAG_MISMATCH")));
  EXPECT_EQ(run("update 1001 --label a=b --etag 5").code, 5);
}

TEST_F(OrderctlTest, StatusOfSeveralOrdersIsPartlyDone) {
  server_.on_batch = [](const pb::BatchUpdateOrderStatusRequest& request,
                        pb::BatchUpdateOrderStatusResponse& response) {
    for (const auto& update : request.updates()) {
      EXPECT_EQ(update.state_id(), "processing");
      auto& result = *response.add_results();
      result.set_order_id(update.order_id());
      result.set_changed(true);
    }
    *response.mutable_results(1)->mutable_status() =
        rich_error(grpc::FAILED_PRECONDITION, "STATE_FINAL");
  };
  const std::string ids = "01890000-0000-7000-8000-00000000000";
  const Result result =
      run("status " + ids + "1 " + ids + "2 processing --request-id " + ids + "9");
  EXPECT_EQ(result.code, 10);
  EXPECT_THAT(result.out, AllOf(HasSubstr(ids + "1"), Not(HasSubstr(ids + "2"))));
  EXPECT_THAT(result.err, AllOf(HasSubstr(ids + "2"), HasSubstr("STATE_FINAL")));
  EXPECT_EQ(server_.calls().back().request_id, ids + "9");
}

TEST_F(OrderctlTest, StatesPresenceOfEnterableFromIsKept) {
  EXPECT_EQ(run("states create s --name S --category held --final --no-capture").code, 0);
  auto created = last_request<pb::CreateOrderStateRequest>().state();
  EXPECT_EQ(created.category(), pb::STATE_CATEGORY_HELD);
  EXPECT_TRUE(created.final());
  EXPECT_FALSE(created.has_enterable_from());
  run("states create s --name S --category held --from-none");
  created = last_request<pb::CreateOrderStateRequest>().state();
  EXPECT_TRUE(created.has_enterable_from());
  EXPECT_EQ(created.enterable_from().state_ids_size(), 0);
  run("states update s --from a --from b --no-final --dry-run --etag 3");
  const auto update = last_request<pb::UpdateOrderStateRequest>();
  EXPECT_THAT(update.state().enterable_from().state_ids(), ::testing::ElementsAre("a", "b"));
  EXPECT_THAT(update.update_mask().paths(), ::testing::ElementsAre("final", "enterable_from"));
  EXPECT_TRUE(update.validate_only());
  EXPECT_EQ(update.settings_etag(), "3");
  run("states update s --from-any");
  EXPECT_FALSE(last_request<pb::UpdateOrderStateRequest>().state().has_enterable_from());
  EXPECT_EQ(run("states update s").code, 1);
}

class OrderctlImportTest : public OrderctlTest {
 protected:
  OrderctlImportTest() {
    server_.on_import = [this](int, grpc::ServerContext&, FakeServer::ImportStream& stream) {
      pb::ImportOrdersRequest request;
      while (stream.Read(&request)) {
        const std::string& number = request.order().order_number();
        if (number == "stop") return to_grpc(rich_error(grpc::PERMISSION_DENIED, "NO"));
        pb::ImportOrdersResponse response;
        response.set_order_number(number);
        response.set_result(results_.contains(number) ? results_.at(number)
                                                      : pb::IMPORT_RESULT_CREATED);
        if (response.result() == pb::IMPORT_RESULT_CONFLICT) {
          *response.mutable_error() = rich_error(grpc::ALREADY_EXISTS, "IMPORT_CONFLICT");
        }
        if (response.result() == pb::IMPORT_RESULT_REFUSED) {
          *response.mutable_error() = rich_error(grpc::INVALID_ARGUMENT, "STATE_UNKNOWN");
        }
        stream.Write(response);
      }
      return grpc::Status::OK;
    };
  }

  static std::string line(const std::string& number) {
    return "{\"order\": {\"order_number\": \"" + number + "\"}}\n";
  }

  std::map<std::string, pb::ImportResult> results_ = {{"old", pb::IMPORT_RESULT_UNCHANGED},
                                                      {"other", pb::IMPORT_RESULT_CONFLICT},
                                                      {"bad", pb::IMPORT_RESULT_REFUSED}};
};

TEST_F(OrderctlImportTest, CountsAndReportsByLine) {
  const std::string rejects = (directory_ / "rejects").string();
  const Result result = run("import - --rejects " + rejects,
                            line("a") + "\n" + "{broken\n" + line("old") + line("other") +
                                line("bad") + line("\xff") + line("b"));
  EXPECT_EQ(result.code, 10);
  EXPECT_THAT(result.out,
              StartsWith("7 lines: 2 created, 1 unchanged, 1 conflicts, 1 refused, 2 broken\n"));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("line 3: "), HasSubstr("line 5: order other: conflict"),
                    HasSubstr("line 6: order bad: refused: STATE_UNKNOWN"), HasSubstr("line 7: ")));
  EXPECT_EQ(read(rejects).size(),
            std::string("{broken\n" + line("other") + line("bad") + line("\xff")).size());
}

TEST_F(OrderctlImportTest, AllIsWell) {
  const Result result = run("import -", line("a") + line("old"));
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "2 lines: 1 created, 1 unchanged, 0 conflicts, 0 refused, 0 broken\n");
  EXPECT_EQ(result.err, "");
}

TEST_F(OrderctlImportTest, JsonHasALinePerOrderAndASummary) {
  const Result result = run("import - --json", line("a") + "[]\n" + line("other"));
  EXPECT_EQ(result.code, 10);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 4);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("\"line\":3"), HasSubstr("\"reason\":\"IMPORT_CONFLICT\""),
                    HasSubstr("{\"summary\":{\"broken\":1,\"conflict\":1,\"created\":1,")));
}

TEST_F(OrderctlImportTest, SaysWhereToGoOn) {
  const Result result = run("import -", line("a") + "\n" + line("b") + line("stop") + line("c"));
  EXPECT_EQ(result.code, 8);
  EXPECT_THAT(result.out, StartsWith("2 lines: 2 created"));
  EXPECT_THAT(result.err, HasSubstr("orderctl import - --from-line 4"));
  const Result rest =
      run("import - --from-line 5", line("a") + "\n" + line("b") + line("stop") + line("c"));
  EXPECT_EQ(rest.code, 0);
  EXPECT_THAT(rest.out, StartsWith("1 lines: 1 created"));
}

TEST_F(OrderctlImportTest, AnOrderTooLargeDoesNotStopTheRest) {
  const std::string huge(5'000'000, 'x');
  const Result result = run("import -", line("a") + line(huge) + line("b"));
  EXPECT_EQ(result.code, 10);
  EXPECT_THAT(result.out,
              StartsWith("3 lines: 2 created, 0 unchanged, 0 conflicts, 0 refused, 1 b"));
  EXPECT_THAT(result.err, HasSubstr("line 2: larger than 4 MiB"));
}

TEST_F(OrderctlTest, CompletionKnowsCommandsAndOptions) {
  const Result script = run("completion bash");
  ASSERT_EQ(script.code, 0);
  write(directory_ / "script", script.out + R"(
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _orderctl; echo "${COMPREPLY[*]}"; }
complete_words orderctl sta
complete_words orderctl note ""
complete_words orderctl --json states create --no-f
complete_words orderctl pay ""
complete_words orderctl pay capture 1001 --f
)");
  const auto output = directory_ / "words";
  ASSERT_EQ(
      std::system(("bash " + (directory_ / "script").string() + " >" + output.string()).c_str()),
      0);
  const std::string words = read(output);
  EXPECT_THAT(words, StartsWith("status states\n"));
  EXPECT_THAT(words, HasSubstr("\nadd edit delete list --server"));
  EXPECT_THAT(words, HasSubstr("\n--no-final\n"));
  EXPECT_THAT(words, HasSubstr("\nshow add capture refund void sync unresolved resolve --server"));
  EXPECT_THAT(words, HasSubstr("\n--final\n"));
  EXPECT_THAT(run("completion zsh").out, StartsWith("#compdef orderctl\n"));
  EXPECT_EQ(run("completion fish").code, 2);
}

}  // namespace
}  // namespace orderd::cli
