#pragma once

#include <string>

namespace orderd::cli {

/// A file with one token, which is always whole: the token is replaced by renaming, after it has
/// reached the disk. So it is the last one or the one before, also after a crash.
class TokenFile {
 public:
  explicit TokenFile(std::string path) : path_(std::move(path)) {}

  /// Empty if there is no such file. Throws LocalError if it can't be read or has no token.
  std::string read();
  /// Nothing is done if it is the same as before. Throws LocalError.
  void write(const std::string& token);

 private:
  std::string path_;
  std::string last_;
};

}  // namespace orderd::cli
