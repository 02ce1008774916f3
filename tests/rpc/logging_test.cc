#include "server/ops/logging.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "server/log_line.h"

namespace orderd::ops {
namespace {

using Json = nlohmann::json;

/// What is logged by `write`, line by line.
template <class Write>
std::vector<std::string> logged(LogConfig::Format format, const Write& write) {
  const auto before = spdlog::default_logger();
  testing::internal::CaptureStderr();
  start_logging({.level = "info", .format = format});
  write();
  stop_logging();
  spdlog::set_default_logger(before);
  std::istringstream all(testing::internal::GetCapturedStderr());
  std::vector<std::string> lines;
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  return lines;
}

void write_odd_lines() {
  spdlog::debug("not this");
  spdlog::info("two\nlines, a \"quote\", a \\ and a tab\t");
  spdlog::warn("not UTF-8: {}", "\xff\xfe");
  spdlog::error("the separators of fields: \x1f\x1e\x1d{}");
  LogLine line("call");
  line.field("actor",
             "a \"b\"\n=c\x1f"
             "d");
  line.field("empty", "");
  line.field("bytes", "\xc3");
  line.number("duration_ms", 1.5);
  line.field("order_id", "x");
  line.write(spdlog::level::info);
}

TEST(LoggingTest, EachEntryIsOneJsonObject) {
  const auto lines = logged(LogConfig::Format::kJson, write_odd_lines);
  ASSERT_EQ(lines.size(), 4u);
  std::vector<Json> entries;
  for (const std::string& line : lines) {
    entries.push_back(Json::parse(line));
    EXPECT_TRUE(std::regex_match(entries.back()["time"].get<std::string>(),
                                 std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)")));
    entries.back().erase("time");
  }
  EXPECT_EQ(entries[0],
            Json({{"level", "info"}, {"message", "two\nlines, a \"quote\", a \\ and a tab\t"}}));
  EXPECT_EQ(entries[1], Json({{"level", "warning"}, {"message", "not UTF-8: \ufffd\ufffd"}}));
  EXPECT_EQ(entries[2],
            Json({{"level", "error"}, {"message", "the separators of fields: \x1f\x1e\x1d{}"}}));
  EXPECT_EQ(entries[3], Json({{"level", "info"},
                              {"message", "call"},
                              {"actor", "a \"b\"?=c?d"},
                              {"bytes", "\ufffd"},
                              {"duration_ms", 1.5},
                              {"order_id", "x"}}));
}

TEST(LoggingTest, EachEntryIsOneLineOfText) {
  const auto lines = logged(LogConfig::Format::kText, write_odd_lines);
  ASSERT_EQ(lines.size(), 4u);
  const auto rest = [&](std::size_t i) { return lines[i].substr(lines[i].find(' ') + 1); };
  EXPECT_EQ(rest(0), "info two lines, a \"quote\", a \\ and a tab ");
  EXPECT_EQ(rest(3),
            "info call actor=\"a \\\"b\\\"?=c?d\" bytes=\"\ufffd\" duration_ms=1.500 order_id=x");
}

}  // namespace
}  // namespace orderd::ops
