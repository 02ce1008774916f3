// The main function of every test program. A test that hangs would otherwise show nothing but the
// time limit of its whole program: here it ends the program by itself, with its name and, where
// there is a debugger, with what each thread was doing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

/// Many times what the longest test takes on a slow machine under a sanitizer. In seconds.
constexpr unsigned kLimit = 300;

// Written before the alarm is set, read by its handler.
std::string g_report;      // NOLINT(cert-err58-cpp)
std::string g_process_id;  // NOLINT(cert-err58-cpp)

/// Calls nothing but what a signal handler may call.
void hung(int /*signal*/) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, g_report.data(), g_report.size());
  const pid_t debugger = fork();
  if (debugger == 0) {
    execlp("gdb", "gdb", "-p", g_process_id.c_str(), "-batch", "-ex", "thread apply all bt 30",
           nullptr);
    _exit(127);
  }
  if (debugger > 0) waitpid(debugger, nullptr, 0);
  _exit(1);
}

class Watchdog : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& test) override {
    g_report = std::string("\nHUNG: ") + test.test_suite_name() + "." + test.name() + " after " +
               std::to_string(kLimit) + " s\n";
    alarm(kLimit);
  }
  void OnTestEnd(const testing::TestInfo& /*test*/) override { alarm(0); }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  g_process_id = std::to_string(getpid());
  std::signal(SIGALRM, hung);
  testing::UnitTest::GetInstance()->listeners().Append(new Watchdog);
  return RUN_ALL_TESTS();
}
