#include "server/orders/errors.h"

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

struct Case {
  absl::Status status;
  StatusCode code;
  std::string reason;
  std::map<std::string, std::string> metadata;
  /// The detail behind ErrorInfo, if there is one.
  std::string detail;
};

TEST(Errors, EachHasItsCodeReasonMetadataAndDetail) {
  const std::string bad = "BadRequest", resource = "ResourceInfo", failure = "PreconditionFailure",
                    retry = "RetryInfo";
  const auto precondition = StatusCode::kFailedPrecondition;
  const auto exists = StatusCode::kAlreadyExists;
  const std::vector<Case> cases = {
      {errors::unauthenticated(), StatusCode::kUnauthenticated, "UNAUTHENTICATED", {}, ""},
      {errors::permission_denied("admin"),
       StatusCode::kPermissionDenied,
       "PERMISSION_DENIED",
       {{"required_role", "admin"}},
       ""},
      {errors::api_key_not_found("k"),
       StatusCode::kNotFound,
       "API_KEY_NOT_FOUND",
       {{"key_id", "k"}},
       resource},
      {errors::first_key_not_admin(), precondition, "FIRST_KEY_NOT_ADMIN", {}, failure},
      {errors::too_many_api_keys(9), precondition, "TOO_MANY_API_KEYS", {{"limit", "9"}}, failure},
      {errors::request_id_reused("r"),
       StatusCode::kInvalidArgument,
       "REQUEST_ID_REUSED",
       {{"request_id", "r"}},
       bad},
      {errors::page_token_invalid(), StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", {}, bad},
      {errors::state_unknown("s"),
       StatusCode::kInvalidArgument,
       "STATE_UNKNOWN",
       {{"state_id", "s"}},
       bad},
      {errors::order_not_found("o"),
       StatusCode::kNotFound,
       "ORDER_NOT_FOUND",
       {{"order_id", "o"}},
       resource},
      {errors::note_not_found("o", "n"),
       StatusCode::kNotFound,
       "NOTE_NOT_FOUND",
       {{"order_id", "o"}, {"note_id", "n"}},
       resource},
      {errors::state_not_found("s"),
       StatusCode::kNotFound,
       "STATE_NOT_FOUND",
       {{"state_id", "s"}},
       resource},
      {errors::order_number_in_use("1", "o"),
       exists,
       "ORDER_NUMBER_IN_USE",
       {{"order_number", "1"}, {"order_id", "o"}},
       resource},
      {errors::invoice_number_in_use("1", "o"),
       exists,
       "INVOICE_NUMBER_IN_USE",
       {{"invoice_number", "1"}, {"order_id", "o"}},
       resource},
      {errors::payment_reference_in_use("a", "r", "o"),
       exists,
       "PAYMENT_REFERENCE_IN_USE",
       {{"gateway_account", "a"}, {"gateway_reference", "r"}, {"order_id", "o"}},
       resource},
      {errors::import_conflict("1", "o"),
       exists,
       "IMPORT_CONFLICT",
       {{"order_number", "1"}, {"order_id", "o"}},
       resource},
      {errors::state_exists("s"), exists, "STATE_EXISTS", {{"state_id", "s"}}, resource},
      {errors::etag_mismatch("9"),
       StatusCode::kAborted,
       "ETAG_MISMATCH",
       {{"current_etag", "9"}},
       ""},
      {errors::state_not_enterable("a", "b"),
       precondition,
       "STATE_NOT_ENTERABLE",
       {{"from_state_id", "a"}, {"to_state_id", "b"}},
       failure},
      {errors::state_final("s"), precondition, "STATE_FINAL", {{"state_id", "s"}}, failure},
      {errors::cancel_required("s", 2),
       precondition,
       "CANCEL_REQUIRED",
       {{"state_id", "s"}, {"open_payments", "2"}},
       failure},
      {errors::customer_erased(), precondition, "CUSTOMER_ERASED", {}, failure},
      {errors::order_open("s"), precondition, "ORDER_OPEN", {{"state_id", "s"}}, failure},
      {errors::payment_open("p"), precondition, "PAYMENT_OPEN", {{"payment_id", "p"}}, failure},
      {errors::delivery_open("l"), precondition, "DELIVERY_OPEN", {{"line_id", "l"}}, failure},
      {errors::cancellation_completed(), precondition, "CANCELLATION_COMPLETED", {}, failure},
      {errors::cancellation_in_progress(), precondition, "CANCELLATION_IN_PROGRESS", {}, failure},
      {errors::state_in_use("s", 12),
       precondition,
       "STATE_IN_USE",
       {{"state_id", "s"}, {"order_count", "12"}},
       failure},
      {errors::state_referenced("s", {"a", "b"}),
       precondition,
       "STATE_REFERENCED",
       {{"state_id", "s"}, {"referenced_by", "a,b"}, {"referenced_by_count", "2"}},
       failure},
      {errors::state_last_initial("s"),
       precondition,
       "STATE_LAST_INITIAL",
       {{"state_id", "s"}},
       failure},
      {errors::state_last_canceled("s"),
       precondition,
       "STATE_LAST_CANCELED",
       {{"state_id", "s"}},
       failure},
      {errors::state_initial_exists("s"),
       precondition,
       "STATE_INITIAL_EXISTS",
       {{"state_id", "s"}},
       failure},
      {errors::state_reference_invalid("s", "t"),
       precondition,
       "STATE_REFERENCE_INVALID",
       {{"state_id", "s"}, {"referenced_state_id", "t"}},
       failure},
      {errors::state_unreachable("s"),
       precondition,
       "STATE_UNREACHABLE",
       {{"state_id", "s"}},
       failure},
      {errors::too_many_states(1000),
       precondition,
       "TOO_MANY_STATES",
       {{"limit", "1000"}},
       failure},
      {errors::currency_mismatch("EUR", "USD"),
       StatusCode::kInvalidArgument,
       "CURRENCY_MISMATCH",
       {{"expected", "EUR"}, {"given", "USD"}},
       bad},
      {errors::payment_not_found("o", "p"),
       StatusCode::kNotFound,
       "PAYMENT_NOT_FOUND",
       {{"order_id", "o"}, {"payment_id", "p"}},
       resource},
      {errors::transaction_not_found("o", "t"),
       StatusCode::kNotFound,
       "TRANSACTION_NOT_FOUND",
       {{"order_id", "o"}, {"transaction_id", "t"}},
       resource},
      {errors::payment_busy("p"),
       StatusCode::kAborted,
       "PAYMENT_BUSY",
       {{"payment_id", "p"}},
       retry},
      {errors::payment_unsynced("p"),
       StatusCode::kAborted,
       "PAYMENT_UNSYNCED",
       {{"payment_id", "p"}},
       ""},
      {errors::stale_reading("p"),
       StatusCode::kAborted,
       "STALE_READING",
       {{"payment_id", "p"}},
       ""},
      {errors::order_canceled(), precondition, "ORDER_CANCELED", {}, failure},
      {errors::order_without_currency(), precondition, "ORDER_WITHOUT_CURRENCY", {}, failure},
      {errors::too_many_payments(100),
       precondition,
       "TOO_MANY_PAYMENTS",
       {{"limit", "100"}},
       failure},
      {errors::gateway_not_configured("a"),
       precondition,
       "GATEWAY_NOT_CONFIGURED",
       {{"gateway_account", "a"}},
       failure},
      {errors::gateway_payment_not_found("p"),
       precondition,
       "GATEWAY_PAYMENT_NOT_FOUND",
       {{"payment_id", "p"}},
       failure},
      {errors::gateway_payment_unusable("p"),
       precondition,
       "GATEWAY_PAYMENT_UNUSABLE",
       {{"payment_id", "p"}},
       failure},
      {errors::payment_discrepancy("p"),
       precondition,
       "PAYMENT_DISCREPANCY",
       {{"payment_id", "p"}},
       failure},
      {errors::capture_not_allowed("s"),
       precondition,
       "CAPTURE_NOT_ALLOWED",
       {{"state_id", "s"}},
       failure},
      {errors::payment_not_capturable("p", "CAPTURED", 0),
       precondition,
       "PAYMENT_NOT_CAPTURABLE",
       {{"payment_id", "p"}, {"status", "CAPTURED"}, {"max_capturable_minor", "0"}},
       failure},
      {errors::authorization_expired("p"),
       precondition,
       "AUTHORIZATION_EXPIRED",
       {{"payment_id", "p"}},
       failure},
      {errors::capture_too_large("p", 3, 2),
       precondition,
       "AMOUNT_TOO_LARGE",
       {{"payment_id", "p"}, {"requested_minor", "3"}, {"max_capturable_minor", "2"}},
       failure},
      {errors::final_capture_required("p", 7),
       precondition,
       "FINAL_CAPTURE_REQUIRED",
       {{"payment_id", "p"}, {"released_minor", "7"}},
       failure},
      {errors::partial_capture_not_supported("p", 9),
       precondition,
       "PARTIAL_CAPTURE_NOT_SUPPORTED",
       {{"payment_id", "p"}, {"max_capturable_minor", "9"}},
       failure},
      {errors::amount_not_representable("a", "KWD", 1),
       precondition,
       "AMOUNT_NOT_REPRESENTABLE",
       {{"gateway_account", "a"}, {"currency_code", "KWD"}, {"amount_minor", "1"}},
       failure},
      {errors::payment_not_voidable("p", "VOIDED"),
       precondition,
       "PAYMENT_NOT_VOIDABLE",
       {{"payment_id", "p"}, {"status", "VOIDED"}},
       failure},
      {errors::void_after_capture_not_supported("p"),
       precondition,
       "VOID_AFTER_CAPTURE_NOT_SUPPORTED",
       {{"payment_id", "p"}},
       failure},
      {errors::payment_not_refundable("p", "VOIDED", 0),
       precondition,
       "PAYMENT_NOT_REFUNDABLE",
       {{"payment_id", "p"}, {"status", "VOIDED"}, {"max_refundable_minor", "0"}},
       failure},
      {errors::partial_refund_not_supported("p", 9),
       precondition,
       "PARTIAL_REFUND_NOT_SUPPORTED",
       {{"payment_id", "p"}, {"max_refundable_minor", "9"}},
       failure},
      {errors::refund_before_final_capture_not_supported("p"),
       precondition,
       "REFUND_BEFORE_FINAL_CAPTURE_NOT_SUPPORTED",
       {{"payment_id", "p"}},
       failure},
      {errors::confirm_external_not_allowed("a"),
       precondition,
       "CONFIRM_EXTERNAL_NOT_ALLOWED",
       {{"gateway_account", "a"}},
       failure},
      {errors::transaction_final("t"),
       precondition,
       "TRANSACTION_FINAL",
       {{"transaction_id", "t"}},
       failure},
      {errors::gateway_can_tell("t"),
       precondition,
       "GATEWAY_CAN_TELL",
       {{"transaction_id", "t"}},
       failure},
      {errors::gateway_unavailable("a", milliseconds(1500)),
       StatusCode::kUnavailable,
       "GATEWAY_UNAVAILABLE",
       {{"gateway_account", "a"}},
       retry},
      {errors::overloaded(milliseconds(1500)),
       StatusCode::kResourceExhausted,
       "OVERLOADED",
       {},
       retry},
      {errors::rate_limited(milliseconds(1500)),
       StatusCode::kResourceExhausted,
       "RATE_LIMITED",
       {},
       retry},
      {errors::database_unavailable(milliseconds(1500)),
       StatusCode::kUnavailable,
       "DATABASE_UNAVAILABLE",
       {},
       retry},
      {errors::shutting_down(), StatusCode::kUnavailable, "SHUTTING_DOWN", {}, retry},
      {errors::deadline_exceeded(), StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED", {}, ""},
      {errors::cancelled(), StatusCode::kCancelled, "CANCELLED", {}, ""},
      {errors::internal(), StatusCode::kInternal, "INTERNAL", {}, ""},
  };
  std::set<std::string> reasons;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.reason);
    EXPECT_EQ(c.status.code(), c.code);
    EXPECT_EQ(errors::reason(c.status), c.reason);
    EXPECT_TRUE(reasons.insert(c.reason).second) << "a reason stands for one error";
    EXPECT_FALSE(c.status.message().empty());

    const auto proto = errors::to_proto(c.status);
    EXPECT_EQ(proto.code(), static_cast<int>(c.code));
    EXPECT_EQ(proto.message(), std::string(c.status.message()));
    ASSERT_EQ(proto.details_size(), c.detail.empty() ? 1 : 2);
    google::rpc::ErrorInfo info;
    ASSERT_TRUE(proto.details(0).UnpackTo(&info)) << "ErrorInfo comes first";
    EXPECT_EQ(info.reason(), c.reason);
    EXPECT_EQ(info.domain(), "orders.v1");
    EXPECT_EQ((std::map<std::string, std::string>(info.metadata().begin(), info.metadata().end())),
              c.metadata);
    if (!c.detail.empty()) {
      EXPECT_EQ(proto.details(1).type_url(), "type.googleapis.com/google.rpc." + c.detail);
    }
    EXPECT_EQ(proto.SerializeAsString(), errors::to_proto(c.status).SerializeAsString());
  }
}

