#include "server/payments/api_key.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

namespace orderd::payments {
namespace {

/// The key in a text, or nothing if it could not be sent in a header.
std::string trimmed_key(std::string text) {
  constexpr auto kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return {};
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  return printable && text.size() <= 1024 ? text : std::string();
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

ApiKey ApiKey::from_file(std::string path) {
  ApiKey key;
  key.file_ = std::move(path);
  return key;
}

ApiKey ApiKey::from_environment(std::string variable) {
  ApiKey key;
  key.variable_ = std::move(variable);
  return key;
}

ApiKey::ApiKey(ApiKey&& other) noexcept
    : file_(std::move(other.file_)),
      variable_(std::move(other.variable_)),
      seen_(other.seen_),
      key_(std::move(other.key_)) {}

std::optional<std::string> ApiKey::get() {
  std::lock_guard lock(mutex_);
  if (!variable_.empty()) {
    const char* value = std::getenv(variable_.c_str());
    if (value != nullptr) key_ = trimmed_key(value);
  } else {
    struct stat now {};
    if (::stat(file_.c_str(), &now) == 0 && !same_file(now, seen_)) {
      std::ifstream in(file_, std::ios::binary);
      std::string key = trimmed_key({std::istreambuf_iterator<char>(in), {}});
      if (!key.empty()) {
        key_ = std::move(key);
        seen_ = now;
      }
    }
  }
  if (key_.empty()) return std::nullopt;
  return key_;
}

}  // namespace orderd::payments
