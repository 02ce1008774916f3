"""The commands of the README: scripts/run as a newcomer starts it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import ORDERCTL, SCRIPTS


def heed_interrupt():
    """As in a terminal, also if these tests run in the background, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Ended(Exception):
    """scripts/run ended before it served."""


class Run:
    """scripts/run as in a terminal, until `stop`."""

    def __init__(self, *options):
        started = time.monotonic()
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("ORDERD_", "ORDERCTL_"))}
        self.process = subprocess.Popen(
            [SCRIPTS / "run", "--listen", "127.0.0.1:0", *options], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, preexec_fn=heed_interrupt)
        self.output = ""
        try:
            for line in self.process.stdout:
                self.output += line
                if match := re.search(r"orderd listening on (\S+)", line):
                    self.address = match.group(1)
                    self.seconds = time.monotonic() - started
                if line.startswith("Ctrl-C"):
                    return
            raise Ended(f"{self.process.wait()}: {self.output}")
        except BaseException:
            self.process.terminate()
            raise

    def stop(self):
        """Ctrl-C goes to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.output += self.process.communicate(timeout=60)[0]
        return self.process.returncode


def orders_of(run, *options):
    listed = subprocess.run([ORDERCTL, "--server", run.address, "--json", "list", "--all", *options],
                            check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in listed.splitlines()]


def test_run_brings_demo_orders_and_keeps_its_data(database):
    run = Run("--database", database)
    orders = orders_of(run)
    assert len(orders) == 8
    assert {order["state_id"] for order in orders} == {
        "new", "processing", "completed", "suspended", "fraud", "canceled"}
    assert {order["currency_code"] for order in orders} == {"EUR", "USD", "JPY", "BRL"}
    assert f"orderctl --server {run.address} list" in run.output
    shipped = orders_of(run, "--delivery", "shipped")
    assert {order["order_number"] for order in shipped} == {"DEMO-1002", "DEMO-1008"}
    subprocess.run([ORDERCTL, "--server", run.address, "status", "DEMO-1007", "processing"],
                   check=True, capture_output=True)
    assert run.stop() == 0, run.output

    run = Run("--database", database)
    print(f"the second start took {run.seconds:.2f} s")
    again = {order["order_number"]: order for order in orders_of(run)}
    assert len(again) == 8
    assert again["DEMO-1007"]["state_id"] == "processing"
    assert run.stop() == 0, run.output


def test_run_says_why_it_ends():
    with pytest.raises(Ended, match="(?s)[1-9].*must be sqlite:PATH or mysql://"):
        Run("--database", "oracle://nowhere")


def test_setup_has_nothing_to_do_on_a_machine_that_runs_the_tests():
    done = subprocess.run([SCRIPTS / "setup", "test"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("script", ["import-olist", "import-online-retail"])
def test_converters_say_what_they_want(script):
    path = str(SCRIPTS / script)
    shown = subprocess.run([path, "--help"], check=True, capture_output=True, text=True)
    assert f"usage: scripts/{script}" in shown.stdout
    for arguments in ([], ["a", "b"], ["/nowhere"]):
        refused = subprocess.run([path, *arguments], capture_output=True, text=True)
        assert refused.returncode == 1 and refused.stdout == ""
        assert "Traceback" not in refused.stderr
        assert "usage:" in refused.stderr or "there is no folder /nowhere" in refused.stderr
