#pragma once

#include <span>
#include <string_view>

namespace orderd::notify {

struct EmbeddedTemplate {
  std::string_view file;
  std::string_view text;
};

/// server/notify/templates/, as part of the program.
std::span<const EmbeddedTemplate> embedded_templates();

}  // namespace orderd::notify
