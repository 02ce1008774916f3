#include <gtest/gtest.h>

#include <fstream>

#include "tests/money/money.h"
#include "tests/payments/fake_stripe.h"

namespace orderd::test {
namespace {

/// A gateway over HTTP fails in every way, with card data and secrets in what it sends. They, and
/// the key, are searched for in the logs and errors of the whole run when it ends.
TEST(Secrets, OfAGatewayReachNeitherLogsNorErrorsNorAnswers) {
  const std::string key = "sk_test_" + new_uuid();
  for (const std::string& secret :
       {key, std::string("SECRET of the gateway"), std::string("4242424242424242"),
        std::string("CLIENTSECRET"), std::string("CARDFINGERPRINT"),
        std::string("GARBAGE4000000000000002")}) {
    Seen::plant(secret);
  }
  FakeStripe stripe({.key = key, .certificate = {}, .private_key = {}});
  const Folder folder;
  const std::string key_file = folder.path() + "/key";
  std::ofstream(key_file) << key << "\n";
  const TestDatabase database = TestDatabase::sqlite();
  Server::Options options;
  options.gateways = {"stripe=stripe:" + key_file, folder.gateway("shop")};
  options.more_arguments = {"--stripe-url", stripe.url()};
  Server server(database.url(), options);
  const Shop& shop = server.shop();

  const auto see = [](const auto& answer) {
    Seen::add(answer.message + " " + answer.response.ShortDebugString());
  };
  const nlohmann::json faults[] = {
      {{"kind", "error"}, {"status", 402}, {"type", "card_error"}, {"code", "card_declined"}},
      {{"kind", "error"}, {"status", 400}, {"type", "invalid_request_error"}, {"code", "x"}},
      {{"kind", "error"}, {"status", 401}, {"type", "invalid_request_error"}, {"code", "x"}},
      {{"kind", "429"}, {"retry_after", 1}},
      {{"kind", "500"}},
      {{"kind", "500"}, {"apply", true}},
      {{"kind", "drop_after"}, {"times", 1}},
      {{"kind", "garbage"}, {"text", R"({"error":"GARBAGE4000000000000002"})"}},
      {{"kind", "garbage"}, {"text", "GARBAGE4000000000000002"}, {"status", 500}},
      {{"kind", "garbage"}, {"text", "GARBAGE4000000000000002"}, {"status", 402}},
  };
  int succeeded = 0, failed = 0;
  for (const auto& fault : faults) {
    SCOPED_TRACE(fault.dump());
    pb::CreateOrderRequest create;
    create.mutable_order();
    auto* payment = create.mutable_order()->add_payments();
    payment->set_gateway_account("stripe");
    payment->set_gateway_reference(
        stripe.control("create", {{"amount", 1000}})["id"].get<std::string>());
    auto* item = create.mutable_order()->add_items();
    item->set_sku("thing");
    item->set_quantity(1);
    *item->mutable_unit_price() = usd(1'000);
    const pb::Order order = shop.call(&Orders::CreateOrder, create).order();
    const Paid paid{order.order_id(), payment_of(order).payment_id(), "stripe",
                    payment->gateway_reference(), 1'000};

    stripe.control("fault", fault);
    const auto unread = shop.send(&Orders::SyncPayments, sync_request(paid));
    see(unread);
    failed += !unread.ok();
    stripe.control("clear");
    see(shop.send(&Orders::SyncPayments, sync_request(paid)));
    stripe.control("fault", fault);
    const auto captured = shop.send(&Orders::CapturePayment, capture_request(paid, 1'000));
    see(captured);
    failed += captured.ok() && captured->transaction().status() != pb::TRANSACTION_STATUS_SUCCEEDED;
    stripe.control("clear");
    see(shop.send(&Orders::SyncPayments, sync_request(paid)));
    const auto again = shop.send(&Orders::CapturePayment, capture_request(paid, 1'000));
    see(again);
    succeeded += again.ok() && again->transaction().status() == pb::TRANSACTION_STATUS_SUCCEEDED;
    stripe.control("fault", fault);
    see(shop.send(&Orders::RefundPayment, refund_request(paid, 400)));
    stripe.control("clear");
    see(shop.send(&Orders::SyncPayments, sync_request(paid)));
    Seen::add(shop.get(paid.order_id).ShortDebugString());
    for (const auto& it : shop.transactions(paid.order_id)) Seen::add(it.ShortDebugString());
  }
  // With a key that is refused.
  stripe.control("key", {{"key", "another"}});
  pb::SyncPaymentsRequest sync;
  for (const auto& it : shop.unresolved()) {
    Seen::add(it.ShortDebugString());
    sync.set_order_id(it.order_id());
    see(shop.send(&Orders::SyncPayments, sync));
  }
  // Else this shows nothing.
  EXPECT_GT(failed, 5);
  EXPECT_GT(succeeded, 0);
  EXPECT_EQ(server.process().terminate(), 0);
  EXPECT_NE(server.process().standard_error().find("CapturePayment"), std::string::npos)
      << "the log does not even name the calls";
}

}  // namespace
}  // namespace orderd::test
