"""What the command line prints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from config.settings import Business
from flows.backfill import Backfill, Replayed, replay
from flows.calibration import Calibrated
from flows.check import Checked
from flows.compare import Comparison
from flows.doctor import Finding
from flows.explain import Explanation
from flows.forgetting import Erased
from flows.report import Report, report
from flows.rollback import RolledBack
from flows.rulers import Change
from flows.runs import Timing, at_work, run_stages
from flows.stages import STAGES, Run, Stage
from flows.warehouse import place
from transforms.names import printable

SHOWN_MOVERS = 20


class _Plain(Console):
    """A console for what comes from sources too: brackets, colons and control characters there mean nothing."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


console = _Plain(markup=False, emoji=False)


def with_progress(run: Run, show: bool) -> tuple[Report, list[Timing]]:
    """Runs the stages here with a progress bar, and gives the report and the cost of each."""
    costs: list[Timing] = []
    with _progress(show) as progress:
        bar = progress.add_task("", total=len(STAGES))

        def announce(stage: Stage) -> None:
            progress.update(bar, description=stage.__name__.replace("_", " "))

        with at_work(run):
            for cost in run_stages(run, announce):
                costs.append(cost)
                progress.advance(bar)
            return report(run, costs[-1].did), costs


def replayed_with_progress(backfill: Backfill, show: bool) -> list[Replayed]:
    """Replays the days here with a progress bar, and gives what each did."""
    done = []
    with _progress(show) as progress:
        bar = progress.add_task(f"{backfill.days[0]}", total=len(backfill.days))
        for each in replay(backfill):
            done.append(each)
            progress.update(bar, advance=1, description=f"{each.as_of}")
    return done


def _progress(show: bool) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not show)


def print_replayed(done: Sequence[Replayed], as_json: bool) -> None:
    """Prints what a backfill replayed, a line a day."""
    if as_json:
        print(json.dumps([asdict(each) for each in done], default=str))
        return
    table = Table("as of", "seconds", "verdicts", "change", box=None, pad_edge=False)
    for each in done:
        did = {cost.stage: cost.did for cost in each.costs}
        seconds = sum(cost.wall_seconds for cost in each.costs)
        table.add_row(str(each.as_of), f"{seconds:.2f}", did["judge"], did["audit_outgoing"].partition("; ")[2])
    console.print(table)


def print_report(found: Report, as_json: bool) -> None:
    """Prints what a run found: segments per line, the most frequent reasons, what was refused, where the tables are."""
    if as_json:
        print(json.dumps(asdict(found), default=str))
        return
    console.print(Text.assemble("\n", (found.business, "bold"), f", as of {found.as_of}"))
    table = Table("line", "segment", box=None, pad_edge=False)
    for heading in ("accounts", "share", f"revenue, 12 months ({found.currency})", "share", "entered", "left"):
        table.add_column(heading, justify="right")
    for each in found.segments:
        table.add_row(
            "all lines" if each.line == "*" else each.line,
            each.segment,
            f"{each.accounts:,}",
            f"{each.accounts_share:.1%}",
            f"{each.revenue_12m:,.2f}",
            "" if each.revenue_share is None else f"{each.revenue_share:.1%}",
            f"{each.entered:,}",
            f"{each.left:,}",
        )
    console.print(table)
    moved = [each for each in found.transitions if each.line == "*"]
    if found.changed_since:
        console.print(f"\nAccounts that changed since {found.changed_since}: {sum(each.accounts for each in moved):,}")
        for each in moved:
            way = " to ".join(segment or "nothing" for segment in (each.previous_segment, each.segment))
            console.print(f"  {way}: {each.because} ({each.accounts:,})")
    for segment, side, title in (
        ("client", "for", "Clients, mostly because of"),
        ("customer", "against", "Customers, mostly because of"),
    ):
        shown = [each for each in found.reasons if (each.segment, each.side) == (segment, side)]
        if shown:
            console.print(f"\n{title}:")
            for each in shown:
                console.print(f"  {each.meaning} ({each.accounts:,} account lines)")
    console.print()
    for each in found.rows:
        console.print(
            f"{each['role']}, source {each['source']}: {each['read']:,} rows read = {each['accepted']:,} accepted "
            f"+ {each['superseded']:,} superseded + {each['quarantined']:,} quarantined"
        )
    for reason, count in found.quarantine.items():
        console.print(f"  quarantined: {reason} ({count:,})")
    if found.not_recorded:
        console.print(f"Not recorded, so unknown for all and without weight: {', '.join(found.not_recorded)}")
    for each in found.unfitted:
        console.print(f"Not fitted: {each}")
    for warning in found.warnings:
        console.print(Text.assemble(("warning", "yellow"), printable(f" {warning}")))
    console.print(f"\nRun {found.run_id}: {found.outcome}.")
    console.print(f"Tables: schema rapport in {found.warehouse}")


