#include "tests/support/tcp_gate.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cstddef>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include <boost/asio.hpp>

namespace orderd::test {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

}  // namespace

// Everything but the constructor runs on the gate's own thread.
class TcpGate::Impl {
 public:
  Impl(unsigned short upstream_port, Framing how)
      : framing(how),
        upstream_(asio::ip::address_v4::loopback(), upstream_port),
        acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        port(acceptor_.local_endpoint().port()) {
    accept();
    thread_ = std::thread([this] { context_.run(); });
  }

  ~Impl() {
    context_.stop();
    thread_.join();
  }

  /// Runs `change` on the gate's thread and waits for it.
  void apply(const std::function<void()>& change) {
    // Shared: the wait may end before the promise has been left.
    const auto done = std::make_shared<std::promise<void>>();
    asio::post(context_, [&change, done] {
      change();
      done->set_value();
    });
    done->get_future().wait();
  }

  void close_all();
  void forget_all();
  void resume_all();

  const Framing framing;
  bool reading = true;
  bool writing = true;
  bool refusing = false;
  Match before;
  Match after;
  std::atomic<int> dropped{0};

 private:
  class Link;

  void accept();

  asio::io_context context_;
  const tcp::endpoint upstream_;
  tcp::acceptor acceptor_;
  std::set<std::shared_ptr<Link>> links_;
  std::thread thread_;

 public:
  const unsigned short port;
};

/// One client's connection and the one to the server that belongs to it.
class TcpGate::Impl::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(Impl& gate, tcp::socket client)
      : gate_(gate), client_(std::move(client)), server_(gate.context_) {}

  void start() {
    server_.async_connect(gate_.upstream_, [self = shared_from_this()](error_code error) {
      if (error || self->closed_) return self->close();
      self->client_.set_option(tcp::no_delay(true));
      self->server_.set_option(tcp::no_delay(true));
      self->resume();
    });
  }

  /// Goes on in each direction that is allowed and not under way.
  void resume() {
    if (closed_ || forgotten_ || !server_.is_open()) return;
    if (gate_.reading && !from_client_) forward_client();
    if (gate_.writing && !from_server_) forward_server();
  }

  void forget() { forgotten_ = true; }

  void close() {
    if (forgotten_ || std::exchange(closed_, true)) return;
    error_code ignored;
    client_.close(ignored);
    server_.close(ignored);
    gate_.links_.erase(shared_from_this());
  }

 private:
  void read_client() {
    from_client_ = true;
    client_.async_read_some(asio::buffer(client_data_),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              self->from_client_ = false;
                              if (error || self->closed_) return self->close();
                              self->pending_.append(self->client_data_.data(), size);
                              self->resume();
                            });
  }

  /// Forwards the packets that have arrived whole; if there is none, reads on.
  void forward_client() {
    const std::size_t head = gate_.framing == Framing::kMysql ? 4 : 0;
    std::size_t whole = 0;
    while (pending_.size() - whole >= std::max<std::size_t>(head, 1)) {
      const auto byte = [&](std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>(pending_[whole + i]));
      };
      const std::size_t size =
          head == 0 ? pending_.size() : head + byte(0) + (byte(1) << 8) + (byte(2) << 16);
      if (pending_.size() - whole < size) break;
      const auto packet = std::string_view(pending_).substr(whole + head, size - head);
      if (gate_.before && gate_.before(packet)) {
        gate_.before = nullptr;
        ++gate_.dropped;
        return close();
      }
      if (gate_.after && gate_.after(packet)) {
        gate_.after = nullptr;
        discard_answer_ = true;
      }
      whole += size;
    }
    if (whole == 0) return read_client();
    from_client_ = true;
    sending_ = pending_.substr(0, whole);
    pending_.erase(0, whole);
    asio::async_write(server_, asio::buffer(sending_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->from_client_ = false;
                        if (error || self->closed_) return self->close();
                        self->resume();
                      });
  }

  void forward_server() {
    from_server_ = true;
    if (answered_ == 0) return read_server();
    asio::async_write(client_, asio::buffer(server_data_.data(), answered_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        self->from_server_ = false;
                        self->answered_ = 0;
                        if (error || self->closed_) return self->close();
                        self->resume();
                      });
  }

  void read_server() {
    server_.async_read_some(asio::buffer(server_data_),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              self->from_server_ = false;
                              if (error || self->closed_) return self->close();
                              if (self->discard_answer_) {
                                ++self->gate_.dropped;
                                return self->close();
                              }
                              self->answered_ = size;
                              self->resume();
                            });
  }

  Impl& gate_;
  tcp::socket client_;
  tcp::socket server_;
  std::array<char, 16384> client_data_{};
  std::array<char, 16384> server_data_{};
  std::string pending_;  // from the client, not forwarded yet
  std::string sending_;
  std::size_t answered_ = 0;  // bytes of server_data_ that the client has not got yet
  bool from_client_ = false;  // a read or write in that direction is under way
  bool from_server_ = false;
  bool discard_answer_ = false;
  bool forgotten_ = false;
  bool closed_ = false;
};

void TcpGate::Impl::accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket client) {
    if (error) return;
    if (!refusing) {
      auto link = std::make_shared<Link>(*this, std::move(client));
      links_.insert(link);
      link->start();
    }
    accept();
  });
}

void TcpGate::Impl::close_all() {
  const auto links = links_;
  for (const auto& link : links) link->close();
}

void TcpGate::Impl::forget_all() {
  for (const auto& link : links_) link->forget();
}

void TcpGate::Impl::resume_all() {
  const auto links = links_;
  for (const auto& link : links) link->resume();
}

TcpGate::TcpGate(unsigned short upstream_port, Framing framing)
    : impl_(std::make_unique<Impl>(upstream_port, framing)) {}

TcpGate::~TcpGate() = default;

unsigned short TcpGate::port() const { return impl_->port; }

void TcpGate::pass() {
  impl_->apply([this] {
    impl_->reading = impl_->writing = true;
    impl_->refusing = false;
    impl_->before = impl_->after = nullptr;
    impl_->resume_all();
  });
}

void TcpGate::stop_reading() {
  impl_->apply([this] { impl_->reading = false; });
}

void TcpGate::stop_writing() {
  impl_->apply([this] { impl_->writing = false; });
}

void TcpGate::close_now() {
  impl_->apply([this] { impl_->close_all(); });
}

void TcpGate::forget() {
  impl_->apply([this] { impl_->forget_all(); });
}

void TcpGate::refuse() {
  impl_->apply([this] {
    impl_->refusing = true;
    impl_->close_all();
  });
}

void TcpGate::drop_before(Match match) {
  impl_->apply([&] { impl_->before = std::move(match); });
}

void TcpGate::drop_after(Match match) {
  impl_->apply([&] { impl_->after = std::move(match); });
}

int TcpGate::dropped() const { return impl_->dropped; }

bool TcpGate::is_commit(std::string_view packet) {
  constexpr std::string_view kCommit =
      "\x03"
      "commit";
  return packet.size() >= kCommit.size() &&
         std::equal(kCommit.begin(), kCommit.end(), packet.begin(), [](char a, char b) {
           return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
         });
}

}  // namespace orderd::test
