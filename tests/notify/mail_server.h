#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace orderd::test {

/// tests/notify/smtp_server.py in a process of its own, on a free port of 127.0.0.1.
class MailServer {
 public:
  /// As its command line, without the directory.
  explicit MailServer(const std::vector<std::string>& options = {});
  ~MailServer();
  MailServer(const MailServer&) = delete;
  MailServer& operator=(const MailServer&) = delete;

  /// `scheme`://127.0.0.1:PORT
  std::string url(const std::string& scheme = "smtp") const;
  /// What it has accepted, in that order; see smtp_server.py.
  std::vector<nlohmann::json> messages() const;
  /// How many connections it has had.
  int connections() const;

 private:
  std::string directory_;
  pid_t pid_ = 0;
  int input_ = -1;
  int port_ = 0;
};

/// What parse_mail.py reads in these messages.
std::vector<nlohmann::json> parse_mails(const std::vector<std::string>& messages);

}  // namespace orderd::test
