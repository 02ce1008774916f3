#include <arpa/inet.h>

#include <string>

#include "server/notify/address.h"
#include "server/notify/mailer.h"
#include "server/notify/text.h"
#include "server/ops/config.h"
#include "storage/database.h"
#include "tests/fuzz/fuzz.h"

// What operators and customers give as addresses: HOST:PORT, database URLs, e-mail addresses.

namespace orderd::fuzz {
namespace {

/// By the operating system, which is who binds to it.
bool is_loopback(std::string host) {
  if (host == "localhost") return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  host = host.substr(0, host.find('%'));  // an interface
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  if (inet_pton(AF_INET6, host.c_str(), &six) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

void check_database(const std::string& url) {
  const std::string shown = ops::without_password(url);
  try {
    const storage::Database database = storage::parse_url(url);
    if (database.password.size() < 4) return;  // may be part of another word
    const auto place = url.find(":" + database.password + "@");
    if (place == std::string::npos) return;  // written in another way
    require(shown.find(":" + database.password + "@") == std::string::npos,
            "a password is not shown");
  } catch (const storage::Error&) {
  }
}

/// What is in front of an '@' may be a password, also where it is no URL otherwise. Tried with one
/// that is in no text of ours: libFuzzer takes inputs from the texts that it sees compared.
void check_password(const std::string& url) {
  constexpr std::string_view kPassword = "Zq9Xw";
  const auto at = url.rfind('@');
  if (at == std::string::npos || url.find(kPassword) != std::string::npos) return;
  const std::string with = url.substr(0, at) + ":" + std::string(kPassword) + url.substr(at);
  require(with.starts_with("sqlite:") ||
              ops::without_password(with).find(kPassword) == std::string::npos,
          "no password is shown, of whatever URL");
  try {
    storage::parse_url(with);
  } catch (const storage::Error& error) {
    require(std::string(error.what()).find(kPassword) == std::string::npos, "nor in an error");
  }
}

void check_mailbox(const std::string& text) {
  const auto mailbox = notify::parse_mailbox(text);
  if (notify::domain_of(text).empty() != !mailbox) require(false, "a sender has a domain");
  if (mailbox) {
    require(notify::is_plain_address(mailbox->address), "an address fits into a command");
    require(notify::one_line(mailbox->name) == mailbox->name, "a name into a line");
  }
  if (!notify::is_plain_address(text)) return;
  require(notify::is_plain_address(notify::with_ascii_domain(text)),
          "an address is one in ASCII too");
  for (const char c : text) {
    require(c != '\r' && c != '\n' && c != '\0', "an address is one line");
  }
}

}  // namespace

FUZZ_TARGET(addresses) {
  const std::string text(input);
  if (ops::is_loopback(text)) {
    require(is_loopback(ops::host_of(text)), "only this machine reaches a loopback address");
  }
  check_database(text);
  check_password(text);
  check_mailbox(text);
}

}  // namespace orderd::fuzz
