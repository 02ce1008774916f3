#include <algorithm>
#include <cctype>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "server/notify/address.h"
#include "server/notify/gmime.h"
#include "server/notify/mailer.h"
#include "server/notify/text.h"
#include "server/orders/utf8.h"

namespace orderd::notify {
namespace {

constexpr char kCharset[] = "utf-8";

/// Whether a header can have the line as it is: ASCII in short words, none of which looks like an
/// encoded word (RFC 2047).
bool is_plain(const std::string& line) {
  constexpr std::size_t kLongWord = 60;
  std::size_t word = 0;
  for (const char c : line) {
    word = c == ' ' ? 0 : word + 1;
    if (static_cast<unsigned char>(c) >= 128 || word > kLongWord) return false;
  }
  return line.find("=?") == std::string::npos;
}

/// A line for a header, in encoded words where need be. GMime leaves those as they are, folds and
/// quotes the rest. Its own can be longer than the 75 characters that are allowed.
std::string header_text(const std::string& line) {
  constexpr std::size_t kMaxBytes = 45;  // 60 characters in base64
  if (is_plain(line)) return line;
  std::string words;
  for (std::string_view rest = line; !rest.empty();) {
    std::size_t size = 0;
    while (size < rest.size()) {
      const auto point = rules::decode(rest.substr(size));
      const std::size_t length = point ? point->length : 1;
      if (size + length > kMaxBytes) break;
      size += length;
    }
    const OwnedText base64(
        g_base64_encode(reinterpret_cast<const unsigned char*>(rest.data()), size));
    if (!words.empty()) words += ' ';
    words += "=?UTF-8?B?";
    words += base64.get();
    words += "?=";
    rest.remove_prefix(size);
  }
  return words;
}

void add_mailbox(InternetAddressList* list, const Mailbox& mailbox) {
  const std::string name = header_text(mailbox.name);
  const Ref<InternetAddress> entry(
      internet_address_mailbox_new(name.empty() ? nullptr : name.c_str(), mailbox.address.c_str()));
  internet_address_list_add(list, entry.get());
}

/// Microseconds are below what the header has.
void set_date(GMimeMessage* message, std::int64_t micros) {
  constexpr std::int64_t kSecond = 1'000'000;
  const std::int64_t seconds = micros / kSecond - (micros % kSecond < 0 ? 1 : 0);
  const std::unique_ptr<GDateTime, decltype(&g_date_time_unref)> date(
      g_date_time_new_from_unix_utc(seconds), &g_date_time_unref);
  if (date) g_mime_message_set_date(message, date.get());
}

/// A Message-ID without its brackets.
std::string bare_message_id(const std::string& message_id) {
  std::string id = one_line(message_id);
  std::erase_if(id, [](char c) { return c == '<' || c == '>' || c == ' '; });
  return id;
}

/// The same for the same message, and in no encoded body: neither base64 nor quoted-printable has
/// "=_".
std::string boundary_of(const std::string& message_id) {
  std::string boundary = "=_orderd_";
  for (const char c : message_id.substr(0, message_id.find('@'))) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
    if (plain && boundary.size() < 60) boundary += c;
  }
  return boundary;
}

void add_text(GMimeMultipart* parts, const char* subtype, const std::string& text) {
  const std::string lines = crlf_lines(text);
  const Ref<GMimePart> part(g_mime_part_new_with_type("text", subtype));
  g_mime_object_set_content_type_parameter(GMIME_OBJECT(part.get()), "charset", kCharset);
  const Ref<GMimeStream> stream(g_mime_stream_mem_new_with_buffer(lines.data(), lines.size()));
  const Ref<GMimeDataWrapper> content(
      g_mime_data_wrapper_new_with_stream(stream.get(), GMIME_CONTENT_ENCODING_DEFAULT));
  g_mime_part_set_content(part.get(), content.get());
  const bool ascii = std::all_of(lines.begin(), lines.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 128; });
  g_mime_part_set_content_encoding(
      part.get(), ascii ? GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE : GMIME_CONTENT_ENCODING_BASE64);
  g_mime_multipart_add(parts, GMIME_OBJECT(part.get()));
}

}  // namespace

std::string make_message(const pb::Email& email, const std::string& recipient_name,
                         const Templates::Content& content, const std::string& from,
                         std::int64_t date) {
  const auto sender = parse_mailbox(from);
  if (!sender) throw std::invalid_argument("the sender of e-mails is not an address");
  start_gmime();
  const std::string message_id = bare_message_id(email.message_id());

  const Ref<GMimeMessage> message(g_mime_message_new(FALSE));
  set_date(message.get(), date);
  add_mailbox(g_mime_message_get_from(message.get()), *sender);
  add_mailbox(g_mime_message_get_to(message.get()),
              {one_line(recipient_name), one_line(email.recipient())});
  g_mime_message_set_subject(message.get(), header_text(one_line(content.subject)).c_str(),
                             kCharset);
  g_mime_message_set_message_id(message.get(), message_id.c_str());
  g_mime_object_set_header(GMIME_OBJECT(message.get()), "Auto-Submitted", "auto-generated",
                           kCharset);

  const Ref<GMimeMultipart> parts(g_mime_multipart_new_with_subtype("alternative"));
  g_mime_multipart_set_boundary(parts.get(), boundary_of(message_id).c_str());
  add_text(parts.get(), "plain", content.text);
  add_text(parts.get(), "html", content.html);
  g_mime_message_set_mime_part(message.get(), GMIME_OBJECT(parts.get()));

  const std::unique_ptr<GMimeFormatOptions, decltype(&g_mime_format_options_free)> format(
      g_mime_format_options_new(), &g_mime_format_options_free);
  g_mime_format_options_set_newline_format(format.get(), GMIME_NEWLINE_FORMAT_DOS);
  return OwnedText(g_mime_object_to_string(GMIME_OBJECT(message.get()), format.get())).get();
}

}  // namespace orderd::notify
