#include "server/orders/text.h"

#include "server/orders/utf8.h"
#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::string_literals;

std::vector<std::string> check(const std::function<void(errors::Violations&)>& checked) {
  errors::Violations violations;
  checked(violations);
  std::vector<std::string> descriptions;
  for (const auto& [field, description] : violations_of(violations.status())) {
    descriptions.push_back(description);
  }
  return descriptions;
}

TEST(Utf8, CountsCodePointsAndRejectsWhatIsNotUtf8) {
  struct Case {
    std::string text;
    std::optional<std::size_t> count;
  };
  const std::vector<Case> cases = {
      {"", 0},
      {"abc", 3},
      {"\0"s, 1},
      {"\xC3\xA9", 1},
      {"\xE2\x82\xAC", 1},
      {kClef + kClef, 2},
      {"\xC2\x80", 1},           // the first of two bytes
      {"\xE0\xA0\x80", 1},       // of three
      {"\xF0\x90\x80\x80", 1},   // of four
      {"\xED\x9F\xBF", 1},       // the last before the surrogates
      {"\xEE\x80\x80", 1},       // the first behind them
      {"\xF4\x8F\xBF\xBF", 1},   // U+10FFFF
      {"\xF4\x90\x80\x80", {}},  // one more
      {"\xED\xA0\x80", {}},      // a surrogate
      {"\xED\xBF\xBF", {}},      // a surrogate
      {"\xC0\x80", {}},          // overlong
      {"\xC1\xBF", {}},          // overlong
      {"\xE0\x9F\xBF", {}},      // overlong
      {"\xF0\x8F\xBF\xBF", {}},  // overlong
      {"\x80", {}},              // a continuation without a start
      {"a\xBF", {}},
      {"\xC3", {}},  // cut off
      {"\xE2\x82", {}},
      {"\xF0\x9D\x84", {}},
      {"\xC3(", {}},                 // a start without a continuation
      {"\xF8\x88\x80\x80\x80", {}},  // five bytes
      {"\xFE", {}},
      {"\xFF", {}},
      {"abc\xFF", {}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(count_code_points(c.text), c.count) << ::testing::PrintToString(c.text);
  }
}

TEST(Text, LimitsAreInCharacters) {
  auto run = [](const std::string& text, std::size_t min, std::size_t max) {
    return check([&](auto& v) { check_text(text, min, max, "f", v); });
  };
  EXPECT_THAT(run(repeated(kClef, 5), 1, 5), IsEmpty());
  EXPECT_THAT(run(repeated(kClef, 6), 1, 5), ElementsAre("must have 1 to 5 characters, not 6"));
  EXPECT_THAT(run("", 0, 5), IsEmpty());
  EXPECT_THAT(run("", 1, 5), ElementsAre("must not be empty"));
  EXPECT_THAT(run("a\0b"s, 0, 5), ElementsAre("must not contain U+0000"));
  EXPECT_THAT(run("a\xFF", 0, 5), ElementsAre("must be valid UTF-8"));
  EXPECT_THAT(run("a\nb", 0, 5), IsEmpty());
}

TEST(Text, NumbersAreTrimmedAndHaveNoControlCharacters) {
  auto run = [](const std::string& text, std::size_t min = 1) {
    return check([&](auto& v) { check_number(text, min, 3, "f", v); });
  };
  EXPECT_THAT(run(" abc\t"), IsEmpty());
  EXPECT_THAT(run("abcd"), ElementsAre("must have 1 to 3 characters, not 4"));
  EXPECT_THAT(run(" \n "), ElementsAre("must not be empty"));
  EXPECT_THAT(run(" \n ", 0), IsEmpty());
  EXPECT_THAT(run("a\nb"), ElementsAre("must not contain control characters"));
  EXPECT_THAT(run("a\0b"s), ElementsAre("must not contain control characters"));
  EXPECT_THAT(run("a\x7F"), ElementsAre("must not contain control characters"));
  EXPECT_THAT(run("a\xC2\x9F"), ElementsAre("must not contain control characters"));
  EXPECT_THAT(run("a\xFF"), ElementsAre("must be valid UTF-8"));
}

TEST(Text, TrimsAllWhiteSpaceOfUnicode) {
  const std::string nbsp = "\xC2\xA0", ideographic = "\xE3\x80\x80", line = "\xE2\x80\xA8";
  EXPECT_EQ(trimmed("  a b\t\r\n"), "a b");
  EXPECT_EQ(trimmed(nbsp + ideographic + line + "x" + line + ideographic + nbsp), "x");
  EXPECT_EQ(trimmed(nbsp + nbsp), "");
  EXPECT_EQ(trimmed(""), "");
  EXPECT_EQ(trimmed(kClef), kClef);
  EXPECT_EQ(trimmed(" \xFF "), "\xFF");
  // The last byte of these is that of a white space, the whole is not.
  EXPECT_EQ(trimmed("\xC3\xA0"), "\xC3\xA0");
  EXPECT_EQ(trimmed("\xA0"), "\xA0");
}

TEST(Text, RequestIdsAreEmptyOrUuids) {
  auto run = [](const std::string& text) {
    return check([&](auto& v) { check_request_id(text, v); });
  };
  EXPECT_THAT(run(""), IsEmpty());
  EXPECT_THAT(run(kUuid), IsEmpty());
  EXPECT_THAT(run("018F0000-0000-7000-8000-00000000000A"), IsEmpty());
  for (const auto& wrong :
       {"x"s, kUuid + "0", kUuid.substr(1), " " + kUuid, "018f0000-0000-7000-8000-00000000000g"s,
        "018f00000000-7000-8000-00000000000100"s}) {
    EXPECT_EQ(run(wrong).size(), 1u) << wrong;
  }
}

TEST(Text, IdsHaveOneTo64Characters) {
  auto run = [](const std::string& text) {
    return check([&](auto& v) { check_id(text, "f", v); });
  };
  EXPECT_THAT(run(std::string(64, 'x')), IsEmpty());
  EXPECT_EQ(run(std::string(65, 'x')).size(), 1u);
  EXPECT_EQ(run("").size(), 1u);
  EXPECT_EQ(run("\xFF").size(), 1u);
}

TEST(Text, ShownIsShortAndHarmless) {
  EXPECT_EQ(shown("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(shown("a\0b\n\x1B[31m"s), "a\\u{0000}b\\u{000A}\\u{001B}[31m");
  EXPECT_EQ(shown("a\xFFz"), "a\\xFFz");
  EXPECT_EQ(shown("\xE2\x80\xAE"
                  "abc"),
            "\\u{202E}abc");
  EXPECT_EQ(shown(std::string(64, 'x')), std::string(64, 'x'));
  EXPECT_EQ(shown(std::string(65, 'x')), std::string(64, 'x') + "...");
  EXPECT_EQ(shown(repeated(kClef, 70), 3), kClef + kClef + kClef + "...");
}

}  // namespace
}  // namespace orderd::rules
