#pragma once

#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.h"

namespace orderd::fuzz {

/// Tries what could be made of a token without the secret: one bit turned, a character changed,
/// added or taken away, at places that `input` chooses.
template <class Try>
void each_forgery(const std::string& token, std::string_view input, const Try& attempt) {
  const auto number = [&](std::size_t i) -> std::size_t {
    return input.empty() ? i : static_cast<unsigned char>(input[i % input.size()]) + 31 * i;
  };
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t place = (number(i) * 7 + number(i + 1)) % token.size();
    std::string forged = token;
    forged[place] = static_cast<char>(forged[place] ^ (1 << number(i) % 8));
    attempt(forged);
    forged = token;
    forged.insert(place, 1, "Aa0_-=."[number(i) % 7]);
    if (forged != token) attempt(forged);
    forged = token;
    forged.erase(place, 1);
    attempt(forged);
    attempt(token.substr(0, place));
  }
}

}  // namespace orderd::fuzz
