"""The bundled example: the same each time, as dirty as it declares, its truth told by no other file."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from config.expressions import scalar_sql, source_columns
from config.settings import load
from config.sources import AnyFiles, PostgresSource
from config.tables import ENGAGEMENTS, ORDERS, Table
from flows.example import accounts, firm, orders, write_example
from flows.example.chance import uniform

BUSINESS = load(Path(__file__).parents[2] / "config" / "hartley.yaml")
SOURCES = {
    source.name: source
    for source in (*BUSINESS.sources.orders, *BUSINESS.sources.engagements)
    if not isinstance(source, PostgresSource)
}
DATA = ".rapport/example/data"
READERS = {
    ".csv": "read_csv('{}', all_varchar = true)",
    ".parquet": "read_parquet('{}')",
    ".jsonl": "read_json('{}')",
}
KINDS = {
    *("email", "call", "meeting", "chat", "ticket", "visit", "consultation", "feature_request", "pilot"),
    *("design_review", "feedback", "survey", "referral", "campaign"),
}

# What each source calls things. Times are in the zone by which its files are cut into years.
WHEN = {
    "legal": "try_cast(invoiced_at as timestamp)",
    "shop": "bought_at at time zone 'America/New_York'",
    "mail": "try_cast(sent_at as timestamp)",
    "calendar": "try_cast(starts as timestamp)",
    "helpdesk": "try_cast(opened_at as timestamp)",
    "reviews": "try_cast(given_at as timestamp)",
}
ACCOUNT = {
    "legal": "coalesce(account_id, AccountID)",
    "shop": "cast(account_no as varchar)",
    "mail": "account",
    "calendar": "account_no",
    "helpdesk": "account",
    "reviews": "account",
}
ORDER = {"legal": "invoice_no", "shop": "basket_id"}
AMOUNT = {"legal": "try_cast(net_amount as decimal(18, 2))", "shop": "paid"}
STATUS = {"legal": "state", "shop": "status"}
KEY = {
    "legal": "(invoice_no, pos)",
    "shop": "(basket_id, position)",
    "mail": "message_id",
    "calendar": "entry",
    "helpdesk": "event_id",
    "reviews": "found",
}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    write_example(folder)
    return folder


@pytest.fixture(scope="module")
def con(example: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Each source's rows as its files have them, with `file_year`; `orders` and `engagements` as mapped."""
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        for name, source in SOURCES.items():
            paths = files(example, source)
            union(con, name, [f"select *, {year(path)} as file_year from {read(path)}" for path in paths])
        for table in ("orders", "engagements"):
            sources = getattr(BUSINESS.sources, table)
            union(
                con,
                table,
                [mapped(con, source, path) for source in sources for path in files(example, source)],
            )
        con.execute(f"create table truth as from {read(example / 'truth' / 'truth.csv')}")
        con.execute(f"create table dirt as from read_csv('{example / 'truth' / 'dirt.csv'}')")
        yield con


def union(con: duckdb.DuckDBPyConnection, table: str, selects: list[str]) -> None:
    con.execute(f"create table {table} as {' union all by name '.join(selects)}")


def files(example: Path, source: AnyFiles) -> list[Path]:
    return sorted(example.glob(str(Path(source.path).relative_to(DATA))))


def read(path: Path) -> str:
    return READERS[path.suffix].format(path)


def year(path: Path) -> str:
    found = re.search(r"_(\d{4})$", path.stem)
    return found[1] if found else "null"


def mapped(con: duckdb.DuckDBPyConnection, source: AnyFiles, path: Path) -> str:
    """The file's rows under our names, as its mapping in the business file says; all values as text."""
    in_file = {name for name, *_ in con.execute(f"describe from {read(path)}").fetchall()}
    columns = []
    for ours, mapping in source.columns.items():
        alternatives = [mapping] if isinstance(mapping, str) else mapping
        expression = next(each for each in alternatives if source_columns(each) <= in_file)
        columns.append(f"cast({scalar_sql(expression)} as varchar) as {ours}")
    return f"select '{source.name}' as source, {', '.join(columns)} from {read(path)}"


def digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_another_process_with_one_thread_in_another_zone_writes_the_same_bytes(example: Path, tmp_path: Path):
    code = "import pathlib, sys, flows.example; flows.example.write_example(pathlib.Path(sys.argv[1]))"
    elsewhere = {"TZ": "Asia/Kolkata", "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ | elsewhere, check=True)

    assert digests(tmp_path) == digests(example)


def test_writing_again_replaces_the_files(example: Path):
    before = digests(example)
    write_example(example)

    assert digests(example) == before


def test_the_draws_are_the_top_53_bits_of_pcg64():
    # stepped by hand: 128-bit integers of plain Python, started from the seed sequence (1868, ord('x'))
    assert uniform("x", 2, 1).tolist() == [[0.8591464714950942], [0.8383117607043732]]


def test_the_example_is_small(con: duckdb.DuckDBPyConnection, example: Path):
    both = "select 1 from orders union all select 1 from engagements"
    ((rows,),) = con.sql(f"select count(*) from ({both})").fetchall()
    size = sum(path.stat().st_size for path in example.rglob("*") if path.is_file())

    assert 40_000 <= rows <= 80_000
    assert size <= 15_000_000


def test_the_business_file_reads_every_file_but_the_truth(example: Path):
    read_by_some = {path for source in SOURCES.values() for path in files(example, source)}

    assert {path for path in example.rglob("*.*") if path.parent.name != "truth"} == read_by_some


@pytest.mark.parametrize("source", SOURCES)
def test_each_kind_of_dirt_is_there_as_often_as_declared(source: str, con: duckdb.DuckDBPyConnection):
    declared = dict(con.sql(f"select kind, coalesce({source}, 0) from dirt").fetchall())

    assert found_dirt(con, source) == declared


def found_dirt(con: duckdb.DuckDBPyConnection, source: str) -> dict[str, int]:
    """Rows of each kind of dirt, counted in the files alone; all but `duplicated` among distinct rows."""
    account, when = ACCOUNT[source], WHEN[source]
    order, amount, status = (names.get(source, "'-'") for names in (ORDER, AMOUNT, STATUS))
    is_order, is_mail = source in ORDER, source == "mail"
    is_sound = f"{account} is not null and {when} is not null"
    conditions = {
        "late": f"year({when}) < file_year",
        "padded": f"{account} <> trim({account})",
        "no_account": f"{account} is null",
        "no_order": f"{order} is null",
        "broken_date": f"{when} is null",
        "broken_amount": f"{amount} is null",
        "cancelled": f"{status} = 'cancelled'",
        "returned": f"{amount} < 0 and {order} not like 'CR-%'" if is_order else "false",
        "credited": f"{amount} < 0 and {order} like 'CR-%'" if is_order else "false",
        "auto_reply": f"auto_submitted is not null and {is_sound}" if is_mail else "false",
        "bulk": f"precedence = 'bulk' and {is_sound}" if is_mail else "false",
    }
    counts = ", ".join(f"count(*) filter ({condition}) as {kind}" for kind, condition in conditions.items())
    counted = con.sql(f"""
        select
            (select count(*) from {source}) - count(*) as duplicated,
            count({order}) - count(distinct {KEY[source]}) filter ({order} is not null) as versions,
            {counts}
        from (select distinct * from {source}) as found
    """)
    (row,) = counted.fetchall()
    found = dict(zip(counted.columns, row, strict=True))
    return found | {"corrected": found.pop("versions") - found["cancelled"]}


def test_without_its_dirt_the_ledger_is_what_was_ordered(con: duckdb.DuckDBPyConnection):
    cleaned = con.sql("""
        with versions as (
            select
                *,
                row_number() over (partition by order_id, line_number order by updated_at desc) as version
            from orders
            where order_id is not null and account_id is not null
                and ordered_at is not null and amount is not null
        )
        select order_id, cast(line_number as int), account_id, line, cast(amount as double)
        from versions
        where version = 1 and status <> 'cancelled' and cast(amount as decimal(18, 2)) > 0
    """).fetchall()
    columns = ("order_id", "line_number", "account_id", "line", "amount")
    ordered = orders.order_lines(accounts.relationships()).select(columns).rows()

    assert sorted(cleaned) == sorted(ordered)


def test_the_truth_has_each_account_of_the_files_once_in_each_line_and_once_in_all(
    con: duckdb.DuckDBPyConnection,
):
    seen = con.sql("""
        select account_id, line from orders where account_id is not null
        union
        select account_id, line from engagements where account_id is not null
    """).fetchall()
    truth = con.sql("select account_id, line from truth").fetchall()

    assert sorted(truth) == sorted([*seen, *((account, "*") for account in {account for account, _ in seen})])


def test_an_account_is_a_client_if_it_is_one_in_any_line(con: duckdb.DuckDBPyConnection):
    differing = con.sql("""
        with lines as (
            select account_id, list(segment) as segments from truth where line <> '*' group by account_id
        )
        select *
        from lines inner join truth on lines.account_id = truth.account_id and truth.line = '*'
        where truth.segment <> case
            when list_contains(segments, 'client') then 'client'
            when list_contains(segments, 'customer') then 'customer'
            else 'prospect'
        end
    """).fetchall()

    assert differing == []


def test_every_client_has_a_tenth_of_its_revenue_or_contacts_where_it_is_one(con: duckdb.DuckDBPyConnection):
    """Otherwise the truth about the account would not follow from the truth about its lines."""
    slight = con.sql("""
        with revenue as (
            select account_id, line, sum(cast(amount as decimal(18, 2))) as part from orders group by all
        ),
        contacts as (
            select account_id, line, count(*) as part from engagements
            where is_bulk is distinct from 'true' group by all
        ),
        shares as (
            select
                truth.*,
                revenue.part / sum(revenue.part) over (partition by truth.account_id) as revenue_share,
                contacts.part / sum(contacts.part) over (partition by truth.account_id) as contact_share
            from truth
            left join revenue using (account_id, line)
            left join contacts using (account_id, line)
            where line <> '*'
        )
        select * from shares where segment = 'client' and greatest(revenue_share, contact_share) < 0.1
    """).fetchall()

    assert slight == []


def test_nothing_in_the_input_files_names_the_truth(con: duckdb.DuckDBPyConnection, example: Path):
    segments = {"client", "clients", "customer", "customers", "prospect", "prospects"}
    telling = {"truth", "archetype", "ambiguous", "doubt", *segments, *firm.ARCHETYPES["archetype"]}
    paths = [path for source in SOURCES.values() for path in files(example, source)]
    texts = [path.read_text() for path in paths if path.suffix != ".parquet"]
    words = {word.lower() for text in texts for word in re.findall("[A-Za-z_]+", text)}
    till = con.sql("select distinct columns(* exclude (bought_at, updated_at, paid)) from shop")
    words |= {str(value).lower() for row in (till.columns, *till.fetchall()) for value in row}

    assert words & telling == set()


def test_there_are_as_many_accounts_of_each_archetype_as_the_table_says(con: duckdb.DuckDBPyConnection):
    found = con.sql("select archetype, count(*) from truth where line = '*' group by archetype").fetchall()
    declared = {"+".join(filter(None, (documents, legal))): n for n, legal, documents in firm.ACCOUNTS.rows()}

    assert dict(found) == declared
    assert sum(declared.values()) == 3000


def test_between_10_and_15_in_a_hundred_accounts_are_ambiguous(con: duckdb.DuckDBPyConnection):
    (share,) = con.sql("select avg(cast(is_ambiguous = 'true' as int)) from truth where line = '*'").fetchall()[0]

    assert 0.10 <= share <= 0.15


@pytest.mark.parametrize("measure", ["orders", "revenue", "contacts"])
@pytest.mark.parametrize("line", ["legal", "documents"])
def test_no_count_alone_tells_clients_from_customers(line: str, measure: str, con: duckdb.DuckDBPyConnection):
    """Of the accounts that have the most, as many as there are clients, at least a tenth are customers."""
    (share,) = con.execute(
        f"""
        with measured as (
            select
                account_id, line, count(distinct order_id) as orders, sum(cast(amount as double)) as revenue,
                0 as contacts
            from orders group by all
            union all
            select account_id, line, 0, 0, count(*) from engagements
            where is_bulk is distinct from 'true' group by all
        ),
        ranked as (
            select
                segment,
                row_number() over (order by sum({measure}) desc, account_id) as place,
                count(*) filter (segment = 'client') over () as clients
            from measured inner join truth using (account_id, line)
            where line = $line and segment <> 'prospect'
            group by account_id, segment
        )
        select avg(cast(segment = 'customer' as int)) from ranked where place <= clients
        """,
        {"line": line},
    ).fetchall()[0]

    assert share >= 0.1


def test_every_kind_of_event_happens_and_no_other(con: duckdb.DuckDBPyConnection):
    assert {kind for (kind,) in con.sql("select distinct kind from engagements").fetchall()} == KINDS


@pytest.mark.parametrize(("table", "columns"), [("orders", ORDERS), ("engagements", ENGAGEMENTS)])
def test_every_column_that_a_business_can_record_has_values(table: str, columns: Table, con: duckdb.DuckDBPyConnection):
    names = [column.name for column in columns if column.name != "currency"]  # all is in the reporting currency
    counts = con.sql(f"select {', '.join(f'count({name})' for name in names)} from {table}").fetchall()[0]

    assert [name for name, values in zip(names, counts, strict=True) if values == 0] == []


def test_an_account_is_a_number_in_the_first_file_of_the_shop_and_text_in_later_ones(
    con: duckdb.DuckDBPyConnection, example: Path
):
    paths = sorted((example / "orders").glob("*.parquet"))
    types = [con.sql(f"select distinct typeof(account_no) from {read(path)}").fetchall() for path in paths]

    assert types == [[("DOUBLE",)], [("VARCHAR",)], [("VARCHAR",)]]


def test_some_accounts_have_an_emoji_in_their_id(con: duckdb.DuckDBPyConnection):
    ids = [account for (account,) in con.sql("select account_id from truth where line = '*'").fetchall()]

    assert sum(not account.isascii() for account in ids) == accounts.HANDLES


def test_only_the_ledger_of_the_first_year_spells_its_accounts_otherwise(example: Path):
    headers = {path.stem: path.read_text().splitlines()[0].split(",")[2] for path in (example / "orders").glob("*.csv")}

    assert headers == {"legal_2023": "AccountID", "legal_2024": "account_id", "legal_2025": "account_id"}


def test_mail_in_utc_was_begun_in_the_office_hours_of_new_york(con: duckdb.DuckDBPyConnection):
    hours = con.sql("""
        select distinct hour(cast(sent_at as timestamptz) at time zone 'America/New_York')
        from mail
        where in_reply_to is null and precedence is null and desk = 'legal' and sent_at like '____-__-__T%'
    """).fetchall()

    assert {hour for (hour,) in hours} == set(range(8, 18))


def test_each_answer_comes_after_the_message_that_it_answers(con: duckdb.DuckDBPyConnection):
    early = con.sql("""
        select answer.message_id
        from mail as answer
        left join mail as message on answer.in_reply_to = message.message_id
        where
            answer.in_reply_to is not null
            and answer.sent_at like '____-__-__T%'
            and (message.folder = answer.folder or coalesce(message.sent_at > answer.sent_at, true))
    """).fetchall()

    assert early == []
