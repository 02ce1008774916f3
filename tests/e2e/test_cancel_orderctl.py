"""orderctl cancel and orderctl emails, against a server with sandbox accounts and a real mail server."""

import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import time

import pytest

from harness import ORDERCTL, ROOT, Server, new_id, orderctl
from test_payments_orderctl import (
    DONE, NOT_FOUND, REFUSED, UNSETTLED, USAGE, fault, history, ledger, minor, pay, payment,  # noqa: F401
    readme_commands)

from orders.sandbox.v1 import sandbox_pb2 as sandbox  # made by harness

SHOP = "Straße & Söhne <shop@shop.example>"


class MailServer:
    """tests/notify/smtp_server.py on a free port, or on the one given."""

    def __init__(self, directory, *options):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "notify" / "smtp_server.py", directory,
             *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"smtp://127.0.0.1:{self.port}"

    def messages(self, recipient=None):
        read = [json.loads(path.read_text()) for path in sorted(
            self.directory.glob("*.json"), key=lambda path: int(path.stem))]
        return [one for one in read if recipient in (None, *one["recipients"])]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@contextlib.contextmanager
def mail_server(directory, *options):
    mails = MailServer(directory, *options)
    try:
        yield mails
    finally:
        mails.close()


@contextlib.contextmanager
def running(database, books, *options):
    """A server that is quick to ask gateways again and to look for e-mails."""
    server = Server(database, options=[
        "--gateway", f"sandbox=sandbox:{books / 'sandbox.db'}",
        "--gateway", f"spare=sandbox:{books / 'spare.db'}",
        "--gateway-timeout", "2", "--reconcile-interval", "0.1", "--reconcile-delay", "0.2",
        "--email-interval", "0.1", *options])
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log()[-3000:]


@pytest.fixture(scope="module")
def mails(tmp_path_factory):
    with mail_server(tmp_path_factory.mktemp("mails")) as mails:
        yield mails


@pytest.fixture(scope="module")
def server(shared_database, mails, tmp_path_factory):
    with running(shared_database, tmp_path_factory.mktemp("books"), "--smtp", mails.url,
                 "--smtp-tls", "never", "--email-from", SHOP) as server:
        yield server


def new_order(server, email=None):
    """The number of a new order of 59.90 EUR. The customer's address is NUMBER@example.com."""
    number = f"C-{new_id()[:13]}"
    orderctl(server, "create", "-", stdin=json.dumps({
        "order_number": number,
        "customer": {"name": "Zoë 山田", "email": f"{number}@example.com" if email is None else email},
        "items": [{"sku": "MUG", "name": "Becher <groß>", "quantity": 1,
                   "unit_price": {"currency_code": "EUR", "amount_minor": 5990}}]}))
    return number


@pytest.fixture
def number(server):
    return new_order(server)


@pytest.fixture
def paid(server, number):
    """An order with 59.90 EUR authorized and 25.50 EUR of it captured."""
    pay(server, "add", number, "--account", "sandbox", "--authorize", "59.90")
    pay(server, "capture", number, "25.50")
    return number


def cancel(server, *args, code=DONE):
    result = orderctl(server, "cancel", *args, ok=False)
    assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
    return result


def now_cancel(server, number, *args, code=DONE):
    return cancel(server, number, "--reason", "sold out", "--yes", *args, code=code)


def got(server, number):
    return json.loads(orderctl(server, "--json", "get", number).stdout)


def cancellation(server, number):
    return got(server, number)["cancellation"]


def status(server, number):
    return cancellation(server, number)["status"].removeprefix("CANCELLATION_STATUS_")


def emails(server, *options):
    listed = orderctl(server, "--json", "emails", "list", *options).stdout.splitlines()
    return [json.loads(line) for line in listed]


def eventually(check, seconds=60):
    """What `check` answers as soon as that is something."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
    return answer


def email_in(server, number, status):
    """The order's one e-mail, when it has come into the status."""
    def look():
        [email] = emails(server, "--order", number)
        return email if email["status"] == f"EMAIL_STATUS_{status}" else None
    return eventually(look)


def message_id(message):
    [found] = [value for name, value in message["headers"] if name.lower() == "message-id"]
    return found


