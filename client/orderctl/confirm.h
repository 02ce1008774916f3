#pragma once

#include <string>

// Questions to whoever sits at the terminal.

namespace orderd::cli {

/// Whether there is a terminal to ask at.
bool at_terminal();

/// Asks; anything but yes is no.
bool confirmed(const std::string& question);

}  // namespace orderd::cli
