#include "storage/database.h"
#include "storage/sql.h"
#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

using storage::Blob;
using storage::Dialect;
using storage::parse_url;
using storage::Sql;
using storage::Text;

TEST(DatabaseUrl, OfSqlite) {
  const auto database = parse_url("sqlite:/var/lib/a b.db");
  EXPECT_EQ(database.dialect, Dialect::kSqlite);
  EXPECT_EQ(database.path, "/var/lib/a b.db");
}

TEST(DatabaseUrl, OfMysql) {
  auto database = parse_url("mysql://us%40er:p%3a%2f'@db.example:3307/shop");
  EXPECT_EQ(database.dialect, Dialect::kMysql);
  EXPECT_EQ(database.user, "us@er");
  EXPECT_EQ(database.password, "p:/'");
  EXPECT_EQ(database.host, "db.example");
  EXPECT_EQ(database.port, "3307");
  EXPECT_EQ(database.name, "shop");
  EXPECT_EQ(database.socket, "");
  database = parse_url("mysql://root@localhost/shop?socket=/run/my.sock");
  EXPECT_EQ(database.password, "");
  EXPECT_EQ(database.port, "");
  EXPECT_EQ(database.socket, "/run/my.sock");
}

TEST(DatabaseUrl, ThatCannotBeRead) {
  for (const char* url :
       {"", "sqlite:", "sqlite::memory:", "sqlite:a\"b", "postgres://a@b/c", "mysql://",
        "mysql://host/db", "mysql://u@host", "mysql://u@host/", "mysql://@host/db",
        "mysql://u@host:0/db", "mysql://u@host:99999/db", "mysql://u@host:x/db", "mysql://u@/db",
        "mysql://u@host/db?sock=/x", "mysql://u@host/db?socket=", "mysql://u%4@host/db",
        "mysql://secret%zz@host/db", "mysql://u%00@host/db"}) {
    try {
      parse_url(url);
      ADD_FAILURE() << url;
    } catch (const storage::Error& error) {
      EXPECT_EQ(error.kind(), storage::Error::Kind::kInternal);
      EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
    }
  }
}

TEST(DatabaseUrl, OfADatabaseThatIsNotThere) {
  MariadbServer& server = MariadbServer::get();
  EXPECT_STORAGE_ERROR(storage::open(server.url("no_such_database"), {}), kSchema);
  EXPECT_STORAGE_ERROR(storage::open("mysql://root@127.0.0.1:1/x", {}), kUnavailable);
  server.execute("CREATE DATABASE IF NOT EXISTS there");
  EXPECT_STORAGE_ERROR(
      storage::open("mysql://root:wrong@127.0.0.1:" + std::to_string(server.port()) + "/there", {}),
      kInternal);
  EXPECT_STORAGE_ERROR(storage::open("sqlite:/no/such/folder/orders.db", {}), kInternal);
}

TEST(SqlText, WritesValuesAsLiterals) {
  const std::string nasty = "a'b:c\\d?\xf0\x9f\x98\x80";
  Sql sqlite(Dialect::kSqlite);
  sqlite.list(1, INT64_MIN, Blob{std::string_view("\0'", 2)}, Text{"plain text"}, Text{nasty});
  EXPECT_EQ(
      sqlite.text(),
      "1,-9223372036854775808,x'0027','plain text',CAST(x'6127623a635c643ff09f9880' AS TEXT)");
  Sql mysql(Dialect::kMysql);
  mysql.list(Blob{""}, Text{""}, Text{nasty});
  EXPECT_EQ(mysql.text(), "x'','',_utf8mb4 x'6127623a635c643ff09f9880'");
}

TEST(SqlText, NoCharacterOfATextEndsItsLiteral) {
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    Sql sql(Dialect::kMysql);
    sql << Text{text};
    EXPECT_EQ(std::ranges::count(sql.text(), '\''), 2) << c;
    EXPECT_EQ(sql.text().find_first_of(":\\?\""), std::string::npos) << c;
  }
}

}  // namespace
}  // namespace orderd::test