def test_walk(server, paid, mails):
    refused = orderctl(server, "status", paid, "canceled", ok=False)
    assert refused.returncode == REFUSED and "CANCEL_REQUIRED" in refused.stderr
    assert "orderctl cancel ORDER --reason TEXT" in refused.stderr

    before = got(server, paid)
    plan = cancel(server, paid, "--dry-run", "--notify").stdout
    assert "would refund 25.50 EUR and release 34.40 EUR" in plan
    assert re.search(r"sandbox +\S+ +void +34.40 EUR\n.* sandbox +\S+ +refund +25.50 EUR\n", plan)
    assert f"an e-mail would go to {paid}@example.com" in plan and "provisional" not in plan
    asked = cancel(server, paid, "--reason", "sold out", code=USAGE)
    assert "no terminal" in asked.stderr and asked.stdout == ""
    assert got(server, paid) == before

    done = now_cancel(server, paid, "--notify")
    assert done.stdout.startswith(f"canceled: order {paid} ")
    assert "is in state canceled; refunded 25.50 EUR, released 34.40 EUR\n" in done.stdout
    assert "an e-mail to the customer is in the outbox" in done.stdout
    assert minor(server, paid) == (5990, 2550, 2550, 3440, 0, 0)
    book = ledger(server, paid)
    assert (book.captured_minor, book.refunded_minor, book.voided_minor) == (2550, 2550, 3440)
    shown = orderctl(server, "get", paid).stdout
    assert "cancellation: completed" in shown and "reason: sold out" in shown
    assert re.search(r"void +34.40 EUR +succeeded", shown)
    assert re.search(r"refund +25.50 EUR +succeeded", shown)
    assert got(server, paid)["shipments"][0]["lines"][0]["delivery_state_id"] == "canceled"

    email = email_in(server, paid, "SENT")
    [message] = mails.messages(f"{paid}@example.com")
    assert message_id(message) == email["message_id"]
    assert message["from"] == ["Straße & Söhne", "shop@shop.example"]
    assert message["to"] == ["Zoë 山田", f"{paid}@example.com"]
    assert paid in message["subject"] and message["defects"] == []
    text = orderctl(server, "emails", "list", "--order", paid).stdout
    assert re.search(rf"order canceled +sent +{paid}@example.com +1 ", text)

    again = now_cancel(server, paid, "--notify")
    assert again.stdout.startswith("no change: canceled: ")
    assert cancel(server, paid, "--dry-run").stdout.startswith("no change: canceled: ")
    assert len(emails(server, "--order", paid)) == 1
    left = orderctl(server, "status", paid, "processing", "--force", "--reason", "no", ok=False)
    assert left.returncode == REFUSED and "CANCELLATION_COMPLETED" in left.stderr


def test_the_same_request_is_answered_as_before(server, paid):
    request = ("--request-id", new_id())
    first = json.loads(now_cancel(server, paid, "--json", *request).stdout)
    again = json.loads(now_cancel(server, paid, "--json", *request).stdout)
    assert again["replayed"] and again["report"] == first["report"]
    assert now_cancel(server, paid, *request).stdout.startswith("done before: canceled: ")


def test_an_order_without_money_is_canceled_at_once(server, number):
    assert "would return no money" in cancel(server, number, "--dry-run").stdout
    done = now_cancel(server, number)
    assert "no money returned" in done.stdout and "e-mail" not in done.stdout
    assert emails(server, "--order", number) == []


def at_terminal(server, arguments, answer):
    """The exit status and all that a person sees who types the answer."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(ORDERCTL, [str(ORDERCTL), "--server", server.address, *arguments])
    seen = b""
    with contextlib.suppress(OSError):  # how the end of a terminal is told
        while part := os.read(terminal, 4096):
            seen += part
            if answer is not None and b"[y/N] " in seen:
                os.write(terminal, answer)
                answer = None
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode().replace("\r\n", "\n")


def test_at_a_terminal_it_asks(server, paid):
    command = ("cancel", paid, "--reason", "sold out")
    before = got(server, paid)
    code, seen = at_terminal(server, command, b"n\n")
    assert code == 1 and "nothing was changed" in seen
    assert f"cancel order {paid} and refund 25.50 EUR and release 34.40 EUR? [y/N] " in seen
    assert got(server, paid) == before
    code, seen = at_terminal(server, command, b"y\n")
    assert code == DONE and f"canceled: order {paid} " in seen
    assert status(server, paid) == "COMPLETED"


def test_what_was_confirmed_is_what_was_shown(server, paid):
    """Somebody changes the order while the question stands."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(ORDERCTL, [str(ORDERCTL), "--server", server.address, "cancel", paid, "--reason", "r"])
    seen = b""
    while b"[y/N] " not in seen:
        seen += os.read(terminal, 4096)
    pay(server, "capture", paid, "10")
    os.write(terminal, b"y\n")
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            seen += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5 and b"ETAG_MISMATCH" in seen
    assert minor(server, paid) == (5990, 3550, 0, 0, 2440, 3550)


