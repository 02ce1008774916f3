#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/rpc/call.h"
#include "storage/storage.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/invariants.h"

// Requests on one order, decoded, validated and judged as a server does it, but in memory: many
// times as fast as the target "requests", which has the rest of the server behind it.

namespace orderd::fuzz {
namespace {

constexpr std::size_t kMaxCalls = 24;
constexpr Micros kNow = 1'800'000'000'000'000;
const std::string kActor = "somebody";

/// As a new server has them, and one more shipment method.
const Settings& settings() {
  static const Settings loaded = [] {
    std::string directory =
        (std::filesystem::temp_directory_path() / "orderd-fuzz-XXXXXX").string();
    require(::mkdtemp(directory.data()) != nullptr, "there is room for a database");
    Settings first = storage::open("sqlite:" + directory + "/orders", {})
                         ->begin_read(storage::Clock::now() + std::chrono::seconds(30))
                         ->load_settings();
    std::filesystem::remove_all(directory);
    auto& express = first.methods["express"];
    express.set_method_id("express");
    express.set_enabled(true);
    return first;
  }();
  return loaded;
}

class NoGateways : public rules::GatewayDirectory {
 public:
  bool configured(std::string_view account) const override { return account == "external"; }
  bool representable(std::string_view, const pb::Money&) const override { return true; }
  absl::Status available(std::string_view) const override { return absl::OkStatus(); }
};

/// Ids that are the same whenever an input runs.
Uuid id_of(std::uint64_t n) {
  char text[40];
  std::snprintf(text, sizeof text, "01890000-0000-7000-8000-%012llx",
                static_cast<unsigned long long>(n));
  return *Uuid::parse(text);
}

class Life {
 public:
  void call(const Call& call) {
    const auto found = handlers().find(call.method);
    if (found != handlers().end()) found->second(*this, call.message);
  }

 private:
  using Handler = std::function<void(Life&, const std::string&)>;

  /// What a call does to the order, given its request.
  template <class Request>
  static Handler handler(rules::Result (Life::*apply)(const Request&)) {
    return [apply](Life& life, const std::string& bytes) {
      Request request;
      std::string sent = bytes;
      if (request.ParseFromString(bytes)) {
        life.seen_.resolve(request);
        sent = request.SerializeAsString();
      }
      const grpc::Slice slice(sent);
      Request parsed;
      if (!rpc::parse(grpc::ByteBuffer(&slice, 1), parsed).ok()) return;
      if (!rules::validate(std::as_const(parsed)).ok()) return;
      life.take((life.*apply)(parsed));
    };
  }

  static const std::map<std::string, Handler>& handlers() {
    static const std::map<std::string, Handler> all = {
        {"CreateOrder", handler(&Life::create)},    {"ImportOrders", handler(&Life::import)},
        {"UpdateOrder", handler(&Life::update)},    {"UpdateOrderStatus", handler(&Life::status)},
        {"UpdateInvoice", handler(&Life::invoice)}, {"UpdateShipments", handler(&Life::shipments)},
        {"AddNote", handler(&Life::note)},
    };
    return all;
  }

  rules::Context context() const { return {kNow, &kActor, &settings()}; }
  rules::Target target(std::size_t claims = 0) const {
    rules::Target target;
    if (order_) target.order = &*order_;
    target.holders.resize(claims);
    return target;
  }
  Uuid new_id() { return id_of(++ids_ * 0x10000); }

  rules::Result create(const pb::CreateOrderRequest& request) {
    order_.reset();
    ledger_.clear();
    const std::string number = rules::order_number_of(request.order(), "N-1");
    return rules::create_order(request, new_id(), number, gateways_,
                               target(rules::create_claims(request, number).size()), context());
  }
  rules::Result import(const pb::ImportOrdersRequest& request) {
    order_.reset();
    ledger_.clear();
    std::vector<Uuid> ids;
    for (std::size_t i = rules::import_ids(request); i > 0; --i) ids.push_back(new_id());
    return rules::import_order(request, "digest", ids, target(rules::import_claims(request).size()),
                               context());
  }
  rules::Result update(const pb::UpdateOrderRequest& request) {
    return on_order([&] { return rules::update_order(request, target(), context()); });
  }
  rules::Result status(const pb::UpdateOrderStatusRequest& request) {
    return on_order(
        [&] { return rules::update_status(rules::status_update(request), target(), context()); });
  }
  rules::Result invoice(const pb::UpdateInvoiceRequest& request) {
    return on_order([&] {
      return rules::update_invoice(request, target(rules::invoice_claims(request).size()),
                                   context());
    });
  }
  rules::Result shipments(const pb::UpdateShipmentsRequest& request) {
    return on_order(
        [&] { return rules::update_shipments(request, new_id(), target(), context()); });
  }
  rules::Result note(const pb::AddNoteRequest& request) {
    return on_order([&] { return rules::add_note(request, new_id(), target(), context()); });
  }

  template <class Apply>
  rules::Result on_order(const Apply& apply) const {
    if (!order_) return absl::NotFoundError("");
    return apply();
  }

  void take(const rules::Result& change) {
    if (!change.ok()) {
      require(order_.has_value() || !errors::reason(change.status()).empty() ||
                  absl::IsNotFound(change.status()),
              "a refusal has a reason");
      return;
    }
    if (!change->after) return;
    order_ = *change->after;
    for (const auto& transaction : change->transactions_created) ledger_.push_back(transaction);
    check(*order_, ledger_, settings());
    seen_.add(*order_);
  }

  NoGateways gateways_;
  std::optional<pb::Order> order_;
  std::vector<pb::PaymentTransaction> ledger_;
  Seen seen_;
  std::uint64_t ids_ = 0;
};

std::string mutate_order_calls(const std::string& input, std::uint64_t seed) {
  static const Methods allowed = [] {
    Methods found;
    for (const char* name : {"CreateOrder", "ImportOrders", "UpdateOrder", "UpdateOrderStatus",
                             "UpdateInvoice", "UpdateShipments", "AddNote"}) {
      found.push_back(find_method(name));
    }
    return found;
  }();
  return mutate_calls(input, allowed, seed);
}

}  // namespace

FUZZ_TARGET_WITH(rules, mutate_order_calls) {
  Life life;
  for (const Call& call : read_calls(input, kMaxCalls)) life.call(call);
}

}  // namespace orderd::fuzz
