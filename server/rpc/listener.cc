#include "server/rpc/listener.h"

#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace orderd::rpc {
namespace {

constexpr std::chrono::milliseconds kPause{100};
/// How often it is looked for connections that have ended, while there are too many.
constexpr std::chrono::milliseconds kLook{100};

void set_no_delay(int fd) {
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/// Which socket a descriptor is; a number that is used again is another.
std::optional<ino_t> inode_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return std::nullopt;
  return status.st_ino;
}

}  // namespace

Listener::Listener(const std::string& address, std::size_t most) : most_(most) {
  const auto colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  boost::system::error_code error;
  const auto found =
      Tcp::resolver(io_).resolve(host, address.substr(colon + 1),
                                 Tcp::resolver::passive | Tcp::resolver::numeric_service, error);
  for (const auto& entry : found) {
    // A machine may have no IPv6 though it has names for it.
    if (const auto failed = listen(entry.endpoint()); failed) {
      error = failed;
      if (failed == boost::asio::error::address_in_use) break;
    }
  }
  if (sockets_.empty() || error == boost::asio::error::address_in_use) {
    throw std::runtime_error("can't listen on " + address + ": " + error.message());
  }
}

Listener::~Listener() { stop(); }

boost::system::error_code Listener::listen(Tcp::endpoint endpoint) {
  // All addresses of a name have the same port.
  if (endpoint.port() == 0) endpoint.port(static_cast<unsigned short>(port_));
  Tcp::acceptor socket(io_);
  boost::system::error_code error;
  socket.open(endpoint.protocol(), error);
  if (!error) socket.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) socket.bind(endpoint, error);
  if (!error) socket.listen(Tcp::acceptor::max_listen_connections, error);
  if (!error) socket.native_non_blocking(true, error);
  if (error) return error;
  port_ = socket.local_endpoint().port();
  sockets_.push_back(std::move(socket));
  return {};
}

void Listener::start(std::unique_ptr<Acceptor> acceptor, std::function<void()> each_second) {
  acceptor_ = std::move(acceptor);
  each_second_ = std::move(each_second);
  for (Tcp::acceptor& socket : sockets_) wait(socket);
  tick();
  thread_ = std::thread([this] { io_.run(); });
}

void Listener::stop() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  sockets_.clear();
}

void Listener::wait(Tcp::acceptor& socket) {
  socket.async_wait(Tcp::acceptor::wait_read, [this, &socket](const auto& error) {
    if (!error) accept_all(socket);
  });
}

void Listener::accept_all(Tcp::acceptor& socket) {
  while (true) {
    const int fd =
        ::accept4(socket.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return wait(socket);
      if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
      // Most likely there are no descriptors left. Who waits is accepted when there are again.
      spdlog::warn("can't accept a connection: {}; trying again",
                   std::generic_category().message(errno));
      return pause(socket);
    }
    if (!has_room()) {
      ::close(fd);
      ++refused_;
      continue;
    }
    set_no_delay(fd);
    open_[fd] = inode_of(fd).value_or(0);
    Acceptor::NewConnectionParameters connection;
    connection.listener_fd = socket.native_handle();
    connection.fd = fd;
    acceptor_->HandleNewConnection(&connection);
  }
}

void Listener::pause(Tcp::acceptor& socket) {
  auto timer = std::make_shared<boost::asio::steady_timer>(io_, kPause);
  timer->async_wait([this, &socket, timer](const auto& error) {
    if (!error) accept_all(socket);
  });
}

bool Listener::has_room() {
  // gRPC does not say when it closes a connection. So when there seem to be too many it is looked
  // which of them are still there.
  const auto now = std::chrono::steady_clock::now();
  if (open_.size() >= most_ && now >= next_look_) {
    next_look_ = now + kLook;
    std::erase_if(open_, [](const auto& open) { return inode_of(open.first) != open.second; });
  }
  return open_.size() < most_;
}

void Listener::tick() {
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const auto& error) {
    if (error) return;
    each_second_();
    if (refused_ > 0) {
      spdlog::warn("{} connections were closed since there are {}, the limit", refused_, most_);
      refused_ = 0;
    }
    tick();
  });
}

}  // namespace orderd::rpc
