"""The command line. Imports that cost more than a moment are made by the command that needs them."""

import os
import re
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from config.limits import AMOUNT, MEMORY, THREADS

Every = Literal["day", "week", "month"]
UNITS = {"s": 1, "m": 60, "h": 3600}

app = typer.Typer(
    help="Decides which accounts are clients and which are customers, says why, and publishes the verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path | None, typer.Option("--config", help="The business file; without it, the bundled example.")]
Wait = Annotated[str, typer.Option(help="How long to wait for another run: 30s, 10m, 2h.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Known = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
        help="Count only what had reached the pipeline by then, UTC; without it, all.",
    ),
]
Accept = Annotated[
    str | None, typer.Option(help="Why a change of segments beyond the gate's limit is right; kept in the ledger.")
]
Day = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Last day counted; without it, the business file's as_of, else yesterday."),
]


def main() -> None:
    """Runs the command; an error that a person can act on is one message and its exit code, never a traceback."""
    from config.errors import RapportError

    try:
        app()
    except RapportError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
def run(
    config: Config = None,
    as_of: Day = None,
    known_at: Known = None,
    rebuild: Annotated[bool, typer.Option(help="Read the sources again from the start.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Do everything but publish.")] = False,
    accept_change: Accept = None,
    wait: Wait = "0s",
    prefect: Annotated[bool, typer.Option(help="Run as a Prefect flow even without a server of yours.")] = False,
    timings: Annotated[bool, typer.Option(help="Print what each stage cost.")] = False,
    memory: Annotated[str | None, typer.Option(help="Most memory for DuckDB, such as 4GB.", envvar=MEMORY)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Most threads for DuckDB.", envvar=THREADS)] = None,
    json: Json = False,
) -> None:
    """Run everything once: read the sources, decide, audit, publish."""
    from flows import auditor

    auditor.start()  # before the other imports, which take seconds too
    from flows.runs import new_run
    from flows.terminal import print_report, print_timings, with_progress

    _limit(memory, threads)
    path = _business_file(config)
    asked: dict[str, Any] = {
        "as_of": as_of.date() if as_of else None,
        "known_at": _utc(known_at),
        "rebuild": rebuild,
        "dry_run": dry_run,
        "wait_seconds": _seconds(wait),
    }
    if prefect or os.environ.get("PREFECT_API_URL"):
        from flows.serve import prepare_environment

        prepare_environment()
        from flows.nightly import run_flow

        # an end that tidies up: a process that is ended at once leaves a temporary server behind
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        found, costs = run_flow(path, show=not json, **asked, accept_change=accept_change or "")
    else:
        from config.settings import load

        started = new_run(load(path), **asked, accept_change=accept_change)
        found, costs = with_progress(started, show=not json)
    print_report(found, json)
    if timings and not json:
        print_timings(costs)


@app.command()
def backfill(
    since: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day at most.")],
    every: Annotated[Every, typer.Option(help="The step from one day to the next.")] = "day",
    config: Config = None,
    known_at: Known = None,
    accept_change: Accept = None,
    wait: Wait = "0s",
    json: Json = False,
) -> None:
    """Replay past days in order, and those published after them; all become visible at once, at the end."""
    from config.settings import load
    from flows.backfill import new_backfill
    from flows.terminal import print_replayed, replayed_with_progress

    started = new_backfill(
        load(_business_file(config)),
        since.date(),
        until.date(),
        every,
        known_at=_utc(known_at),
        accept_change=accept_change,
        wait_seconds=_seconds(wait),
    )
    print_replayed(replayed_with_progress(started, show=not json), json)


@app.command()
def compare(
    against: Annotated[Path, typer.Option(help="Another ruler, or another business file.")],
    config: Config = None,
    as_of: Day = None,
    json: Json = False,
) -> None:
    """Say who would move under another ruler or business file, and what moves them; publishes nothing."""
    from config.settings import load
    from flows.compare import compare as compared
    from flows.terminal import print_comparison

    day = as_of.date() if as_of else None
    print_comparison(compared(load(_business_file(config)), against, day), json)


@app.command()
def explain(
    account: Annotated[str, typer.Argument(help="The account_id.")],
    line: Annotated[str | None, typer.Option(help="One line of business; without it, all.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Say why an account has its verdict: what counts for and against, since when, and what would flip it."""
    from config.settings import load
    from flows.explain import explanation
    from flows.terminal import print_explanation

    print_explanation(explanation(load(_business_file(config)), account, line), json)


@app.command()
def check(config: Config = None, json: Json = False) -> None:
    """Check the configuration, the warehouse and a sample of each source; publishes nothing."""
    from config.settings import load
    from flows.check import checks
    from flows.terminal import print_checks

    path = _business_file(config)
    print_checks(path, checks(load(path)), json)


@app.command()
def calibrate(
    labels: Annotated[
        Path, typer.Argument(help="A CSV with account_id, label (1 to 5), and where needed line, labelled_on.")
    ],
    out: Annotated[Path, typer.Argument(help="The file to write; an existing one is not overwritten.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Fit base and weights of the ruler to accounts that people have labelled; writes a ruler for review."""
    from config.settings import load
    from flows.calibration import calibrate as calibrated
    from flows.terminal import print_calibrated

    print_calibrated(calibrated(load(_business_file(config)), labels, out), out, json)


@app.command()
def doctor(config: Config = None, json: Json = False) -> None:
    """Look at versions, locks, room on the disk, landed batches, state and warehouse; changes nothing."""
    from config.settings import load
    from flows.doctor import examination
    from flows.terminal import print_examination

    found = examination(load(_business_file(config)))
    print_examination(found, json)
    if not all(each.is_well for each in found):
        raise typer.Exit(1)


@app.command()
def rollback(
    to: Annotated[str, typer.Option(help="The run to go back to: its run_id in the ledger, rapport.runs.")],
    config: Config = None,
    wait: Wait = "0s",
    json: Json = False,
) -> None:
    """Publish again what an earlier run published, and take back the days after it."""
    from config.settings import load
    from flows.rollback import roll_back
    from flows.terminal import print_rolled_back

    business = load(_business_file(config))
    print_rolled_back(business, roll_back(business, to, _seconds(wait)), json)


@app.command()
def forget(
    accounts: Annotated[list[str], typer.Argument(help="The account_id, or several.")],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would be erased, and erase nothing.")] = False,
    undo: Annotated[bool, typer.Option(help="Let them in again; what was erased comes from the sources.")] = False,
    wait: Wait = "0s",
    json: Json = False,
) -> None:
    """Erase all that Rapport has of accounts, everywhere, and let nothing of them in again."""
    from config.settings import load
    from flows import forgetting
    from flows.terminal import print_erased, print_let_in

    business = load(_business_file(config))
    if undo and dry_run:
        raise typer.BadParameter("--undo erases nothing that --dry-run could tell; leave one of them out.")
    if undo:
        forgetting.let_in(business, accounts, _seconds(wait))
        print_let_in(accounts, json)
    else:
        print_erased(business, forgetting.forget(business, accounts, dry_run, _seconds(wait)), dry_run, json)


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option("--config", help="The business file; without it, those that prefect.yaml names.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The server's port; without it, any.")] = None,
) -> None:
    """Run every night, and on demand: a worker, and a Prefect server where PREFECT_API_URL names none."""
    from flows.serve import serve as work

    work(config, port)


@app.command()
def fit_ruler(
    out: Annotated[Path, typer.Argument(help="The file to write; an existing one is not overwritten.")],
    config: Config = None,
) -> None:
    """Measure neutral and scale of the money features on the published accounts; writes a ruler for review."""
    from config.settings import load
    from flows.rulers import fit_ruler as fit
    from flows.terminal import print_fitted

    print_fitted(fit(load(_business_file(config)), out), out)


def _limit(memory: str | None, threads: int | None) -> None:
    """Holds all of this process, a Prefect flow in it included, to limits that the command names."""
    if memory is not None and not re.fullmatch(AMOUNT, memory):
        raise typer.BadParameter(f"{memory!r} is no amount of memory; write 512MB, 4GB or 4GiB.")
    os.environ |= {name: str(limit) for name, limit in ((MEMORY, memory), (THREADS, threads)) if limit is not None}


def _business_file(config: Path | None) -> Path:
    from flows.runs import example_file

    return config or example_file()


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS:
        raise typer.BadParameter(f"{text!r} is not a time; write 30s, 10m or 2h.")
    return int(number) * UNITS[unit]
