"""The contract as a program in another language meets it, call by call, on both databases."""

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from orders.v1 import common_pb2, order_pb2, settings_pb2
from orders.v1 import settings_service_pb2 as settings_pb

from harness import new_id, pb, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXISTS = grpc.StatusCode.ALREADY_EXISTS
ABORTED = grpc.StatusCode.ABORTED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"


def eur(amount_minor):
    return common_pb2.Money(currency_code="EUR", amount_minor=amount_minor)


def an_order(**fields):
    """2 x 10.00 - 1.00 + 3.61 + 5.00 shipping = 27.61 EUR, and a free sample."""
    order = pb.NewOrder(
        customer=common_pb2.Customer(customer_id="c-1", name="Ada", email="Ada@example.com"),
        shipping_address=common_pb2.Address(line1="Main St 1", city="Ghent", country_code="BE"),
        items=[
            order_pb2.Item(sku="CUP", name="Cup", quantity=2, unit_price=eur(1000),
                           discount=eur(100), tax=eur(361)),
            order_pb2.Item(sku="CUP", quantity=1, unit_price=eur(0)),
        ],
        totals=order_pb2.Totals(shipping=eur(500)),
        labels={"channel": "web"},
    )
    order.MergeFrom(pb.NewOrder(**fields))
    return order


def create(server, **fields):
    return server.orders.CreateOrder(pb.CreateOrderRequest(order=an_order(**fields))).order


def get(server, order_id):
    return server.orders.GetOrder(pb.GetOrderRequest(order_id=order_id)).order


def test_create_computes_and_get_answers_the_same(server):
    number = f"N-{new_id()}"
    answer = server.orders.CreateOrder(pb.CreateOrderRequest(
        order=an_order(order_number=f"  {number} ",
                       order_time=timestamp_pb2.Timestamp(seconds=1_600_000_000, nanos=123456000))))
    order = answer.order
    assert answer.changed and not answer.replayed and answer.etag == order.etag
    assert order.order_number == number
    assert order.state_id == "new"
    assert [item.item_id for item in order.items] == ["1", "2"]
    assert [item.total.amount_minor for item in order.items] == [2261, 0]
    assert order.totals.items == eur(2261)
    assert order.totals.total == eur(2761)
    assert order.currency_code == "EUR" and order.item_count == 2 and order.note_count == 0
    assert order.labels == {"channel": "web"}
    assert order.order_time.ToMicroseconds() == 1_600_000_000_123_456
    assert order.create_time == order.update_time
    assert order.cancellation.status == order_pb2.CANCELLATION_STATUS_NONE
    assert get(server, order.order_id) == order

    summary = server.orders.GetOrder(
        pb.GetOrderRequest(order_id=order.order_id, view=pb.ORDER_VIEW_SUMMARY)).order
    assert not summary.items and not summary.labels and not summary.available_actions
    assert summary.item_count == 2 and summary.totals.total == eur(2761)


def test_create_refuses_everything_that_is_wrong_at_once(server):
    order = an_order(order_number="x" * 65)
    order.items[0].quantity = 0
    order.items[1].unit_price.currency_code = "EUX"
    order.shipping_address.country_code = "Belgium"
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        server.orders.CreateOrder(pb.CreateOrderRequest(order=order))
    assert {"order.order_number", "order.items[0].quantity", "order.shipping_address.country_code"
            } <= set(refusal.violations)
    assert any(field.startswith("order.items[1].unit_price") for field in refusal.violations)


@pytest.mark.parametrize("field, value", [
    ("order.totals.total", lambda o: o.totals.total.CopyFrom(eur(2762))),
    ("order.totals.items", lambda o: o.totals.items.CopyFrom(eur(1))),
    ("order.items[0].total", lambda o: o.items[0].total.CopyFrom(eur(2260))),
    ("order.items[0].discount", lambda o: o.items[0].discount.CopyFrom(eur(2001))),
    ("order.items[0].tax", lambda o: o.items[0].tax.CopyFrom(eur(-1))),
    ("order.items[0].quantity", lambda o: setattr(o.items[0], "quantity", -3)),
    ("order.items[0].unit_price", lambda o: o.items[0].unit_price.CopyFrom(eur(-1))),
    ("order.items[0].sku", lambda o: setattr(o.items[0], "sku", "")),
    ("order.items", lambda o: o.items.extend([o.items[1]] * 999)),
    ("order.customer.email", lambda o: setattr(o.customer, "email", "nobody")),
    ("order.labels", lambda o: o.labels.update({str(i): "" for i in range(64)})),
    ("order.customer.name", lambda o: setattr(o.customer, "name", "\U0001F9FE" * 256)),
])
def test_create_names_the_wrong_field(server, field, value):
    order = an_order()
    value(order)
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        server.orders.CreateOrder(pb.CreateOrderRequest(order=order))
    assert any(name.startswith(field) for name in refusal.violations), refusal


