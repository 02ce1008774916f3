#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "orders/v1/cancellation.pb.h"
#include "server/orders/emails.h"

// E-mail: a template and an order become a MIME message, which an SMTP server accepts or refuses.

namespace orderd::notify {

struct SmtpOptions {
  /// smtp://HOST[:PORT] or smtps://HOST[:PORT].
  std::string url;
  std::string user;
  /// Read from a file or the environment; never logged.
  std::string password;
  enum class Tls {
    /// STARTTLS, or no e-mail.
    kRequired,
    /// STARTTLS if the server offers it.
    kIfOffered,
    kNever,
  };
  /// For smtp://. smtps:// always has TLS. Certificates are always verified.
  Tls tls = Tls::kRequired;
  /// A file of certificates to trust instead of the system's; empty: the system's.
  std::string ca_file;
  std::chrono::milliseconds timeout{30'000};
  /// "shop@example.com" or "Shop <shop@example.com>".
  std::string from;
};

/// The domain of an address as in SmtpOptions::from; empty if it is not one.
std::string domain_of(const std::string& from);

/// Templates of e-mails, in Mustache: files ORDER_CANCELED.subject.mustache, .txt.mustache and
/// .html.mustache in `directory`; those that are not there, and all if it is empty, are the
/// built-in ones. Fields: see server/notify/templates/; amounts that are 0 and texts that are empty
/// are false. Throws std::runtime_error, which names the file and the fault, if one can't be read
/// or understood, names a field that does not exist, or is not one of these.
class Templates {
 public:
  explicit Templates(const std::string& directory);
  ~Templates();

  struct Content {
    std::string subject;
    std::string text;
    std::string html;
  };
  /// HTML is escaped, the others are not. Control characters never reach the subject.
  Content render(const pb::Email& email, const pb::Order& order) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// A whole message as it goes over the wire: UTF-8 headers encoded, text and HTML as
/// multipart/alternative, lines of at most 998 bytes. `date` in microseconds since 1970. The same
/// arguments make the same bytes. Nothing in them can add a header. Throws std::invalid_argument if
/// `from` is no address (`domain_of` is empty).
std::string make_message(const pb::Email& email, const std::string& recipient_name,
                         const Templates::Content& content, const std::string& from,
                         std::int64_t date);

/// Sends one message to one address. Blocks, at most for the time-out, and once more as long for
/// the farewell. Never throws.
class Smtp {
 public:
  explicit Smtp(SmtpOptions options) : options_(std::move(options)) {}
  rules::SendResult send(const std::string& recipient, const std::string& message) const;

 private:
  const SmtpOptions options_;
};

}  // namespace orderd::notify
