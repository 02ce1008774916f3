"""Real orders of two shops, converted by scripts/ and imported by orderctl, on both databases.

The folder of the data is no part of the project; without it these tests are skipped. What must come out is computed here from the CSV files, not by the converters.
"""

import collections
import csv
import gzip
import json
import os
import subprocess
import time
from decimal import Decimal

import pytest

from harness import SCRIPTS, all_orders, orderctl, pb


def convert(script, data, path):
    with open(path, "w", encoding="utf-8") as out:
        subprocess.run([SCRIPTS / script, data], stdout=out, check=True)
    return path


@pytest.fixture(scope="session")
def olist(data, tmp_path_factory):
    return convert("import-olist", data, tmp_path_factory.mktemp("olist") / "orders.jsonl")


@pytest.fixture(scope="session")
def retail(data, tmp_path_factory):
    return convert("import-online-retail", data, tmp_path_factory.mktemp("retail") / "orders.jsonl")


@pytest.fixture(scope="session")
def olist_csv(data):
    def rows(name):
        with open(data / "olist" / f"olist_{name}.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return {name: rows(name) for name in ("orders", "order_items", "order_payments", "customers")}


@pytest.fixture(scope="session")
def retail_csv(data):
    """invoice -> its lines"""
    invoices = collections.defaultdict(list)
    path = data / "online-retail-ii" / "online_retail_2009_2010.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            invoices[row["Invoice"]].append(row)
    return invoices


def cents(rows, column):
    total = sum(Decimal(row[column]) for row in rows) * 100
    assert total == int(total)
    return int(total)


def import_lines(server, path, exit_code):
    """Imports a file; returns what orderctl counted and the results by line."""
    started = time.monotonic()
    finished = orderctl(server, "--json", "import", path, ok=False)
    *results, last = map(json.loads, finished.stdout.splitlines())
    summary = last["summary"]
    print(f"{server.database.split(':')[0]}: {summary} in {time.monotonic() - started:.1f} s")
    assert finished.returncode == exit_code, finished.stderr[-2000:]
    assert sorted(result["line"] for result in results) == list(range(1, summary["lines"] + 1))
    return summary, results, finished.stderr


def create_olist_settings(server):
    commands = subprocess.run([SCRIPTS / "import-olist", "--states"], check=True,
                              capture_output=True, text=True).stdout
    subprocess.run(["sh", "-e"], input=commands, check=True, text=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "ORDERCTL_SERVER": server.address})


def check_sums(orders, olist_csv):
    assert collections.Counter(order.state_id for order in orders) == collections.Counter(
        row["order_status"] for row in olist_csv["orders"])
    items, payments = olist_csv["order_items"], olist_csv["order_payments"]
    assert sum(o.totals.items.amount_minor for o in orders) == cents(items, "price")
    assert sum(o.totals.shipping.amount_minor for o in orders) == cents(items, "freight_value")
    assert sum(o.totals.total.amount_minor for o in orders) == (
        cents(items, "price") + cents(items, "freight_value"))
    assert sum(p.captured.amount_minor for o in orders for p in o.payments) == cents(
        payments, "payment_value")
    assert sum(len(o.payments) for o in orders) == len(payments)
    assert sum(len(o.items) for o in orders) == sum(o.item_count for o in orders) == len(items)


def check_every_order(orders, olist_csv):
    """Each order against its own lines of the CSV files."""
    found = {order.order_number: order for order in orders}
    price, freight, paid = (collections.Counter() for _ in range(3))
    for row in olist_csv["order_items"]:
        price[row["order_id"]] += int(Decimal(row["price"]) * 100)
        freight[row["order_id"]] += int(Decimal(row["freight_value"]) * 100)
    for row in olist_csv["order_payments"]:
        paid[row["order_id"]] += int(Decimal(row["payment_value"]) * 100)
    city = {row["customer_id"]: row["customer_city"] for row in olist_csv["customers"]}
    assert len(found) == len(olist_csv["orders"])
    for row in olist_csv["orders"]:
        order = found[row["order_id"]]
        assert order.state_id == row["order_status"]
        assert order.totals.items.amount_minor == price[row["order_id"]]
        assert order.totals.shipping.amount_minor == freight[row["order_id"]]
        assert sum(p.captured.amount_minor for p in order.payments) == paid[row["order_id"]]
        assert order.shipping_address.city == city[row["customer_id"]]
        assert order.order_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") == (
            row["order_purchase_timestamp"])
        delivered = row["order_delivered_customer_date"]
        assert order.labels.get("delivered_time", "") == (
            delivered.replace(" ", "T") + "Z" if delivered else "")


