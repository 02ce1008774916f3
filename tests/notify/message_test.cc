// What a receiver reads in a message, by a parser that is not ours (Python's).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "server/notify/mailer.h"
#include "server/notify/text.h"
#include "server/orders/utf8.h"
#include "tests/notify/mail_server.h"

namespace orderd::notify {
namespace {

using nlohmann::json;
using testing::ElementsAre;

// 2026-11-23T15:04:05.999999Z
constexpr std::int64_t kDate = 1'795'446'245'999'999;
const std::string kFrom = "Shop <shop@example.com>";

pb::Email email_to(const std::string& recipient) {
  pb::Email email;
  email.set_email_id("0193-5b2a");
  email.set_recipient(recipient);
  email.set_message_id("<0193-5b2a@example.com>");
  return email;
}

json parsed(const std::string& message) { return test::parse_mails({message}).at(0); }

std::string header(const json& mail, const std::string& name) {
  for (const json& entry : mail["headers"]) {
    if (entry[0] == name) return entry[1];
  }
  return "none";
}

std::vector<std::string> header_names(const json& mail) {
  std::vector<std::string> names;
  for (const json& entry : mail["headers"]) names.push_back(entry[0]);
  return names;
}

const auto kHeaders =
    testing::UnorderedElementsAre("Date", "From", "To", "Subject", "Message-Id", "Auto-Submitted",
                                  "MIME-Version", "Content-Type");

TEST(Message, IsWhatAReceiverExpects) {
  const Templates::Content content{"Your order", "Hello,\nline two\n.\nFrom me\n",
                                   "<p>H\u00e9</p>"};
  const std::string message =
      make_message(email_to("ada@example.org"), "Ada Lovelace", content, kFrom, kDate);
  const json mail = parsed(message);
  EXPECT_THAT(header_names(mail), kHeaders);
  EXPECT_EQ(header(mail, "Date"), "Mon, 23 Nov 2026 15:04:05 +0000");
  EXPECT_EQ(header(mail, "Message-Id"), "<0193-5b2a@example.com>");
  EXPECT_EQ(header(mail, "Auto-Submitted"), "auto-generated");
  EXPECT_EQ(header(mail, "MIME-Version"), "1.0");
  EXPECT_EQ(mail["from"], json({"Shop", "shop@example.com"}));
  EXPECT_EQ(mail["to"], json({"Ada Lovelace", "ada@example.org"}));
  EXPECT_EQ(mail["subject"], "Your order");
  EXPECT_EQ(mail["type"], "multipart/alternative");
  EXPECT_EQ(mail["parts"],
            json({{{"type", "text/plain"},
                   {"charset", "utf-8"},
                   {"text", "Hello,\r\nline two\r\n.\r\nFrom me\r\n"}},
                  {{"type", "text/html"}, {"charset", "utf-8"}, {"text", "<p>H\u00e9</p>"}}}));
  EXPECT_EQ(mail["defects"], json::array());
  EXPECT_EQ(mail["ascii"], true);
  EXPECT_EQ(mail["bare_newline"], false);
}

TEST(Message, TheSameArgumentsMakeTheSameBytes) {
  const Templates::Content content{"S\u00fcbject", "t\u00e9xt", "<p>x</p>"};
  const auto make = [&] {
    return make_message(email_to("a@b.example"), "Zo\u00eb", content, kFrom, kDate);
  };
  EXPECT_EQ(make(), make());
}

TEST(Message, NothingInItsArgumentsCanAddAHeader) {
  const std::string evil = "x\r\nBcc: victim@example.net\r\n\r\nbody";
  const std::string nul("a\0b", 3);
  pb::Email email = email_to("a@b.example\r\nBcc: victim@example.net");
  email.set_message_id("<1@x>\r\nBcc: victim@example.net");
  const json mails = test::parse_mails({
      make_message(email_to("a@b.example"), evil, {evil, "t", "h"}, kFrom, kDate),
      make_message(email, "A", {"S", "t", "h"}, kFrom, kDate),
      make_message(email_to("a@b.example"), nul, {nul, nul, nul}, kFrom, kDate),
  });
  for (const json& mail : mails) {
    EXPECT_THAT(header_names(mail), kHeaders) << mail;
    EXPECT_EQ(mail["parts"].size(), 2u);
  }
  EXPECT_EQ(mails[0]["subject"], "x Bcc: victim@example.net body");
  EXPECT_EQ(mails[0]["to"], json({"x Bcc: victim@example.net body", "a@b.example"}));
  EXPECT_EQ(mails[2]["subject"], "a b");
  EXPECT_EQ(mails[2]["parts"][0]["text"], "ab");
}

TEST(Message, AnAddressOfASenderThatIsNoneIsRefused) {
  for (const char* from : {"", "shop", "a@b, c@d", "Shop <shop@>", "G: a@b;", "A\r\nB: c <a@b>"}) {
    EXPECT_THROW(make_message(email_to("a@b"), "", {"", "", ""}, from, 0), std::invalid_argument)
        << from;
    EXPECT_EQ(domain_of(from), "") << from;
  }
  EXPECT_EQ(domain_of(kFrom), "example.com");
  EXPECT_EQ(domain_of("shop@example.com"), "example.com");
  EXPECT_EQ(domain_of("shop@b\u00fccher.example"), "xn--bcher-kva.example");
}

TEST(Message, LongTextsKeepTheLimitsOfLines) {
  const std::string word(3000, 'x');
  std::string japanese;
  for (int i = 0; i < 500; ++i) japanese += "\u8a9e";
  const json mails = test::parse_mails({
      make_message(email_to("a@b.example"), word, {word, word, word}, kFrom, kDate),
      make_message(email_to("a@b.example"), japanese, {japanese, japanese, japanese}, kFrom, kDate),
  });
  for (const json& mail : mails) {
    EXPECT_LE(mail["longest_line"], 998);
    EXPECT_LE(mail["longest_encoded_word"], 75);
  }
  EXPECT_EQ(mails[0]["subject"], word);
  EXPECT_EQ(mails[0]["to"][0], word);
  EXPECT_EQ(mails[0]["parts"][1]["text"], word);
  EXPECT_EQ(mails[1]["subject"], japanese);
  EXPECT_EQ(mails[1]["to"][0], japanese);
  EXPECT_EQ(mails[1]["parts"][0]["text"], japanese);
}

/// Random texts, of pieces that are likely to trip a header.
class RandomText {
 public:
  explicit RandomText(unsigned seed) : random_(seed) {}

