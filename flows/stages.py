"""The stages of a run, in their order: plain functions that the flow and the command line both run.

A stage takes the run and leaves its result in the run's own folder, most of it in one DuckDB file; it returns one
line on what it did. Before `publish` nothing outside the folder changes but what lasts between nights: the landed
batches, which are only ever added to, and the state, which is brought up to them.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import duckdb
import polars as pl

from config import expectations
from config.decisions import Merge
from config.errors import ChangeHeld, ConfigurationError, SourceError
from config.expectations import Check
from config.recording import recorded
from config.rules import INCOMING, ROLL_UP, IncomingTable
from config.settings import Business, config_hash
from config.tables import ACCOUNT_SEGMENTS
from flows import conform, landing, machine, state
from flows import ledger as ledgers
from flows.audits import AuditResult, CheckResult, audit, require_passed
from flows.batches import Batch, batches, current
from flows.duck import connect, materialise, parquet, rows
from flows.forgotten import forgotten, require_finished
from flows.gates import beyond_limit, change_of
from flows.history import keep_standings_before, runs_before
from flows.ledger import ROLES
from flows.package import PACKAGED, seal, verified
from flows.postgres_warehouse import bring_level, require_writable, up_to_date
from flows.publishing import publish as publish_package
from flows.slices import COMPUTED, slices, store, stored
from flows.warehouse import live, location, place, require_own, unattached
from transforms.decided import joined_accounts, merges_in_force, overrides_in_force, unmet_overrides
from transforms.features import relationship_features, unrecorded_features
from transforms.holding import STANDING
from transforms.judgement import judgement
from transforms.purchases import (
    PurchaseModels,
    as_record,
    from_record,
    with_outlook,
)
from transforms.verdicts import FACTS

KEPT_RUNS = 3
RUNS, PACKAGE = "runs", "package"
"""The directory below `state` with a folder a run, and that in each with its sealed result."""
HAS_PUBLISHED = "published"
"""The file in the folder of a run whose result became visible, as old as that is; the days of a backfill do so together, if at all."""
SHOWN = 5
MODELS = "models.json"
PUBLISHED_VERDICT = tuple(column.name for column in ACCOUNT_SEGMENTS)
DATED_VERDICT = ("account_id", "line", "score", "revenue_12m", *STANDING, "because")
"""What `segment_changes` and `verdict_standings` are made of."""
CHECKS = {
    "audit": pl.String,
    "table": pl.String,
    "sentence": pl.String,
    "severity": pl.String,
    "outcome": pl.String,
    "unexpected": pl.Int64,
    "rows": pl.Int64,
}


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
        replay_in: a copy of the warehouse in which days of the past are replayed; None for the warehouse itself.
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
    replay_in: Path | None = None

    @property
    def is_replay(self) -> bool:
        """Whether the run belongs to a backfill, which holds the change of all its days against the gate, at its end."""
        return self.replay_in is not None

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that the run goes on from and publishes to."""
        return self.replay_in or location(self.business)

    @property
    def place(self) -> str:
        """Where its tables are to be found, as people are told."""
        return str(self.replay_in or place(self.business.warehouse))

    @property
    def merges(self) -> list[Merge]:
        """The merges of accounts that count on the day."""
        return merges_in_force(self.business.decided, self.as_of)

    @property
    def folder(self) -> Path:
        """Where the run works."""
        return self.business.state / RUNS / self.run_id

    @property
    def landed(self) -> Path:
        """Where the batches of all runs lie."""
        return self.business.state / "landed"

    @property
    def package(self) -> Path:
        """The sealed result."""
        return self.folder / PACKAGE


def extract(run: Run) -> str:
    """Lands what is new or changed in each source.

    Unless a later day is published already and would stay so, or another business publishes to the warehouse.
    """
    if not run.is_replay:
        up_to_date(run.business)
    if not run.dry_run:
        _refuse_warehouse(run)
    require_finished(run.business.state)
    listed = forgotten(run.business.state)
    with connect(run.business) as con:
        new = [
            batch
            for role in ROLES
            for source in getattr(run.business.sources, role)
            for batch in landing.land(
                con, role, source, run.landed, landing.utc_now(), again=run.rebuild, forgotten=listed
            )
        ]
    left_out = f"; rows of {len(listed.since):,} forgotten accounts are left out" if listed.since else ""
    return f"{len(new)} new batches with {sum(batch.rows for batch in new):,} rows were landed{left_out}"


