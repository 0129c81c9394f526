"""Bad input, from the file to the exit code: a sentence that helps, nothing half published, no good row lost."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from flows.cli import main
from flows.lock import held
from tests.ingest import EVENTS, FIRM, ORDERS, csv, source

HEADER = "id,no,account,at,amount,name"
MAIL = "id,account,at,kind,direction,text"
GOOD = [f"o{row},1,A{row % 8},2025-{1 + row % 12:02}-{1 + row % 28:02} 10:00,{row}.50,Jane Doe" for row in range(40)]
EVENTS_GOOD = [f"e{row},A{row % 8},2025-11-{1 + row:02} 09:00,call,mutual,jane@example.com" for row in range(20)]
PERSONAL = ("Jane", "Doe", "example.com")
STANDS = "Nothing was published; the tables of the last run stand."


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


def write_firm(**changes: Any) -> None:
    """The business file, in the working directory."""
    shop, mail = source("shop.csv"), source("mail.csv", EVENTS, "mail")
    told = FIRM | {"state": "state", "as_of": "2026-01-14", "sources": {"orders": [shop], "engagements": [mail]}}
    Path("firm.yaml").write_text(json.dumps(told | changes, indent=1))


def shop(*lines: str, header: str = HEADER) -> None:
    """The shop's orders."""
    csv(Path(), "shop.csv", header, *lines)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder in which a good night was published."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_firm()
        shop(*GOOD)
        csv(folder, "mail.csv", MAIL, *EVENTS_GOOD)
        assert run_in_process(patch, "run") == 0
    return folder


