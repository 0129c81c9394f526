"""The deployments that `prefect.yaml` asks for.

Prefect reads its settings from the environment when it is imported. They come after this is asked, so it does without.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from config.documents import Strict, checked, read, sentences
from config.errors import ConfigurationError
from config.settings import load
from flows.runs import EXAMPLE, business_file

BUNDLED = Path(str(files("flows").joinpath("prefect.yaml")))
POOL = "rapport"
Entrypoint = Literal["flows.nightly.segment_accounts", "flows.nightly.backfill_accounts"]


class Schedule(Strict):
    """When a deployment runs by itself."""

    cron: str = Field(
        pattern=r"^\S+( +\S+){4}$", description="when it is due, in the five fields of cron, such as 30 3 * * *"
    )
    timezone: str = Field(default="UTC", description="for Prefect's own command; here it is the business's")
    active: bool | None = Field(
        default=None, description="whether it counts; left out, as it was left in the UI, at first true"
    )


class WorkPool(Strict):
    """Where the runs are taken up."""

    model_config = ConfigDict(extra="ignore")

    name: Literal["rapport"] = Field(description="the pool in which the worker looks")


class Deployment(Strict):
    """A flow with what it is run with, and when."""

    name: str = Field(pattern="^[^/%&<>]+$", description="what it is called in the UI, without / % & < >")
    entrypoint: Entrypoint = Field(description="the flow")
    description: str | None = Field(default=None, description="what the UI says of it")
    tags: list[str] = Field(default=[], description="of each of its runs")
    parameters: dict[str, Any] = Field(default={}, description="of the flow; what is left out is what its form shows")
    schedules: list[Schedule] = Field(default=[], description="when it runs by itself")
    work_pool: WorkPool | None = Field(default=None, description="for Prefect's own command")

    @property
    def business(self) -> str:
        """The name of its business."""
        return self.parameters["business"]


class Deployments(Strict):
    """A `prefect.yaml`; what else stands in it is for Prefect's own command."""

    model_config = ConfigDict(extra="ignore")

    deployments: list[Deployment] = Field(min_length=1, description="what the server offers to run")


def deployments(config: Path | None) -> list[Deployment]:
    """The deployments of `prefect.yaml`, the working directory's before the bundled one, each in its business's zone.

    Args:
        config: the business file for all of them; without it, those that they name.

    Raises:
        ConfigurationError: the file, or a business file, is wrong.
    """
    here = Path("prefect.yaml")
    document = read(here if here.exists() else BUNDLED)
    written, faults = checked(document, Deployments)
    if written is None or faults:
        raise ConfigurationError("\n".join(sentences(document, faults)))
    names = [each.name for each in written.deployments]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"{document.path}: more than one deployment is called {', '.join(repeated)}. Give each a name of its own."
        )
    return [_of_its_business(each, config) for each in written.deployments]


def _of_its_business(written: Deployment, config: Path | None) -> Deployment:
    given = {"business": EXAMPLE} | written.parameters
    parameters = given | {"business": config.stem} if config else given
    zone = load(business_file(str(parameters["business"]))).timezone
    schedules = [each.model_copy(update={"timezone": zone}) for each in written.schedules]
    return written.model_copy(update={"parameters": parameters, "schedules": schedules})
