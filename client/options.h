#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace orderd::client {

/// When and how often a failed call is tried again. See `Client` for which failures are.
struct RetryPolicy {
  /// Tries per call, the first one included; 1 turns retries off.
  int max_attempts = 10;
  /// The wait before try n + 1 is random, between 0 and
  /// min(max_backoff, initial_backoff * multiplier^(n-1)), on top of the delay that the server
  /// asked for, if it did.
  std::chrono::milliseconds initial_backoff{50};
  std::chrono::milliseconds max_backoff{2'000};
  double multiplier = 2;
};

/// An encrypted connection. The files are in PEM form, and read for each new connection that the
/// client makes.
struct TlsOptions {
  /// The CAs that the server's certificate may come from; empty: those that gRPC finds by itself.
  std::string ca_file;
  /// The client's own certificate, with those between it and its CA behind it, and its private key;
  /// both or none.
  std::string certificate_file;
  std::string key_file;
  /// The name that the server's certificate must have; empty: the host in `Options::server`.
  std::string server_name;
};

struct Options {
  /// HOST:PORT, or any gRPC target. The connection is direct: `http_proxy` is not consulted.
  /// A target can stand for several servers of one database: `dns:///HOST:PORT`, a name with
  /// several addresses, or `ipv4:ADDRESS:PORT,ADDRESS:PORT`.
  std::string server = "127.0.0.1:50051";
  /// Absent: the connection is not encrypted.
  std::optional<TlsOptions> tls;
  /// Sent with each call, as `authorization: Bearer …`. Over a connection that is not encrypted it
  /// can be read on the way.
  std::string api_key;
  /// Where the key is, if `api_key` is empty; read when the client is made.
  std::string api_key_file;
  /// For a whole call, with all its tries and the waits between them. Must be positive.
  std::chrono::milliseconds timeout{10'000};
  /// For one try; a try that takes longer is given up, and made again if the call has time left.
  std::chrono::milliseconds attempt_timeout{5'000};
  RetryPolicy retry;
  /// Goes in front of gRPC's own user agent.
  std::string user_agent = "orderd-client";

  /// Replaced by tests. Called from every thread that makes calls.
  std::function<std::chrono::steady_clock::time_point()> now;
  std::function<void(std::chrono::milliseconds)> sleep;
  /// A random number, 0 <= x < 1.
  std::function<double()> random;
};

}  // namespace orderd::client
