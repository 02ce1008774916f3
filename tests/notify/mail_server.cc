#include "tests/notify/mail_server.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace orderd::test {
namespace {

constexpr char kPython[] = "/usr/bin/python3";
constexpr char kFolder[] = ORDERD_SOURCE_DIR "/tests/notify/";

std::string make_directory() {
  std::string directory = "/tmp/orderd-mail-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) throw std::runtime_error("no directory");
  return directory;
}

struct Child {
  pid_t pid = 0;
  int input = -1;
  int output = -1;
};

Child start(const std::string& script, const std::vector<std::string>& options) {
  std::vector<std::string> arguments = {kPython, "-B", kFolder + script};
  arguments.insert(arguments.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  Child child{0, in[1], out[0]};
  const int error = ::posix_spawn(&child.pid, kPython, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  if (error != 0) throw std::runtime_error("no " + std::string(kPython));
  return child;
}

}  // namespace

MailServer::MailServer(const std::vector<std::string>& options) : directory_(make_directory()) {
  std::vector<std::string> arguments = {directory_};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const Child child = start("smtp_server.py", arguments);
  pid_ = child.pid;
  input_ = child.input;
  std::string line;
  for (char c = 0; ::read(child.output, &c, 1) == 1 && c != '\n';) line += c;
  ::close(child.output);
  if (line.empty()) throw std::runtime_error("smtp_server.py did not start");
  port_ = std::stoi(line);
}

MailServer::~MailServer() {
  ::close(input_);  // it ends with its standard input
  ::waitpid(pid_, nullptr, 0);
  std::filesystem::remove_all(directory_);
}

std::string MailServer::url(const std::string& scheme) const {
  return scheme + "://127.0.0.1:" + std::to_string(port_);
}

std::vector<nlohmann::json> MailServer::messages() const {
  std::vector<nlohmann::json> messages;
  for (int i = 0;; ++i) {
    std::ifstream file(directory_ + "/" + std::to_string(i) + ".json");
    if (!file) return messages;
    messages.push_back(nlohmann::json::parse(file));
  }
}

int MailServer::connections() const {
  std::error_code none;
  const auto size = std::filesystem::file_size(directory_ + "/connections", none);
  return none ? 0 : static_cast<int>(size);
}

std::vector<nlohmann::json> parse_mails(const std::vector<std::string>& messages) {
  const std::string directory = make_directory();
  std::vector<std::string> files;
  for (const std::string& message : messages) {
    files.push_back(directory + "/" + std::to_string(files.size()));
    std::ofstream(files.back(), std::ios::binary) << message;
  }
  const Child child = start("parse_mail.py", files);
  ::close(child.input);
  std::string text;
  char buffer[1 << 16];
  for (ssize_t n = 0; (n = ::read(child.output, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(child.output);
  ::waitpid(child.pid, nullptr, 0);
  std::filesystem::remove_all(directory);
  return nlohmann::json::parse(text).get<std::vector<nlohmann::json>>();
}

}  // namespace orderd::test
