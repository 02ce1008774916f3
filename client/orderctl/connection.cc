#include "client/orderctl/connection.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "client/orderctl/cli.h"

namespace orderd::cli {

ConnectionOptions::ConnectionOptions(CLI::App& app) {
  app.add_option("--server", server_,
                 "HOST:PORT of orderd, or a gRPC target of several: ipv4:ADDRESS:PORT,ADDRESS:PORT")
      ->envname("ORDERCTL_SERVER")
      ->capture_default_str();
  app.add_flag("--tls", tls_, "Encrypt the connection; implied by --ca and --cert")
      ->envname("ORDERCTL_TLS");
  app.add_option("--ca", files_.ca_file,
                 "A file with the CAs that the server's certificate may come from, PEM")
      ->envname("ORDERCTL_CA");
  app.add_option("--cert", files_.certificate_file, "A file with your client certificate, PEM")
      ->envname("ORDERCTL_CERT");
  app.add_option("--key", files_.key_file, "A file with its private key, PEM")
      ->envname("ORDERCTL_KEY");
  app.add_option("--server-name", files_.server_name,
                 "The name in the server's certificate, if it is not the host of --server")
      ->envname("ORDERCTL_SERVER_NAME");
  app.add_option("--api-key-file", api_key_file_,
                 "A file with your API key; or the key itself in ORDERCTL_API_KEY")
      ->envname("ORDERCTL_API_KEY_FILE");
  app.add_option("--timeout", timeout_, "Seconds that a call may take, with its retries")
      ->check(CLI::Range(0.001, 86'400.0))
      ->capture_default_str();
}

client::Options ConnectionOptions::client_options() const {
  if (files_.certificate_file.empty() != files_.key_file.empty()) {
    throw LocalError("--cert and --key belong together: the certificate and its private key");
  }
  client::Options options;
  options.server = server_;
  options.user_agent = "orderctl";
  if (tls_ || !files_.ca_file.empty() || !files_.certificate_file.empty() ||
      !files_.server_name.empty()) {
    options.tls = files_;
  }
  options.api_key_file = api_key_file_;
  if (const char* key = std::getenv("ORDERCTL_API_KEY"); key != nullptr && api_key_file_.empty()) {
    options.api_key = key;
  }
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(timeout_ * 1000));
  options.attempt_timeout = options.timeout / 2;
  // A person waits: better to hear within two seconds that nobody is there.
  options.retry.max_attempts = 6;
  return options;
}

}  // namespace orderd::cli
