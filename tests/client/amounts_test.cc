#include "client/orderctl/amounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "client/orderctl/cli.h"
#include "server/orders/money.h"

namespace orderd::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr const char* kCurrencies[] = {"JPY", "EUR", "KWD", "CLF"};

pb::Money money(std::int64_t minor, const std::string& currency) {
  pb::Money result;
  result.set_currency_code(currency);
  result.set_amount_minor(minor);
  return result;
}

std::int64_t parse(const std::string& text, const std::string& currency) {
  const pb::Money parsed = parse_amount(text, currency, "AMOUNT");
  EXPECT_EQ(parsed.currency_code(), currency);
  return parsed.amount_minor();
}

/// What is said against the text.
std::string problem(const std::string& text, const std::string& currency) {
  try {
    const auto minor = parse(text, currency);
    return "read as " + std::to_string(minor);
  } catch (const LocalError& error) {
    return error.what();
  }
}

std::string number(const pb::Money& amount) {
  const std::string text = format_money(amount);
  return text.substr(0, text.find(' '));
}

TEST(Amounts, AreExactInEveryExponent) {
  EXPECT_EQ(parse("1999", "JPY"), 1999);
  EXPECT_EQ(parse("19.99", "EUR"), 1999);
  EXPECT_EQ(parse("1.999", "KWD"), 1999);
  EXPECT_EQ(parse("0.1999", "CLF"), 1999);
  EXPECT_EQ(parse("0", "JPY"), 0);
  EXPECT_EQ(parse("0.00", "USD"), 0);
  EXPECT_EQ(parse("007.5", "EUR"), 750);
  // Numbers that a double does not hold.
  EXPECT_EQ(parse("0.29", "EUR"), 29);
  EXPECT_EQ(parse("90071992547409.93", "EUR"), 9007199254740993);
}

TEST(Amounts, MissingDecimalsAreZeros) {
  EXPECT_EQ(parse("12", "EUR"), 1200);
  EXPECT_EQ(parse("12.5", "EUR"), 1250);
  EXPECT_EQ(parse("12.5", "KWD"), 12500);
  EXPECT_EQ(parse("12.5", "CLF"), 125000);
}

TEST(Amounts, MoreDecimalsThanTheCurrencyHasAreRefused) {
  EXPECT_EQ(problem("12.345", "USD"), "AMOUNT: \"12.345\" has more than 2 decimals");
  EXPECT_EQ(problem("12.340", "USD"), "AMOUNT: \"12.340\" has more than 2 decimals");
  EXPECT_EQ(problem("1.2345", "KWD"), "AMOUNT: \"1.2345\" has more than 3 decimals");
  EXPECT_EQ(problem("1.23456", "CLF"), "AMOUNT: \"1.23456\" has more than 4 decimals");
  EXPECT_EQ(problem("12.0", "JPY"), "AMOUNT: \"12.0\" has decimals, and JPY has none");
}

TEST(Amounts, WhatIsNoPlainDecimalIsRefused) {
  for (const char* text :
       {"",        " ",      "-1",  "+1",  "-0.01", "1,000.00", "1'000",    "1 000",     "1_000",
        "12,50",   ".5",     "5.",  ".",   "1.2.3", "1e3",      "0x10",     "12.50 EUR", "EUR",
        "12.50\n", " 12.50", "inf", "nan", "1.-5",  "1.+5",     "\xC2\xB2", "\xD9\xA1"}) {
    EXPECT_THAT(problem(text, "EUR"),
                AllOf(StartsWith("AMOUNT: \"" + std::string(text) + "\" is not an amount"),
                      HasSubstr("as in 12500.00")));
  }
  EXPECT_THAT(problem("x", "JPY"), HasSubstr("expected digits without sign"));
}

TEST(Amounts, OverflowIsRefused) {
  EXPECT_EQ(parse("92233720368547758.07", "EUR"), kMost);
  EXPECT_EQ(parse("9223372036854775807", "JPY"), kMost);
  EXPECT_EQ(parse("922337203685477.5807", "CLF"), kMost);
  EXPECT_THAT(problem("92233720368547758.08", "EUR"), HasSubstr("is too large"));
  EXPECT_THAT(problem("9223372036854775808", "JPY"), HasSubstr("is too large"));
  EXPECT_THAT(problem("92233720368547759", "EUR"), HasSubstr("is too large"));
  EXPECT_THAT(problem("922337203685477.5808", "CLF"), HasSubstr("is too large"));
  EXPECT_THAT(problem(std::string(1000, '9'), "EUR"), HasSubstr("is too large"));
}

RC_GTEST_PROP(Amounts, WhatIsPrintedIsReadAsTheSame, ()) {
  const std::string currency =
      *rc::gen::elementOf(std::vector<std::string>(std::begin(kCurrencies), std::end(kCurrencies)));
  const auto minor = *rc::gen::resize(1000, rc::gen::inRange<std::int64_t>(0, kMost));
  RC_ASSERT(parse_amount(number(money(minor, currency)), currency, "x").amount_minor() == minor);
}

RC_GTEST_PROP(Amounts, WhatIsReadIsPrintedAsTheSame, ()) {
  static constexpr std::size_t kDecimals[] = {0, 2, 3, 4};
  const auto which = *rc::gen::inRange<std::size_t>(0, 4);
  const auto digits = [](std::size_t least, std::size_t most) {
    const auto count = *rc::gen::inRange<std::size_t>(least, most + 1);
    return *rc::gen::container<std::string>(count, rc::gen::inRange<char>('0', '9' + 1));
  };
  std::string text = digits(1, 14);
  // As it is printed: no zeros in front.
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  if (kDecimals[which] > 0) text += "." + digits(kDecimals[which], kDecimals[which]);
  RC_ASSERT(number(parse_amount(text, kCurrencies[which], "x")) == text);
}

TEST(Amounts, TheTableOfCurrenciesIsTheServers) {
  int currencies = 0;
  for (char a = 'A'; a <= 'Z'; ++a) {
    for (char b = 'A'; b <= 'Z'; ++b) {
      for (char c = 'A'; c <= 'Z'; ++c) {
        const std::string code = {a, b, c};
        const auto exponent = rules::currency_exponent(code);
        if (!exponent) continue;
        ++currencies;
        std::string one = "1";
        if (*exponent > 0) one += "." + std::string(static_cast<std::size_t>(*exponent), '0');
        EXPECT_EQ(number(parse_amount("1", code, "x")), one) << code;
      }
    }
  }
  EXPECT_GT(currencies, 150);
}

}  // namespace
}  // namespace orderd::cli
