#include "server/rpc/watch_stream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <span>
#include <utility>

#include "server/orders/watch.h"
#include "storage/wall_clock.h"

namespace orderd::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using Response = pb::WatchOrdersResponse;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kHeartbeat{15};
/// How long the database may keep a watch from its beginning.
constexpr std::chrono::seconds kBeginPatience{10};
constexpr milliseconds kRetryDelay{500};
/// How long a client may take to read what is on its way before the status; then the call is cut.
constexpr std::chrono::seconds kLastRead{60};
/// Changes that are looked at for one message.
constexpr std::size_t kChanges = 200;
/// A message ends before it would become larger, unless it holds one change or order only.
constexpr std::size_t kMessageBytes = 256u << 10;
/// Rows that one step of a snapshot looks at.
constexpr int kOrders = 1000;
constexpr std::size_t kLoads = 100;

/// Whether the message has room for a part of this size.
bool has_room(const std::string& body, std::size_t bytes) {
  return body.empty() || body.size() + bytes <= kMessageBytes;
}

/// Begins a field of the response that is a message, or text, and has so many bytes.
void begin_field(int field, std::size_t bytes, std::string& body) {
  std::uint8_t head[16];
  std::uint8_t* end = google::protobuf::io::CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), head);
  end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(bytes), end);
  body.append(reinterpret_cast<const char*>(head), static_cast<std::size_t>(end - head));
}

void add_field(int field, const std::string& bytes, std::string& body) {
  begin_field(field, bytes.size(), body);
  body.append(bytes);
}

void add_flag(int field, std::string& body) {
  std::uint8_t head[16];
  std::uint8_t* end = google::protobuf::io::CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT), head);
  *end++ = 1;
  body.append(reinterpret_cast<const char*>(head), static_cast<std::size_t>(end - head));
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchStream::start(const Guard& guard, Backend& backend,
                                                               const PageTokens& tokens,
                                                               grpc::CallbackServerContext& context,
                                                               const grpc::ByteBuffer& in) {
  const auto stream = std::make_shared<WatchStream>(guard, backend, tokens, context);
  stream->self_ = stream;
  absl::Status status;
  try {
    status = stream->admit(in);
  } catch (const std::exception&) {
    status = errors::internal();
  }
  if (status.ok() && !backend.feed.add(stream)) {
    status = backend.feed.stopping() ? errors::shutting_down() : errors::overloaded(kRetryDelay);
  }
  if (!status.ok()) stream->step([&] { stream->fail(status); });
  return stream.get();
}

WatchStream::WatchStream(const Guard& guard, Backend& backend, const PageTokens& tokens,
                         grpc::CallbackServerContext& context)
    : backend_(backend),
      tokens_(tokens),
      context_(context),
      record_(guard, {"WatchOrders", Kind::kRead}) {}

absl::Status WatchStream::admit(const grpc::ByteBuffer& in) {
  absl::Status status = record_.admit(context_, CallRecord::Length::kStream);
  pb::WatchOrdersRequest request;
  if (status.ok()) status = parse(in, request);
  if (status.ok()) status = rules::validate(request);
  if (!status.ok()) return status;
  filter_.emplace(request.filter());
  scope_ = page_scope("WatchOrders", request.filter());
  heartbeat_ = kHeartbeat;
  if (request.has_heartbeat_interval()) {
    heartbeat_ = std::chrono::seconds(request.heartbeat_interval().seconds()) +
                 std::chrono::nanoseconds(request.heartbeat_interval().nanos());
  }
  if (request.from_snapshot()) snapshot_ = Uuid{};
  if (request.resume_token().empty()) return absl::OkStatus();
  const auto token = tokens_.open_watch(request.resume_token());
  if (!token) return errors::watch_token_invalid();
  if (token->has_snapshot_id()) {
    if (token->scope() != scope_) return errors::watch_token_invalid();
    snapshot_ = Uuid::from_bytes(token->snapshot_id());
  }
  has_token_ = true;
  position_ = token->position();
  return absl::OkStatus();
}

template <class Change>
void WatchStream::step(Change change) {
  const auto self = shared_from_this();
  Next next;
  {
    std::lock_guard lock(mutex_);
    change();
    next = advance();
    // Under the mutex: a Finish may come to gRPC after a StartWrite, never the other way round.
    // What gRPC calls because of it comes on other threads.
    if (next.write) StartWrite(&out_);
    if (next.finish) Finish(to_grpc(record_.end(*std::move(next.finish))));
  }
  if (next.read != nullptr) read(next.read);
}

void WatchStream::read(Read work) {
  backend_.reader.run(
      record_.abandoned(),
      [self = shared_from_this(), work](storage::ReadTransaction& tx) { (*self.*work)(tx); },
      [self = shared_from_this()](absl::Status status) {
        self->step([&] { self->fail(std::move(status)); });
      });
}

