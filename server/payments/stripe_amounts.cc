#include "server/payments/stripe_amounts.h"

#include <algorithm>
#include <array>

#include "server/orders/money.h"

namespace orderd::payments::stripe {
namespace {

// Sorted.
constexpr std::array<std::string_view, 15> kZeroDecimal = {
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA",
    "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
};
constexpr std::array<std::string_view, 5> kThreeDecimal = {"BHD", "JOD", "KWD", "OMR", "TND"};
// Without decimals since Stripe began with two: amounts are still sent with two, which must be 00.
// HUF and TWD, the other special cases, are special in payouts only.
constexpr std::array<std::string_view, 2> kTwoZeros = {"ISK", "UGX"};

template <std::size_t n>
bool lists(const std::array<std::string_view, n>& codes, std::string_view code) {
  return std::binary_search(codes.begin(), codes.end(), code);
}

/// stripe = minor * up / down.
struct Factor {
  std::int64_t up = 1;
  std::int64_t down = 1;
};

std::optional<Factor> factor(std::string_view code) {
  const auto exponent = rules::currency_exponent(code);
  if (!exponent) return std::nullopt;
  int stripe_exponent = 0;
  if (lists(kZeroDecimal, code)) {
    stripe_exponent = 0;
  } else if (lists(kTwoZeros, code)) {
    stripe_exponent = 2;
  } else if (lists(kThreeDecimal, code)) {
    stripe_exponent = 3;
  } else if (*exponent == 2) {
    stripe_exponent = 2;  // what is not listed there has two decimals
  } else {
    return std::nullopt;
  }
  Factor result;
  for (int i = *exponent; i < stripe_exponent; ++i) result.up *= 10;
  for (int i = stripe_exponent; i < *exponent; ++i) result.down *= 10;
  return result;
}

}  // namespace

std::optional<std::int64_t> to_stripe(std::string_view currency_code, std::int64_t minor) {
  const auto units = factor(currency_code);
  if (!units || minor % units->down != 0) return std::nullopt;
  if (lists(kThreeDecimal, currency_code) && minor % 10 != 0) return std::nullopt;
  return rules::multiply(minor / units->down, units->up);
}

std::optional<std::int64_t> from_stripe(std::string_view currency_code, std::int64_t amount) {
  const auto units = factor(currency_code);
  if (!units || amount % units->up != 0) return std::nullopt;
  return rules::multiply(amount / units->up, units->down);
}

}  // namespace orderd::payments::stripe
