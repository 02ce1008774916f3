#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "storage/uuid.h"

namespace orderd::storage {

enum class Dialect { kSqlite, kMysql };

/// SQL text known at compile time. Only this and literals written by `Sql` become part of a
/// statement, so no value can ever be read as SQL. SOCI takes ':' for the start of a parameter and
/// drops the rest of the statement: such text does not compile.
class Fixed {
 public:
  template <std::size_t N>
  consteval Fixed(const char (&text)[N]) : text_(text, N - 1) {
    for (const char c : text_) {
      if (c == ':' || c == '"' || c == '?' || c == '\\') throw "not allowed in SQL text";
    }
  }
  constexpr std::string_view view() const { return text_; }

 private:
  std::string_view text_;
};

/// A value of a binary column: keys, numbers, serialized messages. Compared bytewise.
struct Blob {
  std::string_view bytes;
};
/// A value of a text column, valid UTF-8.
struct Text {
  std::string_view utf8;
};

/// Assembles the text of a statement; all values are literals.
class Sql {
 public:
  explicit Sql(Dialect dialect) : dialect_(dialect) {}
  Sql(Dialect dialect, Fixed text) : dialect_(dialect), text_(text.view()) {}

  Sql& operator<<(Fixed text) {
    text_ += text.view();
    return *this;
  }
  Sql& operator<<(std::integral auto number) { return append_number(number); }
  Sql& operator<<(Blob value);
  Sql& operator<<(Text value);
  Sql& operator<<(const Uuid& id) { return *this << Blob{id.raw()}; }

  /// Values between commas.
  template <typename First, typename... Rest>
  Sql& list(const First& first, const Rest&... rest) {
    *this << first;
    ((*this << "," << rest), ...);
    return *this;
  }
  Sql& ids(std::span<const Uuid> ids);
  Sql& names(std::initializer_list<Fixed> names);
  Sql& append(const Sql& other) {
    text_ += other.text_;
    return *this;
  }
  /// Makes an INSERT overwrite these columns of the row that has the key.
  Sql& overwrite(Fixed key, std::initializer_list<Fixed> columns);

  /// The dialect's word for the same thing.
  Sql& either(Fixed sqlite, Fixed mysql) {
    return *this << (dialect_ == Dialect::kSqlite ? sqlite : mysql);
  }

  void clear() { text_.clear(); }
  Dialect dialect() const { return dialect_; }
  const std::string& text() const { return text_; }

 private:
  Sql& append_number(std::int64_t number);
  void append_hex(std::string_view bytes);

  Dialect dialect_;
  std::string text_;
};

}  // namespace orderd::storage
