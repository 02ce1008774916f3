#!/usr/bin/python3
"""Completes the JSON report of scripts/bench with where and how it was made, prints it as tables (Markdown),
and draws what can be drawn.

usage: tests/bench/report.py REPORT.json [--started FILE] [--merge OTHER.json]

Beside REPORT.json appear REPORT-ratios.svg and, of a full run, REPORT-throughput.svg.
"""
import argparse
import datetime
import json
import pathlib
import platform
import shutil
import subprocess

# What the design asks for: at least so much, or (p50) at most.
TARGETS = {
    "update_invoice_64_vs_db": 2.5, "update_status_64_vs_db": 2.5, "add_note_64_vs_db": 2.5,
    "update_shipments_64_vs_db": 2.5, "update_invoice_256_vs_db": 3.2, "update_status_256_vs_db": 3.2,
    "add_note_256_vs_db": 3.2, "update_shipments_256_vs_db": 3.2, "get_order_64_vs_echo": 0.45,
    "get_order_cold_64_vs_db": 2.0, "list_orders_64_vs_db": 0.8, "list_orders_full_64_vs_echo": 0.3,
    "capture_64_vs_db": 0.8, "import_vs_multirow_insert": 0.5,
    "sqlite_update_invoice_64_vs_db": 3.0, "sqlite_update_status_64_vs_db": 3.0,
    "sqlite_add_note_64_vs_db": 3.0, "sqlite_update_shipments_64_vs_db": 3.0,
}


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    cpu = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return {"cpu": cpu, "cores": len(__import__("os").sched_getaffinity(0)),
            "memory_gib": round(memory / 2**20, 1), "kernel": platform.release(),
            "mariadb": output("mariadbd", "--version").split(" for ")[0].split()[-1:] or "",
            "commit": output("git", "log", "-1", "--format=%h %s"),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def target(name):
    if name in TARGETS:
        return f">= {TARGETS[name]}"
    if name.endswith("_1_p50_vs_db"):
        return "<= 2.0"
    if "_1m_vs_10k" in name and "uniform" not in name:
        return ">= 0.8"
    return ""


def met(name, ratio):
    wanted = target(name)
    if not wanted:
        return ""
    sign, value = wanted.split()
    return "yes" if (ratio >= float(value)) == (sign == ">=") or ratio == float(value) else "no"


def middle(values):
    return sorted(values)[len(values) // 2]


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(
        str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))) + " |"
    print(line(head))
    print("|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":"
                         for i, width in enumerate(widths)) + "|")
    for row in rows:
        print(line(row))
    print()


def compared(report):
    """(name, limit per second, orderd per second, ratio), as medians of the rounds."""
    for name, comparison in report.get("comparisons", {}).items():
        rounds = comparison["rounds"]
        if name.endswith("_p50_vs_db"):
            figures = [f"{middle([r[side]['p50_ms'] for r in rounds]):.2f} ms"
                       for side in ("limit", "server")]
        else:
            figures = [f"{middle([r[side]['per_second'] for r in rounds]):,.0f}"
                       for side in ("limit", "server")]
        yield name, comparison["limit"], *figures, report["ratios"][name]