def test_a_gateway_that_is_away(server, paid, mails, fault):  # noqa: F811
    fault("FETCH", "NOT_EXECUTED", times=0)
    plan = cancel(server, paid, "--dry-run").stdout
    assert "would refund 25.50 EUR and release 34.40 EUR" in plan and "provisional" in plan
    running = now_cancel(server, paid, "--notify", code=UNSETTLED)
    assert running.stdout.startswith(f"in progress: order {paid} ")
    assert "not returned yet 59.90 EUR" in running.stdout
    assert "the server goes on by itself" in running.stderr
    assert f"orderctl get {paid}" in running.stderr
    assert "cancellation: in progress" in orderctl(server, "get", paid).stdout
    for command in (("pay", "capture", paid), ("status", paid, "processing"),
                    ("ship", "state", paid, "confirmed", "--all")):
        refused = orderctl(server, *command, ok=False)
        assert refused.returncode == REFUSED and "CANCELLATION_IN_PROGRESS" in refused.stderr
    orderctl(server, "note", "add", paid, "the gateway is away")
    again = cancel(server, paid, "--reason", "another", "--yes", code=UNSETTLED)
    assert again.stdout.startswith("no change: ")
    assert got(server, paid)["state_id"] == "new" and emails(server, "--order", paid) == []

    server.api.sandbox.ClearFaults(sandbox.ClearFaultsRequest(gateway_account="sandbox"))
    waited = now_cancel(server, paid, "--wait")
    assert "refunded 25.50 EUR, released 34.40 EUR" in waited.stdout
    assert cancellation(server, paid)["reason"] == "sold out"
    assert minor(server, paid) == (5990, 2550, 2550, 3440, 0, 0)
    email_in(server, paid, "SENT")
    assert len(mails.messages(f"{paid}@example.com")) == 1


def failed(server, number, fault):  # noqa: F811
    """Cancels it at a gateway that refuses the refund; the refused transaction."""
    pay(server, "add", number, "--account", "sandbox", "--authorize", "59.90")
    pay(server, "capture", number)
    fault("REFUND", "REFUSE", reason="CARD_CLOSED")
    result = now_cancel(server, number, code=REFUSED)
    assert result.stderr.startswith(f"error: the cancellation of order {number} ")
    assert "has failed; not returned yet 59.90 EUR" in result.stderr
    assert f"orderctl cancel {number} --abandon --reason TEXT" in result.stderr
    assert status(server, number) == "FAILED" and got(server, number)["state_id"] == "new"
    return re.search(r"the refund of 59.90 EUR of .* was refused: CARD_CLOSED \(transaction (\S+)\)",
                     result.stderr).group(1)


def test_a_failed_cancellation_is_tried_again(server, number, fault):  # noqa: F811
    failed(server, number, fault)
    done = now_cancel(server, number)
    assert "refunded 59.90 EUR" in done.stdout
    assert re.search(r"failed +CARD_CLOSED +1 .*\n.*succeeded +- +2 ", done.stdout)
    assert ledger(server, number).refunded_minor == 5990


def test_a_failed_cancellation_is_given_up(server, number, fault):  # noqa: F811
    failed(server, number, fault)
    given_up = cancel(server, number, "--abandon", "--reason", "one was found")
    assert given_up.stdout.startswith(f"given up: order {number} ")
    assert status(server, number) == "NONE"
    assert "cancellation:" not in orderctl(server, "get", number).stdout
    orderctl(server, "status", number, "processing")
    refused = cancel(server, number, "--abandon", "--reason", "again", code=REFUSED)
    assert "CANCELLATION_NOT_RUNNING" in refused.stderr
    now_cancel(server, number)
    assert minor(server, number) == (5990, 5990, 5990, 0, 0, 0)


def test_a_refund_that_a_person_made_instead(server, number, fault):  # noqa: F811
    transaction = failed(server, number, fault)
    pay(server, "resolve", number, transaction, "succeeded", "--reason", "bank transfer 88")
    eventually(lambda: status(server, number) == "COMPLETED")
    assert ledger(server, number).refunded_minor == 0
    assert got(server, number)["state_id"] == "canceled"


