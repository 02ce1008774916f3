"""Random changes by many clients, recorded, and then checked against a model.

Every change that was made has the etag that it produced. Sorted by etag, the changes of an order must
account for each of its versions exactly once, and applied in that order they must give what the
server answers now. So a lost change, a doubled change and a torn one all show.
"""

import collections
import dataclasses
import random
import threading

import grpc

from harness import Refusal, new_id, pb, run_threads

# Contended on purpose: taken and freed by all clients.
INVOICE_NUMBERS = [f"SHARED-{n}" for n in range(60)]
STATES = ["new", "processing", "suspended", "fraud"]
EXPECTED_REFUSALS = {"ETAG_MISMATCH", "INVOICE_NUMBER_IN_USE", "STATE_NOT_ENTERABLE"}


def version(etag):
    """The etag is opaque to callers, but known to count the changes of an order."""
    return int(etag)


@dataclasses.dataclass
class Change:
    method: str
    request: object
    etag: str
    note_id: str = ""


def random_change(rng, order_id, etag):
    fields = {"order_id": order_id, "request_id": new_id()}
    if rng.random() < 0.1:
        fields["etag"] = etag
    kind = rng.randrange(3)
    if kind == 0:
        return "UpdateOrderStatus", pb.UpdateOrderStatusRequest(
            state_id=rng.choice(STATES), **fields)
    if kind == 1:
        return "UpdateInvoice", pb.UpdateInvoiceRequest(
            invoice_number=rng.choice(["", *INVOICE_NUMBERS]), **fields)
    return "AddNote", pb.AddNoteRequest(body=f"note {fields['request_id']}", **fields)


class History:
    def __init__(self, api, order_count, seed):
        print(f"seed {seed}")
        self.seed = seed
        self.first = {}
        self.changes = []
        self.unanswered = []
        self.refusals = collections.Counter()
        self.answers = 0
        self._answered = threading.Condition()
        for _ in range(order_count):
            order = api.orders.CreateOrder(pb.CreateOrderRequest(order=pb.NewOrder())).order
            self.first[order.order_id] = order

    def run(self, apis, clients, changes):
        """Each client works on the next of `apis` until so many changes are made, or its server dies."""
        end = len(self.changes) + changes
        orders = sorted(self.first)
        round_seed = f"{self.seed}/{self.answers}"

        def work(index):
            rng = random.Random(f"{round_seed}/{index}")
            api = apis[index % len(apis)]
            etags = dict.fromkeys(orders, "1")
            while len(self.changes) < end:
                order_id = rng.choice(orders)
                method, request = random_change(rng, order_id, etags[order_id])
                try:
                    answer = getattr(api.orders, method)(request)
                except grpc.RpcError as error:
                    refusal = Refusal.of(error)
                    if not refusal.reason:  # the connection broke
                        self.unanswered.append((method, request))
                        return
                    self._count(refusal.reason)
                    continue
                etags[order_id] = answer.order.etag
                if answer.changed:
                    self._record(method, request, answer)
                self._count(None)

        run_threads(clients, work)

    def wait_for(self, answers):
        with self._answered:
            assert self._answered.wait_for(lambda: self.answers >= answers, timeout=120)

    def _count(self, reason):
        with self._answered:
            self.answers += 1
            if reason:
                self.refusals[reason] += 1
            self._answered.notify_all()

    def _record(self, method, request, answer):
        note_id = answer.note.note_id if method == "AddNote" else ""
        self.changes.append(Change(method, request, answer.etag, note_id))

    def retry_unanswered(self, api):
        """Tries again what had no answer; afterwards it has happened once, or was refused for good."""
        retried, self.unanswered = self.unanswered, []
        for method, request in retried:
            try:
                answer = getattr(api.orders, method)(request)
            except grpc.RpcError as error:
                self._count(Refusal.of(error).reason)
                continue
            if answer.changed or answer.replayed:
                self._record(method, request, answer)
        return len(retried)

    def replay_all(self, api):
        """Every change that was acknowledged is known: the same request gets its first answer."""
        for change in self.changes:
            answer = getattr(api.orders, change.method)(change.request)
            assert answer.replayed and answer.etag == change.etag, (change, answer)
            if change.method == "AddNote":
                assert answer.note.note_id == change.note_id

    def check(self, api):
        print(f"{len(self.changes)} changes in {self.answers} answers; refused: {dict(self.refusals)}")
        assert set(self.refusals) <= EXPECTED_REFUSALS, self.refusals
        changes = collections.defaultdict(list)
        for change in self.changes:
            changes[change.request.order_id].append(change)
        invoices = collections.Counter()
        for order_id, first in self.first.items():
            order = api.orders.GetOrder(pb.GetOrderRequest(order_id=order_id)).order
            made = sorted(changes[order_id], key=lambda change: version(change.etag))
            assert [version(change.etag) for change in made] == list(
                range(version(first.etag) + 1, version(order.etag) + 1)), order_id
            self._check_content(api, order, first, made)
            invoices[order.invoice_number] += 1
        del invoices[""]
        assert all(count == 1 for count in invoices.values())

    @staticmethod
    def _check_content(api, order, first, made):
        state, invoice, notes = first.state_id, first.invoice_number, {}
        for change in made:
            if change.method == "UpdateOrderStatus":
                state = change.request.state_id
            elif change.method == "UpdateInvoice":
                invoice = change.request.invoice_number
            else:
                notes[change.note_id] = change.request.body
        assert (order.state_id, order.invoice_number, order.note_count) == (
            state, invoice, len(notes))
        stored, token = {}, ""
        while True:
            page = api.orders.ListNotes(pb.ListNotesRequest(
                order_id=order.order_id, page_size=1000, page_token=token))
            stored.update((note.note_id, note.body) for note in page.notes)
            token = page.next_page_token
            if not token:
                break
        assert stored == notes
