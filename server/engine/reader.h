#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/order_cache.h"
#include "storage/storage.h"

namespace orderd::engine {

struct ReaderLimits {
  int threads = 2;
  /// Orders that one read transaction looks up at once.
  int batch_orders = 500;
  /// Reads that may wait.
  std::size_t queue = 8192;
};

/// For metrics; `reads` and `batches` only rise.
struct ReaderCounters {
  /// Those that wait.
  std::size_t waiting = 0;
  /// Those that a thread took up, and the transactions that they shared.
  std::uint64_t reads = 0;
  std::uint64_t batches = 0;
};

/// Executes reads: takes what waits, opens one consistent read transaction for it, and answers.
/// Orders come from the cache if it has them at the version that the transaction sees.
class Reader {
 public:
  using Orders = std::vector<OrderPtr>;

  Reader(storage::Storage& storage, OrderCache& cache, const ReaderLimits& limits);
  /// Stops as by `stop`.
  ~Reader();

  /// Reads orders; `done` gets one per id, null where there is none, or an error. `abandoned` as in
  /// Command. Never blocks; `done` is called exactly once, on a reader thread or (refused) here.
  void get(std::vector<Uuid> ids, std::function<bool()> abandoned,
           std::function<void(absl::StatusOr<Orders>)> done);

  /// A page of a list, of one moment after the call; `whole`: with everything in the orders. Those
  /// who ask for the same page while it waits for its turn share one read. `abandoned` and `done`
  /// as in `get`.
  using Page = std::shared_ptr<const storage::ListPage>;
  void list(const storage::ListQuery& query, bool whole, std::function<bool()> abandoned,
            std::function<void(absl::StatusOr<Page>)> done);

  /// Runs `job` on a reader thread in a read transaction of its own. If the database fails,
  /// `failed` is called instead; `job` may have run by then, so it answers as its last act and lets
  /// storage::Error pass.
  void run(std::function<bool()> abandoned, std::function<void(storage::ReadTransaction&)> job,
           std::function<void(absl::Status)> failed);

  /// Whole orders of known versions, from the cache or the transaction, in the order of `versions`.
  /// An order that changed after its version was read is answered as the transaction sees it.
  Orders load(storage::Reads& reads, std::span<const storage::OrderVersion> versions);

  /// Refuses new reads and returns when all are answered.
  void stop();

  ReaderCounters counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::engine
