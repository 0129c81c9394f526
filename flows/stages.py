"""The stages of a run, in their order: plain functions that the flow and the command line both run.

A stage takes the run and leaves its result in the run's own folder, most of it in one DuckDB file; it returns one
line on what it did. Nothing outside the
folder changes before `publish`, but for the landed batches, which are only ever added to.
"""

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import duckdb
import polars as pl

from config import expectations
from config.errors import SourceError
from config.rules import INCOMING, ROLL_UP
from config.settings import Business, config_hash
from config.tables import ACCOUNT_FEATURES, ACCOUNT_SEGMENTS
from flows import conform, landing
from flows.audits import AuditResult, audit, require_passed
from flows.duck import connect, materialise, rows
from flows.package import seal
from flows.warehouse import live, location, opened
from flows.warehouse import publish as publish_package
from transforms.features import relationship_features, unrecorded_features
from transforms.judgement import judgement
from transforms.purchases import (
    PurchaseModels,
    as_record,
    fitted_models,
    fitted_until,
    from_record,
    histories,
    with_outlook,
)
from transforms.transitions import with_history

ROLES = ("orders", "engagements")
KEPT_RUNS = 3
MODELS = "models.json"
LEDGER = (
    "staging/order_lines",
    "staging/contacts",
    "ledger/order_days",
    "ledger/contract_terms",
    "ledger/price_days",
    "ledger/contact_days",
    "ledger/conversation_days",
    "ledger/people_days",
)
STATISTICS = (
    "features/occasion_days",
    "features/order_statistics",
    "features/monthly_revenue",
    "features/contract_statistics",
    "features/contact_statistics",
    "features/conversation_statistics",
    "features/people_statistics",
    "features/price_statistics",
    "features/active_months",
    "features/account_lines",
)


@dataclass(frozen=True)
class Run:
    """One run of the pipeline for one business and day.

    Attributes:
        business: the business's configuration.
        run_id: its own name, in the ledger and on every row.
        as_of: the last day counted, inclusive, in the business's time zone.
        known_at: count only what had reached the pipeline by then, UTC; None counts all.
        started_at: when it began, UTC.
        rebuild: land the sources again, whatever was landed before.
        dry_run: stop before publishing.
        wait_seconds: how long to wait for another run to let go of the warehouse.
        accept_change: why a change of segments beyond the gate's limit is right; None lets the gate hold it.
    """

    business: Business
    run_id: str
    as_of: date
    known_at: datetime | None
    started_at: datetime
    rebuild: bool = False
    dry_run: bool = False
    wait_seconds: float = 0
    accept_change: str | None = None

    @property
    def folder(self) -> Path:
        """Where the run works."""
        return self.business.state / "runs" / self.run_id

    @property
    def landed(self) -> Path:
        """Where the batches of all runs lie."""
        return self.business.state / "landed"

    @property
    def package(self) -> Path:
        """The sealed result."""
        return self.folder / "package"


def extract(run: Run) -> str:
    """Lands what is new or changed in each source."""
    with connect(None, run.business) as con:
        new = [
            batch
            for role in ROLES
            for source in getattr(run.business.sources, role)
            for batch in landing.land(con, role, source, run.landed, landing.utc_now(), again=run.rebuild)
        ]
    return f"{len(new)} new batches with {sum(batch.rows for batch in new):,} rows were landed"


def check_incoming(run: Run) -> str:
    """Types every row and marks those that are unfit."""
    with _work(run) as con:
        for role in ROLES:
            counted, _ = _batches(run, role)
            conform.check_rows(con, run.business, role, run.landed, counted)
        counts = {role: rows(con, f"checked_{role}") for role in ROLES}
        refused = {role: rows(con, f"checked_{role} where reason is not null") for role in ROLES}
    return f"{_listed(counts)} read, {_listed(refused)} unfit"


def audit_incoming(run: Run) -> str:
    """Holds what came in against its expectations: too many unfit rows stop the run."""
    share = run.business.gates.quarantined_share
    with _work(run) as con:
        found = [audit(con, table, expectations.incoming(table, share)) for table in INCOMING.values()]
        return _judged(con, "incoming", found)


def conform_rows(run: Run) -> str:
    """Keeps the latest good version of each row, quarantines the unfit, and checks that no row is lost."""
    with _work(run) as con:
        batches = {role: _batches(run, role) for role in ROLES}
        for role in ROLES:
            materialise(con, f"staging/{role}")
        conform.quarantine(con, run.landed, [batch for counted, _ in batches.values() for batch in counted])
        counts = [each for role in ROLES for each in conform.row_counts(con, role, *batches[role])]
        con.register("counts", pl.DataFrame([asdict(count) for count in counts]))
        con.execute("create or replace table row_counts as select * from counts")
        for role in ROLES:
            con.execute(f"drop table checked_{role}")
    total = {name: sum(getattr(each, name) for each in counts) for name in ("accepted", "superseded", "quarantined")}
    return ", ".join(f"{count:,} rows {name}" for name, count in total.items())


