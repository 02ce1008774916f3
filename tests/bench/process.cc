#include "tests/bench/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace orderd::bench {

Usage usage_of(int process_id) {
  const std::string directory = "/proc/" + std::to_string(process_id);
  std::ifstream file(directory + "/stat");
  std::string text;
  if (!std::getline(file, text)) {
    throw std::runtime_error("there is no process " + std::to_string(process_id));
  }
  // What is in parentheses is the name. The times are fields 14 and 15 of all; the resident pages
  // are field 24.
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 3; i < 14; ++i) fields >> field;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  for (int i = 16; i < 24; ++i) fields >> field;
  double pages = 0;
  fields >> pages;
  Usage usage;
  usage.cpu_seconds = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  usage.resident_mb = pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
  return usage;
}

double syncs_per_second(const std::string& directory) {
  using Clock = std::chrono::steady_clock;
  const std::string path = directory + "/syncs";
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) throw std::runtime_error("can't write to " + directory);
  const std::string block(4096, 'b');
  int syncs = 0;
  const auto begin = Clock::now();
  while (Clock::now() - begin < std::chrono::milliseconds(500)) {
    // Over and over the same blocks, like a database's log.
    if (pwrite(file, block.data(), block.size(), (syncs % 256) * 4096) < 0) break;
    fdatasync(file);
    ++syncs;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  close(file);
  unlink(path.c_str());
  return syncs / seconds;
}

}  // namespace orderd::bench
