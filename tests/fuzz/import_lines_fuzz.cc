#include <sstream>
#include <string>

#include "client/orderctl/json.h"
#include "orders/v1/order_service.pb.h"
#include "server/orders/import.h"
#include "tests/fuzz/fuzz.h"

// Lines of a file that `orderctl import` is given, and what the server says to those it can read.

namespace orderd::fuzz {
namespace {

namespace pb = ::orders::v1;

}  // namespace

FUZZ_TARGET(import_lines) {
  std::istringstream lines{std::string(input)};
  for (std::string line; std::getline(lines, line);) {
    pb::ImportOrdersRequest request;
    const absl::Status read = cli::parse_json(line, request);
    if (!read.ok()) {
      require(!read.message().empty(), "an error says what is wrong");
      continue;
    }
    if (!rules::validate(request).ok()) continue;
    // What is valid can be written down and read again.
    pb::ImportOrdersRequest again;
    require(cli::parse_json(cli::to_json(request), again).ok(), "what is printed can be read");
    require(again.SerializeAsString().size() == request.SerializeAsString().size(),
            "and is the same");
  }
}

}  // namespace orderd::fuzz
