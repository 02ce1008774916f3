#pragma once

#include <optional>
#include <string>

namespace orderd::notify {

struct Mailbox {
  /// May be empty.
  std::string name;
  /// LOCAL@DOMAIN, the domain in ASCII.
  std::string address;
};

/// "shop@example.com" or "Shop <shop@example.com>"; nothing if it is anything else.
std::optional<Mailbox> parse_mailbox(const std::string& text);

/// Whether an address can stand in an SMTP command: something, an @, something, without control
/// characters, white space, angle brackets and quotes.
bool is_plain_address(const std::string& address);

/// A plain address with its domain in ASCII (IDNA), if it can be written so.
std::string with_ascii_domain(const std::string& address);

}  // namespace orderd::notify
