"""What lasts between nights: made anew where it does not fit, left alone by a run of the past."""

import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from config.errors import Busy, ConfigurationError, SourceError
from flows import duck, machine, state
from flows.runs import at_work, require_state
from flows.stages import KEPT_RUNS, check_incoming, conform_rows, extract
from flows.state import FILE, WORK, connected
from tests.flows.test_nights import STAGES, assert_same, outcome, rebuilt, run_of, sources, write
from tests.rows import engagement, order

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
DAY = date(2025, 1, 10)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A firm after its first night."""
    deliver(tmp_path, 0)
    outcome(run_of(sources(tmp_path), DAY))
    return tmp_path


def deliver(folder: Path, number: int) -> None:
    on = DAY + timedelta(days=number)
    write(folder, "orders", f"{number}", [order(on, order_id=f"o{number}", account_id="AB"[number % 2], line="law")])
    write(folder, "engagements", f"{number}", [engagement(on, event_id=f"e{number}", account_id="A", line="law")])


def checked(run) -> str:
    extract(run)
    return check_incoming(run)


def test_a_night_reads_the_new_rows_alone(folder):
    deliver(folder, 1)
    assert checked(run_of(sources(folder), DAY)) == "1 orders, 1 engagements read, 0 orders, 0 engagements unfit"


def test_a_night_without_anything_new_reads_nothing_and_makes_the_same(folder):
    run = run_of(sources(folder), DAY)
    found = outcome(run)
    assert checked(run_of(sources(folder), DAY)) == "0 orders, 0 engagements read, 0 orders, 0 engagements unfit"
    assert_same(found, rebuilt(run))


def test_a_state_that_cannot_be_read_is_made_anew(folder):
    deliver(folder, 1)
    (folder / "state" / FILE).write_bytes(b"no database")
    run = run_of(sources(folder), DAY + timedelta(days=1))
    assert checked(run).endswith("the state is made anew: it could not be read")
    assert_same(outcome(run), rebuilt(run))


def test_a_state_that_another_program_has_open_is_told_and_kept(folder):
    deliver(folder, 1)
    for _, con in duck._idle.values():
        con.close()
    duck._idle.clear()
    look = "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", look, str(folder / "state" / FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as looking:
        assert looking.stdout
        looking.stdout.readline()
        with pytest.raises(Busy, match=r"state.duckdb: another program has it open\. Nothing was changed\."):
            checked(run_of(sources(folder), DAY))
        looking.communicate()
    assert checked(run_of(sources(folder), DAY)) == "1 orders, 1 engagements read, 0 orders, 0 engagements unfit"


def test_a_log_that_an_old_state_left_does_not_spoil_the_new_one(folder):
    (folder / "state" / FILE).unlink()
    (folder / "state" / f"{FILE}.wal").write_bytes(b"of another file")
    run = run_of(sources(folder), DAY)
    assert_same(outcome(run), rebuilt(run))


def test_a_landed_file_that_is_gone_is_told_where_the_state_is_made_anew(folder):
    (folder / "state" / FILE).unlink()
    next((folder / "state/landed/orders").glob("*.parquet")).unlink()
    with pytest.raises(SourceError, match="is damaged or gone, as are 1 batches in all"):
        checked(run_of(sources(folder), DAY))


@pytest.mark.parametrize("change", [{"timezone": "Asia/Tokyo"}, {"currency": "EUR"}])
def test_another_zone_or_currency_makes_the_state_anew(folder, change):
    run = run_of(sources(folder).model_copy(update=change), DAY)
    assert "the state is made anew: the configuration" in checked(run)


def test_another_mapping_makes_the_state_anew(folder):
    business = sources(folder)
    mapped = business.sources.orders[0]
    other = mapped.model_copy(update={"columns": mapped.columns | {"handler": "channel"}})
    changed = business.sources.model_copy(update={"orders": (other,)})
    run = run_of(business.model_copy(update={"sources": changed}), DAY)
    assert "the state is made anew: the configuration" in checked(run)


@pytest.mark.parametrize("name", ["flows/ledger.py", "transforms/purchase_models/fits.py"])
def test_another_version_of_the_code_that_makes_the_state_makes_it_anew(folder, monkeypatch, name):
    changed = folder / "changed.py"
    changed.write_text(f"{(ROOT / name).read_text()}# another")
    monkeypatch.setattr(state, "MADE_BY", [str(changed) if each == name else each for each in state.MADE_BY])
    assert "the state is made anew: the configuration" in checked(run_of(sources(folder), DAY))


def test_another_statement_makes_the_state_anew(folder, monkeypatch):
    statements = Path(shutil.copytree(ROOT / "sql", folder / "sql"))
    with (statements / "ledger/order_days.sql").open("a") as file:
        file.write("-- another")
    monkeypatch.setattr(state, "files", lambda package: folder / package)
    assert "the state is made anew: the configuration" in checked(run_of(sources(folder), DAY))


def test_a_run_of_what_was_known_then_leaves_the_state_alone(folder):
    with duckdb.connect(folder / "state" / FILE) as con:
        known_at = con.execute("select max(delivered_at) from checked_orders").fetchall()[0][0]
    deliver(folder, 1)
    later = outcome(run_of(sources(folder), DAY + timedelta(days=1)))
    content = (folder / "state" / FILE).read_bytes()
    then = run_of(sources(folder), DAY + timedelta(days=1), known_at=known_at)
    found = outcome(then, STAGES[1:])
    assert [row[0] for row in found["account_lines"]] == ["A"]
    assert (folder / "state" / FILE).read_bytes() == content
    assert_same(outcome(run_of(sources(folder), DAY + timedelta(days=1))), later)


def test_too_little_room_is_told_before_anything_is_filled(folder, monkeypatch):
    (folder / "state" / FILE).unlink()
    needed = machine.shutil.disk_usage(folder).free + 1
    with pytest.raises(ConfigurationError, match="MiB are free on this disk, and a state may take") as told:
        machine.require_room(folder, needed, "a state")
    assert str(told.value).endswith("Nothing was published. Make room, or give `state` another place.")


def test_a_day_without_any_row_makes_nothing(folder):
    with pytest.raises(SourceError, match="there is no order and no event up to 2024-12-31"):
        outcome(run_of(sources(folder), date(2024, 12, 31)))
    run = run_of(sources(folder), DAY)
    assert_same(outcome(run), rebuilt(run))


def test_a_disk_that_is_full_is_told_with_its_place(folder):
    run = run_of(sources(folder), DAY)
    checked(run)
    told = r"/state: what a run works with cannot be kept there \(.*No space left on device\)\. Nothing was published\."
    with pytest.raises(SourceError, match=told), connected(run.business, run.folder):
        raise OSError(28, "No space left on device")
    assert conform_rows(run)


def test_what_cannot_be_opened_or_closed_on_the_disk_is_told_with_its_place(folder):
    run = run_of(sources(folder), DAY)
    checked(run)
    told = r"/state: what a run works with cannot be kept there \("
    (run.folder / WORK).rename(run.folder / "aside")
    (run.folder / WORK).mkdir()
    with pytest.raises(SourceError, match=told), connected(run.business, run.folder):
        pass


def test_too_little_memory_is_told_with_how_to_give_more(folder, monkeypatch):
    run = run_of(sources(folder), DAY)
    checked(run)
    monkeypatch.setenv("RAPPORT_MEMORY", "20MB")
    told = rf"{run.business.business}: DuckDB has too little memory \(.*\)\. Nothing was published\. Give it more by --memory"
    with pytest.raises(SourceError, match=told), connected(run.business, run.folder) as con:
        con.execute("select list(number) from range(10_000_000) as numbers (number)")


def test_working_data_of_runs_that_failed_does_not_pile_up(folder):
    for _ in range(KEPT_RUNS + 3):
        run = run_of(sources(folder), DAY)
        with pytest.raises(ZeroDivisionError), at_work(run):
            run.folder.mkdir(parents=True)
            raise ZeroDivisionError
    assert len(list((folder / "state/runs").iterdir())) == KEPT_RUNS + 1


def test_a_state_that_is_a_link_to_nowhere_is_refused(folder):
    business = sources(folder).model_copy(update={"state": folder / "link"})
    business.state.symlink_to(folder / "not mounted")
    with pytest.raises(ConfigurationError, match="not mounted is no directory, or cannot be written"):
        require_state(business)


def test_a_state_of_another_business_is_refused(folder):
    business = sources(folder)
    with at_work(run_of(business, DAY)):
        pass
    other = business.model_copy(update={"name": "other"})
    elsewhere = business.model_copy(update={"business": "Another firm, its file of the same name"})
    told = rf"/state: it is that of {business.business}, the business file {business.name}\.yaml\. Nothing was changed\. Give each "
    for each in (other, elsewhere):
        with pytest.raises(ConfigurationError, match=told), at_work(run_of(each, DAY)):
            pass
    (folder / "state/business").unlink()
    with at_work(run_of(other, DAY)):
        pass
