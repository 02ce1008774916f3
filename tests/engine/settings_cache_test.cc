#include "server/engine/settings_cache.h"

#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"

namespace orderd::test {
namespace {

Settings settings_of(std::int64_t version, const std::string& state_id) {
  Settings settings;
  settings.version = version;
  settings.states[state_id].set_state_id(state_id);
  return settings;
}

TEST(SettingsCache, KeepsTheLaterVersionWhicheverComesFirst) {
  engine::SettingsCache cache(std::make_shared<const Settings>(settings_of(3, "three")));
  EXPECT_EQ(cache.get()->version, 3);
  cache.put(settings_of(2, "two"));
  EXPECT_NE(cache.get()->live_state("three"), nullptr);
  cache.put(settings_of(4, "four"));
  EXPECT_NE(cache.get()->live_state("four"), nullptr);
  EXPECT_EQ(cache.get()->live_state("three"), nullptr);
}

TEST(SettingsCache, AReaderKeepsWhatItGot) {
  engine::SettingsCache cache(std::make_shared<const Settings>(settings_of(1, "one")));
  const SettingsPtr held = cache.get();
  cache.put(settings_of(2, "two"));
  EXPECT_NE(held->live_state("one"), nullptr);
}

class SettingsCacheOnDatabase : public EngineTest {};

TEST_P(SettingsCacheOnDatabase, RefreshReadsThemOnlyIfTheyChanged) {
  std::atomic<int> statements{0};
  storage::Options options;
  options.on_statement = [&](std::string_view) { ++statements; };
  Server server(open(options));

  auto reads = server.storage->begin_read(storage::Clock::now() + kPatience);
  const SettingsPtr before = server.settings.get();
  statements = 0;
  server.settings.refresh(*reads);
  EXPECT_EQ(server.settings.get(), before);
  EXPECT_EQ(statements, 1);
  reads.reset();

  pb::OrderState state;
  state.set_state_id("packed");
  state.set_display_name("Packed");
  state.set_category(pb::STATE_CATEGORY_OPEN);
  change_settings(*server.storage, {state});

  reads = server.storage->begin_read(storage::Clock::now() + kPatience);
  server.settings.refresh(*reads);
  EXPECT_EQ(server.settings.get()->version, before->version + 1);
  ASSERT_NE(server.settings.get()->live_state("packed"), nullptr);
  EXPECT_EQ(server.settings.get()->live_state("packed")->display_name(), "Packed");
}

ORDERD_ON_BOTH_DATABASES(SettingsCacheOnDatabase);

}  // namespace
}  // namespace orderd::test