def delivery(row):
    """(delivery state, the CSV's time of it) of an order; the time of the import is ""."""
    delivered = row["order_delivered_customer_date"]
    status = row["order_status"]
    if status == "canceled":
        return ("delivered", delivered) if delivered else ("canceled", "")
    if status == "delivered":
        return status, delivered
    if status == "shipped":
        return status, row["order_delivered_carrier_date"]
    return "pending", ""


def check_shipments(orders, olist_csv):
    """Each line of the CSV file is one line of a shipment: its state, its time and its seller."""
    orders_csv = {row["order_id"]: row for row in olist_csv["orders"]}
    wanted = collections.Counter()
    parcels = collections.defaultdict(lambda: collections.defaultdict(set))
    for row in olist_csv["order_items"]:
        number = row["order_id"]
        state, time_text = delivery(orders_csv[number])
        wanted[number, row["order_item_id"], state, time_text] += 1
        sender = ("standard", "") if state == "pending" else ("olist-carrier", row["seller_id"])
        parcels[number][sender].add(row["order_item_id"])

    found = collections.Counter()
    for order in orders:
        for shipment in order.shipments:
            for line in shipment.lines:
                known = line.delivery_state_time != order.create_time
                time_text = line.delivery_state_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
                found[order.order_number, line.item_id, line.delivery_state_id,
                      time_text if known else ""] += line.quantity
        assert sorted((shipment.method_id, sorted(line.item_id for line in shipment.lines))
                      for shipment in order.shipments) == sorted(
            (method, sorted(items)) for (method, _), items in parcels[order.order_number].items())
    assert found == wanted
    lines = collections.Counter(state for _, _, state, _ in found.elements())
    print(f"lines: {dict(lines)}; shipments: {sum(map(len, parcels.values()))}")
    assert min(lines[state] for state in ("pending", "shipped", "delivered", "canceled")) > 500


def check_lists(server, olist_csv):
    """The lists by delivery state and by method, by a program and by orderctl."""
    state_of = {row["order_id"]: delivery(row)[0] for row in olist_csv["orders"]}
    with_items = {row["order_id"] for row in olist_csv["order_items"]}
    by_state = collections.defaultdict(set)
    for number in with_items:
        by_state[state_of[number]].add(number)
    by_method = {"standard": by_state["pending"], "olist-carrier": with_items - by_state["pending"]}

    def check(wanted, options, **condition):
        listed = [order.order_number for order in all_orders(
            server.orders, filter=pb.OrderFilter(**condition))]
        assert len(listed) == len(wanted) and set(listed) == wanted, condition
        shown = orderctl(server, "--json", "list", "--all", *options).stdout.splitlines()
        numbers = [json.loads(line)["order_number"] for line in shown]
        assert len(numbers) == len(wanted) and set(numbers) == wanted, options

    for state, numbers in by_state.items():
        check(numbers, ("--delivery", state), delivery_state_ids=[state])
    for method, numbers in by_method.items():
        check(numbers, ("--method", method), shipment_method_id=method)
    check(by_state["shipped"] | by_state["canceled"],
          ("--delivery", "shipped", "--delivery", "canceled", "--method", "olist-carrier"),
          delivery_state_ids=["shipped", "canceled"], shipment_method_id="olist-carrier")
    check(set(), ("--delivery", "returned"), delivery_state_ids=["returned"])
    canceled = {row["order_id"] for row in olist_csv["orders"] if row["order_status"] == "canceled"}
    check(by_state["delivered"] & canceled,
          ("--delivery", "delivered", "--state", "canceled"),
          delivery_state_ids=["delivered"], state_ids=["canceled"])


