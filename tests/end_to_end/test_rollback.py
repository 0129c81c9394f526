"""`rapport rollback`: what readers see again, what the next nights go on from, and what cannot be gone back to."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from config.errors import Busy, ChangeHeld, ConfigurationError, WarehouseError
from config.settings import Business, load
from flows.backfill import new_backfill, replay
from flows.compare import compare
from flows.history import published_hashes
from flows.postgres_warehouse import up_to_date
from flows.report import report
from flows.resume import owned, sealed_before
from flows.rollback import roll_back
from flows.runs import at_work, new_run, run_stages, state_held
from flows.stages import publish
from flows.warehouse import location
from tests.end_to_end.over_time import content, day, ledger, night, written
from tests.end_to_end.serving import RAPPORT
from tests.ingest import NIGHT
from tests.waiting import WAIT_SECONDS


@pytest.fixture
def firm(tmp_path, monkeypatch) -> Path:
    """A firm in the working directory."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    return tmp_path


def business() -> Business:
    return load(Path("firm.yaml"))


def nights(*numbers: int) -> list[str]:
    """Runs nights, and gives the run that published each."""
    runs = []
    for number in numbers:
        night(number)
        runs.append(ledger(location(business()).parent, "run_id")[-1][0])
    return runs


def tables(folder: Path) -> dict[str, list[tuple]]:
    """All that readers see, but the ledger."""
    return {name: rows for name, rows in content(folder).items() if name != "runs"}


def test_readers_see_again_what_the_run_published_and_the_nights_go_on_from_there(firm):
    first, _ = nights(0, 1)
    before = tables(firm)
    [second] = [run for (run,) in ledger(firm, "run_id") if run != first]
    nights(2, 3)
    after = tables(firm)
    found = roll_back(business(), second)
    assert tables(firm) == before
    assert (found.to, found.as_of, found.taken_back) == (second, day(1), (day(2), day(3)))
    assert found.verdicts == len(before["account_segments"])
    assert ledger(firm, "run_id, as_of, rolled_back_to")[-1] == (found.run_id, day(1), second)
    assert list(published_hashes(firm / "warehouse.duckdb")) == [day(0), day(1)]
    # the nights come again as if those taken back had not been, and say that they go on from the day
    nights(2, 3)
    assert tables(firm) == after
    assert ledger(firm, "as_of, continues_run_id")[-2][1] == found.run_id


def test_a_day_that_was_left_out_after_it_goes_on_from_the_day_rolled_back_to(firm):
    _, second, _ = nights(0, 1, 2)
    roll_back(business(), second)
    run = new_run(business(), as_of=day(3))
    with at_work(run):
        list(run_stages(run, announce=lambda _: None))
        assert report(run, "").changed_since == day(1)
    never = firm / "never"
    written(never)
    for number in (0, 1, 3):
        subprocess.run(
            [RAPPORT, "run", "--config", "firm.yaml", "--as-of", str(day(number))],
            cwd=never,
            check=True,
            timeout=WAIT_SECONDS,
        )
    assert tables(firm) == tables(never)
    assert ledger(firm, "as_of, changed_accounts")[-1] == ledger(never, "as_of, changed_accounts")[-1]


def test_of_two_runs_of_a_day_the_first_can_be_gone_back_to_and_the_second_again(firm):
    nights(0)
    [first] = nights(1)
    before = tables(firm)
    ruler = (firm / "quick.yaml").read_text()
    (firm / "quick.yaml").write_text(ruler.replace("quick-1", "quick-2").replace("base: 0", "base: -3"))
    [second] = nights(1)
    after = tables(firm)
    assert after["account_segments"] != before["account_segments"]
    assert roll_back(business(), first).taken_back == ()
    assert tables(firm) == before
    roll_back(business(), second)
    assert tables(firm) == after


def test_a_later_day_can_be_gone_forward_to_again(firm):
    first, second = nights(0, 1)
    after = tables(firm)
    roll_back(business(), first)
    assert roll_back(business(), second).taken_back == ()
    assert tables(firm) == after


