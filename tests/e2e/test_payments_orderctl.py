"""orderctl pay, against a server with sandbox accounts; and the commands of the README."""

import json
import re
import shlex
import signal
import subprocess

import pytest

from harness import ORDERCTL, ROOT, SCRIPTS, Server, new_id, orderctl
from test_scripts import Run

from orders.sandbox.v1 import sandbox_pb2 as sandbox  # made by harness

DONE, LOCAL, USAGE, NOT_FOUND, INVALID, CONFLICT, REFUSED, UNAVAILABLE = range(8)
UNSETTLED = 11


@pytest.fixture(scope="module")
def server(shared_database, tmp_path_factory):
    """Two sandbox accounts. What has no answer stays so until a sync: the server looks after an hour."""
    books = tmp_path_factory.mktemp("books")
    server = Server(shared_database, options=[
        "--gateway", f"sandbox=sandbox:{books / 'sandbox.db'}",
        "--gateway", f"spare=sandbox:{books / 'spare.db'}",
        "--reconcile-delay", "3600"])
    yield server
    assert server.stop() == 0, server.log()[-3000:]


def new_order(server, currency="EUR", minor=5990):
    number = f"N-{new_id()[:13]}"
    orderctl(server, "create", "-", stdin=json.dumps({
        "order_number": number,
        "items": [{"sku": "MUG", "quantity": 1,
                   "unit_price": {"currency_code": currency, "amount_minor": minor}}]}))
    return number


@pytest.fixture
def number(server):
    """The number of a new order of 59.90 EUR."""
    return new_order(server)


@pytest.fixture
def paid(server, number):
    """That order, with a payment authorized at the sandbox."""
    orderctl(server, "pay", "add", number, "--account", "sandbox", "--authorize", "59.90")
    return number


@pytest.fixture
def fault(server):
    """Makes the sandbox misbehave until the test is over."""
    def add(operation, kind, account="sandbox", times=1, **more):
        server.api.sandbox.AddFault(sandbox.AddFaultRequest(
            gateway_account=account,
            fault=sandbox.Fault(operation=f"OPERATION_{operation}", kind=f"FAULT_KIND_{kind}",
                                times=times, **more)))
    yield add
    for account in ("sandbox", "spare"):
        server.api.sandbox.ClearFaults(sandbox.ClearFaultsRequest(gateway_account=account))


def pay(server, *args, code=DONE):
    result = orderctl(server, "pay", *args, ok=False)
    assert result.returncode == code, (args, result.returncode, result.stdout, result.stderr)
    return result


def shown(server, number):
    return json.loads(pay(server, "show", number, "--json").stdout)


def payment(server, number):
    payments = shown(server, number)["payments"]
    assert len(payments) == 1
    return payments[0]


def minor(server, number):
    """authorized, captured, refunded, voided, capturable, refundable."""
    one = payment(server, number)
    return tuple(int(one[name]["amount_minor"]) for name in (
        "authorized", "captured", "refunded", "voided", "capturable", "refundable"))


def history(server, number):
    """Kind, status and amount of each transaction."""
    return {(each["kind"].removeprefix("TRANSACTION_KIND_"),
             each["status"].removeprefix("TRANSACTION_STATUS_"),
             int(each["amount"]["amount_minor"])) for each in shown(server, number)["transactions"]}


def ledger(server, number, account="sandbox"):
    """The payment in the gateway's own book."""
    return server.api.sandbox.GetLedgerPayment(sandbox.GetLedgerPaymentRequest(
        gateway_account=account,
        gateway_reference=payment(server, number)["gateway_reference"])).payment


