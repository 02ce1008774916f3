#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/money/money.h"
#include "tests/payments/fake_stripe.h"
#include "tests/support/tcp_gate.h"

// The way to a gateway over HTTP is cut in every way that a network knows, while a refund is on its
// way. A refund that went twice would show: the payment has money for more.

namespace orderd::test {
namespace {

constexpr std::int64_t kCaptured = 1'000;
constexpr std::int64_t kRefunded = 400;

enum class Fault { kStopReading, kStopWriting, kRefuse, kCloseBefore, kCloseAfter };
constexpr Fault kFaults[] = {Fault::kStopReading, Fault::kStopWriting, Fault::kRefuse,
                             Fault::kCloseBefore, Fault::kCloseAfter};

unsigned short port_of(const std::string& url) {
  return static_cast<unsigned short>(std::stoi(url.substr(url.rfind(':') + 1)));
}

bool is_refund(std::string_view packet) { return packet.find("POST /v1/refunds") == 0; }

/// A server whose way to the gateway leads through a gate, with a captured payment.
class Site {
 public:
  Site(Fault fault, const Folder& folder, FakeStripe& stripe, Server::Options options = {})
      : fault_(fault),
        stripe_(stripe),
        gate_(port_of(stripe.url()), TcpGate::Framing::kNone),
        options_(std::move(options)) {
    const std::string key = folder.path() + "/key";
    std::ofstream(key) << "sk_test_key\n";
    options_.gateways = {"shop=stripe:" + key};
    options_.more_arguments.insert(
        options_.more_arguments.end(),
        {"--stripe-url", "http://127.0.0.1:" + std::to_string(gate_.port())});
    start();
    reference_ = stripe.control("create", {{"amount", kCaptured}})["id"].get<std::string>();
    pb::CreateOrderRequest create;
    auto* payment = create.mutable_order()->add_payments();
    payment->set_gateway_account("shop");
    payment->set_gateway_reference(reference_);
    auto* item = create.mutable_order()->add_items();
    item->set_sku("thing");
    item->set_quantity(1);
    *item->mutable_unit_price() = usd(kCaptured);
    const pb::Order order = shop().call(&Orders::CreateOrder, create).order();
    paid_ = {order.order_id(), payment_of(order).payment_id(), "shop", reference_, kCaptured};
    shop().call(&Orders::SyncPayments, sync_request(paid_));
    shop().call(&Orders::CapturePayment, capture_request(paid_, kCaptured));
    refund_ = refund_request(paid_, kRefunded);
    refund_.set_request_id(new_uuid());
  }

  const Shop& shop() const { return server_->shop(); }
  ServerProcess& process() { return server_->process(); }
  void start() { server_ = std::make_unique<Server>(database_.url(), options_); }

  void break_it() {
    switch (fault_) {
      case Fault::kStopReading:
        return gate_.stop_reading();
      case Fault::kStopWriting:
        return gate_.stop_writing();
      case Fault::kRefuse:
        return gate_.refuse();
      case Fault::kCloseBefore:
        return gate_.drop_before(is_refund);
      case Fault::kCloseAfter:
        return gate_.drop_after(is_refund);
    }
  }
  void mend() { gate_.pass(); }

  Reply<pb::RefundPaymentResponse> refund() const {
    return shop().send(&Orders::RefundPayment, refund_);
  }
  /// The gateway's trouble is not the server's.
  void expect_that_the_rest_works() const {
    pb::CreateOrderRequest create;
    create.mutable_order();
    EXPECT_TRUE(shop().send(&Orders::CreateOrder, create).ok());
  }
  void expect_one_refund() {
    shop().wait_until_settled("shop");
    const auto again = refund();
    EXPECT_TRUE(again.ok()) << again;
    EXPECT_TRUE(again->replayed());
    EXPECT_EQ(again->transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED) << again;
    const pb::Order order = shop().get(paid_.order_id);
    EXPECT_EQ(payment_of(order).refunded().amount_minor(), kRefunded);
    // As the gateway sees it.
    shop().call(&Orders::SyncPayments, sync_request(paid_));
    EXPECT_EQ(payment_of(shop().get(paid_.order_id)).refunded().amount_minor(), kRefunded);
    EXPECT_EQ(stripe_.control("charge", {{"id", reference_}})["amount_refunded"], kRefunded);
  }

 private:
  const Fault fault_;
  FakeStripe& stripe_;
  TcpGate gate_;
  Server::Options options_;
  const TestDatabase database_ = TestDatabase::sqlite();
  std::unique_ptr<Server> server_;
  std::string reference_;
  Paid paid_;
  pb::RefundPaymentRequest refund_;
};

TEST(GatewayOutage, EachFaultIsSurvivedAndMoneyMovesOnce) {
  FakeStripe stripe({.key = "sk_test_key", .certificate = {}, .private_key = {}});
  const Folder folder;
  std::vector<std::unique_ptr<Site>> sites;
  for (const Fault fault : kFaults) {
    sites.push_back(std::make_unique<Site>(fault, folder, stripe));
  }
  for (const auto& site : sites) site->break_it();
  at_once(static_cast<int>(sites.size()), [&](int i) {
    const auto answer = sites[static_cast<std::size_t>(i)]->refund();
    EXPECT_TRUE(answer.ok()) << "fault " << i << ": " << answer;
  });
  for (const auto& site : sites) site->expect_that_the_rest_works();
  for (const auto& site : sites) site->mend();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    SCOPED_TRACE("fault " + std::to_string(i));
    sites[i]->expect_one_refund();
    EXPECT_EQ(sites[i]->process().terminate(), 0);
  }
}

/// The caller has his answer and the server its end long before the gateway's time is over; the
/// next server finds out.
TEST(GatewayOutage, AGatewayThatHangsHoldsUpNoEnd) {
  FakeStripe stripe({.key = "sk_test_key", .certificate = {}, .private_key = {}});
  const Folder folder;
  Server::Options options;
  options.gateway_timeout = "3";
  options.more_arguments = {"--drain-timeout", "1"};
  Site site(Fault::kStopWriting, folder, stripe, options);
  stripe.control("forget_requests");
  site.break_it();
  auto pending = std::async(std::launch::async, [&] { return site.refund(); });
  const auto asked = [&] {
    for (const auto& request : stripe.requests()) {
      if (request["path"] == "/v1/refunds") return true;
    }
    return false;
  };
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!asked() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(site.process().terminate(), 0);
  const auto answer = pending.get();
  ASSERT_TRUE(answer.ok()) << answer;
  EXPECT_EQ(answer->transaction().status(), pb::TRANSACTION_STATUS_UNKNOWN);
  EXPECT_THAT(site.process().standard_error(), testing::HasSubstr("the time to shut down is over"));
  site.mend();
  site.start();
  site.expect_one_refund();
  EXPECT_EQ(site.process().terminate(), 0);
}

}  // namespace
}  // namespace orderd::test
