#include "server/payments/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "server/engine/trace_context.h"

namespace orderd::payments {
namespace {

constexpr std::chrono::milliseconds kConnectTimeout{10'000};
constexpr std::chrono::seconds kMaxRetryAfter{3'600};

/// What the callbacks of one transfer gather.
struct Transfer {
  HttpAnswer answer;
  std::size_t max_bytes = 0;
  std::size_t header_bytes = 0;
  /// Set with the first byte of a request that was written to a connection, and kept when libcurl
  /// sends it again on another: the result code alone tells only about the last one.
  bool sent = false;
};

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.answer.body.size() + size > transfer.max_bytes) return 0;
  transfer.answer.body.append(data, size);
  return size;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.header_bytes += size;
  if (transfer.header_bytes > transfer.max_bytes) return 0;
  constexpr std::string_view kName = "retry-after:";
  std::string_view line(data, size);
  const bool match = line.size() > kName.size() &&
                     std::equal(kName.begin(), kName.end(), line.begin(), [](char a, char b) {
                       return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
                     });
  if (!match) return size;
  line.remove_prefix(kName.size());
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  unsigned seconds = 0;
  if (std::from_chars(line.data(), line.data() + line.size(), seconds).ec == std::errc{}) {
    transfer.answer.retry_after = std::min(std::chrono::seconds(seconds), kMaxRetryAfter);
  }
  return size;
}

/// Called with everything that passes; looks only at whether something went out.
int on_trace(CURL*, curl_infotype type, char*, std::size_t size, void* user) {
  if ((type == CURLINFO_HEADER_OUT || type == CURLINFO_DATA_OUT) && size > 0) {
    static_cast<Transfer*>(user)->sent = true;
  }
  return 0;
}

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    list = longer;
  }
};

}  // namespace

/// Handles that wait for work, the last used on top: its connection is the likeliest to be alive.
class HttpClient::Pool {
 public:
  using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

  explicit Pool(std::size_t max_idle) : max_idle_(max_idle) {
    static std::once_flag once;
    std::call_once(once, [] {
      if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) throw std::runtime_error("no libcurl");
    });
  }

  Handle take() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        Handle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    Handle handle(curl_easy_init(), &curl_easy_cleanup);
    if (!handle) throw std::bad_alloc();
    return handle;
  }

  void give_back(Handle handle) {
    curl_easy_reset(handle.get());  // keeps its connections
    std::lock_guard lock(mutex_);
    if (idle_.size() < max_idle_) idle_.push_back(std::move(handle));
  }

 private:
  const std::size_t max_idle_;
  std::mutex mutex_;
  std::vector<Handle> idle_;
};

HttpClient::HttpClient(Options options)
    : options_(std::move(options)), pool_(std::make_unique<Pool>(options_.max_idle)) {}

HttpClient::~HttpClient() = default;

std::variant<HttpAnswer, HttpFailure> HttpClient::send(const HttpRequest& request) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      request.deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return HttpFailure::kNotSent;

  Transfer transfer;
  transfer.max_bytes = options_.max_answer_bytes;
  HeaderList headers;
  for (const auto& line : request.headers) headers.add(line);
  if (const auto& trace = engine::TraceScope::current(); !trace.empty()) {
    headers.add("traceparent: " + trace.parent_header());
    if (!trace.trace_state.empty()) headers.add("tracestate: " + trace.trace_state);
  }

  Pool::Handle handle = pool_->take();
  CURL* curl = handle.get();
  bool ready = true;
  const auto set = [&](CURLoption option, auto value) {
    ready = curl_easy_setopt(curl, option, value) == CURLE_OK && ready;
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
  // Unencrypted requests are for the same machine, never for a proxy.
  if (request.url.starts_with("http://")) set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(left, kConnectTimeout).count()));
  set(CURLOPT_HTTPHEADER, headers.list);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_DEBUGFUNCTION, &on_trace);
  set(CURLOPT_DEBUGDATA, static_cast<void*>(&transfer));
  set(CURLOPT_VERBOSE, 1L);  // feeds on_trace
  if (request.method == HttpRequest::Method::kPost) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.c_str());
  }
  if (!ready) return HttpFailure::kNotSent;

  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_OK) {
    pool_->give_back(std::move(handle));
    transfer.answer.status = static_cast<int>(status);
    return std::move(transfer.answer);
  }
  // A handle that failed goes, and its connections with it.
  return transfer.sent ? HttpFailure::kNoAnswer : HttpFailure::kNotSent;
}

std::string percent_encode(const std::string& text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace orderd::payments
