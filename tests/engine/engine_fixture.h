#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "server/engine/engine.h"
#include "server/engine/reader.h"
#include "server/engine/request_hash.h"
#include "server/orders/create.h"
#include "server/orders/errors.h"
#include "server/orders/import.h"
#include "server/orders/invoice.h"
#include "server/orders/notes.h"
#include "server/orders/shipments.h"
#include "server/orders/status.h"
#include "tests/engine/raw_database.h"
#include "tests/support/any_gateway.h"
#include "tests/support/test_database.h"

// What the tests of the engine share: a server without its RPC layer, the commands that the RPC
// layer would submit, and ways to hold a lane and to look into the database.

namespace orderd::test {

using engine::Answer;
using engine::Command;
using AnswerOr = absl::StatusOr<Answer>;

/// More than any answer takes; only a hang reaches it.
inline constexpr std::chrono::seconds kPatience{60};

template <typename T>
T get(std::future<T> future) {
  if (future.wait_for(kPatience) != std::future_status::ready) {
    // The answer may still arrive and find its promise gone; so this ends the program.
    ADD_FAILURE() << "no answer";
    std::abort();
  }
  return future.get();
}

/// A server without its RPC layer. Several on one database are several server processes.
struct Server {
  explicit Server(std::shared_ptr<storage::Storage> opened, const engine::Limits& limits = {},
                  std::size_t cache_bytes = 64u << 20)
      : storage(std::move(opened)),
        cache(cache_bytes),
        settings(std::make_shared<const Settings>(
            storage->begin_read(storage::Clock::now() + kPatience)->load_settings())),
        engine(*storage, cache, settings, limits) {}

  std::shared_ptr<storage::Storage> storage;
  engine::OrderCache cache;
  engine::SettingsCache settings;
  engine::Engine engine;

  std::future<AnswerOr> send(Command command) {
    std::future<AnswerOr> answer = expect(command);
    engine.submit(std::move(command));
    return answer;
  }
  /// As one submission, so one batch if it fits.
  std::vector<std::future<AnswerOr>> send(std::vector<Command> commands) {
    std::vector<std::future<AnswerOr>> answers;
    for (Command& command : commands) answers.push_back(expect(command));
    engine.submit(std::move(commands));
    return answers;
  }
  AnswerOr call(Command command) { return get(send(std::move(command))); }
  std::vector<AnswerOr> call(std::vector<Command> commands) {
    std::vector<AnswerOr> answers;
    for (auto& answer : send(std::move(commands))) answers.push_back(get(std::move(answer)));
    return answers;
  }

  /// The order as the database has it, past the cache; null if there is none.
  OrderPtr stored(const Uuid& id) {
    auto reads = storage->begin_read(storage::Clock::now() + kPatience);
    reads->snapshot();
    auto orders = reads->load_orders(std::span(&id, 1));
    return orders.empty() ? nullptr : orders.front();
  }
  std::vector<pb::Note> notes(const Uuid& id) {
    return storage->begin_read(storage::Clock::now() + kPatience)
        ->list_notes(id, std::nullopt, 1000);
  }

