"""A look at what a business leans on between runs: versions, locks, room on the disk, and what lies in its state and warehouse."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from platform import python_version
from typing import Any

from packaging.requirements import Requirement

from config.errors import RapportError
from config.settings import Business
from flows import state
from flows.batches import Batch, batches, current, verify
from flows.forgotten import forgotten, require_finished
from flows.ledger import ROLES
from flows.lock import holder
from flows.postgres_warehouse import published
from flows.runs import require_state, today
from flows.warehouse import live, location, lock_file, place
from transforms.decided import merges_in_force

MB = 1e6


@dataclass(frozen=True)
class Finding:
    """What was found of one thing, and whether it is as it should be."""

    what: str
    found: str
    is_well: bool = True


def examination(business: Business) -> list[Finding]:
    """Looks at everything in turn, and changes nothing; what cannot be looked at is a finding too."""
    parts: dict[str, Callable[[Business], Iterator[Finding]]] = {
        "versions": _versions,
        "locks": _locks,
        "landed": _landed,
        "room": _room,
        "state": _state,
        "warehouse": _warehouse,
    }
    found = []
    for what, part in parts.items():
        try:
            found += part(business)
        except RapportError as error:
            found.append(Finding(what, str(error), is_well=False))
        except (OSError, ValueError) as error:  # no right to read it, or not what Rapport wrote
            found.append(Finding(what, f"it cannot be looked at ({type(error).__name__}: {error})", is_well=False))
    return found


def _versions(_: Business) -> Iterator[Finding]:
    needed = [Requirement(each) for each in requires("rapport") or []]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    unfit = [fault for each in needed if (fault := _fault(each))]
    for fault in unfit:
        yield Finding("versions", f"{fault}. Install what fits: uv sync", is_well=False)
    fit = f"{len(needed) - len(unfit)} of {len(needed)} packages in versions that fit"
    yield Finding("versions", f"Rapport {version('rapport')} on Python {python_version()}, {fit}", not unfit)


def _fault(needed: Requirement) -> str:
    """What is wrong with the package that is installed; empty where nothing is."""
    try:
        installed = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is not installed"
    return (
        ""
        if needed.specifier.contains(installed, True)
        else f"{needed.name} is {installed}, and not {needed.specifier}"
    )


def _locks(business: Business) -> Iterator[Finding]:
    for what, lock in (("state", business.state / "lock"), ("warehouse", lock_file(location(business)))):
        yield Finding("locks", f"the {what} is {f'held{who}' if (who := holder(lock)) else 'free'}")


def _landed(business: Business) -> Iterator[Finding]:
    counted = _counted(business)
    verify(business.state / "landed", counted)
    rows, size = sum(batch.rows for batch in counted), _size(business, counted)
    require_finished(business.state)
    listed = forgotten(business.state).since
    left_out = f"; rows of {len(listed):,} forgotten accounts are left out" if listed else ""
    yield Finding(
        "landed",
        f"{len(counted):,} batches with {rows:,} rows count, {size / MB:,.1f} MB, all as they were landed{left_out}",
    )


def _room(business: Business) -> Iterator[Finding]:
    needed = state.SWOLLEN * _size(business, _counted(business))
    file = location(business)
    copied = file.stat().st_size if file.exists() else 0
    for what, directory, most in (
        ("a rebuild of the state", business.state, needed),
        ("a copy of the warehouse", file.parent, copied),
    ):
        free = shutil.disk_usage(next(each for each in (directory, *directory.resolve().parents) if each.exists())).free
        yield Finding("room", f"{what} may take {most / MB:,.1f} MB, and {free / MB:,.0f} MB are free", free >= most)


def _state(business: Business) -> Iterator[Finding]:
    require_state(business)
    if holder(business.state / "lock"):
        yield Finding("state", "a run is at work in it")
        return
    why = state.why_anew(business, merges_in_force(business.decided, today(business)), only_looks=True)
    yield Finding(
        "state", f"the next run makes it anew, since {why}" if why else "the next run adds to it what changed"
    )


def _warehouse(business: Business) -> Iterator[Finding]:
    present, kept = published(business), live(location(business))
    where = place(business.warehouse)
    yield Finding("warehouse", f"{where}, {_last(present)}")
    if (present and present["run_id"]) != (kept and kept["run_id"]):
        yield Finding(
            "warehouse",
            f"{location(business)} is not level with it, {_last(kept)}; the next run sees to it",
            is_well=False,
        )


def _last(published_last: Mapping[str, Any] | None) -> str:
    if published_last is None:
        return "nothing published yet"
    return f"as of {published_last['as_of']}, by run {published_last['run_id']}"


def _counted(business: Business) -> list[Batch]:
    sources = (source for role in ROLES for source in getattr(business.sources, role))
    return [batch for source in sources for batch in current(batches(business.state / "landed", source.name))]


def _size(business: Business, counted: list[Batch]) -> int:
    files = (batch.path(business.state / "landed") for batch in counted)
    return sum(file.stat().st_size for file in files if file.exists())
