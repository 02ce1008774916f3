#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/load.h"

namespace soci {
class session;
}
namespace orderd::storage {
class Storage;
}

namespace orderd::bench {

/// A session like orderd's: the same isolation, flushes and pragmas. READ COMMITTED on MySQL.
std::unique_ptr<soci::session> writing_session(const std::string& url);

/// What the database alone does with one transaction per command: the statements that a careful
/// person would write, through SOCI with bound parameters, one connection per thread. What is
/// orderd's own bookkeeping (feed position, batch key, request row, schedule of checks) is not
/// among them; the history is. The tables are those of orderd, filled alike, in a database of their
/// own.
class WriteLimit {
 public:
  /// Names the commands that can be run.
  static const std::vector<std::string>& commands();

  /// `url` names an empty database; the rows of `source` are copied: for MySQL the name of another
  /// database of the same server, for SQLite another file. The ledger of `capture`'s sandbox is
  /// made in `directory`.
  WriteLimit(const std::string& url, const std::string& source, const std::string& directory);
  ~WriteLimit();

  /// Runs a command over and over, at this number of threads.
  Figures run(const std::string& command, int threads, std::chrono::milliseconds duration);

 private:
  class Sandbox;
  class Writer;
  struct Order {
    std::string id;  // in hexadecimal digits, like all ids here
    std::string shipment_id;
    std::string payment_id;
  };

  const std::string url_;
  std::vector<Order> orders_;
  std::unique_ptr<Sandbox> sandbox_;
  /// Makes what is unique unique.
  std::uint64_t round_ = 0;
};

/// The statements of orderd's reads, one call at a time per thread and connection, without a cache.
class ReadLimit {
 public:
  /// `url` names the database of a running orderd.
  ReadLimit(const std::string& url, std::vector<std::string> order_ids);
  ~ReadLimit();

  /// "get_order", or "list_orders" (the first 20, as summaries; "list_orders_distinct" of those
  /// that were created before a time).
  Figures run(const std::string& command, int threads, std::chrono::milliseconds duration);

 private:
  std::unique_ptr<storage::Storage> storage_;
  const std::vector<std::string> order_ids_;
};

/// The rows of some orders, as multi-row INSERTs of 100 orders a transaction; MySQL only.
class InsertLimit {
 public:
  /// Takes the rows that imports made in `source`, a database of the same server as `url`, which is
  /// empty.
  InsertLimit(const std::string& url, const std::string& source, int orders);

  /// Orders per second, with so many connections. The rows are gone afterwards.
  double run(int threads);

  static constexpr int kOrdersPerTransaction = 100;

 private:
  const std::string url_;
  int orders_ = 0;
  /// The statements of each transaction.
  std::vector<std::vector<std::string>> transactions_;
};

}  // namespace orderd::bench
