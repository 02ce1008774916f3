"""Shipments as a person changes them with orderctl, and as a program in another language does."""

import json

import grpc
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from orders.v1 import common_pb2, order_pb2, settings_pb2
from orders.v1 import settings_service_pb2 as settings_pb

from harness import new_id, orderctl, pb, refused, run_threads

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXISTS = grpc.StatusCode.ALREADY_EXISTS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ITEMS = {"MUG": 2, "TEA": 5, "POT": 1, "CARD": 3}


@pytest.fixture(scope="module")
def methods(server):
    """Four methods besides `standard`; the last one is disabled."""
    names = [f"{name}-{new_id()[:8]}" for name in ("express", "pickup", "letter", "pigeon")]
    for name in names:
        orderctl(server, "methods", "create", name, "--name", name.capitalize(), "--carrier", "Post",
                 "--tracking-url", "https://post.example/t?n={tracking_number}", "--position", 50)
    orderctl(server, "methods", "update", names[3], "--no-enabled")
    return names


@pytest.fixture
def order(server):
    """A new order of four items, "1" to "4"."""
    return server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder(items=[
        order_pb2.Item(sku=sku, name=sku.capitalize(), quantity=quantity,
                       unit_price=common_pb2.Money(currency_code="EUR", amount_minor=100))
        for sku, quantity in ITEMS.items()]))).order


def get(server, order):
    return server.orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id)).order


def picture(order):
    """[(method, tracking numbers, {item: [(quantity, delivery state)]})] of its shipments."""
    shown = []
    for shipment in order.shipments:
        lines = {}
        for line in shipment.lines:
            lines.setdefault(line.item_id, []).append((line.quantity, line.delivery_state_id))
        shown.append((shipment.method_id, [entry.number for entry in shipment.tracking_numbers],
                      lines))
    return shown


def pieces(order):
    """How many pieces of each item are in lines."""
    counts = {}
    for shipment in order.shipments:
        for line in shipment.lines:
            counts[line.item_id] = counts.get(line.item_id, 0) + line.quantity
    return counts


def update(server, order, *changes, **fields):
    return server.orders.UpdateShipments(pb.UpdateShipmentsRequest(
        order_id=order.order_id, changes=changes, **fields))


def some(item_id, quantity=None):
    return pb.LineSelection(lines=[pb.LineSelector(item_id=item_id, quantity=quantity)])


def every():
    return pb.LineSelection(all=True)


def method(selection, method_id, **fields):
    return pb.ShipmentChange(set_method=pb.SetShipmentMethod(
        selection=selection, method_id=method_id, **fields))


def track(shipment_id, *numbers):
    return pb.ShipmentChange(set_tracking_numbers=pb.SetTrackingNumbers(
        shipment_id=shipment_id, tracking_numbers=numbers))


def state(selection, state_id, **fields):
    return pb.ShipmentChange(set_delivery_state=pb.SetDeliveryState(
        selection=selection, delivery_state_id=state_id, **fields))


