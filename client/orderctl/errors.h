#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/orderctl/cli.h"

namespace orderd::cli {

ExitCode exit_code(const absl::Status& status);

/// Prints the error, its details and a hint to standard error; returns the exit code.
int fail(const absl::Status& status);

/// The error in one line, with every field violation.
std::string one_line(const absl::Status& status);

}  // namespace orderd::cli
