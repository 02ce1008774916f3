#include "server/ops/check_config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>

#include "server/ops/access.h"
#include "server/ops/gateways.h"
#include "server/ops/mail.h"
#include "storage/database.h"

namespace orderd::ops {
namespace {

constexpr int kExitMistake = 2;

void print(const Config& config) {
  std::size_t widest = 0;
  for (const Setting& setting : config.settings) widest = std::max(widest, setting.name.size());
  for (const Setting& setting : config.settings) {
    std::printf("%-*s = \"%s\"  # %s\n", static_cast<int>(widest), setting.name.c_str(),
                shown(setting).c_str(), setting.source.c_str());
  }
}

void check_database(const Config& config) {
  const storage::Database database = storage::parse_url(database_url(config));
  if (!database.path.empty()) check_file_place(database.path);
}

}  // namespace

void check_file_place(const std::string& path) {
  const auto folder = std::filesystem::absolute(path).parent_path();
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw std::runtime_error("the folder " + folder.string() +
                             " is not there, or orderd may not write to it");
  }
  if (std::filesystem::exists(path) && ::access(path.c_str(), R_OK | W_OK) != 0) {
    throw std::runtime_error("orderd may not read and write the file " + path);
  }
}

int check_config(const Config& config) {
  print(config);
  int exit_code = 0;
  const auto check = [&](const char* what, const std::function<void()>& part) {
    try {
      part();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "orderd: %s%s\n", what, error.what());
      exit_code = kExitMistake;
    }
  };
  check("can't use the database: ", [&] { check_database(config); });
  for (const GatewayAccount& account : config.gateways) {
    check("", [&] { check_gateway(config, account); });
  }
  check("", [&] { Mail mail(config.mail); });
  check("", [&] { check_admin_key(config.access); });
  check("", [&] { check_tls(config.tls); });
  if (!config.access.audit_log.empty()) {
    check("can't write the audit log: ", [&] { check_file_place(config.access.audit_log); });
  }
  return exit_code;
}

}  // namespace orderd::ops
