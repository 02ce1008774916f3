#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/page_token.h"
#include "server/watch/feed.h"
#include "server/watch/filter.h"

namespace orderd::rpc {

/// One WatchOrders call. It pulls: while a message is on its way nothing is read for it, so what it
/// holds is one message, however slow its client is.
///
/// At any time it stands at a position: all changes up to there have been delivered, of all orders
/// or, while a snapshot is taken, of those up to the last one delivered. It reads what follows from
/// the feed, which has the newest changes, or from the database if the feed has them no more. One
/// whose message is on its way for so long that the feed has no more what follows is too slow and
/// ended.
class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public watch::Watcher,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  /// It owns itself until gRPC is done with it.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* start(const Guard& guard, Backend& backend,
                                                           const PageTokens& tokens,
                                                           grpc::CallbackServerContext& context,
                                                           const grpc::ByteBuffer& in);

  WatchStream(const Guard& guard, Backend& backend, const PageTokens& tokens,
              grpc::CallbackServerContext& context);

 private:
  using Clock = std::chrono::steady_clock;
  /// Where the next changes come from.
  enum class Source { kNone, kSnapshot, kDatabase, kFeed };
  using Read = void (WatchStream::*)(storage::ReadTransaction&);
  /// What is to be done next. After `finish` the stream may be gone.
  struct Next {
    bool write = false;
    Read read = nullptr;
    std::optional<absl::Status> finish;
  };

  absl::Status admit(const grpc::ByteBuffer& in);

  void begin(std::int64_t position) override;
  void look() override;
  void end() override;
  std::int64_t position() const override { return position_; }

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  /// Runs `change` under the mutex, goes on from there, and does what that wants done.
  template <class Change>
  void step(Change change);
  /// Has a reader thread do it.
  void read(Read work);

  // Under the mutex.
  Next advance();
  void write_from_feed();
  void write(std::string body);
  void fail(absl::Status status);
  std::string token() const;

  /// Adds what is to be delivered of the change to a message; false if there is no room for it.
  bool add_change(const watch::Change& change, std::string& body) const;

  // On a reader thread.
  void check_token(storage::ReadTransaction& tx);
  void read_changes(storage::ReadTransaction& tx);
  void read_snapshot(storage::ReadTransaction& tx);
  /// Matching orders behind `after`, serialized as parts of a message, and the last one looked at;
  /// without that, there are no more.
  std::optional<Uuid> add_orders(storage::ReadTransaction& tx, const Uuid& after,
                                 std::string& body);

  Backend& backend_;
  const PageTokens& tokens_;
  /// Until `done_`.
  grpc::CallbackServerContext& context_;
  CallRecord record_;
  std::shared_ptr<WatchStream> self_;
  std::optional<watch::Filter> filter_;
  std::string scope_;
  bool has_token_ = false;
  Clock::duration heartbeat_{};
  const Clock::time_point started_ = Clock::now();
  grpc::ByteBuffer out_;

  std::mutex mutex_;  // guards what follows
  Source source_ = Source::kNone;
  std::atomic<std::int64_t> position_ = 0;  // may be read without it
  /// The last order of the snapshot that was delivered (all zero: none was), while it is taken.
  std::optional<Uuid> snapshot_;
  bool token_checked_ = false;
  /// A token is to be sent though nothing has changed.
  bool greet_ = false;
  /// The feed has something to read, or may have.
  bool news_ = false;
  bool writing_ = false;
  bool reading_ = false;
  bool ended_ = false;
  bool finished_ = false;
  Clock::time_point finish_time_;
  bool done_ = false;
  /// A message that is ready to be written.
  std::optional<std::string> ready_;
  std::optional<absl::Status> failure_;
  Clock::time_point last_message_ = Clock::now();
};

}  // namespace orderd::rpc
