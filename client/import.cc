#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/channel.h"
#include "client/client_impl.h"
#include "client/held_call.h"
#include "client/retry.h"

namespace orderd::client {
namespace {

using RequestPtr = std::shared_ptr<const pb::ImportOrdersRequest>;

/// One ImportOrders call. gRPC's threads collect answers, the importing thread does the rest.
class ImportStream final
    : public internal::HeldCall<
          grpc::ClientBidiReactor<pb::ImportOrdersRequest, pb::ImportOrdersResponse>> {
 public:
  ImportStream(pb::OrderService::Stub& stub, const Options& options) {
    internal::add_key(context_, options);
    stub.async()->ImportOrders(&context_, this);
    AddHold();  // writes start outside of reactions
    StartRead(&incoming_);
    StartCall();
  }

  ~ImportStream() override { cancel(); }

  /// What has happened since the last time.
  struct News {
    std::vector<pb::ImportOrdersResponse> answers;
    /// Another request can be written.
    bool writable = false;
    /// No more answers will come.
    bool ended = false;
  };
  News take_news() {
    std::lock_guard lock(mutex_);
    unseen_ = false;
    return {std::exchange(answers_, {}), !writing_ && !ended_, ended_};
  }
  /// Waits for news; false if there are none for so long.
  bool wait(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [this] { return unseen_; });
  }

  /// Only when writable.
  void write(RequestPtr request) {
    {
      std::lock_guard lock(mutex_);
      writing_ = true;
    }
    outgoing_ = std::move(request);
    StartWrite(outgoing_.get());
  }
  void close() { StartWritesDone(); }

 private:
  void OnReadDone(bool ok) override {
    if (ok) {
      {
        std::lock_guard lock(mutex_);
        answers_.push_back(std::move(incoming_));
        unseen_ = true;
      }
      changed_.notify_all();
      incoming_.Clear();
      StartRead(&incoming_);
      return;
    }
    std::lock_guard lock(mutex_);
    ended_ = unseen_ = true;
    changed_.notify_all();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    // After a failed write the stream is broken and the read ends too.
    if (ok) writing_ = false;
    unseen_ = true;
    changed_.notify_all();
  }

  pb::ImportOrdersResponse incoming_;
  RequestPtr outgoing_;

  std::vector<pb::ImportOrdersResponse> answers_;  // this and what follows: guarded by mutex_
  bool unseen_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

/// An import over as many streams as it takes.
class Importer {
 public:
  Importer(pb::OrderService::Stub& stub, const Options& options, const ImportOptions& import,
           const std::function<std::optional<pb::ImportOrdersRequest>()>& next,
           const std::function<void(const ImportAnswer&)>& answered)
      : stub_(stub), options_(options), import_(import), next_(next), answered_(answered) {}

  absl::Status run() {
    Backoff backoff(options_);
    last_progress_ = options_.now();
    while (true) {
      const std::uint64_t answered_before = answered_count_;
      const absl::Status status = run_stream();
      if (status.ok() || !internal::worth_retrying(status)) return status;
      if (no_more_ && unanswered_.empty()) return absl::OkStatus();
      for (std::size_t i = 0; i < sent_; ++i) unanswered_[i].resent = true;

      if (answered_count_ != answered_before) backoff.reset();
      const std::chrono::milliseconds wait = backoff.next(status);
      if (options_.now() + wait - last_progress_ >= import_.give_up_after) return status;
      options_.sleep(wait);
    }
  }

 private:
  using Backoff = internal::Backoff;

  struct Unanswered {
    RequestPtr request;
    bool resent = false;
  };

  /// Why the stream ended; never OK unless everything is answered.
  absl::Status run_stream() {
    ImportStream stream(stub_, options_);
    sent_ = 0;
    bool closed = false;
    while (true) {
      ImportStream::News news = stream.take_news();
      for (const auto& answer : news.answers) {
        if (sent_ == 0)
          return absl::InternalError("the server answered an order that was not sent");
        if (answer.result() == pb::IMPORT_RESULT_REFUSED) {
          absl::Status refusal = to_status(answer.error());
          if (internal::worth_retrying(refusal)) return refusal;
        }
        deliver(answer);
        --sent_;
      }
      if (news.ended) {
        absl::Status status = stream.finish();
        if (!status.ok()) return status;
        if (closed && unanswered_.empty()) return status;
        return absl::InternalError("the server ended the import before it had answered all orders");
      }
      if (news.writable && !closed) {
        if (sent_ == unanswered_.size() && sent_ < window() && !no_more_) pull();
        if (sent_ < unanswered_.size()) {
          stream.write(unanswered_[sent_].request);
          ++sent_;
          continue;
        }
        if (no_more_) {
          stream.close();
          closed = true;
        }
      }
      if (!stream.wait(import_.stall_timeout)) {
        return absl::UnavailableError(
            absl::StrCat("no answer from the server for ", import_.stall_timeout.count(), " ms"));
      }
    }
  }

  std::size_t window() const { return std::max<std::size_t>(import_.window, 1); }

  void pull() {
    // The time in which the caller has nothing to send does not count as a lack of answers.
    const bool idle = unanswered_.empty();
    auto request = next_();
    if (idle) last_progress_ = options_.now();
    if (request) {
      unanswered_.push_back({std::make_shared<pb::ImportOrdersRequest>(*std::move(request))});
    } else {
      no_more_ = true;
    }
  }

  void deliver(const pb::ImportOrdersResponse& response) {
    const Unanswered front = std::move(unanswered_.front());
    unanswered_.pop_front();
    last_progress_ = options_.now();
    answered_({answered_count_++, *front.request, response, front.resent});
  }

  pb::OrderService::Stub& stub_;
  const Options& options_;
  const ImportOptions& import_;
  const std::function<std::optional<pb::ImportOrdersRequest>()>& next_;
  const std::function<void(const ImportAnswer&)>& answered_;

  std::deque<Unanswered> unanswered_;
  /// How many of them were sent in the current stream.
  std::size_t sent_ = 0;
  std::uint64_t answered_count_ = 0;
  bool no_more_ = false;
  std::chrono::steady_clock::time_point last_progress_;
};

}  // namespace

absl::Status Client::import_orders(
    const std::function<std::optional<pb::ImportOrdersRequest>()>& next,
    const std::function<void(const ImportAnswer&)>& answered, const ImportOptions& options) const {
  return Importer(*impl_->orders, impl_->options, options, next, answered).run();
}

}  // namespace orderd::client
