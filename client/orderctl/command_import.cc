#include <fmt/core.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/import_report.h"
#include "client/orderctl/json.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

/// What the server receives in one message. A larger one would end the stream for all others.
constexpr std::size_t kMaxRequestBytes = 4u << 20;

struct Flags {
  std::string file;
  std::uint64_t from_line = 1;
  std::string rejects;
};

volatile std::sig_atomic_t interrupted = 0;

/// The first Ctrl-C ends the import behind what has been sent, a second one ends the program.
void watch_interrupt() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

/// The orders of a file, one per line. Lines that are none are reported and left out.
class Lines {
 public:
  Lines(std::istream& input, const Flags& flags, ImportReport& report)
      : input_(input), flags_(flags), report_(report) {}

  std::optional<pb::ImportOrdersRequest> next() {
    std::string text;
    while (interrupted == 0 && std::getline(input_, text)) {
      ++number_;
      bytes_ += text.size() + 1;
      if (number_ < flags_.from_line || text.find_first_not_of(" \t\r") == std::string::npos) {
        continue;
      }
      report_.progress(bytes_);
      pb::ImportOrdersRequest request;
      absl::Status status = parse_json(text, request);
      if (status.ok() && request.ByteSizeLong() > kMaxRequestBytes) {
        status = absl::InvalidArgumentError("larger than 4 MiB");
      }
      if (status.ok()) {
        waiting_.push_back({number_, std::move(text)});
        return request;
      }
      report_.broken(number_, text, status);
    }
    return std::nullopt;
  }

  void answered(const client::ImportAnswer& answer) {
    report_.answered(waiting_.front().number, waiting_.front().text, answer);
    waiting_.pop_front();
  }

  /// The first line that is not settled.
  std::uint64_t unsettled() const {
    return waiting_.empty() ? number_ + 1 : waiting_.front().number;
  }

 private:
  struct Line {
    std::uint64_t number;
    std::string text;
  };

  std::istream& input_;
  const Flags& flags_;
  ImportReport& report_;
  std::uint64_t number_ = 0;
  std::uint64_t bytes_ = 0;
  std::deque<Line> waiting_;
};

int import(Session& session, const Flags& flags) {
  std::ifstream file;
  std::uint64_t size = 0;
  if (flags.file != "-") {
    std::error_code error;
    if (std::filesystem::is_directory(flags.file, error)) {
      throw LocalError(fmt::format("can't read {}: it is a directory", flags.file));
    }
    file.open(flags.file, std::ios::binary);
    if (!file) throw LocalError(fmt::format("can't read {}: {}", flags.file, std::strerror(errno)));
    const auto known = std::filesystem::file_size(flags.file, error);
    if (!error) size = known;
  } else {
    std::ios::sync_with_stdio(false);
  }
  std::istream& input = flags.file == "-" ? std::cin : file;

  watch_interrupt();
  ImportReport report(session.json, flags.rejects, size);
  Lines lines(input, flags, report);
  const absl::Status status = session.client.import_orders(
      [&] { return lines.next(); },
      [&](const client::ImportAnswer& answer) { lines.answered(answer); });
  report.summary();

  if (status.ok() && interrupted == 0 && !input.bad()) {
    return report.anything_rejected() ? kPartial : kOk;
  }
  int code = kPartial;
  if (!status.ok()) {
    code = fail(status);
  } else if (interrupted == 0) {
    fmt::print(stderr, "error: can't read {} any further\n", flags.file);
    code = kLocal;
  }
  fmt::print(stderr,
             "stopped before line {0}; to go on: orderctl import {1} --from-line {0}\n"
             "(or import all of it again: what is in already stays unchanged)\n",
             lines.unsettled(), flags.file);
  return code;
}

}  // namespace

void add_import_command(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("import", "Take in orders with their history, one JSON object per line");
  auto flags = std::make_shared<Flags>();
  command->add_option("FILE", flags->file, "JSON lines; - is standard input")->required();
  command->add_option("--from-line", flags->from_line, "Begin with this line")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--rejects", flags->rejects,
                      "Copy the lines that did not go in to this file, to repair them");
  command->footer(
      "Each line is an ImportOrdersRequest as protobuf JSON. The key is the order number: a line "
      "that\n"
      "was imported before is unchanged, one with other content is a conflict, and an import that\n"
      "was interrupted can simply be run again. A line that is broken or refused is reported with\n"
      "its number, and the rest goes in; then the exit code is 10.\n"
      "Example:\n"
      "  echo '{\"order\": {\"order_number\": \"A-1\", \"order_time\": \"2026-01-31T12:00:00Z\"},\n"
      "         \"state_id\": \"completed\", \"invoice_number\": \"INV-1\"}' | tr -d '\\n' |\n"
      "    orderctl import -\n"
      "  orderctl import orders.jsonl --rejects rejected.jsonl");
  command->callback(
      [flags, &action] { action = [flags](Session& session) { return import(session, *flags); }; });
}

}  // namespace orderd::cli
