#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// What all targets of fuzzing share. A target is one file NAME_fuzz.cc with
//
//   FUZZ_TARGET(NAME) { … input … }
//
// whose body gets any bytes and calls `require` for what must hold. It is built twice: by
// scripts/fuzz with Clang as a program of libFuzzer's, and into fuzz_tests, which replays the
// corpus and tries random changes of it (fuzz_test.cc).

namespace orderd::fuzz {

/// Ends the program, loudly, unless `holds`; `what` says what should have held.
void require(bool holds, std::string_view what);

struct Target {
  std::string name;
  void (*run)(std::string_view input) = nullptr;
  /// Changes an input at random in a way that the target understands; deterministic. Null: its
  /// bytes are changed.
  std::string (*mutate)(const std::string& input, std::uint64_t seed) = nullptr;
};

/// Makes the target known to the program that it is part of.
bool add_target(const Target& target);

/// Some of the bytes changed at random: libFuzzer's way, in fuzz_tests a simple one.
std::string mutate_bytes(const std::string& bytes, std::uint64_t seed);

}  // namespace orderd::fuzz

#define FUZZ_TARGET(name) FUZZ_TARGET_WITH(name, nullptr)

/// With a `Target::mutate`.
#define FUZZ_TARGET_WITH(name, mutator)                          \
  static void fuzz_##name(std::string_view input);               \
  [[maybe_unused]] static const bool g_added_##name =            \
      ::orderd::fuzz::add_target({#name, fuzz_##name, mutator}); \
  static void fuzz_##name([[maybe_unused]] std::string_view input)
