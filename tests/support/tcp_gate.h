#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace orderd::test {

/// A TCP relay between a client and a server that misbehaves on demand. For MariaDB it understands
/// the framing of the MySQL protocol from the client's side (three bytes of length, one of
/// sequence), unencrypted and uncompressed, so it can cut the line at one exact packet. Listens on
/// 127.0.0.1, on a free port.
///
/// Every function takes effect before it returns. Thread-safe.
class TcpGate {
 public:
  enum class Framing {
    kMysql,
    /// Whatever arrives at once is a packet: a small HTTP request, for instance.
    kNone,
  };
  /// A client's packet without its header: for a MySQL query, the byte 0x03 and the SQL.
  using Match = std::function<bool(std::string_view packet)>;

  /// Relays to 127.0.0.1:`upstream_port`.
  explicit TcpGate(unsigned short upstream_port, Framing framing = Framing::kMysql);
  ~TcpGate();

  unsigned short port() const;

  /// Relays everything again, and accepts connections.
  void pass();
  /// Reads nothing more from clients: their requests pile up on the way.
  void stop_reading();
  /// Sends nothing more to clients: the server works, its answers do not arrive.
  void stop_writing();
  /// Closes every connection; new ones are welcome.
  void close_now();
  /// Nothing passes any more on the connections that there are, and neither end is told, as when a
  /// firewall has lost them; new ones are welcome.
  void forget();
  /// Closes every connection, and each new one as soon as it is made.
  void refuse();

  /// Once, on the first packet that matches: the connection is closed and the packet not forwarded.
  void drop_before(Match match);
  /// Once, on the first packet that matches: it is forwarded, and when the server has answered, the
  /// connection is closed and the answer thrown away.
  void drop_after(Match match);

  /// How many connections `drop_before` and `drop_after` have closed.
  int dropped() const;

  /// Matches the query COMMIT.
  static bool is_commit(std::string_view packet);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::test
