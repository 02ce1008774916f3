#include <nlohmann/json.hpp>

#include <string>
#include <variant>
#include <vector>

#include "server/orders/external_payment.h"
#include "server/orders/readings.h"
#include "server/payments/stripe_reading.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/invariants.h"

// What Stripe may answer about a payment, as JSON: a list of readings {"intent": …, "charges": […],
// "refunds": […], "disputes": […]}, one after the other, and what they make of an order.

namespace orderd::fuzz {
namespace {

using nlohmann::json;
namespace stripe = payments::stripe;

constexpr std::size_t kMaxReadings = 6;
constexpr Micros kNow = 1'800'000'000'000'000;
const std::string kActor = "somebody";

std::vector<json> list(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_array()) return {};
  return {found->begin(), found->end()};
}

stripe::Documents documents(const json& object) {
  stripe::Documents read;
  if (object.is_object() && object.contains("intent")) read.intent = object["intent"];
  read.charges = list(object, "charges");
  read.refunds = list(object, "refunds");
  read.disputes = list(object, "disputes");
  return read;
}

/// An order with a payment that has not been read yet.
pb::Order unread_order() {
  pb::Order order;
  order.set_order_id("01890000-0000-7000-8000-000000000001");
  order.set_etag("1");
  order.set_state_id("new");
  order.set_currency_code("USD");
  auto* payment = order.add_payments();
  payment->set_payment_id("01890000-0000-7000-8000-000000000002");
  payment->set_gateway_account("stripe");
  payment->set_gateway_reference("pi_1");
  payment->set_status(pb::PAYMENT_STATUS_UNSYNCED);
  return order;
}

const Settings& settings() {
  static const Settings all = [] {
    Settings made;
    pb::OrderState state;
    state.set_state_id("new");
    state.set_category(pb::STATE_CATEGORY_OPEN);
    state.set_allows_capture(true);
    made.states["new"] = state;
    return made;
  }();
  return all;
}

class Books {
 public:
  void fold(const payments::Reading& reading) {
    const auto change = folded(reading);
    require(change.ok(), "a reading is always taken");
    if (!change->after) return;
    order_ = *change->after;
    ledger_.insert(ledger_.end(), change->transactions_created.begin(),
                   change->transactions_created.end());
    for (const auto& transaction : change->transactions_updated) {
      for (auto& old : ledger_) {
        if (old.transaction_id() == transaction.transaction_id()) old = transaction;
      }
    }
    check(order_, ledger_, settings());
    const auto again = folded(reading);
    require(again.ok() && !again->after, "the same reading once more changes nothing");
  }

 private:
  rules::Result folded(const payments::Reading& reading) {
    rules::Target target;
    target.order = &order_;
    target.ledger = ledger_;
    const rules::PaymentReading one{order_.payments(0).payment_id(), order_.payments(0).revision(),
                                    reading};
    // Ids of a family that is used once.
    char id[40];
    std::snprintf(id, sizeof id, "01890000-0000-7000-9000-%08x0000", ++families_);
    return rules::fold_readings({&one, 1}, *Uuid::parse(id), target,
                                {kNow + families_, &kActor, &settings()});
  }

  pb::Order order_ = unread_order();
  std::vector<pb::PaymentTransaction> ledger_;
  unsigned int families_ = 0;
};

}  // namespace

FUZZ_TARGET(stripe) {
  const json readings = json::parse(input, nullptr, false);
  if (!readings.is_array()) return;
  Books books;
  for (std::size_t i = 0; i < std::min(readings.size(), kMaxReadings); ++i) {
    const auto folded = stripe::fold(documents(readings[i]), "USD");
    if (const auto* reading = std::get_if<payments::Reading>(&folded)) books.fold(*reading);
  }
}

}  // namespace orderd::fuzz
