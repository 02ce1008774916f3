#pragma once

#include <sys/stat.h>

#include <mutex>
#include <optional>
#include <string>

namespace orderd::payments {

/// A secret that comes from a file or from an environment variable. A file is read again when it
/// has been changed or replaced; one that can't be read, or that holds no key, leaves the key that
/// was. Thread-safe. The key is never part of an error or a log line.
class ApiKey {
 public:
  static ApiKey from_file(std::string path);
  static ApiKey from_environment(std::string variable);

  ApiKey(ApiKey&& other) noexcept;

  /// Without white space around it. Nothing while there is none.
  std::optional<std::string> get();

 private:
  ApiKey() = default;

  std::string file_;
  std::string variable_;
  std::mutex mutex_;
  struct stat seen_ {};
  std::string key_;
};

}  // namespace orderd::payments