def run_in_process(patch: pytest.MonkeyPatch, command: str, *options: str) -> int:
    patch.delenv("PREFECT_API_URL", raising=False)
    patch.setattr(sys, "argv", ["rapport", command, "--config", "firm.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def rapport(published, tmp_path, monkeypatch, capsys) -> Callable[..., Answer]:
    """Runs a command in a copy of that folder."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def rapport(command: str = "run", *options: str) -> Answer:
        code = run_in_process(monkeypatch, command, *options)
        told = capsys.readouterr()
        return Answer(code, told.out, told.err)

    return rapport


def fingerprint() -> str:
    return hashlib.sha256(Path("warehouse.duckdb").read_bytes()).hexdigest()


def refused(rapport: Callable[..., Answer], code: int, *options: str) -> str:
    """Runs a night that must be refused and leave the warehouse as it is; what was said."""
    before = fingerprint()
    answer = rapport("run", *options)
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert fingerprint() == before
    assert "Traceback" not in answer.err
    assert not any(word in answer.err for word in PERSONAL)
    return answer.err.strip()


def table(name: str, columns: str = "*") -> list[tuple[Any, ...]]:
    with duckdb.connect("warehouse.duckdb", read_only=True) as con:
        return con.execute(f"select {columns} from rapport.{name} order by all").fetchall()


def counts() -> dict[str, tuple[int, int, int]]:
    """Per source the rows accepted, superseded and quarantined by the latest run."""
    rows = json.loads(table("runs", "published_at, row_counts")[-1][1])
    return {row["source"]: (row["accepted"], row["superseded"], row["quarantined"]) for row in rows}


# 2: the configuration


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"timezone": "New York"}, "firm.yaml:3: timezone: 'New York' is no time zone of IANA. Did you mean"),
        ({"currency": "DOLLAR"}, "firm.yaml:4: currency: 'DOLLAR' is no currency of ISO 4217."),
        ({"colour": "red"}, "colour: there is no such key here."),
        (
            {"scoring": "scoring/mine.yaml"},
            "there is no ruler 'scoring/mine.yaml', neither beside this file nor bundled.",
        ),
        ({"sources": {"orders": []}}, "sources.orders: must not be empty"),
        (
            {"sources": {"orders": [source("shop.csv", {name: ORDERS[name] for name in ("order_id", "amount")})]}},
            "sources.orders[0].columns.account_id: this key is missing",
        ),
        (
            {"sources": {"orders": [source("shop.csv", ORDERS | {"amount": "read_text('/etc/passwd')"})]}},
            "sources.orders[0].columns.amount: expression",
        ),
    ],
)
def test_a_mistake_in_the_business_file_is_told_with_its_place(rapport, changes, told):
    write_firm(**changes)
    assert told in refused(rapport, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("business: A\nbusiness: B\n", "firm.yaml:2: business: this key stands here twice, first on line 1. Keep one"),
        ("business: [", "firm.yaml:1: this is not YAML"),
        ("\0", "firm.yaml: character 1 (code 0) has no place in YAML. Take it out."),
    ],
)
def test_a_business_file_that_is_badly_written_is_told_with_its_line(rapport, text, told):
    Path("firm.yaml").write_text(text)
    assert told in refused(rapport, 2)


def test_a_business_file_that_is_missing_is_told(rapport):
    Path("firm.yaml").unlink()
    assert refused(rapport, 2).startswith("firm.yaml: there is no such file.")


def test_a_day_in_the_future_is_refused(rapport):
    told = refused(rapport, 2, "--as-of", "2999-12-31")
    assert told.startswith("as_of: 2999-12-31 lies in the future; today is ")
    assert told.endswith("in America/New_York. Nothing was changed. Choose a day that has come.")


# 3: the gates


def no_account(line: str) -> str:
    return ",".join("" if place == 2 else each for place, each in enumerate(line.split(",")))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            [no_account(line) for line in GOOD],
            "account_id is missing in 40 of 40 checked rows (100.00%); the limit is 20%",
        ),
        (
            [line.replace(".50,", "€,") for line in GOOD],
            "amount is unreadable in 40 of 40 checked rows (100.00%); the limit",
        ),
        ([], "checked_orders: "),
    ],
    ids=["no accounts", "no amounts", "a header alone"],
)
def test_too_many_unfit_rows_or_none_at_all_stop_the_run(rapport, lines, told):
    shop(*lines)
    sentence = refused(rapport, 3)
    assert told in sentence
    if lines:
        assert "orders (source shop), file shop.csv: 40 of 40 rows are unfit, most often since a" in sentence
        assert "first at position 0.\nCorrect them where they come from." in sentence
    assert sentence.endswith(STANDS)


@pytest.mark.parametrize("state", ["shop.csv", "shop.csv/state"])
def test_a_state_that_cannot_be_written_is_told(rapport, state):
    write_firm(state=state)
    told = (
        f"state {state}: {Path('shop.csv').resolve()} is no directory, or cannot be written. Nothing was changed. "
        "Give it another place, or the right to write."
    )
    assert refused(rapport, 2) == told
    assert rapport("check").err.strip() == told


def test_a_warehouse_of_another_business_is_refused(rapport):
    other = json.loads(Path("firm.yaml").read_text()) | {"state": "others"}
    Path("other.yaml").write_text(json.dumps(other))
    told = (
        "warehouse warehouse.duckdb: the business file firm.yaml publishes to it. Nothing was changed. Give each business a "
        "warehouse of its own; if the file was renamed, give it its old name, or the ledger the new one: "
        "update rapport.runs set business = 'other'"
    )
    assert refused(rapport, 2, "--config", "other.yaml") == told
    assert rapport("check", "--config", "other.yaml").err.strip() == told
    assert rapport("run", "--config", "other.yaml", "--dry-run").code == 0
    with duckdb.connect("warehouse.duckdb") as con:
        con.execute("update rapport.runs set business = 'other'")
    assert rapport("run", "--config", "other.yaml").code == 0


def test_brackets_and_colons_in_names_are_printed_as_they_are(rapport):
    columns = ORDERS | {"line": "'a [/b] :ox:'"}
    Path("state/business").unlink()  # of the same firm, by its name before
    write_firm(business="Doe [b]& Co", sources={"orders": [source("shop.csv", columns)], "engagements": []})
    answer = rapport("run", "--accept-change", "a test")
    assert answer.code == 0, answer.err
    assert "Doe [b]& Co, as of" in answer.out
    assert "a [/b] :ox:" in answer.out
    assert "a [/b] :ox:" in rapport("explain", "A0").out


def test_control_characters_in_names_do_not_reach_the_terminal(rapport):
    write_firm(sources={"orders": [source("shop.csv", ORDERS | {"line": "name"})], "engagements": []})
    shop(*(line.replace(",A1,", ",A\x1b[31m1,").replace("Jane Doe", "Jane\x1b[2J\u202e") for line in GOOD))
    for answer in (rapport("run", "--accept-change", "a test"), rapport("explain", "A\x1b[31m1")):
        assert answer.code == 0, answer.err
        assert "Jane\ufffd[2J\ufffd" in answer.out
        assert not {"\x1b", "\u202e"} & set(answer.out)


def test_sums_that_no_table_can_hold_are_told_without_them(rapport):
    write_firm(
        sources={
            "orders": [source("shop.csv", ORDERS | {"quantity": "999999999", "product_id": "'p'"})],
            "engagements": [source("mail.csv", EVENTS, "mail")],
        }
    )
    shop(*(f"o{row},1,A1,2025-12-01 10:00,1.50,Jane Doe" for row in range(1_001)))
    told = refused(rapport, 4)
    assert "add up to more than tables hold" in told
    assert "1000998998.999" not in told


def test_a_line_whose_purchase_models_do_not_fit_is_told(rapport):
    told = "Not fitted: no model of purchase occasions could be fitted for the line all, so that p_alive"
    assert told in " ".join(rapport("run", "--dry-run").out.split())


def test_a_night_whose_few_rows_are_mostly_unfit_is_told(rapport):
    write_firm(sources={"orders": [source("shop*.csv")], "engagements": [source("mail.csv", EVENTS, "mail")]})
    assert "new rows" not in rapport().out
    csv(
        Path(),
        "shop of the night.csv",
        HEADER,
        *(line.replace("o", "n", 1) for line in (GOOD[0], *map(no_account, GOOD[1:3]))),
    )
    answer = rapport()
    assert answer.code == 0, answer.err
    told = "warning checked_orders: 2 of the 3 new rows (66.67%) are unfit; above 20% look whether the source changed"
    assert told in " ".join(answer.out.split())
    assert counts()["shop"] == (41, 0, 2)


# 4: the sources


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            None,
            "orders (source shop): no file matches shop.csv. Nothing was read. Bring the file, or correct the path; it is",
        ),
        (
            b"",
            "orders (source shop), file shop.csv: the file is empty. Nothing was read. Deliver it again, or remove it.",
        ),
        (
            b"<!DOCTYPE html><html><body>Please sign in</body></html>",
            "orders (source shop), file shop.csv: it is HTML or XML, perhaps a login or error page that was saved under "
            "this name, not a CSV file in UTF-8. Nothing was read. Deliver the file again.",
        ),
        (
            "\n".join([HEADER.replace("amount", "amnt"), *GOOD]).encode(),
            "orders (source shop), file shop.csv: there is no column amount, which amount is read from. Did you mean amnt?\n"
            "Its columns are id, no, account, at, amnt, name. Nothing was read from it. Correct the mapping or the source, or "
            "give the column a list of alternatives.",
        ),
        (
            "\n".join(GOOD).encode(),
            "The names of its columns look like the values of a row: is the header missing? Nothing was read from it.",
        ),
        (
            "\n".join([HEADER, *GOOD]).encode("utf-16"),
            "it is text in UTF-16, not a CSV file in UTF-8. Nothing was read.",
        ),
    ],
)
def test_a_file_that_is_not_what_it_was_is_refused(rapport, content, told):
    Path("shop.csv").unlink()
    if content is not None:
        Path("shop.csv").write_bytes(content)
    assert told in refused(rapport, 4)


def test_a_truncated_parquet_file_is_refused(rapport):
    pl.DataFrame({"id": ["o1"], "no": 1, "account": "A", "at": "2026-01-05", "amount": 1.0}).write_parquet(
        "shop.parquet"
    )
    Path("shop.parquet").write_bytes(Path("shop.parquet").read_bytes()[:-20])
    write_firm(sources={"orders": [source("shop.parquet")]})
    assert refused(rapport, 4).startswith("orders (source shop), file shop.parquet: it is not a whole Parquet file (")


def test_a_column_whose_type_an_expression_does_not_fit_is_told(rapport):
    write_firm(sources={"orders": [source("shop.csv", ORDERS | {"quantity": "amount * 2"})]})
    told = refused(rapport, 4)
    assert told.startswith("orders (source shop), file shop.csv: quantity cannot be read as amount * 2 (")
    assert told.endswith("so numbers are written cast(x as decimal(18,2)).")


def test_a_day_before_the_first_order_is_refused(rapport):
    assert refused(rapport, 4, "--as-of", "2020-01-01", "--dry-run") == (
        "Two rooms: there is no order and no event up to 2020-01-01. Nothing was published. "
        "Choose a later day, or bring the data."
    )


def test_a_flipped_bit_in_what_was_landed_is_refused_when_it_is_read_and_a_rebuild_heals_it(rapport):
    Path("state/state.duckdb").unlink()
    [file] = Path("state/landed/shop").glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    told = refused(rapport, 4)
    assert "orders (source shop), file shop.csv: what was landed of it on " in told
    assert "Run once with --rebuild, which lands every source again" in told
    before = table("account_segments", "* exclude (run_id)")
    assert rapport("run", "--rebuild").code == 0
    assert table("account_segments", "* exclude (run_id)") == before


# 5 and 75: the warehouse


def test_a_warehouse_that_is_none_is_told_and_left_as_it_is(rapport):
    Path("warehouse.duckdb").write_text("not a database, " * 1000)
    assert refused(rapport, 5).startswith("warehouse warehouse.duckdb: ")


def test_a_second_run_at_the_same_time_is_told_who_holds_it(rapport):
    with held(Path("state/lock"), "the state", "r1", datetime(2026, 1, 15, 2, tzinfo=UTC)):
        told = refused(rapport, 75)
    assert told.startswith("another run holds the state of Two rooms (started 2026-01-15 02:00 UTC by run r1, process ")
    assert told.endswith("Nothing was changed. Wait for it, or pass --wait 10m.")


# 0: what a run lives with


UNFIT = {
    "x1,1,A1,2025-12-01,NaN,Jane Doe": "amount is unreadable",
    "x2,1,A1,2025-12-01,-inf,Jane Doe": "amount is unreadable",
    "x3,1,A1,2025-12-01,1e30,Jane Doe": "amount is unreadable",
    "x4,1,A1,2025-12-01,-1e9,Jane Doe": "amount is out of range",
    "x5,1,A1,0001-01-01,5,Jane Doe": "ordered_at is before 1900",
    "x6,1,A1,2999-01-01,5,Jane Doe": "ordered_at is later than the day after it was delivered",
    'x7,1,"A\0B",2025-12-01,5,Jane Doe': "account_id holds a NUL character",
    **{f"x8,{number},,2025-12-01,5,Jane Doe": "account_id is missing" for number in range(16)},
    "x9,1,A1,2025-12-01": "the line cannot be read: Expected Number of Columns: 6 Found: 4",
    'x11,1,A1,"2025-12-01,5,Jane Doe': "the line cannot be read: Value with unterminated quote found",
}
LATIN = "x10,1,A1,2025-12-01,5,Zoë"
FIT = ["y1,1,A1,2025-12-01,-5.00,Jane Doe", "y2,1,🦊,2025-12-01,0,Jane Doe", "y2,1,A2,2025-12-01,0,Jane Doe"]


def test_unfit_rows_go_to_quarantine_and_the_rest_is_kept(rapport):
    many = [line.replace("o", f"{part}-", 1) for part in "abc" for line in GOOD]
    text = "\n".join([HEADER, *many[:60], *UNFIT, *many[60:], *FIT, ""])
    Path("shop.csv").write_bytes(text.encode() + LATIN.encode("latin-1"))
    with_numbers = {"id": ["p1", "p2"], "no": 1, "account": [1042.0, 1.0], "at": ["2025-12-02"] * 2, "amount": 1.0}
    pl.DataFrame(with_numbers).write_parquet("till.parquet")
    lines = [json.dumps(dict(zip(HEADER.split(","), f"j{line}".split(","), strict=True))) for line in GOOD]
    csv(Path(), "web.jsonl", *lines[:7], lines[7][:-5], lines[8].replace('"A0"', '"1042"'), *lines[9:])
    csv(Path(), "mail.csv", MAIL)
    orders = [source(file, name=file.partition(".")[0]) for file in ("shop.csv", "till.parquet", "web.jsonl")]
    write_firm(sources={"orders": orders, "engagements": [source("mail.csv", EVENTS, "mail")]})
    answer = rapport()
    assert answer.code == 0, answer.err
    assert not any(word in answer.out + answer.err for word in PERSONAL)
    encoding = "Invalid unicode (byte sequence mismatch) detected. This file is not utf-8 encoded"
    assert sorted(reason for (reason,) in table("quarantine", "reason")) == sorted(
        [*UNFIT.values(), f"the line cannot be read: {encoding}", "the line cannot be read: not a JSON object"]
    )
    assert counts() == {
        # of the shop the first night's 40 rows, and one of two versions of y2
        "shop": (122, 41, len(UNFIT) + 1),
        "till": (2, 0, 0),
        "web": (39, 0, 1),
        "mail": (0, 20, 0),
    }
    accounts = sorted(account for (account,) in table("account_segments", "distinct account_id"))
    assert accounts == ["1", "1042", *(f"A{number}" for number in range(8)), "🦊"]


def test_a_firm_without_engagements_is_judged_by_its_orders(rapport):
    write_firm(sources={"orders": [source("shop.csv")]})
    assert rapport().code == 0
    assert len(table("account_segments", "distinct account_id")) == 8


# the command itself


def test_a_refused_command_ends_with_its_code_and_one_message(tmp_path):
    (tmp_path / "firm.yaml").write_text("business: [")
    command = [sys.executable, "-c", "from flows.cli import main; main()", "check", "--config", "firm.yaml"]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("firm.yaml:1: this is not YAML")
    assert "Traceback" not in ended.stderr
