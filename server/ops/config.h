#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace orderd::ops {

/// What the operator says on the command line and in the environment.
struct Config {
  std::string listen = "127.0.0.1:50051";
  std::string database = "sqlite:orderd.db";
  int lanes = 1;
  std::size_t cache_mb = 256;
  std::string log_level = "info";
};

/// Reads the configuration; the command line wins over the environment. Nothing if the program is
/// done: help or version were asked for, or there is an error, which has been printed; `exit_code`
/// is set then.
std::optional<Config> parse_config(int argc, const char* const* argv, int& exit_code);

/// Whether HOST:PORT can be reached from this machine only.
bool is_loopback(const std::string& address);

/// HOST of HOST:PORT ("[::1]" of "[::1]:50051").
std::string host_of(const std::string& address);

/// A database URL as it may be shown: without its password.
std::string without_password(const std::string& url);

}  // namespace orderd::ops
