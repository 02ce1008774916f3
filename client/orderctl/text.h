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

/// The beginning of a text, with "…" if that is not all of it; at most so many columns.
std::string clipped(std::string_view text, std::size_t columns);

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

/// A table whose rows are printed as they come. A column becomes wider when a cell needs it.
class LiveTable {
 public:
  /// All columns to the left, at least so wide. The headings are printed with the first row.
  LiveTable(std::vector<std::string> headings, std::vector<std::size_t> widths);
  void print(std::vector<std::string> cells);

 private:
  std::vector<std::string> headings_;
  std::vector<std::size_t> widths_;
  bool begun_ = false;
};

}  // namespace orderd::cli
