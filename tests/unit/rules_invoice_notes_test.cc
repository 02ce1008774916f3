#include "server/orders/invoice.h"
#include "server/orders/notes.h"
#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::string_literals;

template <class Request>
Request make_request() {
  Request request;
  request.set_request_id(kUuid);
  request.set_order_id(uuid(1).to_string());
  return request;
}

TEST(InvoiceValidation, Fields) {
  auto with = [](const std::string& number) {
    auto request = make_request<pb::UpdateInvoiceRequest>();
    request.set_invoice_number(number);
    return validate(request);
  };
  EXPECT_TRUE(with("").ok());
  EXPECT_TRUE(with(" " + repeated(kClef, 64) + " ").ok());
  EXPECT_TRUE(with("'; DROP TABLE orders; -- :x {{7*7}} ${x} %s").ok());
  EXPECT_ONLY_VIOLATION(with(repeated(kClef, 65)), "invoice_number");
  EXPECT_ONLY_VIOLATION(with("a\tb"), "invoice_number");
  EXPECT_ONLY_VIOLATION(with("a\0b"s), "invoice_number");
  EXPECT_ONLY_VIOLATION(with("\xFF"), "invoice_number");
  pb::UpdateInvoiceRequest empty;
  empty.set_request_id("x");
  empty.set_etag(std::string(65, 'x'));
  EXPECT_THAT(fields_of(validate(empty)), ElementsAre("etag", "order_id", "request_id"));
}

class Invoice : public RulesTest {
 protected:
  Result set_number(const std::string& number, std::optional<ClaimHolder> holder = {}) {
    auto request = make_request<pb::UpdateInvoiceRequest>();
    request.set_invoice_number(number);
    Target target;
    target.holders.resize(invoice_claims(request).size(), holder);
    return run([&](const Target& t, const Context& c) { return update_invoice(request, t, c); },
               target);
  }
};

TEST_F(Invoice, SetsTrimmedAndClears) {
  const auto set = set_number("\t I-1 ");
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->after->invoice_number(), "I-1");
  ASSERT_EQ(set->events.size(), 1u);
  EXPECT_EQ(set->events[0].invoice_number_changed().before(), "");
  EXPECT_EQ(set->events[0].invoice_number_changed().after(), "I-1");

  order_.set_invoice_number("I-1");
  const auto cleared = set_number("  ");
  ASSERT_TRUE(cleared.ok());
  EXPECT_EQ(cleared->after->invoice_number(), "");
  EXPECT_EQ(cleared->events[0].invoice_number_changed().before(), "I-1");
}

TEST_F(Invoice, TheSameIsNoChange) {
  EXPECT_FALSE(set_number("")->after);
  order_.set_invoice_number("I-1");
  EXPECT_FALSE(set_number(" I-1", ClaimHolder{uuid(1), ""})->after);
  EXPECT_TRUE(set_number("i-1")->after) << "case counts";
}

TEST_F(Invoice, ANumberOfAnotherOrderIsRefused) {
  const auto taken = set_number("I-1", ClaimHolder{uuid(2), ""});
  EXPECT_REFUSED(taken, "INVOICE_NUMBER_IN_USE");
  EXPECT_EQ(metadata_of(taken.status(), "order_id"), uuid(2).to_string());
  EXPECT_TRUE(set_number("I-1", ClaimHolder{uuid(1), ""}).ok()) << "held by the order itself";
}

TEST_F(Invoice, ClaimsTheTrimmedNumber) {
  auto request = make_request<pb::UpdateInvoiceRequest>();
  EXPECT_THAT(invoice_claims(request), IsEmpty());
  request.set_invoice_number(" I-1 ");
  EXPECT_THAT(invoice_claims(request), ElementsAre(Claim{ClaimKind::kInvoiceNumber, "I-1"}));
}