def test_once_money_has_moved_there_is_no_way_back(server, paid, fault):  # noqa: F811
    fault("REFUND", "REFUSE", reason="CARD_CLOSED")
    result = now_cancel(server, paid, code=REFUSED)
    assert "has failed; released 34.40 EUR" in result.stderr and "--abandon" not in result.stderr
    refused = cancel(server, paid, "--abandon", "--reason", "no", code=REFUSED)
    assert "CANCELLATION_HAS_MOVED_MONEY" in refused.stderr
    assert "CANCELLATION_IN_PROGRESS" in pay(server, "refund", paid, code=REFUSED).stderr
    now_cancel(server, paid)


def test_money_that_is_handed_over_by_people(server, number):
    pay(server, "add", number, "--account", "external", "--reference", f"till-{number}",
        "--captured", "59.90")
    running = now_cancel(server, number, "--wait", code=UNSETTLED)
    by_hand = re.search(rf"the refund of 59.90 EUR of external till-{number} has to be made by hand.*\n"
                        rf"  orderctl (pay resolve {number} \S+ succeeded) --reason", running.stderr)
    assert by_hand, running.stderr
    orderctl(server, *by_hand.group(1).split(), "--reason", "slip 88")
    eventually(lambda: status(server, number) == "COMPLETED")
    assert minor(server, number) == (5990, 5990, 5990, 0, 0, 0)


def test_a_refund_that_is_on_its_way(server, number, fault):  # noqa: F811
    pay(server, "add", number, "--account", "sandbox", "--authorize", "59.90")
    pay(server, "capture", number)
    fault("REFUND", "PENDING_REFUND")
    done = now_cancel(server, number)
    assert "refund initiated 59.90 EUR" in done.stdout and "refunded" not in done.stdout
    book = ledger(server, number)
    server.api.sandbox.SimulateEvent(sandbox.SimulateEventRequest(
        gateway_account="sandbox", gateway_reference=book.gateway_reference,
        event={"settle_refund": {"gateway_transaction_id": book.movements[-1].gateway_transaction_id,
                                 "fail_reason": "ACCOUNT_CLOSED"}}))
    pay(server, "sync", number)
    assert payment(server, number)["attention"]
    again = now_cancel(server, number)
    assert "has failed: ACCOUNT_CLOSED" in again.stderr and f"pay show {number}" in again.stderr
    pay(server, "refund", number)
    assert ledger(server, number).refunded_minor == 5990


def test_several_payments_at_several_gateways(server, paid):
    pay(server, "add", paid, "--account", "spare", "--authorize", "5.00")
    plan = cancel(server, paid, "--dry-run").stdout
    assert "would refund 25.50 EUR and release 39.40 EUR" in plan
    done = now_cancel(server, paid)
    assert "refunded 25.50 EUR, released 39.40 EUR" in done.stdout
    assert len(re.findall(r" void .* succeeded ", done.stdout)) == 2
    assert len(history(server, paid)) == 6


def test_shipped_lines_need_to_be_included(server, number):
    for state in ("confirmed", "shipped"):
        orderctl(server, "ship", "state", number, state, "--all")
    refused = now_cancel(server, number, code=REFUSED)
    assert "ORDER_SHIPPED" in refused.stderr and "--include-shipped" in refused.stderr
    assert cancel(server, number, "--dry-run", code=REFUSED).stdout == ""
    now_cancel(server, number, "--include-shipped")
    assert got(server, number)["shipments"][0]["lines"][0]["delivery_state_id"] == "shipped"


def test_refusals_say_what_can_be_done(server, number):
    nowhere = now_cancel(server, number, "--state", "processing", code=REFUSED)
    assert "TARGET_STATE_NOT_CANCELED" in nowhere.stderr and "states list" in nowhere.stderr
    nobody = new_order(server, email="")
    missing = now_cancel(server, nobody, "--notify", code=REFUSED)
    assert "CUSTOMER_EMAIL_MISSING" in missing.stderr and "customer.email" in missing.stderr
    orderctl(server, "update", nobody, "--set", f"customer.email={nobody}@example.org")
    now_cancel(server, nobody, "--notify")
    email_in(server, nobody, "SENT")
    absent = orderctl(server, "emails", "retry", new_id(), "--order", nobody, ok=False)
    assert absent.returncode == NOT_FOUND and "EMAIL_NOT_FOUND" in absent.stderr
    orderctl(server, "states", "update", "fraud", "--no-cancel")
    try:
        orderctl(server, "status", number, "fraud")
        forbidden = now_cancel(server, number, code=REFUSED)
        assert "CANCEL_NOT_ALLOWED" in forbidden.stderr and "states list" in forbidden.stderr
        assert "not possible: CANCEL_NOT_ALLOWED" in orderctl(server, "get", number).stdout
    finally:
        orderctl(server, "states", "update", "fraud", "--allow-cancel")


