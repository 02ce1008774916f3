#pragma once

#include <CLI/CLI.hpp>

#include <chrono>
#include <optional>
#include <set>
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

class LogOptions {
 public:
  LogOptions(CLI::App& app, LogConfig& log);
};

class MetricsOptions {
 public:
  MetricsOptions(CLI::App& app, MetricsConfig& metrics);
};

class MailOptions {
 public:
  MailOptions(CLI::App& app, Config& config);
  /// After parsing: what belongs together is there. Throws CLI::ParseError.
  void apply() const;

 private:
  MailConfig& mail_;
};

class LimitsOptions {
 public:
  LimitsOptions(CLI::App& app, LimitsConfig& limits);
  /// After parsing: what belongs together fits. Throws CLI::ParseError.
  void apply();

 private:
  LimitsConfig& limits_;
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

/// What can be said on the command line, in the environment and in the file.
class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App& app() { return app_; }
  /// Once. Throws CLI::ParseError.
  Config parse(int argc, const char* const* argv);

 private:
  class File;

  void add_process_options();
  void add_server_options();
  /// Those that are in no group yet.
  void group(const std::string& name);
  std::vector<Setting> settings(const std::vector<std::string>& arguments) const;

  Config config_;
  CLI::App app_;
  /// The options whose values come from the file.
  std::set<std::string> from_file_;
  std::optional<GatewayOptions> gateways_;
  std::optional<MailOptions> mail_;
  std::optional<LimitsOptions> limits_;
  std::optional<AccessOptions> access_;
  std::optional<TlsOptions> tls_;
};

}  // namespace orderd::ops
