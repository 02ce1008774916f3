"""What was acknowledged stays, happens once, and is seen by all: under load, after kill -9, and with
two servers on one database."""

import random
import threading

import grpc
import pytest
from orders.v1 import settings_pb2
from orders.v1 import settings_service_pb2 as settings_pb

from harness import Server, StartFailed, new_id, pb, refused
from history import History, version


@pytest.fixture
def two_servers(mariadb):
    with mariadb.database() as url:
        servers = [Server(url), Server(url)]
        yield servers
        assert [server.stop() for server in servers] == [0, 0]


def test_no_update_is_lost(server):
    history = History(server.api, order_count=50, seed=random.randrange(2**32))
    history.run([server.api], clients=64, changes=10_000)
    assert not history.unanswered
    history.check(server.api)


def test_no_update_is_lost_between_two_servers(two_servers):
    apis = [server.api for server in two_servers]
    history = History(apis[0], order_count=50, seed=random.randrange(2**32))
    history.run(apis, clients=64, changes=10_000)
    assert not history.unanswered
    for api in apis:
        history.check(api)


def test_kill_under_load_loses_and_doubles_nothing(database):
    server = Server(database)
    history = History(server.api, order_count=20, seed=random.randrange(2**32))
    retried = 0
    for _ in range(3):
        load = threading.Thread(
            target=lambda: history.run([server.api], clients=32, changes=1_000_000))
        load.start()
        history.wait_for(history.answers + 700)
        server.process.kill()
        load.join()
        server.kill()

        server = Server(database)
        retried += history.retry_unanswered(server.api)
        history.replay_all(server.api)
        history.check(server.api)
    assert retried > 0, "no call was under way when the server was killed"
    assert server.stop() == 0


def test_two_servers_share_everything(two_servers):
    first, second = two_servers
    order = first.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder())).order
    get = pb.GetOrderRequest(order_id=order.order_id)
    assert second.orders.GetOrder(get).order == order
    number = f"I-{new_id()}"
    changed = second.orders.UpdateInvoice(pb.UpdateInvoiceRequest(
        order_id=order.order_id, invoice_number=number))
    assert first.orders.GetOrder(get).order == changed.order, "no stale cache"

    other = first.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder())).order
    with refused(grpc.StatusCode.ALREADY_EXISTS, "INVOICE_NUMBER_IN_USE"):
        first.orders.UpdateInvoice(pb.UpdateInvoiceRequest(
            order_id=other.order_id, invoice_number=number))

    first.settings.CreateOrderState(settings_pb.CreateOrderStateRequest(
        state=settings_pb2.OrderState(state_id="packed", display_name="Packed",
                                      category=settings_pb2.STATE_CATEGORY_OPEN)))
    move = pb.UpdateOrderStatusRequest(order_id=order.order_id, state_id="packed")
    assert second.orders.UpdateOrderStatus(move).changed
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "STATE_IN_USE"):
        first.settings.DeleteOrderState(settings_pb.DeleteOrderStateRequest(state_id="packed"))


def test_same_request_id_on_two_servers_is_one_change(two_servers):
    order = two_servers[0].orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder())).order
    for n in range(100):
        request = pb.AddNoteRequest(order_id=order.order_id, request_id=new_id(), body=f"note {n}")
        answers = [call.result() for call in
                   [server.orders.AddNote.future(request) for server in two_servers]]
        assert len({(answer.etag, answer.note.note_id) for answer in answers}) == 1
        assert sorted(answer.replayed for answer in answers) == [False, True]
    now = two_servers[1].orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id)).order
    assert now.note_count == 100 and version(now.etag) == version(order.etag) + 100


def test_sqlite_file_has_one_server(tmp_path):
    url = f"sqlite:{tmp_path / 'orders.db'}"
    server = Server(url)
    with pytest.raises(StartFailed) as failed:
        Server(url)
    assert failed.value.returncode != 0
    assert "orders.db" in failed.value.stderr and "another" in failed.value.stderr
    assert len(server.orders.ListOrders(pb.ListOrdersRequest()).orders) == 0
    server.kill()
    after = Server(url)  # the lock went with the process
    assert after.stop() == 0


def test_data_outlives_a_restart(database):
    server = Server(database)
    order = server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder())).order
    assert server.stop() == 0
    server = Server(database)
    assert server.orders.GetOrder(pb.GetOrderRequest(order_id=order.order_id)).order == order
    assert server.stop() == 0


@pytest.mark.parametrize("database_url, said", [
    ("sqlite:/nonexistent/folder/orders.db", "/nonexistent/folder"),
    ("postgres://localhost/orders", "must be sqlite:PATH or mysql://"),
])
def test_start_with_a_database_that_cannot_be(database_url, said):
    with pytest.raises(StartFailed) as failed:
        Server(database_url)
    assert failed.value.returncode != 0
    assert said in failed.value.stderr
    assert "Traceback" not in failed.value.stderr and "terminate called" not in failed.value.stderr


def test_port_in_use(server, tmp_path):
    with pytest.raises(StartFailed) as failed:
        Server(f"sqlite:{tmp_path / 'orders.db'}", listen=server.address)
    assert failed.value.returncode != 0
    assert server.address in failed.value.stderr
