#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <vector>

// Text for people.

namespace orderd::cli {

/// Fit for a terminal and for one line: control characters and invalid UTF-8 become U+FFFD, line
/// breaks and tabs become spaces.
std::string printable(std::string_view text);

/// Columns that printable text takes on a terminal: wide characters take two, combining ones none.
std::size_t display_width(std::string_view text);

/// "2026-11-23T08:30:00Z"; "-" if the message has no time.
std::string format_time(const google::protobuf::Timestamp& time);

/// A date ("2026-11-23": its first moment in UTC) or an RFC 3339 time
/// ("2026-11-23T08:30:00+01:00"). Throws LocalError; `what` says which option it is.
google::protobuf::Timestamp parse_time(const std::string& text, const std::string& what);

/// "-" instead of nothing.
std::string or_dash(std::string_view text);

/// Aligned columns with a heading; numbers go to the right. Prints to standard output.
class Table {
 public:
  /// A heading that starts with '>' is of a column aligned to the right.
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// Each line begins with `indent` spaces.
  void print(int indent = 0) const;

 private:
  std::vector<std::string> headings_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace orderd::cli
