"""A business of any size as Parquet files, made inside DuckDB: accounts whose size follows Zipf's law, two lines, all columns.

Run: `uv run python -m tests.benchmarks.generated DIRECTORY MILLIONS` for so many million orders and four times as many
events.
"""

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

LAST_DAY = date(2026, 6, 29)
DAYS = 1095
ORDERS_AN_ACCOUNT = 10
EVENTS_AN_ORDER = 4
CHUNK = 1_000_000
NEW_SHARE = 0.01
LATE_SHARE = 0.001
DUPLICATE_SHARE = 0.01

# hash() gives the same number the same row everywhere; an account's part falls with the power 2/3 of its rank
MACROS = """
    create macro drawn(n, what, most) as cast(hash(n, what) % most as bigint);
    create macro ranked(n, what, most) as cast(floor(most * pow(cast(hash(n, what) >> 11 as double) / 9007199254740992, 3))
        as bigint);
"""
ORDERS = """
    select
        'o' || (id // 2) as order_id,
        cast(id % 2 + 1 as varchar) as line_number,
        'A' || lpad(ranked(id // 2, 'account', $accounts) :: varchar, 8, '0') as account_id,
        if(drawn(id // 2, 'line', 5) = 0, 'law', 'shop') as line,
        $last_day - cast(age as integer) + to_seconds(drawn(id // 2, 'second', 86400)) as ordered_at,
        cast(if(drawn(id, 'return', 40) = 0, -1, 1) * (drawn(id, 'amount', 50000) + 100) / 100 as decimal(18, 2)) as amount,
        cast(drawn(id, 'quantity', 5) + 1 as double) as quantity,
        if(drawn(id, 'listed', 20) = 0, null, cast((drawn(id, 'amount', 50000) + 100) / 95 as decimal(18, 2)))
            as list_amount,
        'p' || drawn(id, 'product', 5000) as product_id,
        'c' || drawn(id, 'category', 30) as category,
        if(drawn(id, 'handled', 3) = 0, null, 'h' || drawn(id, 'handler', 40)) as handler,
        (['web', 'phone', 'shop', 'email'])[drawn(id, 'channel', 4) + 1] as channel,
        drawn(id, 'custom', 6) = 0 as is_custom,
        drawn(id, 'recurring', 8) = 0 as is_recurring,
        drawn(id, 'service', 3) = 0 as is_service,
        if(drawn(id, 'recurring', 8) = 0, cast(drawn(id, 'term', 12) + 1 as integer), null) as term_months,
        if(drawn(id, 'cancelled', 100) = 0, 'cancelled', 'paid') as status,
        cast(null as timestamp) as updated_at
    from ({rows})
"""
EVENTS = """
    select
        'e' || id as event_id,
        'A' || lpad(ranked(id // 4, 'account of event', $accounts) :: varchar, 8, '0') as account_id,
        if(drawn(id // 4, 'line of event', 3) = 0, 'law', 'shop') as line,
        $last_day - cast(age as integer) + to_seconds(drawn(id, 'second', 86400)) as occurred_at,
        (['email', 'email', 'email', 'email', 'chat', 'call', 'meeting', 'ticket', 'feedback', 'consultation', 'survey',
            'campaign', 'referral'])[drawn(id, 'kind', 13) + 1] as kind,
        if(drawn(id, 'direction', 2) = 0, 'inbound', 'outbound') as direction,
        if(drawn(id, 'reply', 6) = 0 and id % 4 > 0, 'e' || (id - 1), null) as in_reply_to,
        if(drawn(id // 4, 'threaded', 2) = 0, 't' || (id // 4), null) as thread_id,
        if(drawn(id, 'contacted', 3) = 0, null, 'k' || drawn(id, 'contact', 4)) as contact,
        if(drawn(id, 'handled', 3) = 0, null, 'h' || drawn(id, 'handler', 40)) as handler,
        cast(drawn(id, 'minutes', 60) as double) as minutes,
        if(drawn(id, 'scored', 10) = 0, drawn(id, 'score', 11) / 10, null) as score,
        drawn(id, 'bulk', 8) = 0 as is_bulk,
        cast(null as timestamp) as updated_at
    from ({rows})
"""
ROLES = {"orders": (ORDERS, 1), "engagements": (EVENTS, EVENTS_AN_ORDER)}


def main(folder: Path, orders: int) -> None:
    """Writes the history, in the order of time."""
    for role in ROLES:
        for number, rows in enumerate(history(role, orders)):
            _write(folder / role / f"{number:04}.parquet", role, orders, rows, LAST_DAY)


def night(folder: Path, orders: int) -> None:
    """Writes what one more day brings: 1 % more rows, and 0.1 % that belong to days gone by."""
    for role, (_, times) in ROLES.items():
        first, new, late = orders * times, int(orders * times * NEW_SHARE), int(orders * times * LATE_SHARE)
        rows = (
            f"select id, if(id < {first + new}, 0, 1 + hash(id, 'late') % {DAYS}) as age "
            f"from range({first}, {first + new + late}) as numbers (id)"
        )
        _write(folder / role / "night.parquet", role, orders, rows, LAST_DAY + timedelta(days=1))


def write_orders(file: Path, orders: int) -> None:
    """Writes the orders of a history as one file."""
    _write(file, "orders", orders, " union all ".join(history("orders", orders)), LAST_DAY)


def history(role: str, orders: int) -> Iterator[str]:
    """The rows of a history in chunks: their numbers and how many days they lie back; some come twice."""
    total = orders * ROLES[role][1]
    for start in range(0, total, CHUNK):
        end = min(start + CHUNK, total)
        numbers = f"select id, cast({DAYS} * (1 - id / {total}) as integer) as age from range({start}, {end}) as n (id)"
        again = f"select * from ({numbers}) where hash(id, 'twice') % {round(1 / DUPLICATE_SHARE)} = 0"
        yield f"{numbers} union all {again}"


def _write(file: Path, role: str, orders: int, rows: str, last_day: date) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute(MACROS)
        select = ROLES[role][0].format(rows=rows)
        select = select.replace("$last_day", f"date '{last_day}'").replace(
            "$accounts", str(orders // ORDERS_AN_ACCOUNT)
        )
        con.execute(f"copy ({select}) to '{file}' (format parquet, compression zstd)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(float(sys.argv[2]) * 1_000_000))
