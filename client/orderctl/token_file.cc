#include "client/orderctl/token_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "client/orderctl/cli.h"
#include "client/orderctl/json.h"

namespace orderd::cli {

std::string TokenFile::read() {
  std::error_code error;
  if (!std::filesystem::exists(path_, error) && !error) return "";
  last_ = std::string(absl::StripAsciiWhitespace(read_text(path_)));
  // To begin from now would silently leave out what has happened since.
  if (last_.empty()) {
    throw LocalError(fmt::format("{} has no token in it; remove it to begin anew", path_));
  }
  return last_;
}

void TokenFile::write(const std::string& token) {
  if (token == last_) return;
  const std::string fresh = path_ + ".new";
  const auto fail = [&](const std::string& file) {
    throw LocalError(fmt::format("can't write {}: {}", file, std::strerror(errno)));
  };
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail(fresh);
  const std::string line = token + "\n";
  const bool written = ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!written || ::fsync(file) != 0) {
    ::close(file);
    fail(fresh);
  }
  ::close(file);
  if (std::rename(fresh.c_str(), path_.c_str()) != 0) fail(path_);
  last_ = token;
}

}  // namespace orderd::cli