def test_order_number_is_unique(server):
    order = create(server)
    with refused(EXISTS, "ORDER_NUMBER_IN_USE") as refusal:
        create(server, order_number=order.order_number)
    assert refusal.metadata["order_id"] == order.order_id
    assert refusal.resource.resource_type


def test_unknown_orders(server):
    with refused(NOT_FOUND, "ORDER_NOT_FOUND") as refusal:
        get(server, UNKNOWN_ID)
    assert refusal.resource is not None
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        get(server, "")
    assert "order_id" in refusal.violations

    order = create(server)
    batch = server.orders.BatchGetOrders(pb.BatchGetOrdersRequest(
        order_ids=[order.order_id, UNKNOWN_ID, order.order_id]))
    assert [found.order_id for found in batch.orders] == [order.order_id] * 2
    assert list(batch.missing_order_ids) == [UNKNOWN_ID]


def test_replay_answers_the_first_outcome(server):
    request = pb.CreateOrderRequest(request_id=new_id(), order=an_order())
    first = server.orders.CreateOrder(request)
    server.orders.UpdateInvoice(pb.UpdateInvoiceRequest(
        order_id=first.order.order_id, invoice_number=f"I-{new_id()}"))
    again = server.orders.CreateOrder(request)
    assert again.replayed and again.etag == first.etag
    assert again.order == get(server, first.order.order_id) and again.order.etag != first.etag

    request.order.customer.name = "Eve"
    with refused(INVALID, "REQUEST_ID_REUSED"):
        server.orders.CreateOrder(request)


def test_etag_guards_against_lost_updates(server):
    order = create(server)
    changed = server.orders.UpdateInvoice(pb.UpdateInvoiceRequest(
        order_id=order.order_id, etag=order.etag, invoice_number=f"I-{new_id()}"))
    assert changed.changed and changed.etag != order.etag
    with refused(ABORTED, "ETAG_MISMATCH") as refusal:
        server.orders.UpdateOrderStatus(pb.UpdateOrderStatusRequest(
            order_id=order.order_id, etag=order.etag, state_id="processing"))
    assert refusal.metadata["current_etag"] == changed.etag
    assert get(server, order.order_id).state_id == "new"


def test_update_order(server):
    order = create(server)
    answer = server.orders.UpdateOrder(pb.UpdateOrderRequest(
        order_id=order.order_id,
        customer=common_pb2.Customer(email="new@example.com", name="ignored"),
        labels={"priority": "high"},
        update_mask=field_mask_pb2.FieldMask(paths=["customer.email", "labels"])))
    assert answer.changed
    assert answer.order.customer.email == "new@example.com"
    assert answer.order.customer.name == "Ada"
    assert answer.order.labels == {"priority": "high"}
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        server.orders.UpdateOrder(pb.UpdateOrderRequest(
            order_id=order.order_id, update_mask=field_mask_pb2.FieldMask(paths=["totals"])))
    assert any(field.startswith("update_mask") for field in refusal.violations)


def test_status(server):
    order = create(server)
    actions = {action.state_id: action for action in order.available_actions}
    assert actions["processing"].allowed
    assert not actions["suspended"].allowed
    assert actions["suspended"].reason == "STATE_NOT_ENTERABLE"

    def move(state_id, **fields):
        return server.orders.UpdateOrderStatus(pb.UpdateOrderStatusRequest(
            order_id=order.order_id, state_id=state_id, **fields))

    with refused(PRECONDITION, "STATE_NOT_ENTERABLE") as refusal:
        move("suspended")
    assert refusal.preconditions
    assert move("processing").order.state_id == "processing"
    same = move("processing")
    assert not same.changed and same.etag == same.order.etag
    assert move("suspended").changed
    with refused(INVALID, "STATE_UNKNOWN"):
        move("no-such-state")
    assert move("canceled").order.cancellation.status == order_pb2.CANCELLATION_STATUS_COMPLETED
    with refused(PRECONDITION, "STATE_FINAL"):
        move("processing")


