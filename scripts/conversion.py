"""What the converters of foreign data share: CSV to JSON lines of orders.v1.ImportOrdersRequest."""

import csv
import datetime
import gzip
import json
import pathlib
import sys
from decimal import Decimal


def data_folder(name, usage):
    """The folder of a data set, below the folder that is the script's only argument."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(usage)
        sys.exit()
    if len(sys.argv) != 2:
        sys.exit(usage)
    folder = pathlib.Path(sys.argv[1]) / name
    if not folder.is_dir():
        sys.exit(f"{sys.argv[0]}: there is no folder {folder}; see {sys.argv[0]} --help")
    return folder


def read_csv(path):
    """The lines of a CSV file, packed or not, as dictionaries of strings."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def minor_units(decimal_text):
    """An amount of a currency with two decimals in its minor unit, exactly.

    An amount that has no such form (0.001 is a tenth of a penny) stays as exact as it was, a
    fraction of the minor unit: the import refuses the order and names the field.
    """
    minor = Decimal(decimal_text).scaleb(2)
    return int(minor) if minor == minor.to_integral_value() else float(minor)


def money(currency_code, amount_minor):
    return {"currency_code": currency_code, "amount_minor": amount_minor}


def utc(text):
    """The data's local time without a zone ("2017-07-09 21:57:05"), taken as UTC."""
    return datetime.datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_empty(fields):
    return {name: value for name, value in fields.items() if value not in ("", None, {}, [])}


def write_line(request):
    json.dump(request, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.write("\n")
