"""Peers that are slow, broken or hostile, each while a normal client goes on without an error.

docs/limits.md says what each of them meets."""

import contextlib
import os
import pathlib
import random
import re
import resource
import socket
import struct
import threading
import time

import grpc
import pytest

import http2
from harness import Api, Server, pb
from orders.v1 import watch_pb2

# More with ORDERD_HOSTILE_SCALE=4, say.
SCALE = float(os.environ.get("ORDERD_HOSTILE_SCALE", "1"))
IDLE = int(1000 * SCALE)
SLOW_WATCHERS = int(500 * SCALE)
WAIT = 60

# These tests hold both ends of very many connections.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def memory_mb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024


def new_order(number=""):
    request = pb.CreateOrderRequest()
    request.order.order_number = number
    item = request.order.items.add(sku="MUG", quantity=1)
    item.unit_price.currency_code = "EUR"
    item.unit_price.amount_minor = 1250
    return request


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "orders.db"
    # Room for all the peers of these tests, whatever the machine allows to open.
    server = Server(f"sqlite:{path}", options=["--max-connections", str(4 * IDLE + SLOW_WATCHERS)])
    yield server
    assert server.stop() == 0, server.log()[-3000:]


def patiently(call, request):
    """Tries again when the server says that it is full, as the client libraries do."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return call(request)
        except grpc.RpcError as error:
            again = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
            if error.code() not in again or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def others_are_served(server, least=20, may_be_full=False):
    """Somebody reads and writes all the time, on an old connection and on new ones, and no call fails."""
    order_id = server.orders.CreateOrder(new_order()).order.order_id
    over = threading.Event()
    errors = []
    counts = {"old": 0, "new": 0}

    def work(name, connect):
        try:
            api = connect()
            while not over.is_set() or counts[name] < least:
                send = patiently if may_be_full else lambda call, request: call(request)
                send(api.orders.GetOrder, pb.GetOrderRequest(order_id=order_id))
                send(api.orders.AddNote, pb.AddNoteRequest(order_id=order_id, body="still here"))
                counts[name] += 1
                if name == "new" and counts[name] % 5 == 0:
                    api.close()
                    api = connect()
        except grpc.RpcError as error:
            errors.append(error)

    old = Api(server.address)
    threads = [threading.Thread(target=work, args=("old", lambda: old)),
               threading.Thread(target=work, args=("new", lambda: Api(server.address)))]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(WAIT)
        old.close()
    assert not errors, errors
    assert min(counts.values()) >= least


@contextlib.contextmanager
def closing(peers):
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()


@pytest.fixture(scope="module")
def silent(server):
    """Connections that say nothing, or stop in the middle of the first word."""
    with closing([http2.Peer(server.address) for _ in range(IDLE)]) as peers:
        for peer in peers[::2]:
            peer.send(http2.PREFACE[:12])
        yield peers


def test_a_thousand_silent_connections(server, silent):
    with others_are_served(server):
        pass


def test_a_thousand_idle_connections(server):
    before = memory_mb(server)
    with closing([http2.Peer(server.address).greet() for _ in range(IDLE)]) as peers:
        for peer in peers:
            peer.read_until(http2.SETTINGS)
        with others_are_served(server):
            pass
        print("grown by", memory_mb(server) - before, "MiB")
        assert memory_mb(server) - before < 200 * max(1, SCALE)


def test_peers_that_stop_reading(server):
    """They ask for much and take nothing of it; the calls of others have room."""
    window = struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 0)
    with closing([http2.Peer(server.address).greet(window) for _ in range(20)]) as peers:
        for peer in peers:
            for stream in range(1, 40, 2):
                peer.send(http2.call(stream, "ListOrders"))
        with others_are_served(server):
            pass


def test_slow_readers_of_the_feed(server):
    before = memory_mb(server)
    # Room for the first message, which is small.
    window = struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 300)
    with closing([http2.Peer(server.address, 4096).greet(window)
                  for _ in range(SLOW_WATCHERS)]) as peers:
        for peer in peers:
            peer.send(http2.call(1, "WatchOrders"))
        watch = server.orders.WatchOrders(watch_pb2.WatchOrdersRequest())
        first = next(watch)
        assert first.resume_token
        with others_are_served(server):
            order = server.orders.CreateOrder(new_order()).order
            for i in range(300):
                server.orders.AddNote(pb.AddNoteRequest(order_id=order.order_id, body="x" * 5000))
            # Who reads hears of everything.
            etags = set()
            while len(etags) < 301:
                etags |= {change.etag for change in next(watch).changes
                          if change.order_id == order.order_id}
        watch.cancel()
        # A message each at most.
        print("grown by", memory_mb(server) - before, "MiB")
        assert memory_mb(server) - before < 250 * max(1, SCALE)


def test_oversized_metadata(server):
    api = Api(server.address)
    with others_are_served(server):
        for size in (9_000, 100_000):
            with pytest.raises(grpc.RpcError) as error:
                api.orders.GetOrder(pb.GetOrderRequest(), metadata=[("x-large", "x" * size)])
            # gRPC may close the connection of who sends it, and of nobody else.
            assert error.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED,
                                          grpc.StatusCode.UNAVAILABLE)
        patiently(api.orders.CreateOrder, new_order())
    api.close()


def call_by_hand(server, *args, **more):
    """A call on a connection of its own; its last frame, and what is in it."""
    with closing([http2.Peer(server.address).greet()]) as (peer,):
        peer.send(http2.call(1, "GetOrder", *args, **more))
        return peer.end_of(1)


def test_unknown_compression(server):
    with others_are_served(server):
        kind, end = call_by_hand(server, b"x", [("grpc-encoding", "nonsense")], compressed=1)
        assert kind == http2.HEADERS
        # This version of gRPC takes the message as it is, so it is one that is broken.
        assert b"grpc-status\x0212" in end or b"grpc-status\x013" in end


def test_broken_messages(server):
    with others_are_served(server):
        # It says that it is compressed, and is not.
        kind, _ = call_by_hand(server, b"garbage", [("grpc-encoding", "gzip")], compressed=1)
        assert kind == http2.RST_STREAM
        # It announces more than is allowed, and more than there is.
        for size in (0x7fffffff, 1000):
            with closing([http2.Peer(server.address).greet()]) as (peer,):
                peer.send(
                    http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.headers("GetOrder")) +
                    http2.frame(http2.DATA, http2.END_STREAM, 1, struct.pack(">BI", 0, size)))
                kind, end = peer.end_of(1)
                assert kind == http2.RST_STREAM or b"grpc-status\x010" not in end


def test_a_message_that_is_too_large(server):
    api = Api(server.address)
    send = api.channel.unary_unary("/orders.v1.OrderService/CreateOrder")
    with others_are_served(server):
        with pytest.raises(grpc.RpcError) as error:
            send(b"\x00" * ((16 << 20) + 1), timeout=WAIT)
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    api.close()


def tls_client_hello():
    body = b"\x03\x03" + bytes(32) + b"\x00\x00\x02\x13\x01\x01\x00"
    hello = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(hello)) + hello


def test_garbage_on_the_port(server):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    garbage = [rng.randbytes(rng.randrange(1, 2000)) for _ in range(50)]
    broken = [
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"POST /orders.v1.OrderService/GetOrder HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345",
        tls_client_hello(),
        http2.PREFACE + b"\xff" * 100,
        http2.PREFACE + http2.frame(http2.DATA, 0, 1, b"x" * 100),
        # A frame that is larger than was agreed; a header block that is none.
        http2.PREFACE + http2.frame(http2.SETTINGS) + b"\xff\xff\xff\x01\x04\x00\x00\x00\x01",
        http2.PREFACE + http2.frame(http2.SETTINGS) +
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, b"\xff" * 50),
    ]
    with others_are_served(server):
        peers = []
        for data in broken + garbage:
            peer = http2.Peer(server.address)
            peer.send(data)
            peers.append(peer)
        for peer in peers[:len(broken)]:
            peer.socket.shutdown(socket.SHUT_WR)
            peer.read_until_closed()
        for peer in peers:
            peer.close()


def flood(server, data, times, may_be_full=False):
    """Sends it again and again until the server has enough of it. Returns all that it says."""
    answer = []
    with others_are_served(server, may_be_full=may_be_full), closing([http2.Peer(server.address).greet()]) as (peer,):
        reader = threading.Thread(target=lambda: answer.append(peer.read_until_closed()))
        reader.start()
        for i in range(times):
            if not peer.send(data(i)):
                break
        with contextlib.suppress(OSError):
            peer.socket.shutdown(socket.SHUT_WR)
        reader.join(WAIT)
    return answer[0]


def test_a_flood_of_pings(server):
    ping = http2.frame(http2.PING, payload=b"12345678") * 100
    assert b"too_many_pings" in flood(server, lambda _: ping, 500)  # and it is closed


def test_a_flood_of_settings(server):
    before = memory_mb(server)
    settings = http2.frame(http2.SETTINGS) * 100
    flood(server, lambda _: settings, 500)
    assert memory_mb(server) - before < 100


def test_a_flood_of_resets(server):
    """Calls that are taken back at once, ten thousand of them in a row.

    Nothing bounds what gRPC 1.51 keeps of them until it is done with them (docs/limits.md)."""

    def calls(i):
        return b"".join(
            http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.headers("ListOrders")) +
            http2.frame(http2.DATA, http2.END_STREAM, stream, http2.message(b"")) +
            http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", http2.CANCEL))
            for stream in range(200 * i + 1, 200 * i + 201, 2))

    # For moments they take all slots.
    flood(server, calls, int(100 * SCALE), may_be_full=True)
    with others_are_served(server, may_be_full=True):
        pass


def test_more_streams_than_allowed(server):
    with others_are_served(server), closing([http2.Peer(server.address)]) as (peer,):
        peer.send(http2.PREFACE + http2.frame(http2.SETTINGS))
        # The limit holds from the moment that the peer says it knows it.
        peer.read_until(http2.SETTINGS)
        peer.send(http2.frame(http2.SETTINGS, http2.ACK))
        for stream in range(1, 4000, 2):
            if not peer.send(http2.frame(http2.HEADERS, http2.END_HEADERS, stream,
                                         http2.headers("WatchOrders"))):
                break
        peer.read_until_closed()


def test_the_silent_ones_are_closed(server, silent):
    for peer in silent:
        peer.read_until_closed()
        assert peer.is_closed()
    with others_are_served(server):
        pass


def test_memory_of_messages_on_their_way(tmp_path):
    """Hundreds of requests of many MiB that never end."""
    server = Server(f"sqlite:{tmp_path / 'orders.db'}", options=["--memory-mb", "64"])
    try:
        before = memory_mb(server)
        streams = range(1, 21, 2)
        head = struct.pack(">BI", 0, 15 << 20)
        peers = [http2.Peer(server.address).greet() for _ in range(60)]

        def send_most_of_it(peer):
            for stream in streams:
                peer.send(http2.frame(http2.HEADERS, http2.END_HEADERS, stream,
                                      http2.headers("CreateOrder")) +
                          http2.frame(http2.DATA, 0, stream, head))
            part = b"".join(http2.frame(http2.DATA, 0, stream, b"x" * 16000) for stream in streams)
            for _ in range(190):
                if not peer.send(part):
                    return

        threads = [threading.Thread(target=send_most_of_it, args=(peer,)) for peer in peers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        grown = memory_mb(server) - before
        print("grown by", grown, "MiB")
        assert grown < 350  # without the limit about 500
        for peer in peers:
            peer.close()
        # Connections that were idle may have been closed to make room.
        patiently(server.orders.CreateOrder, new_order())
        with others_are_served(server):
            pass
    finally:
        assert server.stop() == 0, server.log()[-3000:]


def test_connections_above_the_limit(tmp_path):
    server = Server(f"sqlite:{tmp_path / 'orders.db'}", options=["--max-connections", "10"])
    try:
        server.orders.CreateOrder(new_order())
        peers = [http2.Peer(server.address).greet() for _ in range(30)]
        closed = sum(1 for peer in peers[9:] if peer.read_until_closed() is not None)
        assert closed == 21
        # Who is connected goes on; who goes makes room.
        server.orders.CreateOrder(new_order())
        for peer in peers:
            peer.close()
        api = Api(server.address)
        grpc.channel_ready_future(api.channel).result(timeout=WAIT)
        api.close()
        assert "the limit" in server.log()
    finally:
        assert server.stop() == 0


def test_no_files_left(tmp_path):
    """The kernel lets it open no more; when there is room again it accepts who waits."""
    server = Server(f"sqlite:{tmp_path / 'orders.db'}")
    try:
        server.orders.CreateOrder(new_order())
        used = max(int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd"))
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 6, hard))
        peers = [http2.Peer(server.address).greet() for _ in range(40)]
        deadline = time.monotonic() + WAIT
        while "can't accept a connection" not in server.log():
            assert time.monotonic() < deadline
        # On its connection the client goes on.
        server.orders.CreateOrder(new_order())
        for peer in peers[:-1]:
            peer.close()
        peers[-1].read_until(http2.SETTINGS)
        peers[-1].close()
        api = Api(server.address)
        api.orders.CreateOrder(new_order())
        api.close()
    finally:
        assert server.stop() == 0