def test_walk(server, number):
    assert "no payments" in pay(server, "show", number).stdout
    added = pay(server, "add", number, "--account", "sandbox", "--authorize", "59.90",
                "--description", "card")
    assert "unsynced" in added.stdout and f"pay sync {number}" in added.stderr
    synced = pay(server, "sync", number).stdout
    assert "unsynced -> authorized" in synced and "59.90 EUR" in synced
    assert "no differences" in pay(server, "sync", number).stdout
    assert minor(server, number) == (5990, 0, 0, 0, 5990, 0)

    would = pay(server, "capture", number, "25.50", "--dry-run").stdout
    assert "would capture 25.50 EUR" in would
    assert history(server, number) == {("AUTHORIZATION", "SUCCEEDED", 5990)}
    assert "captured 25.50 EUR" in pay(server, "capture", number, "25.50").stdout
    assert minor(server, number) == (5990, 2550, 0, 0, 3440, 2550)

    pay(server, "refund", number, "5", "--reason", "late")
    assert "voided 34.40 EUR" in pay(server, "void", number).stdout
    assert minor(server, number) == (5990, 2550, 500, 3440, 0, 2050)
    pay(server, "refund", number)
    assert payment(server, number)["status"] == "PAYMENT_STATUS_REFUNDED"
    assert history(server, number) == {
        ("AUTHORIZATION", "SUCCEEDED", 5990), ("CAPTURE", "SUCCEEDED", 2550),
        ("REFUND", "SUCCEEDED", 500), ("VOID", "SUCCEEDED", 3440), ("REFUND", "SUCCEEDED", 2050)}
    book = ledger(server, number)
    assert (book.captured_minor, book.refunded_minor, book.voided_minor) == (2550, 2550, 3440)

    text = pay(server, "show", number).stdout
    assert f"order {number}" in text and "late" in text and "elsewhere" in text
    for command in (("pay", "show", number), ("get", number)):
        assert re.search(r"refunded +59.90 EUR +25.50 EUR +25.50 EUR +34.40 EUR +0.00 EUR",
                         orderctl(server, *command).stdout)
    assert number not in pay(server, "unresolved").stdout


def test_a_capture_syncs_a_new_payment_first(server, paid):
    assert "captured 59.90 EUR" in pay(server, "capture", paid).stdout
    assert minor(server, paid) == (5990, 5990, 0, 0, 0, 5990)


def test_final_capture_releases_the_rest(server, paid):
    assert "release the rest" in pay(server, "capture", paid, "50", "--final", "--dry-run").stdout
    pay(server, "capture", paid, "50", "--final")
    assert minor(server, paid) == (5990, 5000, 0, 990, 0, 5000)
    assert ledger(server, paid).voided_minor == 990


@pytest.mark.parametrize("currency, due, typed, expected, wrong", [
    ("JPY", 5990, "1999", 1999, "19.9"),
    ("USD", 5990, "19.9", 1990, "19.999"),
    ("KWD", 5990, "1.999", 1999, "1.9999"),
    ("CLF", 59900, "1.9999", 19999, "1.99999"),
])
def test_amounts_are_of_the_orders_currency(server, currency, due, typed, expected, wrong):
    number = new_order(server, currency, due)
    pay(server, "add", number, "--account", "external", "--reference", number, "--captured", typed)
    assert minor(server, number)[1] == expected
    assert "decimals" in pay(server, "refund", number, wrong, code=LOCAL).stderr
    assert "is not an amount" in pay(server, "refund", number, "-1", code=LOCAL).stderr
    assert "too large" in pay(server, "refund", number, "9" * 30, code=LOCAL).stderr
    assert pay(server, "refund", number, "", code=USAGE).stdout == ""
    assert minor(server, number)[2] == 0
    pay(server, "refund", number, typed, "--confirm")
    assert minor(server, number)[2] == expected


def test_refusals_say_what_is_possible(server, paid):
    too_much = pay(server, "capture", paid, "60", code=REFUSED)
    assert "AMOUNT_TOO_LARGE" in too_much.stderr and too_much.stdout == ""
    assert "59.90 EUR can be captured at most" in too_much.stderr
    assert "PAYMENT_NOT_REFUNDABLE" in pay(server, "refund", paid, code=REFUSED).stderr
    assert "PAYMENT_NOT_FOUND" in pay(server, "capture", paid, "--payment", "01890000-0000-7000-8000"
                                      "-000000000000", code=NOT_FOUND).stderr
    orderctl(server, "status", paid, "fraud")
    assert "CAPTURE_NOT_ALLOWED" in pay(server, "capture", paid, code=REFUSED).stderr
    assert "can't be captured: CAPTURE_NOT_ALLOWED" in pay(server, "show", paid).stdout
    pay(server, "void", paid)
    assert "GATEWAY_NOT_CONFIGURED" in pay(server, "add", paid, "--account", "nowhere",
                                           "--reference", "x", code=REFUSED).stderr


