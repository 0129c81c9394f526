"""Starting a run, and running its stages one after the other in this process."""

import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from config.errors import ConfigurationError
from config.rules import FIRST_DAY
from config.settings import Business
from flows import auditor
from flows.example import write_example
from flows.lock import held
from flows.stages import STAGES, Run, Stage, forget_old_runs, tidy

BUNDLED = Path(str(files("config")))
EXAMPLE = "hartley"
EXAMPLE_DATA = Path(".rapport/example/data")
CONFIG_DIRECTORY = "RAPPORT_CONFIG_DIR"
OWNER = "business"
"""The file below `state` that says whose it is."""


@dataclass(frozen=True)
class Timing:
    """What a stage did and what it cost: seconds on the clock and of processor time, this process alone.

    What `flows.auditor` has its process do is not in the latter.
    """

    stage: str
    did: str
    wall_seconds: float
    cpu_seconds: float


def example_file() -> Path:
    """The business file of the bundled example, its data written below the working directory where it is missing."""
    if not EXAMPLE_DATA.exists():
        write_example(EXAMPLE_DATA)
    return BUNDLED / f"{EXAMPLE}.yaml"


def business_file(name: str) -> Path:
    """The file of a business in the directory RAPPORT_CONFIG_DIR, else the bundled one.

    A name has no slashes, so that no parameter of a flow can name a file elsewhere.
    """
    directory = os.environ.get(CONFIG_DIRECTORY)
    if directory is None and name == EXAMPLE:
        return example_file()
    return (Path(directory) if directory else BUNDLED) / f"{name}.yaml"


def new_run(
    business: Business,
    as_of: date | None = None,
    known_at: datetime | None = None,
    rebuild: bool = False,
    dry_run: bool = False,
    wait_seconds: float = 0,
    accept_change: str | None = None,
    now: datetime | None = None,
) -> Run:
    """A run with its name; counted up to `as_of`, else the business file's day, else yesterday in the business's zone.

    A `known_at` without a zone is in UTC.

    Raises:
        ConfigurationError: `as_of` lies in the future.
    """
    started_at = now or datetime.now(UTC)
    latest = today(business, started_at)
    day = as_of or business.as_of or latest - timedelta(days=1)
    if day < date.fromisoformat(FIRST_DAY):
        raise ConfigurationError(
            f"as_of: {day} lies before {FIRST_DAY}, the first day that counts. Choose a later one."
        )
    if day > latest:
        raise ConfigurationError(
            f"as_of: {day} lies in the future; today is {latest} in {business.timezone}. Nothing was changed. "
            "Choose a day that has come."
        )
    return Run(
        business=business,
        run_id=f"{started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        as_of=day,
        known_at=known_at.astimezone(UTC).replace(tzinfo=None) if known_at and known_at.tzinfo else known_at,
        started_at=started_at,
        rebuild=rebuild,
        dry_run=dry_run,
        wait_seconds=wait_seconds,
        accept_change=accept_change,
    )


def today(business: Business, now: datetime | None = None) -> date:
    """The day that it is in the business's time zone."""
    return (now or datetime.now(UTC)).astimezone(ZoneInfo(business.timezone)).date()


def require_state(business: Business) -> None:
    """Makes sure that a business's state can be kept where its file says.

    Raises:
        ConfigurationError: there is a file in its place, or a link that leads nowhere, the directory may not be made or written,
            or it is another business's, whose rows would count for this one.
    """
    place = business.state.resolve()
    is_lost = business.state.is_symlink() and not place.exists()
    nearest = place if is_lost else next(each for each in (place, *place.parents) if each.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise ConfigurationError(
            f"state {business.state}: {nearest} is no directory, or cannot be written. Nothing was changed. "
            "Give it another place, or the right to write."
        )
    owner = business.state / OWNER
    named, _, title = owner.read_text(encoding="utf-8").partition("\n") if owner.exists() else ("", "", "")
    if named not in ("", business.name) or title not in ("", business.business):
        raise ConfigurationError(
            f"state {business.state}: it is that of {title and f'{title}, '}the business file {named}.yaml. Nothing was changed. "
            f"Give each business a state of its own; if the file or the business was renamed, delete {owner}."
        )


@contextmanager
def state_held(business: Business, run_id: str, started_at: datetime, wait_seconds: float) -> Generator[None]:
    """Holds a business's state for one run, or one backfill; made if it is missing.

    Raises:
        Busy: another one holds it.
        ConfigurationError: it cannot be written, or is another business's.
    """
    require_state(business)
    business.state.mkdir(parents=True, exist_ok=True)
    with held(business.state / "lock", f"the state of {business.business}", run_id, started_at, wait_seconds):
        (business.state / OWNER).write_text(f"{business.name}\n{business.business}", encoding="utf-8")
        yield


@contextmanager
def at_work(run: Run) -> Generator[None]:
    """Holds the business's state for one run, and tidies up behind it; a failed run's working data stays for a while.

    Raises:
        Busy: another run holds it.
        ConfigurationError: the state cannot be written, or is another business's.
    """
    with state_held(run.business, run.run_id, run.started_at, run.wait_seconds):
        forget_old_runs(run)
        yield
        tidy(run)


def run_stages(run: Run, announce: Callable[[Stage], None], stages: Sequence[Stage] = STAGES) -> Iterator[Timing]:
    """Runs every stage in order and gives what each did.

    Args:
        run: the run.
        announce: told of each stage before it starts.
        stages: the stages, or the same wrapped as tasks.
    """
    auditor.start()
    for stage in stages:
        announce(stage)
        wall, cpu = time.perf_counter(), time.process_time()
        did = stage(run)
        yield Timing(stage.__name__, did, time.perf_counter() - wall, time.process_time() - cpu)
