"""`rapport forget`: what is left of an account anywhere, what never comes back, and what others keep."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import chdir
from datetime import date
from pathlib import Path

import duckdb
import pytest

from config.errors import Busy, ConfigurationError, SourceError
from config.settings import Business, load
from flows.backfill import new_backfill, replay
from flows.compare import compare
from flows.doctor import examination
from flows.explain import explanation
from flows.forgetting import Erased, forget, let_in
from flows.forgotten import forgotten, write_list
from flows.rollback import roll_back
from flows.runs import state_held
from tests.end_to_end.over_time import COLUMNS, HEADER, content, day, ledger, night, orders, written
from tests.end_to_end.serving import RAPPORT
from tests.ingest import EVENTS, NIGHT, csv, source
from tests.waiting import WAIT_SECONDS

NAME = "Zyxw-4711/ß"
"""An account that no other value has a part of."""
MERGED = "Qponm-0815"
BEFORE, AFTER = 3, 5
QUOTE = '"'


def theirs(account: str = NAME) -> list[str]:
    """Orders of an account, of which two are unfit."""
    fit = [f"{account[:2]}-{number},1,{account},law,2025-09-{number:02} 11:00,70,false" for number in range(1, 27)]
    return [
        *fit,
        f"{account[:2]}-90,1,{account},law,2025-09-03 11:00,much,false",
        f",1,{account},law,2025-09-04 11:00,5,false",
    ]


BROKEN = f'xx-1,1,"{NAME}",law,2025-09-01 10:00,70,false,one,two,many'
MAIL = [
    {
        "id": f"m{number}",
        "account": account,
        "at": f"2025-09-{number:02} 09:00",
        "kind": "email",
        "direction": direction,
    }
    for number in range(1, 20)
    for account, direction in ((NAME, "inbound"), ("A1", "outbound"))
]


def mailed(folder: Path, rows: Iterable[dict[str, str]]) -> None:
    lines = [json.dumps(row | {"id": row["id"] + row["account"]}) for row in rows]
    (folder / "mail.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Path:
    """A firm in the working directory with three files and an account that is in all of them, before its first night."""
    monkeypatch.chdir(tmp_path)
    return of_firm(tmp_path, [*orders(), *theirs(), BROKEN], MAIL)


@pytest.fixture(scope="module")
def of_one_night(tmp_path_factory) -> Path:
    """The same after its first night."""
    folder = of_firm(tmp_path_factory.mktemp("one") / "night", [*orders(), *theirs(), BROKEN], MAIL)
    with chdir(folder):
        night(0)
    return folder


@pytest.fixture
def firm(of_one_night, tmp_path, monkeypatch) -> Path:
    """The firm after its first night in the working directory."""
    shutil.copytree(of_one_night, tmp_path / "firm")
    monkeypatch.chdir(tmp_path / "firm")
    return tmp_path / "firm"


def of_firm(folder: Path, rows: Iterable[str], mail: Iterable[dict[str, str]], decisions: str | None = None) -> Path:
    sources = {
        "orders": [source("orders.csv", COLUMNS), source("old/*.csv", COLUMNS, name="archive")],
        "engagements": [source("mail.jsonl", EVENTS, name="mail")],
    }
    written(folder, rows, sources=sources, decisions=decisions)
    csv(folder, "old/1.csv", HEADER, *(row.replace("2025-09", "2025-07") for row in rows if row != BROKEN))
    mailed(folder, mail)
    return folder


def business() -> Business:
    return load(Path("firm.yaml"))


def nights(numbers: Iterable[int]) -> None:
    for number in numbers:
        night(number)


def places(folder: Path, account: str = NAME) -> dict[str, int]:
    """How often an account stands in each file below the state and beside the warehouse: in its bytes, and in its rows unpacked."""
    found = {}
    for file in sorted((*folder.glob("state/**/*"), *folder.glob("warehouse.duckdb*"))):
        if not file.is_file():
            continue
        text = file.read_bytes().decode("utf-8", errors="replace")
        if file.suffix in (".parquet", ".broken"):
            with duckdb.connect() as con:
                text += str(con.execute("select * from read_parquet($file)", {"file": str(file)}).fetchall())
        if file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as con:
                for schema, name in con.execute("select schema_name, table_name from duckdb_tables()").fetchall():
                    text += str(con.execute(f'select * from "{schema}"."{name}"').fetchall())
        if account in text:
            found[str(file.relative_to(folder))] = text.count(account)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """All files and what is in them, but the locks."""
    return {
        str(file): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith("lock")
    }


def test_nothing_of_the_account_is_left_anywhere(firm):
    nights(range(1, BEFORE))
    (firm / "state/landed/shop/source.part").write_text(NAME)
    (firm / "state/backfill").mkdir()
    shutil.copy("warehouse.duckdb", firm / "state/backfill/warehouse.duckdb")
    before = places(firm)
    assert len(before) > 15
    assert sum(before.values()) > 100
    packed = (firm / "warehouse.duckdb").read_bytes()
    assert NAME.encode() in packed  # so that the search of bytes can find it
    erased = forget(business(), [NAME])
    assert places(firm) == {}
    assert erased.accounts == (NAME,)
    assert erased.left == ()
    # 28 rows in each of two files of orders, a broken line in one of them, and 19 mails
    assert (erased.landed_rows, erased.lines, erased.batches) == (28 + 28 + 19, 1, 3)
    assert erased.warehouse_rows > 10


def test_all_that_others_have_stays(firm):
    nights(range(1, BEFORE))
    before = content(firm)
    forget(business(), [NAME])
    after = content(firm)
    for name, rows in before.items():
        # of files that had rows of it the quarantine comes again with the next run
        kept = [row for row in rows if NAME not in str(row)] if name != "quarantine" else []
        marked = [(day, f"{content_hash}, erased", changed) for day, content_hash, changed in before["runs"]]
        assert after[name] == (marked if name == "runs" else kept), name


def test_later_nights_are_those_of_a_firm_that_never_had_it(firm, tmp_path, monkeypatch):
    nights(range(1, BEFORE))
    forget(business(), [NAME])
    nights(range(BEFORE, AFTER))
    never = of_firm(tmp_path / "never", orders(), [row for row in MAIL if row["account"] != NAME])
    monkeypatch.chdir(never)
    nights(range(AFTER))
    expected, found = content(never), content(firm)
    [(*_, line)] = found["quarantine"]
    assert json.loads(line)["text"] == "withheld: an account that was forgotten may be named here"
    for name in ("account_segments", "account_features", "account_segment_history", "verdict_standings"):
        assert found[name] == expected[name], name
    assert expected["account_segments"]
    # who is gone is no change of segment
    assert [changed for (changed,) in ledger(firm, "changed_accounts")][BEFORE:] == [
        changed for (changed,) in ledger(never, "changed_accounts")
    ][BEFORE:]


def test_nothing_brings_it_back(firm):
    nights(range(1, BEFORE))
    forget(business(), [NAME])
    # the file changes and has it still, a new one comes, lines break, everything is landed again, and the past is replayed
    csv(firm, "orders.csv", HEADER, *orders(), *theirs(), BROKEN, f"zz-1,1, {NAME} ,shop,2025-09-29 10:00,70,false")
    csv(firm, "old/2.csv", HEADER, *(row.replace("2025-09", "2025-08") for row in theirs()))
    mailed(firm, [*MAIL, MAIL[0] | {"id": "new"}])
    night(BEFORE)
    assert places(firm) == {}
    told = rapport("run", "--config", "firm.yaml", "--rebuild", "--as-of", str(day(BEFORE)), "--timings")
    assert told.returncode == 0, told.stderr
    assert "rows of 1 forgotten accounts are left out" in " ".join(told.stdout.split())
    list(replay(new_backfill(business(), day(0), day(AFTER), "day")))
    assert places(firm) == {}


def test_a_comparison_that_reads_the_sources_otherwise_leaves_it_out(firm):
    told = json.loads((firm / "firm.yaml").read_text())
    told["sources"]["orders"][0]["columns"]["amount"] = "cast(amount as decimal(18,2)) * 2"
    (firm / "other.yaml").write_text(json.dumps(told))
    forget(business(), [NAME])
    found = compare(business(), Path("other.yaml"), None)
    assert NAME not in found.movers["account_id"].to_list()
    assert places(firm) == {}


def test_what_was_merged_into_it_goes_along(fresh):
    rows = [*orders(), *theirs(), *theirs(MERGED)]
    merge = {"account_id": MERGED, "into": NAME, "from": str(day(1)), "author": "us", "reason": "one firm"}
    of_firm(fresh, rows, MAIL, json.dumps({"merges": [merge]}))
    nights(range(BEFORE))
    with pytest.raises(
        ConfigurationError, match=f"account '{MERGED}' counts as '{NAME}', by a merge in decisions.yaml"
    ):
        forget(business(), [MERGED])
    erased = forget(business(), [NAME])
    assert erased.accounts == (NAME, MERGED)
    assert erased.decisions == 1
    assert [places(fresh, name) for name in (NAME, MERGED)] == [{}, {}]
    night(BEFORE)
    assert [places(fresh, name) for name in (NAME, MERGED)] == [{}, {}]


def test_versions_and_sources_that_no_longer_count_are_erased_from(firm):
    # a version that the mapping cannot read any more, and a source that is gone from the business file
    renamed = [row.replace("account", "client") for row in (HEADER,)] + [*orders(), *theirs()]
    csv(firm, "orders.csv", *renamed)
    told = json.loads((firm / "firm.yaml").read_text())
    told["sources"]["orders"] = [source("orders.csv", COLUMNS | {"account_id": "client"})]
    (firm / "firm.yaml").write_text(json.dumps(told))
    night(1)
    assert len(list(firm.glob("state/landed/shop/*.json"))) == 2
    erased = forget(business(), [NAME])
    assert erased.batches == 4
    assert places(firm) == {}
    night(2)


def test_several_accounts_are_forgotten_at_once_or_none(firm):
    before = tree(firm)
    with pytest.raises(ConfigurationError, match="there is no account 'a1', neither among what was landed nor in"):
        forget(business(), ["A2", "a1"])
    assert tree(firm) == before
    assert forget(business(), ["A2", NAME]).accounts == ("A2", NAME)
    night(1)
    accounts = {row[0] for row in content(firm)["account_segments"]}
    assert {"A1", "A3", "A8"} < accounts
    assert not {"A2", NAME} & accounts


def test_a_dry_run_only_says_what_would_be_erased(firm):
    before = tree(firm)
    found = forget(business(), [NAME], dry_run=True)
    assert tree(firm) == before
    assert found == Erased((NAME,), 75, 1, 3, found.warehouse_rows, (), 0)
    assert found.warehouse_rows == forget(business(), [NAME]).warehouse_rows > 0


def test_what_reads_like_it_is_told(fresh):
    told = json.loads((fresh / "firm.yaml").read_text())
    told["sources"]["orders"][0]["columns"]["handler"] = "handler"
    (fresh / "firm.yaml").write_text(json.dumps(told))
    csv(
        fresh,
        "orders.csv",
        f"{HEADER},handler",
        *(f"{row},{NAME if row.startswith('1-') else 'B'}" for row in orders()),
    )
    csv(fresh, "old/1.csv", f"{HEADER},handler", *(f"{row}," for row in theirs()))
    night(0)
    named = sum(row.startswith("1-") for row in orders())
    with duckdb.connect("warehouse.duckdb") as con:
        con.execute("update rapport.runs set accepted_change = $why", {"why": f"we talked to {NAME}."})
    left = forget(business(), [NAME]).left
    assert left[0] == f"orders (source shop), file orders.csv: {named:,} rows of others have it as handler"
    assert "warehouse.duckdb, runs: 1 rows have it in accepted_change" in left


def test_another_account_is_not_published_under_its_name(firm):
    forget(business(), [NAME])
    before = content(firm)
    merge = {"account_id": "A1", "into": NAME, "from": str(day(1)), "author": "us", "reason": "one firm"}
    of_firm(firm, orders(), MAIL, json.dumps({"merges": [merge]}))
    with pytest.raises(ConfigurationError, match=f"account 'A1' is merged into '{NAME}', which was forgotten on "):
        night(1)
    assert content(firm) == before


def test_what_was_not_erased_whole_is_not_let_in_again(firm):
    write_list(forgotten(Path("state")).with_more([NAME], day(0)), Path("state"))
    with pytest.raises(SourceError, match="Give it again: rapport forget"):
        let_in(business(), [NAME])
    forget(business(), [NAME])
    let_in(business(), [NAME])


def test_an_account_that_was_forgotten_can_be_let_in_again(firm):
    before = content(firm)
    forget(business(), [NAME])
    with pytest.raises(ConfigurationError, match="account 'A1' was not forgotten"):
        let_in(business(), ["A1"])
    told = rapport("forget", NAME, "--undo", "--config", "firm.yaml")
    assert (told.returncode, told.stdout.split(".")[0]) == (0, "They are let in again")
    told = rapport("run", "--config", "firm.yaml", "--rebuild", "--as-of", str(day(0)))
    assert told.returncode == 0, told.stderr
    assert content(firm)["account_features"] == before["account_features"]
    forget(business(), [NAME])
    told = rapport("forget", NAME, "--undo", "--json", "--config", "firm.yaml")
    assert json.loads(told.stdout) == {"let_in": [NAME]}


def test_it_is_told_what_was_forgotten(firm):
    told = rapport("forget", NAME, "--config", "firm.yaml")
    assert told.returncode == 0, told.stderr
    words = " ".join(told.stdout.split())
    assert words.startswith(
        f"Erased of '{NAME}': 75 rows that were landed, and the text of 1 lines that could not be read, in 3 batches"
    )
    assert "Read again: nothing of them is left." in told.stdout
    with pytest.raises(ConfigurationError, match=rf"account '{NAME}' was forgotten on \d{{4}}-\d\d-\d\d"):
        explanation(business(), NAME, None)
    assert any("; rows of 1 forgotten accounts are left out" in each.found for each in examination(business()))
    again = rapport("forget", NAME, "--config", "firm.yaml", "--json")
    assert json.loads(again.stdout) == {
        "accounts": [NAME],
        "landed_rows": 0,
        "lines": 0,
        "batches": 0,
        "warehouse_rows": 0,
        "left": [],
        "decisions": 0,
    }
    # nothing was left to do, so the state that a night made since stays
    night(1)
    state = (firm / "state/state.duckdb").stat()
    forget(business(), [NAME])
    assert (firm / "state/state.duckdb").stat().st_ino == state.st_ino


def test_from_the_list_nobody_reads_who_it_is(firm):
    forget(business(), [NAME])
    listed = json.loads((firm / "state/forgotten.json").read_text())
    assert list(listed) == ["salt", "since", "unfinished"]
    assert listed["unfinished"] == []
    assert len(listed["salt"]) == 32
    [(hashed, since)] = listed["since"].items()
    assert (len(hashed), date.fromisoformat(since).year) == (64, date.today().year)
    forget(business(), ["A1"])
    more = json.loads((firm / "state/forgotten.json").read_text())
    assert more["salt"] == listed["salt"]
    assert len(more["since"]) == 2


def test_a_verdict_set_by_hand_is_taken_away_first(firm):
    override = {
        "account_id": NAME,
        "segment": "client",
        "from": str(day(0)),
        "until": "2099-12-31",
        "author": "us",
        "reason": "x",
    }
    of_firm(firm, [*orders(), *theirs()], MAIL, json.dumps({"overrides": [override]}))
    with pytest.raises(ConfigurationError, match=f"decisions.yaml: 1 verdicts set by hand are for account '{NAME}'"):
        forget(business(), [NAME])


def test_while_a_run_is_at_work_nothing_is_erased(firm):
    before = tree(firm)
    with state_held(business(), "another", NIGHT, 0), pytest.raises(Busy, match="another run holds the state of"):
        forget(business(), [NAME])
    assert tree(firm) == before


def test_a_list_that_cannot_be_read_lets_nothing_in(firm):
    forget(business(), [NAME])
    (firm / "state/forgotten.json").write_text('{"salt": 1')
    with pytest.raises(SourceError, match=r"forgotten.json: the list of accounts that were forgotten cannot be read"):
        night(1)


def test_a_mapping_that_reads_nothing_erases_by_the_one_that_landed(firm):
    told = json.loads((firm / "firm.yaml").read_text())
    told["sources"]["orders"][0]["columns"]["account_id"] = "acount"
    (firm / "firm.yaml").write_text(json.dumps(told))
    assert forget(business(), [NAME]).landed_rows == 75
    assert places(firm) == {}


def test_rows_of_which_nobody_can_tell_the_account_are_told_and_left(firm):
    told = json.loads((firm / "firm.yaml").read_text())
    told["sources"]["orders"] = told["sources"]["orders"][:1]
    (firm / "firm.yaml").write_text(json.dumps(told))
    [manifest] = firm.glob("state/landed/archive/*.json")
    landed = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(landed | {"account": None}))
    before = tree(firm)
    with pytest.raises(SourceError, match=r"file old/1.csv: nobody can tell which of its rows are of which account"):
        forget(business(), [NAME])
    assert tree(firm) == before


def test_rows_of_others_stay_that_have_its_name_elsewhere(fresh):
    """In a source that is gone from the business file, and in a version that no longer counts."""
    rows = [*orders(), *theirs("law")]
    of_firm(fresh, rows, MAIL)
    nights([0])
    file = (fresh / "firm.yaml").read_text()
    told = json.loads(file)
    told["sources"]["orders"] = told["sources"]["orders"][:1]
    (fresh / "firm.yaml").write_text(json.dumps(told))
    assert forget(business(), ["law"]).landed_rows == 28 + 28
    (fresh / "firm.yaml").write_text(file)
    night(1)
    accounts = {row[0] for row in content(fresh)["account_segments"]}
    assert "law" not in accounts
    assert {"A1", "A3", "A8"} < accounts


def test_lines_that_could_not_be_read_are_kept_without_their_text(fresh):
    named = {
        "urn:acct:42": "xx,1,urn:acct:42,law,2025-09-01 10:00,1,false,x,y",
        "O'Neil": "xx,1,O'Neil,law,2025-09-01 10:00,1,false,x,y",
        'Line "4"': 'xx,1,"Line ""4""",law,2025-09-01 10:00,1,false,x,y',
        "a|b;c": "xx,1,a|b;c,law,2025-09-01 10:00,1,false,x,y",
        r"back\slash": r"xx,1,back\slash,law,2025-09-01 10:00,1,false,x,y",
    }
    fit = (f'n-1,1,"{name.replace(QUOTE, QUOTE * 2)}",law,2025-09-01 10:00,1,false' for name in named)
    other = "yy,1,A2,law,2025-09-01 10:00,4711,false,x,y"
    rows = [*orders(), *fit, *named.values(), other]
    csv(fresh, "orders.csv", HEADER, *rows)
    nights([0])
    forget(business(), list(named))
    csv(fresh, "orders.csv", HEADER, *rows, "n-9,1,A2,law,2025-09-02 10:00,1,false")
    night(1)
    assert [places(fresh, each) for each in (*named, *named.values())] == [{}] * 2 * len(named)
    broken = sorted(json.loads(row[-1])["text"] for row in content(fresh)["quarantine"] if "cannot be read" in str(row))
    assert broken == ["withheld: an account that was forgotten may be named here"] * len(named) + [other]