void WatchStream::begin(std::int64_t position) {
  step([&] {
    greet_ = true;
    source_ = snapshot_ ? Source::kSnapshot : has_token_ ? Source::kDatabase : Source::kFeed;
    if (!has_token_) {
      position_ = position;
      token_checked_ = true;
    } else if (position_ > position) {
      fail(errors::watch_token_expired());  // a database that was set back
    }
  });
}

void WatchStream::look() {
  step([&] {
    news_ = true;
    if (finished_) {
      if (!done_ && Clock::now() - finish_time_ > kLastRead) context_.TryCancel();
    } else if (const absl::Status admitted = record_.admit_again(context_); !admitted.ok()) {
      fail(admitted);
    } else if (source_ == Source::kNone) {
      if (Clock::now() - started_ > kBeginPatience) {
        fail(errors::database_unavailable(kRetryDelay));
      }
    } else if (source_ == Source::kFeed && writing_ && backend_.feed.read(position_, 0).evicted) {
      // It need not wait until the message that is on its way is read, which may be never.
      fail(errors::watch_too_slow());
    }
  });
}

void WatchStream::end() {
  step([&] { ended_ = true; });
}

void WatchStream::OnWriteDone(bool ok) {
  step([&] {
    writing_ = false;
    out_.Clear();
    if (!ok) fail(errors::cancelled());
  });
}

void WatchStream::OnCancel() {
  record_.cancel();
  step([&] { fail(errors::cancelled()); });
}

void WatchStream::OnDone() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  backend_.feed.remove(this);
  const auto last = std::move(self_);
}

void WatchStream::fail(absl::Status status) {
  if (!failure_) failure_ = std::move(status);
}

std::string WatchStream::token() const {
  internal::WatchToken token;
  token.set_position(position_);
  if (snapshot_) {
    token.set_snapshot_id(std::string(snapshot_->raw()));
    token.set_scope(scope_);
  }
  return tokens_.seal(token);
}

void WatchStream::write(std::string body) {
  add_field(Response::kResumeTokenFieldNumber, token(), body);
  ready_ = std::move(body);
}

bool WatchStream::add_change(const watch::Change& change, std::string& body) const {
  std::string rewritten;
  const std::string* picked = filter_->pick(change, rewritten);
  if (picked == nullptr) return true;
  if (!has_room(body, picked->size())) return false;
  add_field(Response::kChangesFieldNumber, *picked, body);
  return true;
}

/// Makes a message of what the feed has, if there is something to say.
void WatchStream::write_from_feed() {
  while (true) {
    const auto page = backend_.feed.read(position_, kChanges);
    if (page.behind) {
      // More came at once than is kept; it was not this client that was slow.
      source_ = Source::kDatabase;
      return;
    }
    // What comes while this message is on its way is for the next look.
    news_ = page.changes.size() == kChanges;
    if (page.changes.empty()) return;
    std::string body;
    for (const watch::ChangePtr& change : page.changes) {
      if (!add_change(*change, body)) {
        news_ = true;
        break;
      }
      position_ = change->position;
    }
    if (!body.empty()) {
      write(std::move(body));
      return;
    }
  }
}

WatchStream::Next WatchStream::advance() {
  Next next;
  if (finished_) return next;
  if (failure_) {
    // What is on its way to a slow client stays before the status.
    finished_ = true;
    finish_time_ = Clock::now();
    next.finish = std::move(failure_);
    return next;
  }
  if (ended_ && (writing_ || source_ == Source::kNone)) {
    finished_ = true;
    finish_time_ = Clock::now();
    next.finish = errors::shutting_down();
    return next;
  }
  if (writing_ || reading_) return next;

  if (!ready_ && source_ == Source::kDatabase && token_checked_ &&
      !backend_.feed.read(position_, 0).behind) {
    source_ = Source::kFeed;
    news_ = true;
  }
  const bool due = Clock::now() - last_message_ >= heartbeat_;
  if (ready_) {
    // Made by a read.
  } else if (ended_) {
    // What there is, with the last token, then the end.
    if (source_ == Source::kFeed) write_from_feed();
    source_ = Source::kNone;
    if (!ready_) write({});
  } else if (has_token_ && !token_checked_ && source_ != Source::kNone) {
    next.read = &WatchStream::check_token;
  } else if (source_ != Source::kNone && (greet_ || due)) {
    write({});
  } else if (source_ == Source::kFeed && news_) {
    write_from_feed();
  }
  if (!ready_ && next.read == nullptr && !ended_) {
    if (source_ == Source::kDatabase) next.read = &WatchStream::read_changes;
    if (source_ == Source::kSnapshot) next.read = &WatchStream::read_snapshot;
  }
  if (ready_) {
    const grpc::Slice slice(*std::exchange(ready_, std::nullopt));
    out_ = grpc::ByteBuffer(&slice, 1);
    writing_ = true;
    greet_ = false;
    last_message_ = Clock::now();
    next.write = true;
  }
  reading_ = next.read != nullptr;
  return next;
}

