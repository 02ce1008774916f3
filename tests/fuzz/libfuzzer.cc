#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/fuzz/fuzz.h"

// What libFuzzer calls, for the one target that is part of the program.

namespace orderd::fuzz {
namespace {

Target& only_target() {
  static Target target;
  return target;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "FOUND: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

bool add_target(const Target& target) {
  only_target() = target;
  return true;
}

std::string mutate_bytes(const std::string& bytes, std::uint64_t /*seed*/) {
  std::vector<std::uint8_t> buffer(bytes.begin(), bytes.end());
  buffer.resize(bytes.size() + 64);
  buffer.resize(LLVMFuzzerMutate(buffer.data(), bytes.size(), buffer.size()));
  return {buffer.begin(), buffer.end()};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  only_target().run({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  if (only_target().mutate == nullptr) return LLVMFuzzerMutate(data, size, max_size);
  const std::string changed =
      only_target().mutate({reinterpret_cast<const char*>(data), size}, seed);
  if (changed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}

}  // namespace orderd::fuzz
