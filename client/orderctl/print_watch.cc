#include "client/orderctl/print_watch.h"

#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/orderctl/cli.h"
#include "client/orderctl/json.h"
#include "client/orderctl/print_events.h"

namespace orderd::cli {
namespace {

/// A watch can go on for months. Beyond so many numbers it begins to learn them again.
constexpr std::size_t kMaxNumbers = 100'000;

/// A time, a short number, the longest type: so the columns seldom move.
const std::vector<std::size_t> kWidths = {20, 8, 22};

/// An object without its end: more members can follow.
std::string json_line(const std::string& kind, const google::protobuf::Message& message) {
  return fmt::format(R"({{"kind":"{0}","{0}":{1})", kind, to_json(message));
}

}  // namespace

WatchPrinter::WatchPrinter(bool json) : json_(json), table_(event_headings("ORDER"), kWidths) {}

void WatchPrinter::remember(const std::string& order_id, const std::string& order_number) {
  if (json_ || order_number.empty()) return;
  if (numbers_.size() >= kMaxNumbers) numbers_.clear();
  numbers_[order_id] = order_number;
}

void WatchPrinter::print(const pb::WatchOrdersResponse& message) {
  if (json_) {
    print_lines(message);
  } else {
    print_table(message);
  }
  if (std::fflush(stdout) != 0) throw LocalError("can't write to standard output");
}

void WatchPrinter::print_lines(const pb::WatchOrdersResponse& message) const {
  std::vector<std::string> lines;
  for (const auto& change : message.changes()) lines.push_back(json_line("change", change));
  for (const auto& order : message.snapshot_orders()) lines.push_back(json_line("order", order));
  if (message.snapshot_complete()) lines.emplace_back(R"({"kind":"snapshot_complete")");
  if (lines.empty()) return;
  lines.back() += ",\"resume_token\":" + nlohmann::json(message.resume_token()).dump();
  for (const auto& line : lines) fmt::print("{}}}\n", line);
}

void WatchPrinter::print_table(const pb::WatchOrdersResponse& message) {
  for (const auto& change : message.changes()) add_change(change);
  for (const auto& order : message.snapshot_orders()) {
    remember(order.order_id(), order.order_number());
    table_.print({format_time(order.update_time()), order.order_number(), "as it is", "-",
                  order_words(order)});
  }
  if (message.snapshot_complete()) {
    fmt::print(stderr, "these were the orders as they are; changes follow\n");
  }
}

void WatchPrinter::add_change(const pb::OrderChange& change) {
  for (const auto& event : change.events()) {
    if (event.has_order_created()) {
      remember(change.order_id(), event.order_created().order().order_number());
    } else if (event.has_order_imported()) {
      remember(change.order_id(), event.order_imported().order().order_number());
    }
  }
  const auto number = numbers_.find(change.order_id());
  const std::string& name = number == numbers_.end() ? change.order_id() : number->second;
  int left = change.events_size();
  for (const auto& event : change.events()) {
    auto row = event_row(event, name);
    if (--left == 0 && change.left_filter()) row.back() += "; does not match any more";
    table_.print(std::move(row));
  }
}

}  // namespace orderd::cli