def ledger(run: Run) -> str:
    """Adds the rows up to account-days."""
    with _work(run) as con:
        counts = {name.rsplit("/", 1)[1]: materialise(con, name) for name in LEDGER}
    return f"{_listed({name: count for name, count in counts.items() if name != 'order_lines'})}"


def models(run: Run) -> str:
    """Fits the purchase models of each line on what had happened by the end of the month before."""
    with _work(run) as con:
        past = _purchases(con, fitted_until(run.as_of))
        if past["repeat_order_days"].null_count() == past.height:
            past = _purchases(con, run.as_of)
    fitted = fitted_models(past, _last_good(run))
    (run.folder / MODELS).write_text(json.dumps(as_record(fitted)))
    origins = [f"{line}: {fit.origin}" for line, fit in fitted.occasions.items()]
    return f"purchase models by line ({', '.join(origins) or 'no order yet'})"


def features(run: Run) -> str:
    """Reduces the ledger to one row per account and line as of the day, and computes the features."""
    fitted = from_record(json.loads((run.folder / MODELS).read_text()))
    with _work(run) as con:
        for name in STATISTICS:
            materialise(con, name, days_of(run.as_of))
        if not rows(con, "account_lines"):
            raise SourceError(
                f"{run.business.business}: there is no order and no event up to {run.as_of}. Nothing was published. "
                "Choose a later day, or bring the data."
            )
        statistics = con.sql("select * from account_lines").pl()
        expected = with_outlook(statistics, fitted, run.as_of)
        known = expected.lazy().with_columns(margin_share=pl.lit(run.business.margin_share))
        frame = relationship_features(known, run.as_of, recorded(run.business)).collect()
        _store(con, "account_features", frame)
    unknown = unrecorded_features(recorded(run.business))
    left_out = f"; not recorded, so unknown for all: {', '.join(unknown)}" if unknown else ""
    return f"{frame.height:,} account lines{left_out}"


def judge(run: Run) -> str:
    """Scores each account and line, gives the verdict with its reasons, and rolls lines up to accounts."""
    business = run.business
    with _work(run) as con:
        judged = judgement(
            con.sql("select * from account_features").pl(),
            con.sql("select * from account_lines").pl(),
            business.ruler,
            run.as_of,
            business.currency,
        )
        dated = with_history(judged.verdicts, _previous(run), run.as_of).with_columns(
            ruler_version=pl.lit(business.ruler.version), run_id=pl.lit(run.run_id)
        )
        _store(con, "account_segments", dated.select(column.name for column in ACCOUNT_SEGMENTS))
        _store(con, "reason_counts", judged.reason_counts)
        materialise(con, "warehouse/segment_summary")
        whole = dict(
            con.execute(
                "select segment, count(*) from account_segments where line = $whole group by 1 order by 1",
                {"whole": ROLL_UP},
            ).fetchall()
        )
    return f"{_listed(whole)} accounts"


def audit_outgoing(run: Run) -> str:
    """Holds what would be published against its expectations."""
    with _work(run) as con:
        found = [
            audit(con, "account_segments", expectations.account_segments(run.run_id, run.as_of)),
            audit(con, "account_features", expectations.account_features(run.as_of)),
            audit(con, "segment_summary", expectations.segment_summary(run.as_of)),
        ]
        return _judged(con, "outgoing", found)


def publish(run: Run) -> str:
    """Seals the result and makes it visible in the warehouse all at once, unless it is there already."""
    with _work(run) as con:
        package = seal(con, run.package, _ledger_row(run, con), _published_tables())
    if run.dry_run:
        return "dry run: nothing was published"
    present = live(location(run.business))
    if present and (present["as_of"], present["content_hash"]) == (run.as_of, package.run["content_hash"]):
        return f"nothing changed: run {present['run_id']} already published this result"
    published = publish_package(run.package, location(run.business), run.wait_seconds)
    return f"{published.rows['account_segments']:,} verdicts are live in {location(run.business)}"


class Stage(Protocol):
    """A step of every run: does its part for the run and says in a line what it did."""

    __name__: str

    def __call__(self, run: Run, /) -> str:
        """Does the stage's part."""
        ...


STAGES: tuple[Stage, ...] = (
    extract,
    check_incoming,
    audit_incoming,
    conform_rows,
    ledger,
    models,
    features,
    judge,
    audit_outgoing,
    publish,
)


