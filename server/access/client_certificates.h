#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "server/access/caller.h"
#include "server/access/files.h"

namespace orderd::access {

/// Who calls with a client certificate, and what they may do. A connection's certificate is
/// verified when it is made, by gRPC; here it is verified again from time to time, so that calls
/// end with it when it expires or is revoked. Thread-safe.
class ClientCertificates {
 public:
  struct Files {
    /// CAs, in PEM.
    std::string ca;
    /// Lines "IDENTITY ROLE"; '#' begins a comment.
    std::string roles;
    /// A revocation list of each CA that issues client certificates, in PEM; may be empty.
    std::string crl;
  };

  /// Throws std::runtime_error, which says what is wrong with which file.
  explicit ClientCertificates(Files files);
  ~ClientCertificates();

  /// Reads the files again if they have changed; ones with mistakes leave what was.
  void refresh();

  /// `chain`: PEM, the caller's own certificate first. Its identity is "cert:" and its first URI
  /// (SPIFFE), else its first DNS name, else its common name. A caller whom the roles don't name
  /// may do nothing.
  Identified identify(std::string_view chain) const;

 private:
  /// What the files hold, and what has been verified by it.
  struct Trust;
  static std::shared_ptr<Trust> load(const Files& files);

  const Files files_;
  FileStamps stamps_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<Trust> trust_;
};

/// "IDENTITY ROLE" lines. Throws std::runtime_error, which names the line; `what` names the text.
std::map<std::string, pb::Role, std::less<>> parse_client_roles(std::string_view text,
                                                                const std::string& what);

}  // namespace orderd::access
