"""A look at everything a run needs, before it runs: nothing is landed or published."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from config.errors import GateRefused
from config.settings import Business
from config.sources import PostgresSource
from flows import conform, landing
from flows.batches import Batch
from flows.duck import connect
from flows.postgres_warehouse import published, require_writable
from flows.runs import new_run, require_state
from flows.stages import ROLES
from flows.warehouse import place

SAMPLE_ROWS = 1000
KEYS = {"orders": "order_id", "engagements": "event_id"}


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at, and what was found."""

    what: str
    found: str


def checks(business: Business) -> list[Checked]:
    """Looks at the configuration, the warehouse and the first rows of each source.

    Raises:
        SourceError: a source cannot be read.
        GateRefused: more of the rows looked at are unfit than a run would let pass, or there is no order at all.
        WarehouseError: the warehouse cannot be read, or its directory not be written.
        ConfigurationError: the day in the business file has not come, the state cannot be written, or the state or the
            warehouse is another business's.
    """
    new_run(business)  # which refuses a day that has not come
    require_state(business)
    features = f"{len(business.ruler.features)} features, ruler {business.ruler.version}"
    return [Checked("configuration", features), _warehouse(business), *_sources(business)]


def _warehouse(business: Business) -> Checked:
    present = published(business)
    require_writable(business)
    found = f"as of {present['as_of']}, by run {present['run_id']}" if present else "nothing published yet"
    return Checked("warehouse", f"{place(business.warehouse)}, {found}")


def _sources(business: Business) -> list[Checked]:
    found = []
    with TemporaryDirectory() as folder, connect(business) as con:
        for role in ROLES:
            for source in getattr(business.sources, role):
                where = f"{role} (source {source.name})"
                batches = landing.land(con, role, source, Path(folder), landing.utc_now(), most_rows=SAMPLE_ROWS)
                conform.check_rows(con, business, role, Path(folder), batches)
                read = f"table {source.table}" if isinstance(source, PostgresSource) else f"{len(batches):,} files"
                looked_at = _looked_at(con, business, role, where, batches)
                found.append(Checked(f"{role}, source {source.name}", f"{read}, {looked_at}"))
    return found


def _looked_at(con: duckdb.DuckDBPyConnection, business: Business, role: str, where: str, batches: list[Batch]) -> str:
    """What was found among the rows looked at.

    Raises:
        GateRefused: too many of them are unfit, or they are orders and there are none.
    """
    key = KEYS[role]
    reasons = con.execute(
        f"select reason, count(*), arg_min({key}, position) from checked_{role} "
        "where reason is not null group by reason order by 2 desc, 1"
    ).fetchall()
    read, refused = sum(batch.read for batch in batches), sum(count for _, count, _ in reasons)
    listed = "; ".join(
        f"{count:,} {reason}" + (f" (first {key} {first!r})" if first else "") for reason, count, first in reasons
    )
    limit = business.gates.quarantined_share
    if refused > limit * read:
        raise GateRefused(
            f"{where}: {refused:,} of {read:,} rows looked at are unfit ({refused / read:.2%}; the limit is {limit:.0%}): "
            f"{listed}. A run would be refused. Correct the source or the mapping."
        )
    if role == "orders" and not read:
        raise GateRefused(f"{where}: there are no rows. A run would be refused. Bring the data.")
    return f"{read:,} rows looked at, {listed or 'all fit'}"
