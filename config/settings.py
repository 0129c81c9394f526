"""One business's configuration: its YAML file and the ruler that it names; secrets are named, not held."""

import hashlib
import json
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from config.codes import Currency, Timezone
from config.connections import PostgresConnection
from config.documents import Document, Fault, Strict, checked, read, sentences
from config.errors import ConfigurationError
from config.nearest import did_you_mean
from config.scoring import Ruler
from config.sources import EngagementSource, OrderSource

_BUNDLED = Path(__file__).parent
_YAML_PATH = r"^[\w./ -]{1,200}\.ya?ml$"


def _named(path: Path) -> Path:
    if path == Path():
        raise ValueError("must name a file or a directory.")
    return path


_LocalPath = Annotated[Path, Field(strict=False), AfterValidator(_named)]


class Sources(Strict):
    """The sources of orders and of engagements."""

    orders: tuple[OrderSource, ...] = Field(strict=False, min_length=1, description="one source of orders, or more")
    engagements: tuple[EngagementSource, ...] = Field(
        (), strict=False, description="sources of messages, calls, meetings, tickets and the like"
    )


class DuckdbWarehouse(Strict):
    """A DuckDB file that the tables are published to."""

    kind: Literal["duckdb"] = Field(description="a DuckDB file")
    path: _LocalPath = Field(description="the file, from the directory that rapport is started in")


class PostgresWarehouse(PostgresConnection):
    """A Postgres database; the tables are published to its schema `rapport`."""

    kind: Literal["postgres"] = Field(description="a Postgres database")


Warehouse = Annotated[DuckdbWarehouse | PostgresWarehouse, Field(discriminator="kind")]


class Gates(Strict):
    """Limits at which a run stops before it publishes."""

    quarantined_share: float = Field(
        0.2, ge=0, le=1, description="largest share of a source's rows that may be in quarantine, 0 to 1"
    )


class BusinessFile(Strict):
    """What a business file says."""

    business: str = Field(min_length=1, description="the business's name, as reports show it")
    timezone: Timezone = Field(description="IANA zone in which the business's days begin and end")
    currency: Currency = Field(description="ISO 4217 code of the reporting currency")
    sources: Sources = Field(description="where orders and engagements come from")
    scoring: str = Field(
        pattern=_YAML_PATH,
        description="the ruler: a YAML file, from this file's directory or among the bundled ones",
    )
    warehouse: Warehouse = Field(description="where the verdicts are published")
    as_of: Annotated[date, Field(strict=False)] | None = Field(
        None,
        description="for data that ends: the last day counted where a run names none; else that is yesterday",
    )
    state: _LocalPath | None = Field(
        None,
        description="directory of what lasts between nights; .rapport/ and this file's name where not given",
    )
    margin_share: float = Field(
        1.0, gt=0, le=1, description="share of revenue that is left after costs, for clv_12m; 1 counts revenue"
    )
    gates: Gates = Field(Gates(), description="limits at which a run stops before it publishes")
    memory: str | None = Field(
        None,
        pattern="^[1-9][0-9]{0,5}(MB|GB|TB|MiB|GiB|TiB)$",
        description="most memory for DuckDB, such as 4GB",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="most threads for DuckDB; one a processor where not given"
    )


class Business(BusinessFile):
    """A business file with its name, its ruler and its state directory filled in."""

    name: str
    ruler: Ruler
    state: Path


def load(path: Path) -> Business:
    """Return the configuration of one business, its ruler included.

    Raises:
        ConfigurationError: the file or its ruler is wrong; one sentence a line for every mistake.
    """
    document = read(path)
    written, faults = checked(document, BusinessFile)
    ruler_path, no_ruler = _ruler_path(document)
    mistakes = sentences(document, [*faults, *_repeated_names(document), *no_ruler])
    ruler, mistakes_in_ruler = _ruler(ruler_path) if ruler_path else (None, [])
    mistakes += mistakes_in_ruler
    if written is None or ruler is None or mistakes:
        raise ConfigurationError("\n".join(mistakes))
    fields = {name: getattr(written, name) for name in BusinessFile.model_fields}
    state = written.state or Path(".rapport", path.stem)
    return Business.model_validate(fields | {"name": path.stem, "ruler": ruler, "state": state})


def config_hash(business: Business) -> str:
    """Return the sha256 of everything that could change a verdict or its place, the ruler included.

    Secrets, their names and the machine's limits (memory, threads) are left out.
    """
    secret = {"__all__": {"password"}}
    left_out = {
        "sources": {"orders": secret, "engagements": secret},
        "warehouse": {"password"},
        "memory": True,
        "threads": True,
    }
    settings = business.model_dump(mode="json", exclude=left_out)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _repeated_names(document: Document) -> list[Fault]:
    first_lines: dict[str, int] = {}
    faults: list[Fault] = []
    for place, line in document.lines.items():
        match place:
            case ("sources", str(side), int(at), "name"):
                name = str(document.data["sources"][side][at]["name"])
                if name in first_lines:
                    fault = f"there is a source {name!r} on line {first_lines[name]} already. Rename one."
                    faults.append((place, fault))
                first_lines.setdefault(name, line)
    return faults


def _ruler_path(document: Document) -> tuple[Path | None, list[Fault]]:
    """Return the ruler's file; or none, with the fault where it is named well and not there."""
    named = document.data.get("scoring") if isinstance(document.data, dict) else None
    if not isinstance(named, str) or not re.fullmatch(_YAML_PATH, named):
        return None, []
    for directory in (document.path.parent, _BUNDLED):
        if (directory / named).is_file():
            return directory / named, []
    bundled = sorted(str(path.relative_to(_BUNDLED)) for path in _BUNDLED.glob("scoring/*.yaml"))
    hint = f"{did_you_mean(named, bundled)} Bundled are {', '.join(bundled)}."
    return None, [(("scoring",), f"there is no ruler '{named}', neither beside this file nor bundled.{hint}")]


def _ruler(path: Path) -> tuple[Ruler | None, list[str]]:
    try:
        document = read(path)
    except ConfigurationError as error:
        return None, [str(error)]
    ruler, faults = checked(document, Ruler)
    return ruler, sentences(document, faults)
