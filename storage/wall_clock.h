#pragma once

#include <chrono>

#include "storage/model.h"

namespace orderd {

/// The time by this machine's clock, which may step.
inline Micros wall_clock() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace orderd
