#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "server/access/client_certificates.h"
#include "server/access/key_token.h"
#include "server/engine/trace_context.h"
#include "tests/fuzz/fuzz.h"

// What callers send beside their messages, and operators write about them: `traceparent` and
// `tracestate`, API keys, the file of client roles. Each line is one of them.

namespace orderd::fuzz {
namespace {

bool is_hex(std::string_view text, std::size_t size) {
  return text.size() == size && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void check_trace(const std::vector<std::string_view>& lines) {
  const std::size_t parents = std::min<std::size_t>(lines.size(), 1);
  const auto trace = engine::read_trace_context(std::span(lines).first(parents),
                                                std::span(lines).subspan(parents));
  if (trace.empty()) {
    require(trace.span_id.empty() && trace.trace_state.empty(), "no trace, nothing of it");
    return;
  }
  require(is_hex(trace.trace_id, 32) && is_hex(trace.span_id, 16), "ids are hexadecimal");
  for (const char c : trace.trace_state) require(c >= ' ' && c <= '~', "a state is a header");
  const std::string header = trace.parent_header();
  const std::vector<std::string_view> again = {header};
  require(engine::read_trace_context(again, {}).trace_id == trace.trace_id,
          "what is passed on can be read");
}

}  // namespace

FUZZ_TARGET(headers) {
  std::vector<std::string_view> lines;
  for (std::string_view rest = input; !rest.empty() && lines.size() < 40;) {
    lines.push_back(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(std::min(rest.size(), lines.back().size() + 1));
  }
  check_trace(lines);
  for (const std::string_view line : lines) {
    if (const auto token = access::parse_key_token(line)) {
      require(token->text() == line, "a key has one form");
    }
  }
  try {
    access::parse_client_roles(input, "roles");
  } catch (const std::runtime_error&) {
  }
}

}  // namespace orderd::fuzz