def test_walk_with_orderctl(server, order, methods):
    """What an operator does in the portal: select lines, set their state, method and tracking."""
    number = order.order_number
    express, pickup, letter, _ = methods

    def ship(command, *args, **options):
        return orderctl(server, "ship", command, number, *args, **options)

    def shown():
        return picture(get(server, order))

    assert shown() == [("standard", [], {str(i + 1): [(quantity, "pending")]
                                         for i, quantity in enumerate(ITEMS.values())})]
    first = order.shipments[0].shipment_id
    text = ship("show").stdout
    assert first in text and "standard" in text and all(sku in text for sku in ITEMS), text

    refusal = ship("track", first, "T-0", ok=False)
    assert refusal.returncode == 6 and "TRACKING_NOT_ALLOWED" in refusal.stderr
    ship("state", "confirmed", "--item", 1, "--sku", "TEA")
    ship("track", first, "T-1", "T-2")
    assert shown() == [("standard", ["T-1", "T-2"], {
        "1": [(2, "confirmed")], "2": [(5, "confirmed")], "3": [(1, "pending")],
        "4": [(3, "pending")]})]

    ship("method", express, "--item", "2=3", "--sku", "CARD")
    assert shown() == [
        ("standard", ["T-1", "T-2"], {
            "1": [(2, "confirmed")], "2": [(2, "confirmed")], "3": [(1, "pending")]}),
        (express, [], {"2": [(3, "confirmed")], "4": [(3, "pending")]})]
    ship("method", pickup, "--all")
    assert shown() == [(pickup, [], {
        "1": [(2, "confirmed")], "2": [(5, "confirmed")], "3": [(1, "pending")],
        "4": [(3, "pending")]})]

    ship("state", "confirmed", "--all")
    for item, name in enumerate(["standard", express, pickup, letter], start=1):
        ship("method", name, "--item", item)
    for shipment in get(server, order).shipments:
        ship("track", shipment.shipment_id, f"OWN-{shipment.lines[0].item_id}")
    assert sorted(shown()) == sorted(
        (name, [f"OWN-{item}"], {str(item): [(quantity, "confirmed")]})
        for item, (name, quantity) in enumerate(
            zip(["standard", express, pickup, letter], ITEMS.values()), start=1))
    text = ship("show").stdout
    assert "https://post.example/t?n=OWN-4" in text and "shipments can't be" not in text

    ship("state", "shipped", "--item", "2=4", "--time", "2026-11-20T10:00:00Z")
    skipped = ship("method", express, "--all").stdout
    assert "skipped line" in skipped and "4 x TEA, shipped" in skipped
    listed = [json.loads(line)["order_number"] for line in orderctl(
        server, "--json", "list", "--tracking", "OWN-2").stdout.splitlines()]
    assert number in listed
    assert number in orderctl(server, "list", "--method", express, "--delivery", "shipped").stdout

    orderctl(server, "status", number, "completed")
    before = get(server, order)
    own = before.shipments[0].shipment_id
    apply = json.dumps({"changes": [{"set_tracking_numbers": {"shipment_id": own}}]})
    for command, *args in [("state", "delivered", "--all"), ("method", letter, "--all"),
                           ("track", own, "LATE"), ("track", own, "--clear"), ("apply", "-")]:
        refusal = ship(command, *args, stdin=apply, ok=False)
        assert refusal.returncode == 6 and "SHIPMENT_UPDATE_NOT_ALLOWED" in refusal.stderr, command
        assert refusal.stdout == ""
    assert get(server, order) == before
    assert "can't be updated: SHIPMENT_UPDATE_NOT_ALLOWED" in ship("show").stdout


def test_whole_shipments_and_single_tracking_numbers(server, order, methods):
    number = order.order_number

    def ship(command, *args, **options):
        return orderctl(server, "ship", command, number, *args, **options)

    own = order.shipments[0].shipment_id
    ship("state", "confirmed", "--shipment", own)
    ship("method", methods[0], "--sku", "TEA=2", "--item", 3)
    ship("method", methods[1], "--item", 4)
    own, fast, pickup = [shipment.shipment_id for shipment in get(server, order).shipments]
    ship("track", fast, "A", "B")
    ship("track", fast, "--add", "B", "C")
    ship("track", fast, "--remove", "A")
    ship("track", pickup, "D")
    shown = [json.loads(line) for line in ship("show", "--json").stdout.splitlines()]
    assert [[entry["number"] for entry in shipment["tracking_numbers"]] for shipment in shown] == [
        [], ["B", "C"], ["D"]]
    refusal = ship("track", own, "--add", "C", ok=False)
    assert refusal.returncode == 6 and "TRACKING_NUMBER_IN_USE" in refusal.stderr
    ship("state", "shipped", "--shipment", fast)
    assert picture(get(server, order))[1] == (
        methods[0], ["B", "C"], {"2": [(2, "shipped")], "3": [(1, "shipped")]})

    refusal = ship("combine", own, fast, ok=False)
    assert refusal.returncode == 6 and "LINE_NOT_MOVABLE" in refusal.stderr
    ship("combine", own, pickup)
    assert picture(get(server, order))[0] == ("standard", [], {
        "1": [(2, "confirmed")], "2": [(3, "confirmed")], "4": [(3, "confirmed")]})
    assert pickup not in ship("show").stdout


