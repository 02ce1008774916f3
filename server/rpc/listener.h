#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

namespace orderd::rpc {

/// Accepts connections and hands them to gRPC. gRPC's own listener has no limit for them, and once
/// the process has been out of file descriptors it never accepts again (docs/adr/0016).
class Listener {
 public:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;

  /// Binds all addresses that HOST:PORT stands for; port 0 picks a free one. At most `most`
  /// connections are open at a time; what comes above is closed at once. Throws std::runtime_error.
  Listener(const std::string& address, std::size_t most);
  /// Stops as by `stop`.
  ~Listener();

  int port() const { return port_; }

  /// Begins to accept, once the server runs. `each_second` is called on the listener's thread.
  void start(std::unique_ptr<Acceptor> acceptor, std::function<void()> each_second);
  /// Accepts no more. Connections that there are stay.
  void stop();

 private:
  using Tcp = boost::asio::ip::tcp;

  boost::system::error_code listen(Tcp::endpoint endpoint);
  void wait(Tcp::acceptor& socket);
  void accept_all(Tcp::acceptor& socket);
  void pause(Tcp::acceptor& socket);
  void tick();
  bool has_room();

  const std::size_t most_;
  int port_ = 0;
  boost::asio::io_context io_;
  std::list<Tcp::acceptor> sockets_;
  std::unique_ptr<Acceptor> acceptor_;
  std::function<void()> each_second_;
  boost::asio::steady_timer timer_{io_};
  /// What was handed over: the descriptor, and the socket that it was.
  std::unordered_map<int, ino_t> open_;
  std::size_t refused_ = 0;
  std::chrono::steady_clock::time_point next_look_;
  std::thread thread_;
};

}  // namespace orderd::rpc