def test_one_after_the_other_leaves_nothing_of_the_second(fresh):
    of_firm(fresh, [*orders(), *theirs(), *theirs(MERGED)], MAIL)
    nights([0])
    forget(business(), [NAME])
    forget(business(), [MERGED])
    assert [places(fresh, name) for name in (NAME, MERGED)] == [{}, {}]


def test_no_run_begins_before_all_is_erased(firm):
    first, last = day(0), day(1)
    nights([1])
    [run] = [run_id for run_id, as_of in ledger(firm, "run_id, as_of") if as_of == first]
    listed = forgotten(Path("state")).with_more([NAME], last)
    write_list(listed, Path("state"))
    before = content(firm)
    # another account that is forgotten meanwhile leaves this one to be finished
    for attempt in (
        lambda: night(2),
        lambda: roll_back(business(), run),
        lambda: forget(business(), ["A8"]) and night(2),
    ):
        with pytest.raises(SourceError, match="not all was erased of 1 accounts that are to be forgotten"):
            attempt()
    assert [row for row in before["account_segments"] if row[0] != "A8"] == content(firm)["account_segments"]
    assert any("not all was erased of 1 accounts" in each.found for each in examination(business()) if not each.is_well)
    forget(business(), [NAME])
    night(2)
    assert places(firm) == {}


