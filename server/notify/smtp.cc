#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string_view>

#include "server/notify/address.h"
#include "server/notify/mailer.h"

namespace orderd::notify {
namespace {

using rules::SendResult;

/// The command that was sent last: the one that a reply answers.
enum class Stage { kGreeting, kAuth, kMail, kRcpt, kData };

struct Transfer {
  std::string_view unsent;
  Stage stage = Stage::kGreeting;
};

std::size_t on_read(char* buffer, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t length = std::min(size * count, transfer.unsent.size());
  std::memcpy(buffer, transfer.unsent.data(), length);
  transfer.unsent.remove_prefix(length);
  return length;
}

/// libcurl does not say which command was refused; the commands that it sends do. Nothing of them
/// is kept: they have addresses and passwords. The order in which the commands come tells them from
/// the lines of an authentication.
int on_trace(CURL*, curl_infotype type, char* data, std::size_t size, void* user) {
  if (type != CURLINFO_HEADER_OUT) return 0;
  auto& stage = static_cast<Transfer*>(user)->stage;
  const std::string_view line(data, size);
  if (stage == Stage::kGreeting && line.starts_with("AUTH ")) stage = Stage::kAuth;
  if (stage <= Stage::kAuth && line.starts_with("MAIL FROM:")) stage = Stage::kMail;
  if (stage == Stage::kMail && line.starts_with("RCPT TO:")) stage = Stage::kRcpt;
  if (stage == Stage::kRcpt && line.starts_with("DATA\r\n")) stage = Stage::kData;
  return 0;
}

std::size_t on_reply(char*, std::size_t size, std::size_t count, void*) { return size * count; }

struct RecipientList {
  curl_slist* list = nullptr;
  explicit RecipientList(const std::string& recipient)
      : list(curl_slist_append(nullptr, recipient.c_str())) {}
  RecipientList(const RecipientList&) = delete;
  RecipientList& operator=(const RecipientList&) = delete;
  ~RecipientList() { curl_slist_free_all(list); }
};

SendResult later(std::string error, int code = 0) { return {false, false, code, std::move(error)}; }
SendResult never(std::string error, int code = 0) { return {false, true, code, std::move(error)}; }

/// The meaning of a reply of 400 to 599 to the command of `stage`.
SendResult refusal(Stage stage, int code) {
  if (code < 500) {
    const bool try_again = code == 450 || code == 451;
    const bool greylisted = try_again && (stage == Stage::kRcpt || stage == Stage::kData);
    return later(greylisted ? "GREYLISTED" : "SERVER_BUSY", code);
  }
  // Ours to mend, whichever command it answers: no, or wrong, credentials.
  if (code == 530 || code == 534 || code == 535 || code == 538) {
    return later("AUTHENTICATION_FAILED", code);
  }
  switch (stage) {
    case Stage::kGreeting:
      return later("SERVER_REFUSED", code);
    case Stage::kAuth:
      return later("AUTHENTICATION_FAILED", code);
    case Stage::kMail:
      // The size of the message is announced with the sender.
      return code == 552 ? never("MESSAGE_REFUSED", code) : later("SENDER_REFUSED", code);
    case Stage::kRcpt:
      return never("RECIPIENT_REFUSED", code);
    case Stage::kData:
      return never("MESSAGE_REFUSED", code);
  }
  return later("SERVER_REFUSED", code);
}

SendResult failure(CURLcode result) {
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return later("SERVER_UNREACHABLE");
    case CURLE_OPERATION_TIMEDOUT:
      return later("SERVER_TIMED_OUT");
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
      return later("TLS_FAILED");
    case CURLE_LOGIN_DENIED:
      return later("AUTHENTICATION_FAILED");
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
      return later("CONNECTION_LOST");
    default:
      return later("SEND_FAILED");
  }
}

long use_ssl(SmtpOptions::Tls tls) {
  switch (tls) {
    case SmtpOptions::Tls::kRequired:
      return CURLUSESSL_ALL;
    case SmtpOptions::Tls::kIfOffered:
      return CURLUSESSL_TRY;
    case SmtpOptions::Tls::kNever:
      return CURLUSESSL_NONE;
  }
  return CURLUSESSL_ALL;
}

}  // namespace

SendResult Smtp::send(const std::string& recipient, const std::string& message) const {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });

  if (!is_plain_address(recipient)) return never("RECIPIENT_NOT_AN_ADDRESS");
  const auto sender = parse_mailbox(options_.from);
  if (!sender) return later("SENDER_NOT_AN_ADDRESS");

  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(),
                                                                   &curl_easy_cleanup);
  // libcurl would convert it only in a UTF-8 locale.
  const RecipientList recipients(with_ascii_domain(recipient));
  if (!handle || recipients.list == nullptr) return later("SEND_FAILED");
  CURL* curl = handle.get();
  Transfer transfer{message};

  bool ready = true;
  const auto set = [&](CURLoption option, auto value) {
    ready = curl_easy_setopt(curl, option, value) == CURLE_OK && ready;
  };
  set(CURLOPT_URL, options_.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROXY, "");  // a proxy of the environment is meant for the web
  set(CURLOPT_USE_SSL, use_ssl(options_.tls));
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
  if (!options_.user.empty()) {
    set(CURLOPT_USERNAME, options_.user.c_str());
    set(CURLOPT_PASSWORD, options_.password.c_str());
  }
  const auto timeout = static_cast<long>(std::max<std::int64_t>(options_.timeout.count(), 1));
  set(CURLOPT_TIMEOUT_MS, timeout);
  set(CURLOPT_CONNECTTIMEOUT_MS, timeout);
  // Also limits how long the answer to QUIT is waited for, which the time-out of the whole does
  // not.
  set(CURLOPT_SERVER_RESPONSE_TIMEOUT, (timeout + 999) / 1000);
  set(CURLOPT_FORBID_REUSE, 1L);  // QUIT within the transfer, where that limit holds
  set(CURLOPT_MAIL_FROM, sender->address.c_str());
  set(CURLOPT_MAIL_RCPT, recipients.list);
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(message.size()));
  set(CURLOPT_READFUNCTION, &on_read);
  set(CURLOPT_READDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &on_reply);
  set(CURLOPT_DEBUGFUNCTION, &on_trace);
  set(CURLOPT_DEBUGDATA, static_cast<void*>(&transfer));
  set(CURLOPT_VERBOSE, 1L);  // feeds on_trace
  if (!ready) return later("SEND_FAILED");

  const CURLcode result = curl_easy_perform(curl);
  long reply = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply);
  const int code = static_cast<int>(reply);
  if (result == CURLE_OK) return {true, false, code, {}};
  // After a reply that was no refusal the line may break; then that reply is still the last.
  if (code >= 400 && code <= 599) return refusal(transfer.stage, code);
  return failure(result);
}

}  // namespace orderd::notify
