#include "storage/sql.h"

#include <algorithm>
#include <charconv>

namespace orderd::storage {
namespace {

/// Nothing in here has a meaning inside a quoted literal, to the databases or to SOCI.
bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(" _-.,/@+=()#&*!;").find(c) != std::string_view::npos;
}

}  // namespace

Sql& Sql::append_number(std::int64_t number) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  text_.append(buffer, end);
  return *this;
}

void Sql::append_hex(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_ += "x'";
  const std::size_t at = text_.size();
  text_.resize(at + 2 * bytes.size());
  char* out = text_.data() + at;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    *out++ = kHex[byte >> 4];
    *out++ = kHex[byte & 15];
  }
  text_ += '\'';
}

Sql& Sql::operator<<(Blob value) {
  append_hex(value.bytes);
  return *this;
}

Sql& Sql::operator<<(Text value) {
  if (std::ranges::all_of(value.utf8, plain)) {
    text_ += '\'';
    text_ += value.utf8;
    text_ += '\'';
  } else if (dialect_ == Dialect::kSqlite) {
    text_ += "CAST(";
    append_hex(value.utf8);
    text_ += " AS TEXT)";
  } else {
    text_ += "_utf8mb4 ";
    append_hex(value.utf8);
  }
  return *this;
}

Sql& Sql::ids(std::span<const Uuid> ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) text_ += ',';
    append_hex(ids[i].raw());
  }
  return *this;
}

Sql& Sql::names(std::initializer_list<Fixed> names) {
  bool first = true;
  for (const Fixed name : names) {
    if (!first) text_ += ',';
    first = false;
    text_ += name.view();
  }
  return *this;
}

Sql& Sql::overwrite(Fixed key, std::initializer_list<Fixed> columns) {
  const bool sqlite = dialect_ == Dialect::kSqlite;
  if (sqlite) {
    *this << " ON CONFLICT(" << key << ") DO UPDATE SET ";
  } else {
    *this << " ON DUPLICATE KEY UPDATE ";
  }
  bool first = true;
  for (const Fixed column : columns) {
    if (!first) *this << ",";
    first = false;
    *this << column;
    if (sqlite) {
      *this << "=excluded." << column;
    } else {
      *this << "=VALUES(" << column << ")";
    }
  }
  return *this;
}

}  // namespace orderd::storage
