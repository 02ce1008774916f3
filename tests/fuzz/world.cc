#include "tests/fuzz/world.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <limits>
#include <thread>

#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/order_service.pb.h"
#include "orders/v1/settings_service.pb.h"
#include "server/access/key_editor.h"
#include "server/access/keyring.h"
#include "server/engine/engine.h"
#include "server/engine/eraser.h"
#include "server/engine/reader.h"
#include "server/engine/settings_editor.h"
#include "server/ops/gateways.h"
#include "server/payments/processor.h"
#include "server/payments/sandbox.h"
#include "server/rpc/access_service.h"
#include "server/rpc/order_service.h"
#include "server/rpc/sandbox_service.h"
#include "server/rpc/settings_service.h"
#include "server/watch/feed.h"
#include "storage/wall_clock.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/invariants.h"

namespace orderd::fuzz {
namespace {

using google::protobuf::MethodDescriptor;

/// A connection of our own to a file of SQLite's.
class Tables {
 public:
  explicit Tables(const std::string& path) {
    require(sqlite3_open(path.c_str(), &db_) == SQLITE_OK, "the database can be opened");
    sqlite3_busy_timeout(db_, 60'000);
  }
  ~Tables() { sqlite3_close(db_); }

  void execute(const std::string& sql) {
    require(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK, sql);
  }
  std::vector<std::string> column(const std::string& sql) {
    std::vector<std::string> values;
    const auto add = [](void* to, int, char** row, char**) {
      static_cast<std::vector<std::string>*>(to)->emplace_back(row[0]);
      return 0;
    };
    require(sqlite3_exec(db_, sql.c_str(), add, &values, nullptr) == SQLITE_OK, sql);
    return values;
  }
  std::vector<std::string> names() {
    return column(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
  }

 private:
  sqlite3* db_ = nullptr;
};

/// Those whose first content comes back.
bool is_settings(const std::string& table) {
  return table == "order_states" || table == "delivery_states" || table == "shipment_methods";
}

/// In memory if there is such a file system: nothing here has to survive.
struct Directory {
  Directory() {
    const char* given = std::getenv("TMPDIR");
    path = given != nullptr                            ? given
           : std::filesystem::is_directory("/dev/shm") ? "/dev/shm"
                                                       : "/tmp";
    path += "/orderd-fuzz-XXXXXX";
    require(mkdtemp(path.data()) != nullptr, "there is room for a database");
  }
  ~Directory() { std::filesystem::remove_all(path); }

  std::string path;
};

SettingsPtr load_settings(storage::Storage& storage) {
  return std::make_shared<const Settings>(
      storage.begin_read(storage::Clock::now() + std::chrono::seconds(30))->load_settings());
}

std::string flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  if (bytes.Dump(&slices).ok()) {
    for (const auto& slice : slices) {
      flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return flat;
}

payments::Accounts::Limits patient() {
  payments::Accounts::Limits limits;
  limits.failures = std::numeric_limits<int>::max();
  return limits;
}

/// A gateway that does not say what became of something is soon asked again. Nobody sends the
/// e-mails that are written.
payments::Processor::Options quick() {
  payments::Processor::Options options;
  options.call_timeout = std::chrono::milliseconds(300);
  options.lease_margin = std::chrono::milliseconds(50);
  options.mailing = {.configured = true, .domain = "example.com"};
  return options;
}

}  // namespace

struct World::Parts {
  Parts() {
    eraser.set_secret(storage->secret());
    auto shop = std::make_unique<payments::Sandbox>(directory.path + "/ledger", wall_clock);
    sandbox = shop.get();
    accounts.add("shop", std::move(shop));
    ops::open_gateways({}, accounts);
    grpc::ServerBuilder builder;
    builder.RegisterService(&orders);
    builder.RegisterService(&settings_service);
    builder.RegisterService(&access_service);
    builder.RegisterService(&sandbox_service);
    server = builder.BuildAndStart();
    channel = server->InProcessChannel({});
    stub = std::make_unique<grpc::GenericStub>(channel);
    for (const std::string& table : tables.names()) {
      if (is_settings(table)) {
        tables.execute("CREATE TEMP TABLE first_" + table + " AS SELECT * FROM " + table);
        resets += "DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM first_" +
                  table + ";";
      } else if (!table.starts_with("feed_") && tables.column("SELECT 1 FROM " + table).empty()) {
        // What a new database has in its other tables stays: secrets and counters.
        clears += "DELETE FROM " + table + ";";
      }
    }
    for (const char* table : {"answers", "movements", "payments"}) {
      clears_ledger += std::string("DELETE FROM ") + table + ";";
    }
  }
  ~Parts() {
    stub.reset();
    channel.reset();
    feed.stop();
    server->Shutdown();
    queue.Shutdown();
    processor.stop();
    io.stop();
    timers.join();
  }

  const Directory directory;
  std::unique_ptr<storage::Storage> storage =
      storage::open("sqlite:" + directory.path + "/orders", {});
  engine::OrderCache cache{64u << 20};
  engine::SettingsCache settings{load_settings(*storage)};
  watch::Feed feed{*storage, {}};
  engine::Engine engine{*storage, cache, settings, {}, &feed};
  engine::Reader reader{*storage, cache, {}};
  engine::SettingsEditor editor{*storage, settings};
  access::Keyring keyring{false, wall_clock};
  access::KeyEditor keys{*storage, keyring, wall_clock};
  engine::Eraser eraser{*storage, engine};
  boost::asio::io_context io;
  payments::Accounts accounts{patient()};
  payments::Sandbox* sandbox = nullptr;
  payments::Processor processor{engine, reader, accounts, io, quick()};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::thread timers{[this] { io.run(); }};
  rpc::Backend backend{engine,    reader, settings, editor,           eraser,
                       processor, feed,   keys,     storage->secret()};
  rpc::Guard guard;
  rpc::OrderService orders{guard, backend};
  rpc::SettingsService settings_service{guard, backend};
  rpc::AccessService access_service{guard, backend};
  rpc::SandboxService sandbox_service{guard, backend};
  std::unique_ptr<grpc::Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::CompletionQueue queue;
  Tables tables{directory.path + "/orders"};
  Tables ledger{directory.path + "/ledger"};
  std::string clears, resets, clears_ledger;
  std::int64_t settings_version = settings.get()->version;
};

World::World() {
  google::protobuf::SetLogHandler(nullptr);
  spdlog::set_level(spdlog::level::off);
  parts_ = std::make_unique<Parts>();
}

World::~World() = default;

World& World::get() {
  static World world;
  return world;
}

void World::reset() {
  Parts& p = *parts_;
  p.sandbox->clear_faults();
  const bool edited = p.tables.column("SELECT settings_version FROM feed_head").front() !=
                      std::to_string(p.settings_version);
  std::string sql = "BEGIN IMMEDIATE;" + p.clears;
  if (edited) sql += p.resets + "UPDATE feed_head SET settings_version = settings_version + 1;";
  p.tables.execute(sql + "COMMIT");
  p.ledger.execute("BEGIN IMMEDIATE;" + p.clears_ledger + "COMMIT");
  if (!edited) return;
  p.settings.put(*load_settings(*p.storage));
  p.settings_version = p.settings.get()->version;
}

grpc::Status World::call(const MethodDescriptor& method, const std::vector<std::string>& requests,
                         const std::function<bool(const std::string&)>& last,
                         std::vector<std::string>& answers) {
  Parts& p = *parts_;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto next = [&p] {
    void* tag = nullptr;
    bool ok = false;
    p.queue.Next(&tag, &ok);
    return ok;
  };
  const auto call = p.stub->PrepareCall(
      &context, "/" + method.service()->full_name() + "/" + method.name(), &p.queue);
  call->StartCall(nullptr);
  bool ok = next();
  for (std::size_t i = 0; ok && i < requests.size(); ++i) {
    const grpc::Slice slice(requests[i]);
    grpc::WriteOptions options;
    if (i + 1 == requests.size()) options.set_last_message();
    call->Write(grpc::ByteBuffer(&slice, 1), options, nullptr);
    ok = next();
  }
  while (ok) {
    grpc::ByteBuffer bytes;
    call->Read(&bytes, nullptr);
    ok = next();
    if (!ok) break;
    answers.push_back(flatten(bytes));
    if (last(answers.back())) context.TryCancel();
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  require(status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED, "the call ends");
  return status;
}

void World::check_order(const std::string& order_id) {
  const auto id = Uuid::parse(order_id);
  require(id.has_value(), "an order's id can be read");
  Parts& p = *parts_;
  const auto tx = p.storage->begin_read(storage::Clock::now() + std::chrono::seconds(30));
  tx->snapshot();
  const auto stored = tx->load_orders({&*id, 1});
  std::promise<absl::StatusOr<engine::Reader::Orders>> promise;
  p.reader.get(
      {*id}, [] { return false; }, [&](auto orders) { promise.set_value(std::move(orders)); });
  const auto read = promise.get_future().get();
  require(read.ok(), "an order can be read");
  require(stored.empty() == (read->front() == nullptr),
          "database and server have the order, or neither");
  if (stored.empty()) return;
  const pb::Order& order = stored.front()->order;
  google::protobuf::util::MessageDifferencer differ;
  std::string difference;
  differ.ReportDifferencesToString(&difference);
  require(differ.Compare(order, read->front()->order),
          "the database has what the server has:\n" + difference);
  std::vector<pb::PaymentTransaction> ledger;
  for (auto& row : tx->load_ledgers({&*id, 1})) ledger.push_back(std::move(row.transaction));
  check(order, ledger, *p.settings.get());
}

void World::check_gateway() {
  for (const auto& violation : parts_->sandbox->ledger().violations()) require(false, violation);
}

}  // namespace orderd::fuzz
