#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "orders/v1/order_service.grpc.pb.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

// Real servers, with accounts at sandboxes, and what the tests of money ask of them. The order's
// ledger is compared with the sandbox's own book, both as any client sees them.

namespace orderd::test {

namespace pb = ::orders::v1;
namespace sandbox = ::orders::sandbox::v1;
using Orders = pb::OrderService::Stub;
using Gateways = sandbox::SandboxService::Stub;
using std::chrono::milliseconds;

/// More than anything takes; only a hang reaches it.
inline constexpr milliseconds kPatience{60'000};

/// ORDERD_TEST_SEED, or a new one; it is printed.
std::uint64_t test_seed();

/// What the servers of the run have logged, and every error that a client got. At the end of the
/// program it is searched for what must not be there; see secrets_test.cc.
class Seen {
 public:
  static void add(const std::string& text);
  /// Forbids a text in all that is seen, before and after.
  static void plant(const std::string& secret);
};

/// An answer as a client sees it.
template <class Response>
struct Reply {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason = {};
  std::map<std::string, std::string> metadata = {};
  bool has_retry = false;
  std::string message = {};
  Response response = {};

  bool ok() const { return code == grpc::StatusCode::OK; }
  const Response* operator->() const { return &response; }
  std::int64_t number(const std::string& key) const {
    const auto it = metadata.find(key);
    return it == metadata.end() ? -1 : std::stoll(it->second);
  }
  friend std::ostream& operator<<(std::ostream& out, const Reply& it) {
    return out << "code " << it.code << " " << it.reason << " " << it.message << " "
               << it.response.ShortDebugString();
  }
};

/// Reason, metadata and so on of an error.
void read_details(const grpc::Status& status, std::string& reason,
                  std::map<std::string, std::string>& metadata, bool& has_retry);

/// The calls of one server. Thread-safe.
class Shop {
 public:
  explicit Shop(const std::string& address);

  template <class Stub, class Request, class Response>
  Reply<Response> send(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request, milliseconds timeout = kPatience) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    Reply<Response> reply;
    const grpc::Status status =
        (stub(static_cast<Stub*>(nullptr)).*method)(&context, request, &reply.response);
    reply.code = status.error_code();
    reply.message = status.error_message();
    read_details(status, reply.reason, reply.metadata, reply.has_retry);
    return reply;
  }

  /// A call that must be answered OK.
  template <class Stub, class Request, class Response>
  Response call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) const {
    auto reply = send(method, request);
    EXPECT_TRUE(reply.ok()) << reply << "\n" << request.ShortDebugString();
    return std::move(reply.response);
  }

  pb::Order get(const std::string& order_id) const;
  /// All pages.
  std::vector<pb::PaymentTransaction> transactions(const std::string& order_id,
                                                   const std::string& payment_id = "") const;
  /// Of an account, or of all; all pages.
  std::vector<pb::UnresolvedPayment> unresolved(const std::string& account = "") const;
  /// Returns when nothing is unresolved there. Fails the test if that takes too long.
  void wait_until_settled(const std::string& account = "") const;

  sandbox::LedgerPayment ledger(const std::string& account, const std::string& reference) const;
  void fault(const std::string& account, const sandbox::Fault& fault) const;
  void clear_faults(const std::string& account) const;
  Reply<sandbox::SimulateEventResponse> simulate(const std::string& account,
                                                 const std::string& reference,
                                                 const sandbox::PaymentEvent& event) const;

 private:
  Orders& stub(const Orders*) const { return *orders_; }
  Gateways& stub(const Gateways*) const { return *gateways_; }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Orders> orders_;
  std::unique_ptr<Gateways> gateways_;
};

