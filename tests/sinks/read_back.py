"""Reads what each sink wrote back with independent tools and compares it to the CSV files, row for row.

Arguments: directory of CSV files, SQLite file, directories of JSON lines and of Parquet files. Ends with 1 at the first
difference; otherwise says which tools it had. Parquet is read by pyarrow and by DuckDB, where they are.
"""

import csv
import datetime
import decimal
import json
import pathlib
import sqlite3
import sys

csv_directory, sqlite_file, jsonl_directory, parquet_directory = (pathlib.Path(argument) for argument in sys.argv[1:])
csv.field_size_limit(1 << 30)
decimal.getcontext().prec = 60


def text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.timezone.utc)
        return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03}Z"
    if isinstance(value, decimal.Decimal):
        places = -value.as_tuple().exponent
        shown = f"{value:f}"
        if places == 2:
            return shown
        whole, fraction = shown.split(".")
        fraction = fraction.rstrip("0")
        if places == 4:
            fraction = fraction.ljust(2, "0")
        return f"{whole}.{fraction}" if fraction else whole
    return str(value)


def compare(tool, name, wanted, rows):
    rows = [[text(value) for value in row] for row in rows]
    if rows != wanted:
        different = [pair for pair in zip(rows, wanted) if pair[0] != pair[1]][:1]
        sys.exit(f"{tool}: {name} has {len(rows)} rows, the CSV file {len(wanted)}; first difference: {different}")


def tables():
    for path in sorted(csv_directory.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        yield path.stem, header, rows


def imported(name):
    try:
        return __import__(name)
    except ImportError:
        return None


tools = ["sqlite3", "json"]
database = sqlite3.connect(f"file:{sqlite_file}?mode=ro", uri=True)
for name, header, wanted in tables():
    cursor = database.execute(f"SELECT * FROM {name}")
    assert [column[0] for column in cursor.description] == header, name
    compare("sqlite3", name, wanted, cursor)
assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

for name, header, wanted in tables():
    with (jsonl_directory / f"{name}.jsonl").open(newline="\n", encoding="utf-8") as file:
        objects = [json.loads(line) for line in file]
    assert all(list(row) == header for row in objects), name
    compare("json", name, wanted, (row.values() for row in objects))

if imported("pyarrow"):
    import pyarrow.parquet

    tools.append("pyarrow")
    for name, header, wanted in tables():
        table = pyarrow.parquet.read_table(parquet_directory / f"{name}.parquet")
        assert table.column_names == header, name
        compare("pyarrow", name, wanted, zip(*(column.to_pylist() for column in table.columns)))

if duckdb := imported("duckdb"):
    tools.append("DuckDB")
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for name, header, wanted in tables():
        cursor = database.execute(f"SELECT * FROM '{parquet_directory / name}.parquet'")
        assert [column[0] for column in cursor.description] == header, name
        compare("DuckDB", name, wanted, cursor.fetchall())

print(f"read back by {', '.join(tools)}")
