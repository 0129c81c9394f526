"""What people decided, as frames of the day that they are in force on."""

from collections.abc import Collection, Iterable
from datetime import date

import polars as pl

from config.decisions import Decisions, Merge, Override
from transforms.holding import NO_OVERRIDES


def overrides_in_force(decisions: Decisions, lines: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The verdicts set by hand for a day, one row per account x line that they set; as `NO_OVERRIDES` has its columns.

    Args:
        decisions: what people decided.
        lines: `account_id` and `line` of each account x line that there is.
        as_of: the day.
    """
    in_force = [each for each in decisions.overrides if each.first_day <= as_of <= each.last_day]
    rows = [(each.account_id, each.line, each.segment, _note(each)) for each in in_force]
    schema = NO_OVERRIDES.schema | {"line": pl.String}
    given = pl.DataFrame(rows, schema=schema, orient="row").rename({"line": "given_line"})
    return (
        lines.select("account_id", "line")
        .join(given, on="account_id", how="inner")
        .filter(pl.col("given_line").is_null() | (pl.col("given_line") == pl.col("line")))
        .select(NO_OVERRIDES.columns)
    )


def unmet_overrides(decisions: Decisions, lines: pl.DataFrame, as_of: date) -> list[Override]:
    """Overrides in force on a day for an account or a line that there is not."""
    met = set(overrides_in_force(decisions, lines, as_of).select("account_id", "line").iter_rows())
    accounts = {account for account, _ in met}
    return [
        each
        for each in decisions.overrides
        if each.first_day <= as_of <= each.last_day
        and ((each.account_id, each.line) not in met if each.line else each.account_id not in accounts)
    ]


def joined_accounts(merges: Iterable[Merge], before: Collection[str]) -> list[str]:
    """Accounts that another was merged into since the last day published, however late that was decided.

    Args:
        merges: those that count on the day.
        before: accounts that had a verdict of their own on the last day published.
    """
    return sorted({each.into for each in merges if each.account_id in before})


def merges_in_force(decisions: Decisions, as_of: date) -> list[Merge]:
    """The merges that count on a day."""
    return [each for each in decisions.merges if each.first_day <= as_of]


def _note(override: Override) -> str:
    return f"Set by hand until {override.last_day} by {override.author}: {override.reason.rstrip('.')}"
