#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

namespace orderd::access {

/// All of a file. Throws std::runtime_error, which names it.
std::string read_file(const std::string& path);

/// Notices that files have been changed or replaced.
class FileStamps {
 public:
  explicit FileStamps(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  /// Whether one of them is not what it was at the last call; true at the first. Empty paths do not
  /// count.
  bool changed();

 private:
  std::vector<std::string> paths_;
  std::vector<struct stat> seen_;
};

}  // namespace orderd::access
