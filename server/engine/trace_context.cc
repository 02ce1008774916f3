#include "server/engine/trace_context.h"

#include <algorithm>
#include <set>

#include "storage/uuid.h"

namespace orderd::engine {
namespace {

/// 00-TRACE-PARENT-FLAGS: what each version begins with.
constexpr std::size_t kParentSize = 55;
constexpr std::size_t kMaxMembers = 32;

thread_local const TraceContext* current_context = nullptr;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}
bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != text.npos;
}

int digit(char c) { return is_digit(c) ? c - '0' : c - 'a' + 10; }

bool read_parent(std::string_view text, TraceContext& context) {
  if (text.size() < kParentSize) return false;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace_id = text.substr(3, 32);
  const std::string_view parent_id = text.substr(36, 16);
  const std::string_view flags = text.substr(53, 2);
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (!is_hex(version) || version == "ff" || !is_id(trace_id) || !is_id(parent_id)) return false;
  if (!is_hex(flags)) return false;
  // Later versions may add parts.
  if (text.size() > kParentSize && (version == "00" || text[kParentSize] != '-')) return false;
  context.trace_id = trace_id;
  context.sampled = (digit(flags[1]) & 1) != 0;
  return true;
}

/// `digit_first`: whether it may begin with a digit.
bool is_name(std::string_view text, std::size_t longest, bool digit_first) {
  if (text.empty() || text.size() > longest) return false;
  if (!is_lower(text[0]) && !(digit_first && is_digit(text[0]))) return false;
  return std::ranges::all_of(text, [](char c) {
    return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
  });
}

bool is_key(std::string_view key) {
  const auto at = key.find('@');
  if (at == key.npos) return is_name(key, 256, false);
  return is_name(key.substr(0, at), 241, true) && is_name(key.substr(at + 1), 14, false);
}

bool is_value(std::string_view value) {
  if (value.empty() || value.size() > 256 || value.back() == ' ') return false;
  return std::ranges::all_of(value,
                             [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Without the spaces between its members; empty if any of it is invalid.
std::string read_state(std::span<const std::string_view> states) {
  std::string result;
  std::set<std::string_view> keys;
  for (std::string_view rest : states) {
    while (!rest.empty()) {
      const auto comma = std::min(rest.find(','), rest.size());
      const std::string_view member = trimmed(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      if (member.empty()) continue;
      const auto equals = std::min(member.find('='), member.size());
      const std::string_view key = member.substr(0, equals);
      const bool valid = equals < member.size() && is_key(key) &&
                         is_value(member.substr(equals + 1)) && keys.insert(key).second;
      if (!valid || keys.size() > kMaxMembers) return {};
      if (!result.empty()) result += ',';
      result += member;
    }
  }
  return result;
}

std::string new_span_id() {
  constexpr char kHex[] = "0123456789abcdef";
  // The second half of an id is random but for two bits, which keep it from being zero.
  const Uuid id = Uuid::generate();
  std::string text;
  for (std::size_t i = 8; i < id.bytes.size(); ++i) {
    text += kHex[id.bytes[i] >> 4];
    text += kHex[id.bytes[i] & 15];
  }
  return text;
}

}  // namespace

std::string TraceContext::parent_header() const {
  return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00");
}

TraceContext read_trace_context(std::span<const std::string_view> parents,
                                std::span<const std::string_view> states) {
  TraceContext context;
  if (parents.size() != 1 || !read_parent(parents[0], context)) return {};
  context.span_id = new_span_id();
  context.trace_state = read_state(states);
  return context;
}

TraceScope::TraceScope(const TraceContext& context) : before_(current_context) {
  current_context = &context;
}

TraceScope::~TraceScope() { current_context = before_; }

const TraceContext& TraceScope::current() {
  static const TraceContext none;
  return current_context == nullptr ? none : *current_context;
}

}  // namespace orderd::engine
