#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "tests/bench/load.h"

namespace orderd::bench {

/// For SOCI, of a MySQL URL with a socket.
std::string connect_string(const std::string& url);

/// What the database alone does with one transaction per command: the statements that a careful
/// person would write for UpdateInvoice, through SOCI with bound parameters, one connection per
/// thread, READ COMMITTED. The tables are those of orderd, filled alike, in a database of their
/// own; no position, no batch key, no request row.
class DatabaseLimit {
 public:
  /// `url` names an empty database; the rows of `source`, a database of the same server, are
  /// copied.
  DatabaseLimit(const std::string& url, const std::string& source);

  /// UpdateInvoice at this number of threads.
  Figures update_invoice(int threads, std::chrono::milliseconds duration);

 private:
  std::string connect_;
  std::vector<std::string> ids_;
  std::uint64_t round_ = 0;
};

}  // namespace orderd::bench
