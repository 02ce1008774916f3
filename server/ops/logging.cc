#include "server/ops/logging.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "server/log_line.h"

namespace orderd::ops {
namespace {

constexpr std::size_t kLines = 8192;
constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%fZ %l %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})";

/// What is not UTF-8 is replaced.
std::string quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// In text. Quotes where a value would not stand out as one.
std::string plain(std::string_view value) {
  const bool clear = std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '=' && c != '\\';
  });
  return clear && !value.empty() ? std::string(value) : quoted(value);
}

/// One line, whatever was to be said.
std::string one_line(std::string_view message) {
  std::string line(message);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c >= '\0' && c < ' '; }, ' ');
  return line;
}

struct Field {
  std::string_view name;
  std::string_view value;
  bool number = false;
};

/// Takes the next field off a LogLine's payload, of which the message is gone.
Field next_field(std::string_view& rest) {
  rest.remove_prefix(1);
  const auto end = std::min(rest.find(LogLine::kField), rest.size());
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(end);
  constexpr char kKinds[] = {LogLine::kText, LogLine::kNumber, 0};
  const auto name = std::min(field.find_first_of(kKinds), field.size() - 1);
  return {field.substr(0, name), field.substr(name + 1), field[name] == LogLine::kNumber};
}

class LineFormatter : public spdlog::formatter {
 public:
  explicit LineFormatter(LogConfig::Format format)
      : format_(format),
        pattern_(format == LogConfig::Format::kJson ? kJsonPattern : kTextPattern,
                 spdlog::pattern_time_type::utc) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    std::string_view text(message.payload.data(), message.payload.size());
    std::string_view fields;
    if (message.source.filename == LogLine::kMark) {
      const auto end = std::min(text.find(LogLine::kField), text.size());
      fields = text.substr(end);
      text = text.substr(0, end);
    }
    const bool json = format_ == LogConfig::Format::kJson;
    std::string line = json ? "\"message\":" + quoted(text) : one_line(text);
    while (!fields.empty()) {
      const Field field = next_field(fields);
      if (json) {
        line.append(",\"").append(field.name).append("\":");
        line.append(field.number ? std::string(field.value) : quoted(field.value));
      } else {
        line.append(" ").append(field.name).append("=").append(plain(field.value));
      }
    }
    spdlog::details::log_msg written = message;
    written.payload = line;
    pattern_.format(written, out);
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  const LogConfig::Format format_;
  spdlog::pattern_formatter pattern_;
};

}  // namespace

void start_logging(const LogConfig& config) {
  spdlog::init_thread_pool(kLines, 1);
  auto logger = spdlog::create_async_nb<spdlog::sinks::stderr_sink_mt>("orderd");
  logger->set_level(spdlog::level::from_str(config.level));
  logger->set_formatter(std::make_unique<LineFormatter>(config.format));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

void set_log_level(const std::string& level) { spdlog::set_level(spdlog::level::from_str(level)); }

void stop_logging() { spdlog::shutdown(); }

std::size_t dropped_log_lines() {
  const auto pool = spdlog::thread_pool();
  return pool == nullptr ? 0 : pool->overrun_counter();
}

}  // namespace orderd::ops