def test_numbers_that_several_add_at_once_are_all_kept(server, order):
    shipment_id = order.shipments[0].shipment_id
    orderctl(server, "ship", "state", order.order_number, "confirmed", "--all")
    run_threads(6, lambda index: orderctl(
        server, "ship", "track", order.order_number, shipment_id, "--add", f"N-{index}"))
    numbers = get(server, order).shipments[0].tracking_numbers
    assert sorted(entry.number for entry in numbers) == [f"N-{index}" for index in range(6)]


def test_apply_makes_several_changes_or_none(server, order, methods):
    changes = [
        {"set_delivery_state": {"delivery_state_id": "confirmed", "selection": {"all": True}}},
        {"set_method": {"method_id": methods[0], "client_ref": "fast",
                        "selection": {"lines": [{"item_id": "2", "quantity": "2"}]}}},
        {"set_tracking_numbers": {"shipment_id": "fast", "tracking_numbers": ["A-1"]}},
    ]
    broken = [*changes, {"set_method": {"method_id": "no-such-method", "selection": {"all": True}}}]
    command = ("ship", "apply", order.order_number, "-")
    refusal = orderctl(server, *command, stdin=json.dumps({"changes": broken}), ok=False)
    assert refusal.returncode == 4 and "SHIPMENT_METHOD_UNKNOWN" in refusal.stderr
    assert get(server, order) == order

    repeatable = (*command, "--request-id", new_id())
    answer = json.loads(orderctl(server, "--json", *repeatable,
                                 stdin=json.dumps({"changes": changes})).stdout)
    assert [result["changed"] for result in answer["results"]] == [True] * 3
    after = get(server, order)
    assert picture(after)[1] == (methods[0], ["A-1"], {"2": [(2, "confirmed")]})
    assert "done before" in orderctl(server, *repeatable,
                                     stdin=json.dumps({"changes": changes})).stdout
    assert get(server, order) == after


def test_items_go_by_the_method_that_was_asked_for(server, methods):
    def new_order(*asked):
        return server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder(items=[
            order_pb2.Item(sku="X", quantity=1, shipment_method_id=name,
                           unit_price=common_pb2.Money(currency_code="EUR", amount_minor=100))
            for name in asked]))).order

    assert [(name, sorted(lines)) for name, _, lines in picture(new_order(
        methods[0], "", methods[0]))] == [(methods[0], ["1", "3"]), ("standard", ["2"])]
    with refused(INVALID, "SHIPMENT_METHOD_UNKNOWN") as refusal:
        new_order("", "no-such-method")
    assert "order.items[1].shipment_method_id" in refusal.violations
    with refused(PRECONDITION, "SHIPMENT_METHOD_DISABLED"):
        new_order(methods[3])


