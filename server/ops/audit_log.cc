#include "server/ops/audit_log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "server/access/roles.h"

namespace orderd::ops {
namespace {

constexpr std::size_t kLines = 8192;

std::string to_json(const rpc::AuditRecord& record) {
  nlohmann::ordered_json line;
  line["decision"] = record.allowed ? "allow" : "deny";
  line["method"] = record.method;
  line["identity"] = record.caller.identity;
  line["role"] = access::role_name(record.caller.role);
  const auto add = [&line](const char* name, std::string_view value) {
    if (!value.empty()) line[name] = value;
  };
  if (record.code) add("code", absl::StatusCodeToString(*record.code));
  add("why", record.why_not);
  add("order_id", record.order_id);
  add("request_id", record.request_id);
  add("peer", record.peer);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

AuditLog::AuditLog(std::string path)
    : path_(std::move(path)),
      thread_(std::make_shared<spdlog::details::thread_pool>(kLines, 1)),
      logger_(open()) {}

AuditLog::~AuditLog() = default;

std::shared_ptr<spdlog::logger> AuditLog::open() const {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path_);
    auto logger = std::make_shared<spdlog::async_logger>("audit", std::move(sink), thread_,
                                                         spdlog::async_overflow_policy::block);
    // The line is an object without its first brace.
    logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ",%v)", spdlog::pattern_time_type::utc);
    logger->flush_on(spdlog::level::info);
    return logger;
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error("the audit log " + path_ + " can't be written: " + error.what());
  }
}

void AuditLog::write(const rpc::AuditRecord& record) {
  std::shared_ptr<spdlog::logger> logger;
  {
    std::lock_guard lock(mutex_);
    logger = logger_;
  }
  logger->info(to_json(record).substr(1));
}

void AuditLog::reopen() {
  auto fresh = open();
  std::lock_guard lock(mutex_);
  logger_ = std::move(fresh);
}

}  // namespace orderd::ops
