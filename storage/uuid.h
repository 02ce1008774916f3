#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace orderd {

/// A 128-bit id. Orders, notes and batches have UUIDv7 ids, so that ids sort by time of creation.
/// Binary in the database and in memory; text (lower case, 8-4-4-4-12) at the edge only.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;

  /// Accepts upper and lower case hex in the form 8-4-4-4-12 and nothing else.
  static std::optional<Uuid> parse(std::string_view text);
  /// From exactly 16 bytes; anything else is a programming error.
  static Uuid from_bytes(std::string_view raw);
  /// A new UUIDv7. Strictly increasing within the process, also when the clock steps back.
  static Uuid generate();

  /// The n-th of a family of ids that belong to this one: different for every n < 2^31, the same
  /// for the same n, sorted by n, and of no other family. For things that a rule makes: it may run
  /// again.
  Uuid derived(std::uint32_t n) const;

  std::string to_string() const;
  std::string_view raw() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

}  // namespace orderd

template <>
struct std::hash<orderd::Uuid> {
  std::size_t operator()(const orderd::Uuid& id) const noexcept {
    // The last eight bytes of a UUIDv7 are random.
    std::uint64_t value = 0;
    std::memcpy(&value, id.bytes.data() + 8, sizeof value);
    return static_cast<std::size_t>(value);
  }
};
