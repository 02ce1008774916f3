#include "tests/bench/workload.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/order_service.pb.h"
#include "storage/uuid.h"
#include "storage/wall_clock.h"
#include "tests/bench/seed.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;

constexpr int kChannels = 4;
constexpr int kMostCallers = 256;
constexpr int kBatch = 50;
constexpr int kPreparers = 32;
/// Of all orders, those that can be written to are picked from so many.
constexpr std::size_t kExamined = 20'000;
/// In seconds since 1970: when all orders have been created.
constexpr std::int64_t kLater = 4'000'000'000;

const std::string kGet = "/orders.v1.OrderService/GetOrder";
const std::string kBatchGet = "/orders.v1.OrderService/BatchGetOrders";
const std::string kCreate = "/orders.v1.OrderService/CreateOrder";
const std::string kAuthorize = "/orders.sandbox.v1.SandboxService/Authorize";

template <typename Message>
Message parse(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes)) throw std::runtime_error("an answer can't be read");
  return message;
}

/// A number that neighbours do not share bits with.
std::size_t scattered(std::uint64_t n) { return (n + 1) * 0x9e3779b97f4a7c15u >> 20; }

pb::ListOrdersRequest first_page() {
  pb::ListOrdersRequest request;
  request.set_page_size(20);
  return request;
}

}  // namespace

struct Workload::Operation {
  std::string method;
  /// The n-th request of all.
  std::string (*make)(Workload& self, std::uint64_t n);
};

