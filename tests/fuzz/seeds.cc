#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "orders/v1/order_service.pb.h"
#include "storage/model.h"
#include "tests/fuzz/calls.h"
#include "tests/fuzz/fuzz.h"

// Writes the first inputs of the targets of which nobody could type one: lists of requests, and
// tokens.
//
// usage: fuzz_seeds DIRECTORY     one folder per target in it

namespace orderd::fuzz {
namespace {

using Texts = std::vector<std::pair<std::string, std::string>>;

const std::string kEuros = "{ currency_code: 'EUR' amount_minor: ";

/// Two cups and a plate: 30.00.
const std::string kOrder = R"(
  order_number: 'A-1'
  customer { name: 'Ada' email: 'ada@example.com' phone: '1' }
  billing_address { name: 'Ada' line1: 'Street 1' city: 'Berlin' postal_code: '1' country_code: 'DE' }
  shipping_address { name: 'Ada' line1: 'Street 1' city: 'Berlin' postal_code: '1' country_code: 'DE' }
  items { sku: 'CUP' quantity: 2 unit_price { currency_code: 'EUR' amount_minor: 1000 }
          shipment_method_id: 'standard' }
  items { item_id: 'plate' sku: 'PLATE' quantity: 3 unit_price { currency_code: 'EUR' amount_minor: 300 }
          tax { currency_code: 'EUR' amount_minor: 190 } discount { currency_code: 'EUR' amount_minor: 90 } }
  totals { shipping { currency_code: 'EUR' amount_minor: 400 }
           adjustments { label: 'voucher' amount { currency_code: 'EUR' amount_minor: -400 } } }
  labels { key: 'channel' value: 'web' }
  order_time { seconds: 1700000000 }
)";

const std::string kExpress =
    "method { method_id: 'express' display_name: 'Express' enabled: true tracking_url_template: "
    "'https://x.example/{tracking_number}' }";

const std::string kRequestId = "request_id: '00000000-0000-4000-8000-00000000000";

const std::pair<std::string, std::string> kCreate = {"CreateOrder",
                                                     kRequestId + "1' order {" + kOrder + "}"};

Texts with_payment(const Texts& more) {
  const std::string all =
      "multi_capture: true partial_capture: true partial_refund: true "
      "refund_before_final_capture: true void_after_capture: true concurrent_operations: true "
      "lookup_by_attempt: true key_lifetime { seconds: 86400 }";
  Texts texts = {
      {"Authorize", "gateway_account: 'shop' gateway_reference: 'ref-1' amount " + kEuros +
                        "3000 } capabilities {" + all + "}"},
      {"CreateOrder",
       "order {" + kOrder + "payments { gateway_account: 'shop' gateway_reference: 'ref-1' } }"},
      {"SyncPayments", "order_id: '$order_id0'"},
  };
  texts.insert(texts.end(), more.begin(), more.end());
  return texts;
}

const std::string kPayment = " order_id: '$order_id0' payment_id: '$payment_id0' ";

std::vector<Texts> requests() {
  return {
      {kCreate,
       {"GetOrder", "order_id: '$order_id0'"},
       {"BatchGetOrders", "order_ids: '$order_id0' order_ids: 'x' view: ORDER_VIEW_SUMMARY"},
       {"ListOrders", "page_size: 1 filter { state_ids: 'new' }"},
       {"ListOrders", "page_size: 1 filter { state_ids: 'new' } page_token: '$next_page_token0'"},
       {"ListOrders",
        "filter { customer_email: 'ada@example.com' label { key: 'channel' } } sort: "
        "ORDER_SORT_TOTAL"}},
      {kCreate,
       {"UpdateOrder",
        "order_id: '$order_id0' etag: '$etag0' customer { name: 'Bob' } labels { key: "
        "'a' value: 'b' } update_mask { paths: 'customer' paths: 'labels' }"},
       {"UpdateInvoice", "order_id: '$order_id0' invoice_number: 'I-1'"},
       {"UpdateOrderStatus", "order_id: '$order_id0' state_id: 'processing'"},
       {"UpdateOrderStatus",
        "order_id: '$order_id0' state_id: 'new' force: true reason: 'mistake'"},
       {"BatchUpdateOrderStatus", "updates { order_id: '$order_id0' state_id: 'completed' }"},
       {"ListOrderEvents", "order_id: '$order_id0' page_size: 2"},
       {"ListOrderEvents", "order_id: '$order_id0' page_size: 2 page_token: '$next_page_token0'"}},
      {kCreate,
       {"AddNote", "order_id: '$order_id0' body: 'hello' visibility: NOTE_VISIBILITY_CUSTOMER"},
       {"UpdateNote", "order_id: '$order_id0' note_id: '$note_id0' body: 'hello again'"},
       {"ListNotes", "order_id: '$order_id0' page_size: 1"},
       {"DeleteNote", "order_id: '$order_id0' note_id: '$note_id0'"}},
      {{"CreateShipmentMethod", kExpress},
       kCreate,
       {"UpdateShipments",
        "order_id: '$order_id0' changes { set_delivery_state { selection { all: "
        "true } delivery_state_id: 'confirmed' } } changes { set_tracking_numbers "
        "{ shipment_id: '$shipment_id0' tracking_numbers: 'T1' } }"},
       {"UpdateShipments",
        "order_id: '$order_id0' changes { set_method { selection { lines { item_id: 'plate' "
        "quantity: 1 } } method_id: 'express' client_ref: 'new' } } changes { set_delivery_state { "
        "selection { lines { line_id: '$line_id0' quantity: 1 } } delivery_state_id: 'shipped' } "
        "}"},
       {"UpdateShipments",
        "order_id: '$order_id0' changes { set_delivery_state { selection { lines { "
        "line_id: '$line_id0' } } delivery_state_id: 'returned' } }"},
       {"CancelOrder", "order_id: '$order_id0' include_shipped: true reason: 'r'"}},
      with_payment(
          {{"CapturePayment", kRequestId + "2'" + kPayment + "amount " + kEuros + "1000 }"},
           {"RefundPayment", kPayment + "amount " + kEuros + "400 }"},
           {"VoidPayment", kPayment},
           {"ListTransactions", "order_id: '$order_id0' page_size: 2"},
           {"CancelOrder", kRequestId + "3' order_id: '$order_id0' notify_customer: true"},
           {"ListEmails", "order_id: '$order_id0'"},
           {"RetryEmail", "order_id: '$order_id0' email_id: '$email_id0'"}}),
      with_payment(
          {{"AddFault",
            "gateway_account: 'shop' fault { operation: OPERATION_CAPTURE kind: "
            "FAULT_KIND_DROP_ANSWER times: 1 }"},
           {"CapturePayment", kPayment + "amount " + kEuros + "1200 } final_capture: true"},
           {"ListUnresolvedTransactions", ""},
           {"SyncPayments", "order_id: '$order_id0'"},
           {"SimulateEvent",
            "gateway_account: 'shop' gateway_reference: 'ref-1' event { "
            "refund { amount_minor: 200 } }"},
           {"SyncPayments", "order_id: '$order_id0'"},
           {"ClearFaults", "gateway_account: 'shop'"}}),
      with_payment({{"AddFault",
                     "gateway_account: 'shop' fault { operation: OPERATION_REFUND kind: "
                     "FAULT_KIND_SERVER_ERROR times: 1 }"},
                    {"CapturePayment", kPayment},
                    {"RefundPayment", kPayment + "amount " + kEuros + "10 }"},
                    {"ResolveTransaction",
                     "order_id: '$order_id0' transaction_id: '$transaction_id0' "
                     "status: TRANSACTION_STATUS_FAILED reason: 'r'"},
                    {"CancelOrder", "order_id: '$order_id0'"},
                    {"AbandonCancellation", "order_id: '$order_id0' reason: 'r'"}}),
      {kCreate,
       {"AddPayment",
        "order_id: '$order_id0' payment { gateway_account: 'external' "
        "gateway_reference: 'bank' authorized " +
            kEuros + "3000 } captured " + kEuros + "1000 } }"},
       {"CapturePayment", kPayment + "amount " + kEuros + "500 }"},
       {"RefundPayment", kPayment + "amount " + kEuros + "100 } confirm_external: true"},
       {"CancelOrder", "order_id: '$order_id0'"},
       {"ResolveTransaction",
        "order_id: '$order_id0' transaction_id: '$transaction_id0' status: "
        "TRANSACTION_STATUS_SUCCEEDED reason: 'r'"}},
      {{"CreateShipmentMethod", kExpress},
       {"ImportOrders", "order {" + kOrder +
                            "} state_id: 'completed' invoice_number: 'I-1' notes { author: 'a' "
                            "body: 'b' } payments "
                            "{ gateway_account: 'external' gateway_reference: 'r' authorized " +
                            kEuros + "3000 } captured " + kEuros +
                            "3000 } } shipments { method_id: 'express' tracking_numbers: 'T' lines "
                            "{ item_id: 'plate' "
                            "quantity: 2 delivery_state_id: 'shipped' } }"},
       {"ImportOrders", "order { order_number: 'A-2' } state_id: 'canceled'"},
       {"ListOrders", "filter { open_only: true }"}},
      {kCreate,
       {"WatchOrders", "from_snapshot: true filter { labels { key: 'channel' value: 'web' } }"},
       {"UpdateInvoice", "order_id: '$order_id0' invoice_number: 'I-1'"},
       {"WatchOrders", "resume_token: '$resume_token0' heartbeat_interval { seconds: 5 }"}},
      {{"ListOrderStates", ""},
       {"CreateOrderState", kRequestId + "4' state { state_id: 'packing' display_name: 'Packing' "
                                         "category: STATE_CATEGORY_OPEN allows_capture: true "
                                         "enterable_from { state_ids: 'new' } }"},
       kCreate,
       {"UpdateOrderStatus", "order_id: '$order_id0' state_id: 'packing'"},
       {"UpdateOrderState",
        "state { state_id: 'packing' display_name: 'P' } update_mask { paths: "
        "'display_name' } settings_etag: '$settings_etag1'"},
       {"DeleteOrderState", "state_id: 'packing'"},
       {"DeleteOrderState", "state_id: 'fraud' validate_only: true"}},
      {{"CreateShipmentMethod",
        "method { method_id: 'drone' display_name: 'Drone' enabled: true "
        "tracking_url_template: 'https://x.example/{tracking_number}' }"},
       {"UpdateShipmentMethod", "method { method_id: 'drone' } update_mask { paths: 'enabled' }"},
       {"DeleteShipmentMethod", "method_id: 'pickup'"},
       {"CreateDeliveryState",
        "state { delivery_state_id: 'lost' display_name: 'Lost' category: DELIVERY_CATEGORY_OPEN "
        "}"},
       {"ListDeliveryStates", ""},
       {"ListShipmentMethods", ""},
       {"DeleteDeliveryState", "delivery_state_id: 'lost'"}},
      {kCreate,
       {"EraseCustomerData", "email: 'ada@example.com' include_open: true"},
       {"ListErasures", "page_size: 1"},
       {"GetOrder", "order_id: '$order_id0'"}},
      {{"CreateApiKey", kRequestId + "5' name: 'ci' role: ROLE_VIEWER"},
       {"ListApiKeys", "page_size: 1"},
       {"RevokeApiKey", "key_id: '$key_id0'"}},
  };
}

void write(const std::filesystem::path& directory, int number, const std::string& bytes) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / ("seed-" + std::to_string(number)), std::ios::binary) << bytes;
}

