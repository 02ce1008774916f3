#include "tests/support/test_database.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <soci/mysql/soci-mysql.h>
#include <soci/soci.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace orderd::test {
namespace {

std::string random_name() {
  static std::random_device device;
  static const char digits[] = "0123456789abcdef";
  std::string name;
  for (int i = 0; i < 16; ++i) name += digits[device() % 16];
  return name;
}

std::string make_directory(const char* kind) {
  std::string path = (std::filesystem::temp_directory_path() / kind).string() + "-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary directory");
  return path;
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

/// Starts a program whose output goes to a file. It is killed if this process dies.
pid_t spawn(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  return pid;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Debian has the server's programs in a folder that is in root's PATH only.
std::string program(const char* name) {
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/bin/"}) {
    if (::access((std::string(folder) + name).c_str(), X_OK) == 0)
      return folder + std::string(name);
  }
  return name;
}

}  // namespace

MariadbServer& MariadbServer::get() {
  static const std::unique_ptr<MariadbServer> server = [] {
    const char* url = std::getenv("ORDERD_TEST_MYSQL");
    if (url == nullptr || *url == '\0') return start_own();
    auto given = std::unique_ptr<MariadbServer>(new MariadbServer);
    given->parse(url);
    return given;
  }();
  return *server;
}

std::unique_ptr<MariadbServer> MariadbServer::start_own() {
  auto server = std::unique_ptr<MariadbServer>(new MariadbServer);
  server->install();
  server->start();
  return server;
}

void MariadbServer::parse(const std::string& url) {
  // The product's own reader wants a database; any name will do here.
  const std::string scheme = "mysql://";
  const auto at = url.find('@');
  const auto slash = url.find('/', scheme.size());
  if (!url.starts_with(scheme) || at == std::string::npos || slash == std::string::npos ||
      slash < at) {
    throw std::runtime_error("ORDERD_TEST_MYSQL must be mysql://USER[:PASSWORD]@HOST[:PORT]/");
  }
  const std::string login = url.substr(scheme.size(), at - scheme.size());
  const std::string place = url.substr(at + 1, slash - at - 1);
  user_ = login.substr(0, login.find(':'));
  if (login.find(':') != std::string::npos) password_ = login.substr(login.find(':') + 1);
  host_ = place.substr(0, place.find(':'));
  if (place.find(':') != std::string::npos) port_ = std::stoi(place.substr(place.find(':') + 1));
  const auto socket = url.find("socket=");
  if (socket != std::string::npos) socket_ = url.substr(socket + 7);
  if (host_ == "localhost") host_ = "127.0.0.1";
  if (port_ == 0) port_ = std::stoi(query("SELECT @@port"));
}

void MariadbServer::install() {
  directory_ = make_directory("orderd-mariadb");
  const std::string log = directory_ + "/log";
  std::vector<std::string> install{program("mariadb-install-db"), "--no-defaults",
                                   "--auth-root-authentication-method=normal", "--skip-test-db",
                                   "--datadir=" + directory_ + "/data"};
  if (::geteuid() == 0) install.push_back("--user=root");
  int status = 0;
  const pid_t installer = spawn(install, log);
  if (::waitpid(installer, &status, 0) != installer || status != 0) {
    throw std::runtime_error("mariadb-install-db failed: " + read_file(log));
  }
  std::filesystem::create_directory(directory_ + "/tmp");
  socket_ = directory_ + "/s";
  port_ = free_port();
}

void MariadbServer::start() {
  const std::string log = directory_ + "/log";
  std::vector<std::string> server{program("mariadbd"), "--no-defaults",
                                  "--datadir=" + directory_ + "/data", "--socket=" + socket_,
                                  // Another server that starts clears the common one.
                                  "--tmpdir=" + directory_ + "/tmp",
                                  "--port=" + std::to_string(port_), "--bind-address=127.0.0.1",
                                  "--pid-file=" + directory_ + "/pid",
                                  "--innodb-flush-log-at-trx-commit=1",
                                  "--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M",
                                  "--skip-log-bin", "--skip-name-resolve", "--max-connections=500"};
  if (::geteuid() == 0) server.push_back("--user=root");
  pid_ = spawn(server, log);
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    try {
      query("SELECT 1");
      return;
    } catch (const soci::soci_error&) {
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = 0;
        throw std::runtime_error("mariadbd failed: " + read_file(log));
      }
      if (std::chrono::steady_clock::now() > deadline) {
        throw std::runtime_error("mariadbd does not start: " + read_file(log));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

void MariadbServer::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

MariadbServer::~MariadbServer() {
  kill();  // its data is thrown away: no need for a clean shutdown
  if (!directory_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
}

std::string MariadbServer::url(const std::string& database) const {
  const std::string login = "mysql://" + user_ + (password_.empty() ? "" : ":" + password_);
  if (socket_.empty()) return login + "@" + host_ + ":" + std::to_string(port_) + "/" + database;
  return login + "@localhost/" + database + "?socket=" + socket_;
}

std::string MariadbServer::connect_string() const {
  std::string text = "charset=utf8mb4 user='" + user_ + "'";
  if (!password_.empty()) text += " password='" + password_ + "'";
  if (!socket_.empty()) return text + " host=localhost unix_socket='" + socket_ + "'";
  return text + " host=" + host_ + " port=" + std::to_string(port_);
}

void MariadbServer::execute(const std::string& sql) const {
  soci::session session(soci::mysql, connect_string());
  session << sql;
}

std::string MariadbServer::query(const std::string& sql) const {
  soci::session session(soci::mysql, connect_string());
  std::string value;
  soci::indicator indicator = soci::i_ok;
  session << sql, soci::into(value, indicator);
  return indicator == soci::i_ok && session.got_data() ? value : std::string();
}

TestDatabase TestDatabase::sqlite() {
  TestDatabase database;
  database.backend_ = Backend::kSqlite;
  database.directory_ = make_directory("orderd-sqlite");
  database.name_ = database.directory_ + "/orders.db";
  database.url_ = "sqlite:" + database.name_;
  return database;
}

TestDatabase TestDatabase::mariadb() {
  MariadbServer& server = MariadbServer::get();
  TestDatabase database;
  database.backend_ = Backend::kMariadb;
  database.name_ = "t_" + random_name();
  server.execute("CREATE DATABASE " + database.name_ + " CHARACTER SET utf8mb4");
  database.url_ = server.url(database.name_);
  return database;
}

TestDatabase::TestDatabase(TestDatabase&& other) noexcept
    : backend_(other.backend_),
      url_(std::move(other.url_)),
      name_(std::exchange(other.name_, {})),
      directory_(std::exchange(other.directory_, {})) {}

TestDatabase::~TestDatabase() {
  if (name_.empty()) return;
  if (backend_ == Backend::kSqlite) {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
    return;
  }
  try {
    MariadbServer::get().execute("DROP DATABASE IF EXISTS " + name_);
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the test database could not be dropped: " << error.what();
  }
}

std::string TestDatabase::tcp_url(int port) const {
  return "mysql://" + MariadbServer::get().user() + "@127.0.0.1:" + std::to_string(port) + "/" +
         name_;
}

std::string backend_name(const testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::kSqlite ? "Sqlite" : "Mariadb";
}

}  // namespace orderd::test
