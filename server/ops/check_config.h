#pragma once

#include "server/ops/config.h"

namespace orderd::ops {

/// Prints what is in force, as a configuration file with the source of each line, and what is wrong
/// with it, without connecting to anything or creating a file: whether files can be read, keys and
/// templates be used. Returns the exit code: 0, or 2 if something is wrong.
int check_config(const Config& config);

/// Throws std::runtime_error, which says why, unless a file can be made, or used, at this place.
void check_file_place(const std::string& path);

}  // namespace orderd::ops
