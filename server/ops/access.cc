#include "server/ops/access.h"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "server/access/key_token.h"
#include "server/orders/text.h"
#include "server/rpc/authenticator.h"
#include "server/rpc/tls_credentials.h"
#include "storage/wall_clock.h"

namespace orderd::ops {
namespace {

constexpr std::string_view kVariable = "env:";
constexpr std::size_t kMinAdminKey = 32;
constexpr std::chrono::seconds kWatchFiles{1};
constexpr std::chrono::minutes kWriteUses{1};

bool has_credentials(const AccessConfig& access, const TlsConfig& tls) {
  return !access.admin_key_file.empty() || !tls.client_ca.empty();
}

std::string file_of(const std::string& location) {
  return location.starts_with(kVariable) ? std::string() : location;
}

/// Throws std::runtime_error.
std::string read_admin_key(const std::string& location) {
  const std::string file = file_of(location);
  std::string text;
  std::string what;
  if (file.empty()) {
    const std::string variable = location.substr(kVariable.size());
    const char* value = std::getenv(variable.c_str());
    if (value != nullptr) text = value;
    what = "the environment variable " + variable;
  } else {
    text = access::read_file(file);
    what = "the file " + file;
  }
  const std::string_view key = rules::trimmed(text);
  if (key.size() < kMinAdminKey) {
    throw std::runtime_error(what + " has no admin key of at least " +
                             std::to_string(kMinAdminKey) +
                             " characters; `openssl rand -hex 32` makes one");
  }
  return access::secret_hash(key);
}

}  // namespace

void check_admin_key(const AccessConfig& access) {
  if (!access.admin_key_file.empty()) read_admin_key(access.admin_key_file);
}

void check_tls(const TlsConfig& tls) {
  if (!tls.certificate.empty()) {
    access::TlsStore({tls.certificate, tls.key, tls.client_ca});
  }
  if (!tls.client_ca.empty()) {
    access::ClientCertificates({tls.client_ca, tls.client_roles, tls.client_crl});
  }
}

Access::Access(const Config& config, storage::Storage& storage)
    : config_(config),
      storage_(storage),
      keyring_(is_loopback(config.listen) && !has_credentials(config.access, config.tls),
               wall_clock),
      keys_(storage, keyring_, wall_clock),
      admin_key_stamp_({file_of(config.access.admin_key_file)}) {
  if (!config.access.admin_key_file.empty()) {
    admin_key_stamp_.changed();
    keyring_.set_admin_key(read_admin_key(config.access.admin_key_file));
  }
  const TlsConfig& tls = config.tls;
  if (!tls.certificate.empty()) {
    tls_.emplace(access::TlsFiles{tls.certificate, tls.key, tls.client_ca});
  }
  if (!tls.client_ca.empty()) {
    certificates_.emplace(
        access::ClientCertificates::Files{tls.client_ca, tls.client_roles, tls.client_crl});
  }
  if (!config.access.audit_log.empty()) audit_log_.emplace(config.access.audit_log);
}

Access::~Access() { stop(); }

std::string Access::objection() const {
  if (is_loopback(config_.listen) || keyring_.has_keys() ||
      has_credentials(config_.access, config_.tls)) {
    return {};
  }
  return "can't listen on " + config_.listen +
         ": it can be reached from other machines, and callers would need no credential. Listen on "
         "127.0.0.1 and make a key (orderctl keys create --name NAME --role admin), or give "
         "--admin-key-file or --tls-client-ca";
}

std::string Access::summary() const {
  if (keyring_.open()) {
    return "everybody on this machine may do everything, nobody else can connect";
  }
  std::string who =
      certificates_ ? "callers need an API key or a client certificate" : "callers need an API key";
  return tls_ ? who + ", over TLS" : who;
}

rpc::Entrance Access::entrance() {
  if (!tls_ && !is_loopback(config_.listen)) {
    spdlog::warn(
        "connections are not encrypted: whoever reads the network reads keys and orders; "
        "--tls-cert and --tls-key encrypt them");
  }
  rpc::Entrance entrance;
  if (tls_) entrance.credentials = rpc::tls_credentials(*tls_);
  entrance.authenticator = std::make_unique<rpc::AccessAuthenticator>(
      keyring_, certificates_ ? &*certificates_ : nullptr);
  if (audit_log_) {
    entrance.audit = [this](const rpc::AuditRecord& record) { audit_log_->write(record); };
  }
  return entrance;
}

void Access::start() {
  watching_files_.emplace(kWatchFiles, [this](const auto&) { refresh_files(); });
  writing_uses_.emplace(kWriteUses, [this](const auto&) { write_uses(); });
}

void Access::reload() {
  refresh_files();
  if (!audit_log_) return;
  try {
    audit_log_->reopen();
  } catch (const std::runtime_error& error) {
    spdlog::error("{}; it goes on in the old file", error.what());
  }
}

void Access::stop() {
  watching_files_.reset();
  writing_uses_.reset();
  keys_.stop();
}

void Access::refresh_files() {
  std::lock_guard lock(files_mutex_);
  if (tls_) tls_->refresh();
  if (certificates_) certificates_->refresh();
  if (!file_of(config_.access.admin_key_file).empty() && admin_key_stamp_.changed()) {
    try {
      keyring_.set_admin_key(read_admin_key(config_.access.admin_key_file));
      spdlog::info("the admin key is read again");
    } catch (const std::runtime_error& error) {
      spdlog::error("the admin key stays as it was, since {}", error.what());
    }
  }
}

void Access::write_uses() {
  try {
    storage_.record_api_key_uses(keyring_.take_uses());
  } catch (const storage::Error& error) {
    spdlog::warn("when keys were last used can't be written: {}", error.what());
  }
}

}  // namespace orderd::ops
