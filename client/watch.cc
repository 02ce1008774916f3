#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "client/client_impl.h"
#include "client/held_call.h"
#include "client/retry.h"

namespace orderd::client {
namespace {

using std::chrono::milliseconds;

/// What the server takes where the request says nothing.
constexpr milliseconds kHeartbeat{15'000};
constexpr milliseconds kLongestHeartbeat{600'000};
/// So many intervals without a message: the connection is dead.
constexpr int kSilentHeartbeats = 3;
/// A stop during a wait between two tries is noticed after so long.
constexpr milliseconds kSlice{100};

/// One WatchOrders call. gRPC's threads read, one message ahead; the watching thread does the rest.
class WatchStream final
    : public internal::HeldCall<grpc::ClientReadReactor<pb::WatchOrdersResponse>> {
 public:
  /// The request must live as long.
  WatchStream(pb::OrderService::Stub& stub, const pb::WatchOrdersRequest& request,
              const Options& options) {
    internal::add_key(context_, options);
    stub.async()->WatchOrders(&context_, &request, this);
    AddHold();  // reads start outside of reactions
    StartRead(&incoming_);
    StartCall();
  }

  ~WatchStream() override { cancel(); }

  enum class News { kNone, kMessage, kEnded, kStopped };
  /// Waits for what comes next; kNone if there is nothing for so long.
  News wait(milliseconds at_most) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, at_most, [this] { return stopped_ || received_ || ended_; });
    if (stopped_) return News::kStopped;
    if (received_) return News::kMessage;
    return ended_ ? News::kEnded : News::kNone;
  }

  /// Only after kMessage. Begins to read the next one.
  pb::WatchOrdersResponse take() {
    {
      std::lock_guard lock(mutex_);
      received_ = false;
    }
    pb::WatchOrdersResponse message = std::move(incoming_);
    incoming_.Clear();
    StartRead(&incoming_);
    return message;
  }

  /// Waits no more. From any thread.
  void stop() {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    (ok ? received_ : ended_) = true;
    changed_.notify_all();
  }

  /// The reading thread's, until `received_` is true; then the watching thread's, until it takes
  /// it.
  pb::WatchOrdersResponse incoming_;

  bool received_ = false;  // this and what follows: guarded by mutex_
  bool ended_ = false;
  bool stopped_ = false;
};

/// Whether the same watch may go on a little later.
bool resumable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
    // Not by this client: a server or a proxy has cut the stream.
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kAborted:
      return details(status).reason == "WATCH_TOO_SLOW" || internal::worth_retrying(status);
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      // The service gives a reason; without one it is the stream that broke.
      return details(status).reason.empty();
    default:
      return internal::worth_retrying(status);
  }
}

/// After so long without a message the connection is taken for dead.
milliseconds longest_silence(const pb::WatchOrdersRequest& request) {
  if (!request.has_heartbeat_interval()) return kSilentHeartbeats * kHeartbeat;
  const auto& interval = request.heartbeat_interval();
  const std::int64_t most = kLongestHeartbeat.count();
  const std::int64_t heartbeat =
      std::clamp<std::int64_t>(interval.seconds(), 0, most / 1'000) * 1'000 +
      std::clamp<std::int64_t>(interval.nanos(), 0, 999'999'999) / 1'000'000;
  return kSilentHeartbeats * milliseconds(std::clamp<std::int64_t>(heartbeat, 1, most));
}

/// A watch over as many streams as it takes.
class Watch {
 public:
  /// `options` are the client's.
  Watch(const Options& options, pb::WatchOrdersRequest request,
        const std::function<bool(const pb::WatchOrdersResponse&)>& handler,
        const WatchOptions& watch)
      : options_(options),
        request_(std::move(request)),
        handler_(handler),
        watch_(watch),
        silence_(longest_silence(request_)) {}

  /// `Connection` is Client::Impl, which only members of Client can name.
  template <class Connection>
  absl::Status run(std::shared_ptr<const Connection> connection) {
    internal::Backoff backoff(options_);
    int tries = 0;
    auto first_failure = options_.now();
    while (!watch_.stop.stop_requested()) {
      const End end = run_stream(*connection->orders);
      if (end.how == End::kWanted || !resumable(end.status)) return end.status;
      if (end.progress || tries == 0) {
        backoff.reset();
        tries = 0;
        first_failure = options_.now();
      }
      const bool exhausted = ++tries >= options_.retry.max_attempts;
      const milliseconds wait = backoff.next(end.status);
      if (watch_.interrupted ? !watch_.interrupted({end.status, exhausted, wait}) : exhausted) {
        if (tries == 1) return end.status;
        return internal::given_up(
            end.status, tries,
            std::chrono::duration_cast<milliseconds>(options_.now() - first_failure));
      }
      if (end.how == End::kSilent) {
        // Another stream over a connection that is dead would be silent too.
        if (auto fresh = connection->over_new_connection()) connection = std::move(fresh);
      }
      pause(connection->options, wait);
    }
    return absl::OkStatus();
  }

 private:
  struct End {
    enum How { kWanted, kBroken, kSilent };
    How how;
    /// OK if it was wanted.
    absl::Status status;
    /// A message came.
    bool progress = false;
  };

  End run_stream(pb::OrderService::Stub& stub) {
    WatchStream stream(stub, request_, options_);
    const std::stop_callback stop(watch_.stop, [&] { stream.stop(); });
    bool progress = false;
    while (true) {
      switch (stream.wait(silence_)) {
        case WatchStream::News::kStopped:
          return {End::kWanted, absl::OkStatus(), progress};
        case WatchStream::News::kEnded: {
          absl::Status status = stream.finish();
          if (status.ok()) status = absl::InternalError("the server ended the watch");
          return {End::kBroken, std::move(status), progress};
        }
        case WatchStream::News::kNone:
          return {End::kSilent,
                  absl::UnavailableError(
                      absl::StrCat("no message from the server for ", silence_.count(), " ms")),
                  progress};
        case WatchStream::News::kMessage:
          break;
      }
      progress = true;
      const pb::WatchOrdersResponse message = stream.take();
      if (!handler_(message)) return {End::kWanted, absl::OkStatus(), progress};
      if (!message.resume_token().empty()) {
        request_.set_resume_token(message.resume_token());
        request_.set_from_snapshot(false);  // the token knows
      }
    }
  }

  void pause(const Options& options, milliseconds wait) const {
    while (wait > milliseconds::zero() && !watch_.stop.stop_requested()) {
      const milliseconds slice = std::min(wait, kSlice);
      options.sleep(slice);
      wait -= slice;
    }
  }

  const Options& options_;
  pb::WatchOrdersRequest request_;
  const std::function<bool(const pb::WatchOrdersResponse&)>& handler_;
  const WatchOptions& watch_;
  const milliseconds silence_;
};

}  // namespace

absl::Status Client::watch_orders(
    pb::WatchOrdersRequest request,
    const std::function<bool(const pb::WatchOrdersResponse&)>& handler,
    const WatchOptions& options) const {
  return Watch(impl_->options, std::move(request), handler, options)
      .run(std::shared_ptr<const Impl>(impl_));
}

}  // namespace orderd::client
