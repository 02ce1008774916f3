#include "server/engine/eraser.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <future>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "server/engine/request_hash.h"
#include "server/failpoint.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "storage/wall_clock.h"

namespace orderd::engine {
namespace {

using storage::Clock;
using Keyset = storage::ListQuery::Keyset;
using std::chrono::milliseconds;

constexpr int kMaxWaiting = 16;
constexpr int kDefaultPage = 200;
constexpr int kMaxPage = 1000;
/// Orders whose commands are with the engine at once.
constexpr std::size_t kChunk = 20;
/// Rows that one command loads and writes, about.
constexpr int kCost = 50;
constexpr milliseconds kRetryDelay{200};
/// A page takes no longer, and ends so long before its call's deadline.
constexpr std::chrono::seconds kPageTime{5};
constexpr milliseconds kMargin{500};
constexpr std::chrono::seconds kSessionWait{5};

/// Whether an order's error means that it is left as it is, not that the page failed.
bool skips(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status);
}

absl::Status to_status(const storage::Error& error) {
  using Kind = storage::Error::Kind;
  switch (error.kind()) {
    case Kind::kInternal:
    case Kind::kSchema:
      spdlog::error("an erasure failed: {}", error.what());
      return errors::internal();
    default:
      return errors::database_unavailable(kRetryDelay);
  }
}

pb::ErasureSelector selector_of(const pb::EraseCustomerDataRequest& request) {
  switch (request.selector_case()) {
    case pb::EraseCustomerDataRequest::kCustomerId:
      return pb::ERASURE_SELECTOR_CUSTOMER_ID;
    case pb::EraseCustomerDataRequest::kEmail:
      return pb::ERASURE_SELECTOR_EMAIL;
    default:
      return pb::ERASURE_SELECTOR_ORDERS;
  }
}

}  // namespace

class Eraser::Impl {
 public:
  Impl(storage::Storage& storage, Engine& engine) : storage_(storage), engine_(engine) {}

  void set_secret(std::string secret) { pseudonyms_ = rules::Pseudonyms(std::move(secret)); }

  void submit(ErasureCall call, Done done) {
    absl::Status refusal;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) {
        refusal = errors::shutting_down();
      } else if (waiting_ == kMaxWaiting) {
        refusal = errors::overloaded(kRetryDelay);
      } else {
        ++waiting_;
      }
    }
    if (!refusal.ok()) return done(refusal);
    boost::asio::post(worker_, [this, call = std::move(call), done = std::move(done)] {
      auto answer = execute(call);
      {
        std::lock_guard lock(mutex_);
        --waiting_;
      }
      done(std::move(answer));
    });
  }

  const rules::Pseudonyms& pseudonyms() const { return pseudonyms_; }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    worker_.join();
  }

 private:
  absl::StatusOr<ErasureAnswer> execute(const ErasureCall& call) {
    try {
      return erase_page(call);
    } catch (const storage::Error& error) {
      return to_status(error);
    } catch (const std::exception& error) {
      spdlog::error("an erasure failed: {}", error.what());
      return errors::internal();
    }
  }

  absl::StatusOr<ErasureAnswer> erase_page(const ErasureCall& call);
  /// Writes the record if the call begins an erasure. Refused if it is not the same one.
  absl::Status begin(const ErasureCall& call, const Uuid& erasure_id);
  /// The orders to look at, and one more if there are more.
  std::vector<Keyset> select(const ErasureCall& call, int limit);
  std::vector<absl::StatusOr<Answer>> run(const ErasureCall& call, const Uuid& erasure_id,
                                          std::span<const Keyset> orders);
  bool stopping() {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

  storage::Storage& storage_;
  Engine& engine_;
  rules::Pseudonyms pseudonyms_{""};
  std::mutex mutex_;  // guards what follows
  int waiting_ = 0;
  bool stopping_ = false;
  boost::asio::thread_pool worker_{1};
};

absl::Status Eraser::Impl::begin(const ErasureCall& call, const Uuid& erasure_id) {
  const pb::EraseCustomerDataRequest& request = call.request;
  storage::ErasureRow row;
  pb::Erasure& erasure = row.erasure;
  erasure.set_erasure_id(erasure_id.to_string());
  erasure.set_actor(call.actor);
  erasure.set_selector(selector_of(request));
  if (erasure.selector() == pb::ERASURE_SELECTOR_CUSTOMER_ID) {
    erasure.set_pseudonym(pseudonyms_.of_customer_id(request.customer_id()));
  } else if (erasure.selector() == pb::ERASURE_SELECTOR_EMAIL) {
    erasure.set_pseudonym(pseudonyms_.of_email(request.email()));
  }
  erasure.set_include_open(request.include_open());
  erasure.set_erase_texts(request.erase_texts());
  *erasure.mutable_start_time() = rules::to_timestamp(wall_clock());
  pb::EraseCustomerDataRequest whole = request;
  whole.clear_page_size();
  whole.clear_page_token();
  // Under a key: else whoever has the database could find out the address by trying.
  row.body_hash = pseudonyms_.code("erasure", body_hash(whole));
  const storage::ErasureRow stored = storage_.begin_erasure(row);
  return stored.body_hash == row.body_hash && stored.erasure.actor() == call.actor
             ? absl::OkStatus()
             : errors::request_id_reused(request.request_id());
}

