"""What a run found, read from the run's own working data."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import duckdb

from config.catalogue import BY_NAME
from config.recording import recorded
from config.rules import ROLL_UP
from config.tables import NO_LINE
from flows.stages import Run, fitted
from flows.state import connected
from transforms.features import unrecorded_features
from transforms.purchases import unfitted

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
class Transition:
    """Accounts of a line that changed in the same way since the last day published before; no segment where there was none."""

    line: str
    previous_segment: str | None
    segment: str | None
    because: str
    accounts: int
    revenue_12m: float


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
        changed_since: the last day published before, None where there was none.
        transitions: what changed since then, the most frequent first; empty where there was no day before.
        reasons: the three most frequent reasons of clients for, and of customers against.
        rows: per source: read, accepted, superseded, quarantined.
        quarantine: refused rows by reason.
        not_recorded: features that are unknown for all, since no source records what they need.
        unfitted: lines whose purchase models could not be fitted, and what follows.
        warnings: checks of the audits that did not pass, though they stop no run; and rows that have no line where others do.
    """

    run_id: str
    business: str
    as_of: date
    currency: str
    outcome: str
    warehouse: str
    segments: tuple[Segment, ...]
    changed_since: date | None
    transitions: tuple[Transition, ...]
    reasons: tuple[Reason, ...]
    rows: tuple[dict[str, str | int], ...]
    quarantine: dict[str, int]
    not_recorded: tuple[str, ...]
    unfitted: tuple[str, ...]
    warnings: tuple[str, ...]


def report(run: Run, outcome: str) -> Report:
    """Reads the report of a run from its working data, after its last stage.

    What has been published is not asked: another program may have the warehouse open by now.
    """
    with connected(run.business, run.folder) as con:
        segments = tuple(Segment(*row) for row in con.execute(_SEGMENTS).fetchall())
        before = next((day for (day,) in con.execute("select as_of from day_before").fetchall()), None)
        return Report(
            run_id=run.run_id,
            business=run.business.business,
            as_of=run.as_of,
            currency=run.business.currency,
            outcome=outcome,
            warehouse=run.place,
            segments=segments,
            changed_since=before,
            transitions=tuple(Transition(*row) for row in con.execute(_TRANSITIONS).fetchall()) if before else (),
            reasons=(*_reasons(con, "client", "for"), *_reasons(con, "customer", "against")),
            rows=tuple(con.sql("select * from row_counts order by role, source").pl().to_dicts()),
            quarantine=dict(
                con.execute("select reason, count(*) from quarantine group by 1 order by 2 desc, 1").fetchall()
            ),
            not_recorded=tuple(unrecorded_features(recorded(run.business.sources))),
            unfitted=tuple(unfitted(fitted(run))),
            warnings=(
                *(
                    f"{table}: {sentence}"
                    for table, sentence in con.execute(
                        "select \"table\", sentence from audits where outcome <> 'passed' order by all"
                    ).fetchall()
                ),
                *_astray(segments),
            ),
        )


def _astray(segments: Iterable[Segment]) -> Iterator[str]:
    """A warning of rows without a line of business, where others have one."""
    lines = {each.line for each in segments if each.accounts} - {ROLL_UP}
    if NO_LINE in lines and len(lines) > 1:
        yield f"rows without a line count in one of their own, '{NO_LINE}', and for none of the {len(lines) - 1:,} others"


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


_TRANSITIONS = """
    select line, previous_segment, segment, because, count(*) as accounts, coalesce(sum(revenue_12m), 0)::double
    from segment_changes
    group by line, previous_segment, segment, because
    order by line <> '*', line, accounts desc, previous_segment, segment, because
"""


def _reasons(con: duckdb.DuckDBPyConnection, segment: str, side: str) -> list[Reason]:
    found = con.execute(
        "select feature, sum(accounts)::bigint as accounts from reason_counts where segment = $segment and side = $side "
        "group by feature order by accounts desc, feature limit $most",
        {"segment": segment, "side": side, "most": REASONS_A_SIDE},
    ).fetchall()
    return [Reason(segment, side, feature, BY_NAME[feature].meaning, accounts) for feature, accounts in found]
