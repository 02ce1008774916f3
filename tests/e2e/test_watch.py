"""orderctl history and orderctl watch, as a person reads them and as a program goes on with them."""

import json
import queue
import signal
import subprocess
import threading

import pytest
from orders.v1 import common_pb2, order_pb2

from harness import ORDERCTL, Server, new_id, orderctl, pb

PATIENCE = 60


class Watch:
    """A running `orderctl watch`; its output is read line by line."""

    def __init__(self, server, *args):
        # setpriv: it also ends if this process is killed.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", ORDERCTL, "--server", server.address, "watch",
             *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._out = self._lines_of(self.process.stdout)
        self._err = self._lines_of(self.process.stderr)
        # What happens from now on is seen.
        self.wait_for("watching")

    @staticmethod
    def _lines_of(stream):
        lines = queue.Queue()

        def read():
            for line in stream:
                lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        return lines

    def line(self):
        """The next line of standard output; None at its end."""
        return self._out.get(timeout=PATIENCE)

    def changes(self, count):
        """The next changes of a watch with --json, as (order id, etag, types of its events)."""
        found = []
        while len(found) < count:
            found += changes_in([self.line()])
        return found

    def wait_for(self, text):
        """The next line on standard error that has the text; it must come."""
        while (line := self._err.get(timeout=PATIENCE)) is not None:
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}")

    def end(self, signal_number=signal.SIGINT):
        """As Ctrl-C does. Returns the exit code, and what standard output still had."""
        self.process.send_signal(signal_number)
        return self.finished()

    def finished(self):
        code = self.process.wait(timeout=PATIENCE)
        rest = list(iter(self.line, None))
        return code, rest


def changes_in(lines):
    changes = [json.loads(line)["change"] for line in lines if json.loads(line)["kind"] == "change"]
    return [(change["order_id"], change["etag"], [kind_of(event) for event in change["events"]])
            for change in changes]


def kind_of(event):
    common = {"order_id", "etag", "actor", "request_id", "event_time"}
    return next(field for field in event if field not in common)


def create(server, **fields):
    fields.setdefault("order_number", f"W-{new_id()[:13]}")
    return server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder(
        items=[order_pb2.Item(sku="MUG", quantity=2, unit_price=common_pb2.Money(
            currency_code="EUR", amount_minor=1250))], **fields))).order


def note(server, order, body):
    """The change as `changes_in` reads it."""
    answer = server.orders.AddNote(pb.AddNoteRequest(order_id=order.order_id, body=body))
    return order.order_id, answer.etag, ["note_added"]


@pytest.fixture
def order(server):
    return create(server)


def test_history_says_what_it_was_and_what_it_is(server, order):
    number = order.order_number
    orderctl(server, "status", number, "processing", "--reason", "paid by check")
    orderctl(server, "invoice", number, f"I-{number}")
    orderctl(server, "note", "add", number, "Ring twice", "--customer")
    orderctl(server, "update", number, "--set", "customer.email=zoe@example.com")

    table = orderctl(server, "history", number).stdout.splitlines()
    assert table[0].split() == ["TIME", "ETAG", "WHAT", "BY", "DETAILS"]
    for line, texts in zip(table[1:], [
            ("order created", f"{number}, new, 25.00 EUR"),
            ("state changed", 'new -> processing; reason "paid by check"'),
            ("invoice number changed", f"- -> I-{number}"),
            ("note added", 'for customer "Ring twice"'),
            ("order updated", "customer.email - -> zoe@example.com"),
    ], strict=True):
        assert all(text in line for text in texts), line

    events = [json.loads(line) for line in
              orderctl(server, "history", order.order_id, "--json").stdout.splitlines()]
    assert [kind_of(event) for event in events] == [
        "order_created", "state_changed", "invoice_number_changed", "note_added", "order_updated"]
    assert events[1]["state_changed"]["before_state_id"] == "new"
    assert events[1]["state_changed"]["after_state_id"] == "processing"

    some = orderctl(server, "history", number, "--type", "note_added", "--type", "order_updated",
                    "--limit", 1)
    assert len(some.stdout.splitlines()) == 2 and "note added" in some.stdout
    assert "the first 1" in some.stderr
    assert orderctl(server, "history", "no-such-order", ok=False).returncode == 3


def test_history_has_all_pages(server, order):
    for n in range(1100):
        note(server, order, f"note {n}")
    events = orderctl(server, "history", order.order_number, "--json").stdout.splitlines()
    bodies = [json.loads(event)["note_added"]["note"]["body"] for event in events[1:]]
    assert bodies == [f"note {n}" for n in range(1100)]


def test_watch_prints_changes_in_their_order(server, order):
    watch = Watch(server, "--order", order.order_number, "--json", "--count", 20)
    create(server)  # another order, which is not watched
    expected = [note(server, order, f"note {n}") for n in range(20)]
    code, lines = watch.finished()
    assert code == 0
    assert changes_in(lines) == expected
    assert json.loads(lines[-1])["resume_token"]


