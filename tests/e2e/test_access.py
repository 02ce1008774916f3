"""Who may call: keys, certificates, roles and the audit log, as an operator sets them up."""

import hashlib
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time

import grpc
import pytest

from harness import ORDERCTL, ROOT, Server, StartFailed, new_id, order_service_pb2_grpc, pb, refused
from orders.v1 import settings_service_pb2, watch_pb2

UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
UNKNOWN = "01890000-0000-7000-8000-000000000000"


def cli(server, *args, key=None, ok=True, options=()):
    """orderctl with a key, as its process has it in the environment."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("ORDERCTL_")}
    if key:
        environment["ORDERCTL_API_KEY"] = key
    result = subprocess.run([ORDERCTL, "--server", server.address, *options, *map(str, args)],
                            capture_output=True, text=True, timeout=60, env=environment)
    if ok:
        assert result.returncode == 0, (args, result.returncode, result.stderr)
    return result


def make_key(server, name, role, key=None, *more):
    return cli(server, "keys", "create", "--name", name, "--role", role, *more, key=key).stdout.strip()


def bearer(key):
    return {"metadata": [("authorization", f"Bearer {key}")], "timeout": 30}


def ask(server, key):
    return server.orders.ListOrders(pb.ListOrdersRequest(), **(bearer(key) if key else {}))


def within(seconds, what, probe):
    """Waits until probe() is true."""
    end = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def lets_in(server, key):
    try:
        ask(server, key)
        return True
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
        return False


def test_a_server_gets_its_keys(database):
    server = Server(database)
    try:
        ask(server, None)
        refusal = cli(server, "keys", "create", "--name", "x", "--role", "viewer", ok=False)
        assert refusal.returncode == 6 and "FIRST_KEY_NOT_ADMIN" in refusal.stderr
        admin = make_key(server, "ops", "admin")
        assert re.fullmatch(r"ord_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", admin)
        with refused(*UNAUTHENTICATED):
            ask(server, None)
        ask(server, admin)

        refusal = cli(server, "list", ok=False)
        assert refusal.returncode == 8 and "--api-key-file" in refusal.stderr
        viewer = make_key(server, "auditor", "viewer", admin, "--expires", "90d")
        cli(server, "list", key=viewer)
        refusal = cli(server, "note", "add", UNKNOWN, "text", key=viewer, ok=False)
        assert refusal.returncode == 8
        assert "required_role: operator" in refusal.stderr and "keys create" in refusal.stderr
        with refused(*DENIED):
            server.orders.UpdateInvoice(pb.UpdateInvoiceRequest(order_id=UNKNOWN), **bearer(viewer))

        shown = cli(server, "keys", "list", key=admin).stdout
        assert "auditor" in shown and "good until" in shown
        assert admin not in shown and viewer not in shown
        key_id = viewer.split("_")[1]
        assert "is revoked" in cli(server, "keys", "revoke", key_id, key=admin).stdout
        with refused(*UNAUTHENTICATED):
            ask(server, viewer)
        assert key_id not in cli(server, "keys", "list", key=admin).stdout
        assert key_id in cli(server, "keys", "list", "--revoked", key=admin).stdout
        # Made once; the token is not told a second time.
        again = ["keys", "create", "--name", "y", "--role", "viewer"]
        request_id = ["--request-id", new_id()]
        assert cli(server, *request_id, *again, key=admin).stdout
        replayed = cli(server, *request_id, *again, key=admin, ok=False)
        assert replayed.returncode == 5 and not replayed.stdout and "keys revoke" in replayed.stderr
    finally:
        assert server.stop() == 0
    server = Server(database)
    try:
        with refused(*UNAUTHENTICATED):
            ask(server, None)
        ask(server, admin)
    finally:
        assert server.stop() == 0


def test_other_servers_follow_within_a_second_or_so(mariadb):
    with mariadb.database() as url:
        first, second = Server(url), Server(url)
        try:
            ask(second, None)
            admin = make_key(first, "ops", "admin")
            within(5, "the second server closes", lambda: not lets_in(second, None))
            assert lets_in(second, admin)
            key = make_key(first, "shop", "viewer", admin)
            within(5, "the key is good", lambda: lets_in(second, key))
            watch = second.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), **bearer(key))
            next(iter(watch))
            cli(first, "keys", "revoke", key.split("_")[1], key=admin)
            within(5, "the key is worthless", lambda: not lets_in(second, key))
            with refused(*UNAUTHENTICATED):
                for _ in watch:
                    pass
        finally:
            assert first.stop() == 0
            assert second.stop() == 0


def test_where_a_server_without_credentials_listens(database, tmp_path, monkeypatch):
    with pytest.raises(StartFailed) as failed:
        Server(database, listen="0.0.0.0:0")
    assert failed.value.returncode == 7
    assert "--admin-key-file" in failed.value.stderr and "keys create" in failed.value.stderr

    short = tmp_path / "short"
    short.write_text("0123456789\n")
    with pytest.raises(StartFailed) as failed:
        Server(database, options=["--admin-key-file", str(short)])
    assert failed.value.returncode == 7 and "32 characters" in failed.value.stderr
    assert "0123456789" not in failed.value.stderr

    admin_key = "0123456789abcdef0123456789abcdef"
    file = tmp_path / "admin.key"
    file.write_text(admin_key + "\n")
    monkeypatch.setenv("ADMIN_KEY", admin_key)
    for location in (str(file), "env:ADMIN_KEY"):
        server = Server(database, listen="0.0.0.0:0", options=["--admin-key-file", location])
        try:
            with refused(*UNAUTHENTICATED):
                ask(server, None)
            ask(server, admin_key)
            key = make_key(server, "shop", "viewer", admin_key)
            ask(server, key)
            if location == str(file):
                # Another one in the file is good a moment later, without a restart.
                file.write_text(admin_key[::-1])
                within(10, "the new admin key is read", lambda: lets_in(server, admin_key[::-1]))
                assert not lets_in(server, admin_key)
        finally:
            assert server.stop() == 0
    # Now there are keys, and any address will do.
    server = Server(database, listen="0.0.0.0:0")
    try:
        with refused(*UNAUTHENTICATED):
            ask(server, None)
        ask(server, key)
    finally:
        assert server.stop() == 0
    assert "not encrypted" in server.log()


class Authority:
    """A CA made with the openssl command."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = directory / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.directory, check=True, capture_output=True)

    def issue(self, name, alternative_names):
        """Replaces NAME.pem and NAME.key."""
        (self.directory / "san").write_text(f"subjectAltName={alternative_names}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", f"/CN={name}", "-keyout", f"{name}.key.new", "-out", "request")
        self._openssl("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "1", "-extfile", "san", "-out", f"{name}.pem.new")
        for end in ("key", "pem"):
            (self.directory / f"{name}.{end}.new").rename(self.directory / f"{name}.{end}")

    def path(self, name):
        return str(self.directory / name)


def shown_certificate(server):
    host, port = server.address.rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)), timeout=30)


