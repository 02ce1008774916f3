#include "tests/process/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>

#include "client/request_id.h"
#include "tests/process/clients.h"

namespace orderd::test {
namespace {

using std::chrono::steady_clock;

const char* const kStates[] = {"new", "processing", "completed", "fraud", "suspended"};
constexpr int kSharedInvoiceNumbers = 40;

const std::set<std::string> kExpectedRefusals = {"ETAG_MISMATCH", "INVOICE_NUMBER_IN_USE",
                                                 "NOTE_NOT_FOUND", "STATE_NOT_ENTERABLE"};

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

template <class Response>
absl::StatusOr<OrderAnswer> answer_of(absl::StatusOr<Response> response) {
  if (!response.ok()) return response.status();
  OrderAnswer answer;
  answer.order = std::move(*response->mutable_order());
  answer.version = version_of(response->etag());
  answer.changed = response->changed();
  answer.replayed = response->replayed();
  if constexpr (requires { response->note(); }) answer.note_id = response->note().note_id();
  return answer;
}

/// What an order's changes make of it.
struct Model {
  std::string state_id = "new";
  std::string invoice_number;
  std::map<std::string, std::string> notes;

  void apply(const OrderRequest& request, const std::string& note_id) {
    std::visit(
        Overloaded{[&](const pb::UpdateOrderStatusRequest& r) { state_id = r.state_id(); },
                   [&](const pb::UpdateInvoiceRequest& r) { invoice_number = r.invoice_number(); },
                   [&](const pb::AddNoteRequest& r) { notes[note_id] = r.body(); },
                   [&](const pb::UpdateNoteRequest& r) { notes[r.note_id()] = r.body(); },
                   [&](const pb::DeleteNoteRequest& r) { notes.erase(r.note_id()); }},
        request);
  }
};

}  // namespace

std::int64_t version_of(const std::string& etag) { return std::stoll(etag); }

absl::StatusOr<OrderAnswer> call(const client::Client& client, const OrderRequest& request) {
  return std::visit(
      Overloaded{
          [&](const pb::UpdateOrderStatusRequest& r) {
            return answer_of(client.update_order_status(r));
          },
          [&](const pb::UpdateInvoiceRequest& r) { return answer_of(client.update_invoice(r)); },
          [&](const pb::AddNoteRequest& r) { return answer_of(client.add_note(r)); },
          [&](const pb::UpdateNoteRequest& r) { return answer_of(client.update_note(r)); },
          [&](const pb::DeleteNoteRequest& r) { return answer_of(client.delete_note(r)); }},
      request);
}

std::uint64_t test_seed() {
  const char* given = std::getenv("ORDERD_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device{}();
  std::cout << "ORDERD_TEST_SEED=" << seed << std::endl;
  return seed;
}

std::size_t Load::own(std::size_t client, std::mt19937_64&) { return client; }

Load::Load(std::vector<client::Client> servers, std::size_t order_count, std::uint64_t seed)
    : servers_(std::move(servers)), seed_(seed) {
  for (std::size_t i = 0; i < order_count; ++i) {
    const auto made = servers_[i % servers_.size()].create_order(empty_order());
    if (!made.ok()) throw std::runtime_error("no order could be made: " + made.status().ToString());
    order_ids_.push_back(made->order().order_id());
    ledgers_.push_back(std::make_unique<Ledger>());
  }
}

Load::~Load() { stop(); }

void Load::start(std::size_t clients, Route route) {
  stopping_ = false;
  ++round_;
  successes_.assign(clients, {});
  for (std::size_t i = 0; i < clients; ++i) {
    threads_.emplace_back([this, i, route] { work(i, route); });
  }
}

void Load::wait_for_answers(std::size_t more) {
  const std::size_t target = answers_ + more;
  std::unique_lock lock(mutex_);
  if (!answered_.wait_for(lock, std::chrono::minutes(2), [&] { return answers_ >= target; })) {
    problems_.push_back("only " + std::to_string(answers_) + " calls were answered of " +
                        std::to_string(target));
  }
}

void Load::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::size_t Load::changes() const {
  std::size_t count = 0;
  for (const auto& ledger : ledgers_) count += ledger->changes.size();
  return count;
}

void Load::work(std::size_t client, const Route& route) {
  std::seed_seq seeds{seed_, std::uint64_t(round_), std::uint64_t(client)};
  std::mt19937_64 random(seeds);
  while (!stopping_) {
    const client::Client& server = servers_[route(client, random) % servers_.size()];
    const std::size_t index = random() % order_ids_.size();
    const auto began = steady_clock::now();
    if (random() % 8 == 0) {
      read(server, index);
    } else if (write(server, index, random_request(*ledgers_[index], order_ids_[index], random),
                     random)) {
      successes_[client].push_back({began, steady_clock::now(), index});
    }
    {
      std::lock_guard lock(mutex_);
      ++answers_;
    }
    answered_.notify_all();
  }
}

OrderRequest Load::random_request(Ledger& ledger, const std::string& order_id,
                                  std::mt19937_64& random) {
  const std::string id = client::new_request_id();
  std::string etag, note_id;
  {
    std::lock_guard lock(ledger.mutex);
    if (random() % 6 == 0) etag = ledger.etag;
    if (!ledger.note_ids.empty()) note_id = ledger.note_ids[random() % ledger.note_ids.size()];
  }
  const auto common = [&](auto request) -> OrderRequest {
    request.set_order_id(order_id);
    request.set_request_id(id);
    request.set_etag(etag);
    return request;
  };
  const auto kind = random() % 10;
  if (kind < 3) {
    pb::UpdateOrderStatusRequest request;
    request.set_state_id(kStates[random() % std::size(kStates)]);
    return common(request);
  }
  if (kind < 6) {
    pb::UpdateInvoiceRequest request;
    const auto number = random() % (kSharedInvoiceNumbers * 2);
    if (number < kSharedInvoiceNumbers) {
      request.set_invoice_number("SHARED-" + std::to_string(number));
    } else if (number % 4 != 0) {
      request.set_invoice_number("I-" + id);
    }
    return common(request);
  }
  if (kind < 8 || note_id.empty()) {
    pb::AddNoteRequest request;
    request.set_body("added by " + id);
    return common(request);
  }
  if (kind < 9) {
    pb::UpdateNoteRequest request;
    request.set_note_id(note_id);
    request.set_body("edited by " + id);
    return common(request);
  }
  pb::DeleteNoteRequest request;
  request.set_note_id(note_id);
  return common(request);
}

void Load::see(Ledger& ledger, const pb::Order& order, std::int64_t at_least) {
  const std::int64_t version = version_of(order.etag());
  if (version < at_least) {
    problem(order.order_id() + " is answered at version " + std::to_string(version) + " after " +
            std::to_string(at_least) + " was acknowledged");
  }
  std::lock_guard lock(ledger.mutex);
  ledger.sightings.push_back(
      {version, order.state_id(), order.invoice_number(), order.note_count()});
}

void Load::read(const client::Client& client, std::size_t index) {
  Ledger& ledger = *ledgers_[index];
  std::int64_t acknowledged = 0;
  {
    std::lock_guard lock(ledger.mutex);
    acknowledged = ledger.acknowledged;
  }
  pb::GetOrderRequest request;
  request.set_order_id(order_ids_[index]);
  const auto answer = client.get_order(request);
  if (!answer.ok()) return problem("GetOrder: " + answer.status().ToString());
  see(ledger, answer->order(), acknowledged);
}

bool Load::excused(const absl::Status& status) {
  const std::string reason = client::details(status).reason;
  std::lock_guard lock(mutex_);
  ++refusals_[reason];
  return kExpectedRefusals.contains(reason);
}

bool Load::write(const client::Client& client, std::size_t index, const OrderRequest& request,
                 std::mt19937_64& random) {
  Ledger& ledger = *ledgers_[index];
  std::int64_t acknowledged = 0;
  {
    std::lock_guard lock(ledger.mutex);
    acknowledged = ledger.acknowledged;
  }
  const auto answer = call(client, request);
  if (!answer.ok()) {
    if (!excused(answer.status())) problem(answer.status().ToString());
    return false;
  }
  see(ledger, answer->order, std::max(acknowledged, answer->version));
  const std::string etag = std::visit([](const auto& r) { return r.etag(); }, request);
  if (!etag.empty() && answer->version != version_of(etag) + (answer->changed ? 1 : 0)) {
    problem("a change of version " + etag + " made version " + std::to_string(answer->version));
  }
  if (answer->replayed) {
    ++replays_;
    if (!answer->changed) problem("a replay says that nothing was changed");
  }
  const Change change{request, answer->version, answer->note_id};
  {
    std::lock_guard lock(ledger.mutex);
    ledger.acknowledged = std::max(ledger.acknowledged, version_of(answer->order.etag()));
    ledger.etag = answer->order.etag();
    if (answer->changed) {
      ledger.changes.push_back(change);
      if (std::holds_alternative<pb::AddNoteRequest>(request)) {
        ledger.note_ids.push_back(answer->note_id);
      }
    }
  }
  if (answer->changed && random() % 20 == 0) repeat(client, ledger, change);
  return answer->changed;
}

void Load::repeat(const client::Client& client, Ledger& ledger, const Change& change) {
  const auto again = call(client, change.request);
  if (!again.ok()) return problem("repeated: " + again.status().ToString());
  see(ledger, again->order, change.version);
  if (!again->replayed || !again->changed || again->version != change.version ||
      again->note_id != change.note_id) {
    problem("the call that made version " + std::to_string(change.version) +
            " is answered with version " + std::to_string(again->version) +
            (again->replayed ? ", replayed," : "") + " when it is repeated");
  }
}

void Load::problem(const std::string& text) {
  std::lock_guard lock(mutex_);
  if (problems_.size() < 20) problems_.push_back(text);
}

void Load::replay_all(const client::Client& client) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      for (std::size_t order = next++; order < ledgers_.size(); order = next++) {
        for (const Change& change : ledgers_[order]->changes) {
          repeat(client, *ledgers_[order], change);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void Load::check(const client::Client& client) {
  std::cout << answers_ << " answers, " << changes() << " changes, " << replays_
            << " answers that had been lost;";
  for (const auto& [reason, count] : refusals_) std::cout << " " << reason << " " << count;
  steady_clock::duration slowest{};
  for (const auto& successes : successes_) {
    for (const Success& change : successes)
      slowest = std::max(slowest, change.ended - change.began);
  }
  std::cout << "; the slowest change took "
            << std::chrono::duration_cast<std::chrono::milliseconds>(slowest).count() << " ms"
            << std::endl;
  for (std::size_t i = 0; i < order_ids_.size(); ++i) check_order(client, i);

  std::set<std::string> invoice_numbers;
  for (const std::string& order_id : order_ids_) {
    pb::GetOrderRequest request;
    request.set_order_id(order_id);
    const auto answer = client.get_order(request);
    const std::string number = answer.ok() ? answer->order().invoice_number() : "";
    EXPECT_TRUE(number.empty() || invoice_numbers.insert(number).second) << number << " twice";
  }
  for (const std::string& text : problems_) ADD_FAILURE() << text;
  problems_.clear();
}

void Load::check_order(const client::Client& client, std::size_t index) {
  Ledger& ledger = *ledgers_[index];
  SCOPED_TRACE("order " + order_ids_[index]);
  std::sort(ledger.changes.begin(), ledger.changes.end(),
            [](const Change& a, const Change& b) { return a.version < b.version; });

  Model model;
  std::vector<Sighting> history{{}, {1, model.state_id, "", 0}};
  for (const Change& change : ledger.changes) {
    const auto version = static_cast<std::int64_t>(history.size());
    ASSERT_EQ(change.version, version) << "no acknowledged change, or two, made this version";
    model.apply(change.request, change.note_id);
    history.push_back(
        {version, model.state_id, model.invoice_number, static_cast<int>(model.notes.size())});
  }
  pb::GetOrderRequest get;
  get.set_order_id(order_ids_[index]);
  const auto answer = client.get_order(get);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const pb::Order& order = answer->order();
  ASSERT_EQ(version_of(order.etag()), static_cast<std::int64_t>(history.size()) - 1)
      << "changes were made that nobody was told of, or lost";
  EXPECT_EQ((Sighting{version_of(order.etag()), order.state_id(), order.invoice_number(),
                      order.note_count()}),
            history.back());

  std::map<std::string, std::string> notes;
  pb::ListNotesRequest list;
  list.set_order_id(order_ids_[index]);
  list.set_page_size(500);
  for (const auto& note : client.list_notes(list)) {
    ASSERT_TRUE(note.ok()) << note.status();
    EXPECT_TRUE(notes.emplace(note->note_id(), note->body()).second);
  }
  EXPECT_EQ(notes, model.notes);

  for (const Sighting& sighting : ledger.sightings) {
    ASSERT_LT(static_cast<std::size_t>(sighting.version), history.size());
    ASSERT_EQ(sighting, history[static_cast<std::size_t>(sighting.version)])
        << "an answer at version " << sighting.version << " is not what that version was";
  }
}

}  // namespace orderd::test
