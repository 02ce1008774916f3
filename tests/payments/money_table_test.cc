#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <sstream>
#include <string>

#include "server/orders/money.h"
#include "server/payments/stripe_amounts.h"

// Every currency, by a table that was written for this test alone.

namespace orderd::rules {
namespace {

// ISO 4217 list one, and what has left it recently: code, digits behind the point ("." for none
// defined), and how Stripe counts it (https://docs.stripe.com/currencies):
// 0, 2: with so many decimals; 3: with three, of which the last must be 0; 2z: with two, which must
// be 00; -: not documented.
constexpr const char* kTable = R"(
AED 2 2  AFN 2 2  ALL 2 2  AMD 2 2  ANG 2 2  AOA 2 2  ARS 2 2  AUD 2 2  AWG 2 2  AZN 2 2
BAM 2 2  BBD 2 2  BDT 2 2  BGN 2 2  BHD 3 3  BIF 0 0  BMD 2 2  BND 2 2  BOB 2 2  BOV 2 2
BRL 2 2  BSD 2 2  BTN 2 2  BWP 2 2  BYN 2 2  BZD 2 2  CAD 2 2  CDF 2 2  CHE 2 2  CHF 2 2
CHW 2 2  CLF 4 -  CLP 0 0  CNY 2 2  COP 2 2  COU 2 2  CRC 2 2  CUC 2 2  CUP 2 2  CVE 2 2
CZK 2 2  DJF 0 0  DKK 2 2  DOP 2 2  DZD 2 2  EGP 2 2  ERN 2 2  ETB 2 2  EUR 2 2  FJD 2 2
FKP 2 2  GBP 2 2  GEL 2 2  GHS 2 2  GIP 2 2  GMD 2 2  GNF 0 0  GTQ 2 2  GYD 2 2  HKD 2 2
HNL 2 2  HRK 2 2  HTG 2 2  HUF 2 2  IDR 2 2  ILS 2 2  INR 2 2  IQD 3 -  IRR 2 2  ISK 0 2z
JMD 2 2  JOD 3 3  JPY 0 0  KES 2 2  KGS 2 2  KHR 2 2  KMF 0 0  KPW 2 2  KRW 0 0  KWD 3 3
KYD 2 2  KZT 2 2  LAK 2 2  LBP 2 2  LKR 2 2  LRD 2 2  LSL 2 2  LYD 3 -  MAD 2 2  MDL 2 2
MGA 2 0  MKD 2 2  MMK 2 2  MNT 2 2  MOP 2 2  MRU 2 2  MUR 2 2  MVR 2 2  MWK 2 2  MXN 2 2
MXV 2 2  MYR 2 2  MZN 2 2  NAD 2 2  NGN 2 2  NIO 2 2  NOK 2 2  NPR 2 2  NZD 2 2  OMR 3 3
PAB 2 2  PEN 2 2  PGK 2 2  PHP 2 2  PKR 2 2  PLN 2 2  PYG 0 0  QAR 2 2  RON 2 2  RSD 2 2
RUB 2 2  RWF 0 0  SAR 2 2  SBD 2 2  SCR 2 2  SDG 2 2  SEK 2 2  SGD 2 2  SHP 2 2  SLE 2 2
SLL 2 2  SOS 2 2  SRD 2 2  SSP 2 2  STN 2 2  SVC 2 2  SYP 2 2  SZL 2 2  THB 2 2  TJS 2 2
TMT 2 2  TND 3 3  TOP 2 2  TRY 2 2  TTD 2 2  TWD 2 2  TZS 2 2  UAH 2 2  UGX 0 2z USD 2 2
USN 2 2  UYI 0 -  UYU 2 2  UYW 4 -  UZS 2 2  VED 2 2  VES 2 2  VND 0 0  VUV 0 0  WST 2 2
XAD 2 2  XAF 0 0  XAG . -  XAU . -  XBA . -  XBB . -  XBC . -  XBD . -  XCD 2 2  XCG 2 2
XDR . -  XOF 0 0  XPD . -  XPF 0 0  XPT . -  XSU . -  XTS . -  XUA . -  XXX . -  YER 2 2
ZAR 2 2  ZMW 2 2  ZWG 2 2  ZWL 2 2
)";

struct Currency {
  std::optional<int> digits;
  std::string at_stripe;
};

std::map<std::string, Currency> table() {
  std::map<std::string, Currency> currencies;
  std::istringstream words(kTable);
  std::string code, digits, at_stripe;
  while (words >> code >> digits >> at_stripe) {
    Currency currency{std::nullopt, at_stripe};
    if (digits != ".") currency.digits = std::stoi(digits);
    EXPECT_TRUE(currencies.emplace(code, currency).second) << code;
  }
  return currencies;
}

/// What Stripe is sent for an amount, worked out on its decimal digits.
std::optional<std::int64_t> sent(const Currency& currency, std::int64_t minor) {
  if (!currency.digits || currency.at_stripe == "-") return std::nullopt;
  std::string digits = std::to_string(minor);
  const int wanted = currency.at_stripe[0] - '0';
  for (int i = *currency.digits; i < wanted; ++i) digits += '0';
  for (int i = *currency.digits; i > wanted; --i) {
    if (digits.back() != '0') return std::nullopt;
    digits.pop_back();
  }
  if (currency.at_stripe == "3" && digits.back() != '0') return std::nullopt;
  return digits.empty() ? 0 : std::stoll(digits);
}

TEST(MoneyTable, EveryCurrencyHasItsExponent) {
  const auto currencies = table();
  EXPECT_EQ(currencies.size(), 184u);
  int listed = 0;
  for (char a = 'A'; a <= 'Z'; ++a) {
    for (char b = 'A'; b <= 'Z'; ++b) {
      for (char c = 'A'; c <= 'Z'; ++c) {
        const std::string code = {a, b, c};
        const auto found = currencies.find(code);
        const auto expected = found == currencies.end() ? std::nullopt : found->second.digits;
        EXPECT_EQ(currency_exponent(code), expected) << code;
        listed += expected.has_value() ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(listed, 171);
}

TEST(MoneyTable, StripeIsSentWhatItCountsOrNothing) {
  for (const auto& [code, currency] : table()) {
    for (const std::int64_t minor : {10L, 100L, 500L, 990L, 1000L, 1001L, 1010L, 1234L, 5120L,
                                     5124L, 99'999'900L, 123'456'789L}) {
      const auto amount = payments::stripe::to_stripe(code, minor);
      EXPECT_EQ(amount, sent(currency, minor)) << code << " " << minor;
      if (amount) {
        EXPECT_EQ(payments::stripe::from_stripe(code, *amount), minor) << code << " " << minor;
      }
    }
  }
}

}  // namespace
}  // namespace orderd::rules
