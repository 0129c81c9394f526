"""Events of a run for the Prefect server's automations: what became of a business's verdicts, in one sentence each."""

from datetime import timedelta

from prefect.events import emit_event

from config.errors import ChangeHeld, GateRefused, RapportError
from flows.report import Report
from flows.stages import ROLES, Run
from flows.state import connected

PUBLISHED = "rapport.published"
HELD = "rapport.held"
GATE_FAILED = "rapport.gate-failed"
FAILED = "rapport.failed"
SOURCE_STALE = "rapport.source-stale"

BY_FAULT: dict[type, str] = {ChangeHeld: HELD, GateRefused: GATE_FAILED, Exception: FAILED}


def resource_of(business: str) -> str:
    """The id under which a business's events are found."""
    return f"rapport.business.{business}"


def tell_published(found: Report, business: str) -> None:
    """Tells that the warehouse holds what the run found."""
    _emit(PUBLISHED, business, f"{found.business}, as of {found.as_of}: {found.outcome}.", run_id=found.run_id)


def tell_stopped(business: str, fault: Exception) -> None:
    """Tells why a run published nothing: with its sentence where it is one of ours, which holds no personal data."""
    event = next(BY_FAULT[kind] for kind in type(fault).__mro__ if kind in BY_FAULT)
    said = str(fault) if isinstance(fault, RapportError) else f"{type(fault).__name__}; the run's log says more."
    _emit(event, business, said)


def tell_stale(business: str, sentences: list[str]) -> None:
    """Tells which sources have brought nothing new for too long."""
    if sentences:
        _emit(SOURCE_STALE, business, " ".join(sentences), sources=len(sentences))


def stale_sources(run: Run) -> list[str]:
    """A sentence for each source whose newest row is older than the business file allows, or that has none."""
    allowed = run.business.alerts.stale_days
    if allowed is None:
        return []
    limit = run.as_of - timedelta(days=allowed)
    with connected(run.business, run.folder) as con:
        newest = dict(con.execute(_NEWEST).fetchall())
    names = sorted(source.name for role in ROLES for source in getattr(run.business.sources, role))
    said = {
        name: f"its newest row is of {newest_on}, over {allowed} days before {run.as_of}"
        for name, newest_on in newest.items()
    }
    return [
        f"source {name}: {said.get(name, 'it has no row that counts')}. See why it brings nothing."
        for name in names
        if name not in newest or newest[name] < limit
    ]


_NEWEST = """
    select source, max(ordered_on) from state.checked_orders group by source
    union all
    select source, max(occurred_on) from state.checked_engagements group by source
"""


def _emit(event: str, business: str, message: str, **more: str | int) -> None:
    resource = {"prefect.resource.id": resource_of(business), "prefect.resource.name": business}
    emit_event(event, resource, payload={"message": message} | more)
