#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/fuzz.h"

// Each target with its corpus, then with random changes of it, for a moment. The long runs, which
// look for new paths, are those of scripts/fuzz.

namespace orderd::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

/// The input that runs, for the handler of the signal that it may lead to.
std::string_view g_input;
std::string g_finding;  // NOLINT(cert-err58-cpp)

/// Keeps the input. Calls nothing but what a signal handler may call.
void keep_input() {
  const int file = open(g_finding.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  [[maybe_unused]] auto written = write(file, g_input.data(), g_input.size());
  constexpr std::string_view kText = "FOUND by the input in ";
  written = write(STDERR_FILENO, kText.data(), kText.size());
  written = write(STDERR_FILENO, g_finding.data(), g_finding.size());
  written = write(STDERR_FILENO, "\n", 1);
}

void crashed(int signal) {
  keep_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Target& target, const std::string& input) {
  g_input = input;
  try {
    target.run(input);
  } catch (const std::exception& error) {
    require(false, error.what());
  }
}

std::vector<std::string> corpus(const std::string& name) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(ORDERD_SOURCE_DIR "/tests/fuzz/corpus/" + name)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

std::uint64_t seed() {
  const char* given = std::getenv("ORDERD_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

Clock::duration moment() {
  const char* given = std::getenv("ORDERD_FUZZ_MILLISECONDS");
  return std::chrono::milliseconds(given != nullptr ? std::atoi(given) : 500);
}

class FuzzTest : public testing::TestWithParam<std::string> {
 protected:
  const Target& target() const {
    return *std::find_if(targets().begin(), targets().end(),
                         [](const Target& each) { return each.name == GetParam(); });
  }
  void SetUp() override {
    g_finding = (std::filesystem::temp_directory_path() / ("orderd-fuzz-" + GetParam())).string();
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
      std::signal(signal, crashed);
    }
  }
};

TEST_P(FuzzTest, HoldsForTheCorpusAndForRandomChangesOfIt) {
  const std::vector<std::string> inputs = corpus(GetParam());
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) run(target(), input);

  const std::uint64_t first = seed();
  std::cout << inputs.size() << " inputs, then changes from ORDERD_TEST_SEED=" << first
            << std::flush;
  std::mt19937_64 random(first);
  std::uint64_t runs = 0;
  for (const auto end = Clock::now() + moment(); Clock::now() < end; ++runs) {
    std::string input = inputs[random() % inputs.size()];
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      const bool known = target().mutate != nullptr && random() % 4 != 0;
      input = known ? target().mutate(input, random()) : mutate_bytes(input, random());
    }
    run(target(), input);
  }
  std::cout << ": " << runs << " runs" << std::endl;
}

/// The sources of the targets add them before main.
std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(ORDERD_SOURCE_DIR "/tests/fuzz/corpus")) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(, FuzzTest, testing::ValuesIn(names()),
                         [](const auto& test) { return test.param; });

TEST(FuzzTargets, EachHasACorpus) {
  std::vector<std::string> all;
  for (const Target& target : targets()) all.push_back(target.name);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, names());
}

}  // namespace

void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "FOUND: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

bool add_target(const Target& target) {
  targets().push_back(target);
  return true;
}

std::string mutate_bytes(const std::string& bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string changed = bytes;
  const auto place = [&](std::size_t size) { return size == 0 ? 0 : random() % size; };
  switch (random() % 5) {
    case 0:
      if (!changed.empty()) changed[place(changed.size())] ^= static_cast<char>(1 << random() % 8);
      break;
    case 1:
      if (!changed.empty()) changed[place(changed.size())] = static_cast<char>(random());
      break;
    case 2:
      changed.insert(place(changed.size() + 1), 1 + random() % 3, static_cast<char>(random()));
      break;
    case 3:
      if (!changed.empty()) changed.erase(place(changed.size()), 1 + random() % 8);
      break;
    default: {  // a piece of it once more, elsewhere
      const auto begin = place(changed.size());
      const std::string piece = changed.substr(begin, 1 + random() % 16);
      changed.insert(place(changed.size() + 1), piece);
      break;
    }
  }
  return changed;
}

}  // namespace orderd::fuzz