TEST(Errors, DetailsSayMore) {
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(errors::to_proto(errors::overloaded(milliseconds(1500))).details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);

  google::rpc::ResourceInfo resource;
  ASSERT_TRUE(errors::to_proto(errors::note_not_found("o", "n")).details(1).UnpackTo(&resource));
  EXPECT_EQ(resource.resource_type(), "note");
  EXPECT_EQ(resource.resource_name(), "n");

  google::rpc::PreconditionFailure failure;
  ASSERT_TRUE(errors::to_proto(errors::state_final("s")).details(1).UnpackTo(&failure));
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).type(), "STATE_FINAL");
  EXPECT_EQ(failure.violations(0).subject(), "order_states/s");
}

TEST(Errors, AnAmountIsTooLargeForACaptureOrForARefund) {
  const auto status = errors::refund_too_large("p", 3, 2);
  EXPECT_EQ(errors::reason(status), "AMOUNT_TOO_LARGE");
  EXPECT_EQ(metadata_of(status, "requested_minor"), "3");
  EXPECT_EQ(metadata_of(status, "max_refundable_minor"), "2");
  EXPECT_EQ(metadata_of(status, "max_capturable_minor"), "");
}

TEST(Errors, OkHasNothing) {
  const auto proto = errors::to_proto(absl::OkStatus());
  EXPECT_EQ(proto.code(), 0);
  EXPECT_EQ(proto.details_size(), 0);
  EXPECT_EQ(errors::reason(absl::OkStatus()), "");
  EXPECT_TRUE(errors::Violations().status().ok());
}

