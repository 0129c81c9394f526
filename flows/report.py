"""What a run found, read from the run's own working data."""

from dataclasses import dataclass
from datetime import date

import duckdb

from config.catalogue import BY_NAME
from flows.stages import Run
from flows.state import connected
from flows.warehouse import location

REASONS_A_SIDE = 3


@dataclass(frozen=True)
class Segment:
    """The accounts of one segment in one line of business."""

    line: str
    segment: str
    accounts: int
    accounts_share: float
    revenue_12m: float
    revenue_share: float | None
    entered: int
    left: int


@dataclass(frozen=True)
class Reason:
    """A feature that is among the three largest contributions of many accounts of a segment."""

    segment: str
    side: str
    feature: str
    meaning: str
    accounts: int


@dataclass(frozen=True)
class Report:
    """What a run found.

    Attributes:
        run_id: the run.
        business: the business's name.
        as_of: last day counted.
        currency: the reporting currency.
        outcome: what became of the result, in words.
        warehouse: where the tables are.
        segments: accounts and revenue per line and segment.
        reasons: the three most frequent reasons of clients for, and of customers against.
        rows: per source: read, accepted, superseded, quarantined.
        quarantine: refused rows by reason.
        warnings: checks of the audits that did not pass, though they stop no run.
    """

    run_id: str
    business: str
    as_of: date
    currency: str
    outcome: str
    warehouse: str
    segments: tuple[Segment, ...]
    reasons: tuple[Reason, ...]
    rows: tuple[dict[str, str | int], ...]
    quarantine: dict[str, int]
    warnings: tuple[str, ...]


def report(run: Run, outcome: str) -> Report:
    """Reads the report of a run from its working data, after its last stage."""
    with connected(run.business, run.folder) as con:
        return Report(
            run_id=run.run_id,
            business=run.business.business,
            as_of=run.as_of,
            currency=run.business.currency,
            outcome=outcome,
            warehouse=str(location(run.business)),
            segments=tuple(Segment(*row) for row in con.execute(_SEGMENTS).fetchall()),
            reasons=(*_reasons(con, "client", "for"), *_reasons(con, "customer", "against")),
            rows=tuple(con.sql("select * from row_counts order by role, source").pl().to_dicts()),
            quarantine=dict(
                con.execute("select reason, count(*) from quarantine group by 1 order by 2 desc, 1").fetchall()
            ),
            warnings=tuple(
                f"{table}: {sentence}"
                for table, sentence in con.execute(
                    "select \"table\", sentence from audits where outcome <> 'passed' order by all"
                ).fetchall()
            ),
        )


_SEGMENTS = """
    select
        line,
        segment,
        sum(accounts)::bigint,
        sum(accounts) / sum(sum(accounts)) over (partition by line),
        sum(revenue_12m)::double,
        sum(revenue_share),
        sum(entered_accounts)::bigint,
        sum(left_accounts)::bigint
    from segment_summary
    group by line, segment
    order by line = '*', line, segment
"""


def _reasons(con: duckdb.DuckDBPyConnection, segment: str, side: str) -> list[Reason]:
    found = con.execute(
        "select feature, sum(accounts)::bigint as accounts from reason_counts where segment = $segment and side = $side "
        "group by feature order by accounts desc, feature limit $most",
        {"segment": segment, "side": side, "most": REASONS_A_SIDE},
    ).fetchall()
    return [Reason(segment, side, feature, BY_NAME[feature].meaning, accounts) for feature, accounts in found]
