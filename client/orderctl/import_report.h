#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "client/client.h"

namespace orderd::cli {

/// Tells what became of the lines of an import: a progress bar on a terminal, one line per order
/// that did not go in, a summary.
class ImportReport {
 public:
  /// Lines that did not go in are copied to `rejects_file`, unless it is empty. `total_bytes` is 0
  /// if it is not known. Throws LocalError.
  ImportReport(bool json, const std::string& rejects_file, std::uint64_t total_bytes);

  /// The line is not an order.
  void broken(std::uint64_t line, const std::string& text, const absl::Status& why);
  void answered(std::uint64_t line, const std::string& text, const client::ImportAnswer& answer);
  /// How far the file has been read.
  void progress(std::uint64_t bytes);

  /// Ends the progress bar and prints the summary. Throws LocalError if the rejects could not be
  /// written.
  void summary();
  bool anything_rejected() const { return conflicts_ + refused_ + broken_ > 0; }

 private:
  struct Reason {
    std::uint64_t count = 0;
    std::uint64_t first_line = 0;
  };

  void rejected(std::uint64_t line, const std::string& text, const std::string& reason,
                const std::string& message);
  void draw();
  void clear_bar();

  const bool json_;
  const bool bar_;
  const std::string rejects_file_;
  std::ofstream rejects_;
  const std::uint64_t total_bytes_;
  std::uint64_t bytes_ = 0;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point drawn_{};

  std::uint64_t created_ = 0;
  std::uint64_t unchanged_ = 0;
  std::uint64_t unchanged_resent_ = 0;
  std::uint64_t conflicts_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t broken_ = 0;
  std::map<std::string, Reason> reasons_;
};

}  // namespace orderd::cli
