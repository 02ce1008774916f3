#include "server/orders/money.h"

#include <limits>

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
constexpr auto kMin = std::numeric_limits<std::int64_t>::min();

TEST(Money, KnowsTheExponentOfEveryCurrency) {
  const std::map<int, std::vector<std::string>> listed = {
      {0,
       {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
        "VUV", "XAF", "XOF", "XPF"}},
      {2, {"AED", "BRL", "CHF", "EUR", "GBP", "HUF", "IDR", "MGA", "MRU", "TWD", "USD", "ZWG"}},
      {3, {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}},
      {4, {"CLF", "UYW"}},
  };
  for (const auto& [exponent, codes] : listed) {
    for (const auto& code : codes) EXPECT_EQ(currency_exponent(code), exponent) << code;
  }
  for (const auto* code : {"", "eur", "EU", "EURO", "XXX", "XAU", "XTS", "XDR", "DEM", "ABC",
                           "EUR ", "\xFF\xFF\xFF"}) {
    EXPECT_EQ(currency_exponent(code), std::nullopt) << code;
  }
}

TEST(Money, ArithmeticNeverWraps) {
  EXPECT_EQ(add(1, 2), 3);
  EXPECT_EQ(add(kMax, -1), kMax - 1);
  EXPECT_EQ(add(kMax, 1), std::nullopt);
  EXPECT_EQ(add(kMin, -1), std::nullopt);
  EXPECT_EQ(multiply(3, -4), -12);
  EXPECT_EQ(multiply(kMax, 1), kMax);
  EXPECT_EQ(multiply(kMax / 2 + 1, 2), std::nullopt);
  EXPECT_EQ(multiply(kMin, -1), std::nullopt);
}

TEST(Money, Makes) {
  const auto money = make_money("JPY", -5);
  EXPECT_EQ(money.currency_code(), "JPY");
  EXPECT_EQ(money.amount_minor(), -5);
}

}  // namespace
}  // namespace orderd::rules