TEST(Errors, EchoedValuesAreShortenedAndEscaped) {
  const auto status = errors::order_not_found(std::string(5000, 'x') + "\n");
  EXPECT_LT(status.message().size(), 150u);
  EXPECT_LT(metadata_of(status, "order_id").size(), 1500u);
  const auto escaped = errors::state_unknown("a\n\xFF");
  EXPECT_EQ(metadata_of(escaped, "state_id"), "a\\u{000A}\\xFF");
  EXPECT_EQ(std::string(escaped.message()).find('\n'), std::string::npos);
}

TEST(Errors, ManyReferencesAreCutShort) {
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(std::string(60, 'a') + std::to_string(i));
  const auto status = errors::state_referenced("s", ids);
  EXPECT_EQ(metadata_of(status, "referenced_by_count"), "1000");
  const auto names = metadata_of(status, "referenced_by");
  EXPECT_EQ(std::count(names.begin(), names.end(), ','), 19);
  EXPECT_LT(errors::to_proto(status).ByteSizeLong(), 5000u);
}

TEST(Errors, ViolationsAreCollected) {
  errors::Violations violations;
  EXPECT_TRUE(violations.empty());
  violations.add("a.b", "must be x");
  EXPECT_FALSE(violations.empty());
  violations.add("c[1]", "must be y");
  const auto status = violations.status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(errors::reason(status), "INVALID_REQUEST");
  EXPECT_EQ(metadata_of(status, "violation_count"), "2");
  EXPECT_EQ(violations_of(status),
            (std::multimap<std::string, std::string>{{"a.b", "must be x"}, {"c[1]", "must be y"}}));
}

