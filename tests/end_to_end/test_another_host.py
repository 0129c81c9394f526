"""A run on a host with another time zone and another number of threads publishes the same content."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

BUSINESS = """
business: Two rooms
timezone: America/New_York
currency: USD
threads: {threads}
sources:
  orders:
    - name: till
      kind: files
      path: orders.csv
      columns:
        order_id: number
        account_id: account
        ordered_at: cast(at as timestamp)
        amount: cast(net as decimal(18, 2))
  engagements:
    - name: mail
      kind: files
      path: mail.csv
      columns:
        event_id: id
        account_id: account
        occurred_at: cast(at as timestamptz)
        kind: "'email'"
        direction: direction
scoring: scoring/mixed.yaml
warehouse: {{kind: duckdb, path: warehouse.duckdb}}
state: state
"""
DAYS = [f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}" for number in range(80)]
HOURS = ["00:30", "23:30", "04:30", "19:30", "12:00"] * 16
ORDERS = ["number,account,at,net"] + [
    f"{number},A{number % 7},{day} {hour},{number}.10"
    for number, (day, hour) in enumerate(zip(DAYS, HOURS, strict=True))
]
MAIL = ["id,account,at,direction"] + [
    f"{number},A{number % 9},{day}T{hour}:00Z,{('inbound', 'outbound')[number % 2]}"
    for number, (day, hour) in enumerate(zip(DAYS, HOURS, strict=True))
]
HOSTS = [
    {"TZ": "Pacific/Kiritimati", "threads": "1", "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "7"},
    {"TZ": "America/Los_Angeles", "threads": "4"},
]


def content_hash(folder: Path, threads: str, **environment: str) -> str:
    """Of what a run in a folder of its own publishes."""
    folder.mkdir()
    (folder / "business.yaml").write_text(BUSINESS.format(threads=threads))
    (folder / "orders.csv").write_text("\n".join(ORDERS))
    (folder / "mail.csv").write_text("\n".join(MAIL))
    script = "from flows.cli import main; main()"
    command = [sys.executable, "-c", script, "run", "--config", "business.yaml", "--as-of", "2025-12-31", "--json"]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env=os.environ | path | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with duckdb.connect(folder / "warehouse.duckdb", read_only=True) as con:
        return con.execute("select content_hash from rapport.runs").fetchall()[0][0]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory) -> list[str]:
    return [content_hash(tmp_path_factory.mktemp("host") / "run", **host) for host in HOSTS]


def test_another_time_zone_and_number_of_threads_of_the_host_publish_the_same_content(hashes):
    assert len(set(hashes)) == 1
