#pragma once

#include <string>
#include <string_view>

// What others wrote, made fit for an e-mail.

namespace orderd::notify {

/// One line: control characters, line separators and white space become single spaces, none at the
/// ends; what is not UTF-8 becomes U+FFFD.
std::string one_line(std::string_view text);

/// Lines that end with CR LF, whatever ended them before. Other control characters except tabs are
/// dropped; what is not UTF-8 becomes U+FFFD.
std::string crlf_lines(std::string_view text);

}  // namespace orderd::notify
