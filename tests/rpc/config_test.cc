#include "server/ops/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <vector>

namespace orderd::ops {
namespace {

std::optional<Config> parse(std::vector<const char*> arguments, int& exit_code) {
  arguments.insert(arguments.begin(), "orderd");
  return parse_config(static_cast<int>(arguments.size()), arguments.data(), exit_code);
}

TEST(ConfigTest, TheCommandLineWinsOverTheEnvironment) {
  int exit_code = -1;
  ::setenv("ORDERD_DATABASE", "sqlite:from-environment", 1);
  ::setenv("ORDERD_LANES", "3", 1);
  const auto config = parse({"--database", "sqlite:from-command-line"}, exit_code);
  ::unsetenv("ORDERD_DATABASE");
  ::unsetenv("ORDERD_LANES");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->database, "sqlite:from-command-line");
  EXPECT_EQ(config->lanes, 3);
  EXPECT_EQ(config->listen, "127.0.0.1:50051");
}

TEST(ConfigTest, HelpAndVersionEndWell) {
  for (const char* option : {"--help", "--version"}) {
    int exit_code = -1;
    testing::internal::CaptureStdout();
    EXPECT_FALSE(parse({option}, exit_code));
    EXPECT_NE(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(exit_code, 0);
  }
}

TEST(ConfigTest, MistakesAreExplainedWithoutPasswords) {
  const std::vector<std::vector<const char*>> mistakes = {{"--listen", "0.0.0.0:50051"},
                                                          {"--listen", "192.0.2.1:1"},
                                                          {"--listen", "[::]:1"},
                                                          {"--listen", "50051"},
                                                          {"--listen", "127.0.0.1:x"},
                                                          {"--listen", "127.0.0.1:65536"},
                                                          {"--listen", ":1"},
                                                          {"--database", "postgres://u:secret@h/d"},
                                                          {"--lanes", "0"},
                                                          {"--log-level", "loud"},
                                                          {"--no-such-option"}};
  for (const auto& mistake : mistakes) {
    int exit_code = -1;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(parse(mistake, exit_code)) << mistake.back();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text, "");
    EXPECT_EQ(text.find("secret"), text.npos) << text;
    EXPECT_EQ(exit_code, 2);
  }
}

TEST(ConfigTest, Loopback) {
  for (const char* address : {"127.0.0.1:0", "127.8.8.8:1", "localhost:1", "[::1]:1"}) {
    EXPECT_TRUE(is_loopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "10.0.0.1:1", "example.com:1", "[::]:1", "*:1"}) {
    EXPECT_FALSE(is_loopback(address)) << address;
  }
  EXPECT_EQ(host_of("[::1]:50051"), "[::1]");
}

TEST(ConfigTest, UrlsAreShownWithoutTheirPassword) {
  EXPECT_EQ(without_password("mysql://u:s:e@c@h:1/d"), "mysql://u:***@h:1/d");
  EXPECT_EQ(without_password("mysql://u@h:1/d"), "mysql://u@h:1/d");
  EXPECT_EQ(without_password("sqlite:a.db"), "sqlite:a.db");
}

}  // namespace
}  // namespace orderd::ops
