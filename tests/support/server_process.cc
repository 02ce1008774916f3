#include "tests/support/server_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

namespace orderd::test {
namespace {

constexpr std::chrono::seconds kPatience{60};

/// Whether the descriptor becomes readable in time; for a pidfd: whether the process ends.
bool wait_readable(int fd, std::chrono::milliseconds time) {
  pollfd poll_fd{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&poll_fd, 1, static_cast<int>(time.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

ServerProcess::ServerProcess(const std::string& database_url, const Options& options) {
  directory_ = (std::filesystem::temp_directory_path() / "orderd-server-XXXXXX").string();
  if (::mkdtemp(directory_.data()) == nullptr) throw std::runtime_error("no temporary directory");

  // All is made ready before the fork: afterwards a copy of one thread of many must not allocate.
  std::vector<std::string> arguments{options.binary.empty() ? ORDERD_BINARY : options.binary,
                                     "--listen", options.listen};
  if (!options.log_level.empty()) {
    arguments.insert(arguments.end(), {"--log-level", options.log_level});
  }
  arguments.insert(arguments.end(), options.more_arguments.begin(), options.more_arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<std::string> added = options.environment;
  // It may hold a password.
  added.push_back("ORDERD_DATABASE=" + database_url);
  std::vector<char*> environment;
  for (std::string& variable : added) environment.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  const std::string log = directory_ + "/stderr";
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
    ::dup2(out[1], 1);
    ::dup2(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644), 2);
    // Sockets of this process that a child holds, too, don't close when this process closes them.
    ::close_range(3, ~0U, 0);
    ::execve(argv[0], argv.data(), environment.data());
    ::_exit(127);
  }
  ::close(out[1]);
  read_address(out[0]);
  ::close(out[0]);
  if (address_.empty()) {
    const int exit_code = wait();
    const std::string text = standard_error();
    std::filesystem::remove_all(directory_);
    throw StartFailed(exit_code, text);
  }
}

void ServerProcess::read_address(int fd) {
  std::string output;
  while (output.find('\n') == std::string::npos) {
    char buffer[256];
    if (!wait_readable(fd, kPatience)) return kill();
    const ssize_t size = ::read(fd, buffer, sizeof buffer);
    if (size <= 0) return;
    output.append(buffer, static_cast<std::size_t>(size));
  }
  const std::string before = "orderd listening on ";
  if (!output.starts_with(before)) return kill();
  address_ = output.substr(before.size(), output.find('\n') - before.size());
}

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      directory_(std::exchange(other.directory_, {})),
      address_(std::move(other.address_)) {}

ServerProcess& ServerProcess::operator=(ServerProcess&& other) noexcept {
  ServerProcess old(std::move(*this));
  pid_ = std::exchange(other.pid_, 0);
  directory_ = std::exchange(other.directory_, {});
  address_ = std::move(other.address_);
  return *this;
}

ServerProcess::~ServerProcess() {
  kill();
  if (directory_.empty()) return;
  if (testing::Test::HasFailure()) {
    std::string text = standard_error();
    if (text.size() > 4000) text = "…" + text.substr(text.size() - 4000);
    std::printf("orderd at %s wrote:\n%s\n", address_.c_str(), text.c_str());
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void ServerProcess::send(int signal) const {
  if (pid_ != 0) ::kill(pid_, signal);
}

int ServerProcess::wait() {
  if (pid_ == 0) return -SIGKILL;
  // (glibc 2.36 declares pidfd_open for C only.)
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (!wait_readable(fd, kPatience)) {
    ADD_FAILURE() << "orderd at " << address_ << " does not end and is killed";
    ::kill(pid_, SIGKILL);
  }
  ::close(fd);
  int status = 0;
  ::waitpid(std::exchange(pid_, 0), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int ServerProcess::terminate() {
  send(SIGTERM);
  return wait();
}

void ServerProcess::kill() {
  if (pid_ == 0) return;
  send(SIGKILL);
  wait();
}

std::string ServerProcess::standard_error() const {
  std::ifstream file(directory_ + "/stderr");
  return {std::istreambuf_iterator<char>(file), {}};
}

ReservedPort::ReservedPort() {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  // Linux lets a second socket bind, and listen, if both allow it and the first does not listen.
  if (fd_ < 0 || ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no port can be reserved");
  }
  port_ = ntohs(address.sin_port);
}

ReservedPort::~ReservedPort() { ::close(fd_); }

}  // namespace orderd::test
