"""A business whose warehouse is in Postgres: its nights, backfills and commands, from more than one machine, and killed."""

import os
import shutil
import signal
import subprocess
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import WarehouseError
from config.settings import load
from flows.backfill import new_backfill, replay
from flows.compare import compare
from flows.doctor import examination
from flows.explain import explanation
from flows.forgetting import forget
from flows.postgres_warehouse import up_to_date
from flows.resume import owned, sealed_before
from flows.runs import at_work, new_run, run_stages
from tests.end_to_end.over_time import content, day, night, nights, orders, written
from tests.end_to_end.serving import RAPPORT
from tests.postgres import PASSWORD, Database
from tests.waiting import WAIT_SECONDS, until

NIGHTS = 5


@pytest.fixture(scope="module")
def by_nights(tmp_path_factory) -> dict[str, list[tuple]]:
    """What the nights give in a DuckDB file."""
    return content(nights(tmp_path_factory.mktemp("nights"), NIGHTS))


@pytest.fixture
def firm(postgres, tmp_path, monkeypatch) -> Database:
    """A firm in the working directory that publishes to the database."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, warehouse=postgres.connection)
    return postgres


def in_postgres(state: str = "looked-at") -> dict[str, list[tuple]]:
    """All that readers of the database see, by way of a machine that has nothing of it yet."""
    business = load(Path("firm.yaml")).model_copy(update={"state": Path(state)})
    return content(up_to_date(business).parent)


def rapport(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RAPPORT, *arguments], capture_output=True, text=True, timeout=WAIT_SECONDS)


def test_nights_give_in_postgres_what_they_give_in_a_file(firm, by_nights):
    for number in range(NIGHTS):
        night(number)
    assert in_postgres() == by_nights


def test_nights_go_on_after_the_state_was_lost(firm, by_nights):
    for number in range(NIGHTS):
        if number == 3:
            shutil.rmtree("state")
        night(number)
    assert in_postgres() == by_nights


def test_a_backfill_becomes_visible_as_a_whole(firm, by_nights):
    night(0)
    days = replay(new_backfill(load(Path("firm.yaml")), day(0), day(NIGHTS - 1), "day"))
    next(days)
    next(days)
    assert firm.rows("select distinct as_of from rapport.segment_summary") == [(day(0),)]
    assert [each.as_of for each in days] == [day(number) for number in range(2, NIGHTS)]
    assert in_postgres() == by_nights


def test_a_backfill_that_changes_nothing_does_so_and_one_that_postgres_missed_is_brought_by_the_next(firm):
    night(0)
    night(1)
    before = firm.rows("select run_id from rapport.runs order by published_at")
    list(replay(new_backfill(load(Path("firm.yaml")), day(0), day(1), "day")))
    assert firm.rows("select run_id from rapport.runs order by published_at") == before
    firm.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$",
        "create trigger refuse before insert on rapport.runs execute function public.refuse()",
    )
    again = new_backfill(load(Path("firm.yaml")), day(0), day(3), "day")
    with pytest.raises(WarehouseError, match="not now"):
        list(replay(again))
    firm.execute("drop trigger refuse on rapport.runs")
    list(replay(again))
    assert [row[0] for row in in_postgres()["runs"]] == [day(number) for number in range(4)]


def test_a_dry_run_goes_on_from_it_and_leaves_it_alone(firm):
    night(0)
    shutil.rmtree("state")
    before = in_postgres()
    assert night(1, dry_run=True) == "dry run: nothing was published"
    assert in_postgres("once more") == before
    assert len(content(Path("state"))["runs"]) == 1


def test_the_commands_that_read_it_need_no_state(firm):
    night(0)
    business = load(Path("firm.yaml"))
    here = explanation(business, "A1", None)
    shutil.rmtree("state")
    assert explanation(business, "A1", None) == here
    found = compare(business, Path("quick.yaml"))
    assert (found.as_of, found.movers.height) == (day(0), 0)


def test_the_command_line_says_where_the_tables_are_and_keeps_the_password_to_itself(firm, tmp_path):
    ended = rapport("run", "--config", "firm.yaml", "--as-of", str(day(0)))
    assert ended.returncode == 0, ended.stderr
    assert f"Tables: schema rapport in postgres {firm.name} on 127.0.0.1, port {firm.port}" in ended.stdout
    assert len(in_postgres()["runs"]) == 1
    written_files = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()]
    assert not any(PASSWORD[:7] in said for said in (ended.stdout, ended.stderr))
    assert not any(PASSWORD[:7].encode() in content for content in written_files)


def test_what_the_database_missed_comes_with_the_same_command(firm):
    night(0)
    before = in_postgres()
    firm.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$",
        "create trigger refuse before insert on rapport.runs execute function public.refuse()",
    )
    with pytest.raises(WarehouseError, match="not now"):
        night(1)
    assert in_postgres("meanwhile") == before
    *_, there, here = examination(load(Path("firm.yaml")))
    assert (there.is_well, here.is_well) == (True, False)
    assert f"as of {day(0)}, by run " in there.found
    assert here.found.startswith(f"state/warehouse.duckdb is not level with it, as of {day(1)}, by run ")
    firm.execute("drop trigger refuse on rapport.runs")
    did = night(1)
    assert did.startswith("nothing changed: run ")
    assert did.endswith(f"postgres {firm.name} on 127.0.0.1, port {firm.port} had missed it, and has it now")
    assert [row[0] for row in in_postgres("after")["runs"]] == [day(0), day(1)]


def test_an_attempt_that_another_machine_overtook_is_not_tried_again_with_what_it_sealed(firm):
    night(0)
    business = load(Path("firm.yaml"))
    firm.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$",
        "create trigger refuse before insert on rapport.runs execute function public.refuse()",
    )
    first = owned(new_run(business, as_of=day(1)), "a-flow-run-000000000001")
    with pytest.raises(WarehouseError), at_work(first):
        list(run_stages(first, announce=lambda _: None))
    again = owned(new_run(business, as_of=day(1)), "a-flow-run-000000000001")
    assert sealed_before(again) == replace(again, run_id=first.run_id)
    firm.execute("drop trigger refuse on rapport.runs")
    other = new_run(business.model_copy(update={"state": Path("another")}), as_of=day(1))
    with at_work(other):
        list(run_stages(other, announce=lambda _: None))
    assert sealed_before(again) is None
    assert night(1).startswith("nothing changed: run ")


def test_a_run_that_is_killed_while_postgres_takes_it_leaves_the_last_tables_and_the_same_command_ends_it(firm):
    night(0)
    before = in_postgres()
    firm.execute(
        "create function public.nap() returns trigger language plpgsql as 'begin perform pg_sleep(3); return new; end'",
        "create trigger nap before insert on rapport.runs execute function public.nap()",
    )
    command = ["run", "--config", "firm.yaml", "--as-of", str(day(1)), "--wait", "1m"]
    running = subprocess.Popen([RAPPORT, *command])
    sleeping = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
    until(lambda: firm.rows(sleeping), "Postgres to be at work")
    os.kill(running.pid, signal.SIGKILL)
    running.wait(WAIT_SECONDS)
    assert in_postgres("after the kill") == before
    until(lambda: not firm.rows(sleeping), "Postgres to give up")
    firm.execute("drop trigger nap on rapport.runs")
    again = rapport(*command)
    assert again.returncode == 0, again.stderr
    assert [row[0] for row in in_postgres("after the end")["runs"]] == [day(0), day(1)]


def pages(database: Database) -> bytes:
    """All bytes of the files in which Postgres keeps the tables of the schema, with what they hold on the side."""
    database.execute("checkpoint")
    files = database.rows(
        "select pg_read_binary_file(pg_relation_filepath(files.oid)) from pg_class as class "
        "inner join pg_class as files on files.oid in (class.oid, class.reltoastrelid) "
        "where class.relnamespace = 'rapport'::regnamespace and class.relkind = 'r'"
    )
    return b"".join(content for (content,) in files)


def test_an_account_that_is_forgotten_is_erased_from_the_database_too(firm, tmp_path):
    unfit = ["A3-1,1,A3,law,2025-09-10 11:00,much,false"]
    written(tmp_path, [*orders(), *unfit], warehouse=firm.connection)
    night(0)
    night(1)
    before = in_postgres()
    assert pages(firm).count(b"A3") > 10
    erased = forget(load(Path("firm.yaml")), ["A3"])
    assert b"A3" not in pages(firm)
    after = in_postgres("after")
    for name, rows in before.items():
        kept = [row for row in rows if "A3" not in str(row)]
        assert after[name] == (kept if name != "runs" else [(*row[:1], f"{row[1]}, erased", *row[2:]) for row in rows])
    gone = {name: len(before[name]) - len(after[name]) for name in before}
    assert erased.warehouse_rows == sum(gone.values()) - gone["quarantine"] > 5
    night(2)
    never = tmp_path / "never"
    written(never, [row for row in orders() if ",A3," not in row])
    with chdir(never):
        for number in range(3):
            night(number)
    expected, found = content(never), in_postgres("later")
    for name in ("account_segments", "account_features", "account_segment_history", "quarantine"):
        assert found[name] == expected[name], name


def test_what_the_database_does_not_let_go_is_told_and_the_same_command_erases_it(firm):
    night(0)
    firm.execute(
        "create function public.keep() returns trigger language plpgsql as 'begin return null; end'",
        "create trigger keep before delete on rapport.account_segments for each row execute function public.keep()",
    )
    with pytest.raises(WarehouseError, match="it has 2 rows of them still"):
        forget(load(Path("firm.yaml")), ["A3"])
    firm.execute("drop trigger keep on rapport.account_segments")
    forget(load(Path("firm.yaml")), ["A3"])
    assert b"A3" not in pages(firm)
    night(1)
    assert "A3" not in str(in_postgres())
