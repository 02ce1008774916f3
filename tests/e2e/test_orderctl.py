"""orderctl as a person uses it (tables) and as a program does (--json, exit codes)."""

import json
import subprocess

import pytest

from harness import ORDERCTL, new_id, orderctl

ORDER = {
    "customer": {"name": "Ada", "email": "ada@example.com"},
    "items": [{"sku": "MUG", "name": "Mug", "quantity": 2,
               "unit_price": {"currency_code": "EUR", "amount_minor": 1250}}],
    "totals": {"shipping": {"currency_code": "EUR", "amount_minor": 499}},
    "labels": {"channel": "web"},
}


@pytest.fixture
def number(server):
    """The number of a new order."""
    number = f"N-{new_id()[:13]}"
    orderctl(server, "create", "-", stdin=json.dumps({"order_number": number, **ORDER}))
    return number


def get_json(server, number):
    return json.loads(orderctl(server, "get", number, "--json").stdout)


def test_walk(server, number):
    shown = orderctl(server, "get", number).stdout
    for text in (number, "29.99 EUR", "ada@example.com", "MUG", "channel"):
        assert text in shown, shown

    assert "processing" in orderctl(server, "status", number, "processing").stdout
    assert "INV-" in orderctl(server, "invoice", number, f"INV-{number}").stdout
    orderctl(server, "note", "add", number, "Call before delivery", "--customer")
    orderctl(server, "note", "add", number, "-", stdin="From standard input")
    orderctl(server, "update", number, "--set", "customer.email=new@example.com",
             "--label", "vip=yes")

    order = get_json(server, number)
    assert order["state_id"] == "processing"
    assert order["invoice_number"] == f"INV-{number}"
    assert (order["customer"]["name"], order["customer"]["email"]) == ("Ada", "new@example.com")
    assert order["labels"] == {"channel": "web", "vip": "yes"}
    assert order["totals"]["total"] == {"currency_code": "EUR", "amount_minor": "2999"}

    notes = [json.loads(line)
             for line in orderctl(server, "note", "list", number, "--json").stdout.splitlines()]
    assert [note["body"] for note in notes] == ["Call before delivery", "From standard input"]
    orderctl(server, "note", "edit", number, notes[0]["note_id"], "Ring twice")
    orderctl(server, "note", "delete", number, notes[1]["note_id"])
    table = orderctl(server, "note", "list", number).stdout
    assert "Ring twice" in table and "standard input" not in table

    assert "no change" in orderctl(server, "status", number, "processing").stdout
    orderctl(server, "invoice", number, "--clear")
    assert get_json(server, number)["invoice_number"] == ""


def test_list(server, number):
    table = orderctl(server, "list", "--number", number).stdout.splitlines()
    assert len(table) == 2 and number in table[1] and "29.99 EUR" in table[1]
    listed = orderctl(server, "--json", "list", "--label", "channel=web", "--all").stdout
    assert number in [json.loads(line)["order_number"] for line in listed.splitlines()]
    nothing = orderctl(server, "list", "--state", "fraud", "--email", "nobody@example.com")
    assert "no orders" in nothing.stderr


def test_states(server, number):
    state = f"s-{new_id()[:8]}"
    assert "processing" in orderctl(server, "states", "list").stdout
    create = ("states", "create", state, "--name", "Back-ordered", "--category", "open",
              "--from", "processing")
    orderctl(server, *create, "--dry-run")
    assert orderctl(server, "status", number, state, ok=False).returncode == 4
    orderctl(server, *create)
    refused = orderctl(server, "status", number, state, ok=False)
    assert refused.returncode == 6 and "STATE_NOT_ENTERABLE" in refused.stderr
    orderctl(server, "states", "update", state, "--from-any")
    orderctl(server, "status", number, state)
    refused = orderctl(server, "states", "delete", state, ok=False)
    assert refused.returncode == 6 and "order_count: 1" in refused.stderr
    orderctl(server, "status", number, "completed")
    orderctl(server, "states", "delete", state)
    assert state not in orderctl(server, "states", "list").stdout
    assert state in orderctl(server, "states", "list", "--deleted").stdout


def test_status_of_several_orders_at_once(server, number):
    other = f"{number}-b"
    orderctl(server, "create", "-", stdin=json.dumps({"order_number": other, **ORDER}))
    orderctl(server, "status", number, "processing")
    result = orderctl(server, "status", number, other, "suspended", "--reason", "stock", ok=False)
    assert result.returncode == 10, "partly done"
    assert "STATE_NOT_ENTERABLE" in result.stderr and other in result.stderr
    assert get_json(server, number)["state_id"] == "suspended"


def test_request_id_makes_a_command_repeatable(server, number):
    command = ("note", "add", number, "once", "--request-id", new_id())
    orderctl(server, *command)
    assert "done before" in orderctl(server, *command).stdout
    assert get_json(server, number)["note_count"] == 1


@pytest.mark.parametrize("exit_code, reason, command", [
    (3, "", ("get", "no-such-order")),
    (3, "ORDER_NOT_FOUND", ("get", "01890000-0000-7000-8000-000000000000")),
    (4, "STATE_UNKNOWN", ("status", "NUMBER", "no-such-state")),
    (4, "INVALID_REQUEST", ("note", "add", "NUMBER", "")),
    (5, "ETAG_MISMATCH", ("status", "NUMBER", "processing", "--etag", "99999")),
    (6, "STATE_NOT_ENTERABLE", ("status", "NUMBER", "suspended")),
    (6, "STATE_LAST_INITIAL", ("states", "delete", "new")),
    (2, "", ("frobnicate",)),
    (2, "", ("get",)),
    (1, "", ("import", "/nonexistent.jsonl")),
    (1, "", ("create", "/nonexistent.json")),
])
def test_exit_codes(server, number, exit_code, reason, command):
    command = [number if argument == "NUMBER" else argument for argument in command]
    result = orderctl(server, *command, ok=False)
    assert result.returncode == exit_code, result.stderr
    assert reason in result.stderr and result.stderr.strip()
    assert result.stdout == ""


def test_json_that_is_none(server):
    result = orderctl(server, "create", "-", stdin='{"order_number": "x", "itemz": []}', ok=False)
    assert result.returncode == 1
    assert "itemz" in result.stderr


def test_nobody_there():
    result = subprocess.run([ORDERCTL, "--server", "127.0.0.1:1", "list"], capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 7
    assert "is orderd running there?" in result.stderr


def test_completion_is_a_shell_script():
    script = subprocess.run([ORDERCTL, "completion", "bash"], check=True, capture_output=True,
                            text=True).stdout
    subprocess.run(["bash", "-n"], input=script, check=True, text=True)
    assert "--request-id" in script and "import" in script
