#include "server/payments/questions.h"

#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "server/orders/errors.h"
#include "server/orders/payments.h"

namespace orderd::payments {

void ask_gateways(Accounts& accounts, Sender& sender, const OrderPtr& order,
                  Accounts::Priority priority, Deadline deadline, const engine::TraceContext& trace,
                  std::function<void(Said)> then) {
  struct Questions {
    OrderPtr order;
    engine::TraceContext trace;
    std::function<void(Said)> then;
    std::vector<const pb::Payment*> payments;
    std::vector<std::optional<Reading>> readings;
    /// Has no money, and its gateway does not know it any more.
    std::vector<char> done_with;
    std::atomic<std::size_t> missing = 0;
  };
  const auto asked = std::make_shared<Questions>();
  asked->order = order;
  asked->trace = trace;
  asked->then = std::move(then);
  for (const pb::Payment& payment : order->order->payments()) {
    // What a gateway that this server does not have stands for is for the rules to judge.
    const bool can_be_asked =
        has_gateway(payment) && accounts.configured(payment.gateway_account());
    if (can_be_asked) asked->payments.push_back(&payment);
  }
  asked->readings.resize(asked->payments.size());
  asked->done_with.resize(asked->payments.size());
  const auto finish = [](Questions& all) {
    Said said;
    for (std::size_t i = 0; i < all.payments.size(); ++i) {
      if (!all.readings[i]) {
        if (!all.done_with[i]) said.complete = false;
        continue;
      }
      said.readings.push_back({all.payments[i]->payment_id(), all.payments[i]->revision(),
                               *std::move(all.readings[i])});
    }
    std::exchange(all.then, nullptr)(std::move(said));
  };
  const std::size_t count = asked->payments.size();
  // One more, for the loop itself.
  asked->missing = count + 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& account = asked->payments[i]->gateway_account();
    accounts.run(account, priority, [&accounts, &sender, asked, finish, deadline, i] {
      const pb::Payment& payment = *asked->payments[i];
      const engine::TraceScope scope(asked->trace);
      if (accounts.enter(payment.gateway_account())) {
        auto said = sender.fetch(payment, asked->order->order->currency_code(), deadline);
        if (auto* reading = std::get_if<Reading>(&said)) {
          asked->readings[i] = std::move(*reading);
        } else {
          const auto& error = std::get<FetchError>(said);
          asked->done_with[i] =
              error.kind != FetchError::Kind::kUnavailable && !rules::has_open_money(payment);
          spdlog::info("payment {} of order {}, which is to be canceled, can't be read: {}",
                       payment.payment_id(), asked->order->order->order_id(),
                       errors::reason(to_status(error, payment)));
        }
      }
      if (asked->missing.fetch_sub(1) == 1) finish(*asked);
    });
  }
  if (asked->missing.fetch_sub(1) == 1) finish(*asked);
}

}  // namespace orderd::payments
