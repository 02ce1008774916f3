#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "client/client.h"

namespace orderd::test {

namespace pb = ::orders::v1;

using OrderRequest = std::variant<pb::UpdateOrderStatusRequest, pb::UpdateInvoiceRequest,
                                  pb::AddNoteRequest, pb::UpdateNoteRequest, pb::DeleteNoteRequest>;

/// What the answers to all of them have in common.
struct OrderAnswer {
  pb::Order order;
  /// The version that the call produced. The etag is opaque to clients; these tests know that it is
  /// the version as a decimal number.
  std::int64_t version = 0;
  bool changed = false;
  bool replayed = false;
  std::string note_id;
};

std::int64_t version_of(const std::string& etag);
absl::StatusOr<OrderAnswer> call(const client::Client& client, const OrderRequest& request);

/// The seed of this run: ORDERD_TEST_SEED, or a new one. Prints it.
std::uint64_t test_seed();

/// Many clients that change a few orders at random, and a record of all that they were told, which
/// is checked against a model:
///
/// - the changes that were acknowledged account for every version of every order, exactly once, so
///   that none is lost and none is made twice;
/// - what a server answers about an order at a version is what the changes up to that version make
///   of it;
/// - no answer shows an order older than what was acknowledged before the call began;
/// - a call that is repeated with its request_id gets its first answer;
/// - no error has any other reason than the few that such changes can have.
class Load {
 public:
  /// Which server a client calls next.
  using Route = std::function<std::size_t(std::size_t client, std::mt19937_64& random)>;
  static Route any_of(std::size_t servers) {
    return [servers](std::size_t, auto& random) { return random() % servers; };
  }
  static std::size_t own(std::size_t, std::mt19937_64&);

  /// Creates the orders. Clients may be one per server process.
  Load(std::vector<client::Client> servers, std::size_t order_count, std::uint64_t seed);
  /// Stops.
  ~Load();

  void start(std::size_t clients, Route route);
  /// Returns when so many more calls have been answered, or, with a failure, after two minutes.
  void wait_for_answers(std::size_t more);
  /// Lets each client finish the call that it is in.
  void stop();
  void run(std::size_t clients, std::size_t answers, Route route) {
    start(clients, std::move(route));
    wait_for_answers(answers);
    stop();
  }

  /// An acknowledged change.
  struct Success {
    std::chrono::steady_clock::time_point began, ended;
    std::size_t order = 0;
  };
  /// All since `start`, by client. After `stop`.
  const std::vector<std::vector<Success>>& successes() const { return successes_; }

  /// Compares everything that was answered with what `client`'s server says now.
  void check(const client::Client& client);
  /// Repeats every change that was acknowledged.
  void replay_all(const client::Client& client);

  const std::vector<std::string>& order_ids() const { return order_ids_; }
  std::size_t answers() const { return answers_; }
  std::size_t changes() const;
  /// Changes whose first answer was lost, so that the client library asked again.
  std::size_t replays() const { return replays_; }

 private:
  struct Change {
    OrderRequest request;
    std::int64_t version = 0;
    std::string note_id;
  };
  /// What some answer said about an order.
  struct Sighting {
    std::int64_t version = 0;
    std::string state_id, invoice_number;
    int note_count = 0;

    bool operator==(const Sighting&) const = default;
    friend std::ostream& operator<<(std::ostream& out, const Sighting& it) {
      return out << "version " << it.version << ", state " << it.state_id << ", invoice '"
                 << it.invoice_number << "', " << it.note_count << " notes";
    }
  };
  /// All about one order.
  struct Ledger {
    std::mutex mutex;
    std::vector<Change> changes;
    std::vector<Sighting> sightings;
    std::vector<std::string> note_ids;
    std::int64_t acknowledged = 1;
    std::string etag = "1";
  };

  void work(std::size_t client, const Route& route);
  OrderRequest random_request(Ledger& ledger, const std::string& order_id, std::mt19937_64& random);
  void read(const client::Client& client, std::size_t index);
  /// Whether something was changed.
  bool write(const client::Client& client, std::size_t index, const OrderRequest& request,
             std::mt19937_64& random);
  void repeat(const client::Client& client, Ledger& ledger, const Change& change);
  void see(Ledger& ledger, const pb::Order& order, std::int64_t at_least);
  bool excused(const absl::Status& status);
  void problem(const std::string& text);
  void check_order(const client::Client& client, std::size_t index);

  const std::vector<client::Client> servers_;
  const std::uint64_t seed_;
  std::vector<std::string> order_ids_;
  std::vector<std::unique_ptr<Ledger>> ledgers_;
  int round_ = 0;
  std::vector<std::thread> threads_;
  std::vector<std::vector<Success>> successes_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> answers_ = 0;
  std::atomic<std::size_t> replays_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable answered_;
  std::vector<std::string> problems_;
  std::map<std::string, std::size_t> refusals_;
};

}  // namespace orderd::test