def test_an_item_of_five_is_split_and_merged(server, order, methods):
    for name, quantity in zip(methods, (2, 1, 2)):
        answer = update(server, order, method(pb.LineSelection(lines=[pb.LineSelector(
            line_id=next(line.line_id for shipment in get(server, order).shipments
                         for line in shipment.lines
                         if line.item_id == "2" and shipment.method_id == "standard"),
            quantity=quantity)]), name))
        assert answer.changed and answer.results[0].shipment_id
        assert pieces(answer.order) == {"1": 2, "2": 5, "3": 1, "4": 3}
    split = get(server, order)
    assert [(shipment.method_id, [line.quantity for line in shipment.lines])
            for shipment in split.shipments[1:]] == [
        (methods[0], [2]), (methods[1], [1]), (methods[2], [2])]
    assert all(line.item_id != "2" for line in split.shipments[0].lines)

    line = split.shipments[3].lines[0]
    with refused(PRECONDITION, "QUANTITY_TOO_LARGE") as refusal:
        update(server, order, method(pb.LineSelection(lines=[
            pb.LineSelector(line_id=line.line_id, quantity=3)]), methods[0]))
    assert (refusal.metadata["requested"], refusal.metadata["available"]) == ("3", "2")
    assert refusal.metadata["change_index"] == "0"
    with refused(INVALID, "ITEM_AMBIGUOUS"):
        update(server, order, method(some("2", 1), "standard"))
    assert get(server, order) == split

    merged = update(server, order, method(
        some("2"), "standard", into_shipment_id=split.shipments[0].shipment_id)).order
    assert picture(merged) == picture(order), "the other shipments have no lines and are gone"


def test_changes_see_what_earlier_ones_did(server, order, methods):
    then = timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=123456000)
    request = dict(request_id=new_id(), etag=order.etag)
    changes = [
        state(every(), "confirmed"),
        method(some("2", 3), methods[0], client_ref="parcel"),
        track("parcel", " P-1 ", "P 2"),
        state(some("1"), "shipped", delivery_state_time=then),
        method(every(), methods[0], into_shipment_id="parcel"),
        track("parcel", "P-1", "P 2"),
    ]
    answer = update(server, order, *changes, **request)
    after = answer.order
    assert answer.changed and answer.etag == after.etag != order.etag
    assert [result.changed for result in answer.results] == [True] * 5 + [False]
    assert picture(after) == [
        ("standard", [], {"1": [(2, "shipped")]}),
        (methods[0], ["P-1", "P 2"], {
            "2": [(5, "confirmed")], "3": [(1, "confirmed")], "4": [(3, "confirmed")]})]
    shipped = after.shipments[0].lines[0]
    assert shipped.delivery_state_time.ToMicroseconds() == 1_700_000_000_123_456
    assert list(answer.results[4].skipped_line_ids) == [shipped.line_id]
    assert answer.results[1].shipment_id == after.shipments[1].shipment_id
    assert after.shipments[1].tracking_numbers[1].url == "https://post.example/t?n=P%202"
    found = server.orders.ListOrders(pb.ListOrdersRequest(filter=pb.OrderFilter(
        tracking_number="P 2", shipment_method_id=methods[0], delivery_state_ids=["shipped"])))
    assert [entry.order_id for entry in found.orders] == [order.order_id]

    again = update(server, order, *changes, **request)
    assert again.replayed and again.etag == answer.etag and again.order == after
    with refused(INVALID, "REQUEST_ID_REUSED"):
        update(server, order, *changes[:3], **request)
    with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"):
        update(server, order, *changes, etag=order.etag)
    nothing = update(server, order, track(after.shipments[1].shipment_id, "P-1", "P 2"))
    assert not nothing.changed and nothing.etag == after.etag


def test_what_is_malformed_is_named_at_once_and_changes_nothing(server, order, methods):
    both = every()
    both.lines.add(item_id="1")
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        update(server, order,
               state(both, "confirmed"),
               state(pb.LineSelection(), "confirmed"),
               method(some("1", 0), methods[0]),
               method(some("1", -1), methods[0]),
               track(order.shipments[0].shipment_id, *map(str, range(101))),
               track(order.shipments[0].shipment_id, "twice", " twice"),
               pb.ShipmentChange())
    assert set(refusal.violations) == {
        "changes[0].set_delivery_state.selection",
        "changes[1].set_delivery_state.selection",
        "changes[2].set_method.selection.lines[0].quantity",
        "changes[3].set_method.selection.lines[0].quantity",
        "changes[4].set_tracking_numbers.tracking_numbers",
        "changes[5].set_tracking_numbers.tracking_numbers[1]",
        "changes[6]"}
    with refused(INVALID, "INVALID_REQUEST") as refusal:
        update(server, order)
    assert "changes" in refusal.violations
    assert get(server, order) == order


