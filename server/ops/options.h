#pragma once

#include <CLI/CLI.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "server/ops/config.h"

// The groups of options that parse_config adds up. What they are given outlives them.

namespace orderd::ops {

/// A number of seconds, from `least` to `most`.
void add_seconds(CLI::App& app, const std::string& name, const std::string& variable,
                 const std::string& description, double least, double most,
                 std::chrono::milliseconds& time);

class GatewayOptions {
 public:
  GatewayOptions(CLI::App& app, Config& config);
  /// After parsing. Throws CLI::ParseError.
  void apply();

 private:
  Config& config_;
  std::vector<std::string> accounts_;
};

class MailOptions {
 public:
  MailOptions(CLI::App& app, Config& config);
  /// After parsing: what belongs together is there. Throws CLI::ParseError.
  void apply() const;

 private:
  MailConfig& mail_;
};

class AccessOptions {
 public:
  AccessOptions(CLI::App& app, Config& config);

 private:
  AccessConfig& access_;
};

class TlsOptions {
 public:
  TlsOptions(CLI::App& app, Config& config);
  /// As above.
  void apply() const;

 private:
  TlsConfig& tls_;
};

}  // namespace orderd::ops
