#include "server/access/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace orderd::access {
namespace {

bool same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    throw std::runtime_error("the file " + path + " can't be read: " + std::strerror(errno));
  }
  return text;
}

bool FileStamps::changed() {
  std::vector<struct stat> now;
  for (const std::string& path : paths_) {
    struct stat& stamp = now.emplace_back();
    if (path.empty() || ::stat(path.c_str(), &stamp) != 0) stamp = {};
  }
  if (std::ranges::equal(now, seen_, same)) return false;
  seen_ = std::move(now);
  return true;
}

}  // namespace orderd::access
