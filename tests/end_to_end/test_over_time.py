"""Nights, backfills and what holds them back: the same days give the same tables, however they are run."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from importlib.resources import as_file, files
from pathlib import Path

import duckdb
import pytest
from hypothesis import settings

from config.errors import ChangeHeld, ConfigurationError, GateRefused, WarehouseError
from config.settings import load
from flows.backfill import new_backfill, replay
from flows.cli import main
from flows.compare import compare
from flows.explain import explanation
from flows.report import report
from flows.runs import at_work, new_run, run_stages
from flows.terminal import print_explanation
from flows.warehouse import live
from tests.end_to_end.over_time import (
    COLUMNS,
    DATA_FROM,
    HEADER,
    content,
    day,
    known_now,
    ledger,
    night,
    nights,
    orders,
    written,
)
from tests.ingest import csv, source
from tests.waiting import WAIT_SECONDS

# 90 nights take minutes: `pytest --hypothesis-profile=nightly` runs them all, continuous integration the first ones
pytestmark = pytest.mark.timeout(3600)

NIGHTS = 90 if settings().max_examples > 1_000 else 6


@pytest.fixture(scope="module")
def by_nights(tmp_path_factory) -> Path:
    """A folder in which every night was run."""
    return nights(tmp_path_factory.mktemp("nights"), NIGHTS)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def backfilled(first: int, last: int, **more) -> list:
    return list(replay(new_backfill(load(Path("firm.yaml")), day(first), day(last), "day", **more)))


def test_the_nights_had_something_to_tell(by_nights):
    found = content(by_nights)
    because = {row[-3] for row in found["segment_changes"]}
    assert {"first seen", "score", "first order", "orders taken back"} <= because | {"first order"}
    assert sum(1 for row in found["segment_changes"] if "moved" in row) >= 4
    assert any(row[3] for row in found["account_segment_history"]), "no period has ended"


@pytest.mark.parametrize(
    ("more", "warnings"),
    [
        ([], ()),
        (
            ["x-1,1,A1,,2025-09-01 10:00,5,false"],
            ("rows without a line count in one of their own, 'all', and for none of the 2 others",),
        ),
    ],
)
def test_rows_without_a_line_are_warned_of_where_others_have_one(folder, more, warnings):
    written(folder, [*orders(), *more])
    run = new_run(load(Path("firm.yaml")), as_of=day(0))
    with at_work(run):
        list(run_stages(run, announce=lambda _: None))
        assert report(run, "").warnings == warnings


def test_one_backfill_gives_what_the_nights_gave(by_nights, folder):
    written(folder)
    backfilled(0, NIGHTS - 1)
    assert content(folder) == content(by_nights)


@pytest.mark.parametrize("at", [1, NIGHTS - 2])
def test_a_backfill_and_then_nights_or_the_other_way_round_give_the_same(by_nights, folder, at):
    written(folder)
    if at == 1:
        night(0)
        backfilled(1, NIGHTS - 1)
    else:
        backfilled(0, at)
        night(NIGHTS - 1)
    assert content(folder) == content(by_nights)


def test_a_backfill_run_again_changes_nothing(by_nights, tmp_path, monkeypatch):
    monkeypatch.chdir(by_nights)
    before = (by_nights / "warehouse.duckdb").read_bytes()
    backfilled(NIGHTS - 3, NIGHTS - 1)
    assert (by_nights / "warehouse.duckdb").read_bytes() == before


def test_a_night_run_again_changes_nothing_and_says_so(by_nights, monkeypatch):
    monkeypatch.chdir(by_nights)
    before = (by_nights / "warehouse.duckdb").read_bytes()
    assert night(NIGHTS - 1).startswith("nothing changed: run ")
    assert (by_nights / "warehouse.duckdb").read_bytes() == before


def test_a_backfill_that_is_killed_shows_nothing_and_is_done_by_the_same_command(folder):
    written(folder)
    night(0)
    before = content(folder)
    command = ["backfill", "--from", str(day(1)), "--until", str(day(4)), "--config", "firm.yaml"]
    process = subprocess.Popen([sys.executable, "-c", "from flows.cli import main; main()", *command])
    copy, deadline = Path("state/backfill/warehouse.duckdb"), time.monotonic() + WAIT_SECONDS
    while not (copy.exists() and len(ledger_of(copy)) >= 3):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert content(folder) == before
    assert run_command(*command) == 0
    killed = content(folder)
    assert [row[0] for row in killed["runs"]] == [day(number) for number in range(5)]
    (folder / "other").mkdir()
    os.chdir(folder / "other")
    written(Path())
    backfilled(0, 4)
    assert content(Path()) == killed


def test_a_backfill_that_waited_for_a_night_replays_that_day_too(by_nights, folder):
    written(folder)
    for number in range(NIGHTS - 1):
        night(number)
    waiting = new_backfill(load(Path("firm.yaml")), day(NIGHTS - 3), day(NIGHTS - 2), "day")
    night(NIGHTS - 1)
    assert [each.as_of for each in replay(waiting)] == [day(NIGHTS - 3), day(NIGHTS - 2), day(NIGHTS - 1)]
    assert content(folder) == content(by_nights)


def ledger_of(copy: Path) -> list:
    try:
        present = live(copy)
    except Exception:
        return []
    return list(range((present["as_of"] - day(0)).days + 1)) if present else []


def run_command(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rapport", *arguments])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def test_what_is_decided_of_the_past_is_replayed_with_the_days_that_follow(folder):
    override = "overrides:\n  - {{account_id: A1, line: law, segment: {0}, from: {1}, until: {2}, author: partner, reason: agreed}}\n"
    decisions = override.format("client", day(1), day(2))
    written(folder / "from_the_start", decisions=decisions)
    os.chdir(folder / "from_the_start")
    for number in range(4):
        night(number)
    written(folder / "afterwards")
    os.chdir(folder / "afterwards")
    for number in range(4):
        night(number)
    assert content(Path()) != content(folder / "from_the_start")
    written(Path(), decisions=decisions)
    with pytest.raises(ConfigurationError, match="the last day published"):
        night(1)
    backfilled(1, 1)
    assert content(Path()) == content(folder / "from_the_start")
    told = [row for row in content(Path())["segment_changes"] if row[1:3] == ("A1", "law") and row[0] > day(0)]
    assert {row[6] for row in told} <= {"set by hand", "no longer set by hand", "score"}


def test_a_night_is_repeated_as_it_was_known_or_with_the_late_rows(folder):
    late = f"late,1,A2,law,{day(1)} 11:00,900,false"
    written(folder)
    night(1)
    then, before = known_now(), content(folder)
    csv(folder, "late.csv", HEADER, late)
    late_too = source("*.csv", COLUMNS)
    written(folder, sources={"orders": [late_too], "engagements": []})
    assert night(1).endswith("verdicts are live in warehouse.duckdb")
    with_late = content(folder)
    assert with_late != before
    assert night(1, known_at=then).endswith("verdicts are live in warehouse.duckdb")
    assert {name: rows for name, rows in content(folder).items() if name != "runs"} == {
        name: rows for name, rows in before.items() if name != "runs"
    }
    known = [known_at for (known_at,) in ledger(folder, "known_at")]
    assert known[0] < known[1] and known[2] == then


def test_a_backfill_of_what_was_known_leaves_later_days_what_came_since(folder):
    written(folder, sources={"orders": [source("*.csv", COLUMNS)], "engagements": []})
    for number in (0, 1):
        night(number)
    then = known_now()
    csv(folder, "late.csv", HEADER, f"late,1,A2,law,{day(1)} 11:00,900,false")
    night(2)
    before = content(folder)
    as_known = new_backfill(load(Path("firm.yaml")), day(0), day(1), "day", known_at=then)
    assert [each.as_of for each in replay(as_known)] == [day(0), day(1), day(2)]
    assert content(folder) == before
    backfilled(0, 1)
    assert content(folder) != before


def test_too_much_change_is_held_until_somebody_says_why(folder, capsys):
    gates = {"changed_share": 0.05}
    written(folder, gates=gates)
    night(0)
    before = content(folder)
    (folder / "quick.yaml").write_text(
        (folder / "quick.yaml").read_text().replace("enter: 60", "enter: 99").replace("base: 0", "base: -3")
    )
    ruler = (folder / "quick.yaml").read_text().replace("leave_days: 3, dwell_days: 5", "leave_days: 1, dwell_days: 0")
    (folder / "quick.yaml").write_text(ruler)
    with pytest.raises(ChangeHeld) as held:
        night(1)
    assert "accounts (" in str(held.value)
    assert "would change segment; the limit is 5.00%" in str(held.value)
    assert "Nothing was published; the tables of the last run stand." in str(held.value)
    assert content(folder) == before
    assert night(1, dry_run=True) == "dry run: nothing was published"
    assert content(folder) == before
    night(1, accept_change="a stricter ruler")
    (_, first), (share, accepted) = ledger(folder, "changed_share, accepted_change")
    assert first is None
    assert (accepted, share > 0.05) == ("a stricter ruler", True)


def test_a_backfill_is_held_by_what_its_last_day_would_change(folder):
    written(folder, gates={"changed_share": 0.05})
    night(0)
    night(1, accept_change="quick accounts")
    before = content(folder)
    stricter = (folder / "quick.yaml").read_text().replace("base: 0", "base: -9")
    (folder / "quick.yaml").write_text(stricter)
    with pytest.raises(ChangeHeld, match="would change segment"):
        backfilled(0, 1)
    assert content(folder) == before
    backfilled(0, 1, accept_change="a stricter ruler")
    assert content(folder) != before


def test_mistakes_are_told_and_change_nothing(folder, capsys):
    written(folder)
    night(1)
    before = (folder / "warehouse.duckdb").read_bytes()
    ahead = new_run(load(Path("firm.yaml"))).started_at.date() + timedelta(days=30)
    for arguments, sentence in (
        (["backfill", "--from", "2025-10-05", "--until", "2025-10-01"], "from: 2025-10-05 is after until, 2025-10-01."),
        (["backfill", "--from", "2025-10-05", "--until", str(ahead)], f"until: {ahead} lies in the future"),
        (["run", "--as-of", str(ahead)], f"as_of: {ahead} lies in the future"),
        (["run", "--as-of", str(day(0))], f"as_of: {day(0)} lies before {day(1)}, the last day published."),
    ):
        assert run_command(*arguments, "--config", "firm.yaml") == 2
        assert sentence in capsys.readouterr().err
    assert run_command("backfill", "--from", "2025-01-01", "--until", "2025-01-02", "--config", "firm.yaml") == 4
    assert "there is no order and no event up to 2025-01-01" in capsys.readouterr().err
    assert (folder / "warehouse.duckdb").read_bytes() == before


def test_an_override_of_nobody_is_refused_and_an_expired_one_is_not(folder, capsys):
    row = "  - {{account_id: {0}, segment: client, from: 2025-09-01, until: {1}, author: partner, reason: agreed}}\n"
    written(folder, decisions="overrides:\n" + row.format("A99", "2025-12-31") + row.format("Nobody", "2025-12-31"))
    assert run_command("run", "--as-of", str(day(1)), "--config", "firm.yaml") == 2
    assert (
        f"decisions.yaml: 2 overrides in force on {day(1)} are for accounts or lines without an order or an event up to then: "
        "'A99', 'Nobody'. Nothing was published."
    ) in capsys.readouterr().err
    assert not (folder / "warehouse.duckdb").exists()
    written(folder, decisions="overrides:\n" + row.format("A99", "2025-09-02"))
    assert night(1).endswith("verdicts are live in warehouse.duckdb")


def test_a_merge_of_accounts_without_rows_is_told_every_night(folder, capsys):
    row = "  - {{account_id: {}, into: {}, from: 2025-09-01, author: accounts, reason: the same company}}\n"
    told = "merges: 2 of the 4 accounts named have no row of their own: 'A1O', 'A99'; are they spelt right?"
    written(folder, decisions="merges:\n" + row.format("A2", "A1O") + row.format("A99", "A3"))
    for number in (1, 2):
        assert (
            run_command("run", "--as-of", str(day(number)), "--config", "firm.yaml", "--accept-change", "a test") == 0
        )
        assert told in " ".join(capsys.readouterr().out.split())
    csv(folder, "orders.csv", HEADER, *orders(), f"99-1,1,A99,law,{day(2)} 10:00,50,false")
    for number in (3, 4):
        assert (
            run_command("run", "--as-of", str(day(number)), "--config", "firm.yaml", "--accept-change", "a test") == 0
        )
        assert "merges: 1 of the 4 accounts named have no row of their own: 'A1O'" in " ".join(
            capsys.readouterr().out.split()
        )
    written(folder, decisions="merges:\n" + row.format("A2", "A10"))
    assert run_command("run", "--as-of", str(day(5)), "--config", "firm.yaml", "--accept-change", "a test") == 0
    assert "merges" not in capsys.readouterr().out


def test_the_report_of_a_run_asks_nothing_of_the_warehouse(folder):
    written(folder)
    night(0)
    run = new_run(load(Path("firm.yaml")), as_of=day(2))
    with at_work(run):
        *_, last = run_stages(run, announce=lambda _: None)
        Path("warehouse.duckdb").rename("elsewhere.duckdb")
        found = report(run, last.did)
    assert found.changed_since == day(0)


def test_merged_accounts_are_one_from_the_day_of_the_merge_on(folder):
    merge = f"merges:\n  - {{account_id: A2, into: A1, from: {day(1)}, author: accounts, reason: the same company}}\n"
    written(folder, decisions=merge)
    night(0)
    night(1)
    found = content(folder)
    told = [row[1:7] for row in found["segment_changes"] if row[0] == day(1) and row[1] == "A2"]
    assert {(account, change, segment, because) for account, _, change, segment, _, because in told} == {
        ("A2", "left", None, "accounts merged")
    }
    assert "A2" not in {row[0] for row in found["account_segments"]}
    ours = [row.split(",") for row in orders() if row.split(",")[2] in ("A1", "A2")]
    expected = sum(int(row[5]) for row in ours if row[4][:10] <= str(day(1)))
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as con:
        revenue = con.execute(
            "select revenue_12m from rapport.account_segments where account_id = 'A1' and line = '*'"
        ).fetchall()
    assert revenue == [(expected,)]


def test_a_merge_that_is_decided_late_is_a_fact_all_the_same(folder):
    written(folder)
    for number in (0, 1):
        night(number)
    merge = f"merges:\n  - {{account_id: A6, into: A5, from: {day(0)}, author: accounts, reason: the same company}}\n"
    written(folder, decisions=merge)
    night(2)
    told = [row[1:7] for row in content(folder)["segment_changes"] if row[0] == day(2)]
    assert ("A5", "*", "moved", "client", "customer", "accounts merged") in told
    with pytest.raises(
        ConfigurationError, match=rf"^account 'A6' counts as 'A5' since {day(0)}, by a merge in .*decisions"
    ):
        explanation(load(Path("firm.yaml")), "A6", None)


def test_comparing_says_who_would_move_and_by_what_and_publishes_nothing(folder):
    written(folder)
    night(0)
    before = (folder / "warehouse.duckdb").read_bytes()
    (folder / "kinder.yaml").write_text((folder / "quick.yaml").read_text().replace("base: 0", "base: 9"))
    found = compare(load(Path("firm.yaml")), Path("kinder.yaml"))
    assert found.as_of == day(0)
    assert set(found.movers["segment"]) == {"customer"}
    assert set(found.movers["segment_then"]) == {"client"}
    assert set(found.movers["moved_by"]) == {"base"}
    assert found.moves["accounts"].sum() == found.movers.height > 0
    assert (found.movers["score_then"] > found.movers["score"]).all()
    same = compare(load(Path("firm.yaml")), Path("quick.yaml"))
    assert (same.movers.height, same.moves.height) == (0, 0)
    assert (folder / "warehouse.duckdb").read_bytes() == before


def test_comparing_finds_the_bundled_rulers(folder):
    written(folder)
    night(0)
    business = load(Path("firm.yaml"))
    found = compare(business, Path("scoring/retail.yaml"))
    assert found.movers.height > 0
    with as_file(files("config") / "scoring/retail.yaml") as file:
        assert found.movers.equals(compare(business, file).movers)
    (folder / "scoring").mkdir()
    (folder / "scoring/retail.yaml").write_text((folder / "quick.yaml").read_text())
    assert compare(business, Path("scoring/retail.yaml")).movers.is_empty()


def test_a_ruler_that_was_changed_and_not_its_version_explains_nothing(folder):
    written(folder)
    night(0)
    assert len(explanation(load(Path("firm.yaml")), "A1", None)) == 2
    (folder / "quick.yaml").write_text((folder / "quick.yaml").read_text().replace("weight: 0.4", "weight: 0.5"))
    with pytest.raises(WarehouseError, match=r"by another ruler quick-1 than this one\. Nothing can be explained"):
        explanation(load(Path("firm.yaml")), "A1", None)


def test_an_account_that_is_not_there_may_be_one_that_is_called_nearly_so(folder):
    written(folder)
    night(0)
    with pytest.raises(ConfigurationError, match=r"there is no account 'A11' in .*\. Did you mean 'A1'\?$"):
        explanation(load(Path("firm.yaml")), "A11", None)
    with pytest.raises(ConfigurationError, match=r"there is no account 'B-77' in .*warehouse\.duckdb\.$"):
        explanation(load(Path("firm.yaml")), "B-77", None)


def test_an_account_that_two_lines_keep_a_client_is_explained_by_the_leading_one(folder, capsys):
    bought = [
        f"{line}-{number},1,A1,{line},{DATA_FROM + timedelta(days=number)} 10:00,50,false"
        for line, every in (("law", 2), ("shop", 3))
        for number in range(0, (day(1) - DATA_FROM).days, every)
    ]
    written(folder, bought)
    night(0)
    found = {each.line: each for each in explanation(load(Path("firm.yaml")), "A1", None)}
    assert {each.segment for each in found.values()} == {"client"}
    assert found["*"].leading_line == "law"
    assert found["*"].parts == found["law"].parts != found["shop"].parts
    assert found["*"].reasons == found["law"].reasons + " By its line shop it would stay a client."
    assert [each.leading_line for each in found.values()] == ["law", "law", "shop"]
    print_explanation(list(found.values()), as_json=False)
    assert capsys.readouterr().out.count("By its line shop it would stay a client.") == 1


def test_the_reasons_of_a_line_are_not_told_again_of_the_account_as_a_whole(folder, capsys):
    written(folder)
    night(0)
    found = explanation(load(Path("firm.yaml")), "A1", None)
    print_explanation(found, as_json=False)
    both = capsys.readouterr().out
    assert [both.count(text) for text in ("as a whole (by its line ", "For client: ", "base of the ruler")] == [1, 1, 1]
    print_explanation([each for each in found if each.line == "*"], as_json=False)
    assert capsys.readouterr().out.count("For client: ") == 1


def test_comparing_with_other_merges_judges_the_accounts_as_those_merge_them(folder):
    merge = f"merges:\n  - {{account_id: A2, into: A1, from: {day(0)}, author: accounts, reason: the same company}}\n"
    written(folder, decisions=merge)
    merging = (folder / "firm.yaml").read_text()
    written(folder)
    night(0)
    (folder / "other.yaml").write_text(merging)
    found = compare(load(Path("firm.yaml")), Path("other.yaml"))
    assert [row["account_id"] for row in found.movers.to_dicts() if row["segment_then"] is None] == ["A2"]


def test_comparing_with_other_sources_tells_the_accounts_that_would_not_be_there(folder):
    written(folder)
    night(0)
    refused = [row.replace(",A2,", ",Z,") if ",A2," in row else f"x{row.replace(',A', ',,A')}" for row in orders()]
    csv(folder, "unfit.csv", HEADER, *refused)
    csv(folder, "fewer.csv", HEADER, *(row for row in orders() if ",A1," not in row))
    firm = (folder / "firm.yaml").read_text()
    (folder / "other.yaml").write_text(firm.replace("orders.csv", "unfit.csv"))
    with pytest.raises(GateRefused):
        compare(load(Path("firm.yaml")), Path("other.yaml"))
    (folder / "other.yaml").write_text(firm.replace("orders.csv", "fewer.csv"))
    found = compare(load(Path("firm.yaml")), Path("other.yaml"))
    assert found.movers.select("account_id", "segment_then", "moved_by").rows() == [("A1", None, "rules")]
    assert not Path("state/compare").exists()