def test_one_capture_is_required_where_the_gateway_captures_once(server, number):
    reference = f"once-{number}"
    server.api.sandbox.Authorize(sandbox.AuthorizeRequest(
        gateway_account="sandbox", gateway_reference=reference,
        amount={"currency_code": "EUR", "amount_minor": 5990},
        capabilities={"partial_capture": True, "partial_refund": True, "lookup_by_attempt": True}))
    pay(server, "add", number, "--account", "sandbox", "--reference", reference)
    refused = pay(server, "capture", number, "50", code=REFUSED)
    assert "FINAL_CAPTURE_REQUIRED" in refused.stderr
    assert "--final captures it and releases the rest, 9.90 EUR" in refused.stderr
    pay(server, "capture", number, "50", "--final")
    assert minor(server, number) == (5990, 5000, 0, 990, 0, 5000)


def test_a_capture_that_the_gateway_refuses_has_failed(server, paid, fault):
    fault("CAPTURE", "REFUSE", reason="CARD_DECLINED")
    failed = pay(server, "capture", paid, code=REFUSED)
    assert "CARD_DECLINED" in failed.stderr and "no money moved" in failed.stderr
    assert failed.stdout == ""
    assert ("CAPTURE", "FAILED", 5990) in history(server, paid)
    pay(server, "capture", paid)
    assert ledger(server, paid).captured_minor == 5990


def test_unknown_is_said_until_a_sync_finds_out(server, paid, fault):
    pay(server, "sync", paid)
    fault("CAPTURE", "DROP_ANSWER")
    command = ("capture", paid, "25.50", "--request-id", new_id())
    unknown = pay(server, *command, code=UNSETTLED)
    assert unknown.stdout.startswith("unknown: the capture of 25.50 EUR")
    assert f"orderctl pay show {paid}" in unknown.stderr
    assert "capture of 25.50 EUR is unknown" in pay(server, "show", paid).stdout
    assert minor(server, paid) == (5990, 0, 0, 0, 3440, 0), "what it asks for is reserved"

    # The same command is the same capture, and says how it stands.
    again = pay(server, *command, code=UNSETTLED)
    assert again.stdout.startswith("done before: unknown: the capture of 25.50 EUR")
    listed = [line for line in pay(server, "unresolved").stdout.splitlines() if paid in line]
    assert len(listed) == 1 and "25.50 EUR" in listed[0] and "unknown" in listed[0]
    assert paid not in pay(server, "unresolved", "--account", "spare").stdout
    transaction = listed[0].split()[-1]
    can_tell = pay(server, "resolve", paid, transaction, "failed", "--reason", "guess", code=REFUSED)
    assert "GATEWAY_CAN_TELL" in can_tell.stderr and "pay sync" in can_tell.stderr

    assert "capture" in pay(server, "sync", paid, "--dry-run").stdout
    assert ("CAPTURE", "UNKNOWN", 2550) in history(server, paid)
    assert "succeeded" in pay(server, "sync", paid).stdout
    assert history(server, paid) == {("AUTHORIZATION", "SUCCEEDED", 5990),
                                     ("CAPTURE", "SUCCEEDED", 2550)}
    assert "done before: captured 25.50 EUR" in pay(server, *command).stdout
    assert ledger(server, paid).captured_minor == 2550
    assert paid not in pay(server, "unresolved").stdout


def test_a_gateway_that_takes_longer_than_the_caller_waits(server, paid, fault):
    pay(server, "sync", paid)
    fault("CAPTURE", "DELAY", delay={"seconds": 60})
    unknown = pay(server, "capture", paid, "--timeout", "2", code=UNSETTLED)
    assert unknown.stdout.startswith("unknown: the capture of 59.90 EUR")
    # The call goes on without its caller; now it gets its answer.
    server.api.sandbox.ClearFaults(sandbox.ClearFaultsRequest(gateway_account="sandbox"))
    pay(server, "sync", paid)
    assert minor(server, paid) == (5990, 5990, 0, 0, 0, 5990)
    assert ledger(server, paid).captured_minor == 5990