def check_incoming(run: Run) -> str:
    """Types every row that the state does not count yet, and marks those that are unfit."""
    wanted = [batch for role in ROLES for batch in _batches(run, role)[0]]
    _refuse_forgotten(run)
    made_anew = state.prepare(run.business, run.folder, wanted, run.merges, _why_anew(run))
    with state.adding(run.business, run.folder) as con:
        new = state.new_batches(con, wanted)
        for role in ROLES:
            conform.check_rows(
                con, run.business, role, run.landed, [each for each in new if each.role == role], run.merges
            )
        counts = {role: rows(con, f"checked_{role}") for role in ROLES}
        refused = {role: rows(con, f"checked_{role} where reason is not null") for role in ROLES}
    reason = f"; the state is made anew: {made_anew}" if made_anew else ""
    return f"{_listed(counts)} read, {_listed(refused)} unfit{reason}"


def audit_incoming(run: Run) -> str:
    """Holds what came in against its expectations: too many unfit rows stop the run."""
    with state.adding(run.business, run.folder) as con:
        found = [audit(con, table, checks) for table, checks in _incoming(run, con) if checks]
        if run.merges:
            found.append(_merges_met(run, con))
        advice = conform.where_unfit(
            con, [batch for role in ROLES for batch in _batches(run, role)[0]], state.is_night(run.folder)
        )
        state.use(con, "work.main")
        return _judged(con, "incoming", found, advice)


def conform_rows(run: Run) -> str:
    """Keeps the latest good version of each row, quarantines the unfit, and checks that no row is lost."""
    with state.adding(run.business, run.folder) as con:
        batches = {role: _batches(run, role) for role in ROLES}
        counted = [batch for current, _ in batches.values() for batch in current]
        conform.quarantine(con, run.landed, state.new_batches(con, counted))
        parts = conform.HERE
        if state.is_night(run.folder):
            ledgers.recall(con)
            parts = {"state.": 1, "before.": -1, "after.": 1}
        for role in ROLES:
            conform.keep_latest(con, role)
        counts = [each for role in ROLES for each in conform.row_counts(con, role, *batches[role], parts)]
        con.register("counts", pl.DataFrame([asdict(count) for count in counts]))
        con.execute("create or replace table work.main.row_counts as select * from counts")
        con.unregister("counts")
    total = {name: sum(getattr(each, name) for each in counts) for name in ("accepted", "superseded", "quarantined")}
    return ", ".join(f"{count:,} rows {name}" for name, count in total.items())


def ledger(run: Run) -> str:
    """Adds the rows up to account-days."""
    with _work(run) as con:
        if state.is_night(run.folder):
            ledgers.add_to_ledger(con, run.as_of)
        else:
            ledgers.make_ledger(con, run.as_of)
        counts = {name: rows(con, f"state.{name}") for name in ledgers.LEDGER_TABLES}
    return _listed(counts)


def models(run: Run) -> str:
    """Fits the purchase models of each line on what had happened by the end of the month before.

    They stand for the month, unless rows came late.
    """
    with _work(run) as con:
        fitted = ledgers.fitted_models(con, run.as_of, _last_good(run))
    (run.folder / MODELS).write_text(json.dumps(as_record(fitted)))
    origins = [f"{line}: {fit.origin}" for line, fit in fitted.occasions.items()]
    return f"purchase models by line ({', '.join(origins) or 'no order yet'})"


def features(run: Run) -> str:
    """Reduces the ledger to one row per account and line as of the day, and computes the features."""
    purchase_models = fitted(run)
    with _work(run) as con:
        ledgers.reduce_account_lines(con, run.as_of)
        if not rows(con, "account_statistics"):
            raise SourceError(
                f"{run.business.business}: there is no order and no event up to {run.as_of}. Nothing was published. "
                "Choose a later day, or bring the data."
            )
        for number, rows_of_slice in enumerate(slices(con)):
            statistics = con.sql(rows_of_slice).pl()
            expected = with_outlook(statistics, purchase_models, run.as_of)
            known = expected.lazy().with_columns(margin_share=pl.lit(run.business.margin_share))
            frame = relationship_features(known, run.as_of, recorded(run.business.sources)).collect()
            store(con, run.folder, "account_features", number, frame)
            store(con, run.folder, "verdict_facts", number, statistics.select("account_id", "line", *FACTS))
        lines = rows(con, "account_features")
    if not state.is_night(run.folder) and not _is_of_the_past(run):
        state.put_in_place(run.business, run.folder)
    unknown = unrecorded_features(recorded(run.business.sources))
    left_out = f"; not recorded, so unknown for all: {', '.join(unknown)}" if unknown else ""
    return f"{lines:,} account lines{left_out}"


