#include "tests/money/money.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "client/request_id.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace orderd::test {
namespace {

constexpr milliseconds kPoll{20};

/// Everything that was seen, and what must not be in it.
class Searched : public testing::Environment {
 public:
  void add(const std::string& text) {
    std::lock_guard lock(mutex_);
    text_ += text;
    text_ += '\n';
  }
  void plant(const std::string& secret) {
    std::lock_guard lock(mutex_);
    secrets_.insert(secret);
  }
  void TearDown() override {
    std::lock_guard lock(mutex_);
    for (const std::string& secret : secrets_) {
      const auto at = text_.find(secret);
      if (at == std::string::npos) continue;
      const auto from = at < 300 ? 0 : at - 300;
      ADD_FAILURE() << "the secret " << secret << " shows:\n" << text_.substr(from, 600);
    }
    std::cout << text_.size() << " bytes of logs and errors searched for " << secrets_.size()
              << " secrets" << std::endl;
  }

 private:
  std::mutex mutex_;
  std::string text_;
  std::set<std::string> secrets_;
};

Searched& searched() {
  // Google Test owns it.
  static auto* const environment =
      static_cast<Searched*>(testing::AddGlobalTestEnvironment(new Searched));
  return *environment;
}
// Environments must be known before the tests run.
[[maybe_unused]] const Searched& registered = searched();

std::string dump(const sandbox::LedgerPayment& book, const pb::Payment& payment,
                 const std::vector<pb::PaymentTransaction>& transactions) {
  std::ostringstream out;
  out << "the order's payment: " << payment.ShortDebugString() << "\n";
  for (const auto& transaction : transactions) {
    out << "  " << transaction.ShortDebugString() << "\n";
  }
  out << "the gateway's: " << book.DebugString();
  return out.str();
}

/// The attempt under which the gateway must know a transaction.
std::string attempt_of(const pb::PaymentTransaction& transaction) {
  if (transaction.foreign()) return "";
  return transaction.released_by().empty() ? transaction.transaction_id()
                                           : transaction.released_by();
}

bool is_open(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN ||
         transaction.status() == pb::TRANSACTION_STATUS_PENDING;
}

/// The sum of a kind in the order's ledger.
std::int64_t sum(const std::vector<pb::PaymentTransaction>& transactions,
                 std::initializer_list<pb::TransactionKind> kinds, const std::string& adjustment) {
  std::int64_t total = 0;
  for (const auto& transaction : transactions) {
    if (transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) continue;
    const bool counts = std::find(kinds.begin(), kinds.end(), transaction.kind()) != kinds.end() ||
                        (transaction.kind() == pb::TRANSACTION_KIND_ADJUSTMENT &&
                         transaction.reason() == adjustment);
    if (counts) total += transaction.amount().amount_minor();
  }
  return total;
}

}  // namespace

std::uint64_t test_seed() {
  const char* given = std::getenv("ORDERD_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device{}();
  std::cout << "ORDERD_TEST_SEED=" << seed << std::endl;
  return seed;
}

void Seen::add(const std::string& text) { searched().add(text); }
void Seen::plant(const std::string& secret) { searched().plant(secret); }

void read_details(const grpc::Status& status, std::string& reason,
                  std::map<std::string, std::string>& metadata, bool& has_retry) {
  if (status.ok()) return;
  Seen::add(status.error_message() + " " + status.error_details());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return;
  for (const auto& detail : details.details()) {
    if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
      reason = info.reason();
      metadata = {info.metadata().begin(), info.metadata().end()};
    }
    has_retry |= detail.Is<google::rpc::RetryInfo>();
  }
}

Shop::Shop(const std::string& address) {
  grpc::ChannelArguments arguments;
  // Servers come and go: no connection is shared with a channel to an earlier one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  orders_ = pb::OrderService::NewStub(channel_);
  gateways_ = sandbox::SandboxService::NewStub(channel_);
}

pb::Order Shop::get(const std::string& order_id) const {
  pb::GetOrderRequest request;
  request.set_order_id(order_id);
  return call(&Orders::GetOrder, request).order();
}