def print_timings(costs: Sequence[Timing]) -> None:
    """Prints what each stage did and cost."""
    table = Table("stage", "seconds", "CPU seconds", "did", box=None, pad_edge=False)
    for cost in costs:
        table.add_row(cost.stage, f"{cost.wall_seconds:.2f}", f"{cost.cpu_seconds:.2f}", cost.did)
    table.add_row("all", f"{sum(c.wall_seconds for c in costs):.2f}", f"{sum(c.cpu_seconds for c in costs):.2f}", "")
    console.print(table)


def print_explanation(found: Sequence[Explanation], as_json: bool) -> None:
    """Prints why an account has its verdicts, one line of business after the other."""
    if as_json:
        print(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        where = (
            f"line {each.line}"
            if each.line == each.leading_line
            else f"the account as a whole (by its line {each.leading_line})"
        )
        before = f", before that {each.previous_segment}" if each.previous_segment else ""
        console.print(
            Text.assemble(
                "\n",
                (printable(each.account_id), "bold"),
                printable(f", {where}: "),
                (each.segment, "bold"),
                f", {each.stage}, score {each.score:.1f}",
            )
        )
        console.print(
            f"since {each.segment_since}{before}; evidence {each.evidence:.0%}; as of {each.as_of}; to do: {each.treatment}"
        )
        for period in each.history:
            console.print(f"  {period.valid_from} to {period.valid_to or 'now'}: {period.segment}, {period.because}")
        leading = next((other for other in found if other.line == each.leading_line != each.line), None)
        if leading:
            if each.reasons != leading.reasons:
                console.print(each.reasons.removeprefix(leading.reasons).strip())
            continue
        console.print(each.reasons)
        table = Table("counts", "because", box=None, pad_edge=False)
        table.columns[0].justify = "right"
        table.add_row(f"{each.base_points:+.2f}", "base of the ruler")
        for part in each.parts:
            table.add_row(f"{part.points:+.2f}", part.words)
        table.add_row(f"{each.log_odds:+.2f}", f"in all; a client from {each.enters_at:+.2f} on")
        console.print(table)


def print_comparison(found: Comparison, as_json: bool) -> None:
    """Prints who would move: per line and pair of segments, and the accounts with the most revenue."""
    moves, movers = found.moves.to_dicts(), found.movers.to_dicts()
    if as_json:
        print(json.dumps({"as_of": found.as_of, "moves": moves, "movers": movers}, default=str))
        return
    console.print(f"As of {found.as_of}, {len(movers):,} of {found.accounts:,} account lines would move.")
    if not movers:
        return
    table = Table("line", "from", "to", box=None, pad_edge=False)
    for heading in ("account lines", f"revenue, 12 months ({found.currency})"):
        table.add_column(heading, justify="right")
    for each in moves:
        table.add_row(each["line"], *_both_segments(each), f"{each['accounts']:,}", f"{each['revenue_12m'] or 0:,.2f}")
    console.print(table)
    listed = Table("account", "line", "from", "to", "score", "then", "moved by", box=None, pad_edge=False)
    for each in movers[:SHOWN_MOVERS]:
        scores = ("" if each[name] is None else f"{each[name]:.1f}" for name in ("score", "score_then"))
        listed.add_row(each["account_id"], each["line"], *_both_segments(each), *scores, each["moved_by"])
    console.print(
        f"\nThose with the most revenue ({len(movers[:SHOWN_MOVERS]):,} of {len(movers):,}; --json lists all):"
    )
    console.print(listed)


def _both_segments(move: Mapping[str, str | None]) -> tuple[str, str]:
    return move["segment"] or "not there", move["segment_then"] or "not there"


def print_fitted(changes: Sequence[Change], out: Path) -> None:
    """Prints what fitting a ruler changed."""
    table = Table("feature", "neutral", "scale", "was neutral", "was scale", box=None, pad_edge=False)
    for each in changes:
        table.add_row(
            each.feature,
            f"{each.neutral:,.2f}",
            f"{each.scale:,.2f}",
            f"{each.old_neutral:,.2f}",
            f"{each.old_scale:,.2f}",
        )
    console.print(table)
    console.print(
        f"Written to {out}. No run uses it until a business file names it: review it, then set scoring: {out}"
    )


def print_calibrated(found: Calibrated, out: Path, as_json: bool) -> None:
    """Prints what labels made of a ruler, and how good its scores are before and after."""
    calibration = found.calibration
    if as_json:
        told = asdict(calibration) | {"ruler": calibration.ruler.model_dump(mode="json")}
        print(json.dumps(asdict(found) | {"calibration": told}, default=str))
        return
    days = "one day" if found.days == 1 else f"{found.days} days"
    console.print(
        f"{calibration.labels:,} labels of {calibration.accounts:,} accounts and {days} count: {calibration.clients:,} clients, "
        f"{calibration.labels - calibration.clients:,} customers; {found.undecided:,} undecided (3) were left out."
    )
    for sentence in found.unmet:
        console.print(sentence)
    by = (
        f"those after {calibration.later_than} of accounts not labelled before, by a fit to the earlier ones"
        if calibration.later_than
        else "each fifth of the accounts by a fit to the others"
    )
    console.print(f"How good the score is as a probability, on {calibration.measured_on:,} labels ({by}):\n")
    table = Table("", "as it is", "calibrated", box=None, pad_edge=False)
    for name in ("brier", "log_loss", "auc"):
        table.add_row(name, *(f"{getattr(each, name):.3f}" for each in (calibration.before, calibration.after)))
    console.print(table)
    listed = Table("calibrated score", "labels", "mean score", "clients", box=None, pad_edge=False)
    for each in calibration.after.reliability:
        listed.add_row(
            f"from {each.least:.0f}", f"{each.labels:,}", f"{each.mean_score:.0f}", f"{each.client_share:.0%}"
        )
    console.print(listed)
    console.print()
    for sentence in found.doubts:
        console.print(sentence)
    console.print(
        f"Written to {out}. No run uses it until a business file names it: review it, see with rapport compare --against {out} who "
        "would move, then name it under scoring, by its path from the business file's directory."
    )


def print_examination(found: Sequence[Finding], as_json: bool) -> None:
    """Prints what was found between runs, line by line."""
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    for each in found:
        mark = ("ok", "green") if each.is_well else ("look", "yellow")
        console.print(Text.assemble(mark, printable(f" {each.what}: {each.found}")))


def print_rolled_back(business: Business, found: RolledBack, as_json: bool) -> None:
    """Prints what readers see again."""
    if as_json:
        print(json.dumps(asdict(found), default=str))
        return
    console.print(
        f"{found.verdicts:,} verdicts of run {found.to}, as of {found.as_of}, are live in {place(business.warehouse)}."
    )
    if found.taken_back:
        console.print(f"Taken back: {', '.join(map(str, found.taken_back))}.")
    console.print(f"The ledger has it as run {found.run_id}. The next run goes on from {found.as_of}.")


def print_let_in(accounts: Sequence[str], as_json: bool) -> None:
    """Prints which accounts are no longer forgotten."""
    if as_json:
        print(json.dumps({"let_in": list(accounts)}))
    else:
        print("They are let in again. What the sources have of them comes back with: rapport run --rebuild")


def print_erased(business: Business, found: Erased, dry_run: bool, as_json: bool) -> None:
    """Prints what was erased of accounts, what is left that reads like them, and what only people can do."""
    if as_json:
        print(json.dumps(asdict(found)))
        return
    console.print(f"{'Would be erased' if dry_run else 'Erased'} of {', '.join(map(repr, found.accounts))}:")
    unread = f", and the text of {found.lines:,} lines that could not be read" if found.lines else ""
    console.print(f"  {found.landed_rows:,} rows that were landed{unread}, in {found.batches:,} batches")
    console.print(f"  {found.warehouse_rows:,} rows of {place(business.warehouse)}")
    if dry_run:
        return
    if found.landed_rows or found.warehouse_rows:
        console.print("The state and the packages of the last runs were taken away; the next run makes the state anew.")
    console.print(
        "Read again: " + ("nothing of them is left." if not found.left else "something reads like them still.")
    )
    for each in found.left:
        console.print(Text.assemble(("look", "yellow"), printable(f" {each}")))
    if found.decisions:
        console.print(f"{business.decisions}: take away the {found.decisions:,} merges that name them.")
    console.print("Sources, backups and logs have them still, until you erase them there.")


def print_checks(path: Path, found: Sequence[Checked], as_json: bool) -> None:
    """Prints what the check of a business file found."""
    if as_json:
        print(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        console.print(Text.assemble(("ok", "green"), printable(f" {each.what}: {each.found}")))
    console.print(f"{path}: ready to run. Nothing was published.")