def judge(run: Run) -> str:
    """Scores each account and line, gives the held verdict with its reasons, and rolls lines up to accounts."""
    with _work(run) as con:
        keep_standings_before(con, run.warehouse, run.as_of)
        overrides, joined = _overrides(run, con), _joined(run, con)
        for number in range(len(stored(run.folder, "account_features"))):
            _judge_slice(run, con, number, overrides, joined)
        merged = [each.account_id for each in run.merges]
        con.execute(
            "create or replace table merged_accounts as select unnest($merged) as account_id", {"merged": merged}
        )
        for name in ("segment_summary", "segment_changes", "verdict_standings"):
            materialise(con, f"warehouse/{name}", {"as_of": run.as_of})
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
        outcome = _judged(con, "outgoing", found)
        change = change_of(con)
    runs = runs_before(run.warehouse, run.as_of)
    held_back = None if run.is_replay else beyond_limit(change, run.business.gates, runs)
    if held_back and not (run.dry_run or run.accept_change):
        raise ChangeHeld(
            f"{run.business.business}, {run.as_of}: {held_back}. Nothing was published; the tables of the last run stand. "
            'Look at the change with --dry-run; if it is right, run again with --accept-change "why".'
        )
    return f"{outcome}; {held_back or f'{change.accounts:,} accounts changed segment'}"


def publish(run: Run) -> str:
    """Seals the result and makes it visible in the warehouse all at once, unless it is there already."""
    with _work(run) as con:
        tables = {name: stored(run.folder, name) or name for name in PACKAGED}
        seal(con, run.package, _ledger_row(run, con), tables)
    return publish_sealed(run)


def publish_sealed(run: Run) -> str:
    """Makes the sealed result visible in the warehouse all at once, unless it is there already."""
    if run.dry_run:
        return "dry run: nothing was published"
    require_finished(run.business.state)
    outcome, run_id, is_new = _made_live(run)
    if not run.is_replay:
        mark_published(run.business, run_id)
    is_brought = not run.is_replay and bring_level(run.business, run_id, run.wait_seconds)
    return f"{outcome}; {run.place} had missed it, and has it now" if is_brought and not is_new else outcome


def mark_published(business: Business, run_id: str) -> None:
    """Marks the result that readers see, so that its package is kept."""
    folder = business.state / RUNS / run_id
    if folder.exists():
        (folder / HAS_PUBLISHED).touch()


def _made_live(run: Run) -> tuple[str, str, bool]:
    """Puts the sealed result into the DuckDB file; says what was done, which run has the result, and whether that is new."""
    with unattached() as con:
        package = verified(con, run.package)
    present = live(run.warehouse)
    if present and (present["as_of"], present["content_hash"]) == (run.as_of, package.run["content_hash"]):
        return f"nothing changed: run {present['run_id']} already published this result", present["run_id"], False
    published = publish_package(
        run.package, run.warehouse, run.wait_seconds, run.is_replay, machine.memory_limit(run.business)
    )
    if not published.changed:
        return f"nothing changed: run {published.run_id} had been published before", published.run_id, False
    return f"{published.rows['account_segments']:,} verdicts are live in {run.place}", published.run_id, True


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


def facts_and_features(run: Run) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What verdicts are made of, of each account x line; nothing is judged or published."""
    for stage in STAGES[: STAGES.index(features) + 1]:
        stage(run)
    with _work(run) as con:
        return con.sql("select * from verdict_facts").pl(), con.sql("select * from account_features").pl()


def tidy(run: Run) -> None:
    """Takes away the run's working data, and all but the latest runs."""
    state.tidy(run.folder)
    shutil.rmtree(run.folder / COMPUTED, ignore_errors=True)
    forget_old_runs(run)


def forget_old_runs(run: Run) -> None:
    """Takes away all but the latest runs, and the latest that published; the working data of those that failed is in theirs."""
    folders = sorted(run.folder.parent.glob("*"))
    marks = sorted(run.folder.parent.glob(f"*/{HAS_PUBLISHED}"), key=lambda mark: (mark.stat().st_mtime_ns, mark))
    for folder in {*folders} - {*folders[-KEPT_RUNS:], *(mark.parent for mark in marks[-KEPT_RUNS:])}:
        shutil.rmtree(folder)