def test_olist_goes_in_whole_and_only_once(server, olist, olist_csv):
    create_olist_settings(server)
    total = len(olist_csv["orders"])
    assert total == 8135
    summary, _, _ = import_lines(server, olist, exit_code=0)
    assert (summary["lines"], summary["created"]) == (total, total)
    orders = list(all_orders(server.orders, view=pb.ORDER_VIEW_FULL))
    check_sums(orders, olist_csv)
    check_every_order(orders, olist_csv)
    check_shipments(orders, olist_csv)
    check_lists(server, olist_csv)

    summary, _, _ = import_lines(server, olist, exit_code=0)
    assert (summary["lines"], summary["unchanged"]) == (total, total)
    assert sorted(order.SerializeToString(deterministic=True) for order in orders) == sorted(
        order.SerializeToString(deterministic=True)
        for order in all_orders(server.orders, view=pb.ORDER_VIEW_FULL))


def test_broken_lines_are_reported_and_the_rest_goes_in(server, olist, tmp_path):
    """After the test above: what it imported is unchanged, what is new here goes in."""
    with open(olist, encoding="utf-8") as file:
        lines = [next(file) for _ in range(9)]
    new = json.loads(lines[8])
    del new["payments"]
    for number in (4, 8):
        new["order"]["order_number"] = f"new-{number}"
        lines[number - 1] = json.dumps(new) + "\n"
    lines[1] = lines[1][:100] + "\n"
    lines[2] = lines[2].replace('"state_id":"', '"state_id":"no-such-').replace(
        '"order_number":"', '"order_number":"new-')
    lines[4] = lines[4].replace('"quantity":1', '"quantity":0')
    lines[5] = lines[5].replace("BRL", "USD", 1)
    lines[6] = lines[6].replace('"city":"', '"city":"Nova ')
    path = tmp_path / "broken.jsonl"
    path.write_text("".join(lines), encoding="utf-8")

    summary, results, stderr = import_lines(server, path, exit_code=10)
    by_line = {result["line"]: result for result in results}
    assert {line: result["result"].removeprefix("IMPORT_RESULT_")
            for line, result in by_line.items()} == {
        1: "UNCHANGED", 2: "BROKEN", 3: "REFUSED", 4: "CREATED", 5: "REFUSED", 6: "REFUSED",
        7: "CONFLICT", 8: "CREATED", 9: "UNCHANGED"}
    assert (summary["lines"], summary["created"], summary["broken"]) == (9, 2, 1)
    said = {line.partition(":")[0]: line for line in stderr.splitlines()}
    assert "STATE_UNKNOWN" in said["line 3"] and "no-such-" in said["line 3"]
    assert "order.items[0].quantity" in said["line 5"]
    assert "INVALID_REQUEST" in said["line 6"]
    assert "IMPORT_CONFLICT" in said["line 7"]
    assert "parse error" in said["line 2"]


def must_be_refused(rows):
    """Negative quantities and prices, and prices that pounds and pence can't express."""
    return any(int(row["Quantity"]) < 1 or Decimal(row["Price"]) < 0 or
               (Decimal(row["Price"]) * 100) % 1 for row in rows)


def test_online_retail_is_taken_in_or_refused_with_a_reason(server, retail, retail_csv):
    total = len(retail_csv)
    assert total == 28816
    refused = {invoice for invoice, rows in retail_csv.items() if must_be_refused(rows)}
    summary, results, stderr = import_lines(server, retail, exit_code=10)
    assert summary["lines"] == total
    assert summary["refused"] + summary["broken"] == len(refused)
    assert summary["created"] == total - len(refused)
    invoices = list(retail_csv)
    assert {invoices[result["line"] - 1] for result in results
            if result["result"] != "IMPORT_RESULT_CREATED"} == refused
    reported = [line for line in stderr.splitlines() if line.startswith("line ")]
    assert len(reported) == len(refused)
    assert all("quantity" in line or "unit_price" in line for line in reported)

    taken = {order.order_number: order for order in all_orders(
        server.orders, view=pb.ORDER_VIEW_FULL, filter=pb.OrderFilter(state_ids=["completed"]))}
    for invoice in set(retail_csv) - refused:
        order, rows = taken[invoice], retail_csv[invoice]
        assert order.invoice_number == invoice
        assert len(order.items) == len(rows)
        assert order.totals.total.amount_minor == sum(
            int(row["Quantity"]) * int(Decimal(row["Price"]) * 100) for row in rows)
