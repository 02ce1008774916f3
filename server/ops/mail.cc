#include "server/ops/mail.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace orderd::ops {
namespace {

std::string read_password(const std::string& file) {
  std::string password = read_secret(file);
  if (password.empty()) {
    throw std::runtime_error(
        "can't log in to the mail server: the file or the environment variable of "
        "--smtp-password-file can't be read or is empty; put the password into it, and nothing "
        "else");
  }
  return password;
}

notify::SmtpOptions smtp_options(const MailConfig& config) {
  notify::SmtpOptions options;
  options.url = config.smtp_url;
  options.user = config.user;
  if (!config.user.empty()) options.password = read_password(config.password_file);
  options.tls = config.tls;
  options.ca_file = config.ca_file;
  options.from = config.from;
  return options;
}

}  // namespace

Mail::Mail(const MailConfig& config)
    : config_(config),
      mailing_{.configured = !config.smtp_url.empty(), .domain = notify::domain_of(config.from)} {
  if (!mailing_.configured) return;
  templates_.emplace(config.templates);
  smtp_.emplace(smtp_options(config));
}

void Mail::start(storage::Storage& storage, engine::Engine& engine) {
  if (!mailing_.configured) return;
  dispatcher_.emplace(storage, engine, *templates_, *smtp_, config_.from,
                      notify::Dispatcher::Options());
  sending_.emplace(config_.interval,
                   [this](const std::atomic<bool>& stopping) { dispatcher_->pass(stopping); });
}

}  // namespace orderd::ops