  static std::future<AnswerOr> expect(Command& command) {
    auto promise = std::make_shared<std::promise<AnswerOr>>();
    command.done = [promise](AnswerOr answer) { promise->set_value(std::move(answer)); };
    return promise->get_future();
  }
};

inline const std::string kActor = "tester";

/// What the RPC layer makes of any mutation.
template <typename Request>
Command command_for(std::string_view method, const Request& request) {
  Command command;
  command.actor = kActor;
  command.request_id = request.request_id();
  if (const auto id = Uuid::parse(request.request_id())) {
    command.request = engine::request_key(kActor, method, *id);
    command.body_hash = engine::body_hash(request);
  }
  if constexpr (requires { request.order_id(); }) {
    command.order_id = Uuid::parse(request.order_id()).value_or(Uuid{});
    command.order_id_text = request.order_id();
    command.expected_etag = request.etag();
  }
  return command;
}

inline Command create(const pb::CreateOrderRequest& request) {
  Command command = command_for("CreateOrder", request);
  command.order_id = Uuid::generate();
  command.creates = true;
  const std::string number =
      rules::order_number_of(request.order(), "T-" + command.order_id.to_string().substr(9));
  command.claims = rules::create_claims(request, number);
  command.rule = [request, id = command.order_id, number](const rules::Target& target,
                                                          const rules::Context& context) {
    return rules::create_order(request, id, number, rules::AnyGateway(), target, context);
  };
  return command;
}

inline Command import(const pb::ImportOrdersRequest& request) {
  Command command;
  command.actor = kActor;
  command.creates = true;
  command.claims = rules::import_claims(request);
  std::vector<Uuid> ids(rules::import_ids(request));
  for (Uuid& id : ids) id = Uuid::generate();
  command.order_id = ids.front();
  command.rule = [request, ids, digest = engine::body_hash(request)](
                     const rules::Target& target, const rules::Context& context) {
    return rules::import_order(request, digest, ids, target, context);
  };
  return command;
}

inline Command invoice(const pb::UpdateInvoiceRequest& request) {
  Command command = command_for("UpdateInvoice", request);
  command.claims = rules::invoice_claims(request);
  command.rule = [request](const rules::Target& target, const rules::Context& context) {
    return rules::update_invoice(request, target, context);
  };
  return command;
}

inline Command status(const pb::UpdateOrderStatusRequest& request) {
  Command command = command_for("UpdateOrderStatus", request);
  command.rule = [update = rules::status_update(request)](const rules::Target& target,
                                                          const rules::Context& context) {
    return rules::update_status(update, target, context);
  };
  return command;
}

inline Command add_note(const pb::AddNoteRequest& request) {
  Command command = command_for("AddNote", request);
  command.rule = [request, id = Uuid::generate()](const rules::Target& target,
                                                  const rules::Context& context) {
    return rules::add_note(request, id, target, context);
  };
  return command;
}

inline Command update_note(const pb::UpdateNoteRequest& request) {
  Command command = command_for("UpdateNote", request);
  command.note_id = Uuid::parse(request.note_id());
  command.rule = [request](const rules::Target& target, const rules::Context& context) {
    return rules::update_note(request, target, context);
  };
  return command;
}

inline Command delete_note(const pb::DeleteNoteRequest& request) {
  Command command = command_for("DeleteNote", request);
  command.note_id = Uuid::parse(request.note_id());
  command.rule = [request](const rules::Target& target, const rules::Context& context) {
    return rules::delete_note(request, target, context);
  };
  return command;
}

inline Command ship(const pb::UpdateShipmentsRequest& request) {
  Command command = command_for("UpdateShipments", request);
  command.rule = [request, ids = Uuid::generate()](const rules::Target& target,
                                                   const rules::Context& context) {
    return rules::update_shipments(request, ids, target, context);
  };
  return command;
}

inline pb::UpdateShipmentsRequest shipment_request(const Uuid& order_id,
                                                   const std::string& request_id = {}) {
  pb::UpdateShipmentsRequest request;
  request.set_order_id(order_id.to_string());
  request.set_request_id(request_id);
  return request;
}

/// All lines into a delivery state.
inline pb::UpdateShipmentsRequest delivery_request(const Uuid& order_id,
                                                   const std::string& state_id,
                                                   const std::string& request_id = {}) {
  auto request = shipment_request(order_id, request_id);
  auto& change = *request.add_changes()->mutable_set_delivery_state();
  change.mutable_selection()->set_all(true);
  change.set_delivery_state_id(state_id);
  return request;
}

/// An order with one item.
inline pb::CreateOrderRequest new_order(const std::string& request_id = {}) {
  pb::CreateOrderRequest request;
  request.set_request_id(request_id);
  pb::Item& item = *request.mutable_order()->add_items();
  item.set_sku("SKU-1");
  item.set_name("A thing");
  item.set_quantity(2);
  item.mutable_unit_price()->set_currency_code("EUR");
  item.mutable_unit_price()->set_amount_minor(1050);
  return request;
}

inline Command invoice(const Uuid& order, const std::string& number,
                       const std::string& request_id = {}, const std::string& etag = {}) {
  pb::UpdateInvoiceRequest request;
  request.set_order_id(order.to_string());
  request.set_invoice_number(number);
  request.set_request_id(request_id);
  request.set_etag(etag);
  return invoice(request);
}

inline Command status(const Uuid& order, const std::string& state,
                      const std::string& request_id = {}) {
  pb::UpdateOrderStatusRequest request;
  request.set_order_id(order.to_string());
  request.set_state_id(state);
  request.set_request_id(request_id);
  return status(request);
}

inline Command add_note(const Uuid& order, const std::string& body,
                        const std::string& request_id = {}) {
  pb::AddNoteRequest request;
  request.set_order_id(order.to_string());
  request.set_body(body);
  request.set_request_id(request_id);
  return add_note(request);
}

/// New orders, created in batches.
inline std::vector<Uuid> make_orders(Server& server, int count) {
  std::vector<Command> commands;
  for (int i = 0; i < count; ++i) commands.push_back(create(new_order()));
  std::vector<Uuid> ids;
  for (const AnswerOr& answer : server.call(std::move(commands))) {
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (answer.ok()) ids.push_back(answer->order_id);
  }
  return ids;
}
inline Uuid make_order(Server& server) { return make_orders(server, 1).at(0); }

/// Holds a lane of an engine: a command whose rule does not return before `release`. What is
/// submitted meanwhile is one batch then.
class Held {
 public:
  /// `like`: the lane of that order.
  explicit Held(Server& server, int lanes = 1, const Uuid& like = {}) {
    Command command;
    command.actor = "holder";
    command.creates = true;
    const auto lane = [&](const Uuid& id) {
      return std::hash<Uuid>{}(id) % static_cast<std::size_t>(lanes);
    };
    do {
      command.order_id = Uuid::generate();
    } while (lane(command.order_id) != lane(like));
    command.rule = [state = state_](const rules::Target&, const rules::Context&) {
      std::unique_lock lock(state->mutex);
      state->entered = true;
      state->changed.notify_all();
      state->changed.wait(lock, [&] { return state->released; });
      return rules::Change{};
    };
    answer_ = server.send(std::move(command));
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->entered; });
  }
  ~Held() { release(); }

  void release() {
    if (!answer_.valid()) return;
    {
      std::lock_guard lock(state_->mutex);
      state_->released = true;
      state_->changed.notify_all();
    }
    EXPECT_TRUE(get(std::move(answer_)).ok());
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool entered = false;
    bool released = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::future<AnswerOr> answer_;
};

