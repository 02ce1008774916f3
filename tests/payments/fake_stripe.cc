#include "tests/payments/fake_stripe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace orderd::test {
namespace {

constexpr std::chrono::seconds kControlTimeout{60};
constexpr char kPython[] = "/usr/bin/python3";
constexpr char kFolder[] = ORDERD_SOURCE_DIR "/tests/payments/";

}  // namespace

std::string FakeStripe::description() {
  if (const char* file = std::getenv("ORDERD_STRIPE_DESCRIPTION")) return file;
  const std::string file = ORDERD_SOURCE_DIR "/../shared/data/stripe/openapi-subset.json";
  return std::filesystem::exists(file) ? file : std::string();
}

FakeStripe::FakeStripe(const Options& options)
    : scheme_(options.certificate.empty() ? "http" : "https"),
      http_({.ca_file = options.certificate}) {
  std::vector<std::string> arguments = {kPython, "-B", std::string(kFolder) + "fake_stripe.py",
                                        std::string(kFolder) + "stripe_overlay.json"};
  if (!description().empty()) {
    arguments.insert(arguments.end(), {"--description", description()});
  }
  if (!options.key.empty()) arguments.insert(arguments.end(), {"--key", options.key});
  if (!options.certificate.empty()) {
    arguments.insert(arguments.end(), {"--tls", options.certificate, options.private_key});
  }
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
  const int error = ::posix_spawn(&pid_, kPython, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  std::string line;
  for (char c = 0; error == 0 && ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
  ::close(out[0]);
  if (line.empty()) throw std::runtime_error("fake_stripe.py did not start");
  port_ = std::stoi(line);
}

FakeStripe::~FakeStripe() {
  ::close(input_);  // it ends with its standard input
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

std::string FakeStripe::url() const { return scheme_ + "://127.0.0.1:" + std::to_string(port_); }

nlohmann::json FakeStripe::control(const std::string& name, const nlohmann::json& body) {
  payments::HttpRequest request;
  request.method = payments::HttpRequest::Method::kPost;
  request.url = url() + "/_control/" + name;
  request.headers = {"Content-Type: application/json"};
  request.body = body.dump();
  request.deadline = std::chrono::steady_clock::now() + kControlTimeout;
  const auto answer = http_.send(request);
  const auto* http = std::get_if<payments::HttpAnswer>(&answer);
  if (http == nullptr || http->status != 200) {
    ADD_FAILURE() << "no answer to /_control/" << name;
    return {};
  }
  return nlohmann::json::parse(http->body);
}

}  // namespace orderd::test