def test_batch_status_has_one_result_per_order(server):
    first, second = create(server), create(server)
    request = pb.BatchUpdateOrderStatusRequest(request_id=new_id(), updates=[
        pb.OrderStatusUpdate(order_id=first.order_id, state_id="processing"),
        pb.OrderStatusUpdate(order_id=UNKNOWN_ID, state_id="processing"),
        pb.OrderStatusUpdate(order_id=second.order_id, state_id="suspended"),
    ])
    results = server.orders.BatchUpdateOrderStatus(request).results
    assert [result.status.code for result in results] == [
        0, NOT_FOUND.value[0], PRECONDITION.value[0]]
    assert results[0].changed and results[0].etag == get(server, first.order_id).etag
    again = server.orders.BatchUpdateOrderStatus(request).results
    assert again[0].replayed and again[0].etag == results[0].etag

    request.updates[1].order_id = first.order_id
    request.request_id = new_id()
    with refused(INVALID, "INVALID_REQUEST"):
        server.orders.BatchUpdateOrderStatus(request)


def test_invoice_number_is_unique_and_can_be_freed(server):
    first, second = create(server), create(server)
    number = f"I-{new_id()}"

    def set_invoice(order, value):
        return server.orders.UpdateInvoice(pb.UpdateInvoiceRequest(
            order_id=order.order_id, invoice_number=value))

    assert set_invoice(first, f" {number}\t").order.invoice_number == number
    assert not set_invoice(first, number).changed
    with refused(EXISTS, "INVOICE_NUMBER_IN_USE") as refusal:
        set_invoice(second, number)
    assert refusal.metadata["order_id"] == first.order_id
    assert set_invoice(second, number.lower()).changed, "compared case-sensitively"
    assert set_invoice(first, "").order.invoice_number == ""
    assert set_invoice(second, number).changed


def test_notes(server):
    order = create(server)
    added = server.orders.AddNote(pb.AddNoteRequest(
        order_id=order.order_id, body="Gift; wrap it \U0001F381"))
    note = added.note
    assert added.order.note_count == 1 and note.author
    assert note.visibility == order_pb2.NOTE_VISIBILITY_INTERNAL

    edited = server.orders.UpdateNote(pb.UpdateNoteRequest(
        order_id=order.order_id, note_id=note.note_id, body="No gift",
        visibility=order_pb2.NOTE_VISIBILITY_CUSTOMER)).note
    assert (edited.body, edited.author) == ("No gift", note.author)
    assert edited.create_time == note.create_time
    assert edited.update_time.ToMicroseconds() > note.update_time.ToMicroseconds()

    bodies = [f"note {i}" for i in range(5)]
    for body in bodies:
        server.orders.AddNote(pb.AddNoteRequest(order_id=order.order_id, body=body))
    listed, token = [], ""
    while True:
        page = server.orders.ListNotes(pb.ListNotesRequest(
            order_id=order.order_id, page_size=2, page_token=token))
        listed += [entry.body for entry in page.notes]
        token = page.next_page_token
        if not token:
            break
    assert listed == ["No gift", *bodies]

    delete = pb.DeleteNoteRequest(order_id=order.order_id, note_id=note.note_id)
    assert server.orders.DeleteNote(delete).order.note_count == 5
    with refused(NOT_FOUND, "NOTE_NOT_FOUND"):
        server.orders.DeleteNote(delete)
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        server.orders.AddNote(pb.AddNoteRequest(order_id=order.order_id, body="x" * 10_001))
    assert "body" in refusal.violations


