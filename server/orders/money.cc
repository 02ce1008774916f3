#include "server/orders/money.h"

#include <algorithm>
#include <array>

namespace orderd::rules {
namespace {

// The active codes of ISO 4217:2015 list one that have a minor unit, and the recently retired ones
// (ANG, BGN, CUC, HRK, SLL, ZWL), which history still comes in. Each group is sorted.

constexpr std::array<std::string_view, 17> kNoDecimals = {
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
    "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
};

constexpr std::array<std::string_view, 145> kTwoDecimals = {
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT",
    "BGN", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF",
    "CHE", "CHF", "CHW", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DKK", "DOP",
    "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ",
    "GYD", "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS",
    "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD",
    "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN",
    "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD",
    "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP",
    "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH",
    "USD", "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD", "XCD", "XCG", "YER", "ZAR", "ZMW",
    "ZWG", "ZWL",
};

constexpr std::array<std::string_view, 7> kThreeDecimals = {
    "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND",
};

constexpr std::array<std::string_view, 2> kFourDecimals = {"CLF", "UYW"};

template <std::size_t n>
constexpr bool ordered(const std::array<std::string_view, n>& codes) {
  for (std::size_t i = 0; i < n; ++i) {
    if (codes[i].size() != 3 || (i > 0 && codes[i - 1] >= codes[i])) return false;
  }
  return true;
}
static_assert(ordered(kNoDecimals) && ordered(kTwoDecimals) && ordered(kThreeDecimals) &&
              ordered(kFourDecimals));

template <std::size_t n>
bool lists(const std::array<std::string_view, n>& codes, std::string_view code) {
  return std::binary_search(codes.begin(), codes.end(), code);
}

}  // namespace

std::optional<int> currency_exponent(std::string_view currency_code) {
  if (lists(kTwoDecimals, currency_code)) return 2;
  if (lists(kNoDecimals, currency_code)) return 0;
  if (lists(kThreeDecimals, currency_code)) return 3;
  if (lists(kFourDecimals, currency_code)) return 4;
  return std::nullopt;
}

std::optional<std::int64_t> add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

std::optional<std::int64_t> multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

pb::Money make_money(std::string_view currency_code, std::int64_t minor) {
  pb::Money money;
  money.set_currency_code(std::string(currency_code));
  money.set_amount_minor(minor);
  return money;
}

}  // namespace orderd::rules
