"""The process that audits: it finds what Great Expectations finds, and neither process is left behind by the other."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from config.errors import GateRefused
from flows import auditor, gx_duckdb
from tests.waiting import WAIT_SECONDS

CHECKS = [
    {"type": kind, "kwargs": {"column": column}, "severity": "critical"}
    for kind in ("expect_column_values_to_not_be_null", "expect_column_values_to_be_unique")
    for column in ("number", "name", "no_such_column")
]
DISTRIBUTION = {
    "type": "expect_column_kl_divergence_to_be_less_than",
    "kwargs": {
        "column": "name",
        "partition_object": {"values": ["x", "z"], "weights": [2 / 3, 1 / 3]},
        "threshold": 0.01,
    },
    "severity": "critical",
}
OWNER = """
import sys, time, duckdb
from flows import auditor
con = duckdb.connect()
con.execute("create table t as select 1 as number")
auditor.validate(con, "t", [])
process, _ = auditor.start()
print(process.pid, 'great_expectations' in sys.modules, flush=True)
time.sleep(600)
"""


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(
        "create temp table numbers as select * from (values (1, 'x'), (2, 'x'), (null, 'z')) as t (number, name)"
    )
    return con


def test_it_finds_what_is_found_in_this_process(con):
    here, there = (module.validate(con, "numbers", CHECKS) for module in (gx_duckdb, auditor))
    for found in (*here.values(), *there.values()):
        for problem in found["exception_info"].values():
            if isinstance(problem, dict):
                del problem["exception_traceback"]
    assert here == there
    assert [there[place]["success"] for place in range(len(CHECKS))] == [False, True, False, True, False, False]


def test_one_process_audits_again_and_again(con):
    process, _ = auditor.start()
    auditor.validate(con, "numbers", CHECKS)
    auditor.validate(con, "numbers", CHECKS)
    assert auditor.start()[0] is process and process.poll() is None


def test_it_loads_what_only_other_checks_need_when_one_of_them_comes(con):
    auditor.start.cache_clear()
    process, _ = auditor.start()

    def loaded() -> list[str]:
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        return [name for name in ("numpy", "scipy/stats") if f"/{name}/" in mapped]

    auditor.validate(con, "numbers", CHECKS)
    assert loaded() == ["numpy"]
    assert auditor.validate(con, "numbers", [DISTRIBUTION, DISTRIBUTION])[1]["success"]
    assert loaded() == ["numpy", "scipy/stats"]


def test_its_end_stops_the_run_and_the_next_audit_starts_another(con, tmp_path, monkeypatch):
    process, _ = auditor.start()
    process.kill()
    with pytest.raises(
        GateRefused, match="audit of numbers: the process of Great Expectations came to an end, code -9"
    ):
        auditor.validate(con, "numbers", CHECKS)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows/auditor.py").write_text("raise SystemExit('a folder of the same name, and not ours')")
    monkeypatch.chdir(tmp_path)
    assert len(auditor.validate(con, "numbers", CHECKS)) == len(CHECKS)


def test_it_ends_with_the_process_that_started_it_which_never_loads_great_expectations():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout
    pid, loaded = owner.stdout.readline().split()
    assert loaded == b"False"
    status = Path(f"/proc/{int(pid)}/status")
    assert "(zombie)" not in status.read_text()
    owner.kill()
    owner.wait()
    until = time.monotonic() + WAIT_SECONDS
    while status.exists() and "(zombie)" not in status.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_threads_wait_for_their_turn(con):
    cons = [con.cursor() for _ in range(4)]
    for number, each in enumerate(cons):
        each.execute(f"create temp table t{number} as select cast(null as integer) as number from range({number + 1})")
    auditor.start()
    with ThreadPoolExecutor(len(cons)) as pool:
        found = list(
            pool.map(lambda number: auditor.validate(cons[number], f"t{number}", CHECKS[:1]), range(len(cons)))
        )
    assert [each[0]["result"]["unexpected_count"] for each in found] == [1, 2, 3, 4]
