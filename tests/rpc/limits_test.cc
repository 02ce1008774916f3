#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <sys/socket.h>

#include <future>

#include "tests/rpc/rpc_fixture.h"

// Each limit of the server is reached, and what is within it goes on. docs/limits.md lists them
// all.

namespace orderd::test {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;

/// A call that waits for its answer elsewhere.
struct WaitingNote {
  Failure wait() { return failure_of(result.get_future().get()); }

  grpc::ClientContext context;
  pb::AddNoteRequest request;
  pb::AddNoteResponse response;
  std::promise<grpc::Status> result;
};

/// Keeps the engine from writing anything: its lane is in a command that does not end.
class HeldLane {
 public:
  explicit HeldLane(engine::Engine& engine) {
    engine::Command command;
    command.actor = "test";
    command.order_id = Uuid::generate();
    command.creates = true;
    command.rule = [this](const auto&, const auto&) {
      begun_.set_value();
      released_.get_future().wait();
      return errors::order_canceled();
    };
    command.done = [this](const auto&) { done_.set_value(); };
    engine.submit(std::move(command));
    begun_.get_future().wait();
  }
  ~HeldLane() { release(); }

  void release() {
    if (std::exchange(is_released_, true)) return;
    released_.set_value();
    done_.get_future().wait();
  }