def test_a_run_of_another_past_is_refused_until_that_is_gone_back_to(firm):
    first, second = nights(0, 1)
    after = tables(firm)
    roll_back(business(), first)
    before = tables(firm)
    told = json.loads((firm / "firm.yaml").read_text())
    told["scoring"] = "other.yaml"
    (firm / "other.yaml").write_text(
        (firm / "quick.yaml").read_text().replace("quick-1", "quick-2").replace("base: 0", "base: -3")
    )
    (firm / "firm.yaml").write_text(json.dumps(told))
    nights(0)
    assert tables(firm) != before
    before = tables(firm)
    with pytest.raises(ConfigurationError) as refused:
        roll_back(business(), second)
    assert str(refused.value) == (
        f"run {second} goes on from run {first} (as of {day(0)}), which is not what is published of the days before {day(1)}. "
        f"rapport backfill --from {day(1)} --until {day(1)}, with the same --config, computes its day anew, and those after it. "
        f"Nothing was changed. Runs to go back to: {first} (as of {day(0)})."
    )
    assert tables(firm) == before
    roll_back(business(), first)
    roll_back(business(), second)
    assert tables(firm) == after


def test_what_was_rolled_back_to_is_what_readers_see_under_either_name(firm):
    first, second = nights(0, 1)
    found = roll_back(business(), first)
    for to in (first, found.run_id):
        with pytest.raises(ConfigurationError, match=rf"run {to} is what readers .* to go back to: {second} "):
            roll_back(business(), to)


def test_an_attempt_that_a_rollback_overtook_is_not_tried_again_with_what_it_sealed(firm):
    nights(0)
    attempt = owned(new_run(business(), as_of=day(2)), "a-flow-run-000000000001")
    with pytest.raises(ZeroDivisionError), at_work(attempt):
        for cost in run_stages(attempt, announce=lambda _: None):
            if cost.stage == "audit_outgoing":
                break
        publish(replace(attempt, dry_run=True))
        raise ZeroDivisionError
    again = owned(new_run(business(), as_of=day(2)), "a-flow-run-000000000001")
    assert sealed_before(again) == replace(again, run_id=attempt.run_id)
    first, _ = *ledger(firm, "run_id")[0], nights(1)
    assert sealed_before(again) == replace(again, run_id=attempt.run_id)
    roll_back(business(), first)
    assert sealed_before(again) is None


def test_runs_that_cannot_be_gone_back_to_are_told_with_those_that_can(firm):
    with pytest.raises(WarehouseError, match="nothing was published yet"):
        roll_back(business(), "any")
    runs = nights(0, 1, 2, 3)
    before = content(firm)
    for to, told in (
        (runs[3], f"run {runs[3]} is what readers of warehouse.duckdb see."),
        (
            runs[0],
            f"the package of run {runs[0]} is not kept here. rapport backfill --from {day(0)} --until {day(0)}, with the same "
            "--config, computes its day anew, and those after it.",
        ),
        ("20250101T000000-abcdef", "no run 20250101T000000-abcdef published to warehouse.duckdb."),
        ("../runs", "no run ../runs published to warehouse.duckdb."),
    ):
        with pytest.raises(ConfigurationError) as refused:
            roll_back(business(), to)
        assert str(refused.value) == (
            f"{told} Nothing was changed. Runs to go back to: {runs[2]} (as of {day(2)}), {runs[1]} (as of {day(1)})."
        )
    assert content(firm) == before