def test_watch_for_people(server, order):
    watch = Watch(server, "--order", order.order_number)
    orderctl(server, "status", order.order_number, "processing")
    assert watch.line().split() == ["TIME", "ORDER", "WHAT", "BY", "DETAILS"]
    line = watch.line()
    assert order.order_number in line and "state changed" in line and "new -> processing" in line
    assert watch.end() == (0, [])
    token = watch.wait_for("go on with: orderctl watch --resume ").split()[-1]

    missed = note(server, order, "while nobody looks")
    again = Watch(server, "--order", order.order_number, "--json", "--resume", token, "--count", 1)
    code, lines = again.finished()
    assert code == 0 and changes_in(lines) == [missed]


def test_watch_filters(server):
    label = f"run={new_id()}"
    key, value = label.split("=")
    watch = Watch(server, "--json", "--label", label, "--state", "processing",
                  "--type", "state_changed")
    order = create(server, labels={key: value})
    orderctl(server, "status", order.order_number, "processing")
    note(server, order, "of another type")
    orderctl(server, "status", order.order_number, "suspended")
    orderctl(server, "status", order.order_number, "processing")
    lines = [json.loads(watch.line()) for _ in range(3)]
    states = [line["change"]["events"][0]["state_changed"]["after_state_id"] for line in lines]
    assert states == ["processing", "suspended", "processing"]
    assert [line["change"]["left_filter"] for line in lines] == [False, True, False]
    assert watch.end(signal.SIGTERM) == (0, [])


def test_watch_begins_with_a_snapshot(server):
    label = f"run={new_id()}"
    key, value = label.split("=")
    orders = [create(server, labels={key: value}) for _ in range(3)]
    watch = Watch(server, "--json", "--from-snapshot", "--label", label)
    lines = []
    while not lines or lines[-1]["kind"] != "snapshot_complete":
        lines.append(json.loads(watch.line()))
    assert [line["order"]["order_id"] for line in lines[:-1]] == [
        order.order_id for order in orders]
    assert lines[-1]["resume_token"]
    expected = note(server, orders[1], "after the snapshot")
    assert watch.changes(1) == [expected]
    assert watch.end() == (0, [])


@pytest.mark.parametrize("stop", [Server.kill, Server.stop])
def test_watch_survives_the_server(database, stop):
    server = Server(database)
    order = create(server)
    watch = Watch(server, "--json")
    expected = []
    for round_number in range(3):
        made = [note(server, order, f"{round_number}.{n}") for n in range(10)]
        if round_number % 2 == 0:
            assert watch.changes(10) == made  # and otherwise it may have to catch up
        else:
            expected += made
        stop(server)
        watch.wait_for("connection lost")
        server = Server(database, listen=server.address)
        made = [note(server, order, f"{round_number}, after it") for _ in range(3)]
        assert watch.changes(len(expected) + 3) == expected + made
        watch.wait_for("resumed")
        expected = []
    assert watch.end() == (0, [])
    assert server.stop() == 0


def test_watch_notices_a_server_that_hangs(database):
    server = Server(database)
    order = create(server)
    watch = Watch(server, "--json", "--heartbeat", 1)
    server.process.send_signal(signal.SIGSTOP)
    assert "no message from the server" in watch.wait_for("connection lost")
    server.process.send_signal(signal.SIGCONT)
    watch.wait_for("resumed")
    expected = note(server, order, "after it")
    assert watch.changes(1) == [expected]
    assert watch.end() == (0, [])
    assert server.stop() == 0


def test_a_token_file_survives_orderctl(server, order, tmp_path):
    token_file = tmp_path / "token"
    args = ("--json", "--order", order.order_number, "--token-file", token_file)
    watch = Watch(server, *args)
    expected = [note(server, order, "seen")]
    seen = watch.changes(1)
    assert watch.end() == (0, [])
    expected += [note(server, order, f"missed {n}") for n in range(5)]
    watch = Watch(server, *args)
    expected.append(note(server, order, "seen again"))
    seen += watch.changes(6)
    assert watch.end(signal.SIGTERM) == (0, [])
    assert seen == expected
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    # Nothing is left to deliver behind it.
    last = note(server, order, "last")
    rest = orderctl(server, "watch", *args, "--count", 1).stdout.splitlines()
    assert changes_in(rest) == [last]


def test_watch_refuses_a_token_of_nobody(server):
    result = orderctl(server, "watch", "--resume", "bm9ib2R5", ok=False)
    assert result.returncode == 4
    assert "WATCH_TOKEN_INVALID" in result.stderr and "--from-snapshot" in result.stderr
    assert "go on with" not in result.stderr