/// Changes the settings as another server does.
inline void change_settings(storage::Storage& storage, const std::vector<pb::OrderState>& states) {
  const auto tx = storage.begin_write(storage::Clock::now() + kPatience);
  const Settings settings = tx->lock_settings();
  for (const pb::OrderState& state : states) tx->save_order_state(state);
  tx->set_settings_version(settings.version + 1);
  tx->commit();
}

inline bool has_retry_info(const absl::Status& status) {
  const google::rpc::Status proto = errors::to_proto(status);
  for (const auto& detail : proto.details()) {
    google::rpc::RetryInfo info;
    if (detail.UnpackTo(&info)) {
      return info.retry_delay().seconds() > 0 || info.retry_delay().nanos() > 0;
    }
  }
  return false;
}

/// A fresh database and what is needed to open servers on it.
template <typename Base>
class OnDatabase : public Base {
 protected:
  std::shared_ptr<storage::Storage> open(const storage::Options& options = {}) {
    return storage::open(database().url(), options);
  }
  RawDatabase& raw() {
    if (!raw_) raw_.emplace(database().url());
    return *raw_;
  }
  TestDatabase& database() {
    if constexpr (requires { this->database_; }) {
      return this->database_;
    } else {
      if (!own_) own_.emplace(TestDatabase::mariadb());
      return *own_;
    }
  }

 private:
  std::optional<TestDatabase> own_;
  std::optional<RawDatabase> raw_;
};
using EngineTest = OnDatabase<DatabaseTest>;
/// For what SQLite has not: several lanes, several servers, a network.
using MariaDbEngineTest = OnDatabase<::testing::Test>;

#define EXPECT_REASON(result, expected)                                                  \
  do {                                                                                   \
    const absl::Status status_of_result = (result).status();                             \
    EXPECT_EQ(::orderd::errors::reason(status_of_result), expected) << status_of_result; \
  } while (false)

}  // namespace orderd::test