def test_tls_and_certificates_that_are_replaced(database, tmp_path):
    authority = Authority(tmp_path)
    authority.issue("server", "IP:127.0.0.1,DNS:orders.test")
    authority.issue("shop", "URI:spiffe://example.org/shop")
    roles = tmp_path / "roles"
    roles.write_text("cert:spiffe://example.org/shop operator\n")
    admin_key = new_id()
    (tmp_path / "admin.key").write_text(admin_key)
    server = Server(database, options=[
        "--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key"),
        "--tls-client-ca", authority.path("ca.pem"), "--tls-client-roles", str(roles),
        "--admin-key-file", authority.path("admin.key")])
    trust = ["--ca", authority.path("ca.pem")]
    own = [*trust, "--cert", authority.path("shop.pem"), "--key", authority.path("shop.key")]
    try:
        # Who does not encrypt gets nowhere, and is told what may be the matter.
        plain = cli(server, "--timeout", "2", "list", ok=False, key=admin_key)
        assert plain.returncode == 7 and "--tls" in plain.stderr
        cli(server, "list", options=trust, key=admin_key)
        assert cli(server, "list", options=trust, ok=False).returncode == 8
        cli(server, "list", options=own)
        refusal = cli(server, "keys", "list", options=own, ok=False)
        assert refusal.returncode == 8 and "required_role: admin" in refusal.stderr
        wrong_name = cli(server, "--timeout", "2", "list", ok=False, key=admin_key,
                         options=[*trust, "--server-name", "other.test"])
        assert wrong_name.returncode == 7
        cli(server, "list", key=admin_key, options=[*trust, "--server-name", "orders.test"])

        # What docs/security.md tells users of Python to do.
        (tmp_path / "shop.key").rename(tmp_path / "certificate.key")
        (tmp_path / "shop.key").write_text(admin_key + "\n")
        example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "security.md").read_text(), re.S)
        example = example[1].replace("orders.example.com:50051", server.address)
        example = re.sub(r'open\("', f'open("{tmp_path}/', example)
        exec(compile(example, "docs/security.md", "exec"), {})
        (tmp_path / "certificate.key").rename(tmp_path / "shop.key")

        credentials = grpc.ssl_channel_credentials(
            root_certificates=authority.ca.read_bytes(),
            private_key=pathlib.Path(authority.path("shop.key")).read_bytes(),
            certificate_chain=pathlib.Path(authority.path("shop.pem")).read_bytes())
        with grpc.secure_channel(server.address, credentials) as channel:
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            stop, calls, failures = threading.Event(), [], []

            def call_all_the_time():
                while not stop.is_set():
                    try:
                        stub.ListOrders(pb.ListOrdersRequest(), timeout=30)
                        calls.append(1)
                    except grpc.RpcError as error:
                        failures.append(error)

            caller = threading.Thread(target=call_all_the_time)
            caller.start()
            try:
                before = shown_certificate(server)
                authority.issue("server", "IP:127.0.0.1,DNS:orders.test")
                within(10, "the new certificate is shown", lambda: shown_certificate(server) != before)
                good = shown_certificate(server)
                pathlib.Path(authority.path("server.pem")).write_text("broken")
                within(10, "the broken one is noticed", lambda: "stays as it was" in server.log())
                assert shown_certificate(server) == good
                count = len(calls)
                within(10, "calls go on", lambda: len(calls) > count)
            finally:
                stop.set()
                caller.join()
            assert not failures and calls

            roles.write_text("# nobody\n")

            def is_denied():
                try:
                    stub.ListOrders(pb.ListOrdersRequest(), timeout=30)
                    return False
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
                    return True

            within(10, "the role is gone", is_denied)
    finally:
        assert server.stop() == 0


