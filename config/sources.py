"""Where orders and engagements come from, and how a source's columns become ours."""

import re
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

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
    model_validator,
)
from typing_extensions import TypeAliasType

from config.codes import Timezone
from config.connections import PostgresConnection
from config.documents import Strict
from config.errors import ConfigurationError
from config.expressions import scalar_sql
from config.tables import CONTENT_KEYS, ENGAGEMENTS, ORDERS, Table

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


def alternatives(mapped: str | list[str]) -> list[str]:
    """The expressions that a column may be read from, the first choice first."""
    return [mapped] if isinstance(mapped, str) else mapped


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


class _FileSource(_Source):
    lookups: tuple[Lookup, ...] = Field((), strict=False, description="files with more columns for each row")


class FilesSource(_FileSource):
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


class DatasetSource(_FileSource):
    """Data that an installed Python package carries."""

    kind: Literal["dataset"] = Field(description="data that an installed Python package carries")
    package: str = Field(pattern=r"^[A-Za-z]\w*$", description="the name it is imported by, which is not done")
    path: Annotated[str, Field(min_length=1), AfterValidator(_packaged), AfterValidator(_readable)] = Field(
        description="a file or a glob inside the package, its folders included"
    )

    @field_validator("lookups")
    @classmethod
    def _lookups_are_packaged(cls, lookups: tuple[Lookup, ...]) -> tuple[Lookup, ...]:
        for lookup in lookups:
            _packaged(lookup.path)
        return lookups


def _overlap(value: Any) -> int | str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_count and not re.fullmatch(_TIME_SPAN, str(value)):
        raise ValueError("must be hours or days such as 12h or 3d, or for a cursor of whole numbers a whole number.")
    return value


_TIME_SPAN = "[1-9][0-9]{0,4}[hd]"
Overlap = Annotated[
    int | str,
    PlainValidator(_overlap),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^{_TIME_SPAN}$"}]}),
]


class PostgresSource(_Source, PostgresConnection):
    """A table, view or materialised view of a Postgres database."""

    content_key: ClassVar[str]

    kind: Literal["postgres"] = Field(description="a table or view of a Postgres database")
    table: str = Field(
        pattern=r"^[^.]+(\.[^.]+)?$",
        description="the table or view as schema.table, in the database's own spelling; of the schema public where it"
        " names none",
    )
    cursor: str | None = Field(
        None,
        min_length=1,
        description="a column of times or whole numbers that grows with every change of a row; with it only new and"
        " late rows are read, without it the whole table",
    )
    overlap: Overlap | None = Field(
        None,
        description="how far behind the cursor's highest value each night reads again: hours or days such as 12h or"
        " 3d, or a whole number",
    )

    @property
    def name_parts(self) -> tuple[str, str]:
        """The table's schema and its name."""
        schema, _, name = self.table.rpartition(".")
        return schema or "public", name

    @model_validator(mode="after")
    def _is_read_on_safely(self) -> "PostgresSource":
        if (self.cursor is None) != (self.overlap is None):
            raise ValueError("cursor and overlap go together. Give both, or neither.")
        if self.cursor and self.content_key not in self.columns:
            raise ValueError(
                f"with a cursor, columns needs {self.content_key}: a later version of a row replaces the earlier one by"
                " it. Map it."
            )
        return self


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


class OrderTable(PostgresSource):
    """Orders in a table of a Postgres database."""

    content_key = CONTENT_KEYS["orders"]
    columns: OrderColumns


class EngagementTable(PostgresSource):
    """Engagements in a table of a Postgres database."""

    content_key = CONTENT_KEYS["engagements"]
    columns: EngagementColumns


AnyFiles = FilesSource | DatasetSource
Source = AnyFiles | PostgresSource
OrderSource = Annotated[OrderFiles | OrderDataset | OrderTable, Field(discriminator="kind")]
EngagementSource = Annotated[EngagementFiles | EngagementDataset | EngagementTable, Field(discriminator="kind")]