const std::map<std::string, Workload::Operation>& Workload::table() {
  const auto service = [](const char* method) {
    return std::string("/orders.v1.OrderService/") + method;
  };
  static const std::map<std::string, Operation> operations = {
      {"get_order",
       {kGet,
        [](Workload& self, std::uint64_t n) {
          pb::GetOrderRequest request;
          request.set_order_id(self.order_ids_[scattered(n) % self.order_ids_.size()]);
          return request.SerializeAsString();
        }}},
      {"batch_get_50",
       {kBatchGet,
        [](Workload& self, std::uint64_t n) {
          pb::BatchGetOrdersRequest request;
          for (std::uint64_t i = 0; i < kBatch; ++i) {
            request.add_order_ids(
                self.order_ids_[scattered(n * kBatch + i) % self.order_ids_.size()]);
          }
          return request.SerializeAsString();
        }}},
      {"list_orders",
       {service("ListOrders"),
        [](Workload&, std::uint64_t) { return first_page().SerializeAsString(); }}},
      {"list_orders_distinct",
       {service("ListOrders"),
        [](Workload&, std::uint64_t n) {
          auto request = first_page();
          // Each asks for another page.
          request.mutable_filter()->mutable_create_time()->mutable_end_time()->set_seconds(
              kLater + static_cast<std::int64_t>(n));
          return request.SerializeAsString();
        }}},
      {"list_orders_full",
       {service("ListOrders"),
        [](Workload&, std::uint64_t) {
          auto request = first_page();
          request.set_view(pb::ORDER_VIEW_FULL);
          return request.SerializeAsString();
        }}},
      {"list_orders_filtered",
       {service("ListOrders"),
        [](Workload&, std::uint64_t n) {
          auto request = first_page();
          request.mutable_filter()->set_customer_email(
              "customer" + std::to_string(scattered(n) % 20'011) + "@example.com");
          return request.SerializeAsString();
        }}},
      {"update_invoice",
       {service("UpdateInvoice"),
        [](Workload& self, std::uint64_t n) {
          pb::UpdateInvoiceRequest request;
          request.set_order_id(self.writable_[n % self.writable_.size()].order_id);
          request.set_invoice_number("I" + self.run_ + "-" + std::to_string(n));
          return request.SerializeAsString();
        }}},
      {"update_status",
       {service("UpdateOrderStatus"),
        [](Workload& self, std::uint64_t n) {
          Order& order = self.writable_[n % self.writable_.size()];
          pb::UpdateOrderStatusRequest request;
          request.set_order_id(order.order_id);
          request.set_state_id(order.status_changes++ % 2 == 0 ? "processing" : "new");
          return request.SerializeAsString();
        }}},
      {"add_note",
       {service("AddNote"),
        [](Workload& self, std::uint64_t n) {
          pb::AddNoteRequest request;
          request.set_order_id(self.writable_[n % self.writable_.size()].order_id);
          request.set_body("The customer asked again where it is; call " + self.run_ + " " +
                           std::to_string(n));
          return request.SerializeAsString();
        }}},
      {"update_shipments",
       {service("UpdateShipments"),
        [](Workload& self, std::uint64_t n) {
          const Order& order = self.writable_[n % self.writable_.size()];
          pb::UpdateShipmentsRequest request;
          request.set_order_id(order.order_id);
          auto& change = *request.add_changes()->mutable_set_tracking_numbers();
          change.set_shipment_id(order.shipment_id);
          change.add_tracking_numbers("T" + self.run_ + "-" + std::to_string(n));
          return request.SerializeAsString();
        }}},
      {"capture",
       {service("CapturePayment"),
        [](Workload& self, std::uint64_t n) {
          const Order& order = self.payable_[n % self.payable_.size()];
          pb::CapturePaymentRequest request;
          request.set_order_id(order.order_id);
          request.set_payment_id(order.payment_id);
          request.mutable_amount()->set_currency_code("EUR");
          request.mutable_amount()->set_amount_minor(1);
          return request.SerializeAsString();
        }}},
      {"cancel",
       {service("CancelOrder"),
        [](Workload& self, std::uint64_t) {
          const std::size_t at = self.canceled_++;
          if (at >= self.cancelable_.size()) return std::string();
          pb::CancelOrderRequest request;
          request.set_request_id("cancel-" + self.cancelable_[at].order_id);
          request.set_order_id(self.cancelable_[at].order_id);
          return request.SerializeAsString();
        }}},
      {"create_order",
       {kCreate,
        [](Workload& self, std::uint64_t) {
          const std::uint64_t n = self.created_++;
          pb::CreateOrderRequest request;
          *request.mutable_order() = generated_order(n).order();
          request.mutable_order()->set_order_number("c" + self.run_ + "-" + std::to_string(n));
          return request.SerializeAsString();
        }}},
  };
  return operations;
}

const std::vector<std::string>& Workload::operations() {
  static const std::vector<std::string> names = {
      "get_order", "batch_get_50",  "list_orders",    "list_orders_full", "list_orders_filtered",
      "add_note",  "update_status", "update_invoice", "update_shipments", "capture",
      "cancel",    "create_order",  "mix_80_reads"};
  return names;
}

Workload::Workload(const Setup& setup)
    : calls_(setup.server, kChannels, kMostCallers),
      order_ids_(setup.order_ids),
      run_(std::to_string(wall_clock())) {
  pick_writable(order_ids_);
  if (setup.payments > 0) payable_ = orders_with_payment(setup.payments, "p");
  if (setup.cancellations > 0) cancelable_ = orders_with_payment(setup.cancellations, "x");
}

void Workload::pick_writable(const std::vector<std::string>& order_ids) {
  for (std::size_t first = 0; first < std::min(order_ids.size(), kExamined); first += kBatch) {
    pb::BatchGetOrdersRequest request;
    for (std::size_t i = first; i < std::min(first + kBatch, order_ids.size()); ++i) {
      request.add_order_ids(order_ids[i]);
    }
    const auto answer =
        parse<pb::BatchGetOrdersResponse>(calls_.call(kBatchGet, request.SerializeAsString()));
    for (const pb::Order& order : answer.orders()) {
      if (order.state_id() != "new" && order.state_id() != "processing") continue;
      Order writable{order.order_id(), {}, {}};
      writable.status_changes = order.state_id() == "new" ? 0 : 1;
      for (const pb::Shipment& shipment : order.shipments()) {
        if (!shipment.tracking_numbers().empty()) writable.shipment_id = shipment.shipment_id();
      }
      if (!writable.shipment_id.empty()) writable_.push_back(std::move(writable));
    }
  }
  // No two callers are ever at the same order.
  writable_.resize(writable_.size() / kMostCallers * kMostCallers);
  if (writable_.empty()) throw std::runtime_error("there are not enough orders to write to");
}

std::vector<Workload::Order> Workload::orders_with_payment(int count, const std::string& prefix) {
  std::vector<Order> orders(static_cast<std::size_t>(count));
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kPreparers; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < orders.size(); i = next++) {
        const std::string name = prefix + run_ + "-" + std::to_string(i);
        sandbox::AuthorizeRequest authorize;
        authorize.set_gateway_account("sandbox");
        authorize.set_gateway_reference(name);
        authorize.mutable_amount()->set_currency_code("EUR");
        authorize.mutable_amount()->set_amount_minor(1'000'000);
        calls_.call(kAuthorize, authorize.SerializeAsString());

        pb::CreateOrderRequest create;
        *create.mutable_order() = generated_order(i).order();
        create.mutable_order()->set_order_number(name);
        pb::NewPayment& payment = *create.mutable_order()->add_payments();
        payment.set_gateway_account("sandbox");
        payment.set_gateway_reference(name);
        const auto created =
            parse<pb::CreateOrderResponse>(calls_.call(kCreate, create.SerializeAsString()));
        orders[i] = {created.order().order_id(), {}, created.order().payments(0).payment_id()};
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return orders;
}

std::size_t Workload::answer_size(const std::string& operation) {
  const Operation& kind = table().at(operation);
  return calls_.call(kind.method, kind.make(*this, 0)).size();
}

Figures Workload::run(const std::string& operation, int callers,
                      std::chrono::milliseconds duration) {
  // Of five calls: three of one order, one page, and one of the writes.
  static const std::vector<std::string> kMix[] = {
      {"get_order", "get_order", "list_orders", "get_order", "update_status"},
      {"get_order", "get_order", "list_orders", "get_order", "add_note"},
      {"get_order", "get_order", "list_orders", "get_order", "update_shipments"}};
  const bool mixed = operation == "mix_80_reads";
  std::atomic<std::uint64_t>& made = made_[operation];
  return run_load(callers, duration,
                  [&](int caller, std::uint64_t, std::function<void(bool)> done) {
                    const std::uint64_t n = made++;
                    const std::string& name = mixed ? kMix[n / 5 % 3][n % 5] : operation;
                    const Operation& kind = table().at(name);
                    const std::string request = kind.make(*this, n);
                    if (request.empty()) return false;
                    calls_.start(caller, kind.method, request, std::move(done));
                    return true;
                  });
}

}  // namespace orderd::bench
