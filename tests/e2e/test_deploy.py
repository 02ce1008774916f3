"""What is handed to operators: manifests that say nothing that the programs do not know, and backups
that can be gone back to."""

import re
import shutil
import subprocess
import threading
import uuid

import pytest
import yaml

from harness import ORDERCTL, ORDERD, ROOT, Server, all_orders, orderctl, pb
from orders.v1 import watch_pb2

DEPLOY = ROOT / "docs" / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def options_of(*command):
    """What --help names: long options and environment variables."""
    text = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"--[a-z][a-z0-9-]+|\bORDER(?:D|CTL)_[A-Z0-9_]+", text))


def kubernetes():
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    assert all(d["apiVersion"] and d["metadata"]["name"] == "orderd" for d in documents)
    return {d["kind"]: d for d in documents}


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def container(deployment):
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def image_setting(name):
    return re.search(rf"^\s*(?:ENV )?{name}[= ]\s*(\S+)", DOCKERFILE, re.MULTILINE).group(1)


def test_every_flag_and_variable_is_one_of_the_programs():
    known = options_of(ORDERD) | options_of(ORDERCTL)
    for path in [ROOT / "Dockerfile", ROOT / "docs" / "deploy.md", *DEPLOY.iterdir()]:
        named = set(re.findall(r"\bORDER(?:D|CTL)_[A-Z0-9_]+", path.read_text()))
        assert named <= known, f"{path.name} names {named - known}"
    started = re.search(r"^ExecStart=/usr/local/bin/orderd (.*)$",
                        (DEPLOY / "orderd.service").read_text(), re.MULTILINE).group(1)
    in_text = re.findall(r"`(--[a-z-]+)`", (ROOT / "docs" / "deploy.md").read_text())
    of_the_image_script = {"--smoke"}
    named = set(re.findall(r"--[a-z-]+", started)) | set(in_text) - of_the_image_script
    assert named <= known, named - known


