"""orderctl erase: what a data protection officer does, on real servers; also through a crash."""

import json

from harness import Server, new_id, orderctl

from orders.v1 import erasure_pb2  # noqa: E402, after the harness has generated it


def order(customer, number, state="completed"):
    address = {"name": f"{customer} of the Address", "line1": f"1 {customer} Road", "city": "Bonn",
               "country_code": "DE"}
    return json.dumps({
        "order": {"order_number": number,
                  "customer": {"customer_id": customer, "name": f"{customer} by Name",
                               "email": f"{customer.lower()}@example.com", "phone": "+49 1"},
                  "billing_address": address, "shipping_address": address,
                  "items": [{"sku": "MUG", "quantity": 1,
                             "unit_price": {"currency_code": "EUR", "amount_minor": 100}}]},
        "state_id": state,
        "notes": [{"body": f"{customer} called"}]})


def import_orders(server, lines, tmp_path):
    file = tmp_path / f"{new_id()}.jsonl"
    file.write_text("\n".join(lines) + "\n")
    orderctl(server, "import", str(file))


def everything(server, number):
    """All that the API says about an order and its history."""
    return (orderctl(server, "get", number, "--json").stdout
            + orderctl(server, "history", number, "--json").stdout
            + orderctl(server, "note", "list", number, "--json").stdout)


def test_erases_a_customer(server, tmp_path):
    tag = new_id()[-8:]
    customer, other = f"Zoe{tag}", f"Bob{tag}"
    numbers = [f"{customer}-{i}" for i in range(3)]
    closed, open_order = ["A" + n[3:] for n in numbers[:2]], "A" + numbers[2][3:]
    import_orders(server, [order(customer, n) for n in closed]
                  + [order(customer, open_order, "processing"), order(other, f"B{tag}")], tmp_path)
    untouched = everything(server, f"B{tag}")

    plan = orderctl(server, "erase", "--customer", customer, "--dry-run").stdout
    assert "would erase the customer's data of 2 orders and 0 e-mails, 1 skipped" in plan
    assert "order open" in plan
    assert customer in everything(server, closed[0])
    # Nobody is there to be asked.
    assert orderctl(server, "erase", "--customer", customer, ok=False).returncode == 2

    done = orderctl(server, "erase", "--customer", customer, "--yes", ok=False)
    assert done.returncode == 10, done.stderr
    assert "erased the customer's data of 2 orders" in done.stdout
    for number in closed:
        text = everything(server, number)
        assert "by Name" not in text and "example.com" not in text and "Road" not in text
        assert f"{customer} called" in text
        assert '"country_code":"DE"' in text
    assert "erased" in orderctl(server, "get", closed[0]).stdout
    assert "customer erased" in orderctl(server, "history", closed[0]).stdout
    assert f"{customer} by Name" in everything(server, open_order)

    orderctl(server, "erase", "--order", closed[0], "--order", closed[1], "--order", open_order,
             "--include-open", "--texts", "--yes")
    for number in closed + [open_order]:
        assert customer not in everything(server, number).replace(number, "")
    assert everything(server, f"B{tag}") == untouched

    again = orderctl(server, "erase", "--customer", customer, "--include-open", "--yes").stdout
    assert "of 0 orders" in again
    refused = orderctl(server, "update", closed[0], "--set", "customer.name=Zoe", ok=False)
    assert refused.returncode == 6 and "CUSTOMER_ERASED" in refused.stderr

    records = [json.loads(line) for line in
               orderctl(server, "erasures", "--customer", customer, "--json").stdout.splitlines()]
    assert [int(r.get("orders_erased", 0)) for r in records] == [0, 2]
    assert all("complete_time" in r and customer not in json.dumps(r) for r in records)
    table = orderctl(server, "erasures").stdout
    assert "orders" in table and "open, texts" in table


def test_a_server_that_dies_between_two_pages(database, tmp_path):
    """The same call goes on at the next one; the record is whole."""
    tag = new_id()[-8:]
    numbers = [f"{tag}-{i}" for i in range(50)]
    request_id = new_id()
    server = Server(database)
    import_orders(server, [order(f"Zoe{tag}", n) for n in numbers], tmp_path)
    page = server.orders.EraseCustomerData(erasure_pb2.EraseCustomerDataRequest(
        request_id=request_id, customer_id=f"Zoe{tag}", page_size=20))
    assert (page.orders_erased, page.erasure.orders_erased) == (20, 20)
    assert page.next_page_token and not page.erasure.HasField("complete_time")
    server.kill()

    server = Server(database)
    orderctl(server, "--request-id", request_id, "erase", "--customer", f"Zoe{tag}", "--yes")
    record = json.loads(orderctl(server, "erasures", "--json").stdout)
    assert record["erasure_id"] == request_id
    assert int(record["orders_erased"]) == len(numbers) and "complete_time" in record
    for number in (numbers[0], numbers[19], numbers[20], numbers[49]):
        text = everything(server, number)
        assert "by Name" not in text and text.count('"customer_erased"') == 1
    assert server.stop() == 0
    assert tag not in server.log().replace(request_id, ""), "the log has no personal data"