void WatchStream::check_token(storage::ReadTransaction& tx) {
  const auto kept = std::chrono::duration_cast<std::chrono::microseconds>(backend_.feed_retention);
  const std::int64_t floor = tx.feed_floor(wall_clock() - kept.count());
  step([&] {
    reading_ = false;
    token_checked_ = true;
    if (position_ < floor) fail(errors::watch_token_expired());
  });
}

void WatchStream::read_changes(storage::ReadTransaction& tx) {
  // Only this read moves the position while it runs.
  const std::int64_t after = position_;
  const std::int64_t known = backend_.feed.position();
  std::string body;
  std::int64_t last = after;
  for (auto& row : tx.list_changes(after, static_cast<int>(kChanges))) {
    if (row.position > known || row.position != last + 1) break;
    const watch::Change change(std::move(row));
    if (!add_change(change, body)) break;
    last = change.position;
  }
  step([&] {
    reading_ = false;
    // What follows was dropped meanwhile, or the database was set back.
    if (last == after && after != known) return fail(errors::watch_token_expired());
    position_ = last;
    if (!body.empty()) write(std::move(body));
  });
}

void WatchStream::read_snapshot(storage::ReadTransaction& tx) {
  const Uuid after = *snapshot_;
  std::int64_t position = position_;
  tx.snapshot();
  const std::int64_t now = tx.feed_position();
  std::string body;
  std::optional<Uuid> last = after;
  // First what has happened meanwhile to the orders that were delivered, up to this moment; then
  // more orders, as they are at this moment.
  bool current = true;
  if (after == Uuid{}) {
    position = now;
  } else {
    auto changes = tx.list_changes(position, static_cast<int>(kChanges));
    if (changes.empty() ? position < now : changes.front().position != position + 1) {
      return step([&] {
        reading_ = false;
        fail(errors::watch_token_expired());
      });
    }
    for (auto& row : changes) {
      const std::int64_t reached = row.position;
      const bool shown = row.order_id <= after;
      if (shown && !add_change(watch::Change(std::move(row)), body)) break;
      position = reached;
    }
    current = position >= now;
  }
  if (current && has_room(body, 1)) last = add_orders(tx, after, body);
  // What was read may not be on disk yet.
  if (position > backend_.feed.position()) backend_.feed.make_durable();
  step([&] {
    reading_ = false;
    position_ = position;
    snapshot_ = last;
    if (!last) {
      add_flag(Response::kSnapshotCompleteFieldNumber, body);
      source_ = Source::kDatabase;
    }
    if (!body.empty()) write(std::move(body));
  });
}

std::optional<Uuid> WatchStream::add_orders(storage::ReadTransaction& tx, const Uuid& after,
                                            std::string& body) {
  std::vector<storage::OrderVersion> wanted;
  std::optional<Uuid> last;
  if (const auto* ids = filter_->orders()) {
    auto first = std::upper_bound(ids->begin(), ids->end(), after);
    const auto count = std::min<std::ptrdiff_t>(kOrders, ids->end() - first);
    const std::vector<Uuid> some(first, first + count);
    if (!some.empty()) wanted = tx.versions(some);
    if (first + count != ids->end()) last = some.back();
  } else {
    const auto rows = tx.scan_orders(after, kOrders);
    for (const auto& row : rows) {
      if (filter_->wants_state(row.state_id)) wanted.push_back(row.order);
    }
    if (rows.size() == static_cast<std::size_t>(kOrders)) last = rows.back().order.id;
  }
  std::sort(wanted.begin(), wanted.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  // A few at a time: orders can be large.
  Uuid delivered = after;
  for (std::span<const storage::OrderVersion> rest(wanted); !rest.empty();) {
    const auto some = rest.first(std::min(rest.size(), kLoads));
    rest = rest.subspan(some.size());
    for (const OrderPtr& stored : backend_.reader.load(tx, some)) {
      const pb::Order& order = stored->order;
      if (filter_->matches(stored->id, order.state_id(), order.labels())) {
        const std::size_t bytes = order.ByteSizeLong();
        // The rest comes with the next message.
        if (!has_room(body, bytes)) return delivered;
        begin_field(Response::kSnapshotOrdersFieldNumber, bytes, body);
        order.AppendToString(&body);
      }
      delivered = stored->id;
    }
  }
  return last;
}

}  // namespace orderd::rpc