 private:
  bool is_released_ = false;
  std::promise<void> begun_;
  std::promise<void> released_;
  std::promise<void> done_;
};

class LimitsTest : public RpcTest {
 protected:
  void restart() {
    stop();
    start();
  }
  /// Until the server has begun so many calls, none of which ends.
  void wait_for_running(int calls) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (server_->running_calls() != calls && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::yield();
    }
    EXPECT_EQ(server_->running_calls(), calls);
  }
  /// A note whose call has a deadline of 50 ms that is over when it could be run.
  Failure add_late_note(WaitingNote& note, HeldLane& held) {
    wait_for_running(1);
    std::this_thread::sleep_for(milliseconds(60));  // the deadline
    held.release();
    return note.wait();
  }
  std::unique_ptr<WaitingNote> add_note(const std::string& order_id, bool with_deadline = true) {
    auto note = std::make_unique<WaitingNote>();
    if (with_deadline) set_deadline(note->context);
    note->request.set_order_id(order_id);
    note->request.set_body("a note");
    orders_->async()->AddNote(
        &note->context, &note->request, &note->response,
        [note = note.get()](const grpc::Status& status) { note->result.set_value(status); });
    return note;
  }
  /// As a client does: what finds no room is tried again, for a minute.
  pb::Order get_patiently(const std::string& order_id) {
    pb::GetOrderRequest request;
    request.set_order_id(order_id);
    pb::GetOrderResponse response;
    grpc::Status status;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    do {
      status = send(&Orders::GetOrder, request, response);
    } while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
             std::chrono::steady_clock::now() < give_up);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.order();
  }
};
INSTANTIATE_TEST_SUITE_P(, LimitsTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(LimitsTest, CallsAboveTheLimitAreRefusedAtOnceWithADelay) {
  rpc_limits_.calls = 4;
  restart();
  const std::string id = create(new_order()).order_id();
  wait_for_running(0);
  HeldLane held(parts_->engine);
  std::vector<std::unique_ptr<WaitingNote>> notes;
  for (int i = 0; i < 5; ++i) notes.push_back(add_note(id));
  wait_for_report("AddNote", absl::StatusCode::kResourceExhausted);
  // Reads too, and before it is known who asks what.
  for (int i = 0; i < 3; ++i) {
    const Failure failure = refusal(&Orders::GetOrder, {});
    EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(failure.reason, "OVERLOADED");
    EXPECT_TRUE(failure.has_retry);
  }
  EXPECT_EQ(reports("GetOrder", absl::StatusCode::kResourceExhausted), 3);
  held.release();
  int added = 0;
  for (const auto& note : notes) added += note->wait().code == grpc::StatusCode::OK ? 1 : 0;
  EXPECT_EQ(added, 4);
  EXPECT_EQ(get_patiently(id).note_count(), 4);
}

TEST_P(LimitsTest, TheDelaysAreSpreadAndGrowWithTheNumberOfRefusals) {
  rpc::Refusals refusals;
  const auto delay = [&] {
    google::rpc::Status status;
    status.ParseFromString(refusals.overloaded().error_details());
    google::rpc::RetryInfo retry;
    for (const auto& detail : status.details()) detail.UnpackTo(&retry);
    return retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1'000'000;
  };
  std::set<std::int64_t> first;
  for (int i = 0; i < 50; ++i) first.insert(delay());
  EXPECT_GE(*first.begin(), 50);
  EXPECT_LE(*first.rbegin(), 200);
  EXPECT_GE(first.size(), 4u);
  std::set<std::int64_t> late;
  for (int i = 0; i < 20'000; ++i) late.insert(delay());
  EXPECT_LE(*late.rbegin(), 1500);
  EXPECT_GE(*late.rbegin(), 1000);
}

TEST_P(LimitsTest, AnIdentityHasARate) {
  rpc_limits_.rate = {.per_second = 0.001, .burst = 3};
  restart();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(refusal(&Orders::GetOrder, {}).code, grpc::StatusCode::INVALID_ARGUMENT);
  }
  grpc::ClientContext context;
  set_deadline(context);
  pb::GetOrderResponse response;
  const grpc::Status status = orders_->GetOrder(&context, {}, &response);
  const Failure failure = failure_of(status);
  EXPECT_EQ(failure.code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(failure.reason, "RATE_LIMITED");
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  google::rpc::RetryInfo retry;
  for (const auto& detail : details.details()) detail.UnpackTo(&retry);
  EXPECT_GT(retry.retry_delay().seconds(), 0);
  EXPECT_LE(retry.retry_delay().seconds(), 1000);
  // Streams are calls, too.
  grpc::Status ended;
  import({new_import("N-1")}, &ended);
  EXPECT_EQ(failure_of(ended).reason, "RATE_LIMITED");
}

TEST_P(LimitsTest, ACallWithoutADeadlineGetsOne) {
  const std::string id = create(new_order()).order_id();
  rpc_limits_.default_deadline = milliseconds(50);
  restart();
  HeldLane held(parts_->engine);
  const auto note = add_note(id, false);
  EXPECT_EQ(add_late_note(*note, held).reason, "DEADLINE_EXCEEDED");
  EXPECT_EQ(get(id).note_count(), 0);
}

TEST_P(LimitsTest, NoDeadlineIsLongerThanTheLimit) {
  const std::string id = create(new_order()).order_id();
  rpc_limits_.max_deadline = milliseconds(50);
  restart();
  HeldLane held(parts_->engine);
  const auto note = add_note(id);
  EXPECT_EQ(add_late_note(*note, held).reason, "DEADLINE_EXCEEDED");
  EXPECT_EQ(get(id).note_count(), 0);
}

TEST_P(LimitsTest, CanceledCallsAreNotRun) {
  constexpr int kCalls = 1000;
  rpc_limits_.calls = 2 * kCalls;
  rpc_limits_.streams = 2 * kCalls;
  restart();
  const std::string id = create(new_order()).order_id();
  wait_for_running(0);
  HeldLane held(parts_->engine);
  const auto commands = parts_->engine.counters().commands;
  std::vector<std::unique_ptr<WaitingNote>> notes;
  for (int i = 0; i < kCalls; ++i) notes.push_back(add_note(id));
  wait_for_running(kCalls);
  for (const auto& note : notes) note->context.TryCancel();
  for (const auto& note : notes) EXPECT_EQ(note->wait().code, grpc::StatusCode::CANCELLED);
  // The server hears of it a moment later than the caller: after the news of the last one it takes
  // calls on the same connection.
  for (int i = 0; i < 10; ++i) EXPECT_EQ(get(id).note_count(), 0);
  held.release();
  wait_for_running(0);
  const int run = reports("AddNote", absl::StatusCode::kOk);
  EXPECT_EQ(run + reports("AddNote", absl::StatusCode::kCancelled), kCalls);
  EXPECT_LT(run, kCalls / 10);
  EXPECT_EQ(get(id).note_count(), run);
  EXPECT_EQ(parts_->engine.counters().commands, commands + 1 + static_cast<unsigned>(run));
}

TEST_P(LimitsTest, ImportsAtOnceAreLimited) {
  rpc_limits_.imports = 1;
  restart();
  grpc::ClientContext context;
  set_deadline(context);
  auto open = orders_->ImportOrders(&context);
  ASSERT_TRUE(open->Write(new_import("N-1")));
  pb::ImportOrdersResponse response;
  ASSERT_TRUE(open->Read(&response));
  grpc::Status status;
  EXPECT_TRUE(import({new_import("N-2")}, &status).empty());
  EXPECT_EQ(failure_of(status).reason, "OVERLOADED");
  EXPECT_TRUE(failure_of(status).has_retry);
  open->WritesDone();
  EXPECT_FALSE(open->Read(&response));
  EXPECT_TRUE(open->Finish().ok());
  do {
    import({new_import("N-3")}, &status);
  } while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

/// A peer that speaks HTTP/2 by hand.
class RawPeer {
 public:
  explicit RawPeer(int port) : socket_(io_) {
    socket_.connect({boost::asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)});
    // Only a hang reaches it.
    const timeval most{60, 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  }

  void send(std::string_view bytes) {
    boost::system::error_code error;
    boost::asio::write(socket_, boost::asio::buffer(bytes.data(), bytes.size()), error);
  }
  /// Settings, which allow the server to send no data of a call, and the acknowledgment of its own.
  void greet() {
    send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    send(frame(4, 0, 0, std::string("\0\4\0\0\0\0", 6)));
    send(frame(4, 1, 0, ""));
  }
  /// A unary call, stream 1.
  void call(const std::string& path, const google::protobuf::Message& request) {
    std::string headers = "\x83\x86";  // POST, http
    for (const auto& [name, value] : {std::pair<std::string, std::string>{":path", path},
                                      {":authority", "test"},
                                      {"te", "trailers"},
                                      {"content-type", "application/grpc"}}) {
      headers.append(1, '\0').append(1, static_cast<char>(name.size())).append(name);
      headers.append(1, static_cast<char>(value.size())).append(value);
    }
    const std::string bytes = request.SerializeAsString();
    send(frame(1, 4, 1, headers));
    send(frame(0, 1, 1, std::string(4, '\0') + static_cast<char>(bytes.size()) + bytes));
  }
  /// All until the server closes the connection.
  std::string read_all() {
    std::string all;
    char some[4096];
    while (true) {
      boost::system::error_code error;
      const auto size = socket_.read_some(boost::asio::buffer(some), error);
      if (error == boost::asio::error::eof || error == boost::asio::error::connection_reset) break;
      if (error) {
        ADD_FAILURE() << "still open: " << error.message();
        break;
      }
      all.append(some, size);
    }
    return all;
  }
  /// What comes first; nothing if the server closes the connection.
  std::string read_some() {
    std::string some(1000, '\0');
    boost::system::error_code error;
    some.resize(socket_.read_some(boost::asio::buffer(some), error));
    return some;
  }
  void close() { socket_.close(); }

 private:
  static std::string frame(char type, char flags, char stream, const std::string& payload) {
    const std::string head = {
        '\0', '\0', static_cast<char>(payload.size()), type, flags, '\0', '\0', '\0', stream};
    return head + payload;
  }

  boost::asio::io_context io_;
  tcp::socket socket_;
};

TEST_P(LimitsTest, WhoDoesNotReadTheAnswerIsCut) {
  const std::string id = create(new_order()).order_id();
  pb::AddNoteRequest note;
  note.set_order_id(id);
  note.set_body("a note");
  call(&Orders::AddNote, note);
  rpc_limits_.calls = 1;
  rpc_limits_.unread = milliseconds(100);
  restart();
  pb::ListNotesRequest list;
  list.set_order_id(id);
  RawPeer peer(server_->port());
  peer.greet();
  peer.call("/orders.v1.OrderService/ListNotes", list);
  wait_for_report("ListNotes", absl::StatusCode::kOk);
  // Its answer is kept for it, so it takes a slot still.
  EXPECT_EQ(refusal(&Orders::GetOrder, {}).reason, "OVERLOADED");
  EXPECT_EQ(get_patiently(id).note_count(), 1);
}

TEST_P(LimitsTest, ConnectionsAreLimited) {
  stop();
  rpc_limits_.connections = 3;
  start();
  create(new_order());
  std::vector<std::unique_ptr<RawPeer>> peers;
  const auto connect = [&] {
    peers.push_back(std::make_unique<RawPeer>(server_->port()));
    peers.back()->greet();
  };
  connect();
  connect();
  // The settings: both are served.
  for (const auto& peer : peers) EXPECT_NE(peer->read_some(), "");
  connect();
  EXPECT_EQ(peers.back()->read_all(), "");
  create(new_order());
  // Who goes makes room.
  peers.front()->close();
  std::string answer;
  do {
    RawPeer peer(server_->port());
    peer.greet();
    answer = peer.read_some();
  } while (answer.empty());
}

TEST_P(LimitsTest, WhoConnectsAndSaysNothingIsClosed) {
  rpc_limits_.handshake = milliseconds(200);
  restart();
  RawPeer silent(server_->port());
  RawPeer half(server_->port());
  half.send("PRI * HTTP/2.0\r\n");
  silent.read_all();
  half.read_all();
  create(new_order());
}

TEST_P(LimitsTest, WhoIsSilentAndDoesNotAnswerIsClosed) {
  rpc_limits_.keepalive = milliseconds(200);
  rpc_limits_.keepalive_timeout = milliseconds(200);
  restart();
  RawPeer peer(server_->port());
  peer.greet();
  // A PING, of eight bytes.
  EXPECT_NE(peer.read_all().find(std::string_view("\0\0\10\6\0\0\0\0\0", 9)), std::string::npos);
  create(new_order());
}

TEST_P(LimitsTest, AConnectionWithoutACallIsClosedAndTheClientComesBack) {
  rpc_limits_.idle = milliseconds(200);
  restart();
  RawPeer peer(server_->port());
  peer.greet();
  // A GOAWAY without an error comes first.
  EXPECT_NE(peer.read_all().find('\7'), std::string::npos);
  create(new_order());
}

TEST_P(LimitsTest, ClientsAreToldHowManyStreamsAConnectionMayHave) {
  rpc_limits_.streams = 5;
  restart();
  RawPeer peer(server_->port());
  peer.greet();
  EXPECT_NE(peer.read_some().find(std::string_view("\0\3\0\0\0\5", 6)), std::string::npos);
}

}  // namespace
}  // namespace orderd::test
