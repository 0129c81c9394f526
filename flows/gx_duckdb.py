"""Great Expectations on a DuckDB connection that is already open.

Great Expectations speaks to databases through SQLAlchemy, and DuckDB has no dialect that it can use. This one
lends it the pipeline's own connection: checks run as SQL where the data is, on temporary tables too.

Importing this module takes seconds: `flows.auditor` does it in a process of its own.
"""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import duckdb
import great_expectations as gx
import sqlalchemy as sa
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import UnexpectedRowsExpectation
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGDialect, PGIdentifierPreparer


class ExpectQueryToFindNoRows(UnexpectedRowsExpectation):
    """Custom SQL, run once and only for its count; the original runs it again for the rows themselves."""

    metric_dependencies = ("unexpected_rows_query.row_count",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        count = metrics["unexpected_rows_query.row_count"]
        return {"success": count == 0, "result": {"observed_value": count}}


class Queried(Protocol):
    """What is used of a connection."""

    @property
    def description(self) -> list[tuple[Any, ...]] | None:
        """Of each column of the last result, its name first."""
        ...

    def execute(self, query: str, parameters: Any = None, /) -> Any:
        """Runs a query."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows of the last result."""
        ...


class _Cursor:
    """A result fetched at once: it is read when SQLAlchemy has given the connection back for the next query."""

    description: list[tuple[Any, ...]] | None = None

    def __init__(self, con: Queried):
        self._con = con
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._con.execute(statement, list(parameters))
        self.description = self._con.description
        self._rows = iter(self._con.fetchall())

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def close(self) -> None: ...


class _Connection:
    """The pipeline's connection. SQLAlchemy rolls back after each query; transactions are not its to end."""

    def __init__(self, con: Queried):
        self._con = con

    def cursor(self) -> _Cursor:
        return _Cursor(self._con)

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class _Type(sa.types.UserDefinedType[Any]):
    """A column type under DuckDB's own name, e.g. DECIMAL(18,4): some checks look at it."""

    def __init__(self, name: str):
        self.name = name

    def get_col_spec(self, **kw: Any) -> str:
        return self.name


class _Preparer(PGIdentifierPreparer):
    """Quotes every name: DuckDB reserves other words than Postgres does (qualify, pivot, lambda)."""

    def quote(self, ident: str, force: Any = None) -> str:
        return self.quote_identifier(ident)


class OpenDuckDB(PGDialect):
    """DuckDB in the name of Postgres: Great Expectations has branches for that, whose SQL is close enough."""

    driver = "openduckdb"
    supports_statement_cache = True
    preparer = _Preparer

    @classmethod
    def import_dbapi(cls) -> Any:
        """DuckDB's module has the exceptions; the connection comes from `validate`."""
        return duckdb

    def initialize(self, connection: sa.Connection) -> None:
        """Nothing is asked of the server: the questions of Postgres mean nothing to DuckDB."""

    def get_columns(
        self, connection: sa.Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        """Names and types by `describe`, which knows temporary tables too."""
        quoted = self.identifier_preparer.quote(table_name)
        rows = connection.exec_driver_sql(f"describe {quoted}").all()
        return [{"name": row[0], "type": _Type(row[1])} for row in rows]

    def get_pk_constraint(
        self, connection: sa.Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        """None: keys are checked as expectations."""
        return {"constrained_columns": [], "name": None}


registry.register(OpenDuckDB.driver, __name__, OpenDuckDB.__name__)

# What it would log, the results say; and an error of SQL holds values of the table.
for _name in ("great_expectations", "great_expectations.data_context.types.base"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


def validate(con: Queried, table: str, expectations: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Great Expectations' result for each expectation, by its place in the sequence.

    Args:
        con: open connection, or what passes queries on to one; nothing is written, committed or rolled back on it.
        table: a table, view or temporary table of that connection.
        expectations: each with `type`, `kwargs` and `severity`. One that is not known to Great
            Expectations has no result.
    """
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_sql(
        table,
        connection_string=f"{OpenDuckDB.driver}://",
        kwargs={"creator": lambda: _Connection(con)},  # ty: ignore[unknown-argument]
    )
    batch = source.add_table_asset(table).add_batch_definition_whole_table(table).get_batch()
    placed: list[Any] = [{**each, "meta": {"place": place}} for place, each in enumerate(expectations)]
    validation = batch.validate(
        gx.ExpectationSuite(name=table, expectations=placed),
        # Counts only: a sample of the values could be personal.
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
    )
    results: list[Any] = validation.results
    return {each.expectation_config.meta["place"]: each.to_json_dict() for each in results}
