#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "server/rpc/call.h"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace orderd::ops {

/// The trail of who was let in to do what: one JSON object per line at the end of a file, written
/// by a thread of its own. Nothing is dropped: who is ahead of the disk by too much waits for it.
class AuditLog {
 public:
  /// Throws std::runtime_error if the file can't be written.
  explicit AuditLog(std::string path);
  /// Writes what is left.
  ~AuditLog();

  /// Thread-safe.
  void write(const rpc::AuditRecord& record);
  /// Goes on in a new file if the old one was moved away.
  void reopen();

 private:
  std::shared_ptr<spdlog::logger> open() const;

  const std::string path_;
  const std::shared_ptr<spdlog::details::thread_pool> thread_;
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace orderd::ops
