#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "storage/storage.h"

namespace orderd::test {

enum class Backend { kSqlite, kMariadb };

/// A MariaDB server that tests may use: the one of ORDERD_TEST_MYSQL, a URL without a database such
/// as mysql://root@localhost/?socket=/tmp/x.sock, or else one that this process starts when it is
/// first asked for, and that ends with it.
class MariadbServer {
 public:
  /// Starts it if need be. Throws std::runtime_error if that fails.
  static MariadbServer& get();
  /// One more, for a test that kills it. Call on the main thread.
  static std::unique_ptr<MariadbServer> start_own();

  /// The URL of a database on this server, through its socket.
  std::string url(const std::string& database) const;
  /// Where it listens on TCP, for tests that put something in between. Connect as `user()` without
  /// a password.
  const std::string& host() const { return host_; }
  int port() const { return port_; }
  const std::string& user() const { return user_; }

  /// SIGKILL; and again, on the same data. Only for a server that `start_own` started.
  void kill();
  void start();

  /// Runs a statement outside of any database's storage.
  void execute(const std::string& sql) const;
  /// Runs a statement, answers the first column of the first row, or "".
  std::string query(const std::string& sql) const;

  ~MariadbServer();

 private:
  MariadbServer() = default;
  void install();
  void parse(const std::string& url);
  std::string connect_string() const;

  std::string host_ = "127.0.0.1";
  int port_ = 0;
  std::string user_ = "root";
  std::string password_;
  std::string socket_;
  std::string directory_;
  int pid_ = 0;
};

/// A fresh, empty database, removed with the object. Close every Storage on it first.
class TestDatabase {
 public:
  static TestDatabase sqlite();
  static TestDatabase mariadb();
  static TestDatabase create(Backend backend) {
    return backend == Backend::kSqlite ? sqlite() : mariadb();
  }

  TestDatabase(TestDatabase&& other) noexcept;
  TestDatabase& operator=(TestDatabase&&) = delete;
  ~TestDatabase();

  const std::string& url() const { return url_; }
  /// The same database through TCP, on this port; MariaDB only.
  std::string tcp_url(int port) const;
  /// MariaDB: the database's name. SQLite: the file.
  const std::string& name() const { return name_; }
  Backend backend() const { return backend_; }

 private:
  TestDatabase() = default;

  Backend backend_ = Backend::kSqlite;
  std::string url_;
  std::string name_;
  std::string directory_;
};

/// Runs each test on both databases:
///   class MyTest : public test::DatabaseTest {};
///   ORDERD_ON_BOTH_DATABASES(MyTest);
///   TEST_P(MyTest, Does) { auto storage = storage::open(url(), {}); … }
class DatabaseTest : public testing::TestWithParam<Backend> {
 protected:
  const std::string& url() const { return database_.url(); }
  Backend backend() const { return GetParam(); }

  TestDatabase database_ = TestDatabase::create(GetParam());
};

std::string backend_name(const testing::TestParamInfo<Backend>& info);

#define ORDERD_ON_BOTH_DATABASES(fixture)                                                   \
  INSTANTIATE_TEST_SUITE_P(                                                                 \
      , fixture,                                                                            \
      testing::Values(::orderd::test::Backend::kSqlite, ::orderd::test::Backend::kMariadb), \
      ::orderd::test::backend_name)

}  // namespace orderd::test
