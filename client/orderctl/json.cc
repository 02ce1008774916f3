#include "client/orderctl/json.h"

#include <fmt/core.h>
#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/orderctl/cli.h"

namespace orderd::cli {
namespace {

/// "[json.exception.parse_error.101] parse error at line 1, column 5: …" without the bracket.
std::string syntax_error(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    if (!json.is_object()) return fmt::format("expected an object, found {}", json.type_name());
    return "";
  } catch (const nlohmann::json::exception& error) {
    std::string message = error.what();
    if (const auto bracket = message.find("] "); bracket != std::string::npos) {
      message.erase(0, bracket + 2);
    }
    return message;
  }
}

}  // namespace

absl::Status parse_json(const std::string& text, google::protobuf::Message& message) {
  const auto status = google::protobuf::util::JsonStringToMessage(text, &message);
  if (status.ok()) return absl::OkStatus();
  // The parser of protobuf knows the fields but not the position, the other one the reverse.
  std::string problem = syntax_error(text);
  if (problem.empty()) problem = std::string(status.message());
  return absl::InvalidArgumentError(
      fmt::format("can't be read as {}: {}", message.GetDescriptor()->name(), problem));
}

std::string to_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  // A program that reads `changed` or an amount should find it, also if it is false or 0.
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) {
    throw LocalError(
        fmt::format("the answer can't be written as JSON: {}", std::string(status.message())));
  }
  return text;
}

void print_json(const google::protobuf::Message& message) { fmt::print("{}\n", to_json(message)); }

std::string read_text(const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened) throw LocalError(fmt::format("can't read {}: {}", file, std::strerror(errno)));
  }
  std::istream& input = file == "-" ? std::cin : opened;
  std::string text{std::istreambuf_iterator<char>(input), std::istreambuf_iterator<char>()};
  if (input.bad() || opened.bad()) throw LocalError(fmt::format("can't read {}", file));
  return text;
}

}  // namespace orderd::cli