def test_list_pages_filters_and_tokens(server):
    tag = new_id()
    ids = [create(server, labels={"tag": tag}).order_id for _ in range(7)]
    create(server)
    query = dict(filter=pb.OrderFilter(label=pb.LabelFilter(key="tag", value=tag)),
                 direction=pb.SORT_DIRECTION_ASCENDING)
    listed, token = [], ""
    while True:
        page = server.orders.ListOrders(pb.ListOrdersRequest(page_size=3, page_token=token, **query))
        assert len(page.orders) <= 3
        listed += [order.order_id for order in page.orders]
        assert all(not order.items for order in page.orders)
        if token == "" and page.next_page_token:
            first_token = page.next_page_token
        token = page.next_page_token
        if not token:
            break
    assert listed == ids

    with refused(INVALID, "PAGE_TOKEN_INVALID"):
        server.orders.ListOrders(pb.ListOrdersRequest(page_token=first_token))
    with refused(INVALID, "PAGE_TOKEN_INVALID"):
        server.orders.ListOrders(pb.ListOrdersRequest(page_token=first_token[:-2] + "zz", **query))
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        server.orders.ListOrders(pb.ListOrdersRequest(page_size=-1))
    assert "page_size" in refusal.violations
    assert server.orders.ListOrders(pb.ListOrdersRequest(page_size=10**9)).orders

    number = get(server, ids[0]).order_number
    found = server.orders.ListOrders(pb.ListOrdersRequest(
        filter=pb.OrderFilter(order_number=number), view=pb.ORDER_VIEW_FULL)).orders
    assert [order.order_id for order in found] == [ids[0]] and found[0].items


def test_list_by_email_ignores_ascii_case(server):
    email = f"Someone-{new_id()}@Example.com"
    order = create(server, customer=common_pb2.Customer(email=email))
    found = server.orders.ListOrders(pb.ListOrdersRequest(
        filter=pb.OrderFilter(customer_email=email.upper()))).orders
    assert [(entry.order_id, entry.customer.email) for entry in found] == [(order.order_id, email)]


def test_state_made_at_run_time(server):
    state_id = f"picking-{new_id()[:8]}"
    state = settings_pb2.OrderState(
        state_id=state_id, display_name="Picking", category=settings_pb2.STATE_CATEGORY_OPEN,
        allows_shipment_update=True, position=15,
        enterable_from=settings_pb2.EnterableFrom(state_ids=["processing"]))
    request = settings_pb.CreateOrderStateRequest(state=state, validate_only=True)
    assert server.settings.CreateOrderState(request).changed
    with refused(NOT_FOUND, "STATE_NOT_FOUND"):
        server.settings.GetOrderState(settings_pb.GetOrderStateRequest(state_id=state_id))
    request.validate_only = False
    assert server.settings.CreateOrderState(request).state == state
    with refused(EXISTS, "STATE_EXISTS"):
        server.settings.CreateOrderState(request)
    listed = server.settings.ListOrderStates(settings_pb.ListOrderStatesRequest()).states
    assert state in listed

    order = create(server)
    move = pb.UpdateOrderStatusRequest(order_id=order.order_id, state_id=state_id)
    with refused(PRECONDITION, "STATE_NOT_ENTERABLE"):
        server.orders.UpdateOrderStatus(move)
    opened = server.settings.UpdateOrderState(settings_pb.UpdateOrderStateRequest(
        state=settings_pb2.OrderState(state_id=state_id),
        update_mask=field_mask_pb2.FieldMask(paths=["enterable_from"])))
    assert opened.changed and not opened.state.HasField("enterable_from")
    assert server.orders.UpdateOrderStatus(move).order.state_id == state_id

    delete = settings_pb.DeleteOrderStateRequest(state_id=state_id)
    with refused(PRECONDITION, "STATE_IN_USE") as refusal:
        server.settings.DeleteOrderState(delete)
    assert refusal.metadata["order_count"] == "1"
    move.state_id = "completed"
    server.orders.UpdateOrderStatus(move)
    assert server.settings.DeleteOrderState(delete).changed
    move.state_id = state_id
    with refused(INVALID, "STATE_UNKNOWN"):
        server.orders.UpdateOrderStatus(move)
    deleted = server.settings.ListOrderStates(
        settings_pb.ListOrderStatesRequest(include_deleted=True)).states
    assert any(entry.state_id == state_id and entry.HasField("delete_time") for entry in deleted)