def test_what_runs_that_were_killed_left_of_landing_is_taken_away(firm):
    for name in ("0123456789abcdef.parquet", "0123456789abcdef-2.broken", "source.part"):
        (firm / "state/landed/shop" / name).write_text(NAME)
    forget(business(), [NAME])
    assert places(firm) == {}


def test_an_account_has_to_be_named(firm):
    with pytest.raises(ConfigurationError, match="an account has to be named"):
        forget(business(), [NAME, " "])


def test_an_older_version_that_is_damaged_is_taken_away(firm):
    csv(firm, "orders.csv", HEADER, *orders(), *theirs())
    night(1)
    old = min(firm.glob("state/landed/shop/*.json"), key=lambda file: json.loads(file.read_text())["known_at"])
    old.with_suffix(".parquet").write_bytes(b"PAR1")
    forget(business(), [NAME])
    assert not old.exists()
    assert not old.with_suffix(".parquet").exists()
    night(2)


def test_what_was_landed_and_is_damaged_is_told_and_left(firm):
    batch = next(firm.glob("state/landed/mail/*.parquet"))
    batch.write_bytes(batch.read_bytes()[:-9])
    before = tree(firm)
    with pytest.raises(SourceError, match=r"mail.jsonl: what was landed of it on .* is damaged or gone"):
        forget(business(), [NAME])
    assert tree(firm) == before


