"""Who there is: one row an account x line of business, and the truth about it."""

import polars as pl

from flows.example import firm
from flows.example.chance import draw, pick, uniform, within

FIRST_NUMBER = 1001
SEEN_WITHIN_WEEKS = 20  # an account older than the records shows up within their first weeks
HANDLES = 24
HANDLES_FROM_WEEK = 53  # the till of the first year knew numbers only
EMOJI = ["🦉", "🏛️", "📜", "⚖️", "🖋️", "🗝️"]


def relationships() -> pl.DataFrame:
    """Every account x line: its archetype's parameters and what is its own.

    Returns:
        One row an account x line; `start`, `first` (with anything in it) and `end` in weeks since the first
        day, `order_tempo` and `contact_tempo` as multiples of the archetype's rates, `own_handler`.
    """
    accounts = firm.ACCOUNTS.select(pl.col("legal", "documents").repeat_by("accounts").list.explode())
    numbers = FIRST_NUMBER + uniform("account numbers", accounts.height).argsort(kind="stable")
    rows = (
        accounts.with_columns(account_id=pl.Series(numbers).cast(pl.String))
        .unpivot(["legal", "documents"], index="account_id", variable_name="line", value_name="archetype")
        .drop_nulls("archetype")
        .sort("account_id", "line")
        .join(firm.ARCHETYPES, on=["archetype", "line"], maintain_order="left")
    )
    start = within(pl.col("starts"), draw(rows, "start"))
    seen = pl.lit(draw(rows, "first") * SEEN_WITHIN_WEEKS).floor().cast(pl.Int64)
    rows = rows.with_columns(
        start=start,
        end=start + within(pl.col("lasts"), draw(rows, "end")),
        first=pl.when(start < 0).then(seen).otherwise(start),
        order_tempo=0.4 + 1.8 * draw(rows, "order tempo") * draw(rows, "order tempo again"),
        contact_tempo=0.2 + 3.2 * draw(rows, "contact tempo") * draw(rows, "contact tempo again"),
        own_handler=handler(draw(rows, "own handler")),
    ).with_row_index("relationship")
    return with_handles(rows)


def handler(drawn: pl.Series) -> pl.Expr:
    """Someone of the line's staff, such as 'lawyer-07'; nobody has a name here."""
    role = pl.col("line").replace_strict({line: role for line, (role, _) in firm.STAFF.items()})
    people = pl.col("line").replace_strict({line: people for line, (_, people) in firm.STAFF.items()})
    number = 1 + (drawn * people).floor().cast(pl.Int64)
    return pl.format("{}-{}", role, number.cast(pl.String).str.zfill(2))


def with_handles(rows: pl.DataFrame) -> pl.DataFrame:
    """Gives some accounts of the shop alone a handle for an id."""
    only_shop = rows.filter(pl.len().over("account_id") == 1, line="documents")
    chosen = pick(only_shop.filter(pl.col("start") >= HANDLES_FROM_WEEK), HANDLES, "handles")
    emoji = pl.Series([EMOJI[i % len(EMOJI)] for i in range(HANDLES)])
    handles = chosen.select("relationship", handle=pl.format("guest-{}-{}", emoji, "account_id"))
    return (
        rows.join(handles, on="relationship", how="left", maintain_order="left")
        .with_columns(account_id=pl.coalesce("handle", "account_id"))
        .drop("handle")
    )


def truth(relationships: pl.DataFrame) -> pl.DataFrame:
    """What each account x line was made to be, and each account (`line` '*'), a client if in any line."""
    by_line = relationships.select("account_id", "line", "archetype", "segment", is_ambiguous=pl.col("doubt") == "yes")
    by_account = by_line.group_by("account_id").agg(
        line=pl.lit("*"),
        archetype=pl.col("archetype").sort_by("line").str.join("+"),
        segment=pl.col("segment").min(),  # 'client' sorts before 'customer', and that before 'prospect'
        is_ambiguous=pl.col("is_ambiguous").any(),
    )
    return pl.concat([by_line, by_account]).sort("account_id", "line")