def test_what_publishes_nothing_takes_no_package_away(firm):
    first, _ = nights(0, 1)
    compare(business(), Path("scoring/mixed.yaml"))
    told = json.loads((firm / "firm.yaml").read_text()) | {"gates": {"changed_share": 0, "changed_times_usual": 1}}
    (firm / "held.yaml").write_text(json.dumps(told | {"scoring": "other.yaml"}))
    (firm / "other.yaml").write_text((firm / "quick.yaml").read_text().replace("base: 0", "base: -9"))
    held = load(firm / "held.yaml").model_copy(update={"name": "firm"})
    with pytest.raises(ChangeHeld):
        list(replay(new_backfill(held, day(-2), day(1), "day")))
    for _ in range(3):
        night(1)
        night(2, dry_run=True)
    assert len(list(firm.glob("state/runs/*"))) == 3 + 2
    assert roll_back(business(), first).as_of == day(0)
    assert len(list(firm.glob("state/runs/*"))) == 3 + 2


def test_what_was_rolled_back_to_is_kept_as_what_was_published_last(firm):
    [first] = nights(0)
    before = tables(firm)
    nights(1, 2)
    roll_back(business(), first)
    nights(1)
    roll_back(business(), first)
    assert tables(firm) == before


def test_what_a_backfill_published_is_kept_and_so_is_what_a_killed_run_did_not_mark(firm):
    list(replay(new_backfill(business(), day(0), day(2), "day")))
    replayed = [run for (run,) in ledger(firm, "run_id")]
    marks = {mark.parent.name: mark for mark in firm.glob("state/runs/*/published")}
    assert [*sorted(marks)] == replayed
    marks[replayed[-1]].unlink()
    assert night(2).startswith("nothing changed")
    for _ in range(3):
        night(3, dry_run=True)
    nights(3)
    assert roll_back(business(), replayed[-1]).as_of == day(2)


def test_what_a_dry_run_sealed_was_never_published(firm):
    nights(0)
    night(1, dry_run=True)
    sealed = max(folder.name for folder in firm.glob("state/runs/*"))
    assert (firm / "state/runs" / sealed / "package").exists()
    with pytest.raises(ConfigurationError, match=f"no run {sealed} published to"):
        roll_back(business(), sealed)


def test_a_package_that_was_changed_is_refused_and_readers_see_no_change(firm):
    first, _ = nights(0, 1)
    before = content(firm)
    file = firm / "state/runs" / first / "package/account_segments.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(WarehouseError, match="is not what was sealed, its sha256 is another"):
        roll_back(business(), first)
    assert content(firm) == before


def test_while_a_run_is_at_work_nothing_is_rolled_back(firm):
    first, _ = nights(0, 1)
    before = content(firm)
    with state_held(business(), "another", NIGHT, 0), pytest.raises(Busy, match="another run holds the state of"):
        roll_back(business(), first)
    assert content(firm) == before


def test_the_command_tells_what_readers_see(firm):
    first, _ = nights(0, 1)
    verdicts = len(content(firm)["account_segments"])
    told = subprocess.run(
        [RAPPORT, "rollback", "--to", first, "--config", "firm.yaml"],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert told.returncode == 0, told.stderr
    words = " ".join(told.stdout.split())
    assert words.startswith(
        f"{verdicts} verdicts of run {first}, as of {day(0)}, are live in warehouse.duckdb. Taken back: {day(1)}."
    )
    assert words.endswith(f"The next run goes on from {day(0)}.")


def test_a_warehouse_in_postgres_goes_back_and_on_as_a_file_does(postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, warehouse=postgres.connection)

    def seen(state: str) -> dict[str, list[tuple]]:
        return tables(up_to_date(business().model_copy(update={"state": Path(state)})).parent)

    def published() -> list[tuple[str, date]]:
        return postgres.rows("select run_id, as_of from rapport.runs order by published_at")

    night(0)
    [(first, _)] = published()
    before = seen("one")
    night(1)
    after = seen("two")
    # the second machine has what is to be taken back
    shutil.copytree("two", "other")
    roll_back(business(), first)
    assert seen("three") == before
    assert seen("other") == before
    night(1)
    assert seen("other") == after
    assert [as_of for _, as_of in published()] == [day(0), day(1), day(0), day(1)]