def show(report):
    m = report["machine"]
    print(f"{m['cores']} cores ({m['cpu']}), {m['memory_gib']} GiB, Linux {m['kernel']}, MariaDB "
          f"{''.join(m['mariadb'])}, {m['commit'][:7]}; {report.get('rounds')} rounds of "
          f"{report.get('seconds')} s\n")
    limits = report.get("limits", {})
    if "syncs_per_second" in limits:
        print(f"The disk syncs {limits['syncs_per_second']:,.0f} times a second.\n")
    rows = [(name, what, theirs, ours, f"{ratio:.2f}", target(name), met(name, ratio))
            for name, what, theirs, ours, ratio in compared(report)]
    if rows:
        table(("ratio", "limit", "limit/s", "orderd/s", "ratio", "wanted", "met"), rows)
    growth = [(name, f"{ratio:.2f}", target(name), met(name, ratio))
              for name, ratio in sorted(report["ratios"].items())
              if name not in report.get("comparisons", {})]
    if growth:
        table(("growth", "ratio", "wanted", "met"), growth)
    if "start_ms" in report:
        table(("start", "ms to serving"), list(report["start_ms"].items()))
    if "memory" in report:
        table(("server", "value"), [(k.replace("_", " "), f"{v:,.1f}") for k, v in report["memory"].items()])
    for dialect, loads in report.get("loads", {}).items():
        rows = []
        for operation, by_callers in loads.items():
            for callers, f in sorted(by_callers.items(), key=lambda item: int(item[0])):
                rows.append((operation, callers, f"{f['per_second']:,.0f}", f"{f['p50_ms']:.2f}",
                             f"{f['p99_ms']:.2f}", f"{f['p999_ms']:.2f}", f["errors"],
                             f"{f['server_cpu']:.2f}", f"{f['client_cpu']:.2f}",
                             f"{f['database_cpu']:.2f}" if "database_cpu" in f else "",
                             f"{f['statements_per_command']:.2f}" if "statements_per_command" in f else "",
                             f"{f['log_syncs_per_command']:.3f}" if "log_syncs_per_command" in f else "",
                             f"{f['resident_mb']:.0f}"))
        table((dialect, "callers", "/s", "p50 ms", "p99", "p99.9", "errors", "server cores", "client",
               "database", "statements", "syncs", "MB"), rows)


def plot(path, text):
    subprocess.run(["gnuplot"], input=f"set terminal svg size 900,420 font 'sans,11' background 'white'\n"
                   f"set output '{path}'\n{text}", text=True, check=True)


def draw(report, path):
    if shutil.which("gnuplot") is None:
        return
    bars = []
    for name, comparison in report.get("comparisons", {}).items():
        if not name.endswith("_p50_vs_db"):
            label = name.replace("_vs_db", "").replace("_vs_multirow_insert", "").replace("_", " ")
            ratio = report["ratios"][name]
            wanted = TARGETS.get(name, "NaN")
            bars.append(f'"{label}" {ratio:.3f} {wanted}')
    if bars:
        plot(f"{path}-ratios.svg", """
set title "orderd beside its limits, in one run: the database alone at its best thread count, or gRPC alone (echo)"
set ylabel "ratio"; set yrange [0:*]; set grid ytics; set style fill solid 0.8; set boxwidth 0.6
set xtics rotate by 35 right; set key top left
$data << EOD
""" + "\n".join(bars) + """
EOD
plot $data using 0:2:xtic(1) with boxes lc rgb '#3572b0' title 'reached', \\
     '' using 0:3 with points pt 9 ps 0.8 lc rgb '#c0392b' title 'wanted'
""")
    loads = report.get("loads", {}).get("mysql")
    if loads:
        names = [n for n in ("get_order", "mix_80_reads", "update_invoice", "update_status", "add_note",
                             "update_shipments", "create_order", "capture") if n in loads]
        blocks = "\n".join(f"$d{i} << EOD\n" + "\n".join(
            f"{c} {loads[n][c]['per_second']}" for c in sorted(loads[n], key=int)) + "\nEOD"
            for i, n in enumerate(names))
        plot(f"{path}-throughput.svg", f"""
set title "calls per second on MariaDB, a flush per commit"
set logscale xy; set xlabel "concurrent callers"; set ylabel "calls per second"; set grid
set xtics (1, 8, 64, 256); set key outside right
{blocks}
plot """ + ", ".join(f"$d{i} with linespoints lw 2 title '{n.replace('_', ' ')}'"
                     for i, n in enumerate(names)) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--merge", action="append", default=[], type=pathlib.Path)
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text())
    for path in arguments.merge:
        for key, value in json.loads(path.read_text()).items():
            if isinstance(value, dict):
                report.setdefault(key, {}).update(value)
            else:
                report.setdefault(key, value)
    report["machine"] = machine()
    arguments.report.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    show(report)
    draw(report, arguments.report.with_suffix(""))


main()
