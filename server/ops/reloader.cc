#include "server/ops/reloader.h"

#include <spdlog/spdlog.h>

#include <stdexcept>
#include <utility>

namespace orderd::ops {

void Reloader::add(const std::vector<std::string>& options,
                   std::function<void(const Config&)> take) {
  std::lock_guard lock(mutex_);
  taken_.insert(options.begin(), options.end());
  takers_.push_back(std::move(take));
}

void Reloader::reload() {
  std::lock_guard lock(mutex_);
  std::string mistake;
  const auto fresh = parse_config_again(argc_, argv_, mistake);
  if (!fresh) {
    spdlog::error("the configuration is not read again, the old one stays: {}", mistake);
    return;
  }
  for (const auto& take : takers_) {
    try {
      take(*fresh);
    } catch (const std::runtime_error& error) {
      spdlog::error("a part of the configuration stays as it was: {}", error.what());
    }
  }
  std::string waiting;
  for (std::size_t i = 0; i < current_.size(); ++i) {
    const Setting& setting = fresh->settings[i];
    if (setting.value == current_[i].value || taken_.contains(setting.name)) continue;
    waiting += (waiting.empty() ? "--" : ", --") + setting.name;
  }
  if (!waiting.empty()) spdlog::warn("{}: changed, but that needs a restart", waiting);
  spdlog::info("the configuration has been read again");
}

}  // namespace orderd::ops
