#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "client/options.h"

namespace orderd::cli {

/// How orderctl reaches the server, and as whom. The key itself is never an argument: everybody on
/// the machine could read it in the list of processes.
class ConnectionOptions {
 public:
  /// Adds the options; they must live as long as `app` is used.
  explicit ConnectionOptions(CLI::App& app);

  /// After parsing. Throws LocalError if the options contradict each other.
  client::Options client_options() const;

 private:
  std::string server_ = "127.0.0.1:50051";
  double timeout_ = 10;
  bool tls_ = false;
  client::TlsOptions files_;
  std::string api_key_file_;
};

}  // namespace orderd::cli
