#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace orderd::payments {

struct HttpRequest {
  enum class Method { kGet, kPost };
  Method method = Method::kGet;
  std::string url;
  /// "Name: value" each.
  std::vector<std::string> headers;
  /// POST only, sent as it is.
  std::string body;
  std::chrono::steady_clock::time_point deadline;
};

struct HttpAnswer {
  int status = 0;
  std::string body;
  /// The header Retry-After, if it is a number of seconds; at most an hour.
  std::optional<std::chrono::seconds> retry_after;
};

/// What is known of a request that got no (whole) answer.
enum class HttpFailure {
  /// No byte of it left this machine: no address, no connection, no TLS, or no time.
  kNotSent,
  /// It may have been carried out.
  kNoAnswer,
};

/// A blocking client over libcurl for a few hosts that are called often. Certificates and host
/// names are verified, redirects are not followed. A request tells of the trace that its thread
/// works for (engine::TraceScope). Connections are kept and used again; when a kept one turns out
/// to be dead before a byte of the answer came, the request is sent once more by libcurl, so every
/// POST must be one that can be repeated (an idempotency key). Thread-safe. Logs nothing.
class HttpClient {
 public:
  struct Options {
    /// A PEM file of the authorities to trust; empty: those of the system.
    std::string ca_file;
    /// An answer that is larger counts as none.
    std::size_t max_answer_bytes = 8 << 20;
    /// Unused handles, each with a connection, that are kept.
    std::size_t max_idle = 32;
  };

  explicit HttpClient(Options options);
  ~HttpClient();

  std::variant<HttpAnswer, HttpFailure> send(const HttpRequest& request);

 private:
  class Pool;

  const Options options_;
  std::unique_ptr<Pool> pool_;
};

/// For queries and forms: everything but unreserved characters is percent-encoded.
std::string percent_encode(const std::string& text);

}  // namespace orderd::payments
