#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "server/notify/mailer.h"
#include "server/orders/money.h"
#include "server/orders/utf8.h"
#include "tests/fuzz/fuzz.h"

// The first byte says what the others are: a template of the subject (s), the text (t) or the HTML
// (h), which is refused or shows an order; or texts of an order (d), one per line, which the
// built-in templates show.

namespace orderd::fuzz {
namespace {

using notify::Templates;

constexpr std::string_view kMarkup = "<b id=\"evil\">&'";

class Directory {
 public:
  Directory() { require(::mkdtemp(path_.data()) != nullptr, "there is room for templates"); }
  ~Directory() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const {
    for (const auto& old : std::filesystem::directory_iterator(path_)) {
      std::filesystem::remove(old.path());
    }
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
  }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "orderd-fuzz-XXXXXX").string();
};

pb::Order order_with(const std::string& name) {
  pb::Order order;
  order.set_order_number(name);
  order.set_currency_code("EUR");
  order.mutable_customer()->set_name(name);
  for (int i = 0; i < 3; ++i) {
    auto* item = order.add_items();
    item->set_name(name);
    item->set_quantity(2);
    *item->mutable_total() = rules::make_money("EUR", 1999);
  }
  *order.mutable_totals()->mutable_total() = rules::make_money("EUR", 5997);
  return order;
}

/// It decides by itself what is escaped.
bool is_free(std::string_view text) {
  return text.find("{{{") != std::string_view::npos || text.find('&') != std::string_view::npos ||
         text.find('=') != std::string_view::npos || text.find("evil") != std::string_view::npos;
}

void check_subject(const std::string& subject) {
  for (std::string_view rest = subject; !rest.empty();) {
    const auto point = rules::decode(rest);
    require(point && !rules::is_control(point->value), "a subject is one line of UTF-8");
    rest.remove_prefix(point->length);
  }
}

/// The lines of the header of a message, those that go on in the next put together.
std::vector<std::string> headers(const std::string& message) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0;;) {
    const auto end = message.find("\r\n", begin);
    require(end != std::string::npos, "a header has an end");
    const std::string line = message.substr(begin, end - begin);
    require(line.size() <= 998 && line.find_first_of("\r\n") == std::string::npos,
            "lines are not too long, and end with CR LF");
    if (line.empty()) return lines;
    if (line[0] == ' ' || line[0] == '\t') {
      require(!lines.empty(), "a header begins with a name");
      lines.back() += line;
    } else {
      lines.push_back(line);
    }
    begin = end + 2;
  }
}

void check_message(const Templates::Content& content, const std::string& name,
                   const std::string& recipient) {
  pb::Email email;
  email.set_message_id("<1.2@example.com>");
  email.set_recipient(recipient);
  const std::string message =
      notify::make_message(email, name, content, "Shop <shop@example.com>", 1);
  std::vector<std::string> names;
  for (const auto& line : headers(message)) names.push_back(line.substr(0, line.find(':')));
  std::sort(names.begin(), names.end());
  const std::vector<std::string> expected = {"Auto-Submitted", "Content-Type", "Date",    "From",
                                             "MIME-Version",   "Message-Id",   "Subject", "To"};
  require(names == expected, "nothing adds a header");
}

void check_template(const std::string& file, std::string_view text) {
  static const Directory directory;
  directory.write("ORDER_CANCELED." + file + ".mustache", text);
  try {
    const Templates templates(directory.path());
    const auto content = templates.render({}, order_with(std::string(kMarkup)));
    check_subject(content.subject);
    require(content.html.find(kMarkup) == std::string::npos || (file == "html" && is_free(text)),
            "HTML is escaped");
    templates.render({}, {});
  } catch (const std::runtime_error&) {
    // Refused, as the constructor promises; rendering throws nothing.
  }
}

void check_data(std::string_view input) {
  static const Templates templates{std::string()};
  std::vector<std::string> texts(3);
  for (std::string& text : texts) {
    text = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(input.size(), text.size() + 1));
  }
  texts[0] += "\n\t\x01" + texts[1];
  const auto content = templates.render({}, order_with(texts[0]));
  check_subject(content.subject);
  require(content.html.find("<b id=") == std::string::npos, "HTML is escaped");
  check_message(content, texts[1], texts[2]);
}

}  // namespace

FUZZ_TARGET(templates) {
  if (input.empty()) return;
  const std::string_view rest = input.substr(1);
  switch (input[0]) {
    case 's':
      return check_template("subject", rest);
    case 't':
      return check_template("txt", rest);
    case 'h':
      return check_template("html", rest);
    default:
      return check_data(rest);
  }
}

}  // namespace orderd::fuzz