std::vector<pb::PaymentTransaction> Shop::transactions(const std::string& order_id,
                                                       const std::string& payment_id) const {
  std::vector<pb::PaymentTransaction> all;
  pb::ListTransactionsRequest request;
  request.set_order_id(order_id);
  request.set_payment_id(payment_id);
  do {
    const auto page = send(&Orders::ListTransactions, request);
    EXPECT_TRUE(page.ok()) << page;
    all.insert(all.end(), page->transactions().begin(), page->transactions().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

std::vector<pb::UnresolvedPayment> Shop::unresolved(const std::string& account) const {
  std::vector<pb::UnresolvedPayment> all;
  pb::ListUnresolvedTransactionsRequest request;
  request.set_gateway_account(account);
  request.set_page_size(1000);
  do {
    const auto page = send(&Orders::ListUnresolvedTransactions, request);
    EXPECT_TRUE(page.ok()) << page;
    all.insert(all.end(), page->payments().begin(), page->payments().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

void Shop::wait_until_settled(const std::string& account) const {
  std::vector<pb::UnresolvedPayment> last;
  if (wait_until("nothing is unresolved", [&] {
        last = unresolved(account);
        return last.empty();
      })) {
    return;
  }
  for (const auto& payment : last) ADD_FAILURE() << payment.ShortDebugString();
}

sandbox::LedgerPayment Shop::ledger(const std::string& account,
                                    const std::string& reference) const {
  sandbox::GetLedgerPaymentRequest request;
  request.set_gateway_account(account);
  request.set_gateway_reference(reference);
  return call(&Gateways::GetLedgerPayment, request).payment();
}

void Shop::fault(const std::string& account, const sandbox::Fault& fault) const {
  sandbox::AddFaultRequest request;
  request.set_gateway_account(account);
  *request.mutable_fault() = fault;
  call(&Gateways::AddFault, request);
}

void Shop::clear_faults(const std::string& account) const {
  sandbox::ClearFaultsRequest request;
  request.set_gateway_account(account);
  call(&Gateways::ClearFaults, request);
}

Reply<sandbox::SimulateEventResponse> Shop::simulate(const std::string& account,
                                                     const std::string& reference,
                                                     const sandbox::PaymentEvent& event) const {
  sandbox::SimulateEventRequest request;
  request.set_gateway_account(account);
  request.set_gateway_reference(reference);
  *request.mutable_event() = event;
  return send(&Gateways::SimulateEvent, request);
}

Folder::Folder() {
  path_ = (std::filesystem::temp_directory_path() / "orderd-books-XXXXXX").string();
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary directory");
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Server::Server(const std::string& database_url, const Options& options) {
  ServerProcess::Options process;
  process.log_level = "debug";
  process.listen = options.listen;
  if (!options.failpoint.empty()) {
    process.binary = ORDERD_FAILPOINTS_BINARY;
    process.environment = {"ORDERD_FAILPOINT=" + options.failpoint};
  }
  for (const std::string& gateway : options.gateways) {
    process.more_arguments.insert(process.more_arguments.end(), {"--gateway", gateway});
  }
  for (const auto& [flag, value] : {std::pair{"--gateway-timeout", options.gateway_timeout},
                                    std::pair{"--reconcile-interval", options.reconcile_interval},
                                    std::pair{"--reconcile-delay", std::string("0.2")}}) {
    process.more_arguments.insert(process.more_arguments.end(), {flag, value});
  }
  process.more_arguments.insert(process.more_arguments.end(), options.more_arguments.begin(),
                                options.more_arguments.end());
  process_ = std::make_unique<ServerProcess>(database_url, process);
  shop_ = std::make_unique<Shop>(process_->address());
}

Server::~Server() {
  if (process_) Seen::add(process_->standard_error());
}

std::string new_uuid() { return client::new_request_id(); }

pb::GatewayCapabilities all_capabilities() {
  pb::GatewayCapabilities all;
  all.set_multi_capture(true);
  all.set_partial_capture(true);
  all.set_partial_refund(true);
  all.set_refund_before_final_capture(true);
  all.set_void_after_capture(true);
  all.set_concurrent_operations(true);
  all.set_lookup_by_attempt(true);
  all.mutable_key_lifetime()->set_seconds(24 * 60 * 60);
  return all;
}

Paid make_paid_order(const Shop& shop, const std::string& account, std::int64_t authorized,
                     const pb::GatewayCapabilities& capabilities) {
  Paid paid;
  paid.account = account;
  paid.authorized = authorized;
  sandbox::AuthorizeRequest authorize;
  authorize.set_gateway_account(account);
  *authorize.mutable_amount() = usd(authorized);
  *authorize.mutable_capabilities() = capabilities;
  paid.reference = shop.call(&Gateways::Authorize, authorize).payment().gateway_reference();

  pb::CreateOrderRequest create;
  auto* item = create.mutable_order()->add_items();
  item->set_sku("thing");
  item->set_quantity(1);
  *item->mutable_unit_price() = usd(authorized);
  auto* payment = create.mutable_order()->add_payments();
  payment->set_gateway_account(account);
  payment->set_gateway_reference(paid.reference);
  const pb::Order order = shop.call(&Orders::CreateOrder, create).order();
  paid.order_id = order.order_id();
  paid.payment_id = payment_of(order).payment_id();

  const auto synced = shop.call(&Orders::SyncPayments, sync_request(paid));
  EXPECT_EQ(payment_of(synced.order()).capturable().amount_minor(), authorized)
      << synced.ShortDebugString();
  return paid;
}

pb::CapturePaymentRequest capture_request(const Paid& paid, std::int64_t minor,
                                          bool final_capture) {
  pb::CapturePaymentRequest request;
  request.set_request_id(new_uuid());
  request.set_order_id(paid.order_id);
  request.set_payment_id(paid.payment_id);
  *request.mutable_amount() = usd(minor);
  request.set_final_capture(final_capture);
  return request;
}

pb::RefundPaymentRequest refund_request(const Paid& paid, std::int64_t minor) {
  pb::RefundPaymentRequest request;
  request.set_request_id(new_uuid());
  request.set_order_id(paid.order_id);
  request.set_payment_id(paid.payment_id);
  *request.mutable_amount() = usd(minor);
  return request;
}

pb::VoidPaymentRequest void_request(const Paid& paid) {
  pb::VoidPaymentRequest request;
  request.set_request_id(new_uuid());
  request.set_order_id(paid.order_id);
  request.set_payment_id(paid.payment_id);
  return request;
}

pb::SyncPaymentsRequest sync_request(const Paid& paid) {
  pb::SyncPaymentsRequest request;
  request.set_order_id(paid.order_id);
  return request;
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::kCapture:
      return "capture";
    case Operation::kFinalCapture:
      return "final-capture";
    case Operation::kRefund:
      return "refund";
    case Operation::kVoid:
      break;
  }
  return "void";
}

sandbox::Operation at_gateway(Operation operation) {
  switch (operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture:
      return sandbox::OPERATION_CAPTURE;
    case Operation::kRefund:
      return sandbox::OPERATION_REFUND;
    case Operation::kVoid:
      break;
  }
  return sandbox::OPERATION_VOID;
}

pb::TransactionKind kind_of(Operation operation) {
  switch (operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture:
      return pb::TRANSACTION_KIND_CAPTURE;
    case Operation::kRefund:
      return pb::TRANSACTION_KIND_REFUND;
    case Operation::kVoid:
      break;
  }
  return pb::TRANSACTION_KIND_VOID;
}

Try prepare(const Shop& shop, const std::string& account, Operation operation) {
  Try attempt{operation, make_paid_order(shop, account, 10'000), new_uuid(), 0};
  switch (operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture:
      attempt.amount = 4'000;
      break;
    case Operation::kRefund: {
      const auto captured =
          shop.call(&Orders::CapturePayment, capture_request(attempt.paid, 6'000));
      EXPECT_EQ(captured.transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED)
          << captured.transaction().ShortDebugString();
      attempt.amount = 2'500;
      break;
    }
    case Operation::kVoid:
      attempt.amount = 10'000;
      break;
  }
  return attempt;
}

Reply<Moved> perform(const Shop& shop, const Try& attempt, milliseconds timeout) {
  const auto take = [](auto reply) {
    Reply<Moved> moved{reply.code,      reply.reason,  reply.metadata,
                       reply.has_retry, reply.message, {}};
    moved.response = {reply->order(), reply->etag(), reply->changed(), reply->replayed(),
                      reply->transaction()};
    return moved;
  };
  switch (attempt.operation) {
    case Operation::kCapture:
    case Operation::kFinalCapture: {
      auto request = capture_request(attempt.paid, attempt.amount,
                                     attempt.operation == Operation::kFinalCapture);
      request.set_request_id(attempt.request_id);
      return take(shop.send(&Orders::CapturePayment, request, timeout));
    }
    case Operation::kRefund: {
      auto request = refund_request(attempt.paid, attempt.amount);
      request.set_request_id(attempt.request_id);
      return take(shop.send(&Orders::RefundPayment, request, timeout));
    }
    case Operation::kVoid:
      break;
  }
  auto request = void_request(attempt.paid);
  request.set_request_id(attempt.request_id);
  return take(shop.send(&Orders::VoidPayment, request, timeout));
}

const pb::Payment& payment_of(const pb::Order& order) {
  EXPECT_EQ(order.payments_size(), 1) << order.ShortDebugString();
  return order.payments_size() == 0 ? pb::Payment::default_instance() : order.payments(0);
}

const pb::Payment& payment_of(const pb::Order& order, const std::string& payment_id) {
  for (const pb::Payment& payment : order.payments()) {
    if (payment.payment_id() == payment_id) return payment;
  }
  ADD_FAILURE() << "no payment " << payment_id << ": " << order.ShortDebugString();
  return pb::Payment::default_instance();
}

std::int64_t reserved(const pb::Payment& payment, bool refunds) {
  std::int64_t total = 0;
  for (const auto& transaction : payment.open_transactions()) {
    if ((transaction.kind() == pb::TRANSACTION_KIND_REFUND) != refunds) continue;
    // A final capture has reserved all that is left.
    if (transaction.final_capture()) {
      return payment.authorized().amount_minor() - payment.captured().amount_minor() -
             payment.voided().amount_minor();
    }
    total += transaction.amount().amount_minor();
  }
  return total;
}

void expect_invariant(const pb::Payment& payment) {
  const std::int64_t authorized = payment.authorized().amount_minor();
  const std::int64_t captured = payment.captured().amount_minor();
  const std::int64_t refunded = payment.refunded().amount_minor();
  const std::int64_t voided = payment.voided().amount_minor();
  EXPECT_GE(std::min({authorized, captured, refunded, voided}), 0);
  EXPECT_LE(captured + voided + reserved(payment, false), authorized) << payment.ShortDebugString();
  EXPECT_LE(refunded + reserved(payment, true), captured) << payment.ShortDebugString();
  EXPECT_EQ(payment.capturable().amount_minor(),
            authorized - captured - voided - reserved(payment, false))
      << payment.ShortDebugString();
  EXPECT_EQ(payment.refundable().amount_minor(), captured - refunded - reserved(payment, true))
      << payment.ShortDebugString();
}

void expect_equal_books(const Shop& shop, const Paid& paid, bool open_allowed) {
  const sandbox::LedgerPayment book = shop.ledger(paid.account, paid.reference);
  const pb::Order order = shop.get(paid.order_id);
  const pb::Payment& payment = payment_of(order, paid.payment_id);
  const auto transactions = shop.transactions(paid.order_id, paid.payment_id);
  SCOPED_TRACE(dump(book, payment, transactions));
  // Without the ids of attempts in its readings, sums may be all that can be told apart.
  const bool ids = book.capabilities().lookup_by_attempt();

  std::vector<const pb::PaymentTransaction*> unmatched;
  bool adjusted = false;
  for (const auto& transaction : transactions) {
    EXPECT_EQ(transaction.payment_id(), paid.payment_id);
    if (transaction.kind() != pb::TRANSACTION_KIND_ADJUSTMENT) {
      unmatched.push_back(&transaction);
    } else {
      adjusted = true;
      EXPECT_EQ(transaction.reason(), "VOIDED") << transaction.ShortDebugString();
    }
  }
  std::set<std::pair<std::string, int>> attempts;
  for (const auto& movement : book.movements()) {
    if (!movement.attempt_id().empty()) {
      EXPECT_TRUE(attempts.emplace(movement.attempt_id(), movement.kind()).second)
          << "the attempt " << movement.attempt_id() << " moved money twice";
    }
    const auto same = [&](const pb::PaymentTransaction* transaction) {
      return transaction->kind() == movement.kind() &&
             (!ids || attempt_of(*transaction) == movement.attempt_id());
    };
    auto it = std::find_if(unmatched.begin(), unmatched.end(), [&](const auto* transaction) {
      return same(transaction) &&
             transaction->gateway_transaction_id() == movement.gateway_transaction_id();
    });
    if (it == unmatched.end()) {
      // The order may not have been told the gateway's id.
      it = std::find_if(unmatched.begin(), unmatched.end(), [&](const auto* transaction) {
        const bool amount = transaction->amount().amount_minor() == movement.amount_minor() ||
                            (adjusted && movement.kind() == pb::TRANSACTION_KIND_VOID);
        return same(transaction) && !transaction->foreign() &&
               transaction->gateway_transaction_id().empty() &&
               (ids || (transaction->status() == movement.status() && amount));
      });
    }
    if (it == unmatched.end()) {
      ADD_FAILURE() << "not in the order's ledger: " << movement.ShortDebugString();
      continue;
    }
    const pb::PaymentTransaction& transaction = **it;
    EXPECT_EQ(transaction.status(), movement.status()) << transaction.ShortDebugString();
    // What was released is known from a reading only: until then it is what was expected, and an
    // ADJUSTMENT then sets the sum right.
    if (!(adjusted && transaction.kind() == pb::TRANSACTION_KIND_VOID)) {
      EXPECT_EQ(transaction.amount().amount_minor(), movement.amount_minor())
          << transaction.ShortDebugString();
    }
    if (movement.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
      using google::protobuf::util::TimeUtil;
      EXPECT_EQ(TimeUtil::ToString(transaction.complete_time()),
                TimeUtil::ToString(movement.time()))
          << transaction.ShortDebugString();
    }
    unmatched.erase(it);
  }
  for (const auto* transaction : unmatched) {
    const bool excused = transaction->status() == pb::TRANSACTION_STATUS_FAILED ||
                         (open_allowed && transaction->status() == pb::TRANSACTION_STATUS_UNKNOWN);
    EXPECT_TRUE(excused) << "not in the gateway's: " << transaction->ShortDebugString();
  }

  EXPECT_EQ(payment.authorized().amount_minor(), book.authorized_minor());
  EXPECT_EQ(payment.captured().amount_minor(), book.captured_minor());
  EXPECT_EQ(payment.refunded().amount_minor(), book.refunded_minor());
  EXPECT_EQ(payment.voided().amount_minor(), book.voided_minor());
  EXPECT_EQ(payment.status(), book.status());
  EXPECT_EQ(sum(transactions, {pb::TRANSACTION_KIND_AUTHORIZATION}, "AUTHORIZED"),
            book.authorized_minor());
  EXPECT_EQ(sum(transactions, {pb::TRANSACTION_KIND_CAPTURE}, "CAPTURED"), book.captured_minor());
  EXPECT_EQ(sum(transactions, {pb::TRANSACTION_KIND_REFUND}, "REFUNDED"), book.refunded_minor());
  EXPECT_EQ(sum(transactions, {pb::TRANSACTION_KIND_VOID, pb::TRANSACTION_KIND_EXPIRY}, "VOIDED"),
            book.voided_minor());

  std::vector<std::string> open_in_ledger, open_in_order;
  for (const auto& transaction : transactions) {
    if (is_open(transaction)) open_in_ledger.push_back(transaction.SerializeAsString());
  }
  for (const auto& transaction : payment.open_transactions()) {
    open_in_order.push_back(transaction.SerializeAsString());
  }
  EXPECT_EQ(open_in_ledger, open_in_order);
  if (!open_allowed) {
    EXPECT_TRUE(std::none_of(transactions.begin(), transactions.end(), [](const auto& it) {
      return it.status() == pb::TRANSACTION_STATUS_UNKNOWN;
    }));
  }
}

bool wait_until(const std::string& what, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "in vain it was waited until " << what;
      return false;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace orderd::test
