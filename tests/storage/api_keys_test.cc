#include "tests/support/storage_test.h"

// API keys as rows.

namespace orderd::test {
namespace {

using storage::ApiKeyRow;
using testing::ElementsAre;

class ApiKeyRowsTest : public StorageTest {
 protected:
  static ApiKeyRow rich_key(const std::string& id, Micros create_time) {
    ApiKeyRow row;
    row.key.set_key_id(id);
    row.key.set_name("it's \\ a: \"name\"? --");
    row.key.set_role(pb::ROLE_FINANCE);
    row.key.set_created_by("cert:spiffe://example.org/a b");
    *row.key.mutable_create_time() = storage::to_timestamp(create_time);
    *row.key.mutable_expire_time() = storage::to_timestamp(create_time + 1);
    row.secret_hash = std::string("\0\xff':\\\"?", 7) + std::string(25, 'x');
    return row;
  }
  void add(const ApiKeyRow& row) {
    auto tx = begin_write();
    tx->lock_api_keys();
    tx->add_api_key(row);
    tx->commit();
  }
  std::vector<std::string> page(const std::optional<storage::ApiKeyKeyset>& after, int limit) {
    std::vector<std::string> ids;
    for (const auto& key : begin_read()->list_api_keys(after, limit)) ids.push_back(key.key_id());
    return ids;
  }
};
ORDERD_ON_BOTH_DATABASES(ApiKeyRowsTest);

TEST_P(ApiKeyRowsTest, ARowComesBackAsItWent) {
  EXPECT_EQ(begin_read()->api_keys_version(), 0);
  EXPECT_TRUE(begin_read()->load_api_keys(0).empty());
  const ApiKeyRow row = rich_key("a1", 1'700'000'000'000'001);
  add(row);
  EXPECT_EQ(begin_read()->api_keys_version(), 1);
  const auto rows = begin_read()->load_api_keys(0);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(same(rows[0].key, row.key));
  EXPECT_EQ(rows[0].secret_hash, row.secret_hash);
  EXPECT_EQ(begin_write()->find_api_key("a1")->secret_hash, row.secret_hash);
  EXPECT_FALSE(begin_write()->find_api_key("a2"));
  EXPECT_STORAGE_ERROR(add(row), kDuplicate);
  EXPECT_EQ(begin_read()->api_keys_version(), 1);
}

TEST_P(ApiKeyRowsTest, RevokedOnesAreKeptAndNotCounted) {
  add(rich_key("a1", 10));
  add(rich_key("a2", 20));
  EXPECT_EQ(begin_write()->count_api_keys(), 2);
  auto tx = begin_write();
  tx->lock_api_keys();
  tx->revoke_api_key("a1", 500, "me");
  EXPECT_EQ(tx->find_api_key("a1")->key.revoked_by(), "me");
  tx->commit();
  tx.reset();
  EXPECT_EQ(begin_read()->api_keys_version(), 3);
  EXPECT_EQ(begin_write()->count_api_keys(), 1);
  EXPECT_EQ(begin_read()->load_api_keys(500).size(), 2u);
  const auto rows = begin_read()->load_api_keys(501);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].key.key_id(), "a2");
  EXPECT_THAT(page(std::nullopt, 10), ElementsAre("a1", "a2"));
}

TEST_P(ApiKeyRowsTest, PagesGoByTimeThenId) {
  for (const auto& [id, time] : std::initializer_list<std::pair<const char*, Micros>>{
           {"c", 10}, {"a", 20}, {"b", 20}, {"d", 5}}) {
    add(rich_key(id, time));
  }
  EXPECT_THAT(page(std::nullopt, 10), ElementsAre("d", "c", "a", "b"));
  EXPECT_THAT(page(std::nullopt, 3), ElementsAre("d", "c", "a"));
  EXPECT_THAT(page(storage::ApiKeyKeyset{20, "a"}, 3), ElementsAre("b"));
  EXPECT_THAT(page(storage::ApiKeyKeyset{10, "c"}, 1), ElementsAre("a"));
}

TEST_P(ApiKeyRowsTest, UsesOnlyGoForward) {
  add(rich_key("a1", 10));
  const storage::ApiKeyUse uses[] = {{"a1", 100}, {"unknown", 100}};
  storage_->record_api_key_uses(uses);
  const storage::ApiKeyUse earlier[] = {{"a1", 99}};
  storage_->record_api_key_uses(earlier);
  const auto keys = begin_read()->list_api_keys(std::nullopt, 10);
  EXPECT_EQ(storage::to_micros(keys.at(0).last_use_time()), 100);
  EXPECT_EQ(begin_read()->api_keys_version(), 1);
}

}  // namespace
}  // namespace orderd::test
