#pragma once

#include <cstddef>

namespace orderd::ops {

/// Lets this process open as many files as it is allowed to, and returns how many that are.
std::size_t raise_file_limit();

}  // namespace orderd::ops