TEST(Errors, ViolationsFitIntoTheTrailersOfACall) {
  errors::Violations violations;
  for (int i = 0; i < 10'000; ++i) {
    violations.add("order.items[" + std::to_string(i) + "].sku", "must not be empty");
  }
  const auto status = violations.status();
  EXPECT_EQ(metadata_of(status, "violation_count"), "10000");
  EXPECT_GT(violations_of(status).size(), 50u);
  EXPECT_LT(errors::to_proto(status).ByteSizeLong(), 5000u);
}

TEST(Errors, HaveReasonsOnlyWhereNobodySeesMore) {
  const absl::Status whole = errors::order_not_found("1");
  absl::Status bare;
  {
    const errors::ReasonsOnly reasons_only;
    bare = errors::order_not_found("1");
    EXPECT_EQ(errors::reason(errors::overloaded(std::chrono::milliseconds(5))), "OVERLOADED");
  }
  EXPECT_EQ(bare.code(), whole.code());
  EXPECT_EQ(errors::reason(bare), errors::reason(whole));
  EXPECT_EQ(bare.message(), "");
  EXPECT_EQ(errors::reason(absl::OkStatus()), "");
  // Afterwards they are whole again.
  EXPECT_EQ(errors::order_not_found("1"), whole);
}

}  // namespace
}  // namespace orderd::rules
