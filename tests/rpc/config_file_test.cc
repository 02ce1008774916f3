#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "server/ops/check_config.h"
#include "server/ops/config.h"
#include "server/ops/options.h"

namespace orderd::ops {
namespace {

using testing::HasSubstr;
using testing::Not;

/// A file that goes with it.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    path_ = (std::filesystem::temp_directory_path() / "orderd-config-XXXXXX").string();
    const int fd = ::mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A variable of the environment for as long as it lives.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_.c_str()); }

 private:
  const std::string name_;
};

struct Parsed {
  std::optional<Config> config;
  int exit_code = 0;
  std::string error;
};

Parsed parse(std::vector<std::string> arguments) {
  std::vector<const char*> argv{"orderd"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Parsed parsed;
  testing::internal::CaptureStderr();
  parsed.config = parse_config(static_cast<int>(argv.size()), argv.data(), parsed.exit_code);
  parsed.error = testing::internal::GetCapturedStderr();
  return parsed;
}

Parsed parse_file(const std::string& text) {
  const TemporaryFile file(text);
  return parse({"--config", file.path()});
}

/// The value and the source of an option.
using ValueAndSource = std::pair<std::string, std::string>;
ValueAndSource in_force(const Config& config, const std::string& name) {
  for (const Setting& setting : config.settings) {
    if (setting.name == name) return {setting.value, setting.source};
  }
  return {};
}

/// The options that a file may set.
std::vector<std::string> all_options() {
  std::vector<std::string> names;
  CommandLine line;
  for (const CLI::Option* option : line.app().get_options()) {
    if (option->get_configurable()) names.push_back(option->get_single_name());
  }
  return names;
}

/// Whether the option takes the value, as far as it alone can tell.
bool takes(const std::string& name, const std::string& value) {
  CommandLine line;
  try {
    line.app().parse(std::vector<std::string>{"--" + name + "=" + value});
  } catch (const CLI::ParseError&) {
    return false;
  }
  return true;
}

/// Three values that the option takes.
std::vector<std::string> samples(const std::string& name) {
  const std::vector<std::vector<std::string>> kinds = {
      {"7", "8", "9"},
      {"0.7", "0.8", "0.9"},
      {"70", "80", "90"},
      {"7000", "8000", "9000"},
      {"100000", "200000", "300000"},
      {"true", "false", "true"},
      {"warn", "error", "debug"},
      {"required", "if-offered", "never"},
      {"127.0.0.1:7", "127.0.0.1:8", "127.0.0.1:9"},
      {"sqlite:7", "sqlite:8", "sqlite:9"},
      {"smtp://seven", "smtp://eight", "smtp://nine"},
      {"seven@a.example", "eight@a.example", "nine@a.example"},
      {"text", "json", "text"},
  };
  for (const auto& kind : kinds) {
    if (std::all_of(kind.begin(), kind.end(), [&](const auto& it) { return takes(name, it); })) {
      return kind;
    }
  }
  return {};
}

std::string variable_of(const std::string& name) {
  std::string variable = "ORDERD_";
  for (const char c : name) variable += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return variable;
}

TEST(ConfigFile, OfEveryOptionTheFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  const auto effective = [](const std::string& name, const std::vector<std::string>& arguments) {
    CommandLine line;
    // Options that need others are none of this.
    line.app().parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    const auto* option = line.app().get_option("--" + name);
    return option->count() == 0 ? "" : option->results().at(0);
  };
  int count = 0;
  for (const std::string& name : all_options()) {
    SCOPED_TRACE(name);
    const auto values = samples(name);
    ASSERT_EQ(values.size(), 3u) << "this test needs values for it: add them to samples()";
    const TemporaryFile file(name + " = \"" + values[2] + "\"\n");
    const std::string flag = "--" + name + "=" + values[0];
    EXPECT_EQ(effective(name, {}), "");
    EXPECT_EQ(effective(name, {"--config", file.path()}), values[2]);
    {
      const Variable variable(variable_of(name), values[1]);
      EXPECT_EQ(effective(name, {}), values[1]);
      EXPECT_EQ(effective(name, {"--config", file.path()}), values[1]);
      EXPECT_EQ(effective(name, {"--config", file.path(), flag}), values[0]);
    }
    EXPECT_EQ(effective(name, {"--config", file.path(), flag}), values[0]);
    ++count;
  }
  EXPECT_GT(count, 20);
}

TEST(ConfigFile, TellsTheSourceOfEachValue) {
  const TemporaryFile file("lanes = 2\ncache-mb = 5\nlisten = \"127.0.0.1:1\"\n");
  const Variable variable("ORDERD_CACHE_MB", "6");
  const Variable overruled("ORDERD_LISTEN", "127.0.0.1:2");
  const auto parsed = parse({"--config=" + file.path(), "--listen=127.0.0.1:3"});
  ASSERT_TRUE(parsed.config) << parsed.error;
  EXPECT_EQ(in_force(*parsed.config, "lanes"), ValueAndSource("2", "file"));
  EXPECT_EQ(in_force(*parsed.config, "cache-mb"), ValueAndSource("6", "environment"));
  EXPECT_EQ(in_force(*parsed.config, "listen"), ValueAndSource("127.0.0.1:3", "flag"));
  EXPECT_EQ(in_force(*parsed.config, "log-level"), ValueAndSource("info", "default"));
  EXPECT_EQ(in_force(*parsed.config, "drain-timeout"), ValueAndSource("10", "default"));
  EXPECT_EQ(parsed.config->lanes, 2);
  EXPECT_EQ(parsed.config->cache_mb, 6u);
}

TEST(ConfigFile, IsNamedByTheEnvironmentToo) {
  const TemporaryFile file("lanes = 2\n"), other("lanes = 3\n");
  const Variable variable("ORDERD_CONFIG", file.path());
  EXPECT_EQ(parse({}).config->lanes, 2);
  EXPECT_EQ(parse({"--config", other.path()}).config->lanes, 3);
  const Variable missing("ORDERD_CONFIG", "/no/such/file");
  const auto parsed = parse({});
  EXPECT_FALSE(parsed.config);
  EXPECT_EQ(parsed.exit_code, 2);
  EXPECT_THAT(parsed.error, HasSubstr("/no/such/file"));
}

TEST(ConfigFile, HoldsSeveralGatewaysAndTextsOfAllKinds) {
  for (const char* text : {"gateway = [\"a=sandbox:/x y,z\", \"b=stripe:/k\"]\n",
                           "gateway = \"a=sandbox:/x y,z\"\nlanes = 1\ngateway = \"b=stripe:/k\"\n",
                           "gateway = \"a=sandbox:/x y,z;b=stripe:/k\"  # two\n"}) {
    const auto parsed = parse_file(text);
    ASSERT_TRUE(parsed.config) << text << parsed.error;
    ASSERT_EQ(parsed.config->gateways.size(), 2u) << text;
    EXPECT_EQ(parsed.config->gateways[0].location, "/x y,z");
    EXPECT_EQ(parsed.config->gateways[1].name, "b");
  }
  const Variable variable("ORDERD_GATEWAY", "c=sandbox:/c;d=sandbox:/d");
  EXPECT_EQ(parse({}).config->gateways.size(), 2u);
  const auto mail = parse_file(
      "smtp = \"smtp://mail.example.com:587\"\nemail-from = \"The Shop <s@a.example>\"\n");
  ASSERT_TRUE(mail.config) << mail.error;
  EXPECT_EQ(mail.config->mail.from, "The Shop <s@a.example>");
}

TEST(ConfigFile, MistakesAreNamedWithTheirLine) {
  const std::vector<std::pair<const char*, std::vector<const char*>>> mistakes = {
      {"lanes = 1\n\nlannes = 2\n", {"line 3", "lannes"}},
      {"lanes = 0\n", {"lanes"}},
      {"lanes = 1\nlisten = \"127.0.0.1:1\"\nlanes = 2\n", {"lanes", "twice"}},
      {"[server]\nlanes = 1\n", {"line 1", "sections"}},
      {"config = \"x\"\n", {"line 1", "config"}},
      {"check-config = true\n", {"line 1", "check-config"}},
      {"help = true\n", {"line 1", "help"}},
      {"\ndatabase = \"mysql://u:secret#1@h/d\"\n", {"line 2", "#"}},
      {"gateway = \"shop=stripe:sk_live_secret\"\n", {"gateway"}},
  };
  for (const auto& [text, hints] : mistakes) {
    const auto parsed = parse_file(text);
    EXPECT_FALSE(parsed.config) << text;
    EXPECT_EQ(parsed.exit_code, 2) << text;
    for (const char* hint : hints) EXPECT_THAT(parsed.error, HasSubstr(hint)) << text;
    EXPECT_THAT(parsed.error, Not(HasSubstr("secret")));
  }
}

TEST(ConfigFile, TheDatabasesPasswordIsNotOnTheCommandLine) {
  auto parsed = parse({"--database", "mysql://u:secret@h/d"});
  EXPECT_FALSE(parsed.config);
  EXPECT_EQ(parsed.exit_code, 2);
  EXPECT_THAT(parsed.error, HasSubstr("--database-password-file"));
  EXPECT_THAT(parsed.error, Not(HasSubstr("secret")));
  {
    const Variable variable("ORDERD_DATABASE", "mysql://u:p%40ss@h/d");
    EXPECT_EQ(database_url(*parse({}).config), "mysql://u:p%40ss@h/d");
  }
  EXPECT_EQ(parse_file("database = \"mysql://u:pw@h/d\"\n").config->database, "mysql://u:pw@h/d");

  const TemporaryFile password("p@s:s/w%\n");
  parsed = parse({"--database=mysql://u@h:3306/d", "--database-password-file", password.path()});
  ASSERT_TRUE(parsed.config) << parsed.error;
  EXPECT_EQ(database_url(*parsed.config), "mysql://u:p%40s%3As%2Fw%25@h:3306/d");
  const Variable variable("ORDERD_TEST_PASSWORD", "from the environment");
  parsed = parse({"--database=mysql://u@h/d", "--database-password-file=env:ORDERD_TEST_PASSWORD"});
  EXPECT_EQ(database_url(*parsed.config), "mysql://u:from%20the%20environment@h/d");
  for (const char* file : {"/no/such/secret", "/dev/null", "env:ORDERD_NO_SUCH_VARIABLE"}) {
    parsed = parse({"--database=mysql://u@h/d", "--database-password-file", file});
    ASSERT_TRUE(parsed.config) << parsed.error;
    EXPECT_THROW(database_url(*parsed.config), std::runtime_error);
  }
  EXPECT_FALSE(parse({"--database-password-file", password.path()}).config) << "of SQLite";
}

/// What --check-config prints and says.
struct Checked {
  int exit_code = 0;
  std::string output, error;
};
Checked check(const std::vector<std::string>& arguments) {
  const auto parsed = parse(arguments);
  EXPECT_TRUE(parsed.config) << parsed.error;
  Checked checked;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  checked.exit_code = check_config(*parsed.config);
  checked.output = testing::internal::GetCapturedStdout();
  checked.error = testing::internal::GetCapturedStderr();
  return checked;
}

TEST(CheckConfig, PrintsWhatIsInForceAsAFileWithoutSecrets) {
  const Variable variable("ORDERD_DATABASE", "mysql://u:secret@h/d");
  const Variable gateways("ORDERD_GATEWAY", "a=sandbox:/tmp/a.db;b=sandbox:/tmp/b.db");
  const auto checked = check({"--lanes=3", "--check-config"});
  EXPECT_EQ(checked.exit_code, 0) << checked.error;
  EXPECT_EQ(checked.error, "");
  EXPECT_THAT(checked.output, testing::ContainsRegex("lanes += \"3\" +# flag"));
  EXPECT_THAT(checked.output, testing::ContainsRegex("database += .*# environment"));
  EXPECT_THAT(checked.output, Not(HasSubstr("secret")));
  for (const std::string& name : all_options()) EXPECT_THAT(checked.output, HasSubstr(name));
  // It is a file that says the same; but for what is empty, and the password.
  const Variable none("ORDERD_DATABASE", ""), neither("ORDERD_GATEWAY", "");
  const auto again =
      parse_file(std::regex_replace(checked.output, std::regex("[^\n]* = \"\"[^\n]*\n"), ""));
  ASSERT_TRUE(again.config) << again.error;
  EXPECT_EQ(again.config->lanes, 3);
  EXPECT_EQ(again.config->gateways.size(), 2u);
}

TEST(CheckConfig, FindsWhatCannotBeUsedAndMakesNothing) {
  const auto folder = std::filesystem::temp_directory_path() / "orderd-check-XXXXXX";
  std::string path = folder.string();
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  const TemporaryFile key("sk_test_x\n");
  EXPECT_EQ(check({"--database=sqlite:" + path + "/orders.db",
                   "--gateway=a=sandbox:" + path + "/book.db", "--gateway=b=stripe:" + key.path()})
                .exit_code,
            0);
  EXPECT_TRUE(std::filesystem::is_empty(path)) << "something was made";
  std::filesystem::remove(path);

  const std::vector<std::pair<std::vector<std::string>, const char*>> mistakes = {
      {{"--database=sqlite:/no/such/folder/orders.db"}, "/no/such/folder"},
      {{"--database=mysql://u@h/"}, "name of the database"},
      {{"--database=mysql://u@h/d", "--database-password-file=/no/such/file"},
       "--database-password-file"},
      {{"--gateway=a=stripe:/no/such/key"}, "account a"},
      {{"--gateway=a=sandbox:/no/such/folder/book.db"}, "account a"},
      {{"--smtp=smtp://h", "--email-from=a@b.example", "--smtp-user=u",
        "--smtp-password-file=/no/such/file"},
       "--smtp-password-file"},
      {{"--smtp=smtp://h", "--email-from=a@b.example", "--email-templates=/no/such/folder"},
       "templates"},
      {{"--admin-key-file=/no/such/key"}, "/no/such/key"},
      {{"--admin-key-file=" + key.path()}, "admin key of at least"},
      {{"--audit-log=/no/such/folder/audit.log"}, "audit log"},
      {{"--tls-cert=/no/such/certificate", "--tls-key=/no/such/key"}, "/no/such/"},
  };
  for (const auto& [arguments, hint] : mistakes) {
    const auto checked = check(arguments);
    EXPECT_EQ(checked.exit_code, 2) << hint;
    EXPECT_THAT(checked.error, HasSubstr(hint));
    EXPECT_THAT(checked.output, HasSubstr("lanes"));
  }
  // All of them at once.
  const auto both = check({"--gateway=a=stripe:/no/such/key", "--gateway=b=stripe:/no/such/key"});
  EXPECT_THAT(both.error, HasSubstr("account a"));
  EXPECT_THAT(both.error, HasSubstr("account b"));
}

TEST(ConfigExample, NamesEveryOptionAndIsValid) {
  const std::string path = ORDERD_SOURCE_DIR "/docs/orderd.example.toml";
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  ASSERT_NE(text, "");
  EXPECT_EQ(check({"--config", path}).exit_code, 0);
  for (const std::string& name : all_options()) {
    EXPECT_TRUE(std::regex_search(text, std::regex("(^|\n)#?" + name + " = "))) << name;
  }
  // What is commented out is right, too.
  const auto all = parse_file(std::regex_replace(text, std::regex("\n#([a-z-]+ = )"), "\n$1"));
  EXPECT_TRUE(all.config) << all.error;
}

TEST(Help, DocumentsEveryOptionWithItsVariableInAGroup) {
  CommandLine line;
  const std::string help = line.app().help();
  for (const std::string& name : all_options()) {
    EXPECT_THAT(help, HasSubstr("--" + name));
    const auto* option = line.app().get_option("--" + name);
    EXPECT_EQ(option->get_envname(), variable_of(name)) << name;
    EXPECT_THAT(help, HasSubstr(variable_of(name)));
    EXPECT_NE(option->get_group(), "Options") << name << " needs a group: see CommandLine";
    EXPECT_NE(option->get_description(), "") << name;
  }
  for (const char* name : {"--config", "ORDERD_CONFIG", "--check-config", "--version", "--help"}) {
    EXPECT_THAT(help, HasSubstr(name));
  }
}

}  // namespace
}  // namespace orderd::ops