def test_old_versions_of_tls_are_refused(tmp_path):
    authority = Authority(tmp_path)
    authority.issue("server", "IP:127.0.0.1")
    server = Server(f"sqlite:{tmp_path / 'orders.db'}", options=[
        "--tls-cert", authority.path("server.pem"), "--tls-key", authority.path("server.key")])

    def handshake(version):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", server.address, version, "-alpn", "h2", "-cipher",
             "ALL@SECLEVEL=0", "-CAfile", authority.path("ca.pem")],
            input="", capture_output=True, text=True, errors="replace", timeout=60)
        return "Verification: OK" in done.stdout and "Cipher is (NONE)" not in done.stdout

    try:
        assert handshake("-tls1_2") and handshake("-tls1_3")
        assert not handshake("-tls1_1") and not handshake("-tls1")
    finally:
        assert server.stop() == 0


def test_secrets_are_nowhere_and_decisions_in_the_audit_log(tmp_path):
    database, audit = tmp_path / "orders.db", tmp_path / "audit.jsonl"
    admin_key = "admin" + new_id()
    (tmp_path / "admin.key").write_text(admin_key)
    server = Server(f"sqlite:{database}", options=[
        "--admin-key-file", str(tmp_path / "admin.key"), "--audit-log", str(audit),
        "--log-level", "debug"])
    try:
        key = make_key(server, "shop", "operator", admin_key)
        ask(server, key)
        created = server.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder()), **bearer(key))
        with refused(*DENIED):
            server.orders.UpdateOrderStatus(
                pb.UpdateOrderStatusRequest(order_id=created.order.order_id, state_id="new",
                                            force=True, reason="x"), **bearer(key))
        with refused(*DENIED):
            server.settings.DeleteOrderState(
                settings_service_pb2.DeleteOrderStateRequest(state_id="new"), **bearer(key))
        almost = key[:-1] + ("A" if key[-1] != "A" else "B")
        for bad in (None, "nonsense", almost):
            with refused(*UNAUTHENTICATED):
                ask(server, bad)
        moved = audit.rename(tmp_path / "audit.1")
        server.process.send_signal(signal.SIGHUP)
        within(10, "a new audit log begins", audit.exists)
        with refused(*DENIED):
            server.settings.CreateOrderState(settings_service_pb2.CreateOrderStateRequest(),
                                             **bearer(key))
    finally:
        assert server.stop() == 0
    secret = key.split("_", 2)[2]
    log, trail = server.log(), moved.read_text()
    assert json.loads(audit.read_text())["method"] == "CreateOrderState"
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("orders.db*"))
    assert hashlib.sha256(secret.encode()).digest() in stored
    assert secret.encode() not in stored and admin_key.encode() not in stored
    for text in (log, trail):
        assert "shop" in text
        assert secret not in text and admin_key not in text and almost not in text
    assert re.search(r"UNAUTHENTICATED.*unknown key.*peer", log)
    assert re.search(r"PERMISSION_DENIED.*shop.*peer", log)

    lines = [json.loads(line) for line in trail.splitlines()]
    seen = [(line["decision"], line["method"], line["identity"], line["code"]) for line in lines]
    assert seen == [
        ("allow", "CreateApiKey", "admin-key-file", "OK"),
        ("allow", "ListOrders", "shop", "OK"),
        ("allow", "CreateOrder", "shop", "OK"),
        ("deny", "UpdateOrderStatus", "shop", "PERMISSION_DENIED"),
        ("deny", "DeleteOrderState", "shop", "PERMISSION_DENIED"),
        ("deny", "ListOrders", "", "UNAUTHENTICATED"),
        ("deny", "ListOrders", "", "UNAUTHENTICATED"),
        ("deny", "ListOrders", "", "UNAUTHENTICATED"),
    ]
    assert [line.get("why") for line in lines[-3:]] == ["no credential", "malformed key", "unknown key"]
    assert lines[3]["order_id"] == created.order.order_id
    assert all(line["peer"] and line["time"].endswith("Z") for line in lines)
    assert lines[1]["role"] == "operator"
