#include <map>

#include "server/ops/options.h"

namespace orderd::ops {

LogOptions::LogOptions(CLI::App& app, LogConfig& log) {
  app.add_option("--log-level", log.level,
                 "What goes to standard error: debug adds each read, warn leaves out each change")
      ->envname("ORDERD_LOG_LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  const std::map<std::string, LogConfig::Format> formats = {{"text", LogConfig::Format::kText},
                                                            {"json", LogConfig::Format::kJson}};
  app.add_option_function<std::string>(
         "--log-format",
         [&log, formats](const std::string& name) { log.format = formats.at(name); },
         "text, or json for one object per line (docs/observability.md)")
      ->envname("ORDERD_LOG_FORMAT")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
}

}  // namespace orderd::ops
