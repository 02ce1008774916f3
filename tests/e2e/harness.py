"""Runs orderd and orderctl as a user does, and talks to them with Python code generated from proto/."""

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ORDERD_BUILD_DIR", ROOT / "build" / "release"))
ORDERD = BUILD / "orderd"
ORDERCTL = BUILD / "orderctl"
SCRIPTS = ROOT / "scripts"
# Real data of others; it lies beside the project and is no part of it.
DATA = ROOT.parent / "shared" / "data"


def generate_client():
    """Generates the Python client with Debian's protoc, as any user of the protos would."""
    out = tempfile.mkdtemp(prefix="orderd-python-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    protos = [str(path) for path in (ROOT / "proto").rglob("*.proto") if "internal" not in path.parts]
    subprocess.run(
        ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}", f"--grpc_out={out}",
         f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}", *protos],
        check=True)
    sys.path.insert(0, out)


generate_client()

import grpc  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from orders.v1 import order_service_pb2 as pb  # noqa: E402,F401
from orders.sandbox.v1 import sandbox_pb2_grpc  # noqa: E402
from orders.v1 import order_service_pb2_grpc, settings_service_pb2_grpc  # noqa: E402


class _DefaultTimeout(grpc.UnaryUnaryClientInterceptor):
    """No test waits for ever for an answer."""

    def intercept_unary_unary(self, continuation, details, request):
        if details.timeout is None:
            details = details._replace(timeout=30)
        return continuation(details, request)


class Api:
    """The generated stubs on one connection."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[
            ("grpc.enable_http_proxy", 0),
            # A connection of its own, not shared with other channels to the same address.
            ("grpc.use_local_subchannel_pool", 1),
        ])
        intercepted = grpc.intercept_channel(self.channel, _DefaultTimeout())
        self.orders = order_service_pb2_grpc.OrderServiceStub(intercepted)
        self.settings = settings_service_pb2_grpc.OrderSettingsServiceStub(intercepted)
        self.sandbox = sandbox_pb2_grpc.SandboxServiceStub(intercepted)

    def close(self):
        self.channel.close()


class StartFailed(Exception):
    def __init__(self, returncode, stderr):
        super().__init__(f"orderd ended with {returncode}: {stderr}")
        self.returncode = returncode
        self.stderr = stderr


class Server:
    """One orderd process."""

    def __init__(self, database, listen="127.0.0.1:0", options=()):
        self.database = database
        self._log = tempfile.TemporaryFile(mode="w+", prefix="orderd-log-")
        # setpriv: it also ends if this process is killed.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", ORDERD, "--listen", listen, "--database", database,
             *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"orderd listening on (\S+:\d+)\n", line)
        if not match:
            self.process.stdout.close()
            returncode = self.process.wait(timeout=30)
            raise StartFailed(returncode, self.log())
        self.address = match.group(1)
        self.api = Api(self.address)
        self.orders = self.api.orders
        self.settings = self.api.settings

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def kill(self):
        """As the kernel does when memory is short."""
        self.process.kill()
        self._reap()

    def stop(self):
        """As an init system does. Returns the exit status."""
        self.api.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self):
        returncode = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.api.close()
        return returncode


class MariaDb:
    """The private MariaDB of this run: that of scripts/test, or else one of its own."""

    def __init__(self):
        self._process = None
        self.url = os.environ.get("ORDERD_TEST_MYSQL")
        if not self.url:
            # It ends when its command does: when this process closes the pipe, or dies.
            self._process = subprocess.Popen(
                [SCRIPTS / "with-mariadb", "sh", "-c", 'echo "$ORDERD_TEST_MYSQL"; cat > /dev/null'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.url = self._process.stdout.readline().strip()
            assert self.url, "scripts/with-mariadb did not start MariaDB"

    def execute(self, sql):
        socket = re.search(r"socket=(.*)", self.url).group(1)
        result = subprocess.run(
            ["mariadb", "--no-defaults", "--user=root", f"--socket={socket}", "--skip-column-names",
             "--batch", "--execute", sql], check=True, capture_output=True, text=True)
        return result.stdout

    def close(self):
        if self._process:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(timeout=60)

    @contextlib.contextmanager
    def database(self):
        """An empty database, as the URL that orderd takes."""
        name = f"e2e_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url.replace("/?", f"/{name}?")
        finally:
            self.execute(f"DROP DATABASE {name}")


class Refusal:
    """An error as a client sees it: the code, and the google.rpc details decoded."""

    code = None
    message = reason = domain = ""

    def __init__(self, code=None, status=None):
        self.code = code
        self.metadata = {}
        self.violations = {}
        self.preconditions = []
        self.resource = None
        self.retry_delay = None
        if status is None:
            return
        self.message = status.message
        for detail in status.details:
            for kind in ("ErrorInfo", "BadRequest", "PreconditionFailure", "ResourceInfo", "RetryInfo"):
                message = getattr(error_details_pb2, kind)()
                if detail.Unpack(message):
                    self._take(kind, message)

    def _take(self, kind, detail):
        if kind == "ErrorInfo":
            self.reason, self.domain = detail.reason, detail.domain
            self.metadata = dict(detail.metadata)
        elif kind == "BadRequest":
            self.violations = {v.field: v.description for v in detail.field_violations}
        elif kind == "PreconditionFailure":
            self.preconditions = list(detail.violations)
        elif kind == "ResourceInfo":
            self.resource = detail
        else:
            self.retry_delay = detail.retry_delay

    @classmethod
    def of(cls, error):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                return cls(error.code(), status_pb2.Status.FromString(value))
        return cls(error.code())

    def __repr__(self):
        return f"Refusal({self.code}, {self.reason!r}, {self.metadata}, {self.violations})"


@contextlib.contextmanager
def refused(code, reason):
    """The block must end in this error; what it carries is in the object afterwards."""
    refusal = Refusal()
    try:
        yield refusal
    except grpc.RpcError as error:
        refusal.__dict__.update(Refusal.of(error).__dict__)
        assert (refusal.code, refusal.reason) == (code, reason), refusal
        assert refusal.domain == "orders.v1"
        return
    raise AssertionError(f"expected {code} {reason}, but the call succeeded")


def orderctl(server, *args, stdin="", ok=True):
    """Runs orderctl and returns the finished process, with its output as text."""
    result = subprocess.run(
        [ORDERCTL, "--server", server.address, *map(str, args)],
        input=stdin, capture_output=True, text=True, timeout=600)
    if ok:
        assert result.returncode == 0, (args, result.returncode, result.stdout[-2000:],
                                        result.stderr[-2000:])
    return result


def run_threads(count, work):
    """Runs work(i) on `count` threads; the first exception is raised again here."""
    failures = []

    def guarded(index):
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def all_orders(orders, **query):
    """Every order of a list, over all its pages."""
    request = pb.ListOrdersRequest(page_size=1000, **query)
    while True:
        page = orders.ListOrders(request)
        yield from page.orders
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def new_id():
    return str(uuid.uuid4())