TEST(NoteValidation, Fields) {
  auto check_both = [](const std::string& body, int visibility, const std::string& field) {
    auto add = make_request<pb::AddNoteRequest>();
    add.set_body(body);
    add.set_visibility(static_cast<pb::NoteVisibility>(visibility));
    auto update = make_request<pb::UpdateNoteRequest>();
    update.set_note_id(uuid(3).to_string());
    update.set_body(body);
    update.set_visibility(static_cast<pb::NoteVisibility>(visibility));
    if (field.empty()) {
      EXPECT_TRUE(validate(add).ok());
      EXPECT_TRUE(validate(update).ok());
    } else {
      EXPECT_ONLY_VIOLATION(validate(add), field);
      EXPECT_ONLY_VIOLATION(validate(update), field);
    }
  };
  check_both("x", 0, "");
  check_both("two\nlines", 2, "");
  check_both(repeated(kClef, 10'000), 1, "");
  check_both(repeated(kClef, 10'001), 1, "body");
  check_both("", 0, "body");
  check_both("a\0"s, 0, "body");
  check_both("\xED\xA0\x80", 0, "body");
  check_both("x", 3, "visibility");
  check_both("x", -1, "visibility");

  EXPECT_THAT(fields_of(validate(pb::AddNoteRequest())), ElementsAre("body", "order_id"));
  EXPECT_THAT(fields_of(validate(pb::UpdateNoteRequest())),
              ElementsAre("body", "note_id", "order_id"));
  EXPECT_THAT(fields_of(validate(pb::DeleteNoteRequest())), ElementsAre("note_id", "order_id"));
}

class Notes : public RulesTest {
 protected:
  Notes() {
    note_.set_note_id(uuid(3).to_string());
    note_.set_author("bob");
    note_.set_body("old");
    note_.set_visibility(pb::NOTE_VISIBILITY_CUSTOMER);
    note_.mutable_create_time()->set_seconds(5);
    note_.mutable_update_time()->set_seconds(6);
  }
  Result update(const std::string& body,
                pb::NoteVisibility visibility = pb::NOTE_VISIBILITY_UNSPECIFIED) {
    auto request = make_request<pb::UpdateNoteRequest>();
    request.set_note_id(note_.note_id());
    request.set_body(body);
    request.set_visibility(visibility);
    return run([&](const Target& t, const Context& c) { return update_note(request, t, c); },
               note_target());
  }

  Target note_target() const {
    Target target;
    target.note = &note_;
    return target;
  }

  pb::Note note_;
};

TEST_F(Notes, Add) {
  auto request = make_request<pb::AddNoteRequest>();
  request.set_body("hello");
  auto add = [&](const Target& t, const Context& c) { return add_note(request, uuid(4), t, c); };
  const auto result = run(add);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->note_count(), 3);
  EXPECT_EQ(result->outcome.note_id(), uuid(4).to_string());
  ASSERT_EQ(result->notes_created.size(), 1u);
  const auto& note = result->notes_created[0];
  EXPECT_EQ(note.note_id(), uuid(4).to_string());
  EXPECT_EQ(note.author(), kActor);
  EXPECT_EQ(note.body(), "hello");
  EXPECT_EQ(note.visibility(), pb::NOTE_VISIBILITY_INTERNAL);
  EXPECT_EQ(to_micros(note.create_time()), kNow);
  EXPECT_EQ(to_micros(note.update_time()), kNow);
  ASSERT_EQ(result->events.size(), 1u);
  EXPECT_EQ(result->events[0].note_added().note().SerializeAsString(), note.SerializeAsString());

  request.set_visibility(pb::NOTE_VISIBILITY_CUSTOMER);
  EXPECT_EQ(run(add)->notes_created[0].visibility(), pb::NOTE_VISIBILITY_CUSTOMER);
}

TEST_F(Notes, UpdateKeepsWhoAndWhen) {
  const auto result = update("new");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->outcome.note_id(), note_.note_id());
  auto expected = note_;
  expected.set_body("new");
  *expected.mutable_update_time() = to_timestamp(kNow);
  EXPECT_EQ(result->note_updated->SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(result->after->SerializeAsString(), order_.SerializeAsString());
  ASSERT_EQ(result->events.size(), 1u);
  EXPECT_EQ(result->events[0].note_updated().before().body(), "old");
  EXPECT_EQ(result->events[0].note_updated().after().body(), "new");

  EXPECT_EQ(update("old", pb::NOTE_VISIBILITY_INTERNAL)->note_updated->visibility(),
            pb::NOTE_VISIBILITY_INTERNAL);
}

TEST_F(Notes, TheSameIsNoChange) {
  for (auto visibility : {pb::NOTE_VISIBILITY_UNSPECIFIED, pb::NOTE_VISIBILITY_CUSTOMER}) {
    const auto result = update("old", visibility);
    ASSERT_TRUE(result.ok());
    EXPECT_FALSE(result->after);
    EXPECT_FALSE(result->note_updated);
    EXPECT_TRUE(result->events.empty());
    EXPECT_EQ(result->outcome.note_id(), note_.note_id());
  }
}

TEST_F(Notes, Delete) {
  auto request = make_request<pb::DeleteNoteRequest>();
  request.set_note_id(note_.note_id());
  const auto result = run(
      [&](const Target& t, const Context& c) { return delete_note(request, t, c); }, note_target());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->note_count(), 1);
  EXPECT_EQ(result->note_deleted, note_.note_id());
  ASSERT_EQ(result->events.size(), 1u);
  EXPECT_EQ(result->events[0].note_deleted().note().SerializeAsString(), note_.SerializeAsString());
}

TEST_F(Notes, AnUnknownNoteIsRefused) {
  auto update_request = make_request<pb::UpdateNoteRequest>();
  update_request.set_note_id("nothing");
  const auto updated =
      run([&](const Target& t, const Context& c) { return update_note(update_request, t, c); });
  EXPECT_REFUSED(updated, "NOTE_NOT_FOUND");
  EXPECT_EQ(metadata_of(updated.status(), "note_id"), "nothing");
  auto delete_request = make_request<pb::DeleteNoteRequest>();
  delete_request.set_note_id("nothing");
  EXPECT_REFUSED(
      run([&](const Target& t, const Context& c) { return delete_note(delete_request, t, c); }),
      "NOTE_NOT_FOUND");
}

}  // namespace
}  // namespace orderd::rules