def test_a_refund_that_is_pending_and_then_fails_needs_attention(server, paid, fault):
    pay(server, "capture", paid)
    fault("REFUND", "PENDING_REFUND")
    pending = pay(server, "refund", paid, "9.90", code=UNSETTLED)
    assert pending.stdout.startswith("pending: the gateway has accepted the refund of 9.90 EUR")
    assert minor(server, paid) == (5990, 5990, 0, 0, 0, 5000)
    assert number_listed(server, paid, "--attention") is False
    book = ledger(server, paid)
    server.api.sandbox.SimulateEvent(sandbox.SimulateEventRequest(
        gateway_account="sandbox", gateway_reference=book.gateway_reference,
        event={"settle_refund": {"gateway_transaction_id": book.movements[-1].gateway_transaction_id,
                                 "fail_reason": "ACCOUNT_CLOSED"}}))
    assert "ACCOUNT_CLOSED" in pay(server, "sync", paid).stdout
    assert ("REFUND", "FAILED", 990) in history(server, paid)
    assert "ATTENTION" in pay(server, "show", paid).stdout
    assert number_listed(server, paid, "--attention")
    assert paid in pay(server, "unresolved").stdout


def number_listed(server, number, *options):
    listed = orderctl(server, "--json", "list", "--all", *options).stdout.splitlines()
    return number in [json.loads(line)["order_number"] for line in listed]


def test_money_that_is_handed_over_by_people(server, number):
    pay(server, "add", number, "--account", "external", "--reference", f"till-{number}",
        "--captured", "59.90")
    pending = pay(server, "refund", number, "12", code=UNSETTLED)
    assert "has to be made by hand" in pending.stdout
    transaction = re.search(r"transaction (\S+)\)", pending.stdout).group(1)
    assert f"orderctl pay resolve {number} {transaction} succeeded" in pending.stderr
    row = [line for line in pay(server, "unresolved", "--account", "external").stdout.splitlines()
           if transaction in line]
    assert len(row) == 1 and "MANUAL" in row[0] and "never by itself" in row[0]
    resolve = ("resolve", number, transaction, "succeeded", "--reason", "slip 88")
    assert "is succeeded" in pay(server, *resolve).stdout
    assert "TRANSACTION_FINAL" in pay(server, "resolve", number, transaction, "failed", "--reason",
                                      "no", code=REFUSED).stderr
    assert minor(server, number) == (5990, 5990, 1200, 0, 0, 4790)
    assert transaction not in pay(server, "unresolved").stdout
    pay(server, "refund", number, "1.00", "--confirm")
    assert minor(server, number) == (5990, 5990, 1300, 0, 0, 4690)


def test_of_several_payments_one_must_be_named_if_several_would_do(server, paid):
    pay(server, "add", paid, "--account", "external", "--reference", f"till-{paid}",
        "--captured", "10.00")
    pay(server, "capture", paid, "20")  # the external one is captured
    several = pay(server, "refund", paid, "5", code=INVALID)
    assert "say which with --payment" in several.stderr and f"till-{paid}" in several.stderr
    pay(server, "refund", paid, "5", "--payment", f"till-{paid}", "--confirm")
    pay(server, "void", paid)
    amounts = {one["gateway_account"]: (one["refunded"]["amount_minor"], one["voided"]["amount_minor"])
               for one in shown(server, paid)["payments"]}
    assert amounts == {"sandbox": ("0", "3990"), "external": ("500", "0")}


def test_sync_finds_what_was_done_at_the_gateway(server, paid):
    pay(server, "sync", paid)
    server.api.sandbox.SimulateEvent(sandbox.SimulateEventRequest(
        gateway_account="sandbox", gateway_reference=payment(server, paid)["gateway_reference"],
        event={"capture": {"amount_minor": 1000}}))
    found = pay(server, "sync", paid, "--dry-run").stdout
    assert "would change: authorized -> partly captured" in found and "10.00 EUR" in found
    assert minor(server, paid)[1] == 0
    pay(server, "sync", paid, "--payment", payment(server, paid)["gateway_reference"])
    assert minor(server, paid) == (5990, 1000, 0, 0, 4990, 1000)
    assert "no differences" in pay(server, "sync", paid).stdout


