"""What an operator sees of a server: metrics, the log, traces; and the files in docs/ about them."""

import collections
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request

import grpc
import pytest

from harness import ROOT, Server, StartFailed, new_id, pb, refused
from test_cancel_orderctl import mail_server

from orders.sandbox.v1 import sandbox_pb2 as sandbox  # made by harness
from orders.v1 import access_service_pb2 as access_pb
from orders.v1 import access_service_pb2_grpc as access_pb2_grpc
from orders.v1 import cancellation_pb2 as cancel_pb
from orders.v1 import erasure_pb2 as erasure_pb
from orders.v1 import order_pb2 as order_pb
from orders.v1 import payment_calls_pb2 as payment_pb
from orders.v1 import settings_service_pb2 as settings_pb
from orders.v1 import watch_pb2 as watch_pb

PATIENCE = 60
KEY = "sk_test_" + new_id()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class FakeStripe:
    """tests/payments/fake_stripe.py on a free port."""

    def __init__(self):
        folder = ROOT / "tests" / "payments"
        self.process = subprocess.Popen(
            [sys.executable, "-B", folder / "fake_stripe.py", folder / "stripe_overlay.json", "--key", KEY],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def control(self, name, **body):
        request = urllib.request.Request(f"{self.url}/_control/{name}", json.dumps(body).encode())
        with open_url(request) as answer:
            return json.loads(answer.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def open_url(request):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE)


def metrics_url(server):
    """The log is written by a thread of its own."""
    return wait_for(lambda: re.search(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", server.log()))[1]


def wait_for(look):
    """What `look` sees once that is something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def scrape(server):
    """All samples: by name, then by their labels as a frozenset of pairs."""
    with open_url(metrics_url(server)) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    samples = collections.defaultdict(dict)
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r'([a-z_]+)(?:\{(.*)\})? (\S+)', line).groups()
        pairs = frozenset(re.findall(r'(\w+)="([^"]*)"', labels or ""))
        assert pairs not in samples[name], line
        samples[name][pairs] = float(value)
    return samples


def value(samples, name, **labels):
    return samples[name].get(frozenset(labels.items()), 0)


def families(samples):
    """Names as they stand in the documentation: a histogram, or a summary, is one metric."""
    bases = {name.removesuffix("_sum") for name in samples if name.endswith("_sum")}
    return {name for name in samples if re.sub("_(bucket|sum|count)$", "", name) not in bases} | bases


def calls(samples):
    """How many calls of each method ended with each code."""
    counts = {}
    for pairs, count in samples["orderd_rpc_duration_seconds_count"].items():
        labels = dict(pairs)
        counts[labels["method"], labels["code"]] = count
    return counts


@pytest.fixture(scope="module")
def stripe():
    stripe = FakeStripe()
    yield stripe
    stripe.close()


@contextlib.contextmanager
def running(folder, stripe, *options):
    (folder / "key").write_text(KEY)
    server = Server(f"sqlite:{folder / 'orders.db'}", options=[
        "--metrics", "127.0.0.1:0", "--log-format", "json", "--gateway", f"shop=sandbox:{folder / 'book.db'}",
        "--gateway", f"card=stripe:{folder / 'key'}", "--stripe-url", stripe.url,
        "--reconcile-delay", "3600", *options])
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log()[-3000:]


@pytest.fixture(scope="module")
def server(tmp_path_factory, stripe):
    with running(tmp_path_factory.mktemp("observed"), stripe) as server:
        yield server


def create(server, **fields):
    item = order_pb.Item(sku="MUG", quantity=1, unit_price=dict(currency_code="USD", amount_minor=1000))
    return server.orders.CreateOrder(pb.CreateOrderRequest(
        request_id=new_id(), order=pb.NewOrder(items=[item], **fields))).order


def paid_at_shop(server):
    """An order with an authorized payment of 10.00."""
    reference = "ref-" + new_id()
    server.api.sandbox.Authorize(sandbox.AuthorizeRequest(
        gateway_account="shop", gateway_reference=reference,
        amount=dict(currency_code="USD", amount_minor=1000)))
    order = create(server, payments=[dict(gateway_account="shop", gateway_reference=reference)])
    server.orders.SyncPayments(payment_pb.SyncPaymentsRequest(order_id=order.order_id))
    return order.order_id, order.payments[0].payment_id


def capture(server, order_id, payment_id, **metadata):
    return server.orders.CapturePayment(payment_pb.CapturePaymentRequest(
        request_id=new_id(), order_id=order_id, payment_id=payment_id,
        amount=dict(currency_code="USD", amount_minor=1000)), metadata=list(metadata.items()))


def fault(server, operation, kind, **more):
    server.api.sandbox.AddFault(sandbox.AddFaultRequest(gateway_account="shop", fault=sandbox.Fault(
        operation=f"OPERATION_{operation}", kind=f"FAULT_KIND_{kind}", times=1, **more)))


def json_log(server):
    """Every line is an object."""
    return [json.loads(line) for line in server.log().splitlines()]


def line_of_call(server, **fields):
    """The line of the one call that has these fields."""
    def look():
        # The last line may be half written.
        text = server.log()
        lines = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [line for line in lines if fields.items() <= line.items()]
    [line] = wait_for(look)
    return line


def test_every_call_is_counted_by_method_and_code(server):
    before = calls(scrape(server))
    orders = [create(server) for _ in range(3)]
    for order in orders[:2]:
        server.orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id))
    with refused(grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND"):
        server.orders.GetOrder(pb.GetOrderRequest(order_id=new_id()))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
        server.orders.ListOrders(pb.ListOrdersRequest(page_size=-1))
    server.settings.ListOrderStates(settings_pb.ListOrderStatesRequest())
    assert len(list(server.orders.ImportOrders(iter([pb.ImportOrdersRequest(
        order=pb.NewOrder(order_number=new_id()))])))) == 1
    after = scrape(server)
    assert {key: count - before.get(key, 0) for key, count in calls(after).items()
            if count != before.get(key, 0)} == {
        ("CreateOrder", "OK"): 3, ("GetOrder", "OK"): 2, ("GetOrder", "NOT_FOUND"): 1,
        ("ListOrders", "INVALID_ARGUMENT"): 1, ("ListOrderStates", "OK"): 1, ("ImportOrders", "OK"): 1}
    assert value(after, "orderd_rpcs_running") == 0


def test_every_service_is_known_by_name(server):
    """One that the metrics do not know would count as "other"."""
    called = {"OrderService": "ListOrders", "OrderSettingsService": "ListOrderStates",
              "AccessService": "ListApiKeys", "SandboxService": "ListLedgerPayments"}
    services = set()
    for proto in (ROOT / "proto" / "orders").rglob("*.proto"):
        services |= set(re.findall(r"^service (\w+) ", proto.read_text(), re.MULTILINE))
    assert services == set(called)
    server.orders.ListOrders(pb.ListOrdersRequest())
    server.settings.ListOrderStates(settings_pb.ListOrderStatesRequest())
    access_pb2_grpc.AccessServiceStub(server.api.channel).ListApiKeys(
        access_pb.ListApiKeysRequest(), timeout=PATIENCE)
    server.api.sandbox.ListLedgerPayments(sandbox.ListLedgerPaymentsRequest(gateway_account="shop"))
    methods = {method for method, _ in calls(scrape(server))}
    assert set(called.values()) <= methods and "other" not in methods


def test_histograms_add_up(server):
    create(server)
    samples = scrape(server)
    checked = 0
    for name in [name for name in samples if name.endswith("_bucket")]:
        base = name.removesuffix("_bucket")
        series = collections.defaultdict(list)
        for pairs, count in samples[name].items():
            labels = dict(pairs)
            series[frozenset(pairs - {("le", labels["le"])})].append((float(labels["le"]), count))
        for labels, buckets in series.items():
            counts = [count for _, count in sorted(buckets)]
            assert counts == sorted(counts), (name, labels)
            assert max(buckets)[0] == float("inf")
            assert counts[-1] == samples[f"{base}_count"][labels]
            assert samples[f"{base}_sum"][labels] >= 0
            checked += 1
    assert checked >= 4


def test_the_engine_and_the_database(server):
    before = scrape(server)
    for _ in range(5):
        create(server)
    after = scrape(server)
    def rose(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)
    assert rose("orderd_commands_total") == 5
    assert rose("orderd_batch_commands_sum") == 5
    assert 1 <= rose("orderd_batch_commands_count") <= 5
    assert rose("orderd_batch_duration_seconds_count") == rose("orderd_batch_commands_count")
    assert rose("orderd_sql_statements_total", kind="commit") >= 1
    assert rose("orderd_sql_statements_total", kind="insert") >= 1
    assert value(after, "orderd_commands_waiting") == 0
    assert value(after, "orderd_db_sessions", state="idle") >= 1
    assert value(after, "orderd_db_sessions_max") >= value(after, "orderd_db_sessions", state="in_use")
    assert value(after, "orderd_db_sessions_opened_total") >= 1
    assert value(after, "orderd_cache_orders") >= 5
    assert value(after, "process_resident_memory_bytes") > 1e6
    assert value(after, "process_open_fds") > 3
    assert abs(value(after, "process_start_time_seconds") - time.time()) < 3600


def test_calls_to_gateways(server):
    order_id, payment_id = paid_at_shop(server)
    before = scrape(server)
    fault(server, "CAPTURE", "REFUSE", reason="CARD_DECLINED")
    capture(server, order_id, payment_id)
    capture(server, order_id, payment_id)
    after = scrape(server)
    name = "orderd_gateway_call_duration_seconds_count"
    for outcome in ("refused", "succeeded"):
        labels = dict(account="shop", operation="capture", outcome=outcome)
        assert value(after, name, **labels) - value(before, name, **labels) == 1, outcome
    assert value(after, name, account="shop", operation="fetch", outcome="succeeded") >= 1
    assert value(after, "orderd_gateway_circuit_open", account="shop") == 0


def test_what_is_unresolved_rises_and_falls(server):
    def unresolved():
        return value(scrape(server), "orderd_unresolved_payments", account="shop")
    order_id, payment_id = paid_at_shop(server)
    wait_for(lambda: unresolved() == 0)
    fault(server, "CAPTURE", "DROP_ANSWER")
    capture(server, order_id, payment_id)
    wait_for(lambda: unresolved() == 1)
    assert value(scrape(server), "orderd_unresolved_payments_oldest_age_seconds", account="shop") > 0
    server.orders.SyncPayments(payment_pb.SyncPaymentsRequest(order_id=order_id))
    wait_for(lambda: unresolved() == 0)
    assert value(scrape(server), "orderd_unresolved_payments_oldest_age_seconds", account="shop") == 0


def test_watchers(server):
    order_id = create(server).order_id
    stream = server.orders.WatchOrders(watch_pb.WatchOrdersRequest(from_snapshot=True), timeout=PATIENCE)
    next(stream)
    samples = scrape(server)
    assert value(samples, "orderd_feed_watchers") == 1
    assert value(samples, "orderd_rpcs_running") == 1
    stream.cancel()
    wait_for(lambda: value(scrape(server), "orderd_feed_watchers") == 0)
    wait_for(lambda: calls(scrape(server)).get(("WatchOrders", "CANCELLED")) == 1)
    assert order_id not in urllib.request.build_opener().open(metrics_url(server)).read().decode()


def paid_at_stripe(server, stripe):
    reference = stripe.control("create", amount=1000)["id"]
    order = create(server, payments=[dict(gateway_account="card", gateway_reference=reference)])
    return order.order_id, order.payments[0].payment_id


def test_a_trace_goes_through_the_log_to_the_gateway(server, stripe):
    order_id, payment_id = paid_at_stripe(server, stripe)
    stripe.control("forget_requests")
    capture(server, order_id, payment_id, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="shop=17 , b=2")
    line = line_of_call(server, method="CapturePayment", order_id=order_id)
    assert (line["trace_id"], line["level"], line["code"]) == (TRACE, "info", "OK")
    assert re.fullmatch("[0-9a-f]{16}", line["span_id"]) and line["span_id"] != PARENT
    requests = stripe.control("requests")
    assert {request["method"] for request in requests} == {"get", "post"}  # the first sync; the capture
    assert {(request["traceparent"], request["tracestate"]) for request in requests} == {
        (f"00-{TRACE}-{line['span_id']}-01", "shop=17,b=2")}

    # A cancellation, whose legs are made by the server.
    stripe.control("forget_requests")
    server.orders.CancelOrder(cancel_pb.CancelOrderRequest(request_id=new_id(), order_id=order_id),
                              metadata=[("traceparent", f"00-{TRACE}-{PARENT}-00")])
    span = line_of_call(server, method="CancelOrder", order_id=order_id)["span_id"]
    requests = stripe.control("requests")
    assert any(request["path"] == "/v1/refunds" and request["method"] == "post" for request in requests)
    assert {(request["traceparent"], request["tracestate"]) for request in requests} == {
        (f"00-{TRACE}-{span}-00", None)}


@pytest.mark.parametrize("metadata", [
    [], [("traceparent", f"00-{TRACE}-{PARENT}")], [("traceparent", f"00-{TRACE.upper()}-{PARENT}-01")],
    [("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2, [("tracestate", "a=1")]])
def test_without_a_valid_trace_there_is_none(server, stripe, metadata):
    order_id, _ = paid_at_stripe(server, stripe)
    stripe.control("forget_requests")
    server.orders.SyncPayments(payment_pb.SyncPaymentsRequest(order_id=order_id), metadata=metadata)
    line = line_of_call(server, method="SyncPayments", order_id=order_id)
    assert "trace_id" not in line and "span_id" not in line
    requests = stripe.control("requests")
    assert requests
    assert {(request["traceparent"], request["tracestate"]) for request in requests} == {(None, None)}


def test_a_line_names_what_it_is_about(server):
    request_id = new_id()
    order_id = create(server).order_id
    server.orders.AddNote(pb.AddNoteRequest(request_id=request_id, order_id=order_id, body="x"))
    line = line_of_call(server, request_id=request_id)
    assert line.pop("duration_ms") >= 0
    assert line.pop("peer").startswith("ipv4:127.0.0.1:")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    assert line == {"level": "info", "message": "call", "method": "AddNote", "code": "OK",
                    "actor": "local", "order_id": order_id, "request_id": request_id}
    with refused(grpc.StatusCode.NOT_FOUND, "ORDER_NOT_FOUND"):
        server.orders.DeleteNote(pb.DeleteNoteRequest(order_id="X" * 40 + '"\n', note_id=new_id(),
                                                      request_id=request_id))
    line = line_of_call(server, request_id=request_id, method="DeleteNote")
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "ORDER_NOT_FOUND")
    assert "order_id" not in line


def test_personal_data_does_not_get_into_the_log(tmp_path, stripe):
    """One of everything, done and refused, with markers in all that people write."""
    person = {name: f"{name}MARK{new_id()[:8]}" for name in (
        "name", "mail", "phone", "street", "city", "body", "reason", "label", "company", "number")}
    number = person["number"]
    address = dict(name=person["name"], company=person["company"], line1=person["street"],
                   city=person["city"], postal_code="12345", country_code="DE", phone=person["phone"])
    customer = dict(name=person["name"], email=f"{person['mail']}@example.com", phone=person["phone"])
    with mail_server(tmp_path / "mails", "--answer", "RCPT",
                     f"450 <{person['mail']}@example.com> is busy", 1) as mails, \
            running(tmp_path, stripe, "--smtp", mails.url, "--smtp-tls", "never", "--email-from",
                    "Shop <shop@example.com>", "--email-interval", "0.1", "--log-level", "debug") as server:
        order = create(server, customer=customer, billing_address=address, shipping_address=address,
                       labels={"who": person["label"]}, order_number=number)
        order_id = order.order_id
        with refused(grpc.StatusCode.ALREADY_EXISTS, "ORDER_NUMBER_IN_USE"):
            create(server, customer=customer, order_number=number)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
            create(server, customer=dict(name=person["name"], email=f"{person['mail']} no address"))
        server.orders.UpdateOrder(pb.UpdateOrderRequest(
            order_id=order_id, customer=customer, update_mask=dict(paths=["customer"]),
            reason=person["reason"]))
        note = server.orders.AddNote(pb.AddNoteRequest(order_id=order_id, body=person["body"])).note
        server.orders.UpdateNote(pb.UpdateNoteRequest(order_id=order_id, note_id=note.note_id,
                                                      body=person["body"] + "2"))
        server.orders.ListOrders(pb.ListOrdersRequest(
            filter=dict(customer_email=f"{person['mail']}@example.com")))
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
            server.orders.GetOrder(pb.GetOrderRequest(order_id=person["name"] * 100))
        list(server.orders.ImportOrders(iter([pb.ImportOrdersRequest(order=pb.NewOrder(
            order_number=number, customer=customer))])))
        server.orders.CancelOrder(cancel_pb.CancelOrderRequest(
            request_id=new_id(), order_id=order_id, reason=person["reason"], notify_customer=True))
        wait_for(lambda: mails.messages(f"{person['mail']}@example.com")
                 or "was not sent yet" in server.log())
        wait_for(lambda: "was not sent yet" in server.log())
        erased = server.orders.EraseCustomerData(erasure_pb.EraseCustomerDataRequest(
            request_id=new_id(), email=f"{person['mail']}@example.com", include_open=True,
            erase_texts=True))
        assert erased.orders_erased
    text = server.log()
    assert "CancelOrder" in text and "EraseCustomerData" in text and "ImportOrders" in text and "done" in text
    for marker in person.values():
        assert marker not in text, marker
    assert len(json_log(server)) > 10


def test_text_is_the_default(tmp_path):
    server = Server(f"sqlite:{tmp_path / 'orders.db'}")
    request_id = new_id()
    order_id = create(server).order_id
    server.orders.AddNote(pb.AddNoteRequest(request_id=request_id, order_id=order_id, body="x"))
    assert server.stop() == 0
    lines = server.log().splitlines()
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (info|warning|error) \S", line), line
    [line] = [line for line in lines if request_id in line]
    assert re.search(rf" info call method=AddNote code=OK duration_ms=\d+\.\d+ actor=local "
                     rf"order_id={order_id} request_id={request_id} peer=ipv4:127\.0\.0\.1:\d+$", line), line
    assert "metrics" not in server.log()


def test_metrics_while_the_database_is_away():
    server = Server("mysql://nobody@127.0.0.1:1/orders", options=["--metrics", "127.0.0.1:0"])
    with refused(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"):
        server.orders.GetOrder(pb.GetOrderRequest(order_id=new_id()))
    samples = scrape(server)
    assert calls(samples) == {("GetOrder", "UNAVAILABLE"): 1}
    assert "orderd_unresolved_payments" not in samples
    assert server.stop() == 0


def test_a_port_that_is_taken_ends_the_start(server, tmp_path):
    taken = metrics_url(server).removeprefix("http://").removesuffix("/metrics")
    with pytest.raises(StartFailed) as failed:
        Server(f"sqlite:{tmp_path / 'orders.db'}", options=["--metrics", taken])
    assert failed.value.returncode == 4
    assert f"can't serve metrics on {taken}" in failed.value.stderr


# The files in docs/.

METRIC = r"\b(?:orderd|process|exposer)_[a-z_]+\b"
ROW = rf"^\| `({METRIC})(?:\{{([a-z,]+)\}})?`"  # of the table of metrics: name, labels


@pytest.fixture(scope="module")
def exposed(server):
    """All that a server has, once everything has happened."""
    capture(server, *paid_at_shop(server))
    wait_for(lambda: "orderd_unresolved_payments" in scrape(server))
    return scrape(server)


def test_the_documentation_lists_every_metric(exposed):
    text = (ROOT / "docs" / "observability.md").read_text()
    listed = [name for name, _ in re.findall(ROW, text, re.MULTILINE)]
    assert len(listed) == len(set(listed))
    assert set(listed) == families(exposed)


def test_the_documentation_lists_every_label(exposed):
    text = (ROOT / "docs" / "observability.md").read_text()
    for name, labels in re.findall(ROW, text, re.MULTILINE):
        samples = exposed.get(name) or exposed[name + "_count"]
        found = {label for pairs in samples for label, _ in pairs} - {"quantile"}
        assert found == set(filter(None, labels.split(","))), name


@pytest.mark.parametrize("file", ["grafana-orderd.json", "alerts.yml"])
def test_dashboard_and_alerts_ask_for_what_exists(exposed, file):
    text = (ROOT / "docs" / file).read_text()
    if file.endswith(".json"):
        dashboard = json.loads(text)
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    else:
        expressions = re.findall(r"^ +expr: (.*(?:\n {10,}.*)*)", text, re.MULTILINE)
    assert len(expressions) > 10
    for expression in expressions:
        used = re.findall(METRIC, expression)
        assert used or "up{" in expression, expression
        assert set(used) <= set(exposed), expression
        for name, labels in re.findall(rf"({METRIC})\{{([^}}]*)\}}", expression):
            found = {label for pairs in exposed[name] for label, _ in pairs} | {"instance"}
            assert set(re.findall(r"(\w+)\s*[=!]~?\"", labels)) <= found, expression
