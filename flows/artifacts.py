"""What a run shows in the Prefect UI. A server that is away, or a full disk, costs what it would have shown, never the run."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import duckdb
import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from config.rules import ROLL_UP
from flows.report import Report, Segment, Transition
from flows.runs import Timing
from flows.stages import Run
from flows.state import WORK, connected

Shown = TypeVar("Shown")


def begin_progress() -> UUID | None:
    """A progress bar of the run; None where the server does not answer."""
    return _unless_away(lambda: cast(UUID, create_progress_artifact(0, key="progress", description="begins")))


def advance_progress(bar: UUID | None, share: float, what: str) -> UUID | None:
    """Moves the bar, if there is one, and gives it back; None from the first time on that the server does not answer.

    Args:
        bar: the bar.
        share: how much is done, 0 to 1.
        what: what is being done now.
    """
    if bar is None:
        return None
    return _unless_away(lambda: cast(UUID, update_progress_artifact(bar, 100 * share, description=what)))


def show_work(run: Run, costs: Sequence[Timing]) -> None:
    """Shows what the audits found and what the stages did and cost, of a refused run too."""

    def show() -> None:
        audits, refused = _rows(run, "audits", _AUDITS), _rows(run, "row_counts", _QUARANTINE)
        create_table_artifact(audits, key="audits", description=_outcomes(audits))
        create_table_artifact(
            refused, key="quarantine", description=f"Refused rows by reason, {_total(refused)} in all"
        )
        create_table_artifact(
            [asdict(each) for each in costs], key="stages", description="What each stage did and cost"
        )

    _unless_away(show)


def show_report(found: Report) -> None:
    """Shows the segments, the reasons, and where the tables are."""

    def show() -> None:
        create_table_artifact(
            [_row(each) | {"change": each.entered - each.left} for each in found.segments],
            key="segments",
            description=f"Segments by line, {found.business}, {found.as_of}; change since the last publication",
        )
        create_table_artifact(
            [_row(each) for each in found.transitions],
            key="transitions",
            description=f"Account lines that changed since {found.changed_since or 'the beginning'}, and why",
        )
        create_table_artifact(
            [asdict(each) for each in found.reasons], key="reasons", description="Most frequent reasons, by segment"
        )
        create_markdown_artifact(_markdown(found), key="run", description=found.outcome)
        file = Path(found.warehouse)
        if file.exists():
            create_link_artifact(
                file.absolute().as_uri(),
                link_text=f"schema rapport in {file}",
                key="published",
                description=found.outcome,
            )

    _unless_away(show)


def _unless_away(show: Callable[[], Shown]) -> Shown | None:
    try:
        return show()
    except (httpx.HTTPError, PrefectException, duckdb.Error) as error:
        get_run_logger().warning(
            "the artifacts could not be written (%s); the run is not affected", type(error).__name__
        )
        return None


_AUDITS = """
    select audit, "table", severity, outcome, unexpected, "rows", sentence
    from audits
    order by outcome = 'passed', severity, audit, "table", sentence
"""

_QUARANTINE = """
    select source, reason, count(*) as "rows" from quarantine group by all order by "rows" desc, source, reason
"""


def _rows(run: Run, table: str, query: str) -> list[dict[str, Any]]:
    """Rows of the run's working data; none where the run did not come so far as to make a table of its own."""
    if not (run.folder / WORK).exists():
        return []
    with connected(run.business, run.folder) as con:
        made = con.execute(
            "select 1 from duckdb_tables() where database_name = 'work' and schema_name = 'main' and table_name = $table",
            {"table": table},
        ).fetchall()
        return con.sql(query).pl().to_dicts() if made else []


def _outcomes(audits: Sequence[dict[str, Any]]) -> str:
    outcomes = [each["outcome"] for each in audits]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "broken"))


def _total(refused: Sequence[dict[str, Any]]) -> str:
    return f"{sum(each['rows'] for each in refused):,}"


def _row(each: Segment | Transition) -> dict[str, Any]:
    """The UI takes text for Markdown: an asterisk would be a bullet."""
    return asdict(each) | {"line": "all lines" if each.line == ROLL_UP else each.line}


def _markdown(found: Report) -> str:
    rows = "\n".join(
        f"- {each['role']}, source {each['source']}: {each['read']:,} read = {each['accepted']:,} accepted "
        f"+ {each['superseded']:,} superseded + {each['quarantined']:,} quarantined"
        for each in found.rows
    )
    warnings = "\n".join(f"- {warning}" for warning in found.warnings) or "- none"
    unknown = "\n".join(f"- {each}" for each in (*found.not_recorded, *found.unfitted)) or "- nothing"
    return (
        f"# {found.business}, as of {found.as_of}\n\n{found.outcome}\n\n"
        f"Tables: schema `rapport` in `{found.warehouse}`\n\n## Rows\n\n{rows}\n\n## Warnings\n\n{warnings}\n\n"
        f"## Not recorded, or not fitted\n\n{unknown}\n"
    )
