#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "server/access/client_certificates.h"
#include "server/access/key_editor.h"
#include "server/access/keyring.h"
#include "server/access/tls_store.h"
#include "server/ops/audit_log.h"
#include "server/ops/background.h"
#include "server/ops/config.h"
#include "server/rpc/server.h"
#include "storage/storage.h"

namespace orderd::ops {

/// Whether the files can be used; creates nothing. Throw std::runtime_error, which says what to do.
void check_admin_key(const AccessConfig& access);
void check_tls(const TlsConfig& tls);

/// Who may reach the server and what they may do, as the configuration says.
class Access {
 public:
  /// Throws std::runtime_error, which says what to do, if a file can't be used.
  Access(const Config& config, storage::Storage& storage);
  ~Access();

  access::KeyEditor& keys() { return keys_; }

  /// Reads the keys if they have changed. To be called about twice a second.
  void refresh(storage::ReadTransaction& tx) { keyring_.refresh(tx); }

  /// After a `refresh`: why the server must not listen where it is told to; empty if it may.
  std::string objection() const;
  /// In a few words, who is let in.
  std::string summary() const;

  /// For the server, which ends before this.
  rpc::Entrance entrance();

  /// Keeps an eye on the files, and writes when keys were used.
  void start();
  /// Reads the files again if they have changed, and reopens the audit log.
  void reload();
  /// When the server has ended.
  void stop();

 private:
  void refresh_files();
  void write_uses();

  const Config config_;
  storage::Storage& storage_;
  access::Keyring keyring_;
  access::KeyEditor keys_;
  std::mutex files_mutex_;  // one reads the files at a time
  access::FileStamps admin_key_stamp_;
  std::optional<access::TlsStore> tls_;
  std::optional<access::ClientCertificates> certificates_;
  std::optional<AuditLog> audit_log_;
  std::optional<Background> watching_files_;
  std::optional<Background> writing_uses_;
};

}  // namespace orderd::ops