def _refuse_warehouse(run: Run) -> None:
    require_writable(run.business)
    present = live(run.warehouse)
    require_own(present, run.business)
    if present and run.as_of < present["as_of"] and not run.is_replay:
        raise ConfigurationError(
            f"as_of: {run.as_of} lies before {present['as_of']}, the last day published. Nothing was changed. Look at it with "
            "--dry-run, or replay it and the days after it: rapport backfill, with the same --config, "
            f"--from {run.as_of} --until {present['as_of']}"
        )


def _refuse_forgotten(run: Run) -> None:
    """Refuses a merge by which an account that was forgotten would be published again, with the rows of another."""
    listed = forgotten(run.business.state)
    for each in run.merges:
        since = listed.day_of(each.into)
        if since and not listed.day_of(each.account_id):
            raise ConfigurationError(
                f"{run.business.decisions}: account {each.account_id!r} is merged into {each.into!r}, which was forgotten on {since}. "
                "Nothing was published. Take the merge away, or let {each.into!r} in again: rapport forget --undo"
            )


def _work(run: Run) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return state.connected(run.business, run.folder)


def _why_anew(run: Run) -> str:
    """Why a run makes the state anew whatever is in it; empty where it need not."""
    if run.rebuild:
        return "--rebuild"
    return f"of what was known at {run.known_at:%Y-%m-%d %H:%M} UTC" if _is_of_the_past(run) else ""


def _is_of_the_past(run: Run) -> bool:
    """Whether the run leaves out batches that are known by now: then its state is its own."""
    everything = replace(run, known_at=None)
    return any(_batches(run, role) != _batches(everything, role) for role in ROLES)


def _batches(run: Run, role: str) -> tuple[list[Batch], list[Batch]]:
    """The batches of a role that count, and those that a later version of their file has replaced."""
    known = [
        batch
        for source in getattr(run.business.sources, role)
        for batch in batches(run.landed, source.name)
        if run.known_at is None or batch.known_at <= run.known_at
    ]
    counted = current(known)
    unreplaced = set(counted)
    return counted, [batch for batch in known if batch not in unreplaced]


def _kept_rows(run: Run, con: duckdb.DuckDBPyConnection, role: str) -> int:
    """The rows of a role that still count and were read by an earlier run."""
    counted, _ = _batches(run, role)
    new = state.new_batches(con, counted)
    return sum(batch.read for batch in counted if batch not in new)


def _incoming(run: Run, con: duckdb.DuckDBPyConnection) -> Iterator[tuple[IncomingTable, tuple[Check, ...]]]:
    """The checks of what came in; none of a role of which nothing did, unless too much of what is left is unfit."""
    share = run.business.gates.quarantined_share
    for role, table in INCOMING.items():
        new, kept = rows(con, table), _kept_rows(run, con, role)
        unfit = (
            con.execute(
                "select count(*) from state.quarantine where batch in "
                "(select batch from state.batches where role = $role and batch not in (select batch from before.batches))",
                {"role": role},
            ).fetchall()[0][0]
            if kept
            else 0
        )
        is_due = new or unfit > share * kept or (getattr(run.business.sources, role) and not kept)
        yield table, expectations.incoming(table, share, new, kept, unfit) if is_due else ()


def fitted(run: Run) -> PurchaseModels:
    """The purchase models of a run."""
    return from_record(json.loads((run.folder / MODELS).read_text()))


def _last_good(run: Run) -> PurchaseModels | None:
    before = runs_before(run.warehouse, run.as_of)
    return from_record(json.loads(before[0]["models"])) if before else None


def _judge_slice(
    run: Run, con: duckdb.DuckDBPyConnection, number: int, overrides: pl.DataFrame, joined: Sequence[str]
) -> None:
    known, facts = (
        con.sql(f"select * from {parquet(stored(run.folder, table)[number])}").pl()
        for table in ("account_features", "verdict_facts")
    )
    standings = con.sql(
        "select * from standings_before where account_id between $first and $last",
        params={"first": known["account_id"][0], "last": known["account_id"][-1]},
    ).pl()
    business = run.business
    judged = judgement(known, facts, business.ruler, run.as_of, business.currency, standings, overrides, joined)
    verdicts = judged.verdicts.with_columns(ruler_version=pl.lit(business.ruler.version), run_id=pl.lit(run.run_id))
    store(con, run.folder, "account_segments", number, verdicts.select(PUBLISHED_VERDICT))
    store(con, run.folder, "verdicts", number, verdicts.select(DATED_VERDICT))
    store(con, run.folder, "reason_counts", number, judged.reason_counts)


