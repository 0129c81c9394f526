"""Where orders and engagements come from, and how a source's columns become ours."""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
)
from typing_extensions import TypeAliasType

from config.codes import Timezone
from config.documents import Strict
from config.errors import ConfigurationError
from config.expressions import scalar_sql
from config.tables import ENGAGEMENTS, ORDERS, Table

Format = Literal["csv", "parquet", "json"]

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".tsv": "csv",
}

_Columns = dict[str, str | list[str]]


def format_of(path: str) -> Format:
    """Return the format that the end of a path or glob tells, compressed by gzip (.gz) or not.

    Raises:
        ConfigurationError: the end tells none.
    """
    suffix = PurePath(path.lower().removesuffix(".gz")).suffix
    if suffix not in _FORMATS:
        raise ConfigurationError(
            f"the end of the path tells no format. Give format, or a path that ends in {', '.join(_FORMATS)}."
        )
    return _FORMATS[suffix]


def _expression(value: Any) -> str:
    # In YAML `is_service: true` and `term_months: 12` are values of their own kind, here they are SQL.
    text = str(value).lower() if isinstance(value, bool | int | float) else value
    if not isinstance(text, str):
        raise ValueError("must be a column's name, an SQL expression, or a list of such alternatives.")
    try:
        scalar_sql(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text


def _alternatives(value: Any) -> str | list[str]:
    return _ALTERNATIVES.validate_python(value) if isinstance(value, list) else _expression(value)


_SCALAR = {"type": ["string", "number", "boolean"]}
_Expression = Annotated[str, PlainValidator(_expression), WithJsonSchema(_SCALAR)]
_ALTERNATIVES = TypeAdapter(Annotated[list[_Expression], Field(min_length=1)])
Mapped = TypeAliasType(
    "Mapped",
    Annotated[
        str | list[str],
        PlainValidator(_alternatives),
        WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]}),
    ],
)


def _columns_of(name: str, table: Table) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for column in table:
        description = f"{column.meaning} ({column.unit})"
        fields[column.name] = (
            Mapped,
            Field(default=... if column.required else None, description=description),
        )
    return create_model(name, __base__=Strict, **fields)


_OrderColumns = _columns_of("OrderColumns", ORDERS)
_EngagementColumns = _columns_of("EngagementColumns", ENGAGEMENTS)


def _order_columns(value: Any) -> _Columns:
    return _OrderColumns.model_validate(value).model_dump(exclude_unset=True)


def _engagement_columns(value: Any) -> _Columns:
    return _EngagementColumns.model_validate(value).model_dump(exclude_unset=True)


_MEANING = (
    "our columns, each by a column of the source, one scalar SQL expression over its columns, or a list of"
    " alternatives, of which the first whose columns all exist is taken"
)
OrderColumns = Annotated[
    _Columns,
    PlainValidator(_order_columns, json_schema_input_type=_OrderColumns),
    Field(description=_MEANING),
]
EngagementColumns = Annotated[
    _Columns,
    PlainValidator(_engagement_columns, json_schema_input_type=_EngagementColumns),
    Field(description=_MEANING),
]


def _readable(path: str) -> str:
    try:
        format_of(path)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return path


def _local(path: str) -> str:
    if "://" in path:
        raise ValueError("only files of this machine are read, not addresses. Copy the files here first.")
    return path


def _packaged(path: str) -> str:
    if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
        raise ValueError("must stay inside the package: a relative path with '/', without '..'.")
    return path


_LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_local)]


class Lookup(Strict):
    """A file whose columns are added to each row of the source, by a left join."""

    path: Annotated[_LocalPath, AfterValidator(_readable)] = Field(
        description="the file, from the same directory as the source's path"
    )
    on: tuple[str, ...] = Field(
        strict=False,
        min_length=1,
        description="columns named alike in both, together unique in the looked-up file",
    )


class _Source(Strict):
    name: str = Field(
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$",
        description="a name of its own, in lower-case letters, digits, '_' and '-'",
    )
    columns: _Columns
    timezone: Timezone | None = Field(
        None, description="IANA zone of the source's times that name none; the business's where not given"
    )
    lookups: tuple[Lookup, ...] = Field((), strict=False, description="files with more columns for each row")


class FilesSource(_Source):
    """Files of this machine: CSV, Parquet or JSON."""

    kind: Literal["files"] = Field(description="files of this machine")
    path: _LocalPath = Field(description="a file or a glob, from the directory that rapport is started in")
    format: Format | None = Field(
        None, validate_default=True, description="what the files are; by the end of the path where not given"
    )

    @field_validator("format")
    @classmethod
    def _format_is_told(cls, given: Format | None, before: ValidationInfo) -> Format | None:
        if given is None and "path" in before.data:
            _readable(before.data["path"])
        return given


class DatasetSource(_Source):
    """Data that an installed Python package carries."""

    kind: Literal["dataset"] = Field(description="data that an installed Python package carries")
    package: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", description="the name it is imported by")
    path: Annotated[str, Field(min_length=1), AfterValidator(_packaged), AfterValidator(_readable)] = Field(
        description="a file or a glob inside the package"
    )

    @field_validator("lookups")
    @classmethod
    def _lookups_are_packaged(cls, lookups: tuple[Lookup, ...]) -> tuple[Lookup, ...]:
        for lookup in lookups:
            _packaged(lookup.path)
        return lookups


class OrderFiles(FilesSource):
    """Orders in files of this machine: CSV, Parquet or JSON."""

    columns: OrderColumns


class OrderDataset(DatasetSource):
    """Orders that an installed Python package carries."""

    columns: OrderColumns


class EngagementFiles(FilesSource):
    """Engagements in files of this machine: CSV, Parquet or JSON."""

    columns: EngagementColumns


class EngagementDataset(DatasetSource):
    """Engagements that an installed Python package carries."""

    columns: EngagementColumns


Source = FilesSource | DatasetSource
OrderSource = Annotated[OrderFiles | OrderDataset, Field(discriminator="kind")]
EngagementSource = Annotated[EngagementFiles | EngagementDataset, Field(discriminator="kind")]
