#include "server/notify/address.h"

#include <mutex>

#include "server/notify/gmime.h"
#include "server/notify/mailer.h"
#include "server/notify/text.h"
#include "server/orders/utf8.h"

namespace orderd::notify {

void start_gmime() {
  static std::once_flag once;
  std::call_once(once, [] { g_mime_init(); });
}

bool is_plain_address(const std::string& address) {
  const auto at = address.rfind('@');
  if (at == std::string::npos || at == 0 || at + 1 == address.size()) return false;
  std::string_view rest = address;
  while (!rest.empty()) {
    const auto point = rules::decode(rest);
    if (!point || rules::is_control(point->value) || rules::is_white_space(point->value) ||
        point->value == '<' || point->value == '>' || point->value == '"') {
      return false;
    }
    rest.remove_prefix(point->length);
  }
  return true;
}

std::optional<Mailbox> parse_mailbox(const std::string& text) {
  if (text.empty() || one_line(text) != text) return std::nullopt;
  start_gmime();
  const Ref<InternetAddressList> list(internet_address_list_parse(nullptr, text.c_str()));
  if (!list || internet_address_list_length(list.get()) != 1) return std::nullopt;
  InternetAddress* entry = internet_address_list_get_address(list.get(), 0);
  if (!INTERNET_ADDRESS_IS_MAILBOX(entry)) return std::nullopt;
  const char* name = internet_address_get_name(entry);
  const char* address = internet_address_mailbox_get_idn_addr(INTERNET_ADDRESS_MAILBOX(entry));
  if (address == nullptr || !is_plain_address(address)) return std::nullopt;
  return Mailbox{name == nullptr ? "" : one_line(name), address};
}

std::string with_ascii_domain(const std::string& address) {
  start_gmime();
  const Ref<InternetAddress> entry(internet_address_mailbox_new(nullptr, address.c_str()));
  const char* ascii = internet_address_mailbox_get_idn_addr(INTERNET_ADDRESS_MAILBOX(entry.get()));
  return ascii == nullptr ? address : ascii;
}

std::string domain_of(const std::string& from) {
  const auto mailbox = parse_mailbox(from);
  return mailbox ? mailbox->address.substr(mailbox->address.rfind('@') + 1) : std::string();
}

}  // namespace orderd::notify
