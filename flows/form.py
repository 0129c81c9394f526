"""The fields of the flow's form: what a person may enter, held by the Prefect server before there is a run.

The server checks JSON Schema alone, no dates: each field says in a pattern what it takes.
"""

import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from config.documents import read
from config.errors import ConfigurationError
from flows.runs import BUNDLED, CONFIG_DIRECTORY

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"


class _OneOfTheFiles:
    """Makes a field a choice among the business files that are there when the deployment is registered."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": business_names()}


# a name has no slashes: no parameter can name a file outside the configured directory
BusinessName = Annotated[str, Field(pattern=f"^{NAME}$"), _OneOfTheFiles()]
Day = Annotated[date, Field(json_schema_extra={"pattern": f"^{_DAY}$"})]
Moment = Annotated[datetime, Field(json_schema_extra={"pattern": f"^{_DAY}[T ]{_TIME}(Z|[+-]\\d\\d:\\d\\d)?$"})]
Reason = Annotated[str, Field(max_length=500)]
WaitSeconds = Annotated[int, Field(ge=0, le=86_400)]


def business_names() -> list[str]:
    """The names of the business files in the configuration directory; other YAML that lies there is left out."""
    directory = Path(os.environ.get(CONFIG_DIRECTORY) or BUNDLED)
    return sorted(
        path.stem for path in directory.glob("*.yaml") if re.fullmatch(NAME, path.stem) and _is_business(path)
    )


def _is_business(path: Path) -> bool:
    try:
        written = read(path).data
    except ConfigurationError:
        return True  # whoever chooses it is told what is wrong with it
    return isinstance(written, dict) and "business" in written
