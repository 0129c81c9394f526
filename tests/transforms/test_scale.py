"""Many rows, which DuckDB and Polars divide among threads: the result is the same to the last bit."""

from datetime import date

import duckdb

from config.tables import ACCOUNT_SEGMENTS
from flows.package import PACKAGED, content_hash
from tests.night import conformed, judged, memory, stand
from tests.rulers import EVERY_FEATURE

ROWS = 300_000
ACCOUNTS = 20_000
AS_OF = date(2026, 3, 31)

DRAWN = "create macro drawn(n, what, most) as cast(hash(n, what) % most as integer)"
MANY_ORDERS = """
    insert into checked_orders by name
    select
        'shop' as source,
        'b1' as batch,
        n as position,
        timestamp '2026-04-01 02:00' as delivered_at,
        'o' || n as order_id,
        '1' as line_number,
        'A' || drawn(n, 'account', $accounts) as account_id,
        if(drawn(n, 'line', 4) = 0, 'law', 'shop') as line,
        date '2026-04-05' - drawn(n, 'day', 900) as ordered_on,
        cast(ordered_on as timestamp) as ordered_at,
        (drawn(n, 'amount', 90000) - 5000) / 100 as amount,
        if(drawn(n, 'channel', 3) = 0, 'web', 'phone') as channel,
        if(drawn(n, 'handler', 3) = 0, null, 'h1') as handler,
        drawn(n, 'custom', 3) = 0 as is_custom,
        drawn(n, 'recurring', 5) = 0 as is_recurring,
        drawn(n, 'service', 2) = 0 as is_service,
        if(is_recurring, drawn(n, 'term', 24) + 1, null) as term_months
    from range($rows) as numbers (n)
    order by hash(n, $order)
"""
MANY_EVENTS = """
    insert into checked_engagements by name
    select
        'mail' as source,
        'b1' as batch,
        n as position,
        timestamp '2026-04-01 02:00' as delivered_at,
        'e' || n as event_id,
        'A' || drawn(n, 'account of event', $accounts) as account_id,
        if(drawn(n, 'line of event', 4) = 0, 'law', 'shop') as line,
        date '2026-04-05' - drawn(n, 'day of event', 900) as occurred_on,
        cast(occurred_on as timestamp) as occurred_at,
        (['email', 'call', 'meeting', 'pilot', 'feedback', 'referral', 'survey'])[drawn(n, 'kind', 7) + 1] as kind,
        (['inbound', 'outbound', 'mutual'])[drawn(n, 'direction', 3) + 1] as direction,
        if(drawn(n, 'score', 4) = 0, (drawn(n, 'points', 7)) / 6, null) as score,
        drawn(n, 'bulk', 5) = 0 as is_bulk
    from range($rows) as numbers (n)
    order by hash(n, $order)
"""


def content(threads: int, order: str) -> tuple[str, int]:
    """Hash of what is published of many rows that come in a certain order, and how many rows that is."""
    con = memory(threads)
    conformed(con, [], [])
    con.execute(DRAWN)
    for statement in (MANY_ORDERS, MANY_EVENTS):
        con.execute(statement, {"rows": ROWS, "accounts": ACCOUNTS, "order": order})
    stand(con)
    found = judged(con, AS_OF, EVERY_FEATURE)
    return published_hash(con), found.segments.height


def published_hash(con: duckdb.DuckDBPyConnection) -> str:
    known = {row[0] for row in con.execute("describe account_segments").fetchall()}
    added = ", ".join(f"null as {column.name}" for column in ACCOUNT_SEGMENTS if column.name not in known)
    con.execute(f"create table segments as select *, {added} from account_segments")
    con.execute("create table quarantine (source text, batch text, position bigint, reason text, row_json text)")
    return content_hash(
        con, dict.fromkeys(PACKAGED, "") | {name: name for name in PACKAGED} | {"account_segments": "segments"}
    )


def test_another_number_of_threads_and_order_of_rows_give_the_same_content():
    on_one_thread, rows = content(threads=1, order="as they come")
    assert rows > ACCOUNTS
    assert content(threads=8, order="shuffled") == (on_one_thread, rows)
