#include "tests/process/watchers.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>

#include "storage/storage.h"

namespace orderd::test {
namespace {

namespace pb = ::orders::v1;
using std::chrono::milliseconds;

/// Messages of one connection, on average.
constexpr int kMessages = 25;
constexpr std::chrono::minutes kPatience{2};

bool wants_type(const pb::WatchFilter& filter, const pb::OrderEvent& event) {
  if (filter.event_types().empty()) return true;
  return std::find(filter.event_types().begin(), filter.event_types().end(),
                   static_cast<int>(event.payload_case())) != filter.event_types().end();
}

}  // namespace

Watchers::Watchers(std::vector<std::string> addresses, std::uint64_t seed, std::string last_note)
    : addresses_(std::move(addresses)), seed_(seed), last_note_(std::move(last_note)) {}

Watchers::~Watchers() {
  giving_up_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Watchers::add(const Kind& kind) {
  records_.push_back(std::make_unique<Record>());
  Record& record = *records_.back();
  record.kind = kind;
  const auto count = static_cast<int>(records_.size());
  threads_.emplace_back(
      [this, &record, count] { watch(record, seed_ + static_cast<std::uint64_t>(count)); });
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return begun_ == count; }));
}

void Watchers::note(const pb::WatchOrdersResponse& message, Record& record, bool& last) {
  const bool all = record.kind.filter.event_types().empty() &&
                   record.kind.filter.state_ids().empty() && record.kind.filter.labels().empty();
  for (const pb::OrderChange& change : message.changes()) {
    record.heard.emplace_back(change.order_id(), change.etag());
    if (all) record.replay.apply(change);
    for (const pb::OrderEvent& event : change.events()) {
      last |= event.note_added().note().body() == last_note_;
    }
  }
  for (const pb::Order& order : message.snapshot_orders()) record.replay.show(order);
}

void Watchers::watch(Record& record, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  pb::WatchOrdersRequest request;
  *request.mutable_filter() = record.kind.filter;
  request.set_from_snapshot(record.kind.from_snapshot);
  bool begun = false;
  bool last = false;
  while (!last && !giving_up_) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const auto stub = pb::OrderService::NewStub(grpc::CreateChannel(
        addresses_[random() % addresses_.size()], grpc::InsecureChannelCredentials()));
    const auto stream = stub->WatchOrders(&context, request);
    bool broken_off = false;
    for (pb::WatchOrdersResponse message; stream->Read(&message);) {
      note(message, record, last);
      if (!begun && (!record.kind.from_snapshot || message.snapshot_complete())) {
        begun = true;
        std::lock_guard lock(mutex_);
        ++begun_;
        changed_.notify_all();
      }
      request.set_resume_token(message.resume_token());
      request.clear_from_snapshot();
      if (record.kind.slow) std::this_thread::sleep_for(milliseconds(random() % 30));
      if (last || giving_up_ || random() % kMessages == 0) {
        broken_off = true;
        break;
      }
    }
    if (broken_off) {
      context.TryCancel();
      for (pb::WatchOrdersResponse rest; stream->Read(&rest);) {
      }
    }
    const grpc::Status status = stream->Finish();
    const auto code = status.error_code();
    // A killed server shows as UNAVAILABLE; CANCELLED if the stream had been broken off.
    const bool excused = broken_off || code == grpc::StatusCode::UNAVAILABLE ||
                         code == grpc::StatusCode::DEADLINE_EXCEEDED ||
                         code == grpc::StatusCode::ABORTED;
    if (!excused) {
      ADD_FAILURE() << "a watch ended with " << code << " " << status.error_message();
      break;
    }
    ++record.resumed;
    if (!broken_off) std::this_thread::sleep_for(milliseconds(20));  // its server may be starting
  }
  std::lock_guard lock(mutex_);
  ++done_;
  changed_.notify_all();
}

void Watchers::finish() {
  std::unique_lock lock(mutex_);
  const bool all = changed_.wait_for(lock, kPatience,
                                     [&] { return done_ == static_cast<int>(records_.size()); });
  lock.unlock();
  EXPECT_TRUE(all) << "not every watcher came to the end";
  giving_up_ = true;
  for (std::thread& thread : threads_) thread.join();
}

Watchers::Heard expected_of(const std::string& database_url, const pb::WatchFilter& filter) {
  const auto storage = storage::open(database_url, {});
  Watchers::Heard heard;
  std::map<std::string, std::string> states;
  for (std::int64_t position = 0;;) {
    const auto tx = storage->begin_read(storage::Clock::now() + std::chrono::seconds(30));
    const auto changes = tx->list_changes(position, 1000);
    if (changes.empty()) return heard;
    for (const auto& change : changes) {
      EXPECT_EQ(change.position, position + 1);
      position = change.position;
      const std::string id = change.order_id.to_string();
      const bool known = states.contains(id);
      const std::string before = states[id];
      bool wanted = false;
      for (const auto& row : change.events) {
        pb::OrderEvent event;
        EXPECT_TRUE(event.ParseFromString(row.event));
        wanted |= wants_type(filter, event);
        if (event.has_order_created()) states[id] = event.order_created().order().state_id();
        if (event.has_state_changed()) states[id] = event.state_changed().after_state_id();
      }
      const std::set<std::string> in(filter.state_ids().begin(), filter.state_ids().end());
      const bool matches = in.empty() || (known && in.contains(before)) || in.contains(states[id]);
      if (wanted && matches) heard.emplace_back(id, std::to_string(change.version));
    }
  }
}

}  // namespace orderd::test