  std::string next() {
    static const std::vector<std::string> kPieces = {"\r\n",
                                                     "\n",
                                                     "\r",
                                                     std::string(1, '\0'),
                                                     "\t",
                                                     " ",
                                                     "  ",
                                                     "\x7f",
                                                     "\x1b[31m",
                                                     "\u0085",
                                                     "\u2028",
                                                     "\u00a0",
                                                     "\u202e",
                                                     "\u00e9",
                                                     "e\u0301",
                                                     "\u65e5\u672c\u8a9e",
                                                     "\U0001f600",
                                                     "\u0418\u0432\u0430\u043d",
                                                     "=?utf-8?q?Bcc=3A_x?=",
                                                     "=?",
                                                     "?=",
                                                     "=",
                                                     "?",
                                                     "_",
                                                     "\"",
                                                     "\\",
                                                     "<",
                                                     ">",
                                                     "(",
                                                     ")",
                                                     ",",
                                                     ";",
                                                     ":",
                                                     "@",
                                                     ".",
                                                     "Bcc: a@b",
                                                     "\r\nBcc: a@b\r\n",
                                                     "\xff",
                                                     "\xed\xa0\x80",
                                                     "\xc3",
                                                     "plain",
                                                     "Smith",
                                                     "--=_orderd_"};
    std::string text;
    for (int n = below(9); n > 0; --n) {
      if (below(3) == 0) {
        append(char32_t(below(0x110000)), text);
      } else if (below(20) == 0) {
        text.append(static_cast<std::size_t>(below(200)), 'w');
      } else {
        text += kPieces[static_cast<std::size_t>(below(static_cast<int>(kPieces.size())))];
      }
    }
    return text;
  }

 private:
  int below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random_); }
  static void append(char32_t point, std::string& text) {
    if (point >= 0xD800 && point <= 0xDFFF) return;
    const auto tail = [&](int shift) {
      text += static_cast<char>(0x80 | ((point >> shift) & 0x3F));
    };
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else if (point < 0x800) {
      text += static_cast<char>(0xC0 | (point >> 6));
      tail(0);
    } else if (point < 0x10000) {
      text += static_cast<char>(0xE0 | (point >> 12));
      tail(6);
      tail(0);
    } else {
      text += static_cast<char>(0xF0 | (point >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  std::mt19937 random_;
};

TEST(Message, RandomNamesAndSubjectsComeBackAndAddNothing) {
  constexpr int kMessages = 1500;
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomText random(seed);
  std::vector<std::string> names;
  std::vector<std::string> subjects;
  std::vector<std::string> messages;
  for (int i = 0; i < kMessages; ++i) {
    names.push_back(random.next());
    subjects.push_back(random.next());
    const std::string text = random.next();
    messages.push_back(make_message(email_to("a@b.example"), names.back(),
                                    {subjects.back(), text, text}, kFrom, kDate));
  }
  const auto mails = test::parse_mails(messages);
  ASSERT_EQ(mails.size(), messages.size());
  for (std::size_t i = 0; i < mails.size(); ++i) {
    SCOPED_TRACE(messages[i]);
    const json& mail = mails[i];
    ASSERT_THAT(header_names(mail), kHeaders);
    ASSERT_EQ(mail["subject"], one_line(subjects[i]));
    ASSERT_EQ(mail["to"], json({one_line(names[i]), "a@b.example"}));
    ASSERT_EQ(mail["parts"].size(), 2u);
    ASSERT_EQ(mail["parts"][0]["text"], mail["parts"][1]["text"]);
    ASSERT_EQ(mail["defects"], json::array());
    ASSERT_EQ(mail["ascii"], true);
    ASSERT_EQ(mail["bare_newline"], false);
    ASSERT_LE(mail["longest_line"], 998);
    ASSERT_LE(mail["longest_encoded_word"], 75);
  }
}

TEST(Text, OneLineHasNoControlCharacters) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RandomText random(seed);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random.next();
    const std::string line = one_line(text);
    ASSERT_TRUE(rules::count_code_points(line));
    ASSERT_EQ(one_line(line), line);
    for (std::string_view rest = line; !rest.empty();) {
      const auto point = rules::decode(rest);
      ASSERT_FALSE(rules::is_control(point->value));
      rest.remove_prefix(point->length);
    }
  }
  EXPECT_EQ(one_line(" a\r\n\tb\u2028c "), "a b c");
  EXPECT_EQ(one_line("a\xff"), "a\uFFFD");
  EXPECT_EQ(crlf_lines("a\nb\r\nc\rd\te\x01"), "a\r\nb\r\nc\r\nd\te");
}

}  // namespace
}  // namespace orderd::notify
