#!/usr/bin/python3
"""The part of Stripe's API that the gateway uses, over a real socket, with its state in memory.

usage: fake_stripe.py OVERLAY [--description FILE] [--key KEY] [--tls CERTIFICATE KEY]

Prints its port and ends when its standard input does. With Stripe's OpenAPI description every request
is checked against it and OVERLAY (parameters unknown or of a wrong type, lengths, enumerations), and
every object of an answer against the fields of its fixtures; what does not fit is answered with 400
or 500 and listed by /_control/violations. Tests arrange things with POST /_control/..., in JSON.
"""

import argparse
import http.server
import json
import re
import ssl
import sys
import threading
import urllib.parse

from stripe_description import Description, Refusal, wrong

VERSION = "2025-03-31.basil"


def decode(text):
    """A form or query with names like `metadata[a]` and `expand[]`."""
    result = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        head, *keys = re.findall(r"[^\[\]]+|\[\]", name.replace("][", "] ["))
        keys = [k for k in keys if k.strip()]
        if keys == ["[]"]:
            result.setdefault(head, []).append(value)
        elif keys:
            result.setdefault(head, {})[keys[0]] = value
        elif head in result:
            raise wrong(head)
        else:
            result[head] = value
    return result


class Stripe:
    def __init__(self):
        self.lock = threading.RLock()
        self.intents, self.charges, self.refunds, self.disputes = {}, {}, {}, {}
        self.entries = {}
        self.keys = {}  # idempotency key: [request, answer or None while it runs]
        self.serial = 0
        self.now = 1_700_000_000

    def id(self, prefix):
        self.serial += 1
        return f"{prefix}_{self.serial:024d}"

    def tick(self):
        self.now += 60
        return self.now

    # What happens outside the gateway.

    def create(self, amount, currency="usd", multicapture=False, capture_before=None, status="requires_capture"):
        intent_id = self.id("pi")
        intent = {
            "id": intent_id, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "currency": currency, "status": status, "created": self.tick(),
            "canceled_at": None, "cancellation_reason": None, "latest_charge": None, "metadata": {},
            "client_secret": intent_id + "_secret_CLIENTSECRET",
        }  # fmt: skip
        self.intents[intent_id] = intent
        if status in ("requires_capture", "succeeded"):
            self.authorize(intent_id, multicapture, capture_before)
        if status == "succeeded":
            self.take(intent, amount, True)
        return intent

    def authorize(self, intent_id, multicapture=False, capture_before=None, declined=False):
        intent = self.intents[intent_id]
        charge_id = self.id("ch")
        self.charges[charge_id] = {
            "id": charge_id, "object": "charge", "amount": intent["amount"], "amount_captured": 0,
            "amount_refunded": 0, "captured": False, "currency": intent["currency"],
            "created": self.tick(), "disputed": False, "paid": not declined, "refunded": False,
            "payment_intent": intent_id, "balance_transaction": None, "metadata": {},
            "failure_code": "card_declined" if declined else None,
            "status": "failed" if declined else "succeeded",
            "payment_method_details": {
                "type": "card",
                "card": {
                    "last4": "4242", "fingerprint": "CARDFINGERPRINT",
                    "capture_before": capture_before,
                    "multicapture": {"status": "available" if multicapture else "unavailable"},
                },
            },
        }  # fmt: skip
        intent["latest_charge"] = charge_id
        if declined:
            intent["status"] = "requires_payment_method"
        else:
            intent["amount_capturable"] = intent["amount"]
            intent["status"] = "requires_capture"
        return self.charges[charge_id]

    def take(self, intent, amount, final):
        charge = self.charges[intent["latest_charge"]]
        intent["amount_received"] += amount
        intent["amount_capturable"] -= amount
        charge["amount_captured"] += amount
        charge["captured"] = True
        if amount:
            charge["balance_transaction"] = self.entry(amount, intent["currency"])
        if final or intent["amount_capturable"] == 0:
            intent["amount_capturable"] = 0
            intent["status"] = "succeeded"

    def entry(self, amount, currency):
        entry_id = self.id("txn")
        self.entries[entry_id] = {
            "id": entry_id, "object": "balance_transaction", "amount": amount, "created": self.tick(),
            "currency": currency,
        }  # fmt: skip
        return entry_id

    def give_back(self, intent, amount, metadata, status="succeeded", reason=None):
        charge = self.charges[intent["latest_charge"]]
        refund_id = self.id("re")
        refund = {
            "id": refund_id, "object": "refund", "amount": amount, "charge": charge["id"],
            "created": self.tick(), "currency": intent["currency"], "metadata": metadata,
            "payment_intent": intent["id"], "reason": reason, "status": status,
        }  # fmt: skip
        self.refunds[refund_id] = refund
        if status != "failed":
            charge["amount_refunded"] += amount
        return refund

    def dispute(self, id, amount, outcome):
        """outcome: inquiry, open or won."""
        charge = self.charges[self.intents[id]["latest_charge"]]
        charge["disputed"] = True
        entries = []
        if outcome != "inquiry":
            entries.append(self.entries[self.entry(-amount, charge["currency"])])
        if outcome == "won":
            entries.append(self.entries[self.entry(amount, charge["currency"])])
        status = {"inquiry": "warning_needs_response", "open": "needs_response", "won": "won"}[outcome]
        dispute_id = self.id("dp")
        self.disputes[dispute_id] = {
            "id": dispute_id, "object": "dispute", "amount": amount, "charge": charge["id"],
            "payment_intent": id, "currency": charge["currency"], "created": self.tick(),
            "status": status, "balance_transactions": entries,
        }  # fmt: skip
        return self.disputes[dispute_id]

    # The API.

    def call(self, method, path, parameters):
        parts = path.split("/")[2:]
        if method == "get" and len(parts) == 1:
            lists = {"charges": self.charges, "refunds": self.refunds, "disputes": self.disputes}
            return self.page(path, lists[parts[0]], parameters)
        if parts == ["refunds"]:
            return self.refund(parameters)
        intent = self.intent(parts[1])
        if method == "get":
            return self.expanded(intent, parameters)
        if len(parts) == 2:
            intent["metadata"].update(parameters.get("metadata", {}))
            return self.expanded(intent, parameters)
        action = {"capture": self.capture, "cancel": self.cancel}[parts[2]]
        action(intent, parameters)
        return self.expanded(intent, parameters)

    def intent(self, intent_id):
        if intent_id not in self.intents:
            raise Refusal(404, "invalid_request_error", "resource_missing", param="intent")
        return self.intents[intent_id]

    def expanded(self, intent, parameters):
        answer = dict(intent)
        for path in parameters.get("expand", []):
            names = path.split(".")
            if names[0] != "latest_charge" or names[1:] not in ([], ["balance_transaction"]):
                raise wrong("expand")
            if intent["latest_charge"]:
                answer["latest_charge"] = dict(self.charges[intent["latest_charge"]])
                entry = answer["latest_charge"]["balance_transaction"]
                if names[1:] and entry:
                    answer["latest_charge"]["balance_transaction"] = self.entries[entry]
        return answer

    def page(self, url, objects, parameters):
        intent_id = parameters.get("payment_intent")
        self.intent(intent_id)
        found = [o for o in reversed(objects.values()) if o["payment_intent"] == intent_id]
        limit = int(parameters.get("limit", "10"))
        if not 1 <= limit <= 100:
            raise wrong("limit")
        if "starting_after" in parameters:
            ids = [o["id"] for o in found]
            if parameters["starting_after"] not in ids:
                raise Refusal(400, "invalid_request_error", "resource_missing", param="starting_after")
            found = found[ids.index(parameters["starting_after"]) + 1 :]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}

    def capture(self, intent, parameters):
        if intent["status"] != "requires_capture":
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state", payment_intent=intent)
        amount = int(parameters.get("amount_to_capture", intent["amount_capturable"]))
        if amount > intent["amount_capturable"]:
            raise Refusal(400, "invalid_request_error", "amount_too_large", param="amount_to_capture")
        release = intent["amount_received"] and parameters.get("final_capture") == "true"
        if amount < (0 if release else 1):
            raise Refusal(400, "invalid_request_error", "amount_too_small", param="amount_to_capture")
        card = self.charges[intent["latest_charge"]]["payment_method_details"]["card"]
        if "final_capture" in parameters and card["multicapture"]["status"] != "available":
            raise wrong("final_capture")
        intent["metadata"].update(parameters.get("metadata", {}))
        self.take(intent, amount, parameters.get("final_capture", "true") == "true")

    def cancel(self, intent, parameters):
        if intent["status"] in ("canceled", "succeeded", "processing") or intent["amount_received"]:
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state", payment_intent=intent)
        intent["amount_capturable"] = 0
        intent["status"] = "canceled"
        intent["canceled_at"] = self.tick()
        intent["cancellation_reason"] = parameters.get("cancellation_reason")

    def refund(self, parameters):
        intent = self.intent(parameters.get("payment_intent"))
        if not intent["amount_received"]:
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state")
        charge = self.charges[intent["latest_charge"]]
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = int(parameters.get("amount", left))
        if left == 0:
            raise Refusal(400, "invalid_request_error", "charge_already_refunded")
        if amount > left:
            raise Refusal(400, "invalid_request_error", "amount_too_large", param="amount")
        return self.give_back(intent, amount, parameters.get("metadata", {}))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, arguments):
        super().__init__(("127.0.0.1", 0), Handler)
        overlay = json.load(open(arguments.overlay))
        self.description = Description(arguments.description, overlay) if arguments.description else None
        self.key = arguments.key
        self.stripe = Stripe()
        self.fault = None
        self.released = threading.Event()
        self.requests, self.violations = [], []
        self.connections = 0
        if arguments.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*arguments.tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass  # connections that a test broke

    def take_fault(self, method, path):
        """The fault for this request: {kind, path, method, times, apply, status, error, retry_after}."""
        fault = self.fault
        if not fault or fault.get("path", "") not in path or fault.get("method", method) != method:
            return None
        fault["times"] = fault.get("times", 1) - 1
        if fault["times"] <= 0:
            self.fault = None
        return fault

    def control(self, name, body):
        stripe = self.stripe
        with stripe.lock:
            if name == "create":
                return stripe.create(**body)
            if name == "authorize":
                return stripe.authorize(**body)
            if name == "capture":
                return stripe.take(stripe.intents[body["id"]], body["amount"], body.get("final", True))
            if name == "cancel":
                return stripe.cancel(stripe.intents[body.pop("id")], body)
            if name == "refund":
                intent = stripe.intents[body.pop("id")]
                return stripe.give_back(intent, body.pop("amount"), {}, **body)
            if name == "dispute":
                return stripe.dispute(**body)
            if name == "charge":  # the latest one
                return stripe.charges[stripe.intents[body["id"]]["latest_charge"]]
            if name == "change":  # members of any object
                for objects in (stripe.intents, stripe.charges, stripe.refunds, stripe.entries):
                    objects.get(body["id"], {}).update(body["members"])
                return None
            if name == "key":
                self.key = body["key"]
                return None
            if name == "fault":
                self.released.clear()
                self.fault = body
                return None
            if name == "clear":
                self.fault = None
                self.released.set()
                return None
            if name == "forget_requests":
                self.requests.clear()
                return None
            return {"requests": self.requests, "violations": self.violations}[name]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are written one after the other
    timeout = 60

    def setup(self):
        super().setup()
        self.server.connections += 1
        self.connection_number = self.server.connections

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.respond("get")

    def do_POST(self):
        self.respond("post")

    def respond(self, method):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/_control/"):
            return self.send(200, self.server.control(url.path.removeprefix("/_control/"), json.loads(body or "{}")))
        fault = self.server.take_fault(method, url.path)
        kind = fault and fault["kind"]
        record = {
            "method": method, "path": url.path, "text": body if method == "post" else url.query,
            "key": self.headers.get("Idempotency-Key"), "connection": self.connection_number,
            "traceparent": self.headers.get("traceparent"), "tracestate": self.headers.get("tracestate"),
        }  # fmt: skip
        self.server.requests.append(record)
        if kind == "drop_before":
            return self.drop()
        if kind == "429":
            return self.send(429, Refusal(429, "invalid_request_error", "rate_limit").body, fault.get("retry_after"))
        if kind == "garbage":
            return self.send_raw(fault.get("status", 200), fault["text"].encode())
        if kind == "big":
            return self.send_raw(200, b" " * fault["bytes"])
        if kind == "hang" and not fault.get("apply"):
            self.server.released.wait()
            return self.drop()
        status, answer, replayed = self.execute(method, url.path, record, fault)
        if kind == "drop_after":
            return self.drop()
        if kind == "hang":
            self.server.released.wait()
            return self.drop()
        return self.send(status, answer, replayed=replayed)

    def execute(self, method, path, record, fault):
        server, stripe = self.server, self.server.stripe
        try:
            if server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
                raise Refusal(401, "invalid_request_error", None)
            parameters = decode(record["text"])
            record["parameters"] = parameters
            try:
                if self.headers.get("Stripe-Version") != VERSION:
                    raise wrong("Stripe-Version")
                if method == "post" and not record["key"]:
                    raise wrong("Idempotency-Key")
                if server.description:
                    server.description.check_request(method, path, parameters)
            except Refusal as refusal:
                server.violations.append(f"{method} {path}: {refusal.body['error']}")
                raise
        except Refusal as refusal:  # before the execution: not kept for the key
            return refusal.status, refusal.body, False
        if not record["key"]:
            return (*self.apply(method, path, parameters, fault), False)
        request = [method, path, parameters]
        with stripe.lock:
            known = stripe.keys.get(record["key"])
            if known is None:
                stripe.keys[record["key"]] = [request, None]
            elif known[0] != request:
                return 400, Refusal(400, "idempotency_error").body, False
            elif known[1] is None:
                return 409, Refusal(409, "invalid_request_error", "idempotency_key_in_use").body, False
            else:
                return (*known[1], True)
            answer = self.apply(method, path, parameters, fault)
            stripe.keys[record["key"]][1] = answer
            return (*answer, False)

    def apply(self, method, path, parameters, fault):
        stripe = self.server.stripe
        kind = fault and fault["kind"]
        with stripe.lock:
            try:
                if kind == "error":
                    raise Refusal(fault["status"], fault["type"], fault.get("code"))
                if kind != "500" or fault.get("apply"):
                    answer = json.loads(json.dumps(stripe.call(method, path, parameters)))
                if kind == "500":
                    raise Refusal(500, "api_error")
            except Refusal as refusal:
                return refusal.status, json.loads(json.dumps(refusal.body))
        unknown = self.server.description and self.server.description.check_answer(answer)
        if unknown:
            self.server.violations.append(f"answer of {method} {path}: {unknown}")
            return 500, {}
        if kind == "change":
            answer.update(fault["members"])
        return 200, answer

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def send(self, status, body, retry_after=None, replayed=False):
        headers = {"Content-Type": "application/json"}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        self.send_raw(status, json.dumps(body).encode(), headers)

    def send_raw(self, status, data, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("overlay")
    parser.add_argument("--description")
    parser.add_argument("--key")
    parser.add_argument("--tls", nargs=2)
    server = Server(parser.parse_args())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()