def _joined(run: Run, con: duckdb.DuckDBPyConnection) -> list[str]:
    """The accounts that another was merged into since the last day published."""
    merged = [each.account_id for each in run.merges]
    before = con.execute(
        "select distinct account_id from standings_before where account_id in (select unnest($merged))",
        {"merged": merged},
    ).fetchall()
    return joined_accounts(run.merges, {account for (account,) in before})


def _overrides(run: Run, con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The verdicts set by hand for the day, of accounts and lines that there are.

    Raises:
        ConfigurationError: there is none of such an account or line; a misspelt one would go unseen.
    """
    decided = run.business.decided
    named = sorted({each.account_id for each in decided.overrides})
    lines = con.sql(
        "select account_id, line from verdict_facts where account_id in (select unnest($named))",
        params={"named": named},
    ).pl()
    unmet = unmet_overrides(decided, lines, run.as_of)
    if unmet:
        keys = ", ".join(
            f"{each.account_id!r}" + (f" (line {each.line})" if each.line else "") for each in unmet[:SHOWN]
        )
        raise ConfigurationError(
            f"{run.business.decisions}: {len(unmet):,} overrides in force on {run.as_of} are for accounts or lines without an order "
            f"or an event up to then: {keys}. Nothing was published. Correct or remove them; for an account that was merged, "
            "set the verdict of the one that remains."
        )
    return overrides_in_force(decided, lines, run.as_of)


def _merges_met(run: Run, con: duckdb.DuckDBPyConnection) -> AuditResult:
    """Whether all accounts that merges name have rows; a misspelt one would take an account away, or merge nothing."""
    named = sorted({account for each in run.merges for account in (each.account_id, each.into)})
    unmet = conform.without_rows(con, named)
    shown = ", ".join(map(repr, unmet[:SHOWN]))
    sentence = f"{len(unmet):,} of the {len(named):,} accounts named have no row of their own"
    outcome = "failed" if unmet else "passed"
    told = f"{sentence}: {shown}; are they spelt right?" if unmet else sentence
    return AuditResult("merges", (CheckResult(told, "warning", outcome, len(unmet), len(named)),))


def _judged(con: duckdb.DuckDBPyConnection, name: str, found: list[AuditResult], advice: Sequence[str] = ()) -> str:
    """Keeps the results of an audit in the run, and stops it where a critical check did not pass."""
    checks = [{"audit": name, "table": each.table} | asdict(check) for each in found for check in each.checks]
    con.register("checks", pl.DataFrame(checks, schema=CHECKS))
    con.execute("create table if not exists audits as select * from checks limit 0")
    con.execute("delete from audits where audit = $name", {"name": name})
    con.execute("insert into audits select * from checks")
    con.unregister("checks")
    require_passed(found, advice)
    outcomes = [check["outcome"] for check in checks]
    if not checks:
        return "there was nothing to check"
    return f"{outcomes.count('passed')} of {len(outcomes)} checks passed"


def _ledger_row(run: Run, con: duckdb.DuckDBPyConnection) -> dict[str, object]:
    batches = [batch for role in ROLES for batch in _batches(run, role)[0]]
    before, change = runs_before(run.warehouse, run.as_of), change_of(con)
    counts = con.sql("select * from row_counts order by role, source").pl().to_dicts()
    gates = con.execute("select audit, outcome, count(*) from audits group by 1, 2 order by 1, 2").fetchall()
    accounts, lines = con.execute(
        "select count(*) filter (where line = $whole), count(*) filter (where line <> $whole) from account_segments",
        {"whole": ROLL_UP},
    ).fetchall()[0]
    return {
        "run_id": run.run_id,
        "business": run.business.name,
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
        "continues_run_id": before[0]["run_id"] if before else None,
        "rolled_back_to": None,
        "changed_accounts": change.accounts,
        "changed_share": change.share,
        "accepted_change": run.accept_change,
    }


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