void write_requests(const std::filesystem::path& directory) {
  const auto lists = requests();
  for (std::size_t i = 0; i < lists.size(); ++i) {
    std::vector<Call> calls;
    for (const auto& [method, text] : lists[i]) {
      const auto message = new_message(find_method(method)->input_type());
      require(google::protobuf::TextFormat::ParseFromString(text, message.get()), method + text);
      calls.push_back({method, message->SerializeAsString()});
    }
    write(directory / "requests", static_cast<int>(i), write_calls(calls));
    // Its other calls it leaves out.
    const bool has_order = std::any_of(calls.begin(), calls.end(), [](const Call& call) {
      return call.method == "CreateOrder" || call.method == "ImportOrders";
    });
    if (has_order) {
      write(directory / "rules", static_cast<int>(i), write_calls(calls));
    }
  }
}

void write_tokens(const std::filesystem::path& directory) {
  internal::PageToken page;
  page.set_scope(std::string(32, 's'));
  page.set_sort_key(1'700'000'000'000'000);
  page.set_id(std::string(16, '\x01'));
  write(directory / "page_tokens", 0, page.SerializeAsString());
  internal::WatchToken watch;
  watch.set_position(12345);
  write(directory / "feed_tokens", 0, watch.SerializeAsString());
  watch.set_snapshot_id(std::string(16, '\0'));
  watch.set_scope(std::string(32, 's'));
  write(directory / "feed_tokens", 1, watch.SerializeAsString());
}

}  // namespace

// What is made here is neither changed nor tried.
void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", std::string(what).c_str());
  std::exit(1);
}
std::string mutate_bytes(const std::string& bytes, std::uint64_t /*seed*/) { return bytes; }

}  // namespace orderd::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  orderd::fuzz::write_requests(argv[1]);
  orderd::fuzz::write_tokens(argv[1]);
  return 0;
}