def test_a_gateway_that_is_down(server, number, fault):
    pay(server, "add", number, "--account", "spare", "--authorize", "59.90")
    fault("FETCH", "NOT_EXECUTED", account="spare", times=0)
    before = shown(server, number)
    for command in (("sync", number), ("capture", number)):
        down = pay(server, *command, code=UNAVAILABLE)
        assert "GATEWAY_UNAVAILABLE" in down.stderr and "nothing was changed" in down.stderr
        assert "may have begun" not in down.stderr
    assert shown(server, number) == before


def test_lists_by_status_and_expiry(server, number):
    reference = f"soon-{number}"
    server.api.sandbox.Authorize(sandbox.AuthorizeRequest(
        gateway_account="sandbox", gateway_reference=reference,
        amount={"currency_code": "EUR", "amount_minor": 5990},
        expire_time={"seconds": 4_000_000_000}))
    pay(server, "add", number, "--account", "sandbox", "--reference", reference)
    assert number_listed(server, number, "--payment", "unsynced")
    pay(server, "sync", number)
    assert number_listed(server, number, "--payment", "authorized", "--expires-before", "2100-01-01")
    assert not number_listed(server, number, "--expires-before", "2090-01-01")
    assert "2096-10-02T07:06:40Z" in pay(server, "show", number).stdout
    in_use = pay(server, "add", new_order(server), "--account", "sandbox", "--reference", reference,
                 code=CONFLICT)
    assert "PAYMENT_REFERENCE_IN_USE" in in_use.stderr


def readme_commands():
    """The lines of the README that are commands, in their order."""
    lines = (ROOT / "README.md").read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def run_until_it_is_ended(command, directory):
    """A command that goes on until somebody ends it: Ctrl-C, once it says that it has begun."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          cwd=directory) as running:
        begun = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
        return subprocess.CompletedProcess(command, running.returncode, output, begun + errors)


def test_the_commands_of_the_readme(database, tmp_path):
    """Each orderctl command, as it stands there, against a server as scripts/run starts it."""
    commands = [line for line in readme_commands() if line.startswith("build/release/orderctl ")
                and " import " not in line]
    assert sum(" pay " in command for command in commands) >= 6
    run = Run("--database", database)
    seen = ""
    try:
        for command in commands:
            # What a reader copies from the output of the command before.
            pending = re.search(r"transaction (\S+)\)", seen)
            arguments = [pending.group(1) if argument == "TRANSACTION" else argument
                         for argument in shlex.split(command, comments=True)[1:]]
            call = [ORDERCTL, "--server", run.address, *arguments]
            if arguments[0] == "watch":
                done = run_until_it_is_ended(call, tmp_path)
            else:
                done = subprocess.run(call, capture_output=True, text=True, timeout=60)
            by_hand = "has to be made by hand" in done.stdout
            assert done.returncode == (UNSETTLED if by_hand else DONE), (command, done)
            if "transaction" in done.stdout:
                seen = done.stdout
        listed = subprocess.run([ORDERCTL, "--server", run.address, "pay", "unresolved", "--json"],
                                capture_output=True, text=True, check=True).stdout
        assert listed == "", "the README leaves nothing open"
    finally:
        assert run.stop() == 0, run.output


def test_the_gateways_of_the_readme(tmp_path):
    """The command that starts orderd with a Stripe account, with the key in another place."""
    key = tmp_path / "stripe.key"
    key.write_text("sk_test_of_the_readme\n")
    [command] = [line for line in readme_commands() if "=stripe:" in line]
    words = shlex.split(command)
    assert words[0] == "scripts/run" and (SCRIPTS / "run").exists()
    options = [word.replace("/etc/orderd/stripe.key", str(key))
               .replace("data/", f"{tmp_path}/") for word in words[1:]]
    run = Run("--database", f"sqlite:{tmp_path}/orders.db", *options)
    try:
        for account, code in (("shop", DONE), ("sandbox", DONE), ("other", REFUSED)):
            added = subprocess.run(
                [ORDERCTL, "--server", run.address, "pay", "add", "DEMO-1007", "--account", account,
                 "--reference", f"pi_{account}"], capture_output=True, text=True, timeout=60)
            assert added.returncode == code, added
    finally:
        assert run.stop() == 0, run.output
    assert "sk_test" not in run.output