std::vector<Keyset> Eraser::Impl::select(const ErasureCall& call, int limit) {
  const pb::EraseCustomerDataRequest& request = call.request;
  std::optional<Keyset> after;
  if (call.continuation) after = call.continuation->after;
  if (request.selector_case() != pb::EraseCustomerDataRequest::kOrders) {
    const auto tx = storage_.begin_read(Clock::now() + kSessionWait);
    return tx->list_customer_orders({request.customer_id(), request.email()}, after, limit + 1);
  }
  // They are sorted by their places in the request. An id of another form names no order.
  std::vector<Keyset> orders;
  const auto& ids = request.orders().order_ids();
  for (int i = after ? static_cast<int>(after->sort_key) + 1 : 0;
       i < ids.size() && static_cast<int>(orders.size()) <= limit; ++i) {
    orders.push_back({i, Uuid::parse(ids[i]).value_or(Uuid{})});
  }
  return orders;
}

std::vector<absl::StatusOr<Answer>> Eraser::Impl::run(const ErasureCall& call,
                                                      const Uuid& erasure_id,
                                                      std::span<const Keyset> orders) {
  using Promise = std::promise<absl::StatusOr<Answer>>;
  std::vector<Command> commands;
  std::vector<std::future<absl::StatusOr<Answer>>> futures;
  for (const Keyset& order : orders) {
    Command command;
    command.actor = call.actor;
    command.request_id = call.request.request_id();
    command.order_id = order.id;
    command.order_id_text = order.id.to_string();
    command.wants_ledger = true;
    command.wants_records = true;
    command.validate_only = call.request.validate_only();
    command.cost = kCost;
    command.abandoned = call.abandoned;
    // The call outlives the commands, which are waited for below.
    command.rule = [this, &request = call.request, erasure_id](const rules::Target& target,
                                                               const rules::Context& context) {
      return rules::erase_customer(request, erasure_id, pseudonyms_, target, context);
    };
    // Shared: it must outlast `set_value`, which may still run when the future is ready.
    const auto promise = std::make_shared<Promise>();
    futures.push_back(promise->get_future());
    command.done = [promise](absl::StatusOr<Answer> answer) {
      promise->set_value(std::move(answer));
    };
    commands.push_back(std::move(command));
  }
  engine_.submit(std::move(commands));
  std::vector<absl::StatusOr<Answer>> answers;
  answers.reserve(futures.size());
  for (auto& future : futures) answers.push_back(future.get());
  return answers;
}

absl::StatusOr<ErasureAnswer> Eraser::Impl::erase_page(const ErasureCall& call) {
  if (call.abandoned && call.abandoned()) return errors::cancelled();
  if (stopping()) return errors::shutting_down();
  const pb::EraseCustomerDataRequest& request = call.request;
  const auto end = std::min(Clock::now() + kPageTime, call.deadline - kMargin);
  const Uuid erasure_id = call.continuation
                              ? call.continuation->erasure_id
                              : Uuid::parse(request.request_id()).value_or(Uuid::generate());
  if (!call.continuation && !request.validate_only()) {
    if (auto refusal = begin(call, erasure_id); !refusal.ok()) return refusal;
  }

  const int limit =
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kMaxPage);
  std::vector<Keyset> orders = select(call, limit);
  bool more = static_cast<int>(orders.size()) > limit;
  if (more) orders.pop_back();

  ErasureAnswer result;
  pb::EraseCustomerDataResponse& response = result.response;
  std::vector<storage::ErasedOrder> skipped;
  std::size_t seen = 0;
  absl::Status failure;
  while (seen < orders.size() && failure.ok()) {
    if (seen > 0 && (Clock::now() >= end || stopping())) break;
    const auto chunk = std::span(orders).subspan(seen, std::min(kChunk, orders.size() - seen));
    const auto answers = run(call, erasure_id, chunk);
    for (std::size_t i = 0; i < chunk.size() && failure.ok(); ++i) {
      const auto& answer = answers[i];
      if (answer.ok() && answer->changed) {
        response.set_orders_erased(response.orders_erased() + 1);
        response.set_emails_erased(response.emails_erased() + answer->outcome.emails_erased());
      } else if (answer.ok()) {
        response.set_orders_unchanged(response.orders_unchanged() + 1);
      } else if (skips(answer.status())) {
        auto& order = *response.add_skipped_orders();
        const bool named = request.has_orders();
        order.set_order_id(named ? request.orders().order_ids(static_cast<int>(chunk[i].sort_key))
                                 : chunk[i].id.to_string());
        order.set_reason(errors::reason(answer.status()));
        skipped.push_back({erasure_id, chunk[i].id, order.reason(), 0});
      } else {
        failure = answer.status();
      }
    }
    seen += chunk.size();
    failpoint("erasure_after_chunk");
  }
  if (!failure.ok()) return failure;
  more = more || seen < orders.size();
  if (more) result.next = ErasureCall::Continuation{erasure_id, orders[seen - 1]};
  if (request.validate_only()) return result;
  const std::optional<Micros> completed = more ? std::nullopt : std::optional(wall_clock());
  *response.mutable_erasure() = storage_.record_erasure(erasure_id, skipped, completed).erasure;
  spdlog::info("erasure {}: {} orders erased, {} had nothing to erase, {} skipped{}",
               response.erasure().erasure_id(), response.orders_erased(),
               response.orders_unchanged(), response.skipped_orders_size(),
               more ? "" : "; it is complete");
  return result;
}

Eraser::Eraser(storage::Storage& storage, Engine& engine)
    : impl_(std::make_unique<Impl>(storage, engine)) {}

void Eraser::set_secret(std::string secret) { impl_->set_secret(std::move(secret)); }

Eraser::~Eraser() { stop(); }

void Eraser::submit(ErasureCall call, Done done) {
  impl_->submit(std::move(call), std::move(done));
}

const rules::Pseudonyms& Eraser::pseudonyms() const { return impl_->pseudonyms(); }

void Eraser::stop() { impl_->stop(); }

}  // namespace orderd::engine
