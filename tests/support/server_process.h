#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace orderd::test {

/// A running orderd, started from its binary. It is killed with this object at the latest, and also
/// if the test dies.
///
/// What it writes to standard error goes to a file, which is shown if the test has failed by the
/// time the object goes. Not thread-safe; make it on the main thread, since the process is killed
/// when the thread ends that started it.
class ServerProcess {
 public:
  /// The server ended instead of serving.
  struct StartFailed : std::runtime_error {
    StartFailed(int code, const std::string& text)
        : std::runtime_error("orderd ended with " + std::to_string(code) + ": " + text),
          exit_code(code),
          standard_error(text) {}
    int exit_code;
    std::string standard_error;
  };

  struct Options {
    std::string listen = "127.0.0.1:0";
    std::vector<std::string> more_arguments = {};
    /// Empty: as the configuration file says.
    std::string log_level = "warn";
    /// NAME=VALUE, beside what this process has.
    std::vector<std::string> environment = {};
    /// Another build of it.
    std::string binary = {};
  };

  /// Returns when the server serves. Throws StartFailed.
  explicit ServerProcess(const std::string& database_url)
      : ServerProcess(database_url, Options()) {}
  ServerProcess(const std::string& database_url, const Options& options);
  ServerProcess(ServerProcess&& other) noexcept;
  /// Kills the server that was held.
  ServerProcess& operator=(ServerProcess&& other) noexcept;
  ~ServerProcess();

  /// HOST:PORT, as the server announced it.
  const std::string& address() const { return address_; }

  void send(int signal) const;
  /// Waits for the end of the process: its exit code, or minus the signal that ended it. A process
  /// that does not end within a minute is killed, and the test fails.
  int wait();
  /// SIGTERM, and `wait`.
  int terminate();
  /// SIGKILL, and waits.
  void kill();

  std::string standard_error() const;

 private:
  void read_address(int fd);

  pid_t pid_ = 0;  // 0: has ended
  std::string directory_;
  std::string address_;
};

/// Keeps the kernel from giving a free port to anybody, while servers can be told to listen on it,
/// one after the other: so a server comes back under the address that its clients know.
class ReservedPort {
 public:
  ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;
  ~ReservedPort();

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_ = -1;
  int port_ = 0;
};

}  // namespace orderd::test
