#include "client/orderctl/import_report.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/text.h"

namespace orderd::cli {

using std::chrono::steady_clock;

ImportReport::ImportReport(bool json, const std::string& rejects_file, std::uint64_t total_bytes)
    : json_(json),
      bar_(::isatty(STDERR_FILENO) == 1),
      rejects_file_(rejects_file),
      total_bytes_(total_bytes) {
  if (rejects_file_.empty()) return;
  rejects_.open(rejects_file_, std::ios::binary | std::ios::trunc);
  if (!rejects_) {
    throw LocalError(fmt::format("can't write {}: {}", rejects_file_, std::strerror(errno)));
  }
}

void ImportReport::broken(std::uint64_t line, const std::string& text, const absl::Status& why) {
  ++broken_;
  const std::string message(why.message());
  if (json_) {
    const nlohmann::json object = {{"line", line}, {"result", "BROKEN"}, {"message", message}};
    fmt::print("{}\n", object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  rejected(line, text, "BROKEN_LINE", printable(message));
}

void ImportReport::answered(std::uint64_t line, const std::string& text,
                            const client::ImportAnswer& answer) {
  const auto& response = answer.response;
  if (json_) {
    auto object = nlohmann::json::parse(to_json(response));
    object["line"] = line;
    if (answer.resent) object["resent"] = true;
    fmt::print("{}\n", object.dump());
  }
  const std::string name = printable(response.order_number());
  const absl::Status error = client::to_status(response.error());
  const client::ErrorDetails error_details = client::details(error);
  switch (response.result()) {
    case pb::IMPORT_RESULT_CREATED:
      ++created_;
      break;
    case pb::IMPORT_RESULT_UNCHANGED:
      ++unchanged_;
      if (answer.resent) ++unchanged_resent_;
      break;
    case pb::IMPORT_RESULT_CONFLICT:
      ++conflicts_;
      rejected(line, text, error_details.reason,
               fmt::format("order {}: conflict: {}", name, one_line(error)));
      break;
    default:
      ++refused_;
      rejected(line, text, error_details.reason,
               fmt::format("order {}: refused: {}", name, one_line(error)));
  }
  draw();
}

void ImportReport::rejected(std::uint64_t line, const std::string& text, const std::string& reason,
                            const std::string& message) {
  auto& entry = reasons_[reason.empty() ? "UNKNOWN" : reason];
  if (entry.count++ == 0) entry.first_line = line;
  clear_bar();
  fmt::print(stderr, "line {}: {}\n", line, message);
  if (rejects_.is_open()) rejects_ << text << '\n';
}

void ImportReport::progress(std::uint64_t bytes) {
  bytes_ = bytes;
  draw();
}

void ImportReport::draw() {
  const auto now = steady_clock::now();
  if (!bar_ || now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  const std::uint64_t done = created_ + unchanged_ + conflicts_ + refused_ + broken_;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::string bar;
  if (total_bytes_ > 0) {
    constexpr std::uint64_t kWidth = 30;
    const auto filled = std::min(kWidth, bytes_ * kWidth / total_bytes_);
    bar = fmt::format("[{}{}] {:3}%  ", std::string(filled, '#'), std::string(kWidth - filled, '.'),
                      std::min<std::uint64_t>(100, bytes_ * 100 / total_bytes_));
  }
  fmt::print(stderr, "\r\x1b[K{}{} orders, {:.0f}/s, {} rejected", bar, done,
             static_cast<double>(done) / std::max(seconds, 0.001), conflicts_ + refused_ + broken_);
  std::fflush(stderr);
}

void ImportReport::clear_bar() {
  if (bar_ && drawn_ != steady_clock::time_point{}) fmt::print(stderr, "\r\x1b[K");
}

void ImportReport::summary() {
  clear_bar();
  const std::uint64_t done = created_ + unchanged_ + conflicts_ + refused_ + broken_;
  if (json_) {
    nlohmann::json reasons = nlohmann::json::object();
    for (const auto& [reason, entry] : reasons_) reasons[reason] = entry.count;
    const nlohmann::json object = {{"summary",
                                    {{"lines", done},
                                     {"created", created_},
                                     {"unchanged", unchanged_},
                                     {"unchanged_resent", unchanged_resent_},
                                     {"conflict", conflicts_},
                                     {"refused", refused_},
                                     {"broken", broken_},
                                     {"reasons", reasons}}}};
    fmt::print("{}\n", object.dump());
  } else {
    fmt::print("{} lines: {} created, {} unchanged, {} conflicts, {} refused, {} broken\n", done,
               created_, unchanged_, conflicts_, refused_, broken_);
    if (unchanged_resent_ > 0) {
      fmt::print(
          "({} of the unchanged were sent again after the connection broke, and may have "
          "gone in the first time)\n",
          unchanged_resent_);
    }
    if (!reasons_.empty()) {
      Table table({"NOT TAKEN IN BECAUSE", ">LINES", ">FIRST LINE"});
      for (const auto& [reason, entry] : reasons_) {
        table.add({reason, std::to_string(entry.count), std::to_string(entry.first_line)});
      }
      table.print();
    }
  }
  if (rejects_.is_open()) {
    rejects_.close();
    if (!rejects_) throw LocalError(fmt::format("can't write {}", rejects_file_));
  }
}

}  // namespace orderd::cli
