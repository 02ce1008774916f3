#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "server/access/files.h"

namespace orderd::access {

struct TlsFiles {
  /// The server's certificate, with those between it and its CA behind it, and its private key.
  /// PEM.
  std::string certificate;
  std::string key;
  /// Whose client certificates are good; empty: clients are not asked for one.
  std::string client_ca;
};

/// What the files hold, in PEM; the certificate is of now and fits the key.
struct TlsMaterial {
  std::string certificate;
  std::string key;
  std::string client_ca;
};

/// Keeps what TLS connections are made with. Files that don't fit together, as they may for a
/// moment while they are replaced, leave what was. Thread-safe.
class TlsStore {
 public:
  /// Throws std::runtime_error, which says what is wrong with which file.
  explicit TlsStore(TlsFiles files);

  /// Reads the files again if they have changed. Logs what came of it.
  void refresh();

  /// Another object after each change.
  std::shared_ptr<const TlsMaterial> get() const;
  bool asks_clients() const { return !files_.client_ca.empty(); }

 private:
  const TlsFiles files_;
  FileStamps stamps_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const TlsMaterial> material_;
};

}  // namespace orderd::access