def test_the_image_does_what_the_manifests_count_on():
    assert 'ENTRYPOINT ["orderd"]' in DOCKERFILE
    user, group = image_setting("USER").split(":")
    assert f"useradd --uid {user} " in DOCKERFILE and f"groupadd --gid {group} " in DOCKERFILE
    port = image_setting("EXPOSE")
    assert image_setting("ORDERD_LISTEN").endswith(":" + port)
    assert image_setting("VOLUME") == image_setting("SQLITE_TMPDIR")

    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == user
    assert str(pod["securityContext"]["runAsGroup"]) == group
    assert container(kubernetes()["Deployment"])["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}}
    for server in ("orderd-1", "orderd-2"):
        service = compose()["services"][server]
        assert service["environment"]["ORDERD_LISTEN"].endswith(":" + port)
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["ports"][0].endswith(":" + port)


def test_kubernetes_asks_services_and_ports_that_there_are(server):
    manifests = kubernetes()
    only = container(manifests["Deployment"])
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    settings = manifests["ConfigMap"]["data"]
    assert settings["ORDERD_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
    assert settings["ORDERD_METRICS"] == f"0.0.0.0:{ports['metrics']}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = only[probe]["grpc"]
        assert asked["port"] == ports["grpc"]
        assert orderctl(server, "health", "--service", asked.get("service", "")).returncode == 0
    for port in manifests["Service"]["spec"]["ports"]:
        assert port["port"] == ports[port["targetPort"]]

    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (manifests["Deployment"]["spec"]["selector"]["matchLabels"],
                     manifests["Service"]["spec"]["selector"],
                     manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]):
        assert selector.items() <= labels
    mounted = {mount["mountPath"] for mount in only["volumeMounts"]}
    for name, value in settings.items():
        if name.endswith("_FILE"):
            assert value.rpartition("/")[0] in mounted
    assert image_setting("VOLUME") in mounted


def test_nobody_is_killed_while_it_drains():
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    drain = float(kubernetes()["ConfigMap"]["data"]["ORDERD_DRAIN_TIMEOUT"])
    (_, pause) = container(kubernetes()["Deployment"])["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > drain + float(pause)
    for server in ("orderd-1", "orderd-2"):
        service = compose()["services"][server]
        assert (float(service["stop_grace_period"].rstrip("s"))
                > float(service["environment"]["ORDERD_DRAIN_TIMEOUT"]))


def test_compose_names_what_it_has():
    whole = compose()
    for name, service in whole["services"].items():
        assert set(service["secrets"]) <= set(whole["secrets"]), name
        assert set(service.get("depends_on", {})) <= set(whole["services"]), name
        for setting, value in service["environment"].items():
            if setting.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    database = whole["services"]["database"]["environment"]
    assert whole["services"]["orderd-1"]["environment"]["ORDERD_DATABASE"] == (
        f"mysql://{database['MARIADB_USER']}@database/{database['MARIADB_DATABASE']}")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_its_unit(tmp_path):
    unit = tmp_path / "orderd.service"
    text = (DEPLOY / "orderd.service").read_text()
    unit.write_text(text.replace("/usr/local/bin/orderd ", f"{ORDERD} "))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


class Writer:
    """Changes orders, one after the other, until it is stopped."""

    def __init__(self, server):
        self.server = server
        self.order_ids = []
        self.enough = threading.Event()
        self._stop = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            for count in range(1_000_000):
                if self._stop.is_set():
                    return
                order = self.server.orders.CreateOrder(pb.CreateOrderRequest(order={})).order
                self.server.orders.AddNote(pb.AddNoteRequest(
                    order_id=order.order_id, body=f"note {count}: é ' \\ :x"))
                self.order_ids.append(order.order_id)
                if count == 30:
                    self.enough.set()
        except BaseException as failure:  # noqa: BLE001 - told by `stop`
            self._failure = failure
            self.enough.set()

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert self._failure is None, self._failure


def back_up_mariadb(mariadb, url, tmp_path):
    socket = re.search(r"socket=(.*)", url).group(1)
    name = re.search(r"/([^/?]+)\?", url).group(1)
    login = ["--no-defaults", "--user=root", f"--socket={socket}"]
    with open(tmp_path / "orders.sql", "w") as dump:
        subprocess.run(["mariadb-dump", *login, "--single-transaction", "--quick", "--hex-blob", name],
                       check=True, stdout=dump)

    def restore():
        restored = f"restored_{uuid.uuid4().hex[:12]}"
        mariadb.execute(f"CREATE DATABASE {restored}")
        with open(tmp_path / "orders.sql") as dump:
            subprocess.run(["mariadb", *login, restored], check=True, stdin=dump)
        return url.replace(f"/{name}?", f"/{restored}?"), lambda: mariadb.execute(
            f"DROP DATABASE {restored}")

    return restore


def back_up_sqlite(url, tmp_path):
    copy = tmp_path / "copy.db"
    subprocess.run(["sqlite3", url.removeprefix("sqlite:"), f"VACUUM INTO '{copy}'"], check=True)
    return lambda: (f"sqlite:{copy}", lambda: None)


def test_a_backup_under_load_is_one_moment_that_can_be_gone_back_to(database, request, tmp_path):
    server = Server(database)
    writer = Writer(server)
    assert writer.enough.wait(60)
    before = list(writer.order_ids)
    if database.startswith("sqlite:"):
        restore = back_up_sqlite(database, tmp_path)
    else:
        restore = back_up_mariadb(request.getfixturevalue("mariadb"), database, tmp_path)
    writer.stop()
    url, remove = restore()
    try:
        restored = Server(url)
        orders = {order.order_id: order for order in all_orders(restored.orders)}
        assert set(before) <= set(orders) <= {o.order_id for o in all_orders(server.orders)}
        for order_id, order in orders.items():
            notes = restored.orders.ListNotes(pb.ListNotesRequest(order_id=order_id)).notes
            assert len(notes) == order.note_count
            events = restored.orders.ListOrderEvents(
                watch_pb2.ListOrderEventsRequest(order_id=order_id)).events
            assert events[-1].etag == order.etag
        changed = restored.orders.AddNote(pb.AddNoteRequest(order_id=before[0], body="after"))
        assert changed.changed
        assert restored.stop() == 0
    finally:
        remove()
    assert server.stop() == 0