def test_before_the_first_run_there_is_nobody_to_forget(fresh):
    with pytest.raises(ConfigurationError, match=f"there is no account '{NAME}'"):
        forget(business(), [NAME])


def test_tables_of_others_in_the_same_file_stay(firm):
    with duckdb.connect("warehouse.duckdb") as con:
        con.execute("create schema ours")
        con.execute("create table ours.people (account_id varchar primary key, name varchar)")
        con.execute("insert into ours.people values ($name, 'one'), ('A1', 'two')", {"name": NAME})
        con.execute("create view ours.clients as select * from rapport.account_segments where segment = 'client'")
    mode = (firm / "warehouse.duckdb").stat().st_mode
    left = forget(business(), [NAME]).left
    assert left == ("warehouse.duckdb: its characters are in it, perhaps in other values",)
    assert (firm / "warehouse.duckdb").stat().st_mode == mode
    with duckdb.connect("warehouse.duckdb", read_only=True) as con:
        assert con.execute("select count(*) from ours.people").fetchall() == [(2,)]
        assert con.execute("select count(*) from ours.clients where account_id = $name", {"name": NAME}).fetchall() == [
            (0,)
        ]
        comments = con.execute(
            "select count(comment) from duckdb_columns() where schema_name = 'rapport' and table_name = 'runs'"
        ).fetchall()
    assert comments[0][0] > 10
    night(1)


def rapport(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RAPPORT, *arguments], capture_output=True, text=True, timeout=WAIT_SECONDS)