def days_of(as_of: date) -> dict[str, object]:
    """The days that bound the windows of features, as the statements of `sql/features` name them."""
    months = as_of.year * 12 + as_of.month - 1 - 11
    return {
        "as_of": as_of,
        "year_from": as_of - timedelta(days=364),
        "answered_until": as_of - timedelta(days=7),
        "two_years_from": as_of - timedelta(days=729),
        "first_month": date(months // 12, months % 12 + 1, 1),
    }


def tidy(run: Run) -> None:
    """Takes away the run's working data, and the packages of all but the latest runs."""
    for leftover in run.folder.glob("work.duckdb*"):
        leftover.unlink()
    for folder in sorted(run.folder.parent.iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(folder)


@contextmanager
def _work(run: Run) -> Generator[duckdb.DuckDBPyConnection]:
    run.folder.mkdir(parents=True, exist_ok=True)
    with connect(run.folder / "work.duckdb", run.business) as con:
        yield con


def _batches(run: Run, role: str) -> tuple[list[landing.Batch], list[landing.Batch]]:
    """The batches of a role that count, and those that a later version of their file has replaced."""
    known = [
        batch
        for source in getattr(run.business.sources, role)
        for batch in landing.batches(run.landed, source.name)
        if run.known_at is None or batch.known_at <= run.known_at
    ]
    counted = landing.current(known)
    return counted, [batch for batch in known if batch not in counted]


def recorded(business: Business) -> frozenset[str]:
    """The conformed columns that any source of the business maps."""
    sources = (*business.sources.orders, *business.sources.engagements)
    return frozenset(column for source in sources for column in source.columns)


def _purchases(con: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    for name in ("features/occasion_days", "features/order_statistics"):
        materialise(con, name, days_of(as_of))
    return histories(con.sql("select * from order_statistics").pl(), as_of)


def _last_good(run: Run) -> PurchaseModels | None:
    present = live(location(run.business))
    return from_record(json.loads(str(present["models"]))) if present else None


def _store(con: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    types = {column.name: column.type for column in (*ACCOUNT_SEGMENTS, *ACCOUNT_FEATURES)}
    columns = ", ".join(f"cast({name} as {types[name]}) as {name}" if name in types else name for name in frame.columns)
    con.register("frame", frame)
    con.execute(f"create or replace table {table} as select {columns} from frame")
    con.unregister("frame")


def _previous(run: Run) -> pl.DataFrame:
    columns = "account_id, line, as_of, segment, segment_since, previous_segment"
    if live(location(run.business)) is None:
        return pl.DataFrame(
            schema=dict.fromkeys(columns.split(", "), pl.String) | {"as_of": pl.Date, "segment_since": pl.Date}
        )
    with opened(location(run.business)) as con:
        return con.sql(f"select {columns} from rapport.account_segments").pl()


def _judged(con: duckdb.DuckDBPyConnection, name: str, found: list[AuditResult]) -> str:
    """Keeps the results of an audit in the run, and stops it where a critical check did not pass."""
    checks = [{"audit": name, "table": each.table} | asdict(check) for each in found for check in each.checks]
    con.register("checks", pl.DataFrame(checks))
    con.execute("create table if not exists audits as select * from checks limit 0")
    con.execute("delete from audits where audit = $name", {"name": name})
    con.execute("insert into audits select * from checks")
    require_passed(found)
    outcomes = [check["outcome"] for check in checks]
    return f"{outcomes.count('passed')} of {len(outcomes)} checks passed"


def _ledger_row(run: Run, con: duckdb.DuckDBPyConnection) -> dict[str, object]:
    batches = [batch for role in ROLES for batch in _batches(run, role)[0]]
    counts = con.sql("select * from row_counts order by role, source").pl().to_dicts()
    gates = con.execute("select audit, outcome, count(*) from audits group by 1, 2 order by 1, 2").fetchall()
    accounts, lines = con.execute(
        "select count(*) filter (where line = $whole), count(*) filter (where line <> $whole) from account_segments",
        {"whole": ROLL_UP},
    ).fetchall()[0]
    return {
        "run_id": run.run_id,
        "as_of": run.as_of,
        "known_at": run.known_at or max(batch.known_at for batch in batches),
        "started_at": run.started_at.replace(tzinfo=None),
        "config_hash": config_hash(run.business),
        "models": (run.folder / MODELS).read_text(),
        "input_hash": sha256(
            "\n".join(sorted(f"{batch.source} {batch.sha256}" for batch in batches)).encode()
        ).hexdigest(),
        "ruler_version": run.business.ruler.version,
        "code_version": version("rapport"),
        "accounts": accounts,
        "account_lines": lines,
        "row_counts": json.dumps(counts),
        "gates": json.dumps([dict(zip(("audit", "outcome", "checks"), gate, strict=True)) for gate in gates]),
    }


def _published_tables() -> dict[str, str]:
    return {name: name for name in ("account_segments", "account_features", "segment_summary", "quarantine")}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
