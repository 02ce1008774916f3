#include "server/payments/stripe_amounts.h"

#include <gtest/gtest.h>

#include <limits>

#include "server/orders/money.h"

namespace orderd::payments::stripe {
namespace {

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();

TEST(StripeAmounts, WhereBothAgree) {
  for (const auto* code : {"USD", "EUR", "BRL", "HUF", "TWD", "IDR", "CZK"}) {
    EXPECT_EQ(to_stripe(code, 1999), 1999) << code;
    EXPECT_EQ(from_stripe(code, 1999), 1999) << code;
  }
  for (const auto* code : {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND",
                           "VUV", "XAF", "XOF", "XPF"}) {
    EXPECT_EQ(to_stripe(code, 501), 501) << code;
    EXPECT_EQ(from_stripe(code, 501), 501) << code;
  }
}

TEST(StripeAmounts, TwoZerosAreAddedToCurrenciesThatLostTheirDecimals) {
  for (const auto* code : {"ISK", "UGX"}) {
    EXPECT_EQ(to_stripe(code, 5), 500) << code;
    EXPECT_EQ(from_stripe(code, 500), 5) << code;
    EXPECT_EQ(from_stripe(code, 550), std::nullopt) << code;
    EXPECT_EQ(to_stripe(code, kMax / 10), std::nullopt) << code;
  }
}

TEST(StripeAmounts, AriaryHaveNoDecimalsAtStripe) {
  EXPECT_EQ(to_stripe("MGA", 1200), 12);
  EXPECT_EQ(to_stripe("MGA", 1220), std::nullopt);
  EXPECT_EQ(from_stripe("MGA", 12), 1200);
  EXPECT_EQ(from_stripe("MGA", kMax / 10), std::nullopt);
}

TEST(StripeAmounts, ThreeDecimalsMustEndInZero) {
  for (const auto* code : {"BHD", "JOD", "KWD", "OMR", "TND"}) {
    EXPECT_EQ(to_stripe(code, 5120), 5120) << code;
    EXPECT_EQ(to_stripe(code, 5124), std::nullopt) << code;
    EXPECT_EQ(from_stripe(code, 5124), 5124) << code;
  }
}

TEST(StripeAmounts, CurrenciesThatStripeDoesNotDocumentAreRefused) {
  for (const auto* code : {"IQD", "LYD", "CLF", "UYW", "UYI", "XAU", "", "usd", "DEM"}) {
    EXPECT_EQ(to_stripe(code, 1000), std::nullopt) << code;
    EXPECT_EQ(from_stripe(code, 1000), std::nullopt) << code;
  }
}

TEST(StripeAmounts, WhatCanBeSentComesBackTheSame) {
  int currencies = 0;
  for (char a = 'A'; a <= 'Z'; ++a) {
    for (char b = 'A'; b <= 'Z'; ++b) {
      for (char c = 'A'; c <= 'Z'; ++c) {
        const std::string code = {a, b, c};
        if (!rules::currency_exponent(code)) continue;
        bool sent = false;
        for (const std::int64_t minor : {0L, 1L, 10L, 99L, 100L, 12345L, 99'999'900L}) {
          const auto amount = to_stripe(code, minor);
          if (!amount) continue;
          sent = true;
          EXPECT_EQ(from_stripe(code, *amount), minor) << code;
        }
        currencies += sent ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(currencies, 145 + 17 + 7 + 2 - 5);  // all but IQD, LYD, CLF, UYW and UYI
}

}  // namespace
}  // namespace orderd::payments::stripe