def test_what_this_order_refuses_is_named_at_once_and_changes_nothing(server, order, methods):
    other = server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder(items=[
        order_pb2.Item(item_id="other", sku="X", quantity=1,
                       unit_price=common_pb2.Money(currency_code="EUR", amount_minor=1))]))).order
    order = update(server, order, state(some("1"), "confirmed"), method(some("1"), methods[0]),
                   ).order
    one, two = order.shipments
    assert (one.method_id, two.method_id) == ("standard", methods[0])
    order = update(server, order, track(two.shipment_id, "MINE")).order
    future = timestamp_pb2.Timestamp()
    future.FromJsonString("2100-01-01T00:00:00Z")
    with refused(INVALID, "ITEM_UNKNOWN") as refusal:
        update(server, order,
               state(some("2"), "confirmed"),
               state(some("no-such-item"), "confirmed"),
               state(some("other"), "confirmed"),
               state(pb.LineSelection(lines=[pb.LineSelector(
                   line_id=other.shipments[0].lines[0].line_id)]), "confirmed"),
               method(some("1"), methods[3]),
               method(some("1"), "no-such-method"),
               track(one.shipment_id, "FREE", "MINE"),
               track(other.shipments[0].shipment_id, "OTHER"),
               state(some("3"), "delivered"),
               state(some("3"), "no-such-state"),
               state(some("3"), "confirmed", delivery_state_time=future),
               state(some("3", 2), "confirmed"))
    assert refusal.metadata["change_index"] == "1"
    assert set(refusal.violations) == {
        "changes[1].set_delivery_state.selection.lines[0].item_id",
        "changes[2].set_delivery_state.selection.lines[0].item_id",
        "changes[3].set_delivery_state.selection.lines[0].line_id",
        "changes[4].set_method.method_id",
        "changes[5].set_method.method_id",
        "changes[6].set_tracking_numbers.tracking_numbers[1]",
        "changes[7].set_tracking_numbers.shipment_id",
        "changes[8].set_delivery_state.selection.lines[0]",
        "changes[9].set_delivery_state.delivery_state_id",
        "changes[10].set_delivery_state.delivery_state_time",
        "changes[11].set_delivery_state.selection.lines[0].quantity"}
    assert get(server, order) == order


def test_cancellation_takes_what_has_not_been_shipped(server, order):
    update(server, order, state(some("1"), "shipped"), state(some("2", 4), "shipped"))
    canceled = server.orders.UpdateOrderStatus(pb.UpdateOrderStatusRequest(
        order_id=order.order_id, state_id="canceled")).order
    (_, _, lines), = picture(canceled)
    assert {item: sorted(found) for item, found in lines.items()} == {
        "1": [(2, "shipped")], "2": [(1, "canceled"), (4, "shipped")],
        "3": [(1, "canceled")], "4": [(3, "canceled")]}


def test_an_address_does_not_change_unseen_once_something_is_shipped(server, order):
    request = pb.UpdateOrderRequest(
        order_id=order.order_id, shipping_address=common_pb2.Address(city="Ghent"),
        update_mask=field_mask_pb2.FieldMask(paths=["shipping_address"]))
    assert server.orders.UpdateOrder(request).changed
    update(server, order, state(some("3"), "shipped"))
    request.shipping_address.city = "Bruges"
    with refused(PRECONDITION, "ADDRESS_CHANGE_NEEDS_REASON"):
        server.orders.UpdateOrder(request)
    request.reason = "the customer called"
    assert server.orders.UpdateOrder(request).order.shipping_address.city == "Bruges"