def test_states_that_must_not_be(server):
    def create_state(**fields):
        fields.setdefault("state_id", f"s-{new_id()[:8]}")
        fields.setdefault("display_name", "S")
        fields.setdefault("category", settings_pb2.STATE_CATEGORY_OPEN)
        server.settings.CreateOrderState(settings_pb.CreateOrderStateRequest(
            state=settings_pb2.OrderState(**fields)))

    with refused(PRECONDITION, "STATE_INITIAL_EXISTS"):
        create_state(initial=True)
    with refused(PRECONDITION, "STATE_REFERENCE_INVALID"):
        create_state(enterable_from=settings_pb2.EnterableFrom(state_ids=["no-such-state"]))
    with refused(PRECONDITION, "STATE_UNREACHABLE"):
        create_state(enterable_from=settings_pb2.EnterableFrom())
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        create_state(state_id="Not A Slug", display_name="")
    assert {"state.state_id", "state.display_name"} <= set(refusal.violations)
    with refused(PRECONDITION, "STATE_LAST_INITIAL"):
        server.settings.DeleteOrderState(settings_pb.DeleteOrderStateRequest(state_id="new"))
    with refused(PRECONDITION, "STATE_LAST_CANCELED"):
        server.settings.DeleteOrderState(settings_pb.DeleteOrderStateRequest(state_id="canceled"))
    with refused(PRECONDITION, "STATE_REFERENCED") as refusal:
        server.settings.DeleteOrderState(settings_pb.DeleteOrderStateRequest(state_id="fraud"))
    assert refusal.metadata["referenced_by"] == "suspended"


def test_import_answers_each_order(server):
    prefix = new_id()

    def request(number, **fields):
        return pb.ImportOrdersRequest(order=an_order(order_number=f"{prefix}/{number}"), **fields)

    requests = [
        request(1, state_id="completed", invoice_number=f"I-{prefix}",
                notes=[pb.ImportedNote(author="clerk", body="from the old shop")],
                payments=[pb.ImportedPayment(gateway_account="external",
                                             gateway_reference=f"{prefix}/1",
                                             captured=eur(2761))]),
        request(2, state_id="no-such-state"),
        request(3, payments=[pb.ImportedPayment(gateway_account="external",
                                                gateway_reference=f"{prefix}/1")]),
        pb.ImportOrdersRequest(order=pb.NewOrder(order_number=f"{prefix}/4")),
    ]
    answers = list(server.orders.ImportOrders(iter(requests), timeout=30))
    assert [pb.ImportResult.Name(answer.result).removeprefix("IMPORT_RESULT_")
            for answer in answers] == ["CREATED", "REFUSED", "REFUSED", "CREATED"]
    order = get(server, answers[0].order_id)
    assert (order.state_id, order.invoice_number, order.note_count) == (
        "completed", f"I-{prefix}", 1)
    payment = order.payments[0]
    assert (payment.authorized, payment.captured, payment.capturable, payment.refundable) == (
        eur(2761), eur(2761), eur(0), eur(2761))
    assert payment.status == order_pb2.PAYMENT_STATUS_CAPTURED
    assert get(server, answers[3].order_id).currency_code == ""

    requests[0].order.customer.name = "Somebody else"
    again = list(server.orders.ImportOrders(iter(requests), timeout=30))
    assert [answer.result for answer in again] == [
        pb.IMPORT_RESULT_CONFLICT, pb.IMPORT_RESULT_REFUSED, pb.IMPORT_RESULT_REFUSED,
        pb.IMPORT_RESULT_UNCHANGED]
    assert again[3].order_id == answers[3].order_id


def test_cancel_needs_its_own_call_while_money_is_open(server):
    number = new_id()
    answer, = server.orders.ImportOrders(iter([pb.ImportOrdersRequest(
        order=an_order(order_number=number),
        payments=[pb.ImportedPayment(gateway_account="external", gateway_reference=number,
                                     authorized=eur(2761))])]), timeout=30)
    with refused(PRECONDITION, "CANCEL_REQUIRED"):
        server.orders.UpdateOrderStatus(pb.UpdateOrderStatusRequest(
            order_id=answer.order_id, state_id="canceled"))


def test_health_and_reflection_are_served(server):
    """Both by their bytes: Debian has no Python code for them."""
    check = server.api.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", timeout=30) == b"\x08\x01", "SERVING"
    list_services = server.api.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    answer = next(list_services(iter([b"\x3a\x00"]), timeout=30))
    assert b"orders.v1.OrderService" in answer and b"orders.v1.OrderSettingsService" in answer


def test_message_over_the_limit(server):
    with refused(INVALID, "INVALID_REQUEST"):
        server.orders.AddNote(pb.AddNoteRequest(order_id=UNKNOWN_ID, body="x" * (5 << 20)))
