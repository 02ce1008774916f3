#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/rpc/backend.h"
#include "server/rpc/call.h"

namespace orderd::rpc {

/// One ImportOrders call. It reads on while the engine works, up to a window, and answers in the
/// order of the requests.
///
/// Orders that want the same number take their turns, so the outcome depends on the order of the
/// stream only. An order that the engine has no room for waits here. A failure that another try may
/// overcome ends the stream after the answers before it: the caller sends the rest again.
class ImportStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  ImportStream(const Guard& guard, Backend& backend, const grpc::CallbackServerContext& context);

 private:
  /// Requests that are read ahead of the answers.
  static constexpr std::size_t kWindow = 256;

  /// One request, until its answer is written.
  struct Slot {
    pb::ImportOrdersRequest request;
    std::string digest;
    std::size_t bytes = 0;
    std::set<Claim> claims;
    bool submitted = false;
    std::optional<pb::ImportOrdersResponse> response;
  };
  /// What is left to do when the mutex is free again. The stream may be gone as soon as it is done:
  /// outside of reactions, if there is nothing, as soon as the mutex is free.
  struct Next {
    std::vector<Slot*> submit;
    std::optional<absl::Status> finish;

    bool empty() const { return submit.empty() && !finish; }
  };

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { record_.cancel(); }
  void OnDone() override;

  std::unique_ptr<Slot> make_slot();
  void submit(Slot& slot);
  void settle(Slot& slot, absl::StatusOr<engine::Answer> answer);
  void resume();
  void act(Next next);

  // Under the mutex.
  Next advance();
  void collect_ready(std::vector<Slot*>& ready);
  void respond(Slot& slot, pb::ImportOrdersResponse response);
  void pause();

  const Guard& guard_;
  Backend& backend_;
  const grpc::CallbackServerContext& context_;
  CallRecord record_;
  bool has_slot_ = false;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;

  std::mutex mutex_;  // guards what follows
  std::deque<std::unique_ptr<Slot>> slots_;
  /// For each number or reference the orders that want it, the next to be submitted first.
  std::map<Claim, std::deque<Slot*>> claimants_;
  std::size_t unanswered_bytes_ = 0;
  int unsubmitted_ = 0;
  /// How many commands the engine is tried with. After it had no room: one for each that it
  /// answers, until the pause is over.
  std::size_t room_ = kWindow;
  /// Commands at the engine, plus one while `pausing_`.
  int outstanding_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  bool no_more_ = false;
  bool pausing_ = false;
  bool finished_ = false;
  /// Why the stream can't go on.
  absl::Status failure_;
  std::unique_ptr<grpc::Alarm> alarm_;
};

}  // namespace orderd::rpc
