#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"

// Protobuf JSON in and out, with field names as in the protos.

namespace orderd::cli {

/// Reads one JSON object. The error says where in the text it is wrong and what was expected there,
/// or which field does not fit.
absl::Status parse_json(const std::string& text, google::protobuf::Message& message);

/// In one line, without a line break.
std::string to_json(const google::protobuf::Message& message);

/// Prints it as a line of standard output.
void print_json(const google::protobuf::Message& message);

/// All of a file, or of standard input for "-". Throws LocalError.
std::string read_text(const std::string& file);

}  // namespace orderd::cli
