"""One business's configuration: its YAML file and the ruler that it names; secrets are named, not held."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from config.codes import Currency, Timezone
from config.connections import PostgresConnection, SecretReference
from config.decisions import Decisions, contradictions
from config.documents import Day, Document, Fault, Strict, checked, read, sentences
from config.errors import ConfigurationError
from config.limits import AMOUNT
from config.nearest import did_you_mean
from config.scoring import Ruler
from config.sources import EngagementSource, OrderSource

_BUNDLED = Path(__file__).parent
_YAML_PATH = r"^[\w./ -]{1,200}\.ya?ml$"


def _named(path: Path) -> Path:
    if path == Path() or "\0" in str(path):
        raise ValueError("must name a file or a directory.")
    return path.expanduser()


def _kept_by_duckdb(path: Path) -> Path:
    if "?" in str(path):
        raise ValueError(
            "must be a directory without a question mark in its name, behind which DuckDB loses its files."
        )
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
        0.2,
        ge=0,
        le=1,
        description="largest share of all order lines, or of all events, that may be in quarantine, 0 to 1",
    )
    changed_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of accounts that may always change segment from one run to the next, 0 to 1",
    )
    changed_times_usual: float = Field(
        2.0, ge=1, description="how many times the median share of the last runs may change segment"
    )


class Alerts(Strict):
    """Who is told, and when: a night that was refused, failed, crashed or is late, and a source that is stale."""

    notify: SecretReference | None = Field(
        None,
        description="where the channel's address is kept, as apprise writes it: {env: NAME} or {prefect_block: name}",
    )
    published_by: str | None = Field(
        None,
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="hour by which a night must be published, such as 07:00, in the business's time zone",
    )
    stale_days: int | None = Field(
        None, ge=1, le=3650, description="a source whose newest row is older than so many days is stale"
    )

    @model_validator(mode="after")
    def _has_somebody_to_tell(self) -> Self:
        if self.published_by and not self.notify:
            raise ValueError("published_by needs somebody to tell. Add notify, or leave it out.")
        return self


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
    decisions: str | None = Field(
        None,
        pattern=_YAML_PATH,
        description="verdicts set by hand and merged accounts: a YAML file, from this file's directory",
    )
    warehouse: Warehouse = Field(description="where the verdicts are published")
    as_of: Day | None = Field(
        None,
        description="for data that ends: the last day counted where a run names none; else that is yesterday",
    )
    state: Annotated[_LocalPath, AfterValidator(_kept_by_duckdb)] | None = Field(
        None,
        description="directory of what lasts between nights; .rapport/ and this file's name where not given",
    )
    margin_share: float = Field(
        1.0, gt=0, le=1, description="share of revenue that is left after costs, for clv_12m; 1 counts revenue"
    )
    gates: Gates = Field(Gates(), description="limits at which a run stops before it publishes")
    alerts: Alerts = Field(Alerts(), description="who is told of a night that went wrong")
    memory: str | None = Field(
        None,
        pattern=AMOUNT,
        description="most memory for DuckDB, such as 4GB; 60 % of the machine's, or of its container's, where not given",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="most threads for DuckDB; one a processor where not given"
    )


class Business(BusinessFile):
    """A business file with its name, its ruler, its decisions and its state directory filled in."""

    name: str
    ruler: Ruler
    decided: Decisions = Decisions()
    state: Path


def load(path: Path) -> Business:
    """Return the configuration of one business, its ruler and decisions included.

    Raises:
        ConfigurationError: the file, its ruler or its decisions are wrong; one sentence a line for every mistake.
    """
    document = read(path)
    written, faults = checked(document, BusinessFile)
    ruler_path, no_ruler = _ruler_path(document)
    mistakes = sentences(document, [*faults, *_repeated_names(document), *no_ruler])
    ruler, mistakes_in_ruler = _ruler(ruler_path) if ruler_path else (None, [])
    decided, mistakes_in_decisions = _decided(document)
    mistakes += mistakes_in_ruler + mistakes_in_decisions
    if written is None or ruler is None or mistakes:
        raise ConfigurationError("\n".join(mistakes))
    fields = {name: getattr(written, name) for name in BusinessFile.model_fields}
    state = written.state or Path(".rapport", path.stem)
    return Business.model_validate(fields | {"name": path.stem, "ruler": ruler, "decided": decided, "state": state})


def config_hash(business: Business) -> str:
    """Return the sha256 of everything that could change a verdict or its place, the ruler included.

    Secrets, their names, who is told, and the machine's limits (memory, threads) are left out.
    """
    secret = {"__all__": {"password"}}
    left_out = {
        "sources": {"orders": secret, "engagements": secret},
        "warehouse": {"password"},
        "alerts": True,
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


def with_ruler(business: Business, path: Path) -> Business:
    """Return the business as it would be judged by another ruler.

    Raises:
        ConfigurationError: the ruler is wrong; one sentence a line for every mistake.
    """
    ruler, mistakes = _ruler(path)
    if ruler is None or mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return business.model_copy(update={"ruler": ruler})


def or_bundled(path: Path) -> Path:
    """Return the path, or where there is no such file the bundled one that is called so, as `scoring/mixed.yaml`."""
    return path if path.exists() or not (_BUNDLED / path).is_file() else _BUNDLED / path


def is_ruler(path: Path) -> bool:
    """Whether a YAML file is a ruler rather than a business file.

    Raises:
        ConfigurationError: it is not there, or not YAML.
    """
    data = read(path).data
    return isinstance(data, dict) and "features" in data


def _decided(document: Document) -> tuple[Decisions, list[str]]:
    named = document.data.get("decisions") if isinstance(document.data, dict) else None
    if not isinstance(named, str) or not re.fullmatch(_YAML_PATH, named):
        return Decisions(), []
    try:
        written = read(document.path.parent / named)
    except ConfigurationError as error:
        return Decisions(), [str(error)]
    decided, faults = checked(written, Decisions)
    found = decided or Decisions()
    return found, sentences(written, [*faults, *contradictions(found)])


def _ruler(path: Path) -> tuple[Ruler | None, list[str]]:
    try:
        document = read(path)
    except ConfigurationError as error:
        return None, [str(error)]
    ruler, faults = checked(document, Ruler)
    return ruler, sentences(document, faults)