/// A folder for the books of sandboxes.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();
  /// The value of --gateway for an account with a book of its own.
  std::string gateway(const std::string& account) const {
    return account + "=sandbox:" + book(account);
  }
  std::string book(const std::string& account) const { return path_ + "/" + account + ".db"; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A running orderd.
class Server {
 public:
  struct Options {
    /// Values of --gateway.
    std::vector<std::string> gateways;
    /// Seconds.
    std::string gateway_timeout = "1";
    /// How often the reconciler looks.
    std::string reconcile_interval = "0.1";
    /// The value of ORDERD_FAILPOINT. With it the build runs that has failpoints.
    std::string failpoint = {};
    std::string listen = "127.0.0.1:0";
    std::vector<std::string> more_arguments = {};
  };

  Server(const std::string& database_url, const Options& options);
  Server(Server&&) = default;
  Server& operator=(Server&&) = delete;
  ~Server();

  const Shop& shop() const { return *shop_; }
  ServerProcess& process() { return *process_; }

 private:
  std::unique_ptr<ServerProcess> process_;
  std::unique_ptr<Shop> shop_;
};

inline pb::Money usd(std::int64_t minor) {
  pb::Money money;
  money.set_currency_code("USD");
  money.set_amount_minor(minor);
  return money;
}

std::string new_uuid();

/// Everything is possible, keys are remembered for 24 hours.
pb::GatewayCapabilities all_capabilities();

/// An order with one payment at a sandbox.
struct Paid {
  std::string order_id, payment_id, account, reference;
  std::int64_t authorized = 0;
};

/// Authorizes at the gateway, creates an order with the payment, and syncs it.
Paid make_paid_order(const Shop& shop, const std::string& account, std::int64_t authorized,
                     const pb::GatewayCapabilities& capabilities = all_capabilities());

pb::CapturePaymentRequest capture_request(const Paid& paid, std::int64_t minor,
                                          bool final_capture = false);
pb::RefundPaymentRequest refund_request(const Paid& paid, std::int64_t minor);
pb::VoidPaymentRequest void_request(const Paid& paid);
pb::SyncPaymentsRequest sync_request(const Paid& paid);

/// What moves money. kFinalCapture: a part, and the rest is released.
enum class Operation { kCapture, kFinalCapture, kRefund, kVoid };
inline constexpr Operation kOperations[] = {Operation::kCapture, Operation::kFinalCapture,
                                            Operation::kRefund, Operation::kVoid};
const char* name_of(Operation operation);
sandbox::Operation at_gateway(Operation operation);
pb::TransactionKind kind_of(Operation operation);

/// One operation on a payment of 10,000, of which 6,000 have been captured if it is a refund, with
/// one request_id whenever it is sent.
struct Try {
  Operation operation;
  Paid paid;
  std::string request_id;
  std::int64_t amount = 0;
};
Try prepare(const Shop& shop, const std::string& account, Operation operation);

/// The answers of the three calls have these in common.
struct Moved {
  pb::Order order;
  std::string etag;
  bool changed = false;
  bool replayed = false;
  pb::PaymentTransaction transaction;

  std::string ShortDebugString() const {
    return transaction.ShortDebugString() + (replayed ? " replayed" : "");
  }
};
Reply<Moved> perform(const Shop& shop, const Try& attempt, milliseconds timeout = kPatience);

/// The one payment of the order.
const pb::Payment& payment_of(const pb::Order& order);
const pb::Payment& payment_of(const pb::Order& order, const std::string& payment_id);

/// What has been reserved by open transactions.
std::int64_t reserved(const pb::Payment& payment, bool refunds);
/// captured + voided + open <= authorized, and refunded + open <= captured; and what is said of
/// capturable and refundable fits.
void expect_invariant(const pb::Payment& payment);

/// The order's ledger of the payment and the sandbox's are the same: every movement of the sandbox
/// is one transaction of the order, with its kind, amount, status and time, and under the attempt
/// that the sandbox knows; no transaction without a movement, but for FAILED ones; no attempt that
/// moved money twice; equal sums, which are those of the ledger; the same status; and the open
/// transactions that the order shows are those of its ledger. With `open_allowed` a transaction
/// that is UNKNOWN may have no movement.
void expect_equal_books(const Shop& shop, const Paid& paid, bool open_allowed = false);

/// Runs `work(client)` in as many threads.
template <class Work>
void at_once(int clients, const Work& work) {
  std::vector<std::future<void>> all;
  for (int client = 0; client < clients; ++client) {
    all.push_back(std::async(std::launch::async, [&work, client] { work(client); }));
  }
  for (auto& each : all) each.get();
}

/// Polls until `condition` holds; fails the test, with `what`, if that takes too long.
bool wait_until(const std::string& what, const std::function<bool()>& condition);

}  // namespace orderd::test
