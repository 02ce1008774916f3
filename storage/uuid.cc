#include "storage/uuid.h"

#include <openssl/rand.h>

#include <chrono>
#include <mutex>
#include <stdexcept>

namespace orderd {
namespace {

constexpr char kHex[] = "0123456789abcdef";

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool dash_follows(std::size_t byte) { return byte == 3 || byte == 5 || byte == 7 || byte == 9; }

}  // namespace

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid id;
  std::size_t at = 0;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    const int high = nibble(text[at]);
    const int low = nibble(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
    at += 2;
    if (dash_follows(i) && text[at++] != '-') return std::nullopt;
  }
  return id;
}

Uuid Uuid::from_bytes(std::string_view raw) {
  Uuid id;
  if (raw.size() != id.bytes.size()) throw std::invalid_argument("a UUID has 16 bytes");
  std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

Uuid Uuid::derived(std::uint32_t n) const {
  // 62 bits are random; the last 32 of them count from where they are. Two families meet only if
  // their first 30 random bits, time and counter are equal.
  std::uint32_t tail = 0;
  for (std::size_t i = 12; i < 16; ++i) tail = tail << 8 | bytes[i];
  Uuid id = *this;
  tail = (tail & 0x7fffffff) + n;
  for (std::size_t i = 0; i < 4; ++i) {
    id.bytes[12 + i] = static_cast<std::uint8_t>(tail >> (24 - 8 * i));
  }
  return id;
}

std::string Uuid::to_string() const {
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 15];
    if (dash_follows(i)) text += '-';
  }
  return text;
}

Uuid Uuid::generate() {
  // RFC 9562: 48 bits of milliseconds, the version, 12 bits, the variant, 62 bits. The 12 bits
  // count within a millisecond, from a random start in the lower half; when they overflow, or when
  // the clock steps back, the time part runs ahead of the clock.
  static std::mutex mutex;
  static std::uint64_t last_millis = 0;
  static std::uint32_t counter = 0;

  Uuid id;
  if (RAND_bytes(id.bytes.data(), static_cast<int>(id.bytes.size())) != 1) {
    throw std::runtime_error("no random bytes to be had");
  }
  const auto now =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  std::uint64_t millis = 0;
  std::uint32_t count = 0;
  {
    std::lock_guard lock(mutex);
    if (now > last_millis) {
      last_millis = now;
      counter = (static_cast<std::uint32_t>(id.bytes[6]) << 8 | id.bytes[7]) & 0x7ff;
    } else if (++counter > 0xfff) {
      ++last_millis;
      counter = 0;
    }
    millis = last_millis;
    count = counter;
  }
  for (int i = 0; i < 6; ++i) {
    id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  }
  id.bytes[6] = static_cast<std::uint8_t>(0x70 | (count >> 8));
  id.bytes[7] = static_cast<std::uint8_t>(count);
  id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
  return id;
}

}  // namespace orderd
