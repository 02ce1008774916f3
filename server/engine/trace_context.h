#pragma once

#include <span>
#include <string>
#include <string_view>

// W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace of its caller's a call
// belongs to. A call that comes without one has none: nothing is made up.

namespace orderd::engine {

/// The place of a call in a trace. Empty: there is no trace.
struct TraceContext {
  /// 32 lower-case hexadecimal digits.
  std::string trace_id;
  /// 16 of them: this server's part of the trace.
  std::string span_id;
  bool sampled = false;
  /// Of the caller, as it came; for whom this server calls.
  std::string trace_state;

  bool empty() const { return trace_id.empty(); }
  /// The header `traceparent` of a call that is made because of this one.
  std::string parent_header() const;
};

/// From the values of the metadata `traceparent` and `tracestate`, of which the first has to be
/// there once and the second may come in parts. What the specification calls invalid is ignored:
/// with an invalid parent there is no trace, with an invalid state there is no state. The span id
/// is a new one.
TraceContext read_trace_context(std::span<const std::string_view> parents,
                                std::span<const std::string_view> states);

/// While it lives, what this thread sends belongs to the trace.
class TraceScope {
 public:
  /// `context` outlives it.
  explicit TraceScope(const TraceContext& context);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  /// Of the innermost scope of this thread; an empty one if there is none.
  static const TraceContext& current();

 private:
  const TraceContext* const before_;
};

}  // namespace orderd::engine