def test_delivery_states_made_at_run_time(server, order):
    customs = f"customs-{new_id()[:8]}"
    create = ("delivery-states", "create", customs, "--name", "In customs", "--category", "shipped",
              "--from", "shipped", "--allow-tracking", "--position", 35)
    orderctl(server, *create, "--dry-run")
    with refused(INVALID, "DELIVERY_STATE_UNKNOWN"):
        update(server, order, state(every(), customs))
    orderctl(server, *create)
    assert customs in orderctl(server, "delivery-states", "list").stdout
    shown = json.loads(orderctl(server, "--json", "delivery-states", "get", customs).stdout)
    assert shown["enterable_from"] == {"state_ids": ["shipped"]} and shown["allows_tracking"]
    with refused(PRECONDITION, "DELIVERY_STATE_NOT_ENTERABLE"):
        update(server, order, state(some("1"), customs))
    update(server, order, state(some("1"), "shipped"), state(some("1"), customs))

    delete = settings_pb.DeleteDeliveryStateRequest(delivery_state_id=customs)
    with refused(PRECONDITION, "DELIVERY_STATE_IN_USE") as refusal:
        server.settings.DeleteDeliveryState(delete)
    assert refusal.metadata["order_count"] == "1"
    server.settings.UpdateDeliveryState(settings_pb.UpdateDeliveryStateRequest(
        state=settings_pb2.DeliveryState(
            delivery_state_id="delivered",
            enterable_from=settings_pb2.EnterableFrom(state_ids=["shipped", customs])),
        update_mask=field_mask_pb2.FieldMask(paths=["enterable_from"])))
    update(server, order, state(some("1"), "delivered"))
    with refused(PRECONDITION, "DELIVERY_STATE_REFERENCED") as refusal:
        server.settings.DeleteDeliveryState(delete)
    assert refusal.metadata["referenced_by"] == "delivered"
    orderctl(server, "delivery-states", "update", "delivered", "--from", "shipped")
    assert server.settings.DeleteDeliveryState(delete).changed
    assert customs not in orderctl(server, "delivery-states", "list").stdout
    assert customs in orderctl(server, "delivery-states", "list", "--deleted").stdout


def test_methods_made_at_run_time(server, order):
    made = settings_pb2.ShipmentMethod(
        method_id=f"van-{new_id()[:8]}", display_name="Van", carrier="Own",
        tracking_url_template="https://van.example/{tracking_number}", enabled=True, position=60)
    create = settings_pb.CreateShipmentMethodRequest(method=made, validate_only=True)
    assert server.settings.CreateShipmentMethod(create).changed
    create.validate_only = False
    assert server.settings.CreateShipmentMethod(create).method == made
    with refused(EXISTS, "SHIPMENT_METHOD_EXISTS"):
        server.settings.CreateShipmentMethod(create)
    assert made in server.settings.ListShipmentMethods(
        settings_pb.ListShipmentMethodsRequest()).methods

    update(server, order, method(some("1"), made.method_id))
    refusal = orderctl(server, "methods", "delete", made.method_id, ok=False)
    assert refusal.returncode == 6 and "order_count: 1" in refusal.stderr
    orderctl(server, "methods", "update", made.method_id, "--no-enabled")
    with refused(PRECONDITION, "SHIPMENT_METHOD_DISABLED"):
        update(server, order, method(some("2"), made.method_id))
    assert picture(get(server, order))[1][0] == made.method_id, "what has it keeps it"
    update(server, order, method(some("1"), "standard"))
    delete = ("methods", "delete", made.method_id)
    assert "would be deleted" in orderctl(server, *delete, "--validate-only").stdout
    assert "disabled" in orderctl(server, "methods", "get", made.method_id).stdout
    orderctl(server, *delete)
    assert "DELETED" in orderctl(server, "methods", "get", made.method_id).stdout
    with refused(INVALID, "SHIPMENT_METHOD_UNKNOWN"):
        update(server, order, method(some("2"), made.method_id))
