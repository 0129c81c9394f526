"""`rapport doctor`: what it finds between runs, what it finds wrong, and that it changes nothing."""

import fcntl
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from config.settings import load
from flows.cli import main
from flows.doctor import Finding, examination
from flows.lock import held
from tests.end_to_end.over_time import day, night, written
from tests.waiting import WAIT_SECONDS

PARTS = ["versions", "locks", "locks", "landed", "room", "room", "state", "warehouse"]


@pytest.fixture
def firm(tmp_path, monkeypatch) -> Path:
    """A firm in the working directory of which one day is published."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    night(0)
    return tmp_path


def examined(**more) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for each in examination(load(Path("firm.yaml")).model_copy(update=more)):
        found.setdefault(each.what, []).append(each)
    return found


def test_a_firm_between_runs_is_well(firm):
    found = examination(load(Path("firm.yaml")))
    assert [each.what for each in found] == PARTS
    assert all(each.is_well for each in found)
    told = {each.what: each.found for each in found}
    assert told["landed"].startswith("1 batches with ")
    assert told["landed"].endswith(" MB, all as they were landed")
    assert told["state"] == "the next run adds to it what changed"
    assert told["warehouse"].startswith(f"warehouse.duckdb, as of {day(0)}, by run ")


def test_before_the_first_run_there_is_nothing_and_that_is_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = examination(load(Path("firm.yaml")))
    assert [each.what for each in found] == PARTS
    assert all(each.is_well for each in found)
    assert found[-2].found == "the next run makes it anew, since there was none"
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_changed(firm):
    before = {path: path.read_bytes() for path in firm.rglob("*") if path.is_file()}
    examined()
    assert {path: path.read_bytes() for path in firm.rglob("*") if path.is_file()} == before


def test_what_another_program_left_unwritten_in_the_state_stays_so(firm):
    script = (
        "import duckdb, os\n"
        "con = duckdb.connect('state/state.duckdb')\n"
        "con.execute('create table main.more (n integer)')\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=WAIT_SECONDS)
    assert Path("state/state.duckdb.wal").exists()
    before = {path: path.read_bytes() for path in firm.rglob("*") if path.is_file()}
    assert examined()["state"] == [Finding("state", "the next run adds to it what changed")]
    assert {path: path.read_bytes() for path in firm.rglob("*") if path.is_file()} == before


def test_what_cannot_be_looked_at_is_told_and_the_rest_is_looked_at(firm):
    Path("state/landed/shop/x.json").mkdir()
    Path("state/business").write_bytes(b"\xff")
    found = examined()
    assert found["landed"][0].found.startswith("it cannot be looked at (IsADirectoryError: ")
    assert found["state"][0].found.startswith("it cannot be looked at (UnicodeDecodeError: ")
    assert found["warehouse"][0].is_well


def test_a_batch_that_is_damaged_or_gone_is_found(firm):
    [landed] = Path("state/landed/shop").glob("*.parquet")
    content = bytearray(landed.read_bytes())
    content[len(content) // 2] ^= 1
    landed.write_bytes(content)
    [finding] = examined()["landed"]
    assert not finding.is_well
    assert "is damaged or gone, as are 1 batches in all." in finding.found
    landed.unlink()
    assert not examined()["landed"][0].is_well


def test_a_state_that_does_not_fit_is_told(firm):
    [finding] = examined(timezone="Asia/Tokyo")["state"]
    assert finding == Finding(
        "state", "the next run makes it anew, since the configuration, the merges of accounts or Rapport changed"
    )
    Path("state/business").write_text("bakery")
    [finding] = examined()["state"]
    assert not finding.is_well
    assert "it is that of the business file bakery.yaml" in finding.found


def test_who_holds_a_lock_is_told_and_of_who_was_killed_nothing_is(firm):
    script = (
        "import sys; from datetime import datetime; from pathlib import Path; from flows.lock import held\n"
        "with held(Path('state/lock'), 'the state', 'run-7', datetime(2026, 1, 1, 3)): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        found = examined()
        holder.kill()
        holder.wait(WAIT_SECONDS)
    assert found["locks"][0].found.startswith(
        f"the state is held (started 2026-01-01 03:00 UTC by run run-7, process {holder.pid} on "
    )
    assert found["state"] == [Finding("state", "a run is at work in it")]
    assert Path("state/lock").read_text(), "who was killed leaves its name"
    assert examined()["locks"][0] == Finding("locks", "the state is free")


def test_to_look_at_a_lock_takes_it_from_nobody(firm):
    Path("state/lock").write_text('{"run_id": "gone", "started_at": "2026-01-01T00:00:00", "pid": 1, "host": "here"}')
    examined()
    with Path("state/lock").open("a+") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_that_starts_while_somebody_looks_is_not_turned_away(firm):
    with Path("state/lock").open() as looked_at:
        fcntl.flock(looked_at.fileno(), fcntl.LOCK_SH)
        threading.Timer(0.1, lambda: fcntl.flock(looked_at.fileno(), fcntl.LOCK_UN)).start()
        with held(Path("state/lock"), "the state", "run-8", datetime(2026, 1, 1, tzinfo=UTC)):
            pass


def test_a_disk_that_is_too_small_is_found(firm, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000})())
    rebuild, copy = examined()["room"]
    assert (rebuild.is_well, copy.is_well) == (False, False)
    assert rebuild.found.startswith("a rebuild of the state may take ")


def test_packages_that_do_not_fit_are_found(firm, monkeypatch):
    installed = metadata.version
    monkeypatch.setattr("flows.doctor.version", lambda name: "2.1.4" if name == "sqlalchemy" else installed(name))
    monkeypatch.setattr(
        "flows.doctor.requires",
        lambda _: ["sqlalchemy<2.1,>=2.0", "no-such-thing>=1", "polars>=2", "adbc>9; extra == 'x'"],
    )
    found = examined()["versions"]
    assert [each.found for each in found[:2]] == [
        "sqlalchemy is 2.1.4, and not <2.1,>=2.0. Install what fits: uv sync",
        "no-such-thing is not installed. Install what fits: uv sync",
    ]
    assert found[2].found.endswith("1 of 3 packages in versions that fit")
    assert not any(each.is_well for each in found)


def test_a_warehouse_of_another_business_is_found(firm):
    business = load(Path("firm.yaml"))
    [finding] = [
        each for each in examination(business.model_copy(update={"name": "bakery"})) if each.what == "warehouse"
    ]
    assert not finding.is_well
    assert "the business file firm.yaml publishes to it" in finding.found


@pytest.mark.parametrize(("is_damaged", "code"), [(False, 0), (True, 1)])
def test_the_command_line_ends_with_1_where_something_is_wrong(firm, capsys, monkeypatch, is_damaged, code):
    if is_damaged:
        next(Path("state/landed/shop").glob("*.parquet")).unlink()
    for options in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["rapport", "doctor", "--config", "firm.yaml", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
        said = capsys.readouterr().out
        if options:
            assert [each["what"] for each in json.loads(said)] == PARTS
        else:
            assert ("look landed: " in said) == is_damaged
            assert "ok versions: " in said