def test_dead_letters(database, tmp_path):
    with mail_server(tmp_path / "mails", "--answer", "RCPT", "550 5.1.1 unknown", 1) as mails, \
            running(database, tmp_path, "--smtp", mails.url, "--smtp-tls", "never",
                    "--email-from", SHOP) as server:
        number, other = new_order(server), new_order(server)
        now_cancel(server, number, "--notify")
        dead = email_in(server, number, "DEAD")
        assert (dead["last_error"], dead["last_code"]) == ("RECIPIENT_REFUSED", 550)
        now_cancel(server, other, "--notify")
        sent = email_in(server, other, "SENT")
        assert [each["email_id"] for each in emails(server, "--status", "dead")] == [dead["email_id"]]
        assert emails(server, "--order", other, "--status", "dead") == []
        assert re.search(rf"dead +{number}@example.com +1 +RECIPIENT_REFUSED 550 ",
                         orderctl(server, "emails", "list").stdout)

        final = orderctl(server, "emails", "retry", sent["email_id"], "--order", other, ok=False)
        assert final.returncode == REFUSED and "EMAIL_SENT" in final.stderr
        retried = orderctl(server, "emails", "retry", dead["email_id"], "--order", number,
                           "--to", "zoe@example.org").stdout
        assert f"e-mail {dead['email_id']} to zoe@example.org is pending" in retried
        email_in(server, number, "SENT")
        [message] = mails.messages("zoe@example.org")
        assert message_id(message) == dead["message_id"]
        assert mails.messages(f"{number}@example.com") == []
        assert emails(server, "--status", "dead") == []


def test_with_tls_and_a_password(database, tmp_path):
    """The options of docs/email.md together, with templates of the shop's own."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "password").write_text("s3cret ☃\n")
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "ORDER_CANCELED.subject.mustache").write_text("Schade, {{customer_name}}: {{order_number}}")
    with mail_server(tmp_path / "mails", "--tls", tmp_path / "cert.pem", tmp_path / "key.pem",
                     "--auth", "shop", "s3cret ☃") as mails, \
            running(database, tmp_path, "--smtp", mails.url, "--smtp-user", "shop",
                    "--smtp-password-file", tmp_path / "password", "--smtp-ca-file",
                    tmp_path / "cert.pem", "--email-from", "shop@shop.example",
                    "--email-templates", templates) as server:
        number = new_order(server)
        now_cancel(server, number, "--notify")
        email_in(server, number, "SENT")
        [message] = mails.messages()
        assert message["tls"] and message["user"] == "shop"
        assert message["subject"] == f"Schade, Zoë 山田: {number}"
        assert "s3cret" not in server.log() and "山田" not in server.log()


def test_without_a_mail_server(tmp_path):
    with running(f"sqlite:{tmp_path}/orders.db", tmp_path) as server:
        number = new_order(server)
        refused = now_cancel(server, number, "--notify", code=REFUSED)
        assert "EMAIL_NOT_CONFIGURED" in refused.stderr and "--smtp" in refused.stderr
        assert status(server, number) == "NONE"
        nothing = orderctl(server, "emails", "list", "--status", "dead")
        assert nothing.stdout == "" and "no such e-mails" in nothing.stderr


def test_the_mail_server_of_the_readme(tmp_path):
    """The command that starts orderd with a mail server, with the password in another place."""
    (tmp_path / "smtp.password").write_text("secret\n")
    [command] = [line for line in readme_commands() if "--smtp " in line]
    words = [word.replace("/etc/orderd", str(tmp_path)) for word in shlex.split(command)]
    assert words[0] == "scripts/run"
    server = Server(f"sqlite:{tmp_path}/orders.db", options=words[1:])
    assert server.stop() == 0, server.log()
    assert "secret" not in server.log()
