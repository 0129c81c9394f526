"""A warehouse in a real Postgres: what its readers see, what a lost or overtaken state does, and what is said when it fails."""

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from config.errors import Busy, ConfigurationError, WarehouseError
from config.settings import Business
from config.tables import KEYS, PUBLISHED
from flows.check import Checked, checks
from flows.postgres import Purpose, asked, connected
from flows.postgres_warehouse import (
    _require_same,
    bring_level,
    published,
    require_writable,
    up_to_date,
)
from flows.publishing import publish
from flows.warehouse import live, location, opened
from tests.ingest import firm, source
from tests.packages import AS_OF, SEEN, sealed, whole
from tests.postgres import PASSWORD, PASSWORD_VARIABLE, Database

PURPOSE = Purpose("warehouse", "Nothing was changed.", WarehouseError)
YESTERDAY = AS_OF - timedelta(days=1)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[Path]:
    """Sealed packages of generations 0 to 3 of one day, the run's number being its generation."""
    directory = tmp_path_factory.mktemp("packages")
    return [sealed(directory / f"run-{n}", f"run-{n}", n) for n in range(4)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def business(postgres: Database, state: str = "state", **more: Any):
    return firm(source("shop.csv"), warehouse=postgres.connection | more, state=state)


def sent(postgres: Database, *packages: Path, state: str = "state", takes_later_days_back: bool = False) -> None:
    """Publishes packages one after the other, each to the file and then to the database."""
    for package in packages:
        path = up_to_date(business(postgres, state))
        publish(package, path, takes_later_days_back=takes_later_days_back)
        level(business(postgres, state))


def level(firm: Business, wait_seconds: float = 0) -> bool:
    """Brings the database level with the last run of the file."""
    last = live(location(firm))
    assert last
    return bring_level(firm, last["run_id"], wait_seconds)


def seen(postgres: Database) -> tuple:
    """The latest run in the ledger, runs in account_segments and generations in all tables."""
    return postgres.rows(SEEN)[0]


def everything(postgres: Database) -> dict[str, list[tuple]]:
    """All rows of the database, as text, each table in the order of its key."""
    return {
        name: postgres.rows(
            f"select {', '.join(f'cast({column.name} as text)' for column in columns)} from rapport.{name} "
            f"order by {', '.join(f'cast({key} as text)' for key in KEYS[name])}"
        )
        for name, columns in PUBLISHED.items()
    }


def everything_in(path: Path) -> dict[str, list[tuple]]:
    """The same of a DuckDB file; whole doubles as Postgres writes them."""
    with opened(path) as con:
        return {
            name: con.execute(
                "select "
                + ", ".join(
                    f"regexp_replace(cast({column.name} as varchar), '[.]0$', '')"
                    if column.type == "DOUBLE"
                    else f"cast({column.name} as varchar)"
                    for column in columns
                )
                + f" from rapport.{name} order by {', '.join(f'cast({key} as varchar)' for key in KEYS[name])}"
            ).fetchall()
            for name, columns in PUBLISHED.items()
        }


def refusal(error: type[Exception], call: Any, *given: Any) -> str:
    with pytest.raises(error) as refused:
        call(*given)
    return str(refused.value)


def test_the_first_publication_makes_the_schema_and_its_tables(postgres, packages):
    sent(postgres, packages[1])
    assert seen(postgres) == whole("run-1", 1)
    assert everything(postgres) == everything_in(location(business(postgres)))


def test_every_column_has_its_type_its_meaning_and_its_key(postgres, packages):
    sent(postgres, packages[1])
    columns = postgres.rows(
        "select table_name::text, column_name::text, data_type::text, is_nullable::text, "
        "col_description(format('rapport.%I', table_name)::regclass, ordinal_position) "
        "from information_schema.columns where table_schema = 'rapport' order by table_name, ordinal_position"
    )
    types = {
        "VARCHAR": "character varying",
        "DOUBLE": "double precision",
        "DECIMAL(18,4)": "numeric",
        "BIGINT": "bigint",
        "BOOLEAN": "boolean",
        "DATE": "date",
        "TIMESTAMP": "timestamp without time zone",
    }
    assert columns == [
        (name, each.name, types[each.type], "NO" if each.required else "YES", f"{each.meaning} ({each.unit})")
        for name in sorted(PUBLISHED)
        for each in PUBLISHED[name]
    ]
    with pytest.raises(Exception, match="duplicate key"):
        postgres.execute("insert into rapport.account_segments select * from rapport.account_segments limit 1")


def test_the_next_publication_replaces_the_tables_and_adds_to_the_ledger(postgres, packages):
    sent(postgres, packages[3], packages[2])
    assert seen(postgres) == whole("run-2", 2)
    assert postgres.rows("select run_id from rapport.runs order by published_at") == [("run-3",), ("run-2",)]
    assert everything(postgres) == everything_in(location(business(postgres)))


def test_days_in_order_days_again_and_days_taken_back_leave_what_the_file_has(postgres, tmp_path):
    def ended(package: Path, back: bool = False) -> int:
        sent(postgres, package, takes_later_days_back=back)
        assert everything(postgres) == everything_in(location(business(postgres)))
        found = postgres.rows("select count(*) from rapport.account_segment_history where valid_to is not null")
        return found[0][0]

    assert ended(sealed(tmp_path / "1", "run-1", 1, YESTERDAY)) == 0
    assert ended(sealed(tmp_path / "2", "run-2", 1, continues="run-1")) == 5
    assert ended(sealed(tmp_path / "3", "run-3", 2, continues="run-1")) == 0
    assert ended(sealed(tmp_path / "4", "run-4", 1, continues="run-1")) == 5
    assert ended(sealed(tmp_path / "5", "run-5", 2, YESTERDAY), back=True) == 0


def test_what_the_database_missed_comes_with_the_next_publication(postgres, packages, tmp_path):
    path = location(business(postgres))
    publish(sealed(tmp_path / "1", "run-1", 1, YESTERDAY), path)
    publish(sealed(tmp_path / "2", "run-2", 3, continues="run-1"), path)
    level(business(postgres))
    assert everything(postgres) == everything_in(path)


def test_what_stands_level_is_left_alone(postgres, packages):
    sent(postgres, packages[1])
    touched = "select xmin::text, ctid::text from rapport.account_segments order by account_id"
    before = postgres.rows(touched)
    level(business(postgres))
    assert postgres.rows(touched) == before


def test_rows_that_are_the_same_are_not_written_again(postgres, packages, tmp_path):
    sent(postgres, packages[1])
    unchanged = "select xmin::text, ctid::text from rapport.quarantine order by position"
    before = postgres.rows(unchanged)
    publish(sealed(tmp_path / "1", "run-1b", 1), location(business(postgres)))
    level(business(postgres))
    assert postgres.rows(unchanged) == before
    assert seen(postgres) == whole("run-1b", 1)


def test_a_reader_sees_one_publication_until_its_transaction_ends(postgres, packages):
    sent(postgres, packages[1])
    stop, wrong, reads = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            run_id, runs, generations = seen(postgres)
            reads.append(run_id)
            if (run_id, runs, generations) != whole(run_id, int(run_id[-1])):
                wrong.append((run_id, runs, generations))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        sent(postgres, packages[2], packages[3], packages[0])
    finally:
        stop.set()
        reader.join()
    assert not wrong
    assert len(set(reads)) > 1


def test_a_lost_state_is_made_anew_from_the_database(postgres, packages, tmp_path):
    sent(postgres, sealed(tmp_path / "1", "run-1", 1, YESTERDAY), sealed(tmp_path / "2", "run-2", 3, continues="run-1"))
    first = location(business(postgres))
    path = up_to_date(business(postgres, "another"))
    assert path == Path("another/warehouse.duckdb")
    assert everything_in(path) == everything_in(first)
    sent(postgres, sealed(tmp_path / "3", "run-3", 2, continues="run-1"), state="another")
    assert seen(postgres)[0] == "run-3"


def test_a_state_that_was_overtaken_goes_on_from_what_the_other_published(postgres, packages):
    sent(postgres, packages[1])
    sent(postgres, packages[2], state="another")
    assert everything_in(up_to_date(business(postgres))) == everything_in(Path("another/warehouse.duckdb"))


def test_what_was_computed_before_another_published_is_refused(postgres, packages):
    sent(postgres, packages[1])
    sent(postgres, packages[2], state="another")
    publish(packages[3], location(business(postgres)))
    assert refusal(WarehouseError, level, business(postgres)) == (
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: run run-2 was published to it since run run-3 was "
        "computed. Its readers have the last whole publication. Repeat the run."
    )
    assert seen(postgres) == whole("run-2", 2)


def test_one_publisher_at_a_time(postgres, packages):
    sent(postgres, packages[1])
    publish(packages[2], location(business(postgres)))
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from tests.postgres import _connected; c = _connected(int(sys.argv[1]), 'postgres').cursor(); "
            "c.execute(\"select cast(pg_advisory_lock(hashtext('rapport')) as text)\"); c.fetchall(); print('held', flush=True); "
            "sys.stdin.read()",
            str(postgres.port),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        told = refusal(Busy, level, business(postgres))
        waiting = threading.Thread(target=level, args=(business(postgres), 60))
        waiting.start()
        holder.communicate()
        waiting.join()
    assert told == (
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: another publisher holds it, or somebody who changes a "
        "table of it, or reads one that has to get a new column. Its readers have the last whole publication. Wait for them, or "
        "pass --wait 10m."
    )
    assert seen(postgres) == whole("run-2", 2)


def test_a_column_that_an_earlier_version_did_not_have_is_added(postgres, packages):
    sent(postgres, packages[1])
    postgres.execute(
        "alter table rapport.runs drop column models", "alter table rapport.account_segments drop column reasons"
    )
    sent(postgres, packages[2])
    assert everything(postgres) == everything_in(location(business(postgres)))
    postgres.execute("alter table rapport.account_segments drop column reasons")
    with opened(up_to_date(business(postgres, "another"))) as con, pytest.raises(duckdb.BinderException):
        con.execute("select reasons from rapport.account_segments")


def test_tables_that_are_not_ours_are_left_alone(postgres, packages):
    postgres.execute("create schema rapport", "create table rapport.account_segments (mine text)")
    told = refusal(WarehouseError, up_to_date, business(postgres))
    assert told == (
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: the schema rapport has tables that Rapport did not make "
        "(account_segments). Nothing was changed. Rename them, or name another database."
    )
    publish(packages[1], location(business(postgres)))
    assert refusal(WarehouseError, level, business(postgres)) == told
    columns = "select count(*) from information_schema.columns where table_schema = 'rapport'"
    assert postgres.rows(columns) == [(1,)]


def test_a_ledger_of_another_business_gets_no_columns(postgres, packages):
    postgres.execute(
        "create schema rapport",
        "create table rapport.runs (run_id text, business text, as_of date, started_at timestamp, published_at timestamp)",
        "insert into rapport.runs values ('b-1', 'bakery', '2026-01-01', '2026-01-02', '2026-01-02')",
    )
    publish(packages[1], location(business(postgres)))
    assert "the business file bakery.yaml publishes to it" in refusal(ConfigurationError, level, business(postgres))
    columns = "select count(*) from information_schema.columns where table_schema = 'rapport'"
    assert postgres.rows(columns) == [(5,)]


def test_a_new_column_comes_between_the_queries_of_who_reads(postgres, packages):
    sent(postgres, packages[1])
    postgres.execute("alter table rapport.runs drop column models")
    stop, failed = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                postgres.rows("select count(*), cast(pg_sleep(0.05) as text) from rapport.runs group by 2")
            except Exception as error:
                failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        sent(postgres, packages[2])
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failed
    assert seen(postgres) == whole("run-2", 2)


def test_a_column_that_somebody_dropped_comes_back_with_what_was_in_it(postgres, tmp_path):
    sent(postgres, sealed(tmp_path / "1", "run-1", 1, YESTERDAY))
    postgres.execute("alter table rapport.segment_changes drop column because")
    sent(postgres, sealed(tmp_path / "2", "run-2", 3, continues="run-1"))
    assert everything(postgres) == everything_in(location(business(postgres)))


def test_another_business_is_refused_and_its_tables_stand(postgres, packages):
    sent(postgres, packages[1])
    postgres.execute("update rapport.runs set business = 'bakery'")
    told = refusal(ConfigurationError, up_to_date, business(postgres, "another"))
    assert told.startswith(
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: the business file bakery.yaml publishes to it."
    )
    assert not Path("another").exists()


@pytest.fixture
def guest(postgres) -> str:
    """A user without rights."""
    postgres.execute(
        "do $$ begin if exists (select from pg_roles where rolname = 'guest') then drop owned by guest cascade; end if; end $$",
        "drop role if exists guest",
        f"create role guest login password '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
    )
    return "guest"


def test_rights_that_are_missing_are_told_with_what_gives_them(postgres, packages, guest):
    firm_of_guest = business(postgres, user=guest)
    told = refusal(WarehouseError, require_writable, firm_of_guest)
    assert told == (
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: the user guest may not make tables in the schema rapport, "
        "or no temporary ones. Nothing was changed. Let the owner of the database run: create schema if not exists rapport; "
        'grant create, usage on schema rapport to "guest"; grant temporary on database "postgres" to "guest"'
    )
    postgres.execute(*told.partition("run: ")[2].split("; "))
    require_writable(firm_of_guest)
    publish(packages[1], location(firm_of_guest))
    level(firm_of_guest)
    assert seen(postgres) == whole("run-1", 1)


def test_a_server_that_is_away_is_told_without_the_password(postgres, monkeypatch):
    assert refusal(WarehouseError, up_to_date, business(postgres, port=1)) == (
        "warehouse postgres postgres on 127.0.0.1, port 1: there is no connection to the database postgres on 127.0.0.1, port 1 "
        "(Connection refused). Nothing was changed. Start the server, or correct its host, port, database, user or password in "
        "the business file."
    )
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    assert "password authentication failed" in refusal(WarehouseError, up_to_date, business(postgres))


def test_what_postgres_refuses_leaves_the_last_publication_and_tells_no_value(postgres, packages):
    sent(postgres, packages[1])
    postgres.execute("alter table rapport.account_segments add check (treatment <> 'generation 2')")
    publish(packages[2], location(business(postgres)))
    told = refusal(WarehouseError, level, business(postgres))
    assert "(table account_segments, constraint account_segments_treatment_check)" in told
    assert "generation" not in told
    assert seen(postgres) == whole("run-1", 1)


def test_a_connection_that_is_lost_on_the_way_leaves_the_last_publication(postgres, packages):
    sent(postgres, packages[1])
    postgres.execute(
        "create function public.cut() returns trigger language plpgsql as "
        "'begin perform pg_terminate_backend(pg_backend_pid()); return new; end'",
        "create trigger cut before insert on rapport.runs execute function public.cut()",
    )
    publish(packages[2], location(business(postgres)))
    assert refusal(WarehouseError, level, business(postgres)) == (
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: terminating connection due to administrator command. "
        "Its readers have the last whole publication. Put that right and try again."
    )
    assert seen(postgres) == whole("run-1", 1)
    postgres.execute("drop trigger cut on rapport.runs")
    level(business(postgres))
    assert seen(postgres) == whole("run-2", 2)


@pytest.mark.parametrize(
    ("table", "harm"),
    [
        ("account_segments", "delete from rapport.account_segments where account_id = 'A3'"),
        ("account_segments", "update rapport.account_segments set revenue_12m = revenue_12m * 10"),
        ("account_segments", "update rapport.account_segments set score = score + 0.0000001"),
        ("account_segments", "update rapport.account_segments set account_id = 'B' where account_id = 'A3'"),
        ("account_segments", "update rapport.account_segments set segment_since = segment_since + 1"),
        ("account_features", "update rapport.account_features set order_days = null where account_id = 'A3'"),
        ("verdict_standings", "update rapport.verdict_standings set is_under_contract = not is_under_contract"),
        ("runs", "update rapport.runs set started_at = started_at + interval '1 microsecond'"),
    ],
)
def test_what_is_not_as_it_was_sent_is_noticed(postgres, packages, table, harm):
    sent(postgres, packages[1])
    with (
        opened(location(business(postgres))) as con,
        closing(connected(PURPOSE, business(postgres).warehouse)) as database,
    ):
        _require_same(con, database, table, str(AS_OF), "warehouse")
        asked(database, harm)
        told = refusal(WarehouseError, _require_same, con, database, table, str(AS_OF), "warehouse")
    assert told.startswith(f"warehouse: {table} did not arrive as it was sent (")


@pytest.mark.parametrize("table", ["account_features", "segment_summary", "verdict_standings"])
def test_a_trigger_that_loses_rows_leaves_the_last_publication(postgres, packages, table):
    sent(postgres, packages[1])
    postgres.execute(
        "create function public.lose() returns trigger language plpgsql as 'begin return null; end'",
        f"create trigger lose before insert on rapport.{table} for each row execute function public.lose()",
    )
    publish(packages[2], location(business(postgres)))
    told = refusal(WarehouseError, level, business(postgres))
    assert told.startswith(
        f"warehouse postgres postgres on 127.0.0.1, port {postgres.port}: {table} did not arrive as it was sent ("
    )
    assert seen(postgres) == whole("run-1", 1)


@pytest.mark.parametrize(
    "harm",
    [
        ["drop table rapport.verdict_standings", "drop table rapport.account_segment_history"],
        ["truncate rapport.segment_changes"],
        ["delete from rapport.segment_summary where stage = 'A1'"],
    ],
)
def test_tables_that_lost_rows_of_earlier_days_get_them_again(postgres, tmp_path, harm):
    sent(postgres, sealed(tmp_path / "1", "run-1", 1, YESTERDAY))
    postgres.execute(*harm)
    if "drop" in harm[0]:
        assert everything_in(up_to_date(business(postgres))) == everything_in(location(business(postgres)))
        with opened(up_to_date(business(postgres, "another"))) as con:
            assert con.execute("select count(*) from rapport.account_segments").fetchall() == [(11,)]
    sent(postgres, sealed(tmp_path / "2", "run-2", 3, continues="run-1"))
    assert everything(postgres) == everything_in(location(business(postgres)))


def test_what_others_hang_on_rows_that_stay_stays_too(postgres, tmp_path):
    sent(postgres, sealed(tmp_path / "1", "run-1", 1))
    postgres.execute(
        "create table public.notes (account_id text, line text, valid_from date, note text, foreign key (account_id, line, valid_from) "
        "references rapport.account_segment_history on delete cascade)",
        "insert into public.notes select account_id, line, valid_from, 'mine' from rapport.account_segment_history",
        "alter table rapport.segment_changes add column mine text default 'mine'",
    )
    sent(postgres, sealed(tmp_path / "2", "run-2", 1))
    assert postgres.rows("select count(*) from public.notes") == [(5,)]
    assert postgres.rows("select distinct mine from rapport.segment_changes") == [("mine",)]
    assert everything(postgres) == everything_in(location(business(postgres)))


def test_a_run_that_was_taken_out_of_the_file_meanwhile_is_not_said_to_be_published(postgres, packages):
    sent(postgres, packages[1])
    publish(packages[2], location(business(postgres)))
    sent(postgres, packages[3], state="another")
    up_to_date(business(postgres))
    told = refusal(WarehouseError, bring_level, business(postgres), "run-2")
    assert "run run-3 was published to it since run run-2 was computed." in told
    assert seen(postgres) == whole("run-3", 3)


@pytest.mark.parametrize("where", ["environment", "database"])
def test_texts_arrive_whatever_encoding_others_prefer(postgres, packages, monkeypatch, where):
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    else:
        postgres.execute("alter database postgres set client_encoding = 'LATIN1'")
    path = location(business(postgres))
    publish(packages[1], path)
    with opened(path, read_only=False) as con:
        con.execute("update rapport.account_segments set account_id = 'ä日本' where account_id = 'A1'")
    level(business(postgres))
    found = postgres.rows(
        "select encode(convert_to(account_id, 'UTF8'), 'hex') from rapport.account_segments order by 1 desc limit 1"
    )
    assert found == [("ä日本".encode().hex(),)]
    assert everything_in(up_to_date(business(postgres, "another"))) == everything_in(path)


def test_a_database_that_has_no_place_for_a_letter_says_so(postgres, packages):
    postgres.execute(
        "drop database if exists western",
        "create database western encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'",
    )
    western = business(postgres, database="western")
    path = location(western)
    publish(packages[1], path)
    for name in ("ä", "日本"):
        with opened(path, read_only=False) as con:
            con.execute(f"update rapport.account_segments set account_id = '{name}' where account_id in ('A1', 'ä')")
        if name == "ä":
            level(western)
            other = Database(postgres.port, "western")
            assert other.rows(
                "select octet_length(account_id) from rapport.account_segments order by account_id desc limit 1"
            ) == [(1,)]
        else:
            publish(packages[2], path)
            with opened(path, read_only=False) as con:
                con.execute("update rapport.account_segments set account_id = '日本' where account_id = 'A1'")
            assert "character with byte sequence" in refusal(WarehouseError, level, western)


@pytest.fixture
def hindered(postgres) -> Generator[Database]:
    """A database whose settings do not suit a publisher."""
    postgres.execute(
        "create table public.staged_account_segments (mine text)",
        "alter database postgres set search_path = public, pg_temp",
        "alter database postgres set statement_timeout = '300ms'",
        "alter database postgres set idle_in_transaction_session_timeout = '300ms'",
        "alter database postgres set transaction_timeout = '300ms'",
        "alter database postgres set default_transaction_isolation = 'serializable'",
        "alter database postgres set default_transaction_read_only = on",
    )
    yield postgres
    postgres.execute("set default_transaction_read_only = off", "alter database postgres reset all")


def test_settings_of_the_database_stand_in_nobodys_way(hindered, packages):
    require_writable(business(hindered))
    sent(hindered, packages[1])
    hindered.execute(
        "set default_transaction_read_only = off",
        "create function public.nap() returns trigger language plpgsql as 'begin perform pg_sleep(0.5); return null; end'",
        "create trigger nap after insert on rapport.runs execute function public.nap()",
    )
    sent(hindered, packages[2])
    assert everything_in(up_to_date(business(hindered, "another"))) == everything_in(location(business(hindered)))
    assert seen(hindered) == whole("run-2", 2)
    assert hindered.rows("select count(*) from public.staged_account_segments") == [(0,)]


def test_tables_of_another_user_are_told_before_a_run(postgres, packages, guest):
    sent(postgres, packages[1])
    postgres.execute(
        "grant create, usage on schema rapport to guest",
        "grant all on all tables in schema rapport to guest",
    )
    told = refusal(WarehouseError, require_writable, business(postgres, user=guest))
    assert "tables in the schema rapport are another user's (account_features, account_segment_history, " in told
    assert 'alter table rapport.account_features owner to "guest"' in told


def test_names_in_any_script_arrive(postgres, packages):
    path = location(business(postgres))
    publish(packages[1], path)
    with opened(path, read_only=False) as con:
        for place, name in enumerate(("ä", "Z", "a", "straße", "日本", "😀"), start=1):
            con.execute(f"update rapport.account_segments set account_id = '{name}' where account_id = 'A{place}'")
    level(business(postgres))
    assert everything(postgres) == everything_in(path)
    assert everything_in(up_to_date(business(postgres, "another"))) == everything_in(path)


def test_check_looks_at_it_and_leaves_no_trace(postgres, folder):
    (folder / "shop.csv").write_text("id,no,account,at,amount\no1,1,A,2025-12-01,10\n")
    where = f"postgres postgres on 127.0.0.1, port {postgres.port}"
    assert checks(business(postgres))[1] == Checked("warehouse", f"{where}, nothing published yet")
    assert published(business(postgres)) is None
    assert [each.name for each in folder.iterdir()] == ["shop.csv"]
    assert postgres.rows("select count(*) from pg_namespace where nspname = 'rapport'") == [(0,)]
